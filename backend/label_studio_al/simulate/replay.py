"""The live loop's decisions, replayed on texts whose labels are known."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

from label_studio_al.learners.base import Learner
from label_studio_al.learners.registry import find_learner
from label_studio_al.learning import draws
from label_studio_al.learning.asking import AUTO, RANDOM, Asked, Situation, ask_and_audit, choose_order
from label_studio_al.learning.coding import ONE_LABEL, Coding, Learned, group_counts
from label_studio_al.learning.copies import Copies
from label_studio_al.learning.coverage import cover
from label_studio_al.learning.features import TextRows
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.learner import n_deciding
from label_studio_al.learning.strategies import STRATEGIES
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data import Dataset


@dataclass(frozen=True)
class Options:
    """How every run of an experiment is made. budget: labels at the end; batch: labels between two trainings."""

    budget: int
    batch: int
    features: str = AUTO
    audit_share: float = 0.0

    def __post_init__(self) -> None:
        if self.batch < 1 or self.budget < 1:
            raise InvalidRequest(f"batch and budget must be 1 or more, not {self.batch} and {self.budget}")
        if not 0 <= self.audit_share <= 1:
            raise InvalidRequest(f"the audit share must be between 0 and 1, not {self.audit_share}")


@dataclass(frozen=True)
class Known:
    """A data set as rows of features, fitted on its train split only.

    choices: see Features.choices. contents: shape (n_tasks,), see draws.text_hashes; of the tasks that may be labelled.
    offered: the labels that may be given; empty where those are all that occur.
    Rows lie in an order that follows from their content, until a seed shuffles them.
    """

    X: TextRows
    y: Array
    X_test: TextRows
    y_test: Array
    choices: Mapping[str, Array]
    contents: Array
    coding: Coding = ONE_LABEL
    offered: tuple[str, ...] = ()

    @cached_property
    def keys(self) -> Array:
        """What tells the tasks apart, whatever their order (see draws.text_keys)."""
        return draws.text_keys(self.contents)

    @property
    def learner(self) -> Learner:
        """What makes models of them."""
        return find_learner(self.coding)

    def shuffled(self, seed: int) -> Known:
        """The rows that may be labelled in the order of a seed, which all strategies of that seed share."""
        order = draws.shuffled(self.keys, seed, "order of the data")
        return replace(self, X=self.X[order], y=self.y[order], contents=self.contents[order])

    def labelled(self, tasks: Array | slice) -> Labelled:
        """Some of the tasks with their labels."""
        return Labelled(self.X[tasks], self.y[tasks], self.keys[tasks], self.coding)

    @cached_property
    def copies(self) -> Copies:
        """The tasks whose text others have, too."""
        return Copies.among(self.contents, np.arange(len(self.contents)))


@dataclass(frozen=True)
class Run:
    """One replay. Every random choice in it follows from the seed, the order of the data too."""

    strategy: str
    seed: int


@dataclass(frozen=True)
class Turn:
    """What is labelled and trained on after a batch. labelled: rows in the order in which they were asked.

    is_audit: shape (n_labelled,), which of them were drawn at random. seconds: from choosing the batch to the model.
    """

    labelled: Array
    is_audit: Array
    classifier: Learned | None
    seconds: float


# How well the test split is predicted, by the metrics of its coding.
Scores: TypeAlias = Mapping[str, float]


@dataclass(frozen=True)
class Point:
    """The scores after so many labels. seconds: of the turn, from choosing the last batch to the trained model."""

    n_labels: int
    seconds: float
    scores: Scores


def in_order(data: Dataset) -> Dataset:
    """The rows sorted by their content: equal for data that differ in the order of their rows only.

    Features and clusters are sums over rows, whose last bits depend on the order.
    """
    rows = sorted(zip(data.texts, data.labels.tolist(), data.is_test.tolist(), strict=True))
    texts, labels, is_test = zip(*rows, strict=True)
    return replace(data, texts=list(texts), labels=np.array(labels), is_test=np.array(is_test))


def plan(strategies: Iterable[str], n_seeds: int) -> list[Run]:
    """Each strategy with each seed; random, which all are compared with, comes last if it was not named."""
    if n_seeds < 1:
        raise InvalidRequest(f"seeds must be 1 or more, not {n_seeds}")
    names = list(dict.fromkeys([*strategies, RANDOM]))
    for name in names:
        if name not in (AUTO, *STRATEGIES):
            raise InvalidRequest(f"strategy must be one of {', '.join((AUTO, *STRATEGIES))}, not {name!r}")
    return [Run(name, seed) for name in names for seed in range(n_seeds)]


def full_scores(known: Known, features: str) -> Scores:
    """What the same learner reaches with every label of the train split."""
    known = known.shuffled(seed=0)
    with threadpool_limits(1):
        return _scores(known, made(known, known.labelled(slice(None)), features, seed=0), known.y)


def made(known: Known, labelled: Labelled, features: str, seed: int) -> Learned:
    """A model of some of the tasks. features: see Options."""
    tuning = known.learner.tune(labelled, known.choices, features, seed)
    return known.learner.fitting(known.choices, tuning, known.coding)(labelled.X, labelled.y)


def replay(known: Known, run: Run, options: Options) -> list[Point]:
    """Ask, learn and score until the budget is spent. The seed has its own order of the data."""
    # One thread: several runs share the machine, and the last bits of sums depend on the number of threads.
    with threadpool_limits(1):
        known = known.shuffled(run.seed)
        return [_point(known, turn) for turn in turns(known, run, options)]


def _point(known: Known, turn: Turn) -> Point:
    return Point(len(turn.labelled), turn.seconds, _scores(known, turn.classifier, known.y[turn.labelled]))


def turns(known: Known, run: Run, options: Options, after: Turn | None = None) -> Iterator[Turn]:
    """Ask and learn, a batch at a time, until the budget is spent.

    after: where to go on from, maybe with another strategy or other options; from nothing otherwise.
    """
    X, Z, y, choices, learner = known.X, known.X.compact, known.y, known.choices, known.learner
    classes = group_counts(known.coding, known.offered or known.coding.classes(y).tolist(), ())
    coverage = cache(lambda n_groups: cover(Z, known.keys, n_groups, run.seed))
    labelled: Array = np.zeros(0, dtype=np.int64) if after is None else after.labelled
    is_audit: Array = np.zeros(0, dtype=bool) if after is None else after.is_audit
    classifier: Learned | None = None if after is None else after.classifier
    tuning = learner.tune(known.labelled(labelled), choices, options.features, run.seed)
    while len(labelled) < min(options.budget, len(y)):
        began = time.perf_counter()
        situation = Situation(
            X=X,
            Z=Z,
            keys=known.keys,
            copies=known.copies,
            pool=np.setdiff1d(np.arange(len(y)), labelled),
            labelled=labelled,
            y=y[labelled],
            coding=known.coding,
            asked=labelled,
            waiting=labelled[:0],
            n_classes=len(classes),
            classifier=classifier,
            coverage=coverage,
            fit=learner.fitting(choices, tuning, known.coding),
            batch=options.batch,
            seed=run.seed,
        )
        n = min(options.batch, options.budget - len(labelled))
        asked = _asked(run.strategy, classes, situation, options.audit_share, n)
        labelled = np.concatenate([labelled, asked.tasks])
        is_audit = np.concatenate([is_audit, asked.is_audit])
        met = known.labelled(labelled)
        if learner.missing(met.y.tolist()) is None:
            if tuning.n_labels != n_deciding(len(met)):
                tuning = learner.tune(met, choices, options.features, run.seed)
            classifier = learner.fitting(choices, tuning, known.coding)(met.X, met.y)
        yield Turn(labelled, is_audit, classifier, time.perf_counter() - began)


def _asked(strategy: str, classes: Collection[str], situation: Situation, audit_share: float, n: int) -> Asked:
    """The tasks of the next batch, as the live loop would choose them."""
    is_trained = situation.classifier is not None
    counts = dict.fromkeys(classes, 0) | group_counts(situation.coding, (), situation.y.tolist())
    order = choose_order(strategy, counts, len(situation.y), is_trained=is_trained)
    return ask_and_audit(order, situation, n, audit_share)


def _scores(known: Known, classifier: Learned | None, met: Array) -> Scores:
    """The test split's; without a model, everything is taken for the one label that was met."""
    if classifier is None:
        predicted: Array = np.full(len(known.y_test), met[0])
    else:
        predicted = known.coding.decide(classifier.believe(known.X_test)).labels
    return known.coding.scores(known.y_test, predicted)
