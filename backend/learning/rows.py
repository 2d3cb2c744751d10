"""Features of many tasks: one or more views, side by side, each sparse or dense."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import row_norms

from backend.learning.types import Array

# Inner products kept at a time: 16 MB in single precision.
MAX_PRODUCTS = 4_000_000


@dataclass(frozen=True)
class Rows:
    """The same tasks seen in several ways. views: each of shape (n_tasks, n_columns), sparse (CSR) or dense.

    Behaves like the matrix that has all views' columns, which is never built.
    """

    views: tuple[Any, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of tasks, and of columns of all views together."""
        return self.views[0].shape[0], sum(view.shape[1] for view in self.views)

    def __len__(self) -> int:
        return int(self.views[0].shape[0])

    def __getitem__(self, tasks: Any) -> Rows:
        """The rows of some tasks (indices, a mask or a slice)."""
        return Rows(tuple(view[tasks] for view in self.views))

    def __matmul__(self, weights: Array) -> Array:
        """Weighted sums of the columns. weights: shape (n_columns, n_outputs). Returns shape (n_tasks, n_outputs)."""
        ends = np.cumsum([view.shape[1] for view in self.views])
        parts = zip(self.views, np.split(weights, ends[:-1]), strict=True)
        return reduce(np.add, (np.asarray(view @ part) for view, part in parts))


# What strategies and classifiers take as X: shape (n_tasks, n_columns).
Matrix: TypeAlias = "sp.csr_matrix | Array | Rows"


def views_of(X: Matrix) -> tuple[Any, ...]:
    """The views of X; a plain matrix is its own only view."""
    return X.views if isinstance(X, Rows) else (X,)


def squared_norms(X: Matrix) -> Array:
    """Squared Euclidean length of each row. Returns shape (n_tasks,)."""
    return reduce(np.add, (row_norms(view, squared=True) for view in views_of(X)))


def inner(X: Matrix, others: Matrix) -> Array:
    """Inner product of each row with each of a few other rows. Returns shape (n_tasks, n_others), dense."""
    pairs = zip(views_of(X), views_of(others), strict=True)
    return reduce(np.add, (_dense(view @ other.T) for view, other in pairs))


def inner_blocks(X: Matrix, others: Matrix) -> Iterator[tuple[slice, Array]]:
    """`inner`, a block of tasks at a time: which tasks, and their products."""
    n_tasks, height = X.shape[0], max(1, MAX_PRODUCTS // max(1, others.shape[0]))
    for first in range(0, n_tasks, height):
        block = slice(first, min(first + height, n_tasks))
        yield block, inner(X[block], others)


def dense_row(X: Matrix, task: int) -> Array:
    """All columns of one task. Returns shape (n_columns,)."""
    return np.concatenate([_dense(view[[task]]).ravel() for view in views_of(X)])


def weighted_sum(weights: Array, X: Matrix) -> Array:
    """Sum of the rows, each times its weight. weights: shape (n_tasks,). Returns shape (n_columns,)."""
    return np.concatenate([np.asarray(view.T @ weights) for view in views_of(X)])


def is_finite(X: Matrix) -> bool:
    """Whether every feature is a number, and small enough to be squared."""
    with np.errstate(all="ignore"):
        values = (np.ravel(view.data if sp.issparse(view) else view) for view in views_of(X))
        return all(np.isfinite(np.dot(view, view)) for view in values)


def _dense(product: Any) -> Array:
    return np.asarray(product.toarray() if sp.issparse(product) else product)


def unit_rows(rows: Array) -> Array:
    """Dense rows scaled to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def stacked(first: Rows, second: Rows) -> Rows:
    """The rows of both, one after the other."""
    pairs = zip(first.views, second.views, strict=True)
    return Rows(tuple(sp.vstack(pair, format="csr") if sp.issparse(pair[0]) else np.vstack(pair) for pair in pairs))
