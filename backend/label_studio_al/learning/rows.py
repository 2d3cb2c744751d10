"""Features of many tasks: one or more views, side by side, each sparse or dense."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest

# Inner products kept at a time: 16 MB in single precision.
MAX_PRODUCTS = 4_000_000
# Rows that are worked on at a time where all at once would need too much memory.
ROWS_AT_ONCE = 65_536
# Weights that stay in the processor's cache: 4 MB in single precision.
CACHED_WEIGHTS = 1 << 20


@dataclass(frozen=True)
class Weights:
    """Weights of some columns; all others weigh nothing.

    columns: shape (n_some,), ascending. values: shape (n_some, n_outputs). n_columns: how many columns there are.
    """

    columns: Array
    values: Array
    n_columns: int

    @classmethod
    def of(cls, dense: Array) -> Weights:
        """Of all columns. dense: shape (n_columns,) or (n_columns, n_outputs)."""
        wide = dense[:, None] if dense.ndim == 1 else dense
        columns = np.flatnonzero(wide.any(axis=1))
        return cls(columns, wide[columns].astype(np.float32, copy=False), len(dense))

    @classmethod
    def beside(cls, parts: Sequence[Weights]) -> Weights:
        """The outputs of all parts, one after the other. parts: one or more. Raises InvalidRequest."""
        if len(counts := {part.n_columns for part in parts}) > 1:
            came = " and ".join(map(str, sorted(counts)))
            raise InvalidRequest(f"models need the same features, have {came} columns")
        columns = np.unique(np.concatenate([part.columns for part in parts]))
        values = np.zeros((len(columns), sum(part.n_outputs for part in parts)), np.float32)
        first = 0
        for part in parts:
            values[np.searchsorted(columns, part.columns), first : first + part.n_outputs] = part.values
            first += part.n_outputs
        return cls(columns, values, parts[0].n_columns)

    @property
    def n_outputs(self) -> int:
        """How many sums they make of a row."""
        return int(self.values.shape[1])

    def among(self, first: int, last: int) -> Array:
        """Those of consecutive columns. Returns shape (last - first, n_outputs)."""
        return self._dense[first:last] if self._is_cached else self._table[self._place[first:last]]

    def product(self, view: Any, first: int) -> Array:
        """Weighted sums of a view's columns, which begin with column `first`. Returns shape (n_tasks, n_outputs)."""
        last = first + view.shape[1]
        if self._is_cached or not sp.issparse(view):
            return np.asarray(view @ self.among(first, last))
        return np.asarray(renumbered(view, self._place[first:last], len(self._table)) @ self._table)

    @property
    def _is_cached(self) -> bool:
        return is_cached(self.n_columns, self.n_outputs)

    @cached_property
    def _dense(self) -> Array:
        dense = np.zeros((self.n_columns, self.n_outputs), self.values.dtype)
        dense[self.columns] = self.values
        return dense

    @cached_property
    def _place(self) -> Array:
        """The row of `_table` that each column has."""
        return places(self.columns, self.n_columns)

    @cached_property
    def _table(self) -> Array:
        """The values, and a row for all columns that weigh nothing."""
        return np.concatenate([self.values, np.zeros((1, self.n_outputs), self.values.dtype)])


def is_cached(n_columns: int, n_outputs: int) -> bool:
    """Whether so many weights stay in the processor's cache."""
    return n_columns * n_outputs <= CACHED_WEIGHTS


def places(columns: Array, n_columns: int) -> Array:
    """Where each column stands among some ascending ones; all others behind them. Returns shape (n_columns,)."""
    found = np.full(n_columns, len(columns), dtype=np.int32)
    found[columns] = np.arange(len(columns), dtype=np.int32)
    return found


def renumbered(rows: sp.csr_matrix, place: Array, n_columns: int) -> sp.csr_matrix:
    """The rows with each column at its place, which others may share: a product with fewer columns is quicker."""
    return csr(rows.data, place.take(rows.indices), rows.indptr, n_columns)


def csr(data: Array, indices: Array, indptr: Array, n_columns: int) -> sp.csr_matrix:
    """A matrix of these arrays: given to the constructor, parts of large ones would be copied."""
    made = sp.csr_matrix((len(indptr) - 1, n_columns), dtype=data.dtype)
    made.data, made.indices, made.indptr = data, indices, indptr
    return made


class Rows:
    """The same tasks seen in several ways. Behaves like the matrix that has all views' columns, which is never built.

    views: each of shape (n_tasks, n_columns), sparse (CSR) or dense.
    """

    # Whether `views` costs memory of the size of the pool: then what can be done in blocks is.
    is_lazy = False
    # Whether every feature is known to be a number, and small enough to be squared.
    is_checked = False
    # The tokens of texts in which spans are marked, by the object that shows them.
    sequences: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, views: tuple[Any, ...]) -> None:
        self._views = views

    @property
    def views(self) -> tuple[Any, ...]:
        """What the tasks look like."""
        return self._views

    @property
    def shape(self) -> tuple[int, int]:
        """Number of tasks, and of columns of all views together."""
        return self.views[0].shape[0], sum(view.shape[1] for view in self.views)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, tasks: Any) -> Any:
        """The rows of some tasks (indices, a mask or a slice)."""
        return Rows(tuple(view[tasks] for view in self.views))

    def __matmul__(self, weights: Array) -> Array:
        """Weighted sums of the columns. weights: shape (n_columns, n_outputs). Returns shape (n_tasks, n_outputs)."""
        ends = np.cumsum([view.shape[1] for view in self.views])
        parts = zip(self.views, np.split(weights, ends[:-1]), strict=True)
        return reduce(np.add, (np.asarray(view @ part) for view, part in parts))

    def map_product(self, weights: Weights, work: Callable[[Array], Array]) -> Array:
        """What `work` makes of the rows of the product with weights; given in blocks where there are many.

        work: from shape (n, n_outputs), which it may change, to shape (n, n_results). Returns shape (n_tasks,
        n_results).
        """
        firsts = np.cumsum([0, *(view.shape[1] for view in self.views)])
        return work(reduce(np.add, map(weights.product, self.views, firsts.tolist()[:-1])))


