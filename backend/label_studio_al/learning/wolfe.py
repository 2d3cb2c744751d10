"""How far to go along a line downhill: steps that make both loss and slope much smaller (Wolfe's conditions)."""

from __future__ import annotations

from math import copysign, sqrt
from typing import Any, NamedTuple, TypeVar

from label_studio_al.learning.types import Array

# Of one line or of each of several.
Number = TypeVar("Number", float, Array)

# As in SciPy's L-BFGS-B.
DECREASE, CURVATURE = 1e-3, 0.9
MOST_TRIES = 50
_LEAST_FURTHER, _MOST_FURTHER = 1.1, 4.0
_SHRINKING = 0.66
# A bracket that is so short, relative to its end, holds nothing better.
_NARROW = 0.1


class Point(NamedTuple):
    """A step from the beginning of the line, with the loss there and how steep it is."""

    step: float
    loss: float
    slope: float


def is_enough(step: Number, loss: Number, slope: Number, first_loss: Number, first_slope: Number) -> Any:
    """Whether steps keep Wolfe's strong conditions. Shapes (n,), as of `Point`; the last two at the beginning."""
    falls = loss <= first_loss + DECREASE * step * first_slope
    return falls & (abs(slope) <= CURVATURE * abs(first_slope))


class Search:
    """The next step to try on one line, as long as none is enough. Source: Moré and Thuente 1994.

    is_over: whether the last step that `after` gave is to be taken, whatever is found there.
    """

    def __init__(self, begin: Point, first: float) -> None:
        """first: the step that was tried first."""
        self._best = self._other = begin
        self._decrease = DECREASE * begin.slope
        self._begin = begin
        self.is_over = False
        self._is_bracketed = False
        self._is_modified = True
        self._limits = (0.0, (1 + _MOST_FURTHER) * first)
        self._widths = (float("inf"), float("inf"))

    def after(self, here: Point) -> float:
        """The step to try after this one."""
        wanted = self._begin.loss + here.step * self._decrease
        if here.loss <= wanted and here.slope >= 0:
            self._is_modified = False
        if self._is_modified and wanted < here.loss <= self._best.loss:
            # Too little of a decrease, yet lower than all others: the loss is taken relative to the decrease wanted.
            best, other = self._lowered(self._best), self._lowered(self._other)
            best, other, step = self._trial(best, other, self._lowered(here))
            self._best, self._other = self._raised(best), self._raised(other)
        else:
            self._best, self._other, step = self._trial(self._best, self._other, here)
        low, high = sorted((self._best.step, self._other.step))
        if self._is_bracketed:
            if high - low >= _SHRINKING * self._widths[1]:
                step = (low + high) / 2
            self._widths = (high - low, self._widths[0])
            self._limits = (low, high)
            self.is_over = not low < step < high or high - low <= _NARROW * high
            return self._best.step if self.is_over else step
        ahead = step - self._best.step
        self._limits = (step + _LEAST_FURTHER * ahead, step + _MOST_FURTHER * ahead)
        return step

    def _lowered(self, point: Point) -> Point:
        return Point(point.step, point.loss - point.step * self._decrease, point.slope - self._decrease)

    def _raised(self, point: Point) -> Point:
        return Point(point.step, point.loss + point.step * self._decrease, point.slope + self._decrease)

    def _trial(self, best: Point, other: Point, here: Point) -> tuple[Point, Point, float]:
        """The best point, the other end of the bracket, and the step to try, by cubics and secants through them."""
        is_beyond = here.slope * best.slope < 0
        if here.loss > best.loss:
            cubic = _cubic(best, here)
            fall = (best.loss - here.loss) / (here.step - best.step) + best.slope
            parabola = best.step + best.slope / fall / 2 * (here.step - best.step)
            is_near = abs(cubic - best.step) < abs(parabola - best.step)
            self._is_bracketed = True
            return best, here, cubic if is_near else (cubic + parabola) / 2
        if is_beyond:
            cubic, secant = _cubic(best, here), _secant(best, here)
            self._is_bracketed = True
            return here, best, cubic if abs(cubic - here.step) > abs(secant - here.step) else secant
        if abs(here.slope) < abs(best.slope):
            step = self._further(best, other, here)
        elif self._is_bracketed:
            step = _cubic(other, here)
        else:
            step = self._limits[here.step > best.step]
        return here, other, step

    def _further(self, best: Point, other: Point, here: Point) -> float:
        """Where the slope flattens: beyond `here`, but not too far."""
        secant, end = _secant(best, here), self._limits[here.step > best.step]
        cubic = _cubic(best, here, otherwise=end)
        is_nearer = abs(cubic - here.step) < abs(secant - here.step)
        if not self._is_bracketed:
            return min(max(secant if is_nearer else cubic, self._limits[0]), self._limits[1])
        step, most = cubic if is_nearer else secant, here.step + _SHRINKING * (other.step - here.step)
        return min(most, step) if here.step > best.step else max(most, step)


def _secant(best: Point, here: Point) -> float:
    """Where a line through both slopes is 0."""
    return here.step + here.slope / (here.slope - best.slope) * (best.step - here.step)


def _cubic(best: Point, here: Point, otherwise: float | None = None) -> float:
    """Where the cubic through both points is lowest. otherwise: instead, if that is not beyond `here`."""
    theta = 3 * (best.loss - here.loss) / (here.step - best.step) + best.slope + here.slope
    size = max(abs(theta), abs(best.slope), abs(here.slope))
    root = size * sqrt(max(0.0, (theta / size) ** 2 - best.slope / size * (here.slope / size)))
    root = copysign(root, best.step - here.step)
    bend = 2 * root - here.slope + best.slope
    share = (root - here.slope + theta) / bend if bend else 0.5
    if otherwise is not None and (share >= 0 or root == 0):
        return otherwise
    return here.step + share * (best.step - here.step)
