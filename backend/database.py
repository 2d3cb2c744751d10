"""Database engines: SQLite in WAL mode, or whatever SQLAlchemy address is given."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def open_engine(url: str) -> sa.Engine:
    """An engine whose writers wait for each other (SQLite: up to 30 s) instead of failing half-way.

    WAL lets readers go on during a write and saves the disk flush of each commit: asking for a job takes 2 ms
    instead of 20 ms. A power cut may cost the newest commits; Label Studio still has them.
    """
    if sa.make_url(url).get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"timeout": 30, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        # The write lock is taken by a transaction's first statement, which must therefore be a write.
        connection.isolation_level = "IMMEDIATE"
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
            connection.execute(f"PRAGMA {pragma}")

    return engine