class Selection(Rows):
    """Some tasks of a large pool. Products are taken of the whole pool, which is cheaper than a copy of the rows."""

    is_lazy = True

    @property
    def is_checked(self) -> bool:  # type: ignore[override]
        """As of all tasks."""
        return self._all.is_checked

    def __init__(self, all_tasks: Rows, tasks: Array) -> None:
        self._all = all_tasks
        self._tasks = tasks

    @cached_property
    def views(self) -> tuple[Any, ...]:
        """A copy of the rows."""
        return views_of(self._all[self._tasks])

    @property
    def sequences(self) -> Mapping[str, Any]:  # type: ignore[override]
        """Those of the selected tasks."""
        return {name: own[self._tasks] for name, own in self._all.sequences.items()}

    @property
    def shape(self) -> tuple[int, int]:
        """Number of selected tasks, and of columns."""
        return len(self._tasks), self._all.shape[1]

    def __getitem__(self, tasks: Any) -> Any:
        return self._all[self._tasks[tasks]]

    def __matmul__(self, weights: Array) -> Array:
        return np.asarray((self._all @ weights)[self._tasks])

    def map_product(self, weights: Weights, work: Callable[[Array], Array]) -> Array:
        """Of all tasks, then chosen."""
        return np.take(self._all.map_product(weights, work).T, self._tasks, axis=1).T


# What strategies and classifiers take as X: shape (n_tasks, n_columns).
Matrix: TypeAlias = "sp.csr_matrix | Array | Rows"


def product(X: Matrix, weights: Weights, work: Callable[[Array], Array]) -> Array:
    """As of `Rows.map_product`. Raises InvalidRequest where X has other columns."""
    if X.shape[1] != weights.n_columns:
        raise InvalidRequest(f"features must have {weights.n_columns} columns, not {X.shape[1]}")
    rows = X if isinstance(X, Rows) else Rows((X,))
    return rows.map_product(weights, work)


def selected(X: Matrix, tasks: Array) -> Matrix:
    """The rows of some tasks, without a copy where that would be large."""
    return Selection(X, tasks) if isinstance(X, Rows) and X.is_lazy else X[tasks]


def views_of(X: Matrix) -> tuple[Any, ...]:
    """The views of X; a plain matrix is its own only view."""
    return X.views if isinstance(X, Rows) else (X,)


def squared_norms(X: Matrix) -> Array:
    """Squared Euclidean length of each row. Returns shape (n_tasks,)."""
    if isinstance(X, Rows) and X.is_lazy:
        parts = (squared_norms(Rows(views_of(X[block]))) for block in blocks(len(X)))
        return np.concatenate([np.zeros(0, np.float32), *parts])
    return reduce(np.add, (_squared_norms(view) for view in views_of(X)))


def inner(X: Matrix, others: Matrix) -> Array:
    """Inner product of each row with each of a few other rows. Returns shape (n_tasks, n_others), dense."""
    pairs = zip(views_of(X), views_of(others), strict=True)
    return reduce(np.add, (_dense(view @ other.T) for view, other in pairs))


def inner_blocks(X: Matrix, others: Matrix) -> Iterator[tuple[slice, Array]]:
    """`inner`, a block of tasks at a time: which tasks, and their products."""
    for block in blocks(X.shape[0], max(1, MAX_PRODUCTS // max(1, others.shape[0]))):
        yield block, inner(X[block], others)


def blocks(n_rows: int, height: int = ROWS_AT_ONCE) -> Iterator[slice]:
    """Consecutive parts of so many rows, `height` at most in each."""
    for first in range(0, n_rows, height):
        yield slice(first, min(first + height, n_rows))


def dense_row(X: Matrix, task: int) -> Array:
    """All columns of one task. Returns shape (n_columns,)."""
    return np.concatenate([_dense(view).ravel() for view in views_of(X[[task]])])


def weighted_sum(weights: Array, X: Matrix) -> Array:
    """Sum of the rows, each times its weight. weights: shape (n_tasks,). Returns shape (n_columns,)."""
    if isinstance(X, Rows) and X.is_lazy:
        parts = (weighted_sum(weights[block], Rows(views_of(X[block]))) for block in blocks(len(X)))
        return reduce(np.add, parts, np.zeros(X.shape[1], np.float32))
    return np.concatenate([np.asarray(view.T @ weights) for view in views_of(X)])


def is_finite(X: Matrix) -> bool:
    """Whether every feature is a number, and small enough to be squared."""
    if isinstance(X, Rows) and X.is_checked:
        return True
    with np.errstate(all="ignore"):
        values = (np.ravel(view.data if sp.issparse(view) else view) for view in views_of(X))
        return all(np.isfinite(np.dot(view, view)) for view in values)


def _dense(product: Any) -> Array:
    return np.asarray(product.toarray() if sp.issparse(product) else product)


def _squared_norms(view: Any) -> Array:
    if not sp.issparse(view):
        return np.asarray(np.einsum("ij,ij->i", view, view))
    return np.asarray(view.multiply(view).sum(axis=1)).ravel()


def unit_rows(rows: Array) -> Array:
    """Dense rows scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), dtype=np.float32)
