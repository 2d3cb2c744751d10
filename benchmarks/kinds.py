"""What the order of ratings and the tree of a taxonomy are worth: the same replays with models that know less.

    python -m benchmarks.kinds --data FOLDER [--sets ratings] [--strategies random,auto] [--seeds 10] [--quick]
    python -m benchmarks.kinds --large

FOLDER holds rating_alexa.jsonl.gz (fields text and rating), taxonomy_hwu64.jsonl.gz (text and path) and trec6.jsonl.gz
(text and fine: "TOP:BELOW"). Batches of 20. Each seed has its own order of the data, which all models share.
Differences are paired by seed, with 95 % intervals (Student's t): to the first model, and of the top level's accuracy
to the model that knows nothing else. Prints markdown tables. With --large: what a taxonomy of 3,030 nodes takes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from benchmarks.label_efficiency import line
from label_studio_al.learners.encoders import find_encoder
from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.coding import Coding, Learned, OneLabel
from label_studio_al.learning.features import Features
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.layouts import Encoder
from label_studio_al.learning.learner import Tuning, train, tune
from label_studio_al.learning.ordered import ORDERED, OrderedLabels
from label_studio_al.learning.paths import ONE_PATH, TOP_LEVEL_ACCURACY, OnePath, answer_of
from label_studio_al.learning.predictions import Predictions, most_probable
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.types import Array
from label_studio_al.runtime.settings import read_settings
from label_studio_al.simulate.data import read_data
from label_studio_al.simulate.embedding import Encoders, Filling
from label_studio_al.simulate.experiment import prepare
from label_studio_al.simulate.replay import Known, Options, Point, Run, replay
from label_studio_al.simulate.summary import difference

LARGE_POOL, LARGE_LABELS = 20_000, (300, 1_000, 2_000)


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


class FlatPath(OnePath):
    """Paths as classes without a tree."""

    def fit(
        self, X: Matrix, y: Array, allowed: Array | None, temperature: float, thresholds: Mapping[str, float]
    ) -> Learned:
        return fit_classifier(X, self._names(y), allowed, temperature)

    def decide(self, beliefs: Beliefs) -> Predictions:
        found = most_probable(beliefs.wide, beliefs.classes)
        return Predictions(np.array([answer_of([name]) for name in found.labels.tolist()], dtype=str), found.confidence)

    def _names(self, y: Array) -> Array:
        return np.array([self.labels(answer)[0] for answer in y.tolist()], dtype=str)


class TopLevel(FlatPath):
    """The top level alone: no path is right, but its beginning."""

    def encode(self, y: Array, classes: Array) -> Array:
        return np.searchsorted(classes, self._names(y))[:, None]

    def classes(self, y: Array) -> Array:
        return np.unique(self._names(y))

    def _names(self, y: Array) -> Array:
        return np.array([self.group(name) for name in super()._names(y).tolist()], dtype=str)


class MostProbablePath(OnePath):
    """The path of the highest probability, instead of the way down the tree."""

    decide = FlatPath.decide


@dataclass(frozen=True)
class Compared:
    """One set. codings: by the models' names. metrics: each with the model that the others are compared with."""

    data: str
    codings: Mapping[str, Coding]
    metrics: Mapping[str, str]
    at: Sequence[int]


PLAIN, FLAT, TOPS = "classes without an order", "classes without a tree", "top level only"
OF_PATHS: Mapping[str, Coding] = {
    FLAT: FlatPath(),
    "tree": ONE_PATH,
    "tree, the most probable path": MostProbablePath(),
    TOPS: TopLevel(),
}
METRICS_OF_PATHS = {"accuracy": FLAT, TOP_LEVEL_ACCURACY: TOPS, "macro_f1": FLAT}
SETS = {
    "ratings": Compared(
        "rating_alexa",
        {PLAIN: PlainRating(), "ordered": ORDERED, "ordered, the median": MedianRating()},
        dict.fromkeys(("accuracy", "mean_absolute_error", "quadratic_kappa", "macro_f1"), PLAIN),
        (100, 200, 500),
    ),
    "intents": Compared("taxonomy_hwu64", OF_PATHS, METRICS_OF_PATHS, (100, 300, 500)),
    "questions": Compared("trec6", OF_PATHS, METRICS_OF_PATHS, (100, 300, 500)),
}


