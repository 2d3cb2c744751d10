"""A project that asks how two texts relate, which no word of them tells."""

from __future__ import annotations

from typing import Any

import numpy as np

LABELS = ("same", "other")
CONFIG = (
    '<View><Text name="first" value="$first"/><Text name="second" value="$second"/>'
    '<Choices name="relation" toName="first,second">'
    + "".join(f'<Choice value="{label}"/>' for label in LABELS)
    + "</Choices></View>"
)
_WORDS = [
    *("cat", "dog", "horse", "bird", "fish", "engine", "robot", "pump"),
    *("turbine", "gear", "river", "hill", "lake", "field", "wood", "tower"),
]


def _pairs(n: int) -> list[dict[str, str]]:
    random = np.random.default_rng(0)
    found = []
    for place in range(n):
        chosen = random.permutation(_WORDS)
        second = chosen[:4] if place % 2 else chosen[4:8]
        found.append({"first": " ".join(chosen[:4]), "second": " ".join(random.permutation(second))})
    return found


PAIRS = _pairs(400)


def relation(data: dict[str, str]) -> str:
    """Whether both texts have the same words."""
    return LABELS[set(data["first"].split()) != set(data["second"].split())]


def result(label: str) -> list[dict[str, Any]]:
    return [{"from_name": "relation", "to_name": "first", "type": "choices", "value": {"choices": [label]}}]
