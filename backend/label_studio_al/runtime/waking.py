"""Signals that somebody has written to a database, so that nobody needs to poll it ten times a second.

SQLite counts the commits to a file, and the count is read within microseconds. PostgreSQL notifies listeners on all
machines. Either may miss something (a broken connection, a pooler that shares sessions), so callers must also check
from time to time. Only listeners load PostgreSQL's driver.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from label_studio_al.runtime.database import UNAVAILABLE, open_engine

_CHANNEL = "label_studio_al"
# Between two looks at what SQLite has counted; a notice of PostgreSQL's comes by itself.
_LOOK_SECONDS = 0.05
_LOOKS_AT_LEAST = 2
_LISTEN_SECONDS = 0.1
# Before a connection to listen on is tried again.
_REST_SECONDS = 1.0

log = logging.getLogger(__name__)


class Waker(Protocol):
    """Waits for a change of a database, in one thread."""

    def wait(self, seconds: float, is_enough: Callable[[], bool]) -> None:
        """Return when the database may have changed since the last wait, after so many seconds, or if it is enough."""

    def close(self) -> None:
        """Give the connection back."""


def open_waker(url: str) -> Waker:
    """What waits for changes of the database at a SQLAlchemy address."""
    address = sa.make_url(url)
    return _Listening(url) if address.get_backend_name() == "postgresql" else _Counting(Path(address.database or ""))


def tell(engine: sa.Engine) -> None:
    """Wake all who wait for a change of this database, where it does not do so by itself."""
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            tell_at_commit(connection)


def tell_at_commit(connection: sa.Connection) -> None:
    """`tell`, when the connection's transaction is committed."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"NOTIFY {_CHANNEL}")


class _Counting:
    """Reads the count that SQLite raises with each commit of another connection.

    That takes longer than a look at when the files were written, which comes before. Two commits may have the same
    time, as clocks go by some milliseconds: so the count is read until the second look after a new time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names = (str(path), f"{path}-wal")
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._written: list[tuple[int, int] | None] = []
        self._n_looks = 0
        self._seen = self._count()

    def wait(self, seconds: float, is_enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        found = self._count()
        while found == self._seen and time.monotonic() < deadline and not is_enough():
            time.sleep(_LOOK_SECONDS)
            if self._may_have_changed():
                found = self._count()
        self._seen = found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _may_have_changed(self) -> bool:
        """Whether the files were written, or replaced, since the look before the last one."""
        written = [_written(name) for name in self._names]
        self._n_looks = 0 if written != self._written else self._n_looks + 1
        self._written = written
        return self._n_looks < _LOOKS_AT_LEAST

    def _count(self) -> tuple[tuple[int, int] | None, int]:
        """Which file it is, and how often it changed as this connection has seen it."""
        try:
            found = self._path.stat()
            file = (found.st_dev, found.st_ino)
            if self._connection is None or self._file != file:
                self.close()
                # Made by no look at it; nobody's writes are waited for.
                self._connection = sqlite3.connect(
                    f"{self._path.absolute().as_uri()}?mode=rw", uri=True, timeout=0, check_same_thread=False
                )
                self._file = file
            with closing(self._connection.execute("PRAGMA data_version")) as cursor:
                return file, int(cursor.fetchone()[0])
        except (OSError, sqlite3.Error):
            return None, 0


def _written(name: str) -> tuple[int, int] | None:
    """Which file it is, and when it was written; None where there is none."""
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


class _Listening:
    """Listens for notifications from `tell`, on its own connection."""

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url, is_pooled=False)
        self._connection: sa.PoolProxiedConnection | None = None

    def wait(self, seconds: float, is_enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        try:
            if self._connection is None:
                self._listen()
                # What was told before is not told again: the caller looks at once.
                return
            driver: Any = self._connection.driver_connection
            while not is_enough() and (left := deadline - time.monotonic()) > 0:
                if list(driver.notifies(timeout=min(left, _LISTEN_SECONDS), stop_after=1)):
                    return
        except (*UNAVAILABLE, self._engine.dialect.loaded_dbapi.Error) as exc:
            log.debug("nothing is heard from the database: %s", type(exc).__name__)
            self.close()
            time.sleep(min(seconds, _REST_SECONDS))

    def close(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.invalidate()

    def _listen(self) -> None:
        self._connection = self._engine.raw_connection()
        driver: Any = self._connection.driver_connection
        driver.autocommit = True
        driver.execute(f"LISTEN {_CHANNEL}")
