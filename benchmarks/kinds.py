"""What the order of ratings is worth, as markdown tables: the same replays with models that know less.

    python -m benchmarks.kinds --data FOLDER [--sets ratings] [--strategies random,auto] [--seeds 10] [--quick]

FOLDER holds rating_alexa.jsonl.gz (fields text and rating). Batches of 20. Each seed has its own order of the data,
which all models share; differences to the first model are paired by seed, with 95 % intervals (Student's t).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from benchmarks.label_efficiency import line
from label_studio_al.learners.encoders import find_encoder
from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.coding import Coding, OneLabel
from label_studio_al.learning.ordered import ORDERED, OrderedLabels
from label_studio_al.learning.predictions import Predictions
from label_studio_al.learning.types import Array
from label_studio_al.runtime.settings import read_settings
from label_studio_al.simulate.data import read_data
from label_studio_al.simulate.experiment import prepare
from label_studio_al.simulate.replay import Known, Options, Point, Run, replay
from label_studio_al.simulate.summary import difference


class PlainRating(OrderedLabels):
    """Ratings as classes without an order, measured as ratings are."""

    fit = OneLabel.fit


class MedianRating(OrderedLabels):
    """The rating of the least expected absolute error: the median of the probabilities."""

    def decide(self, beliefs: Beliefs) -> Predictions:
        order = np.argsort(beliefs.classes.astype(float))
        proba = beliefs.wide[:, order]
        middle = np.minimum((np.cumsum(proba, axis=1) < 0.5).sum(axis=1), len(order) - 1)
        return Predictions(beliefs.classes[order][middle], np.minimum(proba[np.arange(len(proba)), middle], 1.0))


@dataclass(frozen=True)
class Compared:
    """One set. codings: by the models' names, the first one is what the others are compared with."""

    data: str
    codings: Mapping[str, Coding]
    metrics: Sequence[str]
    at: Sequence[int]


SETS = {
    "ratings": Compared(
        "rating_alexa",
        {"classes without an order": PlainRating(), "ordered": ORDERED, "ordered, the median": MedianRating()},
        ("accuracy", "mean_absolute_error", "quadratic_kappa", "macro_f1"),
        (100, 200, 500),
    ),
}


def replayed(known: Known, run: Run, options: Options, codings: Sequence[Coding]) -> tuple[Run, list[list[Point]]]:
    """The same replay with each of the codings."""
    return run, [replay(replace(known, coding=coding), run, options) for coding in codings]


def scores(found: Sequence[Sequence[Point]], at: int, metric: str) -> Array:
    """Of each seed after so many labels."""
    return np.array([next(point.scores[metric] for point in points if point.n_labels == at) for points in found])


def rows(found: Sequence[Sequence[Sequence[Point]]], one: Compared, at: int) -> Iterator[list[str]]:
    """A line for each model after so many labels. found: by seed and coding."""
    for place, name in enumerate(one.codings):
        cells = []
        for metric in one.metrics:
            first, own = (scores([points[which] for points in found], at, metric) for which in (0, place))
            gap = difference(own, first)
            interval = "" if gap.low is None else f" ({gap.low:+.3f} to {gap.high:+.3f})"
            cells.append(f"{own.mean():.3f}" + (f"; {gap.mean:+.3f}{interval}" if place else ""))
        yield [str(at), name, *cells]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--strategies", default="random,auto")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--n-jobs", type=int, default=-1)
    parser.add_argument("--quick", action="store_true", help="2 seeds, 100 labels, to try the script")
    arguments = parser.parse_args()
    n_seeds = 2 if arguments.quick else arguments.seeds
    encoder = find_encoder(read_settings().encoder)
    print("Each cell: the mean; its difference to the first model, with the 95 % interval.")
    for name in arguments.sets.split(","):
        one = SETS[name]
        at = [100] if arguments.quick else one.at
        options, codings = Options(budget=max(at), batch=20), list(one.codings.values())
        known = prepare(read_data(str(arguments.data / f"{one.data}.jsonl.gz")), encoder)
        header = ["strategy", "labels", "model", *(metric.replace("_", " ") for metric in one.metrics)]
        print(f"\n{one.data}\n\n{line(header)}\n|{' --- |' * len(header)}", flush=True)
        for strategy in arguments.strategies.split(","):
            runs = [Run(strategy, seed) for seed in range(n_seeds)]
            found = []
            for run, points in Parallel(arguments.n_jobs, return_as="generator")(
                delayed(replayed)(known, run, options, codings) for run in runs
            ):
                print(f"{name}: {run.strategy}, seed {run.seed}", file=sys.stderr, flush=True)
                found.append(points)
            for n in at:
                for cells in rows(found, one, n):
                    print(line([strategy, *cells]), flush=True)


if __name__ == "__main__":
    main()
