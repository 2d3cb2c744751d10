"""After a failed turn: retry after a pause, or park the project until something changes."""

from __future__ import annotations

from label_studio_al.runtime.errors import (
    BackendError,
    FeaturesNotStored,
    StudioError,
    StudioUnreachable,
    TurnsCutShort,
    UnsupportedConfig,
)
from label_studio_al.store import Failure, Project, Standing
from label_studio_al.store.activity import WAITING_FOR_A_CHANGE, WAITING_FOR_THE_NEXT_TRY, Activity

# A turn that failed is taken again, after growing pauses. What fails again and again on our side is parked: only a
# change starts another turn. What others must fix (Label Studio, a disk) is tried for ever: no event tells that it is
# fixed.
RETRY_SECONDS_AT_FIRST = 2.0
RETRY_SECONDS_AT_MOST = 300.0
OUTAGE_SECONDS_AT_MOST = 10.0
DISK_SECONDS_AT_MOST = 20.0
PARKED_AFTER = 8
# A turn that was cut short is taken again at once. One that cuts itself short each time (a task that crashes a library,
# or takes all memory) would take the other projects' turns along, over and over.
CUT_SHORT_ALLOWED = 2
# `serve` gives up a process that ends five times in a minute.
CUT_SHORT_SECONDS = 20.0


def pause_after(exc: Exception, n_failures: int) -> float | None:
    """Seconds to the next try; None where only a change can help. n_failures: how many turns in a row failed before."""
    grown = RETRY_SECONDS_AT_FIRST * 2.0 ** min(n_failures, 16)
    if isinstance(exc, StudioUnreachable):
        return max(min(OUTAGE_SECONDS_AT_MOST, grown), min(RETRY_SECONDS_AT_MOST, exc.retry_after or 0.0))
    if isinstance(exc, StudioError):
        return min(RETRY_SECONDS_AT_MOST, grown)
    if isinstance(exc, FeaturesNotStored):
        return min(DISK_SECONDS_AT_MOST, grown)
    if isinstance(exc, UnsupportedConfig) or n_failures + 1 >= PARKED_AFTER:
        return None
    if isinstance(exc, TurnsCutShort):
        return CUT_SHORT_SECONDS
    return min(RETRY_SECONDS_AT_MOST, grown)


def is_ours(exc: Exception) -> bool:
    """Whether a failure is a bug in this program; people then see only its kind."""
    return not isinstance(exc, BackendError)


def sentence_of(exc: Exception) -> str:
    """The message about a failure for people."""
    return f"internal error ({type(exc).__name__}): see the log" if is_ours(exc) else str(exc)


def failure_of(project: Project, exc: Exception, seen_revision: int, now: float) -> Failure:
    """What the project's row says after a turn failed that had seen this revision."""
    pause = pause_after(exc, project.n_failures)
    is_parked = pause is None
    is_outage = isinstance(exc, StudioUnreachable)
    return Failure(
        # Why a project is parked stays to be read, whatever fails while it is.
        error=sentence_of(exc) if is_parked or not project.is_parked else None,
        activity=Activity(WAITING_FOR_A_CHANGE if is_parked else WAITING_FOR_THE_NEXT_TRY),
        seen_revision=seen_revision,
        n_failures=project.n_failures + 1,
        n_unfinished=project.n_unfinished - 1 if isinstance(exc, TurnsCutShort) else 0,
        retry_at=None if pause is None else now + pause,
        unreachable_since=(project.unreachable_since or now) if is_outage else None,
    )


def is_cut_short_too_often(project: Standing) -> bool:
    """Whether the turns before this one, which has begun, never came to their end."""
    return project.n_unfinished - 1 >= CUT_SHORT_ALLOWED


def cut_short(project: Standing) -> TurnsCutShort:
    """The failure of such a turn."""
    return TurnsCutShort(
        f"the last {project.n_unfinished - 1} turns did not come to their end: their process was killed or ran out of "
        "memory, or the database went away"
    )
