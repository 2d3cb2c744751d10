"""Databases that are locked, deleted while they are used, or something else: a sentence, and all goes on afterwards.

Of jobs whose tables are deleted while workers run them, see tests/unit/test_jobs.py; of a PostgreSQL that goes away,
test_outage.py; of whole processes, tests/chaos.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient

from label_studio_al.runtime.database import UNAVAILABLE, open_engine
from label_studio_al.runtime.errors import DatabaseUnavailable
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.store.activity import TRAINING, Activity
from label_studio_al.web import create_app
from label_studio_al.web.parts import REST_SECONDS, Parts
from label_studio_al.wiring import open_store
from tests.support.bench import TWO, Bench
from tests.support.build import KEY, config_xml
from tests.support.clock import FakeClock
from tests.support.columns import set_columns
from tests.support.fake_label_studio import FakeLabelStudio

# The recorded requests come from this project.
PROJECT = "2.1795394190"
SHORT_SECONDS = 0.05


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Somebody else writes, and does not come to an end."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def delete(path: Path) -> None:
    """Somebody who means to tidy up: the file and its companions."""
    for one in path.parent.glob(f"{path.name}*"):
        one.unlink()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(model_dir=tmp_path, encoder="none")


@pytest.fixture
def own_store(settings: Settings, path: Path) -> Iterator[Store]:
    """A store that does not wait for long, as the web process's."""
    opened = Store(f"sqlite:///{path}", patience_seconds=SHORT_SECONDS)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def client(
    settings: Settings, own_store: Store, signer: Signer, payload: Callable[[str], dict[str, Any]]
) -> FlaskClient:
    """A backend with a project."""
    made = create_app(Parts(settings, own_store, signer, FakeClock()), []).test_client()
    assert made.post("/setup", json=payload("setup")).status_code == 200
    set_columns(own_store, PROJECT, sync_wanted=False)
    return made


# -- locked -----------------------------------------------------------------------------------------------------


def test_locked_database_is_waited_for_no_longer_than_patience(path: Path) -> None:
    store = Store(f"sqlite:///{path}", patience_seconds=0.2)
    store.migrate()
    began = time.monotonic()
    with locked(path), pytest.raises(UNAVAILABLE, match="locked"):
        store.projects.register(KEY, config_xml(), None, 0.0)
    assert time.monotonic() - began < 5
    assert store.projects.register(KEY, config_xml(), None, 0.0).key == KEY
    store.close()


def test_locked_postgresql_is_waited_for_no_longer_than_patience(postgres_url: str) -> None:
    store = Store(postgres_url, patience_seconds=0.2)
    store.migrate()
    store.projects.register(KEY, config_xml(), None, 0.0)
    other = open_engine(postgres_url)
    with other.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE projects")
        with pytest.raises(UNAVAILABLE):
            set_columns(store, KEY, activity=Activity(TRAINING, {"n": 1}).dumps())
    set_columns(store, KEY, activity=Activity(TRAINING, {"n": 1}).dumps())
    assert store.projects.get(KEY).activity.state == TRAINING
    other.dispose()
    store.close()