def prepared(path: Path, encoder: Encoder | None) -> Known:
    """The set of a file; `fine` is a path whose names are separated by colons."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    if "fine" not in rows[0]:
        return prepare(read_data(str(path)), Filling(Encoders(encoder)))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"{path.name.partition('.')[0]}.jsonl"
        found = [{"text": row["text"], "path": row["fine"].split(":"), "split": row["split"]} for row in rows]
        made.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
        return prepare(read_data(str(made)), Filling(Encoders(encoder)))


def replayed(known: Known, run: Run, options: Options, codings: Sequence[Coding]) -> tuple[Run, list[list[Point]]]:
    """The same replay with each of the codings."""
    return run, [replay(replace(known, coding=coding), run, options) for coding in codings]


def scores(found: Sequence[Sequence[Point]], at: int, metric: str) -> Array:
    """Of each seed after so many labels."""
    return np.array([next(point.scores[metric] for point in points if point.n_labels == at) for points in found])


def rows(found: Sequence[Sequence[Sequence[Point]]], one: Compared, at: int) -> Iterator[list[str]]:
    """A line for each model after so many labels. found: by seed and coding."""
    names = list(one.codings)
    for place, name in enumerate(names):
        cells = []
        for metric, other in one.metrics.items():
            those, own = (
                scores([points[which] for points in found], at, metric) for which in (names.index(other), place)
            )
            gap = difference(own, those)
            interval = "" if gap.low is None else f" ({gap.low:+.3f} to {gap.high:+.3f})"
            cell = f"{own.mean():.3f}" + (f"; {gap.mean:+.3f}{interval}" if name != other else "")
            cells.append(cell if own.any() else "-")
        yield [str(at), name, *cells]


def large() -> None:
    """What training and predicting paths of a taxonomy of 3,030 nodes takes, with more and more labels."""
    random = np.random.default_rng(0)
    paths = [
        (f"top {top}", f"m{top} {m}", f"leaf {top} {m} {n}") for top in range(30) for m in range(10) for n in range(9)
    ]
    drawn = [paths[place] for place in random.integers(len(paths), size=LARGE_POOL)]
    texts = [f"{' '.join(path)} {' '.join(f'word{one}' for one in random.integers(5_000, size=12))}" for path in drawn]
    y = np.array([answer_of([" / ".join(path)]) for path in drawn], dtype=str)
    features, X = Features.fit_transform(texts, find_encoder(read_settings().encoder))
    print("| labels | paths met | one training | features and calibration decided | predicting 20,000 tasks | peak |")
    print(f"|{' --- |' * 6}")
    for n in LARGE_LABELS:
        labelled = Labelled(X[:n], y[:n], np.arange(n), ONE_PATH)
        fit, model = timed(lambda of=labelled: train(of, features.choices(), Tuning("both")))
        deciding, _ = timed(lambda of=labelled: tune(of, features.choices(), "both", 0))
        predicting, _ = timed(lambda of=model: ONE_PATH.decide(of.believe(X)))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        cells = [f"{seconds:.2f} s" for seconds in (fit, deciding, predicting)]
        print(line([str(n), str(len(labelled.classes)), *cells, f"{peak:.0f} MB"]), flush=True)


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds, and what was made; one thread."""
    began = time.perf_counter()
    with threadpool_limits(1):
        found = work()
    return time.perf_counter() - began, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the sets")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--strategies", default="random,auto")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--n-jobs", type=int, default=-1)
    parser.add_argument("--quick", action="store_true", help="2 seeds, 100 labels, to try the script")
    parser.add_argument("--large", action="store_true", help="measure a taxonomy of 3,030 nodes instead")
    arguments = parser.parse_args()
    if arguments.large:
        large()
        return
    n_seeds = 2 if arguments.quick else arguments.seeds
    encoder = find_encoder(read_settings().encoder)
    print("Each cell: the mean; its difference, with the 95 % interval.")
    for name in arguments.sets.split(","):
        one = SETS[name]
        at = [100] if arguments.quick else one.at
        options, codings = Options(budget=max(at), batch=20), list(one.codings.values())
        known = prepared(arguments.data / f"{one.data}.jsonl.gz", encoder)
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
