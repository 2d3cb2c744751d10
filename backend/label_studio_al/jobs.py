"""Durable jobs: at most one turn waiting and one running for a project, none lost to a kill.

DBOS stores the jobs as rows (SQLite or PostgreSQL). Any number of processes run them. If a process dies, its running
job moves to a living one (`Rescue`). Waiting projects are served in random order, so none starves. A job's name
consists of its project and the number of turns that the project had begun when the job was requested. So a thousand
webhooks request the same job, and an event that comes after a turn has begun requests the next one.

DBOS's own threads query the database at least ten times a second, which takes 5 to 8 % of a core when idle. So they are
stopped, and one thread looks for jobs when somebody has requested one (`runtime.waking`) or one has ended here. It
sleeps only after a complete look that found nothing to start, and never longer than one sweep.
"""

from __future__ import annotations

import logging
import re
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions
from dbos._core import WorkflowHandleFuture, execute_dequeued_workflow
from dbos._error import DBOSWorkflowFunctionNotFoundError
from dbos._queue import Queue
from dbos._serialization import DefaultSerializer, deserialize_value
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError

from label_studio_al.runtime.database import (
    PATIENT_SECONDS,
    UNAVAILABLE,
    CorruptDatabase,
    open_engine,
    set_aside,
    unavailable,
)
from label_studio_al.runtime.errors import TurnOvertaken, UnknownProject
from label_studio_al.runtime.waking import open_waker, tell
from label_studio_al.store import Store

