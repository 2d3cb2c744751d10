"""A project that asks which of two answers to a prompt is better: the friendlier one is."""

from __future__ import annotations

from typing import Any

import numpy as np

_GOOD = ("thanks", "gladly", "welcome", "certainly", "please")
_BAD = ("nonsense", "whatever", "boring", "never", "stupid")


def config(to_name: str, beside: str = "") -> str:
    fields = {"ask": "prompt", "a": "first", "b": "second"}
    shown = "".join(f'<Text name="{name}" value="${field}"/>' for name, field in fields.items())
    return f'<View>{shown}<Pairwise name="better" toName="{to_name}"/>{beside}</View>'


CONFIG = config("a,b")


def tasks(n: int = 120, seed: int = 0) -> list[dict[str, str]]:
    """The better answer is left in half of them."""
    random = np.random.default_rng(seed)
    found = []
    for place in range(n):
        good, bad = (f"{random.choice(words)} says speaker {random.integers(9)}" for words in (_GOOD, _BAD))
        sides = (good, bad) if random.random() < 0.5 else (bad, good)
        found.append({"prompt": f"question {place}", "first": sides[0], "second": sides[1]})
    return found


def truth(data: dict[str, str]) -> str:
    return "left" if data["first"].split()[0] in _GOOD else "right"


def swapped(data: dict[str, str]) -> dict[str, str]:
    return {**data, "first": data["second"], "second": data["first"]}


def result(selected: object, control: str = "better") -> list[dict[str, Any]]:
    """As the labelling page writes it: the object is named like the control."""
    return [{"from_name": control, "to_name": control, "type": "pairwise", "value": {"selected": selected}}]
