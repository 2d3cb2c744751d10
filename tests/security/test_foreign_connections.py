"""What is not ours in Label Studio is neither changed nor deleted: connections, predictions, projects."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from label_studio_al.labeling import version_number
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.studio.projects import SAMPLING
from label_studio_al.studio.tabs import AUTOMATIC_TAB_TITLE, TAB_TITLE
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.bench import TEXTS, TWO, Bench
from tests.support.clock import FakeClock
from tests.support.columns import set_columns
from tests.support.fake_label_studio import TOKEN, URL, FakeLabelStudio, FakeProject

# As typed into the model page: the backend itself knows neither.
OURS, OTHERS = "http://pasted.example", "http://others.example"
READS = ("GET",)


@dataclass
class Neighbours:
    """Our backend and somebody else's, both of this kind, beside one Label Studio."""

    bench: Bench
    signer: Signer
    settings: Settings
    open_store: Callable[[str, str], Store]

    @property
    def fake(self) -> FakeLabelStudio:
        return self.bench.fake

    def add(self) -> FakeProject:
        """A project whose admin has pasted our address."""
        project = self.fake.add_project(TWO, TEXTS)
        self.connect(project)
        return project

    def connect(self, project: FakeProject, url: str = OURS) -> int:
        """An admin connects a backend, and looks at the model page, which has it called."""
        connection = self.fake.connect(project.id, url)
        self.look(project)
        return connection

    def edit(self, connection_id: int, **values: str) -> None:
        """An admin edits a connection."""
        at = f"{URL}/api/ml/{connection_id}"
        connection = self.fake.connections[connection_id]
        body = {"url": connection["url"], "project": connection["project"], "title": connection["title"], **values}
        self.ask("PATCH", at, body)

    def look(self, project: FakeProject) -> None:
        self.ask("GET", f"{URL}/api/ml?project={project.id}")

    def ask(self, method: str, url: str, body: Any = None) -> None:
        with self.fake.client() as client:
            client.request(method, url, json=body, headers={"Authorization": f"Token {TOKEN}"}).raise_for_status()

    def numbers(self, project: FakeProject) -> set[int]:
        """Of our versions that Label Studio has predictions of."""
        names = {one["model_version"] for one in project.predictions.values()}
        found = {version_number(name, self.bench.store.installation) for name in names}
        return {number for number in found if number is not None}

    def writes(self, act: Callable[[], object]) -> list[str]:
        """What was changed in Label Studio meanwhile."""
        before = len(self.fake.calls)
        act()
        return [str(call) for call in self.fake.calls[before:] if call.method not in READS]

    def lose_database(self) -> None:
        """Our database is gone; the folder with the keys is not."""
        self.bench.store = self.open_store("new", self.signer.installation)
        self.route()
        self.bench.restart()

    def route(self) -> None:
        """Let Label Studio reach both backends."""
        others = self.open_store("others", Signer("somebody else's key").installation)
        apps = {OURS: self._app(self.bench.store), OTHERS: self._app(others)}
        mounts = {
            OURS: httpx.WSGITransport(apps[OURS]),
            OTHERS: httpx.WSGITransport(apps[OTHERS]),
        }
        self.fake.caller = httpx.Client(mounts=mounts)

    def _app(self, store: Store) -> Any:
        return create_app(Parts(self.settings, store, self.signer, self.bench.clock), [])


@pytest.fixture
def two(tmp_path: Path, signer: Signer, clock: FakeClock) -> Iterator[Neighbours]:
    settings = read_settings(model_dir=tmp_path, encoder="none", allowed_hosts="pasted.example,others.example")
    with ExitStack() as stack:

        def open_store(name: str, installation: str) -> Store:
            opened = Store(f"sqlite:///{tmp_path / name}.sqlite", installation=installation)
            stack.callback(opened.close)
            opened.migrate()
            return opened

        bench = Bench(FakeLabelStudio(), open_store("ours", signer.installation), signer, clock, settings)
        made = Neighbours(bench, signer, settings, open_store)
        made.route()
        yield made


def import_named(project: FakeProject, name: str) -> set[int]:
    """Somebody imports predictions under a name of their own; gives their ids."""
    first = 1_000_000
    for number, task_id in enumerate(project.tasks):
        one = {"id": first + number, "task": task_id, "model_version": name, "score": 0.5, "result": []}
        project.predictions[first + number] = one
    return set(range(first, first + len(project.tasks)))


# -- predictions of others -----------------------------------


def test_import_that_is_named_as_a_version_of_ours_was_is_never_deleted(two: Neighbours) -> None:
    project = two.add()
    theirs = import_named(project, "al-3")
    two.bench.publish(project, 4)
    two.bench.settle(project)
    assert theirs <= project.predictions.keys()
    assert two.numbers(project) == {5}


