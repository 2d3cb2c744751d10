"""A project that asks for paths in a tree, whose texts say which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

TREE = {"order": ("late", "lost", "wrong"), "payment": ("card", "refund"), "other": ()}
CONFIG = (
    '<View><Text name="text" value="$text"/><Taxonomy name="reason" toName="text" {}>'
    + "".join(
        f'<Choice value="{top}">{"".join(f"<Choice value={below!r}/>" for below in inside)}</Choice>'
        for top, inside in TREE.items()
    )
    + "</Taxonomy></View>"
)
ANY, ONE = CONFIG.format(""), CONFIG.format('maxUsages="1"')
PATHS = [[top, below] for top, inside in TREE.items() for below in inside] + [["other"]]
# Words of a branch, and of a path.
_OF_TOP = {"order": ["parcel", "delivery", "package"], "payment": ["money", "bank", "account"], "other": ["hello"]}


def words_of(path: Sequence[str]) -> list[str]:
    return [*_OF_TOP[path[0]], *([path[1]] if len(path) > 1 else ["question"])]


def texts(n: int = 120, *, several: bool = False, seed: int = 0) -> list[str]:
    """One path a text or, in a third of them, two."""
    random = np.random.default_rng(seed)
    found = []
    for place in range(n):
        n_paths = 2 if several and place % 3 == 0 else 1
        paths = [PATHS[one] for one in random.permutation(len(PATHS))[:n_paths]]
        said = [f"{random.choice(words_of(path)[:-1])} {words_of(path)[-1]}" for path in paths]
        found.append(f"{' and '.join(said)} in message {place}")
    return found


def truth(text: str) -> list[list[str]]:
    return [path for path in PATHS if words_of(path)[-1] in text.split()]


def result(paths: object, control: str = "reason") -> list[dict[str, Any]]:
    """As an annotation of this control holds it."""
    return [{"from_name": control, "to_name": "text", "type": "taxonomy", "value": {"taxonomy": paths}}]
