"""From a pool and a classifier to the window: which tasks Label Studio asks next, in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from label_studio_al.learning.asking import Situation, ask_and_audit
from label_studio_al.learning.coding import Learned
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.strategies import MEASURES, by_position
from label_studio_al.learning.types import Array
from label_studio_al.pool.tasks import Pool
from label_studio_al.questions import Question
from label_studio_al.runtime.settings import ProjectSettings
from label_studio_al.store import WindowTask

# Also where every label trains a model: several people label at once, and a turn takes a moment.
BATCH_AT_LEAST = 10
# Far less than people see, far more than rounding loses of a score near 1.
LEAST_DIFFERENCE = 1e-12
# What the model hesitates between.
TOP_K = 2


@dataclass(frozen=True)
class Window:
    """Tasks to ask next, most informative first, with what the model says of them (None without a model).

    top_k: each task's most probable labels with their probabilities, the best first; none of a task of which people
    are told nothing. audits: the tasks that were drawn at random, to measure the model on.
    """

    task_ids: list[int]
    informativeness: list[float]
    top_k: list[list[tuple[str, float]]] | None
    audits: frozenset[int]

    def pairs(self) -> list[tuple[int, float]]:
        """(task id, informativeness)."""
        return list(zip(self.task_ids, self.informativeness, strict=True))

    def top_k_of(self) -> dict[int, list[tuple[str, float]]]:
        """The most probable labels by task; empty without a model."""
        return {} if self.top_k is None else dict(zip(self.task_ids, self.top_k, strict=True))

    def first(self, n: int) -> Window:
        """Its first n tasks."""
        kept = self.task_ids[:n]
        top_k = None if self.top_k is None else self.top_k[:n]
        return Window(kept, self.informativeness[:n], top_k, self.audits & set(kept))


@dataclass(frozen=True)
class TrainedOn:
    """What a version was trained on: labels by task id, and the model (None before the first)."""

    labels: Mapping[int, str]
    classifier: Learned | None
    fit: Callable[[Matrix, Array], Learned]
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


def rank(pool: Pool, trained_on: TrainedOn, settings: ProjectSettings, question: Question, wanted: Wanted) -> Window:
    """The most informative tasks of those that are wanted, some of them drawn at random."""
    candidates = pool.open_rows(wanted.asked, wanted.pushed)
    classifier = trained_on.classifier
    if not len(candidates):
        return Window([], [], None if classifier is None else [], frozenset())
    known = {task_id: trained_on.labels[task_id] for task_id in pool.having_rows(list(trained_on.labels))}
    situation = Situation(
        X=pool.X,
        Z=pool.compact,
        keys=pool.task_ids,
        copies=pool.copies,
        pool=candidates,
        labelled=pool.rows(list(known)),
        y=np.array(list(known.values()), dtype=str),
        coding=question.coding,
        asked=pool.rows(wanted.asked),
        waiting=pool.rows(wanted.pushed),
        n_classes=len(question.labels),
        classifier=classifier,
        coverage=lambda n_groups: pool.coverage(n_groups, settings.seed),
        fit=trained_on.fit,
        batch=max(BATCH_AT_LEAST, wanted.batch),
        seed=settings.seed,
        shown=pool.rows([one.task_id for one in wanted.shown]),
        shown_audits=pool.rows([one.task_id for one in wanted.shown if one.is_audit]),
    )
    asked = ask_and_audit(trained_on.order, situation, wanted.n, settings.audit_share)
    worth = asked.informativeness
    if trained_on.order in MEASURES:
        worth = _apart(worth)
    else:
        # Tasks that repeat a text stay behind all that others may add later.
        worth = by_position(len(wanted.pushed) + np.arange(len(asked.tasks))) * (worth > 0)
    top_k = None
    if classifier is not None:
        given = _given(situation, asked.tasks)
        top_k = question.best(classifier.believe(pool.X[asked.tasks]), TOP_K, given)
    task_ids = [int(task_id) for task_id in pool.task_ids[asked.tasks]]
    audits = frozenset(task_id for task_id, is_audit in zip(task_ids, asked.is_audit, strict=True) if is_audit)
    return Window(task_ids, [float(value) for value in worth], top_k, audits)


def _apart(worth: Array) -> Array:
    """The same order, but no two tasks worth the same, unless they are worth nothing. worth: in [0, 1], never rising.

    Of equal scores Label Studio asks the task of the lowest id first: the order of an import would break ties, and
    decide which audits are labelled before the next training.
    """
    n = len(worth)
    # A model that hesitates between equals says exactly 1, and 32 bits hold no number that is so little below it.
    apart = worth.astype(np.float64) * (1 - n * LEAST_DIFFERENCE) + np.arange(n)[::-1] * LEAST_DIFFERENCE
    return np.where(worth > 0, apart, 0.0)


def _given(situation: Situation, tasks: Array) -> list[str | None]:
    """The label that people gave most often to the same text, of equals the one given last; None where they did not."""
    counts: dict[int, Counter[str]] = {}
    newest_first = situation.labelled[::-1], situation.y[::-1]
    for text, label in zip(situation.copies.texts_of(newest_first[0]).tolist(), newest_first[1], strict=True):
        counts.setdefault(text, Counter())[str(label)] += 1
    counts.pop(-1, None)
    texts = situation.copies.texts_of(tasks).tolist()
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
        top_k=None if window.top_k is None else [[] for _ in first] + window.top_k[:left],
        audits=window.audits & set(kept),
    )
