"""Our copy of a project, brought up to date with Label Studio's API, which is the truth."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from backend.clock import Clock
from backend.errors import StudioRefused
from backend.labeling import project_id_of, version_number
from backend.store import Project, Store
from backend.studio.client import TASKS_A_REQUEST, ListedTask, Studio, StudioProject

# Between two comparisons of everything. What happens meanwhile is asked for by its time of change.
COMPARE_SECONDS = 86_400.0
# Where the number of tasks differs although all changes were read, a deletion was not heard of, or a backup restored:
# everything is compared, which costs Label Studio half a millisecond a task. For a twentieth of the time at most.
COMPARE_AGAIN_SECONDS_A_TASK = 0.01
COMPARE_AGAIN_SECONDS_AT_MOST = 240.0
# A long import gives its tasks their time before anybody can see them.
OVERLAP_SECONDS = 10.0
# Annotations of more changed tasks than this are read all together.
MAX_TASKS_BY_ID = 500

log = logging.getLogger(__name__)


class Sync:
    """Makes the store equal to Label Studio, except where something newer was heard meanwhile."""

    def __init__(self, store: Store, studio: Studio, clock: Clock) -> None:
        self._store = store
        self._studio = studio
        self._clock = clock

    def config(self, key: str) -> StudioProject:
        """Take the label config from the API: events and /setup may tell an older one late."""
        project_id = project_id_of(key)
        theirs = self._studio.project(project_id)
        if theirs.key != key:
            raise StudioRefused(
                f"project {project_id} of Label Studio at {self._studio.url} is {theirs.key}, not {key}: "
                "it was created at another time, or LABEL_STUDIO_URL points to another Label Studio"
            )
        self._store.sync_config(key, theirs.label_config, theirs.title)
        return theirs

    def run(self, key: str, until: float) -> bool:
        """Read what changed, or go on with the comparison of everything until the time `until`.

        Returns whether nothing is left to compare: a first or daily comparison of many tasks takes several calls.
        """
        theirs = self.config(key)
        project = self._store.project(key)
        if project.comparing_since is None:
            is_due = self._is_comparison_due(project)
            if not is_due:
                self._read_changes(project)
                is_due = self._has_vanished(theirs, project)
            if is_due:
                project = self._begin_comparison(key)
        if project.comparing_since is not None and not self._compare(project, theirs.n_tasks, until):
            return False
        self._check_published(theirs, self._store.project(key))
        self._store.update(key, synced_at=self._clock.now())
        return True

    # -- everything -------------------------------------------------------------------------------------------

    def _is_comparison_due(self, project: Project) -> bool:
        return project.compared_at is None or self._clock.now() - project.compared_at >= COMPARE_SECONDS

    def _has_vanished(self, theirs: StudioProject, project: Project) -> bool:
        """Whether the number of tasks differs although all changes were read."""
        pause = min(COMPARE_AGAIN_SECONDS_AT_MOST, COMPARE_AGAIN_SECONDS_A_TASK * theirs.n_tasks)
        if self._clock.now() - (project.compared_at or 0.0) < pause:
            return False
        n_ours = self._store.counts(project.key)["tasks"]
        if theirs.n_tasks != n_ours:
            log.warning("project %s: %d tasks here, %d there: all are compared", project.key, n_ours, theirs.n_tasks)
        return theirs.n_tasks != n_ours

    def _begin_comparison(self, key: str) -> Project:
        # Whatever changes from now on has a later time, also on pages that were read already.
        newest = self._studio.newest_change(project_id_of(key))
        since = self._store.project(key).revision
        self._store.update(key, comparing_since=since, compared_through=0, changed_through=newest, progress=None)
        return self._store.project(key)

    def _compare(self, project: Project, n_tasks: int, until: float) -> bool:
        key, since, after = project.key, project.comparing_since or 0, project.compared_through
        n_compared = int((project.progress or {}).get("done", 0))
        for page in self._studio.tasks(project_id_of(key), after):
            through = page[-1].task.id
            self._store.compare_tasks(key, [one.task for one in page], after, through, since)
            n_compared += len(page)
            after = through
            self._store.show_progress(key, "sync", n_compared, n_tasks, compared_through=after)
            if self._clock.now() >= until:
                return False
        self._store.compare_tasks(key, [], after, None, since)
        self._store.compare_annotations(key, self._studio.annotations(project_id_of(key)), since)
        self._store.finish_comparison(key, since, self._clock.now())
        self._store.update(key, progress=None)
        return True

    # -- changes ----------------------------------------------------------------------------------------------

    def _read_changes(self, project: Project) -> None:
        key, since = project.key, project.revision
        newest = project.changed_through
        for page in self._studio.tasks(project_id_of(key), changed_after=_earlier(newest)):
            self._store.sync_tasks(key, [one.task for one in page], since)
            self._read_annotations(key, page, since)
            newest = max(newest or "", *(one.changed_at for one in page))
        self._store.update(key, changed_through=newest)

    def _read_annotations(self, key: str, page: Sequence[ListedTask], since: int) -> None:
        annotated = [one.task.id for one in page if one.n_annotations]
        asked: Iterable[Sequence[int] | None] = _parts(annotated)
        if len(annotated) > MAX_TASKS_BY_ID:
            asked = [None]
        found = [one for some in asked for one in self._studio.annotations(project_id_of(key), some)]
        ids = [one.task.id for one in page]
        among = set(ids)
        self._store.compare_annotations(key, [one for one in found if one.task_id in among], since, ids)

    # -- what is published ------------------------------------------------------------------------------------

    def _check_published(self, theirs: StudioProject, project: Project) -> None:
        """Note what Label Studio lacks, or still has, of what we published."""
        key = project.key
        n_predictions = self._studio.model_versions(theirs.id)
        # A version that was given out before our store was lost must not be given out again.
        numbers = [version_number(name) or 0 for name in (theirs.model_version, *n_predictions)]
        self._store.skip_numbers(key, max(numbers))
        current = self._store.find_version(project.version_id)
        stale = [name for name in n_predictions if version_number(name) and (current is None or name != current.name)]
        self._store.add_stale(key, stale)
        if current is None:
            return
        pushed = self._store.tasks(key, list(self._store.window(current.id)))
        if n_predictions.get(current.name, 0) < len(pushed):
            log.warning("project %s: predictions of %s are missing: pushed anew", key, current.name)
            self._store.want_training(key, self._clock.now())
        elif theirs.model_version != current.name and project.is_switched:
            log.warning("project %s points to %r, not to %s: repaired", key, theirs.model_version, current.name)
            self._store.update(key, is_switched=False)


def _earlier(time: str | None) -> str:
    """A little before a time of Label Studio's; the beginning of time for None."""
    if time is None:
        return "1970-01-01T00:00:00.000000Z"
    moment = datetime.fromisoformat(time.replace("Z", "+00:00")) - timedelta(seconds=OVERLAP_SECONDS)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _parts(task_ids: Sequence[int]) -> list[Sequence[int]]:
    return [task_ids[first : first + TASKS_A_REQUEST] for first in range(0, len(task_ids), TASKS_A_REQUEST)]
