"""Who waits for a change of a database learns of it, and sleeps otherwise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from label_studio_al.runtime.database import open_engine
from label_studio_al.runtime.waking import Waker, open_waker, tell

# Nothing here waits for it: a waiting that does not end fails by it.
FOREVER = 600.0
SOON = 0.2


class Watched:
    """A database, and somebody who waits for its changes."""

    def __init__(self, url: str) -> None:
        self.engine = open_engine(url)
        self.write("CREATE TABLE something (x INTEGER)")
        self.waker: Waker = open_waker(url)
        self.is_over = threading.Event()
        # The first waiting may end at once: what was told before is not known.
        self.waker.wait(SOON, self.is_over.is_set)

    def write(self, statement: str = "INSERT INTO something VALUES (1)") -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement))
        tell(self.engine)

    def wakes_by(self, seconds: float = FOREVER) -> None:
        self.waker.wait(seconds, self.is_over.is_set)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'jobs.sqlite'}"


@pytest.fixture
def watched(url: str) -> Iterator[Watched]:
    one = Watched(url)
    yield one
    one.waker.close()
    one.engine.dispose()


def test_write_ends_the_waiting(watched: Watched) -> None:
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(watched.wakes_by)
        watched.write()
        waiting.result(FOREVER)


def test_write_between_two_waits_is_not_missed(watched: Watched) -> None:
    watched.write()
    watched.wakes_by()


def test_waiting_ends_when_it_is_over_or_nothing_happens(watched: Watched) -> None:
    watched.wakes_by(SOON)
    watched.is_over.set()
    watched.wakes_by()


def test_file_that_is_made_anew_is_a_change(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    watched = Watched(f"sqlite:///{path}")
    watched.engine.dispose()
    for one in tmp_path.iterdir():
        one.unlink()
    watched.wakes_by()

    watched.write("CREATE TABLE something (x INTEGER)")
    watched.wakes_by()
    watched.write()
    watched.wakes_by()
    watched.waker.close()


def test_server_that_hung_up_is_listened_to_again(postgres_url: str) -> None:
    watched = Watched(postgres_url)
    with watched.engine.begin() as connection:
        mine = "pid <> pg_backend_pid() AND datname = current_database()"
        connection.execute(sa.text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}"))
    watched.wakes_by()
    watched.wakes_by()
    watched.write()
    watched.wakes_by()
    watched.waker.close()
    watched.engine.dispose()
