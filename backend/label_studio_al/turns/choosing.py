"""Which tasks a version asks: its first window, and what is added before it runs out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from label_studio_al.learners.published import Models
from label_studio_al.learning import draws
from label_studio_al.learning.model import Trained
from label_studio_al.learning.strategies import MEASURES
from label_studio_al.store import NewTasks, Store, Version, WindowTask
from label_studio_al.turns.policy import TOP_UP_SHARE, growth, window_size
from label_studio_al.turns.publishing import n_ready
from label_studio_al.turns.ranking import TrainedOn, Wanted, Window, rank, with_checks
from label_studio_al.turns.subject import Subject


def first_window(store: Store, subject: Subject, trained: Mapping[str, Trained], order: str) -> Window:
    """The window of a version that is to be published."""
    settings, n_labels = subject.settings, subject.n_labelled
    trained_on = TrainedOn(subject.answers, trained, order)
    n, batch = window_size(settings, n_labels), growth(settings, n_labels)
    checks = _checks(store, subject)
    wanted = Wanted(n, batch, [*subject.annotated, *checks], shown=_shown(store, subject, checks))
    return with_checks(rank(subject, trained_on, wanted), checks, n)


class TopUp:
    """Tasks that the published version asks in addition: before its window runs out, and when new tasks are better."""

    def __init__(self, store: Store, models: Models, subject: Subject, version: Version) -> None:
        self._store = store
        self._models = models
        self._subject = subject
        self._version = version
        self._known = store.windows.informativeness(version.id)
        left = subject.pool.having_rows(sorted(self._known.keys() - set(subject.annotated)))
        self._left = [self._known[task_id] for task_id in left]
        n_new, size = subject.changes.n_new, window_size(subject.settings, len(version.trained_on))
        fills_up = len(self._left) < TOP_UP_SHARE * size or n_new > 0
        self._size = size
        self._n_missing = max(0, size - len(self._left)) if fills_up else 0
        self._compares = n_new > 0 and version.ranked_by in MEASURES

    @property
    def is_due(self) -> bool:
        """Whether there may be something to add."""
        return self._n_missing > 0 or self._compares

    def add(self, *, is_pushed: bool) -> int:
        """Add the next tasks; gives how many. is_pushed: there is no Label Studio to push them to."""
        window = self._window()
        if window.task_ids:
            pushed = None if is_pushed else frozenset[int]()
            new = NewTasks(window.pairs(), window.audits, window.top_k_of(), pushed)
            self._store.windows.add(self._version.id, new)
        return len(window.task_ids)

    def _window(self) -> Window:
        subject, version = self._subject, self._version
        model = self._models.get(subject.key, version.id)
        answers = {name: question.trained_on for name, question in version.questions.items()}
        trained_on = TrainedOn(answers, {} if model is None else model.trained, version.ranked_by)
        n = self._size if self._compares else self._n_missing
        checks = _checks(self._store, subject)
        batch = growth(subject.settings, len(version.trained_on))
        wanted = Wanted(n, batch, [*subject.annotated, *checks], sorted(self._known))
        window = rank(subject, trained_on, wanted)
        window = with_checks(window, [task_id for task_id in checks if task_id not in self._known], n)
        if not self._compares:
            return window
        least = min(self._left, default=0.0)
        n_better = sum(value > least for value in window.informativeness)
        return window.first(max(self._n_missing, n_better))


def _shown(store: Store, subject: Subject, checks: Sequence[int]) -> list[WindowTask]:
    """What the published version asks first beside the checks: people may have these tasks before them by now."""
    version_id = subject.project.version_id
    if version_id is None:
        return []
    n = n_ready(store, subject.key)
    first = store.windows.next(subject.key, version_id, n + len(checks))
    return [one for one in first if one.task_id not in checks][:n]


def _checks(store: Store, subject: Subject) -> list[int]:
    """Tasks that were held back from a run of automatic labels, to be labelled by people before all others.

    In random order, so that those that are labelled so far tell of all.
    """
    checks = np.array([*store.automation.checks(subject.key).keys() - set(subject.annotated)], dtype=np.int64)
    order = draws.shuffled(checks, subject.settings.seed, "order of checks")
    return subject.pool.having_rows(checks[order].tolist())
