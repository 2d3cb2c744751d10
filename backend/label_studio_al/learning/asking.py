"""Which tasks to ask next: from a pool, some labels and a strategy's name to an order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import entr

from label_studio_al.learning import draws
from label_studio_al.learning.coding import Coding, Learned, group_counts
from label_studio_al.learning.copies import Copies
from label_studio_al.learning.coverage import Coverage
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.rows import Matrix, selected
from label_studio_al.learning.strategies import STRATEGIES, Query, Ranking, pick
from label_studio_al.learning.strategies.query import by_order, in_turns
from label_studio_al.learning.types import Array

AUTO = "auto"
COVERAGE = "coverage"
RANDOM = "random"
AUTO_ORDER = "cluster_margin"
MIXED = "coverage_and_margin"
# Uncertainty from a handful of labels is often worse than random (measured below 100 labels): cover the pool first.
COVERED_LABELS_AT_LEAST = 20
COVERED_LABELS_A_CLASS = 3
MAX_GROUPS = 500
# Covering on, in smaller groups, teaches more than uncertainty while the labels turn up evenly, the longer the more
# labels there are, and less where some are rare (measured on four text sets). Evenness: entropy of the labels' shares
# over its maximum.
EVEN = 0.8
MIXED_LABELS_A_CLASS = 40


def _no_tasks() -> Array:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Beside:
    """What is known of a question: as the fields of `Situation` with these names."""

    labelled: Array
    y: Array
    coding: Coding
    n_classes: int
    classifier: Learned | None
    fit: Callable[[Matrix, Array], Learned]


@dataclass(frozen=True)
class Situation:
    """What is known when tasks are chosen.

    X, Z: all tasks, features and their compact form (see Query). keys: shape (n_tasks,), what tells the tasks apart
    wherever they lie (see draws). copies: those that share their text with others. pool: indices of the tasks that may
    be asked. labelled: indices of the labelled tasks, y: their answers, coding: what these are.
    asked: of all that were asked, skipped ones too. waiting: of those that are about to be asked, before any other.
    n_classes: labels of the config. batch: tasks that are asked before the next training. coverage: makes that many
    groups of similar tasks. fit: trains a classifier on (X, y). shown: tasks that the version before asks first, which
    people may have before them by now; shown_audits: those of them that were drawn at random, in their order. beside:
    what is known of further questions.
    """

    X: Matrix
    Z: Matrix
    keys: Array
    copies: Copies
    pool: Array
    labelled: Array
    y: Array
    coding: Coding
    asked: Array
    waiting: Array
    n_classes: int
    classifier: Learned | None
    coverage: Callable[[int], Coverage]
    fit: Callable[[Matrix, Array], Learned]
    batch: int
    seed: int
    shown: Array = field(default_factory=_no_tasks)
    shown_audits: Array = field(default_factory=_no_tasks)
    beside: tuple[Beside, ...] = ()


@dataclass(frozen=True)
class Asked:
    """Tasks to ask, most informative first.

    tasks: indices; informativeness: in [0, 1], never rising, 0 of tasks that only repeat a text that is asked before.
    is_audit: whether a task was drawn at random among all that may be asked.
    """

    tasks: Array
    informativeness: Array
    is_audit: Array


def choose_order(
    strategy: str, counts: Mapping[str, int], n_labels: int, *, is_trained: bool, covers: bool = True
) -> str:
    """The name of the order that a strategy asks in now: its own, or `coverage` while it cannot work yet.

    counts: in how many answers each class of the config is; n_labels: how many answers there are. `auto` covers the
    pool for 20 labels (3 a class), and for as many again while a class has not occurred (it may occur nowhere) or the
    classes occur evenly. If evenly, it continues with half coverage, half cluster-margin up to 40 labels a class; then
    it asks by cluster-margin alone. covers: whether it covers the pool once there is a model; else it asks so at once.
    """
    if strategy != AUTO and not pick(strategy).needs_model:
        return strategy
    if not is_trained or not n_labels:
        return COVERAGE
    if strategy != AUTO:
        return strategy
    if not covers:
        return AUTO_ORDER
    phase, is_even = _phase(len(counts)), _evenness(counts) >= EVEN
    if n_labels < phase or (n_labels < 2 * phase and (is_even or not all(counts.values()))):
        return COVERAGE
    return MIXED if is_even and n_labels < MIXED_LABELS_A_CLASS * len(counts) else AUTO_ORDER


@dataclass(frozen=True)
class Standing:
    """How far a question is. counts, n_labels, is_trained, covers: as of `choose_order`.

    Measured: where spans are marked, covering the pool teaches less than the first model's uncertainty.
    """

    counts: Mapping[str, int]
    n_labels: int
    is_trained: bool
    covers: bool = True

    @classmethod
    def of(cls, coding: Coding, labels: Iterable[str], y: Sequence[str], *, is_trained: bool) -> Standing:
        """That of a question with these answers. labels: those that may be given."""
        return cls(group_counts(coding, labels, y), len(y), is_trained, coding.marks is None)


def choose_order_of_all(strategy: str, standings: Sequence[Standing], n_labelled: int) -> str:
    """The order in which questions are asked together (see `choose_order`). n_labelled: tasks with any answer.

    That of the question that is least far, among those that people answer in half of the labelled tasks at least: what
    is seldom asked would hold up all others.
    """
    asked = [one for one in standings if one.is_trained] or standings
    often = [one for one in asked if 2 * one.n_labels >= n_labelled] or asked
    orders = [
        choose_order(strategy, one.counts, one.n_labels, is_trained=one.is_trained, covers=one.covers) for one in often
    ]
    return next((order for order in (COVERAGE, MIXED) if order in orders), orders[0])


def ordering(known: Sequence[Beside]) -> list[Beside]:
    """The questions that order the queue: those with a model, the one with the most answers first.

    Before the first model, only that one.
    """
    found = sorted(known, key=lambda one: -len(one.y))
    return [one for one in found if one.classifier is not None] or found[:1]


def ask(order: str, situation: Situation, n: int) -> Ranking:
    """The n most informative tasks of the pool in an order that `choose_order` named; tasks are indices into X.

    Tasks with the same text are one question: one of them is asked, and the others come after everything else. At
    random they are asked as tasks of their own.
    """
    if order == RANDOM:
        return _ranked(order, situation, n)
    asked = np.concatenate([situation.asked, situation.waiting])
    followers = situation.copies.followers(situation.keys, situation.pool, asked, situation.seed)
    if not len(followers):
        return _ranked(order, situation, n)
    is_follower = np.zeros(len(situation.keys), dtype=bool)
    is_follower[followers] = True
    ranking = _ranked(order, replace(situation, pool=situation.pool[~is_follower[situation.pool]]), n)
    last = followers[: n - len(ranking.tasks)]
    tasks = np.concatenate([ranking.tasks, last])
    return Ranking(tasks, np.concatenate([ranking.informativeness, np.zeros(len(last))]))


def _ranked(order: str, situation: Situation, n: int) -> Ranking:
    if order == COVERAGE:
        return by_order(_covering(situation)[:n])
    if order == MIXED:
        uncertain = _ranked(AUTO_ORDER, situation, n).tasks
        return by_order(in_turns([uncertain, _covering(situation)[: len(uncertain)]], n))
    pool = selected(situation.X, situation.pool), selected(situation.Z, situation.pool)
    beside = tuple(_query(situation, one, pool, n) for one in situation.beside)
    ranking = STRATEGIES[order].choose(replace(_query(situation, situation, pool, n), beside=beside))
    return Ranking(situation.pool[ranking.tasks], ranking.informativeness)


def _query(situation: Situation, of: Situation | Beside, pool: tuple[Matrix, Matrix], n: int) -> Query:
    """About one question. pool: the features of the tasks that may be asked."""
    X, Z = pool
    known = Labelled(situation.X[of.labelled], of.y, situation.keys[of.labelled], of.coding)
    return Query(
        X=X,
        Z=Z,
        keys=situation.keys[situation.pool],
        labelled=known,
        Z_labelled=selected(situation.Z, of.labelled),
        classifier=of.classifier,
        n=n,
        batch=situation.batch,
        seed=situation.seed,
        fit=of.fit,
    )


def ask_and_audit(order: str, situation: Situation, n: int, audit_share: float) -> Asked:
    """As `ask`, with a share of the places drawn at random once there is a model to be measured."""
    ranking = ask(order, situation, n)
    if order == RANDOM:
        return Asked(ranking.tasks, ranking.informativeness, np.ones(len(ranking.tasks), dtype=bool))
    share = audit_share if situation.classifier is not None else 0.0
    return with_audits(ranking, situation, share)


def _covering(situation: Situation) -> Array:
    """The whole pool, tasks of groups without labels first; the more was asked, the smaller the groups."""
    phase = _phase(situation.n_classes)
    n_groups = min(MAX_GROUPS, phase * (1 + len(situation.asked) // phase))
    return situation.coverage(n_groups).order(situation.pool, situation.asked)


def _phase(n_classes: int) -> int:
    """How many labels the cold start lasts, and how many groups of similar tasks it covers meanwhile."""
    return max(COVERED_LABELS_AT_LEAST, COVERED_LABELS_A_CLASS * n_classes)


def _evenness(counts: Mapping[str, int]) -> float:
    shares = np.array([*counts.values()]) / max(1, sum(counts.values()))
    return float(entr(shares).sum() / np.log(len(counts))) if len(counts) > 1 else 1.0


def with_audits(ranking: Ranking, situation: Situation, share: float) -> Asked:
    """Give about a share of the places to tasks drawn at random from the whole pool, whatever the strategy prefers.

    So the labels of these tasks measure the model on everything that is not labelled yet: every task of the pool is
    equally likely to be drawn, and gets an audit's place even if the strategy would have asked it sooner. Otherwise the
    hard ones among the drawn tasks would be labelled first, and the others dropped when the next training draws again.
    Why this is unbiased: docs/status.md.
    """
    n, seed = len(ranking.tasks), situation.seed
    # Whether the audit or the strategy asks in a place, counted from the first task ever asked, is drawn once for all.
    n_before = len(np.union1d(situation.asked, situation.waiting))
    places = np.flatnonzero(draws.uniforms(n_before + np.arange(n), seed, "audit places") < share)
    drawn = _drawn(situation, len(places))
    is_audit = np.zeros(n, dtype=bool)
    is_audit[places[: len(drawn)]] = True
    if not is_audit.any():
        return Asked(ranking.tasks, ranking.informativeness, is_audit)
    is_left = ~np.isin(ranking.tasks, drawn)
    strategic, worth = _asked_once(Ranking(ranking.tasks[is_left], ranking.informativeness[is_left]), drawn, situation)
    tasks, informativeness = np.empty(n, dtype=np.int64), np.full(n, np.inf)
    tasks[is_audit], tasks[~is_audit] = drawn, strategic[: n - len(drawn)]
    informativeness[~is_audit] = worth[: n - len(drawn)]
    informativeness[0] = min(informativeness[0], ranking.informativeness[0])
    return Asked(tasks, np.minimum.accumulate(informativeness), is_audit)


def _drawn(situation: Situation, n: int) -> Array:
    """At most n tasks for the audit's places, the first place first.

    Whoever has a task open answers it, whatever is drawn meanwhile. So those that the version before shows stay what
    they are: its audits come first, and what its strategy asks is not drawn, or the hard ones would pass for audits.
    """
    kept = situation.shown_audits[np.isin(situation.shown_audits, situation.pool)][:n]
    left = situation.pool[~np.isin(situation.pool, situation.shown)]
    # Another order each time, which knows nothing of what was drawn or passed over before.
    moment = len(situation.labelled), len(situation.waiting)
    drawn = left[draws.first(situation.keys[left], n - len(kept), situation.seed, draws.AUDIT, *moment)]
    return np.concatenate([kept, drawn])


def _asked_once(ranking: Ranking, drawn: Array, situation: Situation) -> tuple[Array, Array]:
    """The strategy's tasks and what they are worth; those whose text was drawn for an audit last, and worth nothing."""
    texts, drawn_texts = situation.copies.texts_of(ranking.tasks), situation.copies.texts_of(drawn)
    is_repeated = np.isin(texts, drawn_texts[drawn_texts >= 0])
    last = np.argsort(is_repeated, kind="stable")
    return ranking.tasks[last], np.where(is_repeated, 0.0, ranking.informativeness)[last]
