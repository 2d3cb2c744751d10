"""Many projects on one worker: whether each gets its turns in time.

A turn is *due* at the later of two moments: when the version before it appeared in Label Studio (its name became the
project's model version), and when the labels stored in Label Studio had grown by 5 %, at least one, over those that
version had learnt. It is *started* when the worker's record says so. Versions without a model are left out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.scale.bench import Bench, TurnRow, connect, is_published, sqlite_url, turn_rows, wait
from benchmarks.scale.crowd import Crowd, growth, submit_rows, submits
from benchmarks.scale.report import percentile

N_PROJECTS = 20
N_ANNOTATORS = 5
SECONDS_A_LABEL = 4.0
N_TASKS = 2_000
START_SECONDS = 5.0
DRAIN_SECONDS = 10.0
MIN_LABELS = 5


@dataclass(frozen=True)
class Wait:
    """From the moment when a turn was due to its start, in seconds; not yet started: to the end."""

    seconds: float
    has_started: bool


def fairness_section(bench: Bench) -> None:
    """20 projects of 5 annotators, who label without a pause."""
    with bench.studio(real_delays=True) as studio, bench.running_backend(studio, "fairness") as backend:
        ids = [studio.make_project(N_TASKS, first=place * N_TASKS) for place in range(N_PROJECTS)]
        for project_id in ids:
            connect(backend, studio, project_id)
        for project_id in ids:
            wait(lambda project_id=project_id: is_published(studio, project_id), "the first versions", 240)
        with Crowd(studio, ids, N_ANNOTATORS, SECONDS_A_LABEL) as crowd:
            time.sleep(60 * bench.options.minutes)
            ended = time.time()
        time.sleep(DRAIN_SECONDS)
        logs, rows = {project_id: studio.log(project_id) for project_id in ids}, turn_rows(sqlite_url(backend))
    waits = [
        one
        for project_id in ids
        for one in waits_of([row for row in rows if row.project_id == project_id], logs[project_id], ended)
    ]
    _rows(bench, waits)
    submit_rows(bench.report, logs, crowd)


def _rows(bench: Bench, waits: Sequence[Wait]) -> None:
    late = [one for one in waits if one.seconds > START_SECONDS]
    seconds = [one.seconds for one in waits if one.has_started]
    spread = f"median {percentile(seconds, 0.5):.2f}, p95 {percentile(seconds, 0.95):.2f}, latest {max(seconds):.2f} s"
    what = f"{len(seconds):,} turns of {N_PROJECTS} projects with {N_ANNOTATORS} annotators: start after they were due"
    bench.report.row(what, N_TASKS, f"all ≤ {START_SECONDS:.0f} s", f"{spread}; {len(late)} late", not late)
    n_missing = sum(not one.has_started for one in late)
    bench.report.row("of these due, but never started", N_TASKS, "0", str(n_missing), n_missing == 0)


def waits_of(rows: Sequence[TurnRow], log: Sequence[Mapping[str, Any]], ended: float) -> list[Wait]:
    """How long each turn of a project waited, also one that was due before `ended` and never came."""
    stored = [entry["at"] for entry in submits(log)]
    appeared: dict[str, float] = {}
    for entry in log:
        if entry["what"] == "switch":
            appeared.setdefault(entry["version"], entry["at"])
    turns = [row for row in rows if "published" in row.outcome and (row.n_labels or 0) >= MIN_LABELS]
    found = []
    for turn, following in zip(turns, [*turns[1:], None], strict=True):
        n_due = (turn.n_labels or 0) + growth(turn.n_labels or 0)
        published_at = next((at for name, at in appeared.items() if name.startswith(f"al-{turn.version}-")), None)
        if published_at is None or n_due > len(stored):
            continue
        due = max(published_at, stored[n_due - 1])
        if following is not None:
            found.append(Wait(max(0.0, following.started_at - due), True))
        elif due < ended:
            found.append(Wait(ended - due, False))
    return found
