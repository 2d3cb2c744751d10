"""Database engines: SQLite in WAL mode, or whatever SQLAlchemy address is given."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DataError, DisconnectionError, InterfaceError, InternalError, OperationalError, TimeoutError

from label_studio_al.runtime.errors import DatabaseUnavailable

# What SQLAlchemy raises while a database is away, full, read-only, or too busy to answer in time.
UNAVAILABLE = (OperationalError, InterfaceError, InternalError, TimeoutError)

# What comes of a value that a database does not take: NUL or half a surrogate pair in a text, a number beyond 64 bits.
UNSTORABLE = (DataError, UnicodeEncodeError, OverflowError)

# How long a turn waits for others' writes. Whoever answers annotators waits much less: see `open_engine`.
PATIENT_SECONDS = 30.0
# A request waits for a connection, and for a host that is gone, no longer than this.
_CONNECT_SECONDS = 5
# A peer that vanished without a word (a pulled cable, a host that lost power) is noticed within about 25 s,
# by us and by the server, which then gives back the locks of the vanished one.
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
# DBOS asks SQLite for `unixepoch('subsec')` on Python 3.12 and later, whatever SQLite comes with it: on Debian 12 it is
# 3.40, which answers NULL.
_SUBSECONDS_SINCE = (3, 42)

log = logging.getLogger(__name__)


class CorruptDatabase(OperationalError):
    """The SQLite file at `path` is damaged; `identity` is the file's, should another one have taken its place."""

    path: Path
    identity: tuple[int, int] | None


def open_engine(url: str, *, patience_seconds: float = PATIENT_SECONDS, is_pooled: bool = True) -> sa.Engine:
    """An engine whose writers wait for each other, up to `patience_seconds`, instead of failing half-way.

    WAL lets readers go on during a write and saves the disk flush of each commit: asking for a job takes 2 ms
    instead of 20 ms. A power cut may cost the newest commits; Label Studio still has them.
    """
    address = sa.make_url(url)
    if address.get_backend_name() == "postgresql":
        return _open_postgres(address, patience_seconds, is_pooled=is_pooled)
    return _open_sqlite(address, patience_seconds)


def unavailable(exc: Exception) -> DatabaseUnavailable:
    """What to tell of one of UNAVAILABLE: a sentence without the statement, its values and the password."""
    reason = str(getattr(exc, "orig", None) or exc).strip().partition("\n")[0]
    return DatabaseUnavailable(f"the database does not answer ({reason or type(exc).__name__}): try again later")


def set_aside(corrupt: CorruptDatabase) -> None:
    """Take a damaged SQLite file out of the way, so that the next connection begins a new one.

    The newest damaged file stays beside it (`.corrupt`), for whoever wants to look.
    """
    path = corrupt.path
    with FileLock(f"{path}.aside", mode=0o600):
        if corrupt.identity != _identity(path):
            # Another process was faster.
            return
        log.error("%s is damaged: it is set aside, and a new one is filled from Label Studio", path)
        # The companions first: a new file must never find them.
        for companion in ("-wal", "-shm"):
            Path(f"{path}{companion}").unlink(missing_ok=True)
        os.replace(path, f"{path}.corrupt")


def set_aside_files(url: str) -> list[Path]:
    """The damaged files that were set aside."""
    address = sa.make_url(url)
    if address.get_backend_name() != "sqlite":
        return []
    path = Path(address.database or "")
    # An earlier release called them torn.
    return [file for kind in ("corrupt", "torn") for file in path.parent.glob(f"{path.name}.{kind}")]


def check_whole(url: str) -> None:
    """Read all of a small SQLite file, and set it aside if it is damaged. Does nothing for other databases."""
    if sa.make_url(url).get_backend_name() != "sqlite":
        return
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            if found != "ok":
                raise _corrupt(Path(sa.make_url(url).database or ""), connection, sqlite3.DatabaseError(found))
    except CorruptDatabase as exc:
        set_aside(exc)
    finally:
        engine.dispose()


def _open_sqlite(address: sa.URL, patience_seconds: float) -> sa.Engine:
    engine = sa.create_engine(
        address, connect_args={"timeout": patience_seconds, "check_same_thread": False}, hide_parameters=True
    )
    path = Path(address.database or "")

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, record: Any) -> None:
        # The write lock is taken by a transaction's first statement, which must therefore be a write.
        connection.isolation_level = "IMMEDIATE"
        pragmas = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON")
        for pragma in (f"busy_timeout={patience_seconds * 1000:.0f}", *pragmas):
            connection.execute(f"PRAGMA {pragma}")
        if sqlite3.sqlite_version_info < _SUBSECONDS_SINCE:
            connection.create_function("unixepoch", 1, _unix_seconds)
        record.info["file"] = _identity(path)

    @sa.event.listens_for(engine, "checkout")
    def _check(_connection: Any, record: Any, _proxy: Any) -> None:
        # Set aside by another process, or replaced by a backup: what is written to the old file is lost.
        if record.info["file"] != _identity(path):
            raise DisconnectionError(f"{path} is another file now")

    @sa.event.listens_for(engine, "handle_error")
    def _name(context: ExceptionContext) -> None:
        # "malformed" and "not a database" have no class of their own.
        if type(context.original_exception) is sqlite3.DatabaseError:
            raise _corrupt(path, context.connection, context.original_exception) from context.original_exception

    return engine


def _unix_seconds(modifier: str) -> float | None:
    return time.time() if modifier == "subsec" else None


def _corrupt(path: Path, connection: sa.Connection | None, reason: BaseException) -> CorruptDatabase:
    corrupt = CorruptDatabase("", None, reason, hide_parameters=True)
    corrupt.path = path
    corrupt.identity = _identity(path) if connection is None else connection.info["file"]
    return corrupt


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _open_postgres(address: sa.URL, patience_seconds: float, *, is_pooled: bool) -> sa.Engine:
    defaults: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS, **_KEEPALIVES}
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    # What the operator wrote into the address goes first.
    arguments = {name: value for name, value in defaults.items() if name not in address.query}
    if not is_pooled:
        engine = sa.create_engine(address, connect_args=arguments, poolclass=sa.NullPool, hide_parameters=True)
    else:
        engine = sa.create_engine(
            address,
            connect_args=arguments,
            pool_pre_ping=True,
            pool_timeout=min(_CONNECT_SECONDS, patience_seconds),
            hide_parameters=True,
        )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            for name, value in _KEEPALIVES.items():
                cursor.execute(f"SET tcp_{name} = {value}")
            cursor.execute(f"SET lock_timeout = {patience_seconds * 1000:.0f}")
        # The pool rolls a connection back when it is returned, which would undo a bare SET.
        connection.commit()

    return engine
