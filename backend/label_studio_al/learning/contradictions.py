"""Answers that models of the other ones contradict: people may have slipped there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from label_studio_al.learning.types import Array

# How probable another answer must be at least, whatever is usual.
PROBABILITY = (0.7, 0.9)


@dataclass(frozen=True)
class Suspect:
    """A label that held-out models contradict. example: its index.

    probability: of what they predict; label_probability: of what people said.
    """

    example: int
    label: str
    predicted: str
    probability: float
    label_probability: float


# The answer of an example, had one decision gone to another column.
Changed = Callable[[int, int, int], str]


def contradicted(y: Array, proba: Array, said: Array, changed: Changed) -> list[Suspect]:
    """Which answers are contradicted, the most contradicted first.

    y: shape (n_examples,). proba: shape (n_examples, n_decisions, n_columns), of models that had not seen the example.
    said: shape (n_examples, n_decisions), the columns that people gave. Contradicted is a label where another one is
    more probable than it usually is where people gave it: than 0.7 at least, 0.9 at most. Source: Northcutt et al.
    2021, confident joint and ranking by margin.
    """
    best = proba.argmax(axis=2)
    of_said, of_best = (np.take_along_axis(proba, columns[:, :, None], axis=2)[:, :, 0] for columns in (said, best))
    enough = np.clip(_usual(proba, said), *PROBABILITY)[np.arange(said.shape[1]), best]
    contradiction = np.where((best != said) & (of_best >= enough), of_best - of_said, -np.inf)
    # Of an answer of several decisions, the one that is contradicted most.
    decision = contradiction.argmax(axis=1)
    worst = contradiction[np.arange(len(y)), decision]
    order = np.argsort(-worst, kind="stable")
    found = []
    for example in order[np.isfinite(worst[order])].tolist():
        place = example, int(decision[example])
        answer = changed(example, place[1], int(best[place]))
        found.append(Suspect(example, str(y[example]), answer, float(of_best[place]), float(of_said[place])))
    return found


def _usual(proba: Array, said: Array) -> Array:
    """How probable each class of each decision is, on average, where people gave it; 1 where nobody did."""
    n_decisions, n_columns = proba.shape[1:]
    found = np.ones((n_decisions, n_columns))
    for decision in range(n_decisions):
        for column in range(n_columns):
            given = said[:, decision] == column
            if given.any():
                found[decision, column] = proba[given, decision, column].mean()
    return found
