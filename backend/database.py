"""Database engines: SQLite in WAL mode, or whatever SQLAlchemy address is given."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DataError, InterfaceError, OperationalError, TimeoutError

from backend.errors import DatabaseUnavailable

# What SQLAlchemy raises while a database is away, or too busy to answer in time.
UNAVAILABLE = (OperationalError, InterfaceError, TimeoutError)

# What comes of a value that a database does not take: NUL or half a surrogate pair in a text, a number beyond 64 bits.
UNSTORABLE = (DataError, UnicodeEncodeError, OverflowError)

# A request waits for a connection, and for a host that is gone, no longer than this.
_CONNECT_SECONDS = 5
# A peer that vanished without a word (a pulled cable, a host that lost power) is noticed within about 25 s,
# by us and by the server, which then gives back the locks of the vanished one.
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}


def open_engine(url: str, *, is_pooled: bool = True) -> sa.Engine:
    """An engine whose writers wait for each other (SQLite: up to 30 s) instead of failing half-way.

    WAL lets readers go on during a write and saves the disk flush of each commit: asking for a job takes 2 ms
    instead of 20 ms. A power cut may cost the newest commits; Label Studio still has them.
    """
    address = sa.make_url(url)
    if address.get_backend_name() == "postgresql":
        return _open_postgres(address, is_pooled=is_pooled)
    engine = sa.create_engine(url, connect_args={"timeout": 30, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The write lock is taken by a transaction's first statement, which must therefore be a write.
        connection.isolation_level = "IMMEDIATE"
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def unavailable(exc: Exception) -> DatabaseUnavailable:
    """What to tell of one of UNAVAILABLE: a sentence without the statement, its values and the password."""
    reason = str(getattr(exc, "orig", None) or exc).strip().partition("\n")[0]
    return DatabaseUnavailable(f"the database does not answer ({reason or type(exc).__name__}): try again later")


def _open_postgres(address: sa.URL, *, is_pooled: bool) -> sa.Engine:
    defaults: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS, **_KEEPALIVES}
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    # What the operator wrote into the address goes first.
    arguments = {name: value for name, value in defaults.items() if name not in address.query}
    if not is_pooled:
        engine = sa.create_engine(address, connect_args=arguments, poolclass=sa.NullPool)
    else:
        engine = sa.create_engine(address, connect_args=arguments, pool_pre_ping=True, pool_timeout=_CONNECT_SECONDS)

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            for name, value in _KEEPALIVES.items():
                cursor.execute(f"SET tcp_{name} = {value}")
        # The pool rolls a connection back when it is returned, which would undo a bare SET.
        connection.commit()

    return engine
