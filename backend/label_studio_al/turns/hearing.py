"""Requests a turn as soon as something has changed."""

from __future__ import annotations

import logging
import threading
from contextlib import closing

from label_studio_al.jobs import JobClient
from label_studio_al.runtime.database import UNAVAILABLE
from label_studio_al.runtime.waking import open_waker
from label_studio_al.store import Store
from label_studio_al.turns.due import has_changes

# Between two looks, however much is heard.
LOOK_SECONDS = 0.05
# Nothing depends on it: what is missed here, the worker's sweep finds within a second.
UNTOLD_LOOK_SECONDS = 60.0

log = logging.getLogger(__name__)


class Hearing:
    """Looks at the projects whenever the store has changed, in a thread of its own.

    So the code that stores events (a web server, another process or machine) need not know about jobs.
    """

    def __init__(self, store: Store, jobs: JobClient, store_url: str) -> None:
        self._store = store
        self._jobs = jobs
        self._store_url = store_url
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hearing", daemon=True)
        # By project: for which number of turns a job was asked for last, and which revision was seen last.
        self._asked: dict[str, int] = {}
        self._seen: dict[str, int] = {}

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._is_over.set()
        self._thread.join()

    def look(self) -> None:
        """Request a turn for each project with new changes. Raises what the databases raise.

        The first of the many events that one turn will read requests it. Changes by a running turn itself do not count.
        """
        standings = self._store.projects.standings()
        for project in standings:
            is_new = project.revision != self._seen.get(project.key)
            if is_new and has_changes(project) and project.n_turns != self._asked.get(project.key):
                self._jobs.ask(project.key, project.n_turns)
                self._asked[project.key] = project.n_turns
            self._seen[project.key] = project.revision
        known = {project.key for project in standings}
        for kept in (self._asked, self._seen):
            for key in kept.keys() - known:
                del kept[key]

    def _run(self) -> None:
        with closing(open_waker(self._store_url)) as waker:
            while not self._is_over.is_set():
                try:
                    self.look()
                except UNAVAILABLE as exc:
                    log.debug("nothing can be heard: %s", type(exc).__name__)
                except Exception as exc:
                    log.error("what was heard cannot be looked at: %s", type(exc).__name__, exc_info=exc)
                self._is_over.wait(LOOK_SECONDS)
                waker.wait(UNTOLD_LOOK_SECONDS, self._is_over.is_set)
