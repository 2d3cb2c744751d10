"""What every section needs: texts, a simulated Label Studio, a backend, and a look into its processes."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from benchmarks.big_label_studio import PAYLOADS, TOKEN, RunningStudio
from benchmarks.scale.calls import Connection
from benchmarks.scale.report import Report
from benchmarks.scale.texts import TextFile
from label_studio_al.cli.connect import connect_project
from label_studio_al.runtime.settings import Settings
from tests.support.backend_process import BackendProcess

SAMPLE_SECONDS = 0.25
POLL_SECONDS = 0.05
QUIET_SECONDS, QUIET_SHARE = 1.0, 0.1
LOG_TAIL = 3_000
# One worker, one machine; syncs only when the backend itself finds one due.
ENVIRONMENT = {"AL_ENCODER": "none", "LOG_LEVEL": "INFO", "AL_SYNC_SECONDS": "3600"}


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    sizes: tuple[int, ...]
    seconds: float
    minutes: float
    plot: Path | None
    has_fast_import: bool
    n_labelled: int

    def n_labels(self, n_tasks: int) -> int:
        """How many tasks of a pool have a label when measuring begins."""
        return min(self.n_labelled, n_tasks // 2)


@dataclass
class Bench:
    """The parts that sections share. `folder` is emptied at the end."""

    folder: Path
    texts: TextFile
    options: Options
    report: Report

    @contextmanager
    def studio(self, *, real_delays: bool = False) -> Iterator[RunningStudio]:
        """A simulated Label Studio."""
        with RunningStudio(self.texts, self.folder / "studio.log", real_delays=real_delays) as studio:
            yield studio

    def backend(self, studio: RunningStudio, name: str, **environment: str) -> BackendProcess:
        """A backend in a folder of its own, not yet started."""
        return BackendProcess(self.folder / name, studio.url, TOKEN, **{**ENVIRONMENT, **environment})

    @contextmanager
    def running_backend(self, studio: RunningStudio, name: str, **environment: str) -> Iterator[BackendProcess]:
        """A backend with web server and worker."""
        backend = self.backend(studio, name, **environment)
        with stopping(backend):
            yield backend.start()

    @contextmanager
    def trained(self, name: str, n_tasks: int) -> Iterator[tuple[RunningStudio, BackendProcess, int]]:
        """A project of that many tasks that has learnt its labels, and takes a turn at each further one."""
        with self.studio() as studio, self.running_backend(studio, name) as backend:
            project_id = studio.make_project(n_tasks)
            connect(backend, studio, project_id, retrain_growth=0)
            wait(lambda: is_published(studio, project_id), "the first version", sync_limit(n_tasks))
            n_labels = self.options.n_labels(n_tasks)
            studio.import_labels(project_id, n_labels)
            wait_for_turn(backend, project_id, n_labels, sync_limit(n_tasks))
            yield studio, backend, project_id


def spawn(environment: dict[str, str], log: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A `label-studio-al` command as a process of its own, whose output goes to the log."""
    with log.open("ab") as output:
        command = [sys.executable, "-m", "label_studio_al", *arguments]
        return subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)


@contextmanager
def stopping(backend: BackendProcess) -> Iterator[None]:
    """Stop a backend in the end, and show its log after a failure."""
    try:
        yield
    except BaseException:
        print(backend.log()[-LOG_TAIL:], file=sys.stderr)
        raise
    finally:
        backend.stop()


def sync_limit(n_tasks: int) -> float:
    """Seconds after which a step that looks at every task has failed."""
    return 120.0 + n_tasks / 1_000


def connect(backend: BackendProcess, studio: RunningStudio, project_id: int, **extra_params: Any) -> None:
    """What `label-studio-al connect` does, without a process for each project."""
    settings = Settings(
        model_dir=backend.folder,
        label_studio_url=studio.url,
        label_studio_api_key=TOKEN,
        backend_url=backend.url,
        webhook_secret=backend.environment.get("AL_WEBHOOK_SECRET"),
    )
    connect_project(settings, project_id, backend.url, extra_params, lambda _line: None)


def wait(condition: Callable[[], Any], what: str, seconds: float) -> Any:
    """Ask seldom until it is so, since asking takes time from what is measured."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(POLL_SECONDS)
    return found


def is_published(studio: RunningStudio, project_id: int) -> bool:
    """Whether Label Studio's queue follows a version."""
    return str(studio.state(project_id)["model_version"]).startswith("al-")


