"""Runs jobs as a worker does, until its standard input closes: `python job_process.py <folder> <store> <jobs> [<n>]`.

<store> and <jobs> are databases' addresses, <n> how many jobs run at once. A job writes "begin <project> <process>"
to <folder>/log, goes on while <folder>/hold-<project> exists, fails if <folder>/fail-<project> exists, and writes
"end <project> <process>". While <folder>/forever-<project> exists, it asks for its project's next job. While
<folder>/conflict exists, a look for jobs fails as PostgreSQL fails one of two at once, and adds a byte to that file.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path

import sqlalchemy as sa
from psycopg.errors import SerializationFailure
from sqlalchemy.exc import OperationalError

from label_studio_al.jobs import JobClient, JobRunner, JobTablesMissing, Rescue, take_turn_alone
from label_studio_al.store import Store

POLL_SECONDS = 0.02
SWEEP_SECONDS = 0.5


class Turns:
    """What the loop is to a worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def say(self, word: str, project_key: str) -> None:
        with (self._folder / "log").open("a", encoding="utf-8") as log:
            log.write(f"{word} {project_key} {os.getpid()}\n")

    def has(self, word: str, project_key: str) -> bool:
        return (self._folder / f"{word}-{project_key}").exists()

    def take_turn(self, project_key: str) -> bool:
        self.say("begin", project_key)
        while self.has("hold", project_key):
            time.sleep(POLL_SECONDS)
        if self.has("fail", project_key):
            raise RuntimeError("a turn that fails")
        self.say("end", project_key)
        return True


class EndlessTurns(Turns):
    """Each turn has news for the next one, as a project has that people label all the time."""

    def __init__(self, folder: Path, store: Store) -> None:
        super().__init__(folder)
        self._store = store

    def take_turn(self, project_key: str) -> bool:
        if not self.has("forever", project_key):
            return super().take_turn(project_key)
        self._store.projects.begin_turn(project_key)
        super().take_turn(project_key)
        return False


def make_looks_conflict(file: Path) -> None:
    """Let the database refuse every look for jobs while the file exists."""

    def conflict(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "queue_partition_key" in statement and "RECURSIVE" in statement and file.exists():
            with file.open("a") as count:
                count.write("x")
            raise OperationalError(statement, {}, SerializationFailure())

    sa.event.listen(sa.Engine, "before_cursor_execute", conflict)


def main(folder: Path, store_url: str, jobs_url: str, n_threads: int) -> None:
    """Run jobs."""
    logging.basicConfig(level=logging.WARNING)
    make_looks_conflict(folder / "conflict")
    store, jobs = Store(store_url), JobClient(jobs_url)
    turns = EndlessTurns(folder, store)
    runner = JobRunner(jobs_url, partial(take_turn_alone, store, jobs, turns.take_turn), n_threads)
    runner.start()
    rescue = Rescue(jobs, store.turn_lock)
    stop = threading.Event()

    def sweep() -> None:
        while not stop.wait(SWEEP_SECONDS):
            try:
                rescue.look(time.monotonic())
            except JobTablesMissing:
                runner.make_tables()

    thread = threading.Thread(target=sweep)
    thread.start()
    print("ready", flush=True)
    sys.stdin.read()
    stop.set()
    thread.join()
    runner.stop(5)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 4)
