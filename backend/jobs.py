"""Durable jobs: at most one turn waiting and one running for a project, none lost to a kill.

DBOS keeps the jobs as rows (SQLite or PostgreSQL). Any number of processes run them; a job that was running when its
process died is given to a living one (`Rescue`). Waiting projects are served in random order, so none starves.
A job is named by its project and by how many turns the project had begun when it was asked for. So a thousand
webhooks ask for the same job, and what is heard after a turn has begun asks for the next one.

DBOS's own threads ask the database ten times a second and more, which takes 5 to 8 % of a core where nothing happens.
So they are ended, and one thread looks when somebody has asked for a job (`backend.waking`).
"""

from __future__ import annotations

import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Literal, NoReturn, cast

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions
from dbos._queue import Queue, queue_worker_thread
from dbos._serialization import DefaultSerializer, deserialize_value
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError

from backend.database import PATIENT_SECONDS, UNAVAILABLE, TornDatabase, open_engine, set_aside, unavailable
from backend.errors import TurnOvertaken, UnknownProject
from backend.store import Store
from backend.waking import Waker, open_waker, tell

QUEUE = "turns"
_WORKFLOW = "turn"
_APPLICATION = "label-studio-al"
# The jobs' contract, not the package's release: a job that one release asked for may be run by the next one.
_JOBS_VERSION = "1"
POLL_SECONDS = 0.1
# Where nobody asked for a job, and nothing runs here, the jobs are looked at so seldom.
IDLE_POLL_SECONDS = 5.0
# So long after the end of a job here, the next one of its project may become free.
_BUSY_SECONDS = 1.0
# A job that is running while nobody has its project's turn, at every look for so long, runs no more: a living process
# is without the turn for milliseconds at the beginning and at the end of a job.
ABANDONED_SECONDS = 2.0
# Somebody who only looks whether a project's turn is free has it for milliseconds.
_TURN_LOCK_SECONDS = 2.0
# While the database is away, DBOS would say so ten times a second.
_SAY_AGAIN_SECONDS = 60.0
_DONE = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

# What PostgreSQL says of a schema, a table and a column that are not there: DBOS makes its tables step by step.
_MISSING = ("3F000", "42P01", "42703")

log = logging.getLogger(__name__)


class JobTablesMissing(OperationalError):
    """The jobs' tables are gone: somebody has deleted the file, or dropped them."""


@dataclass(frozen=True)
class BegunJob:
    """A job that some process has begun, and when (milliseconds, by the database's clock)."""

    id: str
    project_key: str
    began_at: int | None


class JobClient:
    """Asks for turns. Cheap, and safe to use from several threads and processes.

    Every method may raise JobTablesMissing: see JobRunner.make_tables.
    """

    def __init__(self, url: str, *, patience_seconds: float = PATIENT_SECONDS) -> None:
        """patience_seconds: how long a write waits for others' writes."""
        _never_unpickle()
        self._engine = open_engine(url, patience_seconds=patience_seconds)
        sa.event.listen(self._engine, "handle_error", _name_missing_tables)
        self._client = DBOSClient(
            system_database_engine=self._engine,
            serializer=_Plain(),
            lazy=True,
            retry_connection_errors=False,
            application_name=_APPLICATION,
        )

    def ask(self, project_key: str, n_turns: int) -> None:
        """Make sure that one job waits for the project. n_turns: how many turns it has begun so far."""
        options: EnqueueOptions = {
            "workflow_name": _WORKFLOW,
            "queue_name": QUEUE,
            "workflow_id": _job_id(project_key, n_turns),
            "queue_partition_key": project_key,
            "app_version": _JOBS_VERSION,
        }
        self._client.enqueue(options, project_key)
        tell(self._engine)

    def is_spent(self, project_key: str, n_turns: int) -> bool:
        """Whether the job of this name has ended, so that asking for it again would do nothing."""
        ids = [_job_id(project_key, n_turns)]
        found = self._client.list_workflows(workflow_ids=ids, load_input=False, load_output=False)
        return any(job.status in _DONE for job in found)

    def begun(self) -> list[BegunJob]:
        """The jobs that are running, or were running when their process died."""
        found = self._client.list_workflows(queue_name=QUEUE, status="PENDING", load_input=False, load_output=False)
        return [BegunJob(job.workflow_id, job.queue_partition_key or "", job.dequeued_at) for job in found]

    def run_again(self, job: BegunJob) -> bool:
        """Make a begun job wait again for a process; False if it has ended, or was begun anew, meanwhile."""
        if job not in self.begun():
            return False
        self._client.resume_workflow(job.id, queue_name=QUEUE)
        tell(self._engine)
        return True

    def forget_done(self, keep_seconds: float) -> None:
        """Remove jobs that ended more than `keep_seconds` ago."""
        # Not "Z": DBOS reads it with Python's own reader, which knows no "Z" in Python 3.10.
        before = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - keep_seconds))
        done = self._client.list_workflows(
            status=list(_DONE), end_time=before, limit=1000, load_input=False, load_output=False
        )
        if done:
            self._client.delete_workflows([job.workflow_id for job in done])

    def forget(self, project_key: str) -> None:
        """Remove all jobs of a project."""
        prefix = _job_id(project_key, "")
        found = self._client.list_workflows(workflow_id_prefix=prefix, load_input=False, load_output=False)
        if found:
            self._client.delete_workflows([job.workflow_id for job in found])

    def close(self) -> None:
        """Give the connections back."""
        self._client.destroy()
        self._engine.dispose()


