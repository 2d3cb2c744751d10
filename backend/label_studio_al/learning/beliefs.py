"""What a model says of tasks, whatever was asked: categorical decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from label_studio_al.learning.types import Array

# From decisions, shape (n_decisions, n_classes), to a value of each: how uncertain it is. Of two classes it depends on
# how far apart their probabilities are, and falls with that.
Measure: TypeAlias = Callable[[Array], Array]


@dataclass(frozen=True)
class Beliefs:
    """The same decisions of each task.

    proba: shape (n_tasks, n_decisions, n_classes), sums to 1 over the classes. classes: shape (n_classes,), what each
    column says. names: shape (n_decisions,), what each decides on. One label out of K is one decision of K classes.
    Of K labels any number is K decisions of two: not this label, or this label. thresholds: shape (n_decisions,), from
    which probability of the last class on it is decided for, where there are two.
    """

    proba: Array
    classes: Array
    names: Array
    thresholds: Array | None = None

    def __len__(self) -> int:
        return len(self.proba)

    def __getitem__(self, tasks: Array) -> Beliefs:
        """Of some tasks (indices)."""
        return replace(self, proba=self.proba[tasks])

    def followed_by(self, others: Sequence[Beliefs]) -> Beliefs:
        """Of these tasks, then of those of others, which tell the same classes apart."""
        return replace(self, proba=np.concatenate([self.proba, *(one.proba for one in others)]))

    @property
    def rows(self) -> Array:
        """A decision a row. Returns shape (n_tasks * n_decisions, n_classes)."""
        return self.proba.reshape(-1, self.proba.shape[2])

    @property
    def wide(self) -> Array:
        """A task a row. Returns shape (n_tasks, n_decisions * n_classes)."""
        return self.proba.reshape(len(self.proba), self.proba.shape[1] * self.proba.shape[2])

    @property
    def centred(self) -> Beliefs:
        """As of a model that decides at one half: what is uncertain lies around the threshold of each decision.

        The odds of each decision are divided by those of its threshold.
        """
        if self.thresholds is None:
            return self
        present, absent = self.proba[:, :, 1] * (1 - self.thresholds), self.proba[:, :, 0] * self.thresholds
        present = present / (present + absent)
        return Beliefs(np.stack([1 - present, present], axis=2), self.classes, self.names)

    @property
    def decided(self) -> Array:
        """The most probable class of each decision, as its column. Returns shape (n_tasks, n_decisions)."""
        return np.asarray(self.proba.argmax(axis=2))

    def measured(self, measure: Measure) -> Array:
        """What a measure says of each task: of its most uncertain decision. Returns shape (n_tasks,)."""
        return self.gather(measure(self.centred.rows))

    def gather(self, values: Array) -> Array:
        """Values of decisions, as of `rows`, as one value a task: the highest. Returns shape (n_tasks,)."""
        by_task = values.reshape(self.proba.shape[:2])
        return by_task[:, 0] if by_task.shape[1] == 1 else by_task.max(axis=1, initial=0.0)


def one_decision(proba: Array, classes: Array) -> Beliefs:
    """One label out of several. proba: shape (n_tasks, n_classes), rows sum to 1."""
    return Beliefs(proba[:, None, :], classes, np.array([""]))
