"""What learning curves say: labels needed, area, seconds."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.integrate import trapezoid
from scipy.stats import t

from backend.learning.types import Array
from backend.simulate.replay import Point, Run

SHARES = (0.90, 0.95, 1.00)


@dataclass(frozen=True)
class Curve:
    """One strategy's score by the number of labels, over seeds.

    n_labels: shape (n_points,), ascending. scores, seconds: shape (n_seeds, n_points).
    """

    strategy: str
    n_labels: Array
    scores: Array
    seconds: Array

    @property
    def mean(self) -> Array:
        """Mean over seeds. Shape (n_points,)."""
        return np.asarray(self.scores.mean(axis=0))

    @property
    def error(self) -> Array:
        """Standard error of the mean, 0 with one seed. Shape (n_points,)."""
        n_seeds = len(self.scores)
        if n_seeds < 2:
            return np.zeros(len(self.n_labels))
        return np.asarray(self.scores.std(axis=0, ddof=1) / np.sqrt(n_seeds))

    def interval(self) -> tuple[Array, Array]:
        """The mean's 95 % interval (Student's t), within 0 and 1: its lower and its upper ends."""
        width = t.ppf(0.975, max(1, len(self.scores) - 1)) * self.error
        return np.maximum(self.mean - width, 0.0), np.minimum(self.mean + width, 1.0)

    def at(self, n_labels: float) -> float:
        """The mean score after so many labels, between two points in a straight line."""
        return float(np.interp(n_labels, self.n_labels, self.mean))

    def labels_to(self, target: float) -> float | None:
        """Labels after which the mean first reaches a score; None if never. The first batch is the least there is."""
        reached = np.flatnonzero(self.mean >= target)
        if not len(reached):
            return None
        after = reached[0]
        if after == 0:
            return float(self.n_labels[0])
        before = after - 1
        share = (target - self.mean[before]) / (self.mean[after] - self.mean[before])
        return float(self.n_labels[before] + share * (self.n_labels[after] - self.n_labels[before]))

    def area(self) -> float:
        """Area under the mean curve over its width: the mean score from the first batch to the budget."""
        if len(self.n_labels) < 2:
            return float(self.mean[0])
        return float(trapezoid(self.mean, self.n_labels) / (self.n_labels[-1] - self.n_labels[0]))

    def seconds_a_turn(self) -> float:
        """The median over turns and seeds."""
        return float(np.median(self.seconds))


def curves_of(runs: Mapping[Run, Sequence[Point]], metric: str) -> list[Curve]:
    """One curve a strategy, in the order of the runs."""
    by_strategy: dict[str, list[Sequence[Point]]] = {}
    for run, points in runs.items():
        by_strategy.setdefault(run.strategy, []).append(points)
    return [
        Curve(
            strategy,
            np.array([point.n_labels for point in seeds[0]]),
            np.array([[getattr(point, metric) for point in points] for points in seeds]),
            np.array([[point.seconds for point in points] for points in seeds]),
        )
        for strategy, seeds in by_strategy.items()
    ]


def table(curves: Sequence[Curve], full: float) -> list[list[str]]:
    """A header and one line a strategy: labels to shares of the full score ("-" if never), area, seconds a turn."""
    header = ["strategy", *(f"labels to {share:.0%}" for share in SHARES), "area", "seconds a turn"]
    return [header, *(_line(curve, full) for curve in curves)]


def _line(curve: Curve, full: float) -> list[str]:
    needed = [curve.labels_to(share * full) for share in SHARES]
    labels = ["-" if n is None else f"{n:.0f}" for n in needed]
    return [curve.strategy, *labels, f"{curve.area():.4f}", f"{curve.seconds_a_turn():.3f}"]


def as_numbers(curves: Sequence[Curve], full: float) -> list[dict[str, Any]]:
    """What the table says, not rounded; None for a share that is never reached."""
    return [
        {
            "strategy": curve.strategy,
            "labels_to_share": {f"{share:.2f}": curve.labels_to(share * full) for share in SHARES},
            "area": curve.area(),
            "seconds_a_turn": curve.seconds_a_turn(),
            "final_score": float(curve.mean[-1]),
        }
        for curve in curves
    ]


def as_text(lines: Sequence[Sequence[str]]) -> str:
    """A table for a terminal: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) if place else cell.ljust(width) for place, (cell, width) in enumerate(cells))
        for cells in (list(zip(line, widths, strict=True)) for line in lines)
    )


def as_csv(lines: Sequence[Sequence[str]]) -> str:
    """The same table for programs."""
    content = io.StringIO()
    csv.writer(content, lineterminator="\n").writerows(lines)
    return content.getvalue()
