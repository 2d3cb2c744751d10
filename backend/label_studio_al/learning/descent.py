"""The lowest point of a smooth function of many numbers, by the steps of SciPy's L-BFGS-B without bounds.

That one takes longer for its own work than a model of spans for its losses. Source: Liu and Nocedal 1989; Byrd,
Nocedal and Schnabel 1994, theorem 2.2, for the product of what is remembered with a vector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from label_studio_al.learning.types import Array
from label_studio_al.learning.wolfe import MOST_TRIES, Point, Search, is_enough

# From a point to the loss there, and its derivatives.
Loss: TypeAlias = Callable[[Array], tuple[float, Array]]

_EPSILON = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Rules:
    """When it ends, and how many moves tell how the slope changes.

    most_steps: more are not taken. least_fall: a loss that falls by less, relative to itself, has stopped falling.
    least_slope: no derivative is larger at the end.
    """

    most_steps: int
    n_remembered: int
    least_fall: float
    least_slope: float


def lowest(loss_of: Loss, begin: Array, rules: Rules) -> Array:
    """The lowest point that the steps reach. begin: shape (n,), where they begin."""
    here, (loss, slopes) = begin, loss_of(begin)
    moves = _Moves(rules.n_remembered, len(begin))
    for _ in range(rules.most_steps):
        if np.abs(slopes).max(initial=0.0) <= rules.least_slope:
            break
        ahead = moves.downhill(slopes)
        slope = float(slopes @ ahead)
        if slope >= 0:
            # Rounding hides which way is down.
            break
        first = 1.0 if len(moves) else float(1 / np.sqrt(ahead @ ahead))
        step, fallen, there = _search(loss_of, here, ahead, Point(0.0, loss, slope), first)
        here = here + step * ahead
        moves.remember(step * ahead, there - slopes, slope * step)
        fall, loss, slopes = loss - fallen, fallen, there
        if fall <= rules.least_fall * max(abs(loss), abs(loss + fall), 1):
            break
    return here


def _search(loss_of: Loss, here: Array, ahead: Array, begin: Point, first: float) -> tuple[float, float, Array]:
    """How far to go, and loss and derivatives there."""
    search, step = Search(begin, first), first
    loss, slopes = loss_of(here + step * ahead)
    for _ in range(MOST_TRIES):
        now = Point(step, loss, float(slopes @ ahead))
        if search.is_over or is_enough(*now, begin.loss, begin.slope):
            break
        step = search.after(now)
        loss, slopes = loss_of(here + step * ahead)
    return step, loss, slopes


class _Moves:
    """The last steps, and how much each changed the slope; a new one takes the place of the oldest."""

    def __init__(self, n_remembered: int, n: int) -> None:
        self._rows = np.zeros((2, n_remembered, n))
        # Of steps with changes, and of changes with each other.
        self._inner = np.zeros((2, n_remembered, n_remembered))
        self._n = 0

    def __len__(self) -> int:
        return min(self._n, self._rows.shape[1])

    def remember(self, step: Array, change: Array, fall: float) -> None:
        """Unless the slope does not rise along the step. fall: how much the loss would fall at the first slope."""
        if step @ change <= -_EPSILON * fall:
            return
        place = self._n % self._rows.shape[1]
        self._n += 1
        self._rows[:, place] = step, change
        self._inner[:, :, place] = self._rows @ change
        self._inner[1, place] = self._inner[1, :, place]

    def downhill(self, slopes: Array) -> Array:
        """Where they say that the lowest point lies. slopes: shape (n,). Returns this shape."""
        if not self._n:
            return np.asarray(-slopes)
        places = np.arange(self._n - len(self), self._n) % self._rows.shape[1]
        crossed, changes = self._inner[:, places[:, None], places]
        of_steps, of_changes = (self._rows @ slopes)[:, places]
        falls, own = np.triu(crossed), crossed.diagonal()
        scale = own[-1] / changes[-1, -1]
        inner = np.linalg.solve(falls, of_steps)
        outer = np.linalg.solve(falls.T, own * inner + scale * (changes @ inner - of_changes))
        parts = np.zeros((2, self._rows.shape[1]))
        parts[:, places] = outer, -scale * inner
        return np.asarray(-(scale * slopes + parts[0] @ self._rows[0] + parts[1] @ self._rows[1]))
