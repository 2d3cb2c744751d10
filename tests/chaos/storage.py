"""Faults of disks and databases."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import sqlalchemy as sa

from tests.chaos.processes import Processes
from tests.support.postgres import Postgres

GARBAGE_BYTES = 4096 * 4
_OVERWRITE = """
import contextlib, os, sys
path, first, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with contextlib.suppress(FileNotFoundError), open(path, "r+b") as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(min(first, size))
    file.write(os.urandom(min(n, max(0, size - first))))
"""


class Storage:
    """The state's database and files. postgres: None for SQLite."""

    def __init__(self, processes: Processes, url: str, postgres: Postgres | None) -> None:
        self._processes = processes
        self._folder = processes.model_dir
        self._url = url
        self._postgres = postgres

    def fail(self, name: str, seconds: float) -> None:
        """Make one fault; those that last end after `seconds`."""
        {
            "disk full": self._fill_disk,
            "database locked": self._lock,
            "read-only": self._make_read_only,
            "database stopped": self._stop,
            "torn model": lambda _: self._tear_artifact("versions"),
            "torn features": lambda _: self._tear_artifact("features"),
            "torn feature files": lambda _: self._tear_feature_files(),
            "torn journal": lambda _: _overwrite(self._folder / "jobs.sqlite"),
            "jobs deleted": lambda _: self._delete_jobs(),
            "torn database": lambda _: _overwrite(self._folder / "state.sqlite"),
        }[name](seconds)

    def _fill_disk(self, seconds: float) -> None:
        self._processes.limit_file_size(is_full=True)
        time.sleep(seconds)
        self._processes.limit_file_size(is_full=False)

    def _lock(self, seconds: float) -> None:
        if self._postgres is None:
            with closing(sqlite3.connect(self._folder / "state.sqlite", timeout=5, isolation_level=None)) as connection:
                with suppress(sqlite3.OperationalError, sqlite3.DatabaseError):
                    connection.execute("BEGIN EXCLUSIVE")
                time.sleep(seconds)
            return
        engine = sa.create_engine(self._url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql("LOCK TABLE projects IN ACCESS EXCLUSIVE MODE")
            time.sleep(seconds)

    def _make_read_only(self, seconds: float) -> None:
        name = sa.make_url(self._url).database
        others = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        self._administer(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on', others)
        time.sleep(seconds)
        self._administer(f'ALTER DATABASE "{name}" RESET default_transaction_read_only', others)

    def _stop(self, seconds: float) -> None:
        assert self._postgres is not None
        self._postgres.stop()
        time.sleep(seconds)
        self._postgres.start()

    def _tear_artifact(self, table: str) -> None:
        engine = sa.create_engine(self._url, poolclass=sa.NullPool)
        garbage = os.urandom(64)
        with suppress(sa.exc.SQLAlchemyError), engine.begin() as connection:
            # Kept by their ids, so that the backend finds what is damaged.
            connection.execute(
                sa.text(f"UPDATE {table} SET artifact = :garbage WHERE artifact IS NOT NULL"),
                {"garbage": garbage},
            )

    def _tear_feature_files(self) -> None:
        # What a turn replaces meanwhile is gone.
        with suppress(FileNotFoundError):
            for path in self._folder.glob("features/*/*/values"):
                _overwrite(path, first=256)

    def _delete_jobs(self) -> None:
        if self._postgres is None:
            for path in self._folder.glob("jobs.sqlite*"):
                path.unlink(missing_ok=True)
            return
        engine = sa.create_engine(self._url, poolclass=sa.NullPool)
        with suppress(sa.exc.SQLAlchemyError), engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA IF EXISTS dbos CASCADE")

    def _administer(self, *statements: str) -> None:
        assert self._postgres is not None
        engine = sa.create_engine(self._postgres.url(), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)


def _overwrite(path: Path, first: int = 0) -> None:
    """Random bytes in the middle of a file that others have open, if it exists; its length stays.

    By a process of its own: whoever closes a file gives up all locks that their process has on it, SQLite's too.
    """
    subprocess.run([sys.executable, "-c", _OVERWRITE, path, str(first), str(GARBAGE_BYTES)], check=True)
