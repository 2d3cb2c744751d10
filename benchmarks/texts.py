"""Made-up texts for measuring: about 240 characters, four labels, words as unevenly frequent as in a language."""

from __future__ import annotations

import numpy as np

LABELS = ("Business", "Science", "Sports", "World")
N_WORDS = 30_000
WORDS_A_TEXT = 32
TOPIC_SHARE = 0.25


def make_texts(n: int, seed: int) -> tuple[list[str], list[str]]:
    """n texts and their labels. A quarter of a text's words comes from its label's own vocabulary."""
    random = np.random.default_rng(seed)
    syllables = ["ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu"]
    words = ["".join(random.choice(syllables, 1 + index % 4)) + str(index % 97) for index in range(N_WORDS)]
    frequency = 1.0 / np.arange(1, N_WORDS + 1)
    frequency /= frequency.sum()
    chosen = random.choice(N_WORDS, size=(n, WORDS_A_TEXT), p=frequency)
    labels = random.integers(len(LABELS), size=n)
    is_topic = random.random((n, WORDS_A_TEXT)) < TOPIC_SHARE
    topics = 200 + labels[:, None] * 400 + random.integers(400, size=(n, WORDS_A_TEXT))
    chosen = np.where(is_topic, topics, chosen)
    return [" ".join(words[word] for word in row) for row in chosen], [LABELS[label] for label in labels]