def test_annotators_are_served_beside_a_locked_database_and_it_is_made_up_for(
    client: FlaskClient,
    own_store: Store,
    path: Path,
    payload: Callable[[str], dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with locked(path):
        caplog.clear()
        for _ in range(3):
            refused = client.post("/webhook", json=payload("annotation_created"))
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
            assert client.post("/setup", json=payload("setup")).status_code == 200
            assert client.post("/predict", json=payload("predict")).status_code == 200
            assert client.get("/health").status_code == 200
        told = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
        assert told == ["the database does not answer (database is locked): try again later"]
    client.application.extensions["parts"].clock.advance(REST_SECONDS)
    assert client.post("/webhook", json=payload("annotation_created")).status_code == 201
    assert own_store.projects.get(PROJECT).sync_wanted


def test_turn_beside_a_locked_database_ends_and_the_next_one_converges(
    settings: Settings, own_store: Store, path: Path, signer: Signer, clock: FakeClock
) -> None:
    bench = Bench(FakeLabelStudio(), own_store, signer, clock, settings)
    project = bench.add()
    bench.publish(project, 1)
    bench.label(project, 5)
    before = project.model_version, project.queue()
    with locked(path), pytest.raises(UNAVAILABLE, match="locked"):
        bench.turn(project)
    assert (project.model_version, project.queue()) == before
    assert bench.turn(project).error is None
    assert len(bench.version(project).trained_on) == 10


# -- deleted ----------------------------------------------------------------------------------------------------


def test_web_whose_database_is_deleted_begins_another_and_asks_for_what_is_lost(
    client: FlaskClient, own_store: Store, path: Path, payload: Callable[[str], dict[str, Any]]
) -> None:
    assert client.post("/predict", json=payload("predict")).status_code == 200
    delete(path)
    refused = client.post("/webhook", json=payload("annotation_created"))
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    # What was known stays known until there is a database that knows better.
    assert client.post("/predict", json=payload("predict")).status_code == 200
    client.application.extensions["parts"].clock.advance(REST_SECONDS)
    assert client.post("/setup", json=payload("setup")).status_code == 200
    assert client.post("/webhook", json=payload("annotation_created")).status_code == 201
    known = own_store.projects.get(PROJECT)
    assert known.synced_at is None
    assert [one.task_id for one in own_store.annotations.all(PROJECT)]


def test_turns_whose_database_is_deleted_learn_all_labels_again_and_give_no_number_twice(
    path: Path, signer: Signer, clock: FakeClock
) -> None:
    # Where the connections of the small Label Studio lead.
    settings = read_settings(model_dir=path.parent, encoder="none", backend_url="http://localhost:9090")
    store = Store(f"sqlite:///{path}", installation=signer.installation)
    store.migrate()
    bench = Bench(FakeLabelStudio(), store, signer, clock, settings)
    project = bench.add()
    bench.publish(project, 1)
    old, labels = bench.version(project), bench.store.annotations.all(project.key)
    delete(path)
    with pytest.raises(UNAVAILABLE, match="no such table"):
        bench.turn(project)
    # As the worker does before it sweeps again; Label Studio asks /setup with the next opened task.
    store.migrate()
    store.projects.register(project.key, TWO, {}, clock.now())
    bench.settle(project)
    new = bench.version(project)
    assert new.number > old.number
    assert new.trained_on == old.trained_on
    assert bench.store.annotations.all(project.key) == labels
    assert project.model_version == new.name
    assert {one["model_version"] for one in project.predictions.values()} == {new.name}
    store.close()


def test_journal_of_a_deleted_database_is_not_played_into_the_new_one(path: Path) -> None:
    url = f"sqlite:///{path}"
    store = Store(url)
    store.migrate()
    store.projects.register(KEY, config_xml(), None, 0.0)
    assert path.with_name("state.sqlite-wal").stat().st_size
    kept = path.with_name("state.sqlite-wal").read_bytes()
    store.close()
    delete(path)
    path.with_name("state.sqlite-wal").write_bytes(kept)
    store = Store(url)
    store.migrate()
    assert store.projects.keys() == []
    assert store.is_current()
    store.close()


def test_webhook_is_heard_though_the_jobs_are_deleted(
    settings: Settings, own_store: Store, signer: Signer, tmp_path: Path, payload: Callable[[str], dict[str, Any]]
) -> None:
    client = create_app(Parts(settings, own_store, signer, FakeClock()), []).test_client()
    assert client.post("/setup", json=payload("setup")).status_code == 200
    delete(tmp_path / "jobs.sqlite")
    assert client.post("/webhook", json=payload("annotation_created")).status_code == 201
    project = own_store.projects.get(PROJECT)
    # The sweep finds it by this.
    assert project.revision > project.seen_revision


# -- something else in its place ---------------------------------------------------------------------------------


def folder(path: Path) -> None:
    path.mkdir()


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere") / "state.sqlite")


def text(path: Path) -> None:
    path.write_text("this is no database, but a file of some length " * 50, encoding="ascii")


@pytest.mark.parametrize("put", [folder, dangling])
def test_what_is_no_file_is_a_sentence_and_stays(path: Path, settings: Settings, put: Callable[[Path], None]) -> None:
    put(path)
    with pytest.raises(DatabaseUnavailable, match="unable to open database file"):
        open_store(settings)
    assert path.is_dir() or path.is_symlink()
    assert not path.with_name("nowhere").exists()


def test_file_that_is_no_database_is_set_aside(path: Path, settings: Settings) -> None:
    text(path)
    opened = open_store(settings)
    assert opened.projects.keys() == []
    opened.close()
    assert path.with_name("state.sqlite.corrupt").read_text(encoding="ascii").startswith("this is no database")


def test_database_of_somebody_else_is_left_as_it_is(path: Path, settings: Settings) -> None:
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE projects (name TEXT)")
        theirs.execute("INSERT INTO projects VALUES ('theirs')")
        theirs.commit()
    with pytest.raises((DatabaseUnavailable, sa.exc.SQLAlchemyError)):
        open_store(settings)
    with closing(sqlite3.connect(path)) as theirs:
        assert theirs.execute("SELECT name FROM projects").fetchall() == [("theirs",)]
