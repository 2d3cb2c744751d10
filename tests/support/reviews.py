"""A project that asks how many stars a text gives, whose words say so."""

from __future__ import annotations

from typing import Any

import numpy as np

STARS = range(1, 6)
CONFIG = '<View><Text name="text" value="$text"/><Rating name="stars" toName="text"/></View>'
# The nearer two ratings, the more words they share.
_WORDS = ["awful", "poor", "weak", "fair", "decent", "good", "great", "superb"]


def texts(n: int = 120, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    found = []
    for place in range(n):
        stars = STARS[place % len(STARS)]
        words = random.choice(_WORDS[stars - 1 : stars + 3], 3)
        found.append(f"{stars} of five: {' '.join(words)} product number {place}")
    return found


def truth(text: str) -> int:
    return int(text.split()[0])


def result(rating: object, control: str = "stars") -> list[dict[str, Any]]:
    """As an annotation of this control holds it."""
    return [{"from_name": control, "to_name": "text", "type": "rating", "value": {"rating": rating}}]