def state_of(backend: BackendProcess, project_id: int) -> dict[str, Any]:
    """What /status says of a project."""
    return states_of(backend).get(project_id, {})


def states_of(backend: BackendProcess) -> dict[int, dict[str, Any]]:
    """What /status says of each project."""
    connection = Connection(backend.url)
    try:
        return {state["project"]: state for state in connection.call("GET", "/status")["projects"]}
    finally:
        connection.close()


def wait_for_turn(backend: BackendProcess, project_id: int, n_labels: int, seconds: float) -> dict[str, Any]:
    """The turn that published a version with at least so many labels, when all of it is done."""

    def look() -> dict[str, Any] | None:
        turns = state_of(backend, project_id).get("turns", [])
        done = (turn for turn in turns if "published" in turn["outcome"] and (turn["n_labels"] or 0) >= n_labels)
        return next(done, None)

    turn: dict[str, Any] = wait(look, f"a turn with {n_labels} labels", seconds)
    return turn


# -- payloads -----------------------------------------------------------------------------------------------------


def payload(name: str) -> dict[str, Any]:
    """A request recorded from a real Label Studio."""
    found: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def predict_body(project: dict[str, Any], texts: list[str], first_id: int) -> dict[str, Any]:
    """A /predict for some tasks. project: from `project_of`."""
    body = payload("predict")
    tasks = [body["tasks"][0] | {"id": first_id + place, "data": {"text": text}} for place, text in enumerate(texts)]
    return body | {"tasks": tasks, "project": project["key"], "label_config": project["label_config"]}


def project_of(studio: RunningStudio, project_id: int) -> dict[str, Any]:
    """A project as webhooks carry it, and its `key`."""
    connection = Connection(studio.url)
    try:
        shown = connection.call("GET", f"/api/projects/{project_id}")
    finally:
        connection.close()
    return payload("annotation_created")["project"] | {
        **{name: shown[name] for name in ("id", "title", "label_config", "created_at", "task_number")},
        "key": studio.state(project_id)["key"],
    }


# -- processes ----------------------------------------------------------------------------------------------------


def processes(backend: BackendProcess) -> list[psutil.Process]:
    """Web server and worker: all that `serve` has started."""
    assert backend.process
    return psutil.Process(backend.process.pid).children(recursive=True)


def cpu_seconds(backend: BackendProcess) -> float:
    """CPU time of the processes so far, with that of their children that have ended."""
    return sum(sum(process.cpu_times()[:4]) for process in processes(backend))


def wait_until_started(backend: BackendProcess) -> None:
    """Wait until the processes have done what they do at the start: the worker takes longer than the web server."""

    def is_quiet() -> bool:
        before = cpu_seconds(backend)
        time.sleep(QUIET_SECONDS)
        return cpu_seconds(backend) - before < QUIET_SHARE * QUIET_SECONDS

    wait(is_quiet, "the processes are quiet", 60)


def megabytes(backend: BackendProcess) -> list[float]:
    """Resident memory of the processes, largest first: worker, web, and the one that only watches web."""
    return sorted((process.memory_info().rss / 1e6 for process in processes(backend)), reverse=True)


@contextmanager
def watching_memory(backend: BackendProcess) -> Iterator[list[float]]:
    """Megabytes every quarter of a second, as they come."""
    seen: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_SECONDS):
            try:
                seen.append(sum(megabytes(backend)))
            except psutil.NoSuchProcess:
                continue

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


# -- the backend's own record -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TurnRow:
    """A turn as the worker has recorded it; a killed one leaves no record."""

    project_id: int
    started_at: float
    seconds: float
    outcome: str
    version: int | None
    n_labels: int | None


def turn_rows(database_url: str) -> list[TurnRow]:
    """All recorded turns of all projects, the oldest first."""
    engine = sa.create_engine(database_url)
    query = "SELECT project_key, started_at, seconds, outcome, version, n_labels FROM turns ORDER BY started_at"
    with engine.connect() as connection:
        rows = connection.execute(sa.text(query)).all()
    engine.dispose()
    return [TurnRow(int(key.partition(".")[0]), *rest) for key, *rest in rows]


def sqlite_url(backend: BackendProcess) -> str:
    """The state's database of a backend that has none of its own choice."""
    return Settings(model_dir=backend.folder).store_url
