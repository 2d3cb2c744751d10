"""What /metrics says, and that it is right however many processes count."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from label_studio_al.cli.local import free_port
from label_studio_al.runtime.counting import COUNTED, Counts, Key
from label_studio_al.runtime.database import open_engine
from label_studio_al.runtime.errors import StudioRefused, StudioUnreachable
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.bench import Bench
from tests.support.build import KEY, OTHER_KEY, annotation, config_xml, event, task
from tests.support.clock import FakeClock
from tests.support.columns import set_columns
from tests.support.fake_label_studio import TOKEN, URL, FakeLabelStudio
from tests.support.studio import until
from tests.support.versions import new_version

DOCS = Path(__file__).parents[2] / "docs"
SUFFIXES = ("_bucket", "_sum", "_count")
# The recorded requests come from this project.
PROJECT = "2.1795394190"


@pytest.fixture
def app(tmp_path: Path, store: Store, signer: Signer, clock: FakeClock) -> Flask:
    return create_app(Parts(read_settings(model_dir=tmp_path), store, signer, clock), ["secret"])


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def read(text: str) -> dict[str, float]:
    """Every sample, as Prometheus reads it, by its name and labels."""
    return {
        f"{sample.name}{json.dumps(sample.labels) if sample.labels else ''}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def exposed(client: FlaskClient) -> dict[str, float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return read(answer.text)


# -- what is documented is what is served ------------------


def documented() -> dict[str, tuple[str, tuple[str, ...], str]]:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ?(.*?) ?\| (.+) \|$", (DOCS / "metrics.md").read_text(), re.MULTILINE)
    return {name: (kind, tuple(re.findall(r"`(\w+)`", labels)), text) for name, kind, labels, text in rows}


def test_documented_metrics_are_those_that_are_served(client: FlaskClient, app: Flask, store: Store) -> None:
    store.projects.register(KEY, config_xml(), None, 1.0)
    store.versions.publish(KEY, new_version(1, 2.0, 0, "random", ("A", "B"), {}, None, None, []), is_switched=True)
    set_columns(store, KEY, synced_at=3.0)
    counts = Counts()
    for name, counted in COUNTED.items():
        labels = dict.fromkeys(counted.labels, "some")
        counts.observe(name, 1.0, **labels) if counted.buckets else counts.add(name, **labels)
    counts.flush(store.counters.add)

    served = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        served[name] = (family.type, labels, family.documentation)

    assert served == {name: (kind, set(labels), text) for name, (kind, labels, text) in documented().items()}
    for name, (kind, labels, _) in documented().items():
        assert name.startswith("label_studio_al_")
        assert kind == "gauge" or labels == COUNTED[name].labels


def named_in(expressions: list[str]) -> set[str]:
    return {name for expression in expressions for name in re.findall(r"label_studio_al_\w+", expression)}


def test_dashboard_and_alerts_name_metrics_that_exist() -> None:
    dashboard = json.loads((DOCS / "grafana-dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    expressions += [variable["query"] for variable in dashboard["templating"]["list"]]
    metrics = documented()
    histograms = {f"{name}{suffix}" for name, (kind, *_) in metrics.items() for suffix in SUFFIXES if kind[0] == "h"}
    known = {name for name, (kind, *_) in metrics.items() if kind != "histogram"} | histograms
    shown = named_in(expressions)
    assert shown - known == set()
    assert named_in([(DOCS / "metrics.md").read_text()]) - known - metrics.keys() == set()
    # Everything else is there to be seen.
    assert metrics.keys() - {re.sub("(_bucket|_sum|_count)$", "", name) for name in shown} == {
        "label_studio_al_build_info"
    }
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))


# -- counting ----------------------------------------------


@pytest.mark.both_databases
def test_counts_of_many_threads_and_stores_are_summed(store: Store, database: str) -> None:
    others = [store, Store(database)]

    def work(one: Store) -> None:
        counts = Counts()
        for n in range(20):
            counts.add("label_studio_al_turns_total", outcome="kept")
            counts.add("label_studio_al_turns_total", outcome=("failed", "published")[n % 2])
            counts.observe("label_studio_al_queue_delay_seconds", n)
            counts.flush(one.counters.add)

    threads = [threading.Thread(target=work, args=[others[n % 2]]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    others[1].close()

    sums = store.counters.all()
    assert sums["label_studio_al_turns_total", '{"outcome":"kept"}'] == 120
    assert sums["label_studio_al_turns_total", '{"outcome":"failed"}'] == 60
    assert sums["label_studio_al_queue_delay_seconds_sum", "{}"] == 6 * sum(range(20))


def test_what_the_database_does_not_take_is_added_later(store: Store) -> None:
    counts = Counts()
    counts.add("label_studio_al_requests_shed_total")

    def fail(_: Mapping[Key, float]) -> None:
        counts.add("label_studio_al_requests_shed_total")
        raise sa.exc.OperationalError("", None, Exception("away"))

    with pytest.raises(sa.exc.OperationalError):
        counts.flush(fail)
    counts.flush(store.counters.add)
    counts.flush(store.counters.add)
    assert store.counters.all() == {("label_studio_al_requests_shed_total", "{}"): 2.0}


def test_counting_by_other_labels_than_declared_is_refused() -> None:
    with pytest.raises(ValueError, match="counted by"):
        Counts().add("label_studio_al_turns_total", project="3")


def test_histogram_is_cumulative(client: FlaskClient, store: Store) -> None:
    counts = Counts()
    for seconds in (0.1, 0.2, 3.0, 1000.0):
        counts.observe("label_studio_al_queue_delay_seconds", seconds)
    counts.flush(store.counters.add)
    name = "label_studio_al_queue_delay_seconds"
    found = exposed(client)
    buckets = [value for sample, value in found.items() if sample.startswith(f"{name}_bucket")]
    assert buckets == [1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4]
    assert (found[f"{name}_count"], found[f"{name}_sum"]) == (4, pytest.approx(1003.3))


# -- the web process ---------------------------------------


def test_events_and_requests_are_counted(
    app: Flask, client: FlaskClient, store: Store, payload: Callable[[str], dict[str, Any]]
) -> None:
    client.post("/setup", json=payload("setup"))
    client.post("/webhook", json=payload("annotation_created"))
    client.post("/webhook", json={"action": "LABEL_LINK_CREATED"})
    client.post("/webhook", json={"action": 3})
    client.get("/nobody/knows/this")
    client.post("/predict", json=payload("predict"))
    assert store.counters.all() == {}
    app.extensions["parts"].flush_counts()

    found = exposed(client)

    assert found['label_studio_al_events_total{"action": "ANNOTATION_CREATED"}'] == 1
    assert found['label_studio_al_events_total{"action": "other"}'] == 1
    requests = "label_studio_al_requests_total"
    assert found[f'{requests}{{"route": "/webhook", "status": "2xx"}}'] == 2
    assert found[f'{requests}{{"route": "/webhook", "status": "4xx"}}'] == 1
    assert found[f'{requests}{{"route": "none", "status": "4xx"}}'] == 1
    assert found['label_studio_al_request_seconds_count{"route": "/predict"}'] == 1
    assert found['label_studio_al_request_seconds_count{"route": "/webhook"}'] == 3
    assert found["label_studio_al_requests_shed_total"] == 0
    assert found[f'label_studio_al_project_unheard_changes{{"project": "{PROJECT}"}}'] == 2


def test_requests_that_are_sent_away_are_counted(app: Flask, client: FlaskClient) -> None:
    app.extensions["gate"].n_waiting = lambda: 1000
    assert client.post("/webhook", json={}).status_code == 503
    app.extensions["gate"].n_waiting = lambda: 0
    app.extensions["parts"].flush_counts()
    assert exposed(client)["label_studio_al_requests_shed_total"] == 1


def test_counts_wait_while_the_database_is_away_and_cause_no_comparison(
    app: Flask, client: FlaskClient, store: Store, tmp_path: Path, payload: Callable[[str], dict[str, Any]]
) -> None:
    client.post("/setup", json=payload("setup"))
    set_columns(store, PROJECT, sync_wanted=False)
    here = app.extensions["parts"]
    here.store = Store(f"sqlite:///{tmp_path / 'nowhere' / 'state.sqlite'}", patience_seconds=0.1)
    here.flush_counts()
    assert client.get("/metrics").status_code == 503
    here.store = store
    here._rests_until = 0.0
    here.flush_counts()
    assert exposed(client)['label_studio_al_requests_total{"route": "/setup", "status": "2xx"}'] == 1


def test_a_locked_database_is_no_reason_to_compare(app: Flask, store: Store, database: str) -> None:
    here = app.extensions["parts"]
    here.store = Store(database, patience_seconds=0.05)
    here.counts.add("label_studio_al_requests_shed_total")
    engine = open_engine(database)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM counts"))
        here.flush_counts()
    engine.dispose()
    assert not here._is_behind
    here.flush_counts()
    assert store.counters.all() == {("label_studio_al_requests_shed_total", "{}"): 1.0}
    here.store.close()


def test_openmetrics_is_served_to_who_asks_for_it(client: FlaskClient) -> None:
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_metrics_need_the_credentials(tmp_path: Path, store: Store, signer: Signer) -> None:
    protected = read_settings(model_dir=tmp_path, basic_auth_user="somebody", basic_auth_pass="a password")
    client = create_app(Parts(protected, store, signer), ["secret"]).test_client()
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", auth=("somebody", "a password")).status_code == 200


# -- projects ----------------------------------------------


@pytest.mark.both_databases
def test_projects_states_are_right(store: Store, app: Flask, client: FlaskClient) -> None:
    for key in (KEY, OTHER_KEY):
        store.projects.register(key, config_xml(), None, 1000.0)
    tasks = tuple(task(n) for n in range(1, 6))
    store.updates.hear(event(tasks=tasks, annotations=(annotation(1, 1), annotation(2, 2, was_cancelled=True))), 2000.0)
    window = [(n, 0.5) for n in range(1, 6)]
    new = new_version(7, 3000.0, 1, "random", ("A", "B"), {}, None, None, window)
    store.versions.publish(KEY, new, is_switched=True)
    store.updates.hear(event("TASKS_DELETED", deleted_tasks=(5,)), 4000.0)
    # Tasks and annotations of the same numbers in another project are nothing to this one.
    store.updates.hear(event(key=OTHER_KEY, tasks=tasks, annotations=(annotation(3, 3), annotation(4, 4))), 1500.0)
    set_columns(
        store, KEY, seen_revision=1, n_tasks=5, n_annotations=2, n_failures=3, is_paused=True, parked_revision=9
    )

    found = exposed(client)

    expected = {
        "tasks": 5,
        "annotations": 2,
        "window_left": 2,
        "version": 7,
        "published_timestamp_seconds": 3000,
        "heard_timestamp_seconds": 4000,
        "unheard_changes": 1,
        "failures": 3,
        "parked": 1,
        "paused": 1,
    }
    for name, value in expected.items():
        assert found[f'label_studio_al_project_{name}{{"project": "{KEY}"}}'] == value, name
    of_other = {name for name in found if OTHER_KEY in name}
    assert f'label_studio_al_project_version{{"project": "{OTHER_KEY}"}}' not in of_other
    store.projects.forget(KEY)
    assert not [name for name in exposed(client) if KEY in name]


# -- the worker --------------------------------------------


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def bench(store: Store, signer: Signer, clock: FakeClock, tmp_path: Path, counts: Counts) -> Bench:
    settings = Settings(model_dir=tmp_path, encoder="none")
    return Bench(FakeLabelStudio(), store, signer, clock, settings, counts=counts)


def taken(counts: Counts, store: Store) -> dict[str, float]:
    counts.flush(store.counters.add)
    return {
        f"{name}{'' if labels == '{}' else labels}": value for (name, labels), value in store.counters.all().items()
    }


def test_turns_are_counted_by_outcome_with_their_steps_and_delay(bench: Bench, counts: Counts, store: Store) -> None:
    project = bench.add()
    bench.turn(project, after_seconds=3.0)
    bench.label(project, 5)
    bench.turn(project, after_seconds=0.7)
    bench.turn(project)
    bench.label(project, 5)
    bench.fake.fail("*", ".*", 503)
    bench.turn(project)
    found = taken(counts, store)
    turns = "label_studio_al_turns_total"
    assert found[f'{turns}{{"outcome":"published"}}'] == 2
    assert found[f'{turns}{{"outcome":"kept"}}'] == 1
    assert found[f'{turns}{{"outcome":"failed"}}'] == 1
    trained = [value for name, value in found.items() if "step_seconds_bucket" in name and '"train"' in name]
    assert sum(trained) >= 1
    delays = {name: value for name, value in found.items() if "queue_delay_seconds_bucket" in name}
    assert sum(delays.values()) == 3
    assert found["label_studio_al_queue_delay_seconds_sum"] == pytest.approx(3.0 + 0.7 + 10.0, abs=0.5)


def test_calls_to_label_studio_are_counted_by_outcome(counts: Counts, store: Store, clock: FakeClock) -> None:
    fake = FakeLabelStudio()
    project = fake.add_project(config_xml(), ["a text"])
    studio = Studio(Api(URL, TOKEN, fake.client(), clock, counts=counts))
    studio.projects.get(project.id)
    with pytest.raises(StudioRefused):
        studio.projects.get(99)
    fake.fail("POST", ".*", 503)
    with pytest.raises(StudioUnreachable):
        studio.predictions.push(project.id, [{"task": 1}])
    found = taken(counts, store)
    calls = "label_studio_al_studio_calls_total"
    assert found[f'{calls}{{"method":"GET","outcome":"answered"}}'] == 1
    assert found[f'{calls}{{"method":"GET","outcome":"refused"}}'] == 1
    assert found[f'{calls}{{"method":"POST","outcome":"unreachable"}}'] == 1
    assert sum(value for name, value in found.items() if "call_seconds_bucket" in name) == 3


# -- processes ---------------------------------------------


class Processes:
    """Web processes and a worker that share a database, as an operator runs them."""

    def __init__(self, folder: Path, url: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AL_", "LABEL_STUDIO_"))}
        self._environment = {**kept, "MODEL_DIR": str(folder), "DATABASE_URL": url, "AL_ENCODER": "none"}
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def web(self) -> tuple[str, subprocess.Popen[bytes]]:
        """The address of one more web process."""
        port = free_port()
        process = self._start("serve", "--web-only", "--port", str(port))
        url = f"http://127.0.0.1:{port}"
        until(lambda: self._answers(url), "the web process answers")
        return url, process

    def worker(self) -> subprocess.Popen[bytes]:
        """One more worker."""
        return self._start("worker")

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """SIGTERM, as from `serve` or a container's host."""
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) in (0, -signal.SIGTERM)

    def end(self) -> None:
        """Kill what is left."""
        for process in self._running:
            process.kill()
            process.wait(10)

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "label_studio_al", *arguments]
            self._running.append(subprocess.Popen(command, env=self._environment, stdout=log, stderr=log))
        return self._running[-1]

    def _answers(self, url: str) -> bool:
        try:
            return httpx.get(f"{url}/health", timeout=1).is_success
        except httpx.HTTPError:
            return False


