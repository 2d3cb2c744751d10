"""Durable jobs: at most one turn waiting and one running for a project, none lost to a kill.

DBOS keeps the jobs as rows (SQLite or PostgreSQL) and runs a job again that was running when its process died.
A job is named by its project and by how many turns the project had begun when it was asked for. So a thousand
webhooks ask for the same job, and what is heard after a turn has begun asks for the next one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions

from backend.database import open_engine

QUEUE = "turns"
_WORKFLOW = "turn"
_APPLICATION = "label-studio-al"
# The jobs' contract, not the package's release: a job that one release asked for may be run by the next one.
_JOBS_VERSION = "1"
POLL_SECONDS = 0.1
_DONE = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

log = logging.getLogger(__name__)


class JobClient:
    """Asks for turns. Cheap, and safe to use from several threads and processes."""

    def __init__(self, url: str) -> None:
        self._client = DBOSClient(
            system_database_engine=open_engine(url),
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

    def is_spent(self, project_key: str, n_turns: int) -> bool:
        """Whether the job of this name has ended, so that asking for it again would do nothing."""
        found = self._client.list_workflows(workflow_ids=[_job_id(project_key, n_turns)], load_input=False)
        return any(job.status in _DONE for job in found)

    def forget_done(self, keep_seconds: float) -> None:
        """Remove jobs that ended more than `keep_seconds` ago."""
        before = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - keep_seconds))
        done = self._client.list_workflows(status=list(_DONE), end_time=before, limit=1000, load_input=False)
        if done:
            self._client.delete_workflows([job.workflow_id for job in done])

    def close(self) -> None:
        """Give the connections back."""
        self._client.destroy()


class JobRunner:
    """Runs the turns in this process: several projects at once, one turn of a project at a time."""

    def __init__(self, url: str, run_turn: Callable[[str], None], n_threads: int, log_level: str) -> None:
        config: DBOSConfig = {
            "name": _APPLICATION,
            "system_database_engine": open_engine(url),
            "application_version": _JOBS_VERSION,
            "log_level": "WARNING" if log_level != "DEBUG" else "INFO",
            "max_executor_threads": n_threads + 4,
        }
        DBOS(config=config)
        self._n_threads = n_threads

        @DBOS.workflow(name=_WORKFLOW)
        def turn(project_key: str) -> None:
            run_turn(project_key)

    def start(self) -> None:
        """Begin to run jobs, first those that a killed process left behind."""
        DBOS.launch()
        DBOS.register_queue(
            QUEUE,
            partition_concurrency=1,
            worker_concurrency=self._n_threads,
            polling_interval_sec=POLL_SECONDS,
            on_conflict="always_update",
        )

    def stop(self, timeout_seconds: int) -> None:
        """Take no more jobs and wait for the running ones."""
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=timeout_seconds)


def _job_id(project_key: str, n_turns: int) -> str:
    return f"turn:{project_key}:{n_turns}"
