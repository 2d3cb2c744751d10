"""Simulated annotators of a simulated Label Studio, and what its log tells afterwards."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from benchmarks.big_label_studio import RunningStudio
from benchmarks.scale.calls import CallFailedError, Connection
from benchmarks.scale.report import Report, percentile

GROWTH = 0.05
SEED = 0


@dataclass
class Crowd:
    """People who label while the `with` lasts, each in a thread: one label every `seconds`, from a random moment on."""

    studio: RunningStudio
    project_ids: Sequence[int]
    n_each: int
    seconds: float
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Crowd:
        self._stop = threading.Event()
        draw = random.Random(SEED)
        people = [(project_id, place) for project_id in self.project_ids for place in range(self.n_each)]
        self._threads = [
            threading.Thread(target=self._work, args=(*person, draw.random() * self.seconds)) for person in people
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, project_id: int, place: int, offset: float) -> None:
        connection, planned = Connection(self.studio.url, timeout=30), time.monotonic() + offset
        while not self._stop.wait(max(0.0, planned - time.monotonic())):
            planned += self.seconds
            try:
                task = connection.call("GET", f"/api/projects/{project_id}/next?user={place}")
                answer = {"result": task["result"]}
                connection.call("POST", f"/api/tasks/{task['id']}/annotations/", answer)
            except CallFailedError as exc:
                self.failures.append(str(exc))
        connection.close()


def growth(n_learnt: int) -> int:
    """How many further labels make a turn due, at the default of 5 %."""
    return max(1, math.ceil(GROWTH * n_learnt))


def submits(log: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The Submits of a project's log, in the order in which they were stored."""
    return sorted((entry for entry in log if entry["what"] == "submit"), key=lambda entry: entry["at"])


def submit_rows(report: Report, logs: Mapping[int, Sequence[Mapping[str, Any]]], crowd: Crowd) -> None:
    """How long the webhook held up the Submits, and what went wrong meanwhile."""
    entries = [entry for log in logs.values() for entry in submits(log)]
    ms = [1000 * entry["webhook_seconds"] for entry in entries]
    delays = f"median {percentile(ms, 0.5):.1f}, p95 {percentile(ms, 0.95):.1f}, slowest {max(ms):.0f} ms"
    report.row(f"a Submit's delay by the webhook, of {len(ms):,}", None, "", delays)
    n_lost = sum(not 200 <= entry["status"] < 300 for entry in entries)
    report.row("webhooks lost or refused", None, "", str(n_lost))
    n_dry = sum(entry["what"] == "dry" for log in logs.values() for entry in log)
    report.row("tasks served at random, since the window was empty", None, "", str(n_dry))
    if crowd.failures:
        report.row("annotators' calls that failed", None, "0", f"{len(crowd.failures)}: {crowd.failures[0]}", False)