QUEUE = "turns"
_WORKFLOW = "turn"
_APPLICATION = "label-studio-al"
# The jobs' contract, not the package's release: a job that one release asked for may be run by the next one.
_JOBS_VERSION = "1"
# Between two looks at the jobs, however much happens; longer after looks that failed.
LOOK_SECONDS = 0.1
FAILED_LOOK_SECONDS_AT_MOST = 1.0
# Should a notice be lost on its way (a broken connection, a process that died), the jobs are looked at all the same.
UNTOLD_LOOK_SECONDS = 5.0
# Workers that look at once on PostgreSQL fail each other's looks now and then.
_FAILED_LOOKS_TO_SAY = 5
# A job that is running while nobody has its project's turn, at every look for so long, runs no more: a living process
# is without the turn for milliseconds at the beginning and at the end of a job.
ABANDONED_SECONDS = 2.0
# Somebody who only looks whether a project's turn is free has it for milliseconds.
_TURN_LOCK_SECONDS = 2.0
# While the database is away, DBOS would say so ten times a second.
_SAY_AGAIN_SECONDS = 60.0
# What is wrong with a job's row, and not with this process or the database.
_NOBODY_CAN_RUN = (TypeError, DBOSWorkflowFunctionNotFoundError)
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
    """Requests turns. Cheap, and safe to use from several threads and processes.

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
        """Make sure that a job is queued for the project. n_turns: how many turns it has begun so far."""
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
        if not _is_any(self._engine, "PENDING"):
            return []
        found = self._client.list_workflows(queue_name=QUEUE, status="PENDING", load_input=False, load_output=False)
        return [BegunJob(job.workflow_id, job.queue_partition_key or "", job.dequeued_at) for job in found]

    def run_again(self, job: BegunJob) -> bool:
        """Put a running job back into the queue; False if it has ended or was restarted meanwhile."""
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
            jobs.ask(key, store.projects.get(key).n_turns)
    except TurnOvertaken as exc:
        log.warning("%s", exc)
    except UnknownProject:
        log.info("project %s was forgotten meanwhile", key)
    except UNAVAILABLE as exc:
        log.warning("project %s: its turn ended early: %s", key, unavailable(exc))
        if isinstance(exc, CorruptDatabase):
            set_aside(exc)


class Rescue:
    """Moves the jobs of dead processes to living ones. DBOS alone returns a job only to the same process after a
    restart.

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
        # Of its own for each start: whoever has the name of a living process would take its jobs away.
        self._executor_id = str(uuid.uuid4())
        config: DBOSConfig = {
            "name": _APPLICATION,
            "system_database_engine": self._engine,
            "application_version": _JOBS_VERSION,
            "serializer": _Plain(),
            "executor_id": self._executor_id,
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
        self._waker = open_waker(url)
        self._is_over = threading.Event()
        self._looking = threading.Thread(target=self._look_for_jobs, name="jobs", daemon=True)
        self._lock = threading.Lock()
        self._n_running = 0
        self._has_ended = threading.Event()

        @DBOS.workflow(name=_WORKFLOW)
        def turn(project_key: object) -> None:
            if not isinstance(project_key, str):
                raise TypeError(f"a job's input must be a project's key, not {type(project_key).__name__}")
            run_turn(project_key)

    def start(self) -> None:
        """Begin to run jobs."""
        DBOS.listen_queues([])
        DBOS.launch()
        # Nothing here is delayed, scheduled or limited in time, and no job is in DBOS's own queue.
        for polling in (*self._dbos.background_thread_stop_events, self._dbos._background_jobs_stop_event):
            polling.set()
        # DBOS waits up to a minute between two tries to reach a database that was away, and the queue with it. It has
        # no setting for that, as its client has. What fails instead is looked at again at once, or rescued.
        self._dbos._sys_db._retry_connection_errors = False
        self._queue = self._register_queue()
        self._looking.start()

    def make_tables(self) -> None:
        """Create the job tables again if they are gone. Requests are lost; the sweep repeats them."""
        self._dbos._sys_db.run_migrations()
        self._register_queue()

    def _register_queue(self) -> Queue:
        return DBOS.register_queue(
            QUEUE, partition_concurrency=1, worker_concurrency=self._n_threads, on_conflict="always_update"
        )

    def _look_for_jobs(self) -> None:
        n_failed = 0
        while not self._is_over.wait(min(FAILED_LOOK_SECONDS_AT_MOST, LOOK_SECONDS * (1 + n_failed))):
            try:
                is_all = self._begin_jobs()
                n_failed = 0
            except Exception as exc:
                n_failed += 1
                if n_failed == _FAILED_LOOKS_TO_SAY:
                    log.warning("the jobs cannot be looked at: %s", type(exc).__name__)
                continue
            if is_all:
                self._waker.wait(UNTOLD_LOOK_SECONDS, lambda: self._is_over.is_set() or self._has_ended.is_set())

    def _begin_jobs(self) -> bool:
        """Begin what waits and may begin here; whether nothing was found: what changes that from now on is told."""
        if self._has_ended.is_set():
            # What ends from here on is seen by the next look. Other processes may wait for it, too.
            self._has_ended.clear()
            try:
                tell(self._engine)
            except BaseException:
                self._has_ended.set()
                raise
        n_free = self._n_threads - self._n_running
        if n_free <= 0 or not _is_any(self._engine, "ENQUEUED"):
            return True
        claim, jobs = str(uuid.uuid4()), self._dbos._sys_db
        ids = jobs.start_queued_partitioned_workflows(
            self._queue, self._executor_id, _JOBS_VERSION, n_free, owner_xid=claim
        )
        # Jobs that are not begun after all are rescued.
        for status in jobs.get_workflow_statuses(ids) if ids else []:
            self._begin(status, claim)
        return not ids

    def _begin(self, status: Any, claim: str) -> None:
        try:
            handle = execute_dequeued_workflow(self._dbos, status, claim)
        except Exception as exc:
            log.error("the job %s cannot be begun: %s", status["workflow_uuid"], exc)
            if isinstance(exc, _NOBODY_CAN_RUN):
                # DBOS 3.4 does not end jobs whose serializer or function it does not know: nor would the rescue.
                self._dbos._sys_db.update_workflow_outcome(
                    status["workflow_uuid"], "ERROR", error=str(exc), owner_xid=claim
                )
            self._has_ended.set()
            return
        if isinstance(handle, WorkflowHandleFuture):
            with self._lock:
                self._n_running += 1
            # Called when the end is recorded.
            handle.future.add_done_callback(self._end)

    def _end(self, _future: object) -> None:
        with self._lock:
            self._n_running -= 1
        self._has_ended.set()

    def stop(self, timeout_seconds: int) -> None:
        """Take no more jobs and wait for the running ones."""
        self._is_over.set()
        self._looking.join()
        self._waker.close()
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=timeout_seconds)
        self._engine.dispose()


class _Plain(DBOSPortableJSONSerializer):
    """Writes JSON. DBOS itself reads rows marked as JSON; rows without a format are refused."""

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


def _any_job(schema: str | None) -> sa.Select[int]:
    jobs = sa.table("workflow_status", sa.column("queue_name"), sa.column("status"), schema=schema)
    return sa.select(sa.literal(1)).where(jobs.c.queue_name == QUEUE, jobs.c.status == sa.bindparam("status")).limit(1)


# Compiled once: DBOS makes its questions anew each time, which is most of what an idle worker would use.
_ANY_JOB = {"sqlite": _any_job(None), "postgresql": _any_job("dbos")}


def _is_any(engine: sa.Engine, status: str) -> bool:
    """Whether there is a job of a status."""
    with engine.connect() as connection:
        return connection.execute(_ANY_JOB[engine.dialect.name], {"status": status}).first() is not None


def _name_missing_tables(context: ExceptionContext) -> None:
    error = context.original_exception
    if "no such table" in str(error) or getattr(error, "sqlstate", None) in _MISSING:
        raise JobTablesMissing("", None, error, hide_parameters=True) from error


def _job_id(project_key: str, n_turns: int | Literal[""]) -> str:
    return f"turn:{project_key}:{n_turns}"


class _Seldom(logging.Filter):
    """Logs each of DBOS's warnings once a minute, and only its first line: the rest is SQL and tracebacks."""

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