@pytest.fixture
def processes(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Processes]:
    url = (
        f"sqlite:///{tmp_path / 'all.sqlite'}" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    )
    made = Processes(tmp_path, url)
    yield made
    made.end()


@pytest.mark.parametrize("processes", ["sqlite", "postgresql"], indirect=True)
def test_two_web_processes_and_a_worker_say_the_same_and_right_values(
    processes: Processes, payload: Callable[[str], dict[str, Any]]
) -> None:
    (one, first), (other, _) = processes.web(), processes.web()
    worker = processes.worker()
    assert httpx.post(f"{one}/setup", json=payload("setup")).is_success
    for url, n in ((one, 3), (other, 4)):
        for _ in range(n):
            assert httpx.post(f"{url}/webhook", json=payload("annotation_created")).status_code == 201
    created = 'label_studio_al_events_total{"action": "ANNOTATION_CREATED"}'
    published = 'label_studio_al_turns_total{"outcome": "published"}'

    def found(url: str) -> dict[str, float]:
        return read(httpx.get(f"{url}/metrics").text)

    until(lambda: found(other).get(created) == 7, "both web processes have added their counts")
    until(lambda: found(other).get(published, 0) >= 1, "the worker has added its turn")
    for _ in range(2):
        assert httpx.post(f"{one}/webhook", json=payload("annotation_updated")).status_code == 201
    processes.stop(worker)
    processes.stop(first)

    # What was counted last is there although its processes have ended.
    after = found(other)
    assert after['label_studio_al_events_total{"action": "ANNOTATION_UPDATED"}'] == 2
    assert after[created] == 7
    n_turns = sum(value for name, value in after.items() if name.startswith("label_studio_al_turns_total"))
    n_timed = sum(value for name, value in after.items() if name.startswith("label_studio_al_turn_seconds_count"))
    assert n_turns == n_timed >= 1
    assert after[f'label_studio_al_project_tasks{{"project": "{PROJECT}"}}'] == 1
