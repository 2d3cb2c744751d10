"""Updates our copy of a project from Label Studio's API, which is the source of truth."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from label_studio_al.labeling import project_id_of, version_number
from label_studio_al.runtime.clock import SKEW_SECONDS, Clock, has_passed
from label_studio_al.runtime.errors import StudioRefused
from label_studio_al.store import Project, Store
from label_studio_al.studio import webhook_secret
from label_studio_al.studio.client import Studio
from label_studio_al.studio.projects import StudioProject

# Between two comparisons of everything. What happens meanwhile is asked for by its time of change.
COMPARE_SECONDS = 86_400.0
# Where the number of tasks differs although all changes were read, a deletion was not heard of, or a backup restored:
# everything is compared, which costs Label Studio half a millisecond a task. For a twentieth of the time at most.
COMPARE_AGAIN_SECONDS_A_TASK = 0.01
COMPARE_AGAIN_SECONDS_AT_MOST = 240.0
# How often numbers that differ are asked for again: what is labelled meanwhile is not lost.
LOOKS = 4
NO_DIFFERENCE = (0, 0)
BEGINNING = "1970-01-02T00:00:00.000000Z"
# A long import gives its tasks their time before anybody can see them.
OVERLAP_SECONDS = 10.0
# Annotations of more changed tasks than this are read all together.
MAX_TASKS_BY_ID = 500

log = logging.getLogger(__name__)


class Sync:
    """Makes the store equal to Label Studio, except for newer events."""

    def __init__(
        self,
        store: Store,
        studio: Studio,
        clock: Clock,
        backend_url: str | None = None,
        webhook_keys: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """backend_url: this backend's address. webhook_keys: what projects' webhook secrets are made from."""
        self._store = store
        self._studio = studio
        self._clock = clock
        self._backend_url = backend_url
        self._webhook_keys = webhook_keys
        # Projects whose webhooks this process has looked at.
        self._renewed: set[str] = set()
        # By project, see _difference: what made a comparison necessary, and what such a comparison has left as it was.
        self._compared_for: dict[str, tuple[int, int]] = {}
        self._known_differences: dict[str, tuple[int, int]] = {}

    def config(self, key: str) -> StudioProject:
        """Take the label config from the API: events and /setup may tell an older one late."""
        project_id = project_id_of(key)
        theirs = self._studio.projects.get(project_id)
        if theirs.key != key:
            raise StudioRefused(
                f"project {project_id} of Label Studio at {self._studio.url} is {theirs.key}, not {key}: "
                "it was created at another time, or LABEL_STUDIO_URL points to another Label Studio"
            )
        self._store.projects.sync_config(key, theirs.label_config, theirs.title)
        return theirs

    def run(self, key: str, until: float) -> bool:
        """Read what changed, or go on with the comparison of everything until `until` (`Clock.elapsed`).

        Returns whether nothing is left to compare: a first or daily comparison of many tasks takes several calls.
        """
        theirs = self.config(key)
        # First: what was refused until now is read below.
        self._renew_webhooks(key)
        project = self._store.projects.get(key)
        n_claims = len(self._store.updates.claims(key))
        if project.comparing_since is None and (n_claims > MAX_TASKS_BY_ID or self._must_compare(theirs, project)):
            project = self._begin_comparison(key, theirs)
        if project.comparing_since is not None and not self._compare(project, theirs.n_tasks, until):
            return False
        self._check_published(theirs, self._store.projects.get(key))
        self._store.projects.note_synced(key, self._clock.now())
        return True

    def check(self, key: str) -> bool:
        """Ask about the tasks of which events claimed that they, or labels of theirs, were changed or deleted.

        What Label Studio says of them is taken over. Returns False, and asks nothing, where they are so many that
        everything must be compared: see `run`.
        """
        # First: what is claimed from here on, while Label Studio answers, waits for the next turn.
        since = self._store.projects.get(key).revision
        claimed = self._store.updates.claims(key)
        if len(claimed) > MAX_TASKS_BY_ID:
            return False
        theirs = self.config(key)
        listed = self._studio.tasks.some(theirs.id, claimed)
        self._store.updates.sync_tasks(key, listed, since, set(claimed).difference(one.id for one in listed))
        self._compare_annotations(key, since, claimed)
        self._store.updates.settle_claims(key, since)
        return True

    def _renew_webhooks(self, key: str) -> None:
        """Once a process: webhooks that carry a secret of an earlier release, or of an older key, get the new one."""
        keys = () if key in self._renewed else self._webhook_keys()
        if not keys:
            return
        try:
            if self._studio.renew_webhooks(project_id_of(key), self._backend_url, webhook_secret(keys[0], key)):
                log.warning("project %s: its webhook carried another secret than the project's: replaced", key)
        except StudioRefused as exc:
            log.error("project %s: its webhook could not be looked at: %s", key, exc)
        self._renewed.add(key)

    # -- everything -------------------------------------------------------------------------------------------

    def _must_compare(self, theirs: StudioProject, project: Project) -> bool:
        """Read what changed; whether that cannot be all, so that everything must be compared."""
        key = project.key
        if has_passed(COMPARE_SECONDS, project.compared_at, self._clock.now()):
            return True
        known, newest = project.changed_through, self._studio.tasks.newest_change(theirs.id)
        if known is not None and theirs.told_at is not None and known > _later(theirs.told_at, SKEW_SECONDS):
            log.warning("project %s: Label Studio's clock was set back: all is compared", key)
            return True
        if (newest or "") < (known or "") or (newest != known and self._has_lost(key)):
            log.warning("project %s: Label Studio lacks what was heard of last (a backup?): all is compared", key)
            return True
        if newest != known:
            self._read_changes(project, theirs)
        return self._differs(theirs, project)

    def _has_lost(self, key: str) -> bool:
        """Whether Label Studio lacks our newest annotations, or has them as they were before, or their numbers anew."""
        for ours in self._store.annotations.newest(key):
            theirs = self._studio.tasks.annotation(ours.id)
            if theirs is None or theirs.task_id != ours.task_id or theirs.updated_at < ours.updated_at:
                return True
        return False

    def _differs(self, theirs: StudioProject, project: Project) -> bool:
        """Whether the numbers of tasks and annotations differ although all changes were read.

        People label meanwhile: only a difference that stays the same is one. One that a comparison has left, though it
        was made for it, is known: what is heard late during a comparison is left to the next one.
        """
        key, before = project.key, None
        pause = min(COMPARE_AGAIN_SECONDS_AT_MOST, COMPARE_AGAIN_SECONDS_A_TASK * theirs.n_tasks)
        if not has_passed(pause, project.compared_at, self._clock.now()):
            return False
        for _ in range(LOOKS):
            difference = self._difference(key, theirs)
            if difference in (before, NO_DIFFERENCE):
                break
            self._read_changes(self._store.projects.get(key), theirs)
            theirs, before = self._studio.projects.get(theirs.id), difference
        else:
            return False
        if difference in (NO_DIFFERENCE, self._known_differences.get(key)):
            return False
        log.warning(
            "project %s: %d tasks and %d annotations there, %+d and %+d here: all is compared",
            *(key, theirs.n_tasks, theirs.n_annotations, -difference[0], -difference[1]),
        )
        self._compared_for[key] = difference
        return True

    def _difference(self, key: str, theirs: StudioProject) -> tuple[int, int]:
        """How many tasks and annotations Label Studio has more than we."""
        return _difference(self._store, key, theirs.n_tasks, theirs.n_annotations)

    def _begin_comparison(self, key: str, theirs: StudioProject) -> Project:
        # Whatever changes from now on has a later time, also on pages that were read already.
        newest = _told_by_now(self._studio.tasks.newest_change(theirs.id), theirs)
        since = self._store.projects.get(key).revision
        self._store.projects.begin_comparison(key, since, newest)
        return self._store.projects.get(key)

    def _compare(self, project: Project, n_tasks: int, until: float) -> bool:
        key, since, after = project.key, project.comparing_since or 0, project.compared_through
        n_compared = int((project.progress or {}).get("done", 0))
        for page in self._studio.tasks.pages(project_id_of(key), after):
            through = page[-1].task.id
            self._store.updates.compare_tasks(key, [one.task for one in page], after, through, since)
            n_compared += len(page)
            after = through
            self._store.projects.note_compared(key, after, n_compared, n_tasks)
            if self._clock.elapsed() >= until:
                return False
        self._store.updates.compare_tasks(key, [], after, None, since)
        self._compare_annotations(key, since)
        self._store.updates.finish_comparison(key, since, self._clock.now())
        self._store.projects.hide_progress(key)
        left = self._difference(key, self._studio.projects.get(project_id_of(key)))
        if self._compared_for.pop(key, None) == left:
            self._known_differences[key] = left
        return True

    # -- changes ----------------------------------------------------------------------------------------------

    def _read_changes(self, project: Project, theirs: StudioProject) -> None:
        key, since, newest = project.key, project.revision, project.changed_through
        changed: list[int] = []
        for page in self._studio.tasks.pages(theirs.id, changed_after=_later(newest or BEGINNING, -OVERLAP_SECONDS)):
            self._store.updates.sync_tasks(key, [one.task for one in page], since)
            changed += [one.task.id for one in page]
            newest = max(newest or "", *(one.changed_at for one in page))
        self._compare_annotations(key, since, changed)
        self._store.projects.note_changed_through(key, _told_by_now(newest, theirs))

    def _compare_annotations(self, key: str, since: int, task_ids: Sequence[int] | None = None) -> None:
        """Take over the annotations of some tasks, or of all. Ours go only where Label Studio says that they are gone.

        It says so of a task that it lists without them. How many it counts on a task says nothing: see
        docs/label-studio.md. Nor does a task that it leaves out: that one is asked for by its number.
        """
        project_id, ours = project_id_of(key), self._store.annotations.ids(key, since, task_ids)
        if task_ids is not None and len(task_ids) <= MAX_TASKS_BY_ID:
            found = self._studio.tasks.answers(project_id, task_ids)
        else:
            found = self._studio.tasks.answers(project_id)
            found |= self._studio.tasks.answers(project_id, sorted(ours.keys() - found.keys()))
        among = found.keys() if task_ids is None else found.keys() & set(task_ids)
        listed = [one for task_id in among for one in found[task_id].annotations]
        unlisted = [(one, task_id) for task_id in ours.keys() - found.keys() for one in ours[task_id]]
        gone = [one for task_id in ours.keys() & found.keys() for one in ours[task_id]]
        gone += [one for one, task_id in unlisted if not self._has_annotation(one, task_id)]
        self._store.updates.compare_annotations(key, listed, set(gone).difference(one.id for one in listed), since)

    def _has_annotation(self, annotation_id: int, task_id: int) -> bool:
        """Whether Label Studio has an annotation of that number, on that task: numbers are given over all projects."""
        theirs = self._studio.tasks.annotation(annotation_id)
        return theirs is not None and theirs.task_id == task_id

    # -- what is published ------------------------------------------------------------------------------------

    def _check_published(self, theirs: StudioProject, project: Project) -> None:
        """Note what Label Studio lacks, or still has, of what we published."""
        key = project.key
        n_predictions = self._studio.predictions.versions(theirs.id)
        # A version that was given out before our store was lost must not be given out again.
        numbers = [
            version_number(name, self._store.installation) or 0 for name in (theirs.model_version, *n_predictions)
        ]
        self._store.projects.skip_numbers(key, max(numbers))
        current = self._store.versions.find(project.version_id)
        # Only what bears this installation's name: "al-3" may be anybody's import.
        ours = [name for name in n_predictions if version_number(name, self._store.installation)]
        stale = [name for name in ours if current is None or name != current.name]
        self._store.projects.add_stale(key, stale)
        if current is None:
            return
        pushed = self._store.tasks.some(key, sorted(self._store.windows.pushed(current.id)))
        if n_predictions.get(current.name, 0) < len(pushed):
            log.warning("project %s: predictions of %s are missing: pushed anew", key, current.name)
            self._store.projects.want_training(key, self._clock.now())
        elif theirs.model_version != current.name and project.is_switched:
            log.warning("project %s points to %r, not to %s: repaired", key, theirs.model_version, current.name)
            self._store.projects.note_switched(key, False)


class CountCheck:
    """Finds projects with lost events by one request for all of them: how many tasks and annotations each has.

    It does not show changes of a label or a text. Each project's own sync finds those.
    """

    def __init__(self, store: Store, studio: Studio) -> None:
        self._store = store
        self._studio = studio
        # By project, the difference that a sync was last wanted for, which may have left it: see Sync.
        self._told: dict[str, tuple[int, int]] = {}

    def run(self, keys: Sequence[str]) -> None:
        """Want a sync of those of the projects whose counts differ from ours. Raises StudioError."""
        by_id = {project_id_of(key): key for key in keys}
        for project_id, (n_tasks, n_annotations) in self._studio.projects.counts(sorted(by_id)).items():
            key = by_id[project_id]
            found = _difference(self._store, key, n_tasks, n_annotations)
            if found == NO_DIFFERENCE:
                self._told.pop(key, None)
            elif self._told.get(key) != found:
                self._told[key] = found
                self._store.projects.want_sync(key)


def _difference(store: Store, key: str, n_tasks: int, n_annotations: int) -> tuple[int, int]:
    """How many tasks and annotations Label Studio, which has so many of a project, has more than we."""
    ours = store.tasks.counts(key)
    return n_tasks - ours["tasks"], n_annotations - ours["annotations"]


def _told_by_now(newest: str | None, theirs: StudioProject) -> str | None:
    """The newest change, but none that Label Studio's clock has not come to: it was set back, and comes there again."""
    if newest is None or theirs.told_at is None:
        return newest
    return min(newest, _later(theirs.told_at, 1.0))


def _later(time: str, seconds: float) -> str:
    """So many seconds after a time of Label Studio's."""
    moment = datetime.fromisoformat(time.replace("Z", "+00:00")) + timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
