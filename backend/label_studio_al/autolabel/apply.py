"""Sets automatic labels in Label Studio, and undoes them.

The plan is stored first, and its outcome is read from Label Studio afterwards. So the next call recovers from a kill at
any line, and no label is set twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from label_studio_al.labeling import automatic_prediction, batch_version, project_id_of, run_of
from label_studio_al.questions import LabelConfig
from label_studio_al.runtime.clock import Clock
from label_studio_al.store import Store
from label_studio_al.store.automation import (
    APPLIED,
    KEPT,
    LABELLED,
    PLANNED,
    REMOVED,
    SKIPPED,
    UNDOING,
    UNDONE,
    AutomaticLabel,
    Run,
)
from label_studio_al.studio.client import Studio
from label_studio_al.studio.tasks import Answers

# As large as Label Studio deletes within seconds: whoever submits meanwhile waits.
BATCH = 500

log = logging.getLogger(__name__)

Report = Callable[[int], None]


class Applier:
    """Applies and undoes the runs of one project; one at a time (see Store.autolabel_lock)."""

    def __init__(self, store: Store, studio: Studio, clock: Clock, key: str, config: LabelConfig) -> None:
        self._automation = store.automation
        self._store = store
        self._studio = studio
        self._clock = clock
        self._key = key
        self._config = config
        self._project_id = project_id_of(key)

    def apply(self, run: Run, report: Report) -> None:
        """Set what is left of a run's labels. report: takes how many tasks were dealt with since the last time."""
        was_interrupted = self._resume(run, report)
        for batch in _batches(self._automation.labels(run, PLANNED)):
            self._send(run, batch)
            report(self._settle(run, batch))
        if was_interrupted:
            # A call whose answer was lost may have taken effect after it was looked for.
            for batch in _batches(self._automation.labels(run, LABELLED, SKIPPED)):
                self._settle(run, batch)
        self._automation.set_state(run, APPLIED)
        self._studio.tabs.add_automatic(self._project_id)
        # What is held back comes first in the queue, without the label filled in: under another version.
        self._store.projects.want_training(self._key, self._clock.now())

    def undo(self, run: Run, report: Report) -> None:
        """Undo what is left of a run's labels, except those that a person has changed since."""
        self._automation.set_state(run, UNDOING)
        for batch in _batches(_sent(self._automation.labels(run, LABELLED, PLANNED))):
            self._clear(run, batch)
            report(len(batch))
        # The worker deletes them while nobody labels.
        versions = self._studio.predictions.versions(self._project_id)
        self._store.projects.add_stale(self._key, [name for name in versions if run_of(name) == run.number])
        self._automation.set_state(run, UNDONE)
        # Webhooks may be lost, and a project in which nothing happens is compared once an hour.
        self._store.projects.want_sync(self._key)
        self._store.projects.want_training(self._key, self._clock.now())

    # -- setting ----------------------------------------------------------------------------------------------

    def _resume(self, run: Run, report: Report) -> bool:
        """Find out what became of the batch that was under way when somebody was killed; whether there was one."""
        sent = _sent(self._automation.labels(run, PLANNED))
        if not sent:
            return False
        report(self._settle(run, sent, gives_up=False))
        n_predictions = self._studio.predictions.versions(self._project_id)
        left = _sent(self._automation.labels(run, PLANNED))
        for number in sorted({one.batch or 0 for one in left}):
            batch = [one for one in left if one.batch == number]
            version = batch_version(run.number, number)
            if n_predictions.get(version, 0) >= len(batch):
                # Under the same version no task is labelled twice, however often it is asked for.
                self._studio.tasks.label_from_predictions(self._project_id, [one.task_id for one in batch], version)
                report(self._settle(run, batch, gives_up=False))
            elif version in n_predictions:
                self._store.projects.add_stale(self._key, [version])
        return True

    def _send(self, run: Run, batch: Sequence[AutomaticLabel]) -> None:
        still_open = self._studio.tasks.unanswered(self._project_id, [one.task_id for one in batch])
        sent = [one for one in batch if one.task_id in still_open]
        number = self._automation.reserve_batch(run, [one.task_id for one in batch])
        if not sent:
            return
        predictions = [
            {
                "task": one.task_id,
                **automatic_prediction(run.number, number, self._result(one)),
            }
            for one in sent
        ]
        self._studio.predictions.push(self._project_id, predictions)
        self._studio.tasks.label_from_predictions(
            self._project_id, [one.task_id for one in sent], batch_version(run.number, number)
        )

    def _settle(self, run: Run, batch: Sequence[AutomaticLabel], *, gives_up: bool = True) -> int:
        """Write down what became of tasks that were sent; gives how many are done with.

        gives_up: whether a task without any label is left to people (it was deleted, or answered and cleared since).
        """
        found = self._studio.tasks.answers(self._project_id, [one.task_id for one in batch])
        settled = [self._settled(one, found.get(one.task_id), gives_up=gives_up) for one in batch]
        self._automation.note(run, [new for old, new in zip(batch, settled, strict=True) if new != old])
        return sum(one.state != PLANNED for one in settled)

    def _settled(self, label: AutomaticLabel, answers: Answers | None, *, gives_up: bool) -> AutomaticLabel:
        if answers is None or not answers.annotations:
            return replace(label, state=SKIPPED if gives_up else PLANNED, annotation_id=None)
        ours = sorted(one.id for one in answers.annotations if one.is_automatic)
        by_people = [one for one in answers.annotations if not one.is_automatic]
        kept = [] if by_people else ours[:1]
        for surplus in ours[len(kept) :]:
            self._studio.tasks.delete_annotation(surplus)
        if kept:
            return replace(label, state=LABELLED, annotation_id=kept[0])
        is_edited = label.annotation_id in [one.id for one in by_people]
        return replace(label, state=KEPT if is_edited else SKIPPED)

    def _result(self, label: AutomaticLabel) -> list[dict[str, Any]]:
        return self._config.write({name: (answer, label.probability) for name, answer in label.answers.items()})

    # -- taking back ------------------------------------------------------------------------------------------

    def _clear(self, run: Run, batch: Sequence[AutomaticLabel]) -> None:
        moment = self._studio.tasks.newest_change(self._project_id)
        task_ids = [one.task_id for one in batch]
        before = self._studio.tasks.answers(self._project_id, task_ids)
        pure = [task_id for task_id in task_ids if task_id in before and _is_pure(before[task_id])]
        if pure and moment is not None:
            self._studio.tasks.clear(self._project_id, pure, moment)
        left = self._studio.tasks.answers(self._project_id, task_ids)
        cleared = []
        for one in batch:
            answers = left.get(one.task_id)
            given = () if answers is None else answers.annotations
            ours = [one.id for one in given if one.is_automatic]
            if answers is None or not given or (ours and not answers.has_draft):
                for annotation_id in ours:
                    self._studio.tasks.delete_annotation(annotation_id)
                cleared.append(replace(one, state=REMOVED))
            else:
                # A person has changed it, or is about to.
                cleared.append(replace(one, state=KEPT))
        self._automation.note(run, cleared)


def _is_pure(answers: Answers) -> bool:
    """Whether a task has our label and nothing else."""
    return len(answers.annotations) == 1 and answers.annotations[0].is_automatic and not answers.has_draft


def _sent(labels: Sequence[AutomaticLabel]) -> list[AutomaticLabel]:
    return [one for one in labels if one.batch is not None]


def _batches(labels: Sequence[AutomaticLabel]) -> list[Sequence[AutomaticLabel]]:
    return [labels[first : first + BATCH] for first in range(0, len(labels), BATCH)]
