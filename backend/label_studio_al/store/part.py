"""The base of every part of the store: transactions on one database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from label_studio_al.store.upserts import upserts


class Part:
    """A part of the store. Safe to use from several threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        name = engine.dialect.name
        self._insert: Callable[..., Any] = postgresql.insert if name == "postgresql" else sqlite.insert
        self._upserts = upserts(name)

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _write_large(self) -> Iterator[Connection]:
        """A transaction that writes megabytes at once.

        SQLite's driver keeps a statement's values with the connection until the statement is used again, PostgreSQL's
        the memory that it has sent them from (measured: 18 MB of a pool's features): so this connection is closed
        afterwards. SQLAlchemy keeps the values that a statement was first made with: so large ones are given beside
        the statement.
        """
        with self._write() as connection:
            connection.detach()
            yield connection
