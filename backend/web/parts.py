"""What the views work with."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from flask import current_app

from backend.clock import Clock
from backend.database import UNAVAILABLE, unavailable
from backend.jobs import JobClient
from backend.models import Models
from backend.settings import Settings
from backend.store import Project, Signer, Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """A project, and id and number of its current version: None before the first."""

    project: Project
    version: tuple[int, int] | None


@dataclass
class Parts:
    """The app's own objects; one set an app."""

    settings: Settings
    store: Store
    jobs: JobClient
    signer: Signer
    clock: Clock
    models: Models = field(init=False)
    # The number of turns with which the last one was asked for, by project.
    asked: dict[str, int] = field(init=False, default_factory=dict)
    _last_known: dict[str, Known] = field(init=False, default_factory=dict)
    # What was told meanwhile is not written down anywhere: the database did not answer, or did not take it.
    _is_behind: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.models = Models(self.store, self.signer)

    def known(self, key: str) -> Known:
        """The project as it is or, while the database is away, as it was last seen. Raises UnknownProject."""
        try:
            known = Known(self.store.project(key), self.store.current_number(key))
        except UNAVAILABLE as exc:
            if key not in self._last_known:
                raise
            self.note_outage(exc)
            return self._last_known[key]
        self._last_known[key] = known
        return known

    def note_outage(self, exc: Exception) -> None:
        """Remember that the database did not answer; the log says so once an outage."""
        log.log(logging.DEBUG if self._is_behind else logging.ERROR, "%s", unavailable(exc))
        self.miss()

    def miss(self) -> None:
        """Remember that something may have been told that is not written down."""
        self._is_behind = True

    def catch_up(self) -> None:
        """Have Label Studio asked for what was missed."""
        if self._is_behind:
            self.store.want_syncs()
            self._is_behind = False
            log.warning("something may have been missed: every project is compared with Label Studio")


def parts() -> Parts:
    """The parts of the app that answers the current request."""
    found: Parts = current_app.extensions["parts"]
    return found
