"""The live loop's decisions, replayed on texts whose labels are known."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TypeAlias

import numpy as np
from threadpoolctl import threadpool_limits

from label_studio_al.learners.base import Learner
from label_studio_al.learners.registry import find_learner
from label_studio_al.learning import draws
from label_studio_al.learning.asking import (
    AUTO,
    RANDOM,
    Beside,
    Situation,
    Standing,
    ask_and_audit,
    choose_order_of_all,
    ordering,
)
from label_studio_al.learning.coding import ONE_LABEL, Coding, Learned, group_counts
from label_studio_al.learning.copies import Copies
from label_studio_al.learning.coverage import cover
from label_studio_al.learning.features import TextRows
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.learner import Tuning, n_deciding
from label_studio_al.learning.spans import answer_of
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
    y: "" where the question was not answered. offered: the labels that may be given; empty where those are all that
    occur. name: the question's. beside: the same tasks with the answers to further questions. Rows lie in an order that
    follows from their content, until a seed shuffles them. lengths: shape (n_tasks,), characters of each text that may
    be labelled.
    """

    X: TextRows
    y: Array
    X_test: TextRows
    y_test: Array
    choices: Mapping[str, Array]
    contents: Array
    lengths: Array
    coding: Coding = ONE_LABEL
    offered: tuple[str, ...] = ()
    name: str = ""
    beside: tuple[Known, ...] = ()

    @property
    def questions(self) -> tuple[Known, ...]:
        """What is known of each question."""
        return (self, *self.beside)

    @cached_property
    def keys(self) -> Array:
        """What tells the tasks apart, whatever their order (see draws.text_keys)."""
        return draws.text_keys(self.contents)

    @property
    def learner(self) -> Learner:
        """What makes models of them."""
        return find_learner(self.coding)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels that may be given, or else those that occur."""
        return self.offered or tuple(self.coding.classes(self.y[self.y != ""]).tolist())

    def shuffled(self, seed: int) -> Known:
        """The rows that may be labelled in the order of a seed, which all strategies of that seed share."""
        order = draws.shuffled(self.keys, seed, "order of the data")
        X, contents, lengths = self.X[order], self.contents[order], self.lengths[order]
        first, *others = (
            replace(one, X=X, y=one.y[order], contents=contents, lengths=lengths) for one in self.questions
        )
        return replace(first, beside=tuple(others))

    def answered(self, tasks: Array | slice) -> Array:
        """Those of the tasks that answer the question, in their order."""
        rows = np.arange(len(self.y))[tasks]
        return np.asarray(rows[self.y[rows] != ""])

    def labelled(self, tasks: Array | slice) -> Labelled:
        """Those of the tasks that answer the question, with their labels."""
        rows = self.answered(tasks)
        return Labelled(self.X[rows], self.y[rows], self.keys[rows], self.coding)

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
    beside: the models of further questions.
    """

    labelled: Array
    is_audit: Array
    classifier: Learned | None
    seconds: float
    beside: tuple[Learned | None, ...] = ()

    @property
    def classifiers(self) -> tuple[Learned | None, ...]:
        """The model of each question."""
        return (self.classifier, *self.beside)


# How well the test split is predicted, by the metrics of its coding.
Scores: TypeAlias = Mapping[str, float]


@dataclass(frozen=True)
class Point:
    """The scores after so many labels. seconds: of the turn, from choosing the last batch to the trained model.

    question: its name, where several are asked; n_labels then counts the tasks. n_characters: of all texts that were
    read for the labels.
    """

    n_labels: int
    seconds: float
    scores: Scores
    question: str = ""
    n_characters: int = 0


def in_order(data: Dataset) -> Dataset:
    """The rows sorted by their content: equal for data that differ in the order of their rows only.

    Features and clusters are sums over rows, whose last bits depend on the order.
    """
    labels = zip(*(one.labels.tolist() for one in data.questions), strict=True)
    content = list(zip(data.texts, labels, data.is_test.tolist(), strict=True))
    return data.at(sorted(range(len(content)), key=content.__getitem__))


def lengths_of(texts: Sequence[str]) -> Array:
    """How many characters of each text there are to read. Returns shape (n_texts,)."""
    return np.array([len(text) for text in texts], dtype=np.int64)


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
        return _scores(known, made(known, known.labelled(slice(None)), features, seed=0), known.y[:0])


def made(known: Known, labelled: Labelled, features: str, seed: int) -> Learned:
    """A model of some of the tasks. features: see Options."""
    tuning = known.learner.tune(labelled, known.choices, features, seed)
    return known.learner.fitting(known.choices, tuning, known.coding)(labelled.X, labelled.y)


