"""What learning curves say: labels needed, area, seconds, and how far each strategy is from random."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.integrate import trapezoid
from scipy.stats import t

from label_studio_al.learning.asking import RANDOM
from label_studio_al.learning.coding import is_error
from label_studio_al.learning.types import Array
from label_studio_al.simulate.replay import Point, Run

SHARES = (0.90, 0.95, 1.00)
# Where strategies are compared beside the area, and at the budget.
COMPARED_AT = (100, 200)
CONFIDENCE = 0.95
_NAME_CHARACTERS = 60
_CHARACTERS = " characters"


@dataclass(frozen=True)
class Curve:
    """One strategy's score by the number of labels, over seeds.

    n_labels: shape (n_points,), ascending. scores, seconds: shape (n_seeds, n_points). n_characters: alike, of the
    texts read up to there; None where strategies are not compared by that. is_error: whether a score is the better the
    lower it is; every other one lies between 0 and 1.
    """

    strategy: str
    n_labels: Array
    scores: Array
    seconds: Array
    n_characters: Array | None = None
    is_error: bool = False

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
        """The mean's 95 % interval (Student's t), within what a score may be: its lower and its upper ends."""
        width = t.ppf((1 + CONFIDENCE) / 2, max(1, len(self.scores) - 1)) * self.error
        return np.maximum(self.mean - width, 0.0), np.minimum(self.mean + width, np.inf if self.is_error else 1.0)

    def at(self, n_labels: float) -> float:
        """The mean score after so many labels, between two points in a straight line."""
        return float(self.scores_at(n_labels).mean())

    def scores_at(self, n_labels: float) -> Array:
        """As `at`, of each seed. Shape (n_seeds,)."""
        return np.array([np.interp(n_labels, self.n_labels, scores) for scores in self.scores])

    def scores_after(self, n_characters: float) -> Array:
        """The score of each seed when it has read so many characters, as of `scores_at`. Shape (n_seeds,)."""
        assert self.n_characters is not None
        return np.array([np.interp(n_characters, *one) for one in zip(self.n_characters, self.scores, strict=True)])

    def labels_to(self, target: float) -> float | None:
        """Labels after which the mean first reaches a score; None if never. The first batch is the least there is."""
        reached = np.flatnonzero(self.mean <= target if self.is_error else self.mean >= target)
        if not len(reached):
            return None
        after = reached[0]
        if after == 0:
            return float(self.n_labels[0])
        before = after - 1
        share = (target - self.mean[before]) / (self.mean[after] - self.mean[before])
        return float(self.n_labels[before] + share * (self.n_labels[after] - self.n_labels[before]))

    def labels_to_share(self, share: float, full: float) -> float | None:
        """As `labels_to`, of a share of the full score; of an error, where the full one is that share of it."""
        return self.labels_to(full / share if self.is_error else share * full)

    def area(self) -> float:
        """Area under the mean curve over its width: the mean score from the first batch to the budget."""
        return float(self.areas().mean())

    def areas(self) -> Array:
        """The area of each seed's curve. Shape (n_seeds,)."""
        if len(self.n_labels) < 2:
            return self.scores[:, 0]
        return np.asarray(trapezoid(self.scores, self.n_labels) / (self.n_labels[-1] - self.n_labels[0]))

    def seconds_a_turn(self) -> float:
        """The median over turns and seeds."""
        return float(np.median(self.seconds))


@dataclass(frozen=True)
class Difference:
    """Scores of a strategy minus those of random, paired by seed: the mean and its 95 % interval (Student's t).

    Runs of one seed share the order of the data, so that what they have in common cancels out. low, high: None with
    one seed, which has no interval.
    """

    mean: float
    low: float | None
    high: float | None

    @property
    def verdict(self) -> str:
        """What the interval says, in words."""
        if self.low is None or self.high is None:
            return "one seed, no interval"
        if self.low <= 0 <= self.high:
            return "not distinguishable"
        return "above random" if self.mean > 0 else "below random"


def difference(scores: Array, random: Array) -> Difference:
    """How far scores lie above those of random. scores, random: shape (n_seeds,), the same seeds in the same order."""
    means, lows, highs = differences(scores[:, None], random[:, None])
    if len(scores) < 2:
        return Difference(float(means[0]), None, None)
    return Difference(float(means[0]), float(lows[0]), float(highs[0]))


def differences(scores: Array, random: Array) -> tuple[Array, Array, Array]:
    """Mean paired differences and the ends of their 95 % intervals, which are NaN with one seed.

    scores, random: shape (n_seeds, n_points), the same seeds in the same order. Returns three of shape (n_points,).
    """
    paired = scores - random
    n_seeds = len(paired)
    mean = paired.mean(axis=0)
    if n_seeds < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    width = t.ppf((1 + CONFIDENCE) / 2, n_seeds - 1) * paired.std(axis=0, ddof=1) / np.sqrt(n_seeds)
    return mean, mean - width, mean + width


def compared_at(curve: Curve) -> list[int]:
    """The numbers of labels at which strategies are compared: 100 and 200 if the curve holds them, and the budget."""
    first, budget = int(curve.n_labels[0]), int(curve.n_labels[-1])
    return sorted({*(n for n in COMPARED_AT if first <= n <= budget), budget})


def characters_compared_at(curves: Sequence[Curve]) -> int | None:
    """After how many characters strategies are compared: as many as every run has read. None where nobody asks."""
    read = [curve.n_characters for curve in curves if curve.n_characters is not None]
    return min(int(own[:, -1].min()) for own in read) if len(read) == len(curves) else None