def take_turn_alone(store: Store, jobs: JobClient, take_turn: Callable[[str], bool], key: str) -> None:
    """Take a turn of the project unless another process has it: then the sweep asks again, if news are left.

    take_turn: returns whether it is complete. One that is not asks for the next, which other projects' may precede.
    """
    try:
        with store.turn_lock(key, _TURN_LOCK_SECONDS) as is_mine:
            if not is_mine:
                log.info("project %s: another process has its turn", key)
                return
            is_complete = take_turn(key)
        if not is_complete:
            jobs.ask(key, store.project(key).n_turns)
    except TurnOvertaken as exc:
        log.warning("%s", exc)
    except UnknownProject:
        log.info("project %s was forgotten meanwhile", key)
    except UNAVAILABLE as exc:
        log.warning("project %s: its turn ended early: %s", key, unavailable(exc))
        if isinstance(exc, TornDatabase):
            set_aside(exc)


class Rescue:
    """Gives the jobs of dead processes to living ones. DBOS alone gives them back only to the dead one, should it rise.

    turn_lock: takes a project's turn; whoever runs a job has it meanwhile.
    """

    def __init__(self, jobs: JobClient, turn_lock: Callable[[str], AbstractContextManager[bool]]) -> None:
        self._jobs = jobs
        self._turn_lock = turn_lock
        self._suspected_at: dict[BegunJob, float] = {}

    def look(self, now: float) -> None:
        """Look which jobs nobody runs any more, every two seconds or so. `now`: in seconds (`Clock.elapsed`)."""
        suspected_at = {}
        for job in self._jobs.begun():
            with self._turn_lock(job.project_key) as is_free:
                if not is_free:
                    continue
                suspected_at[job] = self._suspected_at.get(job, now)
                # With the turn in hand: of several processes that look, one makes it run again.
                if now - suspected_at[job] >= ABANDONED_SECONDS and self._jobs.run_again(job):
                    log.warning("project %s: the process that took its turn is gone: taken again", job.project_key)
        self._suspected_at = suspected_at


class JobRunner:
    """Runs the turns in this process: several projects at once, one turn of a project at a time."""

    def __init__(self, url: str, run_turn: Callable[[str], None], n_threads: int) -> None:
        _never_unpickle()
        self._engine = open_engine(url)
        config: DBOSConfig = {
            "name": _APPLICATION,
            "system_database_engine": self._engine,
            "application_version": _JOBS_VERSION,
            "serializer": _Plain(),
            # Of its own for each start: whoever has the name of a living process would take its jobs away.
            "executor_id": str(uuid.uuid4()),
            # Nobody here waits for a job's result.
            "use_listen_notify": False,
            "log_level": "WARNING",
            "max_executor_threads": n_threads + 4,
        }
        logging.getLogger("dbos").addFilter(_Seldom())
        self._dbos = DBOS(config=config)
        # Through the log of this process, as everything else.
        logging.getLogger("dbos").handlers.clear()
        logging.getLogger("dbos").propagate = True
        self._n_threads = n_threads
        self._pause = _Pause(open_waker(url))
        self._looking = threading.Thread(target=self._look_for_jobs, name="jobs", daemon=True)

        @DBOS.workflow(name=_WORKFLOW)
        def turn(project_key: object) -> None:
            if not isinstance(project_key, str):
                raise TypeError(f"a job's input must be a project's key, not {type(project_key).__name__}")
            with self._pause.running():
                run_turn(project_key)

    def start(self) -> None:
        """Begin to run jobs."""
        DBOS.listen_queues([])
        DBOS.launch()
        # Nothing here is delayed, scheduled or limited in time, and no job is in DBOS's own queue.
        for polling in (*self._dbos.background_thread_stop_events, self._dbos._background_jobs_stop_event):
            polling.set()
        # DBOS waits up to a minute between two tries to reach a database that was away, and the queue with it. It has
        # no setting for that, as its client has. What fails instead is looked at again at the next poll, or rescued.
        self._dbos._sys_db._retry_connection_errors = False
        self._queue = self._register_queue()
        self._looking.start()

    def make_tables(self) -> None:
        """Make the jobs' tables anew where they are gone. What was asked for is lost: the sweep asks for it again."""
        self._dbos._sys_db.run_migrations()
        self._register_queue()

    def _register_queue(self) -> Queue:
        return DBOS.register_queue(
            QUEUE,
            partition_concurrency=1,
            worker_concurrency=self._n_threads,
            polling_interval_sec=POLL_SECONDS,
            on_conflict="always_update",
        )

    def _look_for_jobs(self) -> None:
        # It takes our pause for the event that tells it to stop, and sleeps by waiting for that. It ends early while
        # the queue has no row: where its table is made anew.
        while not self._pause.is_set():
            queue_worker_thread(cast(threading.Event, self._pause), self._dbos, self._queue)
            self._pause.wait(POLL_SECONDS)

    def stop(self, timeout_seconds: int) -> None:
        """Take no more jobs and wait for the running ones."""
        self._pause.end()
        self._looking.join()
        self._pause.close()
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=timeout_seconds)
        self._engine.dispose()


