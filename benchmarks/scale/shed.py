"""Three times the webhooks that must be answered: what is sent away, and whether any label is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

from benchmarks.scale.answers import EVENTS_PER_SECOND, learning_row, plan_of
from benchmarks.scale.bench import Bench
from benchmarks.scale.calls import CallFailedError, Connection
from benchmarks.scale.report import percentile

SHED_TASKS = 100_000
TIMES = 3.0
N_CONNECTIONS = 32
HEALTH_MS = 1_000.0
RECOVERY_SECONDS = 5.0
GOOD_SECONDS, GOOD_IN_A_ROW = 0.1, 20


def shed_section(bench: Bench) -> None:
    """Label Studio has all the labels before; the backend hears of as many as it can."""
    n_tasks = min(SHED_TASKS, bench.options.sizes[-1])
    with bench.trained("shed", n_tasks) as (studio, backend, project_id):
        plan = plan_of(bench, studio, backend, project_id, n_tasks, TIMES * EVENTS_PER_SECOND)
        plan = replace(plan, n_connections=N_CONNECTIONS)
        n_sent = int(plan.per_second * plan.seconds)
        studio.import_labels(project_id, plan.first_row + n_sent, is_told=False)
        path = bench.folder / "plan.json"
        plan.save(path)
        command = [sys.executable, "-m", "benchmarks.scale.load", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10 * plan.seconds + 120, check=True)
        recovered = _recovery(backend.url)
        results = json.loads(done.stdout)
        statuses = results["webhook"]["statuses"]
        counted = {
            "2xx": sum(200 <= status < 300 for status in statuses),
            "503 or 429": sum(status in (503, 429) for status in statuses),
            "no answer in 10 s": sum(status == 0 for status in statuses),
        }
        others = len(statuses) - sum(counted.values())
        told = ", ".join(f"{n:,} {name}" for name, n in counted.items())
        bench.report.row(
            f"/webhook, {len(statuses):,} events at {plan.per_second:.0f} a second",
            n_tasks,
            "2xx, 429 or 503",
            f"{told}, {others} others",
            others == counted["no answer in 10 s"] == 0,
        )
        health = 1000 * percentile(results["/health"]["seconds"], 0.99)
        bench.report.at_most("/health in the same minute, p99", n_tasks, health, HEALTH_MS, "ms")
        bench.report.at_most("until requests are answered as before", n_tasks, recovered, RECOVERY_SECONDS, "s")
        learning_row(bench, backend, project_id, n_tasks, plan.first_row + n_sent)


def _recovery(url: str) -> float:
    """Seconds until twenty requests in a row are answered within 100 ms each."""
    began, connection, n_good = time.perf_counter(), Connection(url, timeout=10), 0
    while n_good < GOOD_IN_A_ROW:
        asked = time.perf_counter()
        try:
            status, _ = connection.send("GET", "/versions")
        except CallFailedError:
            status = 0
        n_good = n_good + 1 if status == 200 and time.perf_counter() - asked < GOOD_SECONDS else 0
    connection.close()
    return time.perf_counter() - began
