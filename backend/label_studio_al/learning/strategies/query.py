"""What a strategy is asked, what it answers, and how values become an order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from label_studio_al.learning import draws
from label_studio_al.learning.beliefs import Beliefs, Measure
from label_studio_al.learning.coding import Learned
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.rows import Matrix, is_finite
from label_studio_al.learning.together import measured
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest


@dataclass(frozen=True)
class Query:
    """Which n tasks of the pool to ask next.

    X: the pool, shape (n_tasks, n_features). Z: the same tasks for distances, best dense and short: shape (n_tasks,
    n_dims), rows of unit length. keys: shape (n_tasks,), what tells the tasks apart wherever they lie (see draws).
    labelled, Z_labelled: the labelled tasks alike.
    batch: how many are asked before the next training; the n tasks are successive batches in order.
    fit: trains a classifier on (X, y). beside: the same tasks with what is known of further questions about them.
    Raises InvalidRequest where features are no numbers or their shapes do not
    fit together.
    """

    X: Matrix
    Z: Matrix
    keys: Array
    labelled: Labelled
    Z_labelled: Matrix
    classifier: Learned | None
    n: int
    batch: int
    seed: int
    fit: Callable[[Matrix, Array], Learned]
    beside: tuple[Query, ...] = ()

    def __post_init__(self) -> None:
        if self.n < 0 or self.batch < 1:
            raise InvalidRequest(f"need n of 0 or more and a batch of 1 or more, have n={self.n}, batch={self.batch}")
        n_labelled = len(self.labelled)
        for pool, labelled in ((self.X, self.labelled.X), (self.Z, self.Z_labelled)):
            if pool.shape[0] != self.n_tasks or labelled.shape[0] != n_labelled:
                came = f"{pool.shape[0]} of {self.n_tasks} tasks and {labelled.shape[0]} of {n_labelled} labelled ones"
                raise InvalidRequest(f"every task needs one row of features, have {came}")
            if pool.shape[1] != labelled.shape[1]:
                came = f"{pool.shape[1]} and {labelled.shape[1]}"
                raise InvalidRequest(f"pool and labelled tasks need the same features, have {came} columns")
        if self.keys.shape != (self.n_tasks,):
            raise InvalidRequest(f"every task needs one key, have {len(self.keys)} for {self.n_tasks}")
        parts = {id(part): part for part in (self.X, self.Z, self.labelled.X, self.Z_labelled)}
        if not all(is_finite(part) for part in parts.values()):
            raise InvalidRequest("features must be finite numbers, have NaN, infinity or some too large to be squared")

    @property
    def questions(self) -> tuple[Query, ...]:
        """What is known of each question."""
        return (self, *self.beside)

    def gather(self, value_of: Callable[[Query], Array]) -> Array:
        """A value of each task from those of its questions: the highest. Returns shape (n_tasks,)."""
        return most_informative([value_of(one) for one in self.questions])

    @property
    def n_tasks(self) -> int:
        """Size of the pool."""
        return int(self.X.shape[0])

    @cached_property
    def beliefs(self) -> Beliefs:
        """What the classifier says of the pool."""
        assert self.classifier
        return self.classifier.believe(self.X)

    def measured(self, measure: Measure) -> Array:
        """What a measure says of each task of the pool, by all questions. Returns shape (n_tasks,)."""
        return most_informative(self.measured_each(measure))

    def measured_each(self, measure: Measure) -> list[Array]:
        """The same by each question. Each of shape (n_tasks,)."""
        models = [one.classifier for one in self.questions if one.classifier]
        assert len(models) == len(self.questions)
        return measured(models, self.X, measure)

    @cached_property
    def beliefs_labelled(self) -> Beliefs:
        """The same for the labelled tasks."""
        assert self.classifier
        return self.classifier.believe(self.labelled.X)

    def require_model(self, strategy: str) -> None:
        """Raise InvalidRequest, in the name of the strategy, where there is no model or nothing labelled."""
        if self.classifier is None or not len(self.labelled):
            found = ", ".join(repr(str(label)) for label in self.labelled.classes) or "none"
            raise InvalidRequest(f"{strategy} needs a model trained on tasks of 2 labels, have {found}")


@dataclass(frozen=True)
class Ranking:
    """Tasks to ask, most informative first.

    tasks: distinct indices into the pool, min(n, n_tasks) of them. informativeness: in [0, 1], never rising.
    """

    tasks: Array
    informativeness: Array


def most_informative(values: Sequence[Array]) -> Array:
    """A value of each task from those of its questions: the highest. values: each of shape (n_tasks,)."""
    return np.asarray(np.maximum.reduce(values))


def in_turns(orders: Sequence[Array], n: int) -> Array:
    """The n first of what several orders ask in turns, each task once. orders: indices, of one length, one or more."""
    tasks = np.column_stack(orders).ravel()
    return np.asarray(tasks[np.sort(np.unique(tasks, return_index=True)[1])][:n])


def by_value(values: Array, query: Query) -> Ranking:
    """The n tasks of the highest values, which are their informativeness, scaled down where they exceed 1."""
    tasks = highest(values, query.keys, query.n, query.seed)
    return Ranking(tasks, values[tasks] / max(1.0, values.max(initial=0.0)))


def by_order(tasks: Array) -> Ranking:
    """Tasks that only have an order."""
    return Ranking(tasks, by_position(np.arange(len(tasks))))


def highest(informativeness: Array, keys: Array, n: int, seed: int) -> Array:
    """Indices of the n most informative tasks, highest first; ties in the tasks' random order.

    informativeness, keys: shape (n_tasks,). Returns shape (min(n, n_tasks),).
    """
    n_tasks = len(informativeness)
    if n_tasks > n > 0:
        least = np.partition(informativeness, n_tasks - n)[n_tasks - n]
        candidates = np.flatnonzero(informativeness >= least)
    else:
        candidates = np.arange(n_tasks)
    tie_break = draws.hashes(keys[candidates], seed, "ties")
    order = np.lexsort((tie_break, -informativeness[candidates]))
    return np.asarray(candidates[order[:n]])


def by_position(positions: Array) -> Array:
    """Informativeness of tasks that have only a place in an order: 1 for the first, falling with the place.

    positions: whole numbers from 0. Returns values in (0, 1], strictly falling, so that later places can always
    be added below.
    """
    return np.asarray(1.0 / (1.0 + positions / 100.0))
