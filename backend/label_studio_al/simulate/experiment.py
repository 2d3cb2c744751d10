"""An experiment: every strategy with every seed on one data set, kept in a folder as it proceeds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from threadpoolctl import threadpool_limits

from label_studio_al import learning
from label_studio_al.learners import linear, spans
from label_studio_al.learners.registry import check_strategy
from label_studio_al.learning.draws import text_hashes
from label_studio_al.learning.features import Features
from label_studio_al.simulate import replay as replaying
from label_studio_al.simulate.data import Dataset
from label_studio_al.simulate.embedding import NOTHING, Encoders, Filling, no_report
from label_studio_al.simulate.replay import Known, Options, Point, Run, full_scores, in_order, lengths_of, replay
from label_studio_al.simulate.results import Results


@dataclass(frozen=True)
class Experiment:
    """Runs on one data set and the folder that keeps them."""

    dataset: Dataset
    options: Options
    encoders: Encoders
    runs: Sequence[Run]
    results: Results

    @classmethod
    def open(
        cls,
        dataset: Dataset,
        options: Options,
        encoders: Encoders,
        runs: Sequence[Run],
        folder: Path,
    ) -> Experiment:
        """The experiment, with the runs that the folder already holds. The budget is cut to what can be labelled.

        Raises InvalidRequest where the folder holds another experiment, or a strategy cannot work on such answers. The
        order of the data makes no other one.
        """
        for run in runs:
            for one in dataset.questions:
                check_strategy(run.strategy, one.coding)
        dataset = in_order(dataset)
        options = replace(options, budget=min(options.budget, dataset.n_train))
        identity = {
            "data": dataset.fingerprint(),
            "question": dataset.asked(),
            **asdict(options),
            "encoder": " + ".join(encoders.names) or None,
            "code": _code(),
        }
        return cls(dataset, options, encoders, runs, Results.open(folder, identity))

    def missing(self) -> list[Run]:
        """Runs that are not finished."""
        return [run for run in self.runs if not self.results.has(run)]

    def conduct(self, n_jobs: int | None = None, report: Callable[[int, int], None] = no_report) -> Iterator[Run]:
        """Make the missing runs, and give each when it is finished and kept.

        n_jobs: how many at a time; None for as many as there are cores or Dask workers. report: is told how many of
        how many embeddings are there.
        """
        missing = self.missing()
        if not missing and self.results.has_full():
            return
        known = prepare(self.dataset, Filling(self.encoders, self.results.folder / "embeddings", report))
        if not self.results.has_full():
            self.results.save_full({one.name: full_scores(one, self.options.features) for one in known.questions})
        n_jobs = min(n_jobs or effective_n_jobs(-1), max(1, len(missing)))
        jobs = (delayed(_replayed)(known, run, self.options) for run in missing)
        for run, points in Parallel(n_jobs, return_as="generator_unordered")(jobs):
            self.results.save(run, points)
            yield run

    def curves(self) -> dict[Run, list[Point]]:
        """The points of every run; all must be finished."""
        return {run: self.results.load(run) for run in self.runs}

    def curves_of(self, question: str) -> dict[Run, list[Point]]:
        """Those of one question."""
        found = self.curves()
        return {run: [point for point in points if point.question == question] for run, points in found.items()}


def _code() -> str:
    """Changes with the code that chooses, learns and replays: runs of two versions of it are no comparison."""
    digest = hashlib.sha256()
    for path in [
        *sorted(Path(learning.__path__[0]).rglob("*.py")),
        Path(linear.__file__),
        Path(spans.__file__),
        Path(replaying.__file__),
    ]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def prepare(data: Dataset, filling: Filling = NOTHING) -> Known:
    """Turn texts into features; the test split has no part in fitting them, nor has the order of the data."""
    data = in_order(data)
    train_texts, test_texts = ([data.texts[row] for row in rows] for rows in (data.train_rows, data.test_rows))
    with threadpool_limits(1):
        features, X = Features.fit_transform(train_texts, filling.encoders.fast, data.layout, data.markings)
        X_test = filling.fill_in(features, test_texts, features.transform(test_texts))[1]
        features, X = filling.fill_in(features, train_texts, X)
    contents = text_hashes(train_texts)
    known = []
    for one in data.questions:
        y_test = one.labels[data.test_rows]
        tested = np.flatnonzero(y_test != "")
        known.append(
            Known(
                X=X,
                y=one.labels[data.train_rows],
                X_test=X_test[tested],
                y_test=y_test[tested],
                choices=features.choices(one.coding.of_sides),
                contents=contents,
                lengths=lengths_of(train_texts),
                coding=one.coding,
                offered=one.offered,
                name=one.asks,
            )
        )
    return replace(known[0], beside=tuple(known[1:]))


def _replayed(known: Known, run: Run, options: Options) -> tuple[Run, list[Point]]:
    return run, replay(known, run, options)
