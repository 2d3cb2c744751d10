"""Logistic regressions of many labels on the same rows, fitted together: one by one they take ten times as long.

The steps are those of SciPy's L-BFGS-B without bounds, of all labels at once. Every vector of weights on the way is a
sum of rows, so it is held as each row's part in it, and inner products of vectors follow from those of rows. Source:
Liu and Nocedal 1989.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning.rows import blocks
from label_studio_al.learning.types import Array
from label_studio_al.learning.wolfe import MOST_TRIES, Point, Search, is_enough

N_REMEMBERED = 10
# Inner products of all rows with each other are kept up to this number of rows; of more they take longer than rows do.
MOST_PRODUCTS = 1_000
# Numbers of a vector of each label, of as many labels as are fitted at a time. Forty such arrays are kept.
NUMBERS_AT_ONCE = 100_000
_EPSILON = float(np.finfo(float).eps)
# A loss that falls by less, relative to itself, has stopped falling.
LEAST_FALL = 64 * _EPSILON


@dataclass(frozen=True)
class Problem:
    """What is fitted.

    views: the rows' columns side by side, each sparse or dense, n rows. has: shape (n, n_labels), 0 or 1. share: shape
    (n, n_labels), how much each row counts, columns sum to 1. penalty: of half the squared weights, beside the loss.
    least_slope: no derivative is larger at the end. most_steps: more are not taken.
    """

    views: Sequence[Any]
    has: Array
    share: Array
    penalty: float
    least_slope: float
    most_steps: int


def fit_together(problem: Problem) -> tuple[Array, Array]:
    """Weights, shape (n_columns, n_labels), and intercepts, shape (n_labels,): as scikit-learn's solver "lbfgs"."""
    rows, (n_rows, n_labels) = _Rows([view.astype(np.float64) for view in problem.views]), problem.has.shape
    parts = blocks(n_labels, max(1, NUMBERS_AT_ONCE // n_rows))
    found = np.concatenate([_fitted(problem, rows, part) for part in parts])
    return rows.weights(found), found[:, -1]


def _fitted(problem: Problem, rows: _Rows, part: slice) -> Array:
    """The vectors of some of the labels."""
    labels = _Labels.beginning(problem, part)
    found = np.zeros_like(labels.vectors)
    left: Array = np.arange(len(found))
    for _ in range(problem.most_steps):
        is_left = rows.are_steep(labels.gradients, problem.least_slope) & ~labels.are_stuck
        found[left[~is_left]] = labels.vectors[~is_left]
        left, labels = left[is_left], labels.some(is_left)
        if not len(left):
            break
        labels.descend(rows)
    found[left] = labels.vectors
    return found


class _Rows:
    """The examples. A vector of weights is given as each row's part in it, and last the intercept.

    Vectors have the shape (n_labels, n_rows + 1).
    """

    def __init__(self, views: Sequence[Any]) -> None:
        self._views = views
        is_small = views[0].shape[0] <= MOST_PRODUCTS
        self._products = sum(_dense(view @ view.T) for view in views) if is_small else None

    def images(self, vectors: Array) -> Array:
        """What each vector makes of each row, and last the intercept: so that inner products are sums of products."""
        if self._products is not None:
            found = vectors[:, :-1] @ self._products
        else:
            pairs = zip(self._views, self._parts(vectors), strict=True)
            found = np.asarray(sum(view @ part for view, part in pairs)).T
        return np.column_stack([found, vectors[:, -1]])

    def are_steep(self, gradients: Array, least_slope: float) -> Array:
        """Whether a derivative of each label is larger. Returns shape (n_labels,), bool."""
        found = np.abs(gradients[:, -1]) > least_slope
        # The quick ones first: mostly, what they show is enough.
        for view in sorted(self._views, key=sp.issparse):
            unknown = np.flatnonzero(~found)
            slopes = view.T @ np.ascontiguousarray(gradients[unknown, :-1].T)
            found[unknown] = np.abs(slopes).max(axis=0, initial=0.0) > least_slope
        return np.asarray(found)

    def weights(self, vectors: Array) -> Array:
        """The weight of each column. Returns shape (n_columns, n_labels)."""
        return np.concatenate(self._parts(vectors))

    def _parts(self, vectors: Array) -> list[Array]:
        by_row = np.ascontiguousarray(vectors[:, :-1].T)
        return [np.asarray(view.T @ by_row) for view in self._views]


@dataclass(frozen=True)
class _Line:
    """Where labels may go.

    raw, ahead: shape (n_labels, n_rows), what the rows get at its beginning, and what each step adds. squares: shape
    (3, n_labels), the squared weights as the coefficients of a parabola in the step.
    """

    has: Array
    share: Array
    raw: Array
    ahead: Array
    squares: Array
    penalty: float

    def at(self, step: Array, some: Any = slice(None)) -> tuple[Array, Array, Array]:
        """Loss, slope along the line, and the loss's derivative by what each row gets. step: shape (n_labels,)."""
        ahead, has, share = self.ahead[some], self.has[some], self.share[some]
        constant, linear, quadratic = self.squares[:, some]
        raw = self.raw[some] + step[:, None] * ahead
        tail = np.exp(-np.abs(raw))
        losses = np.maximum(raw, 0) - raw * has + np.log1p(tail)
        pull = share * (np.where(raw >= 0, 1, tail) / (1 + tail) - has)
        loss = _inner(share, losses) + self.penalty / 2 * (constant + step * (2 * linear + step * quadratic))
        return loss, _inner(pull, ahead) + self.penalty * (linear + step * quadratic), pull


@dataclass(frozen=True)
class _Move:
    """A step, and how the gradient changed, with their images. inverse: of their inner product; 0 where it is none."""

    step: Array
    step_image: Array
    change: Array
    change_image: Array
    inverse: Array

    def some(self, is_kept: Array) -> _Move:
        return _Move(*(one[is_kept] for one in vars(self).values()))


@dataclass
class _Labels:
    """The labels that are still fitted, one a row. scale: of the steepest descent, from the last move."""

    has: Array
    share: Array
    vectors: Array
    images: Array
    gradients: Array
    losses: Array
    scale: Array
    are_stuck: Array
    penalty: float
    moves: list[_Move]

    @classmethod
    def beginning(cls, problem: Problem, part: slice) -> _Labels:
        """Without any weight."""
        given = problem.has[:, part], problem.share[:, part]
        has, share = (np.ascontiguousarray(one.T, dtype=np.float64) for one in given)
        nothing = np.zeros((len(has), has.shape[1] + 1))
        ones = np.ones(len(has))
        made = cls(has, share, nothing, nothing, nothing, ones, ones, ones < 0, problem.penalty, [])
        made.losses, _, pull = made._line(nothing, nothing).at(0 * ones)
        made.gradients = made._gradients(pull)
        return made

    def some(self, is_kept: Array) -> _Labels:
        """Some of the labels."""
        if is_kept.all():
            return self
        arrays = {name: value[is_kept] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return _Labels(**arrays, penalty=self.penalty, moves=[move.some(is_kept) for move in self.moves])

    def descend(self, rows: _Rows) -> None:
        """One step of each label."""
        ahead = self._downhill()
        image = rows.images(ahead)
        slope = _inner(self.gradients, image)
        first = np.ones(len(slope)) if self.moves else 1 / np.sqrt(_inner(ahead, image))
        length, loss, pull = self._search(self._line(ahead, image), slope, first)
        step, step_image = length[:, None] * ahead, length[:, None] * image
        before, self.vectors, self.images = self.gradients, self.vectors + step, self.images + step_image
        self.gradients = self._gradients(pull)
        fall, self.losses = self.losses - loss, loss
        self.are_stuck = fall <= LEAST_FALL * np.maximum(np.maximum(abs(loss), abs(loss + fall)), 1)
        change = self.gradients - before
        change_image = rows.images(change)
        curvature = _inner(step, change_image)
        is_curved = curvature > _EPSILON * -slope * length
        inverse = np.divide(1, curvature, out=np.zeros_like(curvature), where=is_curved)
        self.scale = np.divide(curvature, _inner(change, change_image), out=self.scale.copy(), where=is_curved)
        self.moves = [*self.moves[1 - N_REMEMBERED :], _Move(step, step_image, change, change_image, inverse)]

    def _downhill(self) -> Array:
        """Where the last moves say that the lowest point lies: L-BFGS in two loops."""
        ahead, shares = -self.gradients, []
        for move in reversed(self.moves):
            shares.append(move.inverse * _inner(move.step_image, ahead))
            ahead -= shares[-1][:, None] * move.change
        ahead *= self.scale[:, None]
        for move in self.moves:
            share = shares.pop() - move.inverse * _inner(move.change_image, ahead)
            ahead += share[:, None] * move.step
        return ahead

    def _line(self, ahead: Array, image: Array) -> _Line:
        """From the present vectors in these directions."""
        raw, moved = (one[:, :-1] + one[:, -1:] for one in (self.images, image))
        pairs = ((self.vectors, self.images), (self.vectors, image), (ahead, image))
        squares = np.array([_inner(one[:, :-1], other[:, :-1]) for one, other in pairs])
        return _Line(self.has, self.share, raw, moved, squares, self.penalty)

    def _gradients(self, pull: Array) -> Array:
        return np.column_stack([pull + self.penalty * self.vectors[:, :-1], pull.sum(axis=1)])

    def _search(self, line: _Line, slope: Array, first: Array) -> tuple[Array, Array, Array]:
        """How far each label goes, and what `_Line.at` says there."""
        # Where rounding hides which way is down, labels stay.
        step = np.where(slope < 0, first, 0.0)
        loss, now, pull = line.at(step)
        left = np.flatnonzero((slope < 0) & ~is_enough(step, loss, now, self.losses, slope))
        begins = np.column_stack([self.losses, slope, first])[left].tolist()
        searches = {
            label: Search(Point(0.0, loss_there, slope_there), length)
            for label, (loss_there, slope_there, length) in zip(left.tolist(), begins, strict=True)
        }
        for _ in range(MOST_TRIES):
            if not len(left):
                break
            here = np.column_stack([step, loss, now])[left].tolist()
            tried = [searches[label] for label in left.tolist()]
            step[left] = [search.after(Point(*point)) for search, point in zip(tried, here, strict=True)]
            loss[left], now[left], pull[left] = line.at(step[left], left)
            are_over = np.array([search.is_over for search in tried])
            left = left[~(are_over | is_enough(step[left], loss[left], now[left], self.losses[left], slope[left]))]
        return step, loss, pull


def _inner(one: Array, other: Array) -> Array:
    """Inner product of each row with its counterpart. Returns shape (n_rows,)."""
    return np.asarray(np.einsum("ij,ij->i", one, other))


def _dense(product: Any) -> Array:
    return np.asarray(product.toarray() if sp.issparse(product) else product)
