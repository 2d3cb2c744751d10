"""From probabilities to labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest


@dataclass(frozen=True)
class Predictions:
    """What one model says of tasks. labels: shape (n_tasks,), names; confidence: shape (n_tasks,), in [0, 1].

    Raises InvalidRequest.
    """

    labels: Array
    confidence: Array

    def __post_init__(self) -> None:
        if self.labels.ndim != 1 or self.labels.shape != self.confidence.shape:
            shapes = f"{self.labels.shape} and {self.confidence.shape}"
            raise InvalidRequest(f"need a label and a confidence of each task, have shapes {shapes}")
        # Written so that NaN fails it.
        if not ((self.confidence >= 0) & (self.confidence <= 1)).all():
            raise InvalidRequest("a confidence lies between 0 and 1")

    def of(self, is_wanted: Array) -> Predictions:
        """Those that are wanted. is_wanted: shape (n_tasks,), bool."""
        return Predictions(self.labels[is_wanted], self.confidence[is_wanted])

    def are_right(self, truth: Array) -> Array:
        """Which of them are what people say. truth: shape (n_tasks,), label names. Returns shape (n_tasks,), bool."""
        return np.asarray(self.labels == truth)

    def pairs(self) -> Iterable[tuple[str, float]]:
        """Label and confidence of each task, in order."""
        return zip(map(str, self.labels.tolist()), self.confidence.tolist(), strict=True)


def most_probable(proba: Array, classes: Array) -> Predictions:
    """The most probable label of each task. proba: shape (n_tasks, n_classes); classes: shape (n_classes,), names."""
    if not len(proba):
        return Predictions(classes[:0], np.zeros(0))
    # Rounding may leave a probability a hair above 1.
    return Predictions(classes[proba.argmax(axis=1)], np.minimum(proba.max(axis=1), 1.0))


def top_k(proba: Array, classes: Array, k: int, boost: Array | float = 0.0) -> list[list[tuple[str, float]]]:
    """The k most probable labels of each task with their probabilities, the best first; fewer where there are fewer.

    boost: what is added to a probability before they are compared. Of equals the first class comes first.
    """
    best = np.argsort(-(proba + boost), axis=1, kind="stable")[:, :k]
    return [
        [(str(classes[column]), float(row[column])) for column in columns]
        for row, columns in zip(proba, best, strict=True)
    ]
