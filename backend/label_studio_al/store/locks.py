"""Locks across all threads, processes and hosts, released when their holder dies."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import sqlalchemy as sa
from filelock import FileLock, Timeout

from label_studio_al.runtime.database import open_engine

_POLL_SECONDS = 0.1


class Locks(Protocol):
    """Locks by name."""

    def hold(self, name: str, wait_seconds: float) -> AbstractContextManager[bool]:
        """Hold the lock during a block; gives False if somebody else still has it after waiting."""

    def close(self) -> None:
        """Give the connections back."""


def open_locks(url: str) -> Locks:
    """The locks of everybody who works with this database."""
    address = sa.make_url(url)
    if address.get_backend_name() == "sqlite":
        return FileLocks(Path(f"{address.database}.locks"))
    return DatabaseLocks(url)


class FileLocks:
    """Files that the kernel locks (flock): it gives them back when their holder dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def hold(self, name: str, wait_seconds: float) -> Iterator[bool]:
        """Hold the lock during a block; gives False if somebody else still has it after waiting."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder / f"{quote(name, safe='')}.lock")
        try:
            lock.acquire(timeout=wait_seconds, poll_interval=_POLL_SECONDS)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def close(self) -> None:
        """Nothing stays open."""


class DatabaseLocks:
    """PostgreSQL's advisory locks, each on a connection of its own: the server gives it back when that is gone.

    A pooler between us and the server must keep sessions whole (PgBouncer: pool_mode=session).
    """

    def __init__(self, url: str) -> None:
        self._engine = open_engine(url, is_pooled=False).execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def hold(self, name: str, wait_seconds: float) -> Iterator[bool]:
        """Hold the lock during a block; gives False if somebody else still has it after waiting."""
        number = int.from_bytes(hashlib.sha256(f"label-studio-al {name}".encode()).digest()[:8], "big", signed=True)
        deadline = time.monotonic() + wait_seconds
        connection = self._engine.connect()
        try:
            while not (is_mine := bool(connection.scalar(sa.select(sa.func.pg_try_advisory_lock(number))))):
                if time.monotonic() >= deadline:
                    break
                time.sleep(_POLL_SECONDS)
            yield is_mine
        finally:
            # Unpooled: the session ends here, and the lock with it. That also works after the server went away.
            connection.close()

    def close(self) -> None:
        """Nothing stays open."""
