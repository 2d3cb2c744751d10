"""`/metrics`: counts and states for Prometheus. All of it comes from the database, so every web process reports the
same."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType

from flask import Blueprint, Response, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from label_studio_al import __version__
from label_studio_al.runtime.counting import COUNTED, INFINITY, Counted, Key
from label_studio_al.store import Project, Published, Store
from label_studio_al.web.parts import parts

metrics = Blueprint("metrics", __name__)


@dataclass(frozen=True)
class State:
    """A number that a project has; None where it has none yet."""

    help: str
    of: Callable[[Project, Published | None], float | None]


# By the name that Prometheus shows; the label is the project's identity, such as 3.1795343520.
STATES: Mapping[str, State] = MappingProxyType(
    {
        "label_studio_al_project_tasks": State(
            "Tasks in the pool, as of the last turn", lambda project, _: project.n_tasks
        ),
        "label_studio_al_project_annotations": State(
            "Annotations, as of the last turn", lambda project, _: project.n_annotations
        ),
        "label_studio_al_project_window_left": State(
            "Tasks pushed under the current version that nobody has labelled yet",
            lambda _, version: None if version is None else version.n_window_left,
        ),
        "label_studio_al_project_version": State(
            "Number of the current version", lambda _, version: None if version is None else version.number
        ),
        "label_studio_al_project_published_timestamp_seconds": State(
            "When the current version was published, in seconds since 1970",
            lambda _, version: None if version is None else version.created_at,
        ),
        "label_studio_al_project_heard_timestamp_seconds": State(
            "When the newest event came, in seconds since 1970", lambda project, _: project.heard_at
        ),
        "label_studio_al_project_synced_timestamp_seconds": State(
            "When Label Studio was last asked for changes, in seconds since 1970",
            lambda project, _: project.synced_at,
        ),
        "label_studio_al_project_unheard_changes": State(
            "Changes waiting for the next turn", lambda project, _: max(0, project.revision - project.seen_revision)
        ),
        "label_studio_al_project_failures": State("Turns in a row that failed", lambda project, _: project.n_failures),
        "label_studio_al_project_parked": State(
            "1 if turns failed so often that only a change starts another one", lambda project, _: project.is_parked
        ),
        "label_studio_al_project_paused": State(
            "1 if somebody paused the project", lambda project, _: project.is_paused
        ),
    }
)


@metrics.get("/metrics")
def expose() -> Response:
    """What Prometheus asks for, in the format that it asks for."""
    here = parts()
    here.check_rest()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Everything(here.store))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(registry), content_type=content_type)


class _Everything(Collector):
    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """All metrics, those without a value yet too."""
        yield _gauge("label_studio_al_build_info", "1; the label is the release", "version", [(__version__, 1)])
        published = {one.key: one for one in self._store.versions.published()}
        projects = self._store.projects.all()
        for name, state in STATES.items():
            values = [(project.key, state.of(project, published.get(project.key))) for project in projects]
            yield _gauge(name, state.help, "project", values)
        sums = self._store.counters.all()
        for name, counted in COUNTED.items():
            yield _histogram(name, counted, sums) if counted.buckets else _counter(name, counted, sums)


def _gauge(name: str, text: str, label: str, values: Iterable[tuple[str, float | None]]) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=[label])
    for labelled, value in values:
        if value is not None:
            gauge.add_metric([labelled], value)
    return gauge


def _counter(name: str, counted: Counted, sums: Mapping[Key, float]) -> Metric:
    counter = CounterMetricFamily(name, counted.help, labels=counted.labels)
    found = {_values(counted, labels): value for labels, value in _rows(name, sums)}
    if not counted.labels:
        # So that a rate can be told from the first one on.
        found.setdefault((), 0.0)
    for values, value in sorted(found.items()):
        counter.add_metric(values, value)
    return counter


def _histogram(name: str, counted: Counted, sums: Mapping[Key, float]) -> Metric:
    histogram = HistogramMetricFamily(name, counted.help, labels=counted.labels)
    seconds = {_values(counted, labels): value for labels, value in _rows(f"{name}_sum", sums)}
    in_buckets: defaultdict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for labels, value in _rows(f"{name}_bucket", sums):
        in_buckets[_values(counted, labels)][labels["le"]] = value
    bounds = [*map(str, counted.buckets), INFINITY]
    for values, found in sorted(in_buckets.items()):
        up_to = accumulate(found.get(bound, 0.0) for bound in bounds)
        histogram.add_metric(values, list(zip(bounds, up_to, strict=True)), seconds.get(values, 0.0))
    return histogram


def _rows(name: str, sums: Mapping[Key, float]) -> Iterator[tuple[dict[str, str], float]]:
    return ((json.loads(labels), value) for (sample, labels), value in sums.items() if sample == name)


def _values(counted: Counted, labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels[label] for label in counted.labels)
