"""Steps along a line, against SciPy's translation of MINPACK-2."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize._dcsrch import DCSRCH
from scipy.special import expit

from label_studio_al.learning.wolfe import CURVATURE, DECREASE, MOST_TRIES, Point, Search, is_enough

Line = Callable[[float], tuple[float, float]]


def logistic_line(seed: int) -> Line:
    """A regression's loss along a line that leads downhill."""
    random = np.random.default_rng(seed)
    at, ahead = random.normal(0, 2, 30), random.normal(0, 10 ** random.uniform(-2, 2), 30)
    y = random.integers(2, size=30)
    if (ahead * (expit(at) - y)).mean() > 0:
        ahead = -ahead

    def line(step: float) -> tuple[float, float]:
        raw = at + step * ahead
        return float((np.logaddexp(0, raw) - y * raw).mean()), float((ahead * (expit(raw) - y)).mean())

    return line


def wavy_line(seed: int) -> Line:
    """With hills on the way: the first of Moré and Thuente's test functions, and waves."""
    random = np.random.default_rng(seed)
    a, height, width = random.uniform(0.5, 5), random.uniform(0, 0.5), random.uniform(1, 8)

    def line(step: float) -> tuple[float, float]:
        loss = -step / (step**2 + a) + height / width * np.sin(width * step) * step / 10
        slope = (step**2 - a) / (step**2 + a) ** 2
        slope += height / width / 10 * (np.sin(width * step) + width * step * np.cos(width * step))
        return float(loss), float(slope)

    return line


def ours(line: Line, first: float) -> list[float]:
    begin = Point(0.0, *line(0.0))
    search, steps = Search(begin, first), [first]
    while len(steps) < MOST_TRIES and not search.is_over:
        here = Point(steps[-1], *line(steps[-1]))
        if is_enough(*here, begin.loss, begin.slope):
            break
        steps.append(search.after(here))
    return steps


def theirs(line: Line, first: float) -> list[float]:
    steps: list[float] = []

    def loss(step: float) -> float:
        steps.append(float(step))
        return line(step)[0]

    search = DCSRCH(loss, lambda step: line(step)[1], DECREASE, CURVATURE, 0.1, 0.0, 1e10)
    loss_at, slope_at = line(0.0)
    search(first, phi0=loss_at, derphi0=slope_at, maxiter=MOST_TRIES)
    return steps


@pytest.mark.parametrize("first", [1e-4, 0.02, 1.0, 50.0])
@pytest.mark.parametrize("kind", [logistic_line, wavy_line])
def test_steps_are_those_of_minpack(kind: Callable[[int], Line], first: float) -> None:
    for seed in range(100):
        line = kind(seed)
        assert ours(line, first) == pytest.approx(theirs(line, first), rel=1e-6), seed


def test_several_steps_are_tried_where_the_first_is_not_enough() -> None:
    kinds = (logistic_line, wavy_line)
    n_tried = [len(ours(kind(seed), first)) for kind in kinds for first in (1e-4, 50.0) for seed in range(100)]
    assert sum(n > 2 for n in n_tried) > 100
