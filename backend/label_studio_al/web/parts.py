"""What the views work with."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import sqlalchemy as sa
from flask import current_app

from label_studio_al.learners.published import Models
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.counting import Counts
from label_studio_al.runtime.database import UNAVAILABLE, CorruptDatabase, set_aside, unavailable
from label_studio_al.runtime.memory import let_go_of_files
from label_studio_al.runtime.settings import Settings
from label_studio_al.store import Project, Signer, Store

# What others can cause as often as they like is said so often, with how many there were.
SELDOM_SECONDS = 60.0
# A database that did not answer is not asked for so long: each request would wait for it.
REST_SECONDS = 1.0
# Under an overload something is missed all the time: Label Studio is asked in between only.
CATCH_UP_SECONDS = 5.0
_TICKS_TO_FORGET = 30
_TICKS_TO_COUNT = 5

log = logging.getLogger(__name__)


class Resting(sa.exc.TimeoutError):
    """The database is not asked just now."""


@dataclass(frozen=True)
class Known:
    """A project, and id and name of its current version: None before the first.

    checks: tasks that people label without seeing a prediction.
    """

    project: Project
    version: tuple[int, str] | None
    checks: frozenset[int] = frozenset()


@dataclass
class Parts:
    """The app's own objects; one set an app."""

    settings: Settings
    store: Store
    signer: Signer
    clock: Clock = field(default_factory=Clock)
    models: Models = field(init=False)
    counts: Counts = field(init=False, default_factory=Counts)
    # When a sync was last wanted since somebody opened a task (`Clock.elapsed`), by project.
    sync_wanted_at: dict[str, float] = field(init=False, default_factory=dict)
    _last_known: dict[str, Known] = field(init=False, default_factory=dict)
    # What was told meanwhile is not written down anywhere: the database did not answer, or did not take it.
    _is_behind: bool = field(init=False, default=False)
    _catches_up_at: float = field(init=False, default=-math.inf)
    _rests_until: float = field(init=False, default=-math.inf)
    _silent_until: float = field(init=False, default=-math.inf)
    # When a sentence of each kind may be said again, and how many were not said.
    _unsaid: dict[str, tuple[float, int]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.models = Models(self.store, self.signer, self.settings.features_dir, self.settings.embeddings_dir)

    def known(self, key: str) -> Known:
        """The project as it is or, while the database is away, as it was last seen. Raises UnknownProject."""
        try:
            self.check_rest()
            checks = frozenset(self.store.automation.checks(key))
            known = Known(self.store.projects.get(key), self.store.versions.current_name(key), checks)
        except UNAVAILABLE as exc:
            if key not in self._last_known:
                raise
            self.note_outage(exc)
            return self._last_known[key]
        self._last_known[key] = known
        return known

    def note_outage(self, exc: Exception) -> None:
        """Remember that the database did not answer; the log says so once an outage."""
        if isinstance(exc, Resting):
            return
        log.log(logging.DEBUG if self._is_behind else logging.ERROR, "%s", unavailable(exc))
        self._rests_until = self.clock.elapsed() + REST_SECONDS
        self.miss()
        if isinstance(exc, CorruptDatabase):
            set_aside(exc)

    def miss(self) -> None:
        """Remember that something may have been told that is not written down."""
        self._is_behind = True

    def may_say_refusal(self) -> bool:
        """True once a second: who tries passwords must not fill the log."""
        if self.clock.elapsed() < self._silent_until:
            return False
        self._silent_until = self.clock.elapsed() + 1.0
        return True

    def say_seldom(self, kind: str, sentence: str, *what: object) -> None:
        """Log the first of a kind, then one a minute at most, with how many were left out. Kinds are few."""
        until, n_unsaid = self._unsaid.get(kind, (-math.inf, 0))
        if self.clock.elapsed() < until:
            self._unsaid[kind] = (until, n_unsaid + 1)
            return
        self._unsaid[kind] = (self.clock.elapsed() + SELDOM_SECONDS, 0)
        left_out = f" ({n_unsaid} more like it since the last line)" if n_unsaid else ""
        log.warning(sentence + left_out, *what)

    def check_rest(self) -> None:
        """Raises Resting while the database is left alone."""
        if self.clock.elapsed() < self._rests_until:
            raise Resting("the database did not answer a moment ago")

    def catch_up(self) -> None:
        """Have Label Studio asked for what was missed, now or soon. Raises Resting, or what the database raises."""
        self.check_rest()
        if not self._is_behind or self.clock.elapsed() < self._catches_up_at:
            return
        # First: what is missed from here on is asked for the next time.
        self._is_behind = False
        try:
            # It may be another database: restored, or begun anew.
            self.store.migrate()
            self.store.projects.want_syncs()
        except Exception:
            self._is_behind = True
            raise
        self._catches_up_at = self.clock.elapsed() + CATCH_UP_SECONDS
        log.warning("something may have been missed: every project is compared with Label Studio")

    def keep_up(self, is_over: threading.Event) -> None:
        """Catch up once a second until it is over: no further request may come that would.

        Every five seconds it adds up what was counted (also at the end) and lets go of mapped files, and every half
        minute of projects that were forgotten.
        """
        for tick in count():
            if is_over.wait(REST_SECONDS):
                self.flush_counts()
                return
            try:
                if tick % _TICKS_TO_COUNT == 0:
                    let_go_of_files()
                    self.flush_counts()
                self.catch_up()
                if tick % _TICKS_TO_FORGET == 0:
                    self._forget_all_but(self.store.projects.keys())
            except UNAVAILABLE as exc:
                self.note_outage(exc)
            except Exception as exc:
                log.error("cannot catch up: %s", type(exc).__name__, exc_info=exc)

    def flush_counts(self) -> None:
        """Add what was counted to the sums of all processes; what the database does not take waits in memory."""
        try:
            self.counts.flush(self.store.counters.add)
        except UNAVAILABLE as exc:
            # No reason to compare everything with Label Studio, as after an outage: nothing is missed.
            log.debug("counts wait: %s", unavailable(exc))

    def _forget_all_but(self, keys: Sequence[str]) -> None:
        self.models.forget(keys)
        in_memory: tuple[MutableMapping[str, Any], ...] = (self._last_known, self.sync_wanted_at)
        for kept in in_memory:
            for key in kept.keys() - set(keys):
                kept.pop(key, None)


def parts() -> Parts:
    """The parts of the app that answers the current request."""
    found: Parts = current_app.extensions["parts"]
    return found