def differences_to_random(curves: Sequence[Curve]) -> dict[str, dict[str, Difference]]:
    """By strategy but random: the difference to random in "area" and in the score "at N" labels.

    And "at N characters" of the texts that were read, where curves have them: long texts take longer. Empty where
    random is not among the curves.
    """
    random = next((curve for curve in curves if curve.strategy == RANDOM), None)
    if random is None:
        return {}
    n_characters = characters_compared_at(curves)
    after = [] if n_characters is None else [n_characters]
    return {
        curve.strategy: {
            "area": difference(curve.areas(), random.areas()),
            **{f"at {n}": difference(curve.scores_at(n), random.scores_at(n)) for n in compared_at(curve)},
            **{f"at {n}{_CHARACTERS}": difference(curve.scores_after(n), random.scores_after(n)) for n in after},
        }
        for curve in curves
        if curve.strategy != RANDOM
    }


def curves_of(runs: Mapping[Run, Sequence[Point]], metric: str, *, by_characters: bool = False) -> list[Curve]:
    """One curve a strategy, in the order of the runs. by_characters: whether they are compared by these, too."""
    by_strategy: dict[str, list[Sequence[Point]]] = {}
    for run, points in runs.items():
        by_strategy.setdefault(run.strategy, []).append(points)
    return [
        Curve(
            strategy,
            np.array([point.n_labels for point in seeds[0]]),
            np.array([[point.scores[metric] for point in points] for points in seeds]),
            np.array([[point.seconds for point in points] for points in seeds]),
            np.array([[point.n_characters for point in points] for points in seeds]) if by_characters else None,
            is_error=is_error(metric),
        )
        for strategy, seeds in by_strategy.items()
    ]


def table(curves: Sequence[Curve], full: float) -> list[list[str]]:
    """A header and one line a strategy: labels to shares of the full score ("-" if never), area, seconds a turn."""
    header = ["strategy", *(f"labels to {share:.0%}" for share in SHARES), "area", "seconds a turn"]
    return [header, *(_line(curve, full) for curve in curves)]


def _line(curve: Curve, full: float) -> list[str]:
    needed = [curve.labels_to_share(share, full) for share in SHARES]
    labels = ["-" if n is None else f"{n:.0f}" for n in needed]
    return [curve.strategy, *labels, f"{curve.area():.4f}", f"{curve.seconds_a_turn():.3f}"]


def differences_table(curves: Sequence[Curve]) -> list[list[str]]:
    """A header and one line a strategy and measure: the difference to random, its interval and what that says."""
    lines = [["minus random", "in", "difference", "95 % interval", ""]]
    for strategy, found in differences_to_random(curves).items():
        for measure, one in found.items():
            interval = "-" if one.low is None or one.high is None else f"{one.low:+.4f} to {one.high:+.4f}"
            where = f"{measure} labels" if _is_at_labels(measure) else measure
            lines.append([strategy, where, f"{one.mean:+.4f}", interval, one.verdict])
    return lines


def wide_table(curves: Sequence[Curve], full: float) -> list[list[str]]:
    """The table with the differences to random in further columns, empty for random itself."""
    header, *lines = table(curves, full)
    by_strategy = differences_to_random(curves)
    measures = list(next(iter(by_strategy.values()), {}))
    kinds = ("minus random", "minus random low", "minus random high", "verdict")
    header = [*header, *(f"{measure} {kind}" for measure in measures for kind in kinds)]
    return [header, *([*line, *_cells(by_strategy.get(line[0]), measures)] for line in lines)]


def by_question(tables: Mapping[str, list[list[str]]]) -> list[list[str]]:
    """The tables of several questions as one, with the question in front; that of one question as it is."""
    if len(tables) == 1:
        return next(iter(tables.values()))
    header = next(iter(tables.values()))[0]
    return [["question", *header], *([name, *line] for name, table in tables.items() for line in table[1:])]


def file_names(questions: Sequence[str]) -> list[str]:
    """What distinguishes the files of questions: their names as far as a file's name may hold them."""
    names = [re.sub(r"[^\w.-]", "_", question)[:_NAME_CHARACTERS] for question in questions]
    if len(set(map(str.casefold, names))) < len(names):
        return [f"{number}-{name}" for number, name in enumerate(names, start=1)]
    return names


def _cells(found: Mapping[str, Difference] | None, measures: Sequence[str]) -> list[str]:
    if found is None:
        return [""] * 4 * len(measures)
    cells = []
    for one in (found[measure] for measure in measures):
        ends = ["" if end is None else f"{end:.4f}" for end in (one.low, one.high)]
        cells += [f"{one.mean:.4f}", *ends, one.verdict]
    return cells


def as_numbers(curves: Sequence[Curve], full: float) -> list[dict[str, Any]]:
    """What the tables say, not rounded; None for a share that is never reached, and for random's own difference."""
    by_strategy = differences_to_random(curves)
    return [
        {
            "strategy": curve.strategy,
            "labels_to_share": {f"{share:.2f}": curve.labels_to_share(share, full) for share in SHARES},
            "area": curve.area(),
            "seconds_a_turn": curve.seconds_a_turn(),
            "final_score": float(curve.mean[-1]),
            "difference_to_random": _difference_numbers(by_strategy.get(curve.strategy)),
        }
        for curve in curves
    ]


def _difference_numbers(found: Mapping[str, Difference] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    numbers = {measure: {**asdict(one), "verdict": one.verdict} for measure, one in found.items()}
    at_labels = {measure.removeprefix("at "): one for measure, one in numbers.items() if _is_at_labels(measure)}
    others = {measure.split()[1]: one for measure, one in numbers.items() if measure.endswith(_CHARACTERS)}
    return {"area": numbers["area"], "at_labels": at_labels, **({"at_characters": others} if others else {})}


def _is_at_labels(measure: str) -> bool:
    return measure.startswith("at ") and not measure.endswith(_CHARACTERS)


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
