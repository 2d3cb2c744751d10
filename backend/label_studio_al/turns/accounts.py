"""What turns record about themselves: activity, steps, counters and the history."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from label_studio_al.pool.tasks import Pool, PoolChanges
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.counting import Counts
from label_studio_al.runtime.errors import StudioUnreachable
from label_studio_al.store import Project, Store, Turn
from label_studio_al.store.activity import Activity
from label_studio_al.turns import retrying
from label_studio_al.turns.subject import Progress

log = logging.getLogger(__name__)


class Accounts:
    """Keeps them in the store and among the process's counters."""

    def __init__(self, store: Store, clock: Clock, counts: Counts) -> None:
        self._store = store
        self._clock = clock
        self._counts = counts
        # When what the last turn trained on was heard, by project.
        self.heard_at: dict[str, float] = {}

    def begin(self, project: Project) -> Progress:
        """A turn that begins now. Counts how long an event waited for it, where an event told what changed."""
        progress = Progress(project.n_turns, self._clock.now(), self._clock.elapsed())
        is_heard = self.heard_at.get(project.key) != project.heard_at
        if is_heard and project.revision > project.seen_revision:
            # Another machine's clock may be a little ahead.
            delay = max(0.0, progress.started_at - project.heard_at)
            self._counts.observe("label_studio_al_queue_delay_seconds", delay)
        self.heard_at[project.key] = project.heard_at
        return progress

    def show_features(self, project: Project, pool: Pool, changes: PoolChanges) -> None:
        """Say how many texts are features; once all are, nothing."""
        if changes.is_complete:
            if (project.progress or {}).get("what") == "features":
                self._store.projects.hide_progress(project.key)
            return
        shown = project.progress or {}
        # Counted once: that takes a tenth of a second for a million.
        is_counted = shown.get("what") == "features"
        total = shown["total"] if is_counted else self._store.tasks.counts(project.key)["tasks"]
        self._store.projects.show_progress(project.key, "features", pool.n_tasks, total)

    @contextmanager
    def step(self, key: str, progress: Progress, name: str, activity: Activity | None = None) -> Iterator[None]:
        """Measures a step while the `with` lasts, and says what is being done."""
        if activity is not None:
            self._store.projects.show_activity(key, activity)
        began = self._clock.elapsed()
        try:
            yield
        finally:
            progress.steps[name] = progress.steps.get(name, 0.0) + self._clock.elapsed() - began

    def finish(self, key: str, progress: Progress) -> None:
        """A turn came to its end."""
        self.count(progress, "kept" if progress.version is None else "published")
        if progress.done:
            self._record(key, progress, "; ".join(progress.done))

    def fail(self, project: Project, progress: Progress, exc: Exception) -> None:
        """A turn failed."""
        is_ours, sentence = retrying.is_ours(exc), retrying.sentence_of(exc)
        level = logging.WARNING if isinstance(exc, StudioUnreachable) else logging.ERROR
        traceback = exc if is_ours else None
        log.log(level, "project %s: the turn failed: %s", project.key, sentence, exc_info=traceback)
        seen = project.revision if progress.revision is None else progress.revision
        failure = retrying.failure_of(project, exc, seen, self._clock.now())
        self._store.projects.fail_turn(project.key, failure)
        self._record(project.key, progress, f"failed: {sentence}")
        self.count(progress, "failed")

    def count(self, progress: Progress, outcome: str) -> None:
        """Count a turn and its steps."""
        self._counts.add("label_studio_al_turns_total", outcome=outcome)
        self._counts.observe("label_studio_al_turn_seconds", self._clock.elapsed() - progress.began, outcome=outcome)
        for step, seconds in progress.steps.items():
            self._counts.observe("label_studio_al_step_seconds", seconds, step=step)

    def _record(self, key: str, progress: Progress, outcome: str) -> None:
        turn = Turn(
            started_at=progress.started_at,
            seconds=self._clock.elapsed() - progress.began,
            outcome=outcome,
            version=progress.version,
            n_labels=progress.n_labels,
            steps=progress.steps,
        )
        self._store.turns.record(key, turn)
        log.info("project %s: %s (%.2f s)", key, outcome, turn.seconds)
