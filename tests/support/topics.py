"""A project with several labels a text, whose texts say which."""

from __future__ import annotations

import numpy as np

LABELS = ("animal", "machine", "loud")
CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="topic" toName="text" choice="multiple">'
    + "".join(f'<Choice value="{label}"/>' for label in LABELS)
    + "</Choices></View>"
)
# A text holds a word for each of its labels, and words that say nothing.
WORDS = {"animal": "cat", "machine": "engine", "loud": "roars"}


def texts(n: int = 120, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    found = []
    for place in range(n):
        words = [word for word in WORDS.values() if random.random() < 0.4]
        noise = [f"word{random.integers(10)}" for _ in range(2)]
        found.append(" ".join([*words, *noise, f"number {place}"]))
    return found


def truth(text: str) -> list[str]:
    return [label for label in LABELS if WORDS[label] in text.split()]
