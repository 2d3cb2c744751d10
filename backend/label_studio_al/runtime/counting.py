"""How often things happen and how long they take, counted in memory and added to the database's sums."""

from __future__ import annotations

import json
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType

# A row of the sums: the sample's name, and its labels as JSON.
Key = tuple[str, str]

_QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SLOW = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
INFINITY = "+Inf"


@dataclass(frozen=True)
class Counted:
    """Something that is counted. labels: their names; each has few values, whoever calls.

    buckets: upper bounds in seconds of a histogram, ascending; none for a counter.
    """

    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


# By the name that Prometheus shows.
COUNTED: Mapping[str, Counted] = MappingProxyType(
    {
        "label_studio_al_events_total": Counted(
            "Webhook events by action; other: events that this backend ignores", ("action",)
        ),
        "label_studio_al_requests_total": Counted("Requests by route and status class", ("route", "status")),
        "label_studio_al_requests_shed_total": Counted("Requests refused (503) because too many were waiting"),
        "label_studio_al_request_seconds": Counted("Time to answer a request, by route", ("route",), _QUICK),
        "label_studio_al_turns_total": Counted(
            "Turns by outcome: published a version, kept it, failed, or interrupted", ("outcome",)
        ),
        "label_studio_al_turn_seconds": Counted("Time of a turn, by outcome", ("outcome",), _SLOW),
        "label_studio_al_step_seconds": Counted("Time of a turn's steps, by step", ("step",), _SLOW),
        "label_studio_al_queue_delay_seconds": Counted(
            "Time from a project's newest event to the turn that reads it", (), _SLOW
        ),
        "label_studio_al_studio_calls_total": Counted(
            "Calls to Label Studio by method and outcome: answered, refused (4xx), or unreachable",
            ("method", "outcome"),
        ),
        "label_studio_al_studio_call_seconds": Counted("Time of calls to Label Studio, by method", ("method",), _QUICK),
    }
)


class Counts:
    """What was counted since it was last added to the sums. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._amounts: defaultdict[Key, float] = defaultdict(float)

    def add(self, name: str, **labels: str) -> None:
        """Count one more."""
        with self._lock:
            self._amounts[name, _labels(name, labels)] += 1

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Count one more that took so long."""
        bounds = COUNTED[name].buckets
        place = bisect_left(bounds, seconds)
        bound = str(bounds[place]) if place < len(bounds) else INFINITY
        in_bucket, in_sum = _labels(name, labels, le=bound), _labels(name, labels)
        with self._lock:
            self._amounts[f"{name}_bucket", in_bucket] += 1
            # A clock that is set back makes a sum of seconds fall, which Prometheus takes for a restart.
            self._amounts[f"{name}_sum", in_sum] += max(0.0, seconds)

    @contextmanager
    def timing(self, name: str, **labels: str) -> Iterator[None]:
        """Count what is done inside, and how long it takes, however it ends."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.observe(name, time.perf_counter() - began, **labels)

    def flush(self, add: Callable[[Mapping[Key, float]], None]) -> None:
        """Give what was counted to `add`; what it does not take is kept for the next time. Raises what it raises."""
        with self._lock:
            amounts, self._amounts = self._amounts, defaultdict(float)
        if not amounts:
            return
        try:
            add(amounts)
        except BaseException:
            with self._lock:
                for key, amount in amounts.items():
                    self._amounts[key] += amount
            raise


def _labels(name: str, labels: Mapping[str, str], **more: str) -> str:
    wanted = COUNTED[name].labels
    if set(labels) != set(wanted):
        raise ValueError(f"{name} is counted by {wanted}, not by {tuple(labels)}")
    return json.dumps({**labels, **more}, sort_keys=True, separators=(",", ":"))