def replay(known: Known, run: Run, options: Options) -> list[Point]:
    """Ask, learn and score until the budget is spent. The seed has its own order of the data."""
    # One thread: several runs share the machine, and the last bits of sums depend on the number of threads.
    with threadpool_limits(1):
        known = known.shuffled(run.seed)
        return [point for turn in turns(known, run, options) for point in _points(known, turn)]


def _points(known: Known, turn: Turn) -> Iterator[Point]:
    for one, classifier in zip(known.questions, turn.classifiers, strict=True):
        met = one.y[one.answered(turn.labelled)]
        n_characters = int(known.lengths[turn.labelled].sum())
        yield Point(len(turn.labelled), turn.seconds, _scores(one, classifier, met), one.name, n_characters)


@dataclass(frozen=True)
class _Trained:
    """What was decided and trained for one question."""

    known: Known
    tuning: Tuning
    classifier: Learned | None

    def after(self, tasks: Array, features: str, seed: int) -> _Trained:
        """Trained on the answers of these tasks, if they are enough."""
        met, learner, choices = self.known.labelled(tasks), self.known.learner, self.known.choices
        if learner.missing(met.y.tolist()) is not None:
            return self
        tuning = self.tuning
        if tuning.n_labels != n_deciding(len(met)):
            tuning = learner.tune(met, choices, features, seed)
        return replace(
            self, tuning=tuning, classifier=learner.fitting(choices, tuning, self.known.coding)(met.X, met.y)
        )

    def known_of(self, tasks: Array) -> Beside:
        """What is known once these tasks are labelled."""
        known, rows = self.known, self.known.answered(tasks)
        return Beside(
            labelled=rows,
            y=known.y[rows],
            coding=known.coding,
            n_classes=len(group_counts(known.coding, known.labels, ())),
            classifier=self.classifier,
            fit=known.learner.fitting(known.choices, self.tuning, known.coding),
        )

    def standing(self, tasks: Array) -> Standing:
        """How far it is once these tasks are labelled."""
        y = self.known.y[self.known.answered(tasks)].tolist()
        return Standing.of(self.known.coding, self.known.labels, y, is_trained=self.classifier is not None)


def turns(known: Known, run: Run, options: Options, after: Turn | None = None) -> Iterator[Turn]:
    """Ask and learn, a batch at a time, until the budget is spent.

    after: where to go on from, maybe with another strategy or other options; from nothing otherwise.
    """
    Z = known.X.compact
    coverage = cache(lambda n_groups: cover(Z, known.keys, n_groups, run.seed))
    nothing: Array = np.zeros(0, dtype=np.int64)
    turn = after or Turn(nothing, nothing.astype(bool), None, 0.0, (None,) * len(known.beside))
    labelled, is_audit = turn.labelled, turn.is_audit
    trained = [
        _Trained(one, one.learner.tune(one.labelled(labelled), one.choices, options.features, run.seed), classifier)
        for one, classifier in zip(known.questions, turn.classifiers, strict=True)
    ]
    while len(labelled) < min(options.budget, len(known.y)):
        began = time.perf_counter()
        first, *others = ordering([one.known_of(labelled) for one in trained])
        situation = Situation(
            X=known.X,
            Z=Z,
            keys=known.keys,
            copies=known.copies,
            pool=np.setdiff1d(np.arange(len(known.y)), labelled),
            labelled=first.labelled,
            y=first.y,
            coding=first.coding,
            asked=labelled,
            waiting=nothing,
            n_classes=max(one.n_classes for one in (first, *others)),
            classifier=first.classifier,
            coverage=coverage,
            fit=first.fit,
            batch=options.batch,
            seed=run.seed,
            beside=tuple(others),
        )
        n = min(options.batch, options.budget - len(labelled))
        order = choose_order_of_all(run.strategy, [one.standing(labelled) for one in trained], len(labelled))
        asked = ask_and_audit(order, situation, n, options.audit_share)
        labelled = np.concatenate([labelled, asked.tasks])
        is_audit = np.concatenate([is_audit, asked.is_audit])
        trained = [one.after(labelled, options.features, run.seed) for one in trained]
        classifier, *beside = (one.classifier for one in trained)
        yield Turn(labelled, is_audit, classifier, time.perf_counter() - began, tuple(beside))


def _scores(known: Known, classifier: Learned | None, met: Array) -> Scores:
    """The test split's; without a model, everything is taken for the one answer that was met, or could be.

    No span is marked then.
    """
    if classifier is None and known.coding.marks is not None:
        predicted: Array = np.full(len(known.y_test), answer_of(()))
    elif classifier is None:
        predicted = np.full(len(known.y_test), met[0] if len(met) else np.unique(known.y[known.y != ""])[0])
    else:
        predicted = known.coding.decide(classifier.believe(known.X_test)).labels
    return known.coding.scores(known.y_test, predicted)
