"""Sends webhooks at a steady rate from a process of its own: `python -m benchmarks.scale.load PLAN.json`.

Open loop: every request has a moment at which it is to be sent, and its latency counts from there, also when the
answer before it on the same connection came late. Prints the latencies and statuses as JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.big_label_studio import moment_text
from benchmarks.scale.bench import payload
from benchmarks.scale.calls import CallFailedError, Connection
from benchmarks.scale.texts import TextFile

FIRST_ANNOTATION = 10**9
LEAD_SECONDS = 1.0


@dataclass(frozen=True)
class Probe:
    """Another request that is sent all the time, on a connection of its own."""

    name: str
    method: str
    path: str
    body: Any
    per_second: float


@dataclass(frozen=True)
class Plan:
    """What to send. project: as webhooks carry it; the task of event i is row `first_row + i`. headers: of all."""

    url: str
    headers: dict[str, str]
    project: dict[str, Any]
    texts: str
    first_row: int
    per_second: float
    seconds: float
    n_connections: int
    probes: tuple[Probe, ...]

    def save(self, path: Path) -> None:
        """Write it for the process that follows it."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read what `save` wrote."""
        values = json.loads(path.read_text())
        return cls(**values | {"probes": tuple(Probe(**probe) for probe in values["probes"])})


@dataclass
class Sent:
    """What became of the requests of one kind: latencies in seconds, and statuses (0: no answer)."""

    seconds: list[float]
    statuses: list[int]


def send_all(
    url: str,
    headers: dict[str, str],
    method: str,
    path: str,
    began: float,
    moments: Iterable[tuple[int, float]],
    body: Callable[[int], bytes | None],
) -> Sent:
    """Send numbered requests at their moments (seconds after `began`), over one kept connection."""
    connection, sent = Connection(url, headers, timeout=10), Sent([], [])
    for number, offset in moments:
        content, planned = body(number), began + offset
        time.sleep(max(0.0, planned - time.perf_counter()))
        try:
            status, _ = connection.send(method, path, content)
        except CallFailedError:
            status = 0
        sent.seconds.append(time.perf_counter() - planned)
        sent.statuses.append(status)
    connection.close()
    return sent


def follow(plan: Plan) -> dict[str, dict[str, Any]]:
    """Send everything. Gives what became of it by name."""
    texts, template = TextFile(Path(plan.texts)), payload("annotation_created")
    results: dict[str, Sent] = {}
    began, n_events = time.perf_counter() + LEAD_SECONDS, int(plan.per_second * plan.seconds)

    def event(number: int) -> bytes:
        return _event(template, plan.project, texts, plan.first_row + number, number)

    def run(name: str, *what: Any) -> None:
        results[name] = send_all(plan.url, plan.headers, *what)

    threads = []
    for place in range(plan.n_connections):
        moments = [(number, number / plan.per_second) for number in range(place, n_events, plan.n_connections)]
        arguments = (f"webhook {place}", "POST", "/webhook", began, moments, event)
        threads.append(threading.Thread(target=run, args=arguments))
    for probe in plan.probes:
        moments = [(number, number / probe.per_second) for number in range(int(plan.seconds * probe.per_second))]
        content = None if probe.body is None else json.dumps(probe.body).encode()
        arguments = (probe.name, probe.method, probe.path, began, moments, lambda _number, content=content: content)
        threads.append(threading.Thread(target=run, args=arguments))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    webhooks = [results.pop(f"webhook {place}") for place in range(plan.n_connections)]
    results["webhook"] = Sent(
        [seconds for one in webhooks for seconds in one.seconds],
        [status for one in webhooks for status in one.statuses],
    )
    return {name: asdict(sent) for name, sent in results.items()}


def _event(template: dict[str, Any], project: dict[str, Any], texts: TextFile, row: int, number: int) -> bytes:
    """ANNOTATION_CREATED of a task, as recorded from a real Label Studio."""
    annotation = template["annotation"] | {
        "id": FIRST_ANNOTATION + number,
        "result": texts.result(row),
        "updated_at": moment_text(time.time()),
        "task": row + 1,
        "project": project["id"],
    }
    task = template["task"] | {"id": row + 1, "data": {"text": texts.texts(row, row + 1)[0]}, "project": project["id"]}
    body = {"action": "ANNOTATION_CREATED", "annotation": annotation, "project": project, "task": task}
    return json.dumps(body).encode()


if __name__ == "__main__":
    print(json.dumps(follow(Plan.load(Path(sys.argv[1])))))