class _Pause:
    """Between two looks at the jobs: until one may wait for this process."""

    def __init__(self, waker: Waker) -> None:
        self._waker = waker
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._n_running = 0
        self._busy_until = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """A job runs here: others may wait for its end."""
        with self._lock:
            self._n_running += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_running -= 1
                self._busy_until = time.monotonic() + _BUSY_SECONDS

    def is_set(self) -> bool:
        """Whether no more jobs are looked for."""
        return self._is_over.is_set()

    def wait(self, timeout: float) -> bool:
        """Wait so many seconds and, where nothing happens, until somebody asks for a job; True if it is over."""
        if not self._is_over.wait(timeout) and not self._is_busy():
            self._waker.wait(IDLE_POLL_SECONDS, lambda: self._is_over.is_set() or self._is_busy())
        return self._is_over.is_set()

    def _is_busy(self) -> bool:
        return self._n_running > 0 or time.monotonic() < self._busy_until

    def end(self) -> None:
        """Let the waiting end."""
        self._is_over.set()

    def close(self) -> None:
        """Let go of the database, when nobody waits any more."""
        self._waker.close()


class _Plain(DBOSPortableJSONSerializer):
    """Writes JSON. DBOS itself reads what says that it is JSON; what does not say how it is written is refused."""

    def deserialize(self, _text: str | None) -> NoReturn:
        """Raises TypeError."""
        raise TypeError("a job's row must say that it holds JSON")


def _never_unpickle() -> None:
    """Whatever a row says, DBOS refuses to load a pickle in this process: who can write rows could run code.

    Its serializer is a setting, but a row that names `py_pickle` is unpickled all the same (DBOS 3.4). This can go
    when DBOS can switch that off, or when the check below passes without the first line.
    """
    DefaultSerializer.deserialize = _refuse_pickle  # type: ignore[method-assign, assignment]
    pickled = DefaultSerializer()
    try:
        deserialize_value(pickled.serialize(None), pickled.name(), _Plain())
    except TypeError:
        return
    raise RuntimeError("this release of DBOS unpickles rows in a way that is not known here: install an older one")


def _refuse_pickle(_serializer: DefaultSerializer, _text: str) -> NoReturn:
    raise TypeError("a job's row must hold JSON: nothing from the database is unpickled")


def _name_missing_tables(context: ExceptionContext) -> None:
    error = context.original_exception
    if "no such table" in str(error) or getattr(error, "sqlstate", None) in _MISSING:
        raise JobTablesMissing("", None, error, hide_parameters=True) from error


def _job_id(project_key: str, n_turns: int | Literal[""]) -> str:
    return f"turn:{project_key}:{n_turns}"


class _Seldom(logging.Filter):
    """Lets each of DBOS's warnings through once a minute, and of it the first line: the rest is SQL and tracebacks."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if record.levelno != logging.WARNING:
            return True
        record.msg, record.args = re.split(r"\n|Traceback \(most", record.getMessage())[0], None
        kind, now = record.msg[:60], time.monotonic()
        if now - self._said_at.get(kind, -_SAY_AGAIN_SECONDS) < _SAY_AGAIN_SECONDS:
            return False
        self._said_at[kind] = now
        return True
