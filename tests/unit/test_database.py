"""Databases that are damaged or read-only; locked and deleted ones are in tests/security."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from label_studio_al.runtime.database import UNAVAILABLE, CorruptDatabase, check_whole, open_engine, set_aside
from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Store
from label_studio_al.wiring import open_store
from tests.support.build import KEY, config_xml

SECRET_TEXT = "what a customer wrote"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


@pytest.fixture
def engine(path: Path) -> Iterator[sa.Engine]:
    """A database of some 50 pages."""
    made = open_engine(f"sqlite:///{path}", patience_seconds=0.1)
    with made.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE texts (text TEXT)")
        connection.exec_driver_sql("INSERT INTO texts VALUES (?)", [("some words " * 20,) for _ in range(1000)])
    with made.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    yield made
    made.dispose()


def damage(path: Path, first: int = 0) -> None:
    """Random bytes, as a dying disk leaves them."""
    with path.open("r+b") as file:
        file.seek(first)
        file.write(os.urandom(4096 * 20))


def count(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM texts").scalar_one())


@pytest.mark.parametrize("first", [0, 4096 * 3])
def test_damaged_file_is_named(engine: sa.Engine, path: Path, first: int) -> None:
    engine.dispose()
    damage(path, first)
    with pytest.raises(CorruptDatabase) as caught:
        count(engine)
    assert caught.value.path == path
    assert isinstance(caught.value, UNAVAILABLE)


def test_damaged_file_is_set_aside_once_and_all_connections_move_on(engine: sa.Engine, path: Path) -> None:
    other = open_engine(f"sqlite:///{path}")
    assert count(other) == 1000
    engine.dispose()
    damage(path)
    with pytest.raises(CorruptDatabase) as caught:
        count(engine)

    set_aside(caught.value)
    with other.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE texts (text TEXT)")
    # A second process noticed the same damage.
    set_aside(caught.value)

    assert count(other) == count(engine) == 0
    assert Path(f"{path}.corrupt").exists()
    other.dispose()


def test_small_file_is_read_whole_and_set_aside_if_damaged(engine: sa.Engine, path: Path) -> None:
    check_whole(f"sqlite:///{path}")
    assert count(engine) == 1000
    engine.dispose()
    damage(path, 4096 * 3)
    check_whole(f"sqlite:///{path}")
    assert not path.exists()


def test_store_whose_file_is_damaged_opens_empty(tmp_path: Path) -> None:
    settings = read_settings(model_dir=tmp_path)
    store = open_store(settings)
    store.projects.register(KEY, config_xml(), None, 0.0)
    store.close()
    damage(tmp_path / "state.sqlite")

    store = open_store(settings)

    assert store.projects.all() == []
    store.close()


def test_read_only_postgresql_counts_as_unavailable(postgres_url: str) -> None:
    store = Store(postgres_url)
    store.migrate()
    store.close()
    read_only = Store(postgres_url + "&options=-cdefault_transaction_read_only%3Don")
    with pytest.raises(UNAVAILABLE):
        read_only.projects.register(KEY, config_xml(), None, 0.0)
    read_only.close()


@pytest.mark.both_databases
def test_store_tells_tables_of_this_release_and_that_it_takes_writes(store: Store) -> None:
    assert store.is_current()
    store.projects.register(KEY, config_xml(), None, 0.0)
    before = store.projects.get(KEY)
    store.check_writable()
    assert store.projects.get(KEY) == before


def test_empty_database_is_not_current(path: Path) -> None:
    store = Store(f"sqlite:///{path}")
    assert not store.is_current()
    store.close()


def test_read_only_postgresql_is_found_without_a_change(postgres_url: str) -> None:
    store = Store(postgres_url)
    store.migrate()
    store.close()
    read_only = Store(postgres_url + "&options=-cdefault_transaction_read_only%3Don")
    assert read_only.is_current()
    with pytest.raises(UNAVAILABLE, match="read-only"):
        read_only.check_writable()
    read_only.close()


@pytest.mark.both_databases
def test_errors_hold_no_values(store: Store, database: str) -> None:
    engine = open_engine(database)
    with pytest.raises(sa.exc.SQLAlchemyError) as caught, engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO no_table VALUES (:text)"), {"text": SECRET_TEXT})
    assert SECRET_TEXT not in str(caught.value)
    engine.dispose()


def test_deleted_content_is_overwritten(engine: sa.Engine, path: Path) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO texts VALUES (?)", (SECRET_TEXT,))
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM texts WHERE text = ?", (SECRET_TEXT,))
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    assert SECRET_TEXT.encode() not in path.read_bytes()


def test_sqlite_tells_the_time_in_parts_of_a_second_whatever_its_release(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE moments (moment INTEGER NOT NULL DEFAULT (unixepoch('subsec') * 1000))"
        )
        before = time.time()
        connection.exec_driver_sql("INSERT INTO moments DEFAULT VALUES")
        (moment,) = connection.exec_driver_sql("SELECT moment FROM moments").one()
    engine.dispose()
    assert before * 1000 - 2 <= moment <= time.time() * 1000 + 2
