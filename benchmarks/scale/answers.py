"""How fast the web server answers: /predict beside a plain sklearn server, /webhook under load while turns run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.big_label_studio import RunningStudio
from benchmarks.scale.bench import (
    Bench,
    predict_body,
    project_of,
    sqlite_url,
    state_of,
    turn_rows,
    wait,
)
from benchmarks.scale.calls import CallFailedError, Connection
from benchmarks.scale.load import Plan, Probe
from benchmarks.scale.report import Report, percentile
from label_studio_al.cli.local import free_port
from label_studio_al.runtime.settings import Settings
from label_studio_al.studio import WEBHOOK_HEADER, webhook_secret
from label_studio_al.wiring import webhook_keys
from tests.support.backend_process import BackendProcess

WARM_UP = 20
N_SINGLE = 500
N_MANY = 5_000
MANY_REPETITIONS = 3
SINGLE_MS = {0.5: 5.0, 0.99: 30.0}
MANY_SECONDS = 1.0

WEBHOOK_TASKS = 100_000
EVENTS_PER_SECOND = 300.0
N_CONNECTIONS = 8
PROBES_PER_SECOND = 4.0
WEBHOOK_MS = {0.5: 10.0, 0.99: 100.0, 1.0: 500.0}
PROBE_MS = 50.0
LEARNT_SECONDS = 240.0


# -- /predict -----------------------------------------------------------------------------------------------------


def predict_section(bench: Bench) -> None:
    """The smallest pool, since a prediction does not depend on its size; one server after the other."""
    n_tasks = bench.options.sizes[0]
    n_many = min(N_MANY, n_tasks)
    with bench.trained("predict", n_tasks) as (studio, backend, project_id), _baseline(bench) as baseline_url:
        project = project_of(studio, project_id)
        many = json.dumps(predict_body(project, bench.texts.texts(0, n_many), 1)).encode()
        for name, url in (("sklearn in Flask", baseline_url), ("ours", backend.url)):
            _one_by_one(bench, name, url, project, n_tasks)
            seconds = _at_once(url, many, n_many)
            aim = MANY_SECONDS if name == "ours" else None
            bench.report.at_most(f"/predict, {n_many:,} tasks in one request, {name}", n_tasks, seconds, aim, "s")


def _one_by_one(bench: Bench, name: str, url: str, project: dict[str, object], n_tasks: int) -> None:
    rows = range(n_tasks - min(N_SINGLE + WARM_UP, n_tasks), n_tasks)
    bodies = [json.dumps(predict_body(project, bench.texts.texts(row, row + 1), row + 1)).encode() for row in rows]
    connection, seconds = Connection(url), []
    for body in bodies:
        began = time.perf_counter()
        status, _ = connection.send("POST", "/predict", body)
        seconds.append(time.perf_counter() - began)
        if status != 200:
            raise CallFailedError(f"/predict of {name} answered {status}")
    connection.close()
    for share, aim in SINGLE_MS.items():
        what = f"/predict, one task, {name}, p{100 * share:.0f}"
        value = 1000 * percentile(seconds[WARM_UP:], share)
        bench.report.at_most(what, n_tasks, value, aim if name == "ours" else None, "ms")


def _at_once(url: str, body: bytes, n: int) -> float:
    """Seconds of one large request, the best of a few."""
    connection, seconds = Connection(url), []
    for _ in range(MANY_REPETITIONS):
        began = time.perf_counter()
        status, content = connection.send("POST", "/predict", body)
        seconds.append(time.perf_counter() - began)
        if status != 200 or len(json.loads(content)["results"]) != n:
            raise CallFailedError(f"/predict of {n} tasks answered {status}")
    connection.close()
    return min(seconds)


@contextmanager
def _baseline(bench: Bench) -> Iterator[str]:
    """The address of the plain server."""
    port = free_port()
    given = [str(port), str(bench.texts.folder), str(bench.options.n_labelled)]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.scale.baseline", *given])
    try:
        connection = Connection(f"http://127.0.0.1:{port}", timeout=5)
        wait(lambda: _is_up(connection), "the plain server answers", 60)
        connection.close()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _is_up(connection: Connection) -> bool:
    try:
        return connection.send("GET", "/health")[0] == 200
    except CallFailedError:
        return False


# -- /webhook -----------------------------------------------------------------------------------------------------


def webhook_section(bench: Bench) -> None:
    """A steady stream of labels while turns run, and what /health and /setup take meanwhile."""
    n_tasks = min(WEBHOOK_TASKS, bench.options.sizes[-1])
    with bench.trained("webhook", n_tasks) as (studio, backend, project_id):
        plan = plan_of(bench, studio, backend, project_id, n_tasks, EVENTS_PER_SECOND)
        path = bench.folder / "plan.json"
        plan.save(path)
        began = time.time()
        command = [sys.executable, "-m", "benchmarks.scale.load", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=plan.seconds + 120, check=True)
        ended = time.time()
        results = json.loads(done.stdout)
        _webhook_rows(bench.report, n_tasks, results.pop("webhook"), plan.per_second)
        for name, sent in sorted(results.items()):
            value = 1000 * percentile(sent["seconds"], 0.99)
            bench.report.at_most(
                f"{name} in the same minute, p99 of {len(sent['seconds'])}", n_tasks, value, PROBE_MS, "ms"
            )
        n_sent = int(plan.per_second * plan.seconds)
        learning_row(bench, backend, project_id, n_tasks, plan.first_row + n_sent)
        turning = sum(
            max(0.0, min(ended, turn.started_at + turn.seconds) - max(began, turn.started_at))
            for turn in turn_rows(sqlite_url(backend))
        )
        bench.report.row("of that minute a turn was running", n_tasks, "", f"{turning:.0f} of {ended - began:.0f} s")


def plan_of(
    bench: Bench, studio: RunningStudio, backend: BackendProcess, project_id: int, n_tasks: int, per_second: float
) -> Plan:
    """Labels of a project at a steady rate, and what else is asked meanwhile."""
    first_row = bench.options.n_labels(n_tasks)
    project, key = project_of(studio, project_id), webhook_keys(Settings(model_dir=backend.folder))[0]
    set_up = {
        "project": project["key"],
        "schema": project["label_config"],
        "hostname": studio.url,
        "access_token": "",
        "extra_params": {"retrain_growth": 0},
    }
    return Plan(
        url=backend.url,
        headers={WEBHOOK_HEADER: webhook_secret(key, project["key"])},
        project=project,
        texts=str(bench.texts.folder),
        first_row=first_row,
        per_second=per_second,
        seconds=min(bench.options.seconds, (n_tasks - first_row) / per_second),
        n_connections=N_CONNECTIONS,
        probes=(
            Probe("/health", "GET", "/health", None, PROBES_PER_SECOND),
            Probe("/setup", "POST", "/setup", set_up, PROBES_PER_SECOND),
        ),
    )


def _webhook_rows(report: Report, n_tasks: int, sent: dict[str, list[float]], per_second: float) -> None:
    n, n_good = len(sent["statuses"]), sum(200 <= status < 300 for status in sent["statuses"])
    what = f"/webhook, {n:,} events at {per_second:.0f} a second: answered 2xx"
    report.row(what, n_tasks, "all", f"{100 * n_good / n:.2f} %", n_good == n)
    for share, aim in WEBHOOK_MS.items():
        what = f"/webhook, {'slowest' if share == 1 else f'p{100 * share:.0f}'}, from the planned moment"
        report.at_most(what, n_tasks, 1000 * percentile(sent["seconds"], share), aim, "ms")


def learning_row(bench: Bench, backend: BackendProcess, project_id: int, n_tasks: int, n_wanted: int) -> None:
    """Whether all labels that were heard are learnt in the end."""

    def n_learnt() -> int:
        version = state_of(backend, project_id)["version"]
        return int(version["n_labels"])

    began = time.perf_counter()
    while n_learnt() < n_wanted and time.perf_counter() - began < LEARNT_SECONDS:
        time.sleep(1.0)
    n, took = n_learnt(), time.perf_counter() - began
    measured = f"{n:,} of {n_wanted:,}, {took:.0f} s after the last event"
    bench.report.row("labels learnt", n_tasks, "all", measured, n == n_wanted)
