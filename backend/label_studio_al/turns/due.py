"""When a project needs a turn, and how long to wait before it begins."""

from __future__ import annotations

from label_studio_al.runtime.clock import has_passed, is_due
from label_studio_al.runtime.settings import Settings
from label_studio_al.store import Project, Standing
from label_studio_al.turns.retrying import RETRY_SECONDS_AT_MOST

# A person's label is trained on at once; a bulk import is waited for: the more has changed, the longer a pause must be.
SETTLE_SECONDS_AN_EVENT = 0.02
SETTLE_SECONDS_AT_MOST = 1.0
SETTLE_SECONDS_IN_ALL = 4.5
SETTLE_POLL_SECONDS = 0.02
# Deleting predictions costs Label Studio 5 ms each, and whoever submits meanwhile waits: older versions' predictions
# are deleted when nobody has labelled for a while, or when very many wait.
IDLE_SECONDS = 15.0
OLDER_VERSIONS_AT_MOST = 50
# A question what changed costs a third of a second, here and at Label Studio together (benchmarks/idle.py). So many
# projects in which nothing happens are asked about one every so many seconds, but each of them every hour.
ROUTINE_SECONDS = 90.0
ROUTINE_SECONDS_AT_MOST = 3600.0


def needs_turn(project: Standing, settings: Settings, now: float, *, has_studio: bool, n_projects: int = 1) -> bool:
    """Whether a turn would find something to do. n_projects: how many there are in all."""
    if project.is_paused:
        return False
    if project.retry_at is not None:
        return is_retry_due(project, now)
    if project.revision > project.seen_revision:
        return True
    if not has_studio:
        return False
    is_routine_due = has_passed(routine_seconds(settings.sync_seconds, n_projects), project.synced_at, now)
    if project.is_parked:
        return project.sync_wanted or is_routine_due
    is_published = project.version_id is None or (project.is_switched and project.is_window_pushed)
    is_unfinished = not is_published and project.error is None
    return project.sync_wanted or is_routine_due or is_unfinished or is_prune_due(project, now)


def has_changes(project: Standing) -> bool:
    """Whether a turn would look at what changed: not while the project is paused, or waits after a failure."""
    is_held = project.is_paused or project.is_parked or project.retry_at is not None
    return project.revision > project.seen_revision and not is_held


def is_settled(project: Project, now: float) -> bool:
    """Whether there was a pause after the last change, the longer the more has changed."""
    n_changes = project.revision - max(0, project.seen_revision)
    pause = min(SETTLE_SECONDS_AT_MOST, SETTLE_SECONDS_AN_EVENT * n_changes)
    return has_passed(pause, project.heard_at, now)


def is_retry_due(project: Standing, now: float) -> bool:
    """Whether a project whose last turn failed may have another one."""
    return project.retry_at is None or is_due(project.retry_at, RETRY_SECONDS_AT_MOST, now)


def is_sync_due(project: Project, sync_seconds: float, now: float) -> bool:
    """Whether a turn asks Label Studio what has changed."""
    # Of a turn that was cut short nobody knows what it has done.
    return project.sync_wanted or has_passed(sync_seconds, project.synced_at, now) or project.n_unfinished > 1


def routine_seconds(sync_seconds: float, n_projects: int) -> float:
    """Seconds between two questions what changed in a project where nothing happens, with so many projects."""
    return max(sync_seconds, min(ROUTINE_SECONDS_AT_MOST, ROUTINE_SECONDS * n_projects))


def is_prune_due(project: Standing, now: float) -> bool:
    """Whether older versions' predictions should be deleted: nobody labels, or they are too many."""
    n_stale = len(project.stale_versions)
    return n_stale > OLDER_VERSIONS_AT_MOST or (n_stale > 0 and is_idle(project, now))


def is_idle(project: Standing, now: float) -> bool:
    """Whether nobody has labelled for a while."""
    return has_passed(IDLE_SECONDS, project.heard_at, now)
