"""From a pool and a classifier to the window: which tasks Label Studio asks next, in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from label_studio_al.learning.asking import (
    Beside,
    Situation,
    Standing,
    ask_and_audit,
    choose_order_of_all,
    ordering,
)
from label_studio_al.learning.coding import group_counts
from label_studio_al.learning.model import Trained
from label_studio_al.learning.strategies import MEASURES, by_position
from label_studio_al.learning.types import Array
from label_studio_al.pool.tasks import Pool
from label_studio_al.questions import Question
from label_studio_al.store import WindowTask
from label_studio_al.turns.subject import Subject
from label_studio_al.turns.training import fitting

# Also where every label trains a model: several people label at once, and a turn takes a moment.
BATCH_AT_LEAST = 10
# Far less than people see, far more than rounding loses of a score near 1.
LEAST_DIFFERENCE = 1e-12
# What the model hesitates between.
TOP_K = 2


@dataclass(frozen=True)
class Window:
    """Tasks to ask next, most informative first, with what the models say of them.

    top_k: of each task, by question, the most probable answers with their probabilities, the best first; nothing of a
    task of which people are told nothing. audits: the tasks that were drawn at random, to measure the model on.
    """

    task_ids: list[int]
    informativeness: list[float]
    top_k: list[dict[str, list[tuple[str, float]]]]
    audits: frozenset[int]

    def pairs(self) -> list[tuple[int, float]]:
        """(task id, informativeness)."""
        return list(zip(self.task_ids, self.informativeness, strict=True))

    def top_k_of(self) -> dict[int, dict[str, list[tuple[str, float]]]]:
        """The most probable answers by task."""
        return dict(zip(self.task_ids, self.top_k, strict=True))

    def first(self, n: int) -> Window:
        """Its first n tasks."""
        kept = self.task_ids[:n]
        return Window(kept, self.informativeness[:n], self.top_k[:n], self.audits & set(kept))


@dataclass(frozen=True)
class TrainedOn:
    """What a version was trained on: answers by question and task, and the models (of no question before the first)."""

    answers: Mapping[str, Mapping[int, str]]
    models: Mapping[str, Trained]
    order: str


@dataclass(frozen=True)
class Wanted:
    """What is to be chosen: n tasks that nobody has annotated and that were not pushed yet.

    batch: how many labels make the next training due. asked: annotated tasks, and others that are not to be chosen.
    shown: tasks of the version before that people may have before them (see Situation).
    """

    n: int
    batch: int
    asked: Sequence[int]
    pushed: Sequence[int] = ()
    shown: Sequence[WindowTask] = ()


def rank(subject: Subject, trained_on: TrainedOn, wanted: Wanted) -> Window:
    """The most informative tasks of those that are wanted, some of them drawn at random."""
    pool, settings = subject.pool, subject.settings
    candidates = pool.open_rows(wanted.asked, wanted.pushed)
    if not len(candidates):
        return Window([], [], [], frozenset())
    known = {question.name: _known(subject, trained_on, question) for question in subject.config.questions}
    first, *others = ordering([known[question.name] for question in subject.steering()])
    situation = Situation(
        X=pool.X,
        Z=pool.compact,
        keys=pool.task_ids,
        copies=pool.copies,
        pool=candidates,
        asked=pool.rows(wanted.asked),
        waiting=pool.rows(wanted.pushed),
        n_classes=max(one.n_classes for one in (first, *others)),
        coverage=lambda n_groups: pool.coverage(n_groups, settings.seed),
        batch=max(BATCH_AT_LEAST, wanted.batch),
        seed=settings.seed,
        shown=pool.rows([one.task_id for one in wanted.shown]),
        shown_audits=pool.rows([one.task_id for one in wanted.shown if one.is_audit]),
        labelled=first.labelled,
        y=first.y,
        coding=first.coding,
        classifier=first.classifier,
        fit=first.fit,
        beside=tuple(others),
    )
    asked = ask_and_audit(trained_on.order, situation, wanted.n, settings.audit_share)
    worth = asked.informativeness
    if trained_on.order in MEASURES:
        worth = _apart(worth)
    else:
        # Tasks that repeat a text stay behind all that others may add later.
        worth = by_position(len(wanted.pushed) + np.arange(len(asked.tasks))) * (worth > 0)
    task_ids = [int(task_id) for task_id in pool.task_ids[asked.tasks]]
    audits = frozenset(task_id for task_id, is_audit in zip(task_ids, asked.is_audit, strict=True) if is_audit)
    return Window(task_ids, [float(value) for value in worth], _top_k(subject, known, asked.tasks), audits)


def choose_order_by_answers(subject: Subject, trained: Collection[str]) -> str:
    """In which order the questions that steer are asked together (see `choose_order_of_all`).

    trained: those with a model.
    """
    answers = {question.name: list(subject.answers[question.name].values()) for question in subject.steering()}
    standings = [
        Standing.of(one.coding, one.labels, answers[one.name], is_trained=one.name in trained)
        for one in subject.steering()
    ]
    return choose_order_of_all(subject.settings.strategy, standings, subject.n_labelled)


def _known(subject: Subject, trained_on: TrainedOn, question: Question) -> Beside:
    """What is known of one question."""
    pool, answers = subject.pool, trained_on.answers[question.name]
    known = {task_id: answers[task_id] for task_id in pool.having_rows(list(answers))}
    trained = trained_on.models.get(question.name)
    coding = question.coding.settled(answers.values())
    return Beside(
        labelled=pool.rows(list(known)),
        y=np.array(list(known.values()), dtype=str),
        coding=coding,
        n_classes=len(group_counts(coding, question.labels, ())),
        classifier=None if trained is None else trained.classifier,
        fit=fitting(subject, question, None if trained is None else trained.tuning, coding),
    )


def _top_k(subject: Subject, known: Mapping[str, Beside], tasks: Array) -> list[dict[str, list[tuple[str, float]]]]:
    """What the models hold most probable of tasks."""
    found: list[dict[str, list[tuple[str, float]]]] = [{} for _ in tasks]
    rows = subject.pool.X[tasks]
    for question in subject.config.questions:
        of = known[question.name]
        if of.classifier is None:
            continue
        best = question.best(of.classifier.believe(rows), TOP_K, _given(subject.pool, of, tasks))
        for one, answers in zip(found, best, strict=True):
            if answers:
                one[question.name] = answers
    return found


def _apart(worth: Array) -> Array:
    """The same order, but no two tasks worth the same, unless they are worth nothing. worth: in [0, 1], never rising.

    Of equal scores Label Studio asks the task of the lowest id first: the order of an import would break ties, and
    decide which audits are labelled before the next training.
    """
    n = len(worth)
    # A model that hesitates between equals says exactly 1, and 32 bits hold no number that is so little below it.
    apart = worth.astype(np.float64) * (1 - n * LEAST_DIFFERENCE) + np.arange(n)[::-1] * LEAST_DIFFERENCE
    return np.where(worth > 0, apart, 0.0)


def _given(pool: Pool, known: Beside, tasks: Array) -> list[str | None]:
    """What people answered most often to the same text, of equals the one given last; None where they did not."""
    counts: dict[int, Counter[str]] = {}
    newest_first = known.labelled[::-1], known.y[::-1]
    for text, label in zip(pool.copies.texts_of(newest_first[0]).tolist(), newest_first[1], strict=True):
        counts.setdefault(text, Counter())[str(label)] += 1
    counts.pop(-1, None)
    texts = pool.copies.texts_of(tasks).tolist()
    return [counts[text].most_common(1)[0][0] if text in counts else None for text in texts]


def with_checks(window: Window, checks: Sequence[int], n: int) -> Window:
    """The window with tasks before all others that people are to label without being told what the model says.

    n: how many tasks it may have.
    """
    first = list(checks[:n])
    if not first:
        return window
    left = max(0, n - len(first))
    kept = window.task_ids[:left]
    return Window(
        task_ids=first + kept,
        informativeness=[1.0] * len(first) + window.informativeness[:left],
        top_k=[{} for _ in first] + window.top_k[:left],
        audits=window.audits & set(kept),
    )