def test_what_was_pushed_is_known_again_after_the_database_was_lost_and_nothing_else(two: Neighbours) -> None:
    project = two.add()
    two.bench.publish(project, 1)
    theirs = import_named(project, "al-3") | import_named_by_others(project)
    two.lose_database()
    two.look(project)
    two.bench.publish(project, 1)
    two.bench.settle(project)
    assert theirs <= project.predictions.keys()
    # Numbers go on where they were, and only the newest version is left.
    assert len(two.numbers(project)) == 1
    assert min(two.numbers(project)) > 2


def import_named_by_others(project: FakeProject) -> set[int]:
    name = f"al-2-{Signer('a third key').installation}"
    task_id = next(iter(project.tasks))
    project.predictions[5] = {"id": 5, "task": task_id, "model_version": name, "score": 0.5, "result": []}
    return {5}


def test_versions_of_a_release_that_did_not_tell_whose_they_are_are_still_ours(two: Neighbours) -> None:
    two.bench.store.versions.installation = ""
    two.bench.restart()
    project = two.add()
    two.bench.publish(project, 1)
    assert project.model_version == "al-2"
    two.bench.store.versions.installation = two.signer.installation
    two.bench.restart()
    two.look(project)
    two.bench.label(project, 5)
    state = two.bench.settle(project)
    assert state.error is None
    assert two.numbers(project) == {3}
    assert not project.pushed("al-2")


# -- connections of others -----------------------------------


def test_pasted_address_that_only_label_studio_knows_is_ours(two: Neighbours) -> None:
    project = two.add()
    two.bench.publish(project, 1)
    assert project.queue()
    assert version_number(project.model_version, two.signer.installation) == 2


def remove(two: Neighbours, _project: FakeProject, connection: int) -> None:
    two.ask("DELETE", f"{URL}/api/ml/{connection}")


def lead_elsewhere(two: Neighbours, _project: FakeProject, connection: int) -> None:
    two.edit(connection, url=OTHERS)


def replace(two: Neighbours, project: FakeProject, connection: int) -> None:
    two.ask("DELETE", f"{URL}/api/ml/{connection}")
    two.connect(project, OTHERS)


@pytest.mark.parametrize("disconnect", [remove, lead_elsewhere, replace])
@pytest.mark.parametrize("has_news", [False, True])
def test_disconnected_project_is_left_alone_until_it_is_connected_again(
    two: Neighbours, disconnect: Callable[[Neighbours, FakeProject, int], None], has_news: bool
) -> None:
    project = two.add()
    two.bench.publish(project, 2)
    disconnect(two, project, next(iter(two.fake.connections)))
    pointed_to = project.model_version

    def go_on() -> None:
        for task_id in list(project.tasks)[-3:] if has_news else []:
            two.bench.hear(two.fake.annotate(project.id, task_id, "animal"))
        for _ in range(4):
            two.bench.turn(project, after_seconds=400)

    assert two.writes(go_on) == []
    assert project.model_version == pointed_to
    assert "has no ML backend connection to this backend" in (two.bench.store.projects.get(project.key).error or "")

    two.connect(project)
    two.bench.settle(project)
    assert version_number(project.model_version, two.signer.installation)


def test_connection_with_another_title_is_still_ours(two: Neighbours) -> None:
    project = two.add()
    two.bench.publish(project, 1)
    two.edit(next(iter(two.fake.connections)), title="our new model")
    state = two.bench.settle(project)
    assert state.error is None
    assert version_number(project.model_version, two.signer.installation) == 2


def test_settings_chosen_here_are_not_written_into_a_connection_of_others(two: Neighbours) -> None:
    project = two.add()
    two.bench.publish(project, 1)
    lead_elsewhere(two, project, next(iter(two.fake.connections)))
    set_columns(two.bench.store, project.key, wanted_params=json.dumps({"strategy": "random"}))
    assert two.writes(lambda: two.bench.turn(project)) == []


def test_disconnecting_on_request_undoes_what_was_made_and_nothing_else(two: Neighbours) -> None:
    project = two.add()
    two.bench.publish(project, 2)
    studio = Studio(Api(URL, TOKEN, two.fake.client()), two.signer.installation)
    studio.webhooks.replace(project.id, OURS, "a secret of sixteen")
    studio.tabs.add(project.id)
    studio.tabs.add_automatic(project.id)
    theirs = import_named(project, "al-3")
    others = two.connect(project, OTHERS)
    assert project.sampling == SAMPLING

    studio.disconnect(project.id, "http://localhost:9090", [])

    assert set(two.fake.connections) == {others}
    assert two.fake.webhooks == {}
    titles = {tab["data"]["title"] for tab in two.fake.tabs.values()}
    assert titles.isdisjoint({TAB_TITLE, AUTOMATIC_TAB_TITLE})
    assert project.sampling != SAMPLING
    assert project.predictions.keys() == theirs
