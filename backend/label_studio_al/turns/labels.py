"""People's labels in one project, kept from turn to turn: a turn reads only what changed since the last one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from label_studio_al.labeling import Annotation
from label_studio_al.questions import LabelConfig, Readings
from label_studio_al.store import Store

# More tasks than that are read together with all others.
TASKS_ONE_BY_ONE = 1_000


class Labels:
    """The labels of a project's tasks by people, as of the last `refresh`. In one thread at a time."""

    def __init__(self, key: str, store: Store) -> None:
        self._key = key
        self._store = store
        self._forget()

    def _forget(self, config: LabelConfig | None = None) -> None:
        self._config = config
        self._revision = -1
        # The task of each annotation; by question and task the answer; by task the first annotation, and the reasons
        # why some teach nothing.
        self._task_of: dict[int, int] = {}
        self._answers: dict[str, dict[int, str]] = {} if config is None else {name: {} for name in config.names}
        self._first: dict[int, int] = {}
        self._ignored: dict[int, list[str]] = {}
        self._asked_since: dict[str, str] = {}

    def refresh(self, config: LabelConfig) -> None:
        """Bring it up to date with the store."""
        if config != self._config:
            self._forget(config)
        changes, revision, purged = self._store.annotations.changes(self._key, self._revision)
        if revision < self._revision or 0 <= self._revision < purged:
            # The store is another one (a backup), or deletions happened of which nothing tells any more.
            self._forget(config)
            changes, revision, _ = self._store.annotations.changes(self._key, self._revision)
        before = [self._task_of.get(annotation_id) for annotation_id, _ in changes]
        changed = {task_id for task_id in (*before, *(now for _, now in changes)) if task_id is not None}
        some = sorted(changed) if len(changed) <= TASKS_ONE_BY_ONE else None
        # Read before anything is taken over: should that fail, the next refresh finds all as it was.
        annotations = [one for one in self._store.annotations.all(self._key, some) if one.task_id in changed]
        readings = Readings(annotations, config)
        since = readings.asked_since() if len(config.questions) > 1 else {}
        if any(moment < self._asked_since.get(name, moment) for name, moment in since.items()):
            # A question is older than it seemed: what holds nothing of it may be an answer.
            self._forget(config)
            self.refresh(config)
            return
        self._asked_since = since | self._asked_since
        for annotation_id, task_id in changes:
            if task_id is None:
                self._task_of.pop(annotation_id, None)
            else:
                self._task_of[annotation_id] = task_id
        of_tasks: tuple[dict[int, Any], ...] = (*self._answers.values(), self._first, self._ignored)
        for known in of_tasks:
            for task_id in changed & known.keys():
                del known[task_id]
        self._take_over(annotations, readings)
        self._revision = revision

    def _take_over(self, annotations: Sequence[Annotation], readings: Readings) -> None:
        for name, found in readings.answers(self._asked_since).items():
            self._answers[name] |= found
        for one in annotations:
            self._first[one.task_id] = min(one.id, self._first.get(one.task_id, one.id))
        for reason, task_ids in readings.unread().items():
            for task_id in task_ids:
                self._ignored.setdefault(task_id, []).append(reason)

    @property
    def n_annotations(self) -> int:
        """How many annotations there are, skipped ones too."""
        return len(self._task_of)

    @property
    def task_ids(self) -> list[int]:
        """The tasks that have any, ascending."""
        return sorted(self._first)

    def in_order_of_arrival(self, among: Callable[[Sequence[int]], Sequence[int]]) -> dict[str, dict[int, str]]:
        """Answers by question and task, the task that was annotated first first. among: keeps some of the tasks."""
        return {
            name: {task_id: own[task_id] for task_id in among(sorted(own, key=self._first.__getitem__))}
            for name, own in self._answers.items()
        }

    def ignored(self) -> Mapping[str, Sequence[int]]:
        """The tasks of annotations that somebody gave and that teach nothing, ascending, by reason (see UNREAD)."""
        found: dict[str, list[int]] = {}
        for task_id in sorted(self._ignored):
            for reason in self._ignored[task_id]:
                found.setdefault(reason, []).append(task_id)
        return found
