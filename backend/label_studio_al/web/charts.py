"""Where a chart's points lie. `templates/charts.html` draws them, `static/page.css` gives them their colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

# In the units of the drawing, of which the page makes its own size: the plot, and beside it room for the axes' words.
WIDTH, HEIGHT = 640, 260
LEFT, TOP, RIGHT, BOTTOM = 46, 10, 615, 230
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Tick:
    """A word at a place of an axis."""

    at: float
    word: str


@dataclass(frozen=True)
class Series:
    """A line through points (x, y), and their intervals (x, low, high). name: a class of the style sheet."""

    name: str
    points: tuple[tuple[float, float], ...]
    intervals: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True)
class Chart:
    """Shares, from 0 to 1 upwards, against another quantity. Series are drawn in their order."""

    box: ClassVar[dict[str, int]] = {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": RIGHT,
        "bottom": BOTTOM,
    }
    across: tuple[Tick, ...]
    series: tuple[Series, ...]

    @property
    def upwards(self) -> tuple[Tick, ...]:
        """Words of the upright axis."""
        return tuple(Tick(_height(share), f"{100 * share:.0f} %") for share in _SHARES)


def learning_curve(audit: Sequence[dict[str, Any]], baseline: Sequence[dict[str, Any]]) -> Chart:
    """Accuracy against the number of labels, on an axis of doublings. Its numbers stand in a table beside it."""
    counts = [point["n_labels"] for point in (*audit, *baseline)]
    first, last = math.floor(math.log2(min(counts))), math.ceil(math.log2(max(counts)))
    last = max(last, first + 1)

    def place(n_labels: float) -> float:
        return _across((math.log2(n_labels) - first) / (last - first))

    def series(name: str, points: Sequence[dict[str, Any]]) -> Series:
        found = [(place(point["n_labels"]), point["accuracy"]) for point in points]
        return Series(
            name,
            tuple((x, _height(accuracy["value"])) for x, accuracy in found),
            tuple((x, _height(accuracy["low"]), _height(accuracy["high"])) for x, accuracy in found),
        )

    ticks = tuple(Tick(place(2.0**one), f"{2**one:,}") for one in range(first, last + 1))
    return Chart(ticks, (series("baseline", baseline), series("audit", audit)))


def automation_curve(points: Sequence[dict[str, Any]]) -> Chart:
    """Which share of the pool could be labelled automatically, against the error rate that is promised."""
    rates = [point["max_error"] for point in points]
    highest = max(rates)
    # The small rates lie too close together for a word each.
    ticks = tuple(Tick(_across(rate / highest), f"{100 * rate:g} %") for rate in rates if rate >= highest / 8)
    line = tuple((_across(point["max_error"] / highest), _height(point["share"])) for point in points)
    return Chart(ticks, (Series("audit", line),))


def _across(part: float) -> float:
    return round(LEFT + part * (RIGHT - LEFT), 1)


def _height(share: float) -> float:
    return round(BOTTOM - share * (BOTTOM - TOP), 1)
