"""Brings a database's tables to this release: one numbered step a release that changes them, never backwards.

A new step: copy `script.py.mako`'s shape to versions/<number>_<what>.py; a test compares the outcome with `schema`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from label_studio_al.runtime.errors import SchemaTooNew

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK = int.from_bytes(hashlib.sha256(b"label-studio-al migrate").digest()[:8], "big", signed=True)
_MARK = sa.table("alembic_version", sa.column("version_num"))


def migrate(engine: sa.Engine) -> None:
    """Make what the tables lack. Processes that start at once may call it together. Raises SchemaTooNew.

    All steps are one transaction: a kill in the middle leaves the database as it was.
    """
    with engine.connect() as connection:
        if is_current(connection):
            return
    # Not at the top: Alembic weighs 10 MB and takes 0.2 s, and there are steps to take once a release.
    from alembic import command

    config = _config()
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            # sqlite3 begins no transaction before DDL by itself. This one waits for other processes' writes.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        if is_current(connection):
            return
        config.attributes["connection"] = connection
        if _revision(connection) is None:
            made_by_hand = _revision_without_a_mark(connection)
            if made_by_hand is not None:
                command.stamp(config, made_by_hand)
        command.upgrade(config, "head")


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "label_studio_al.store:migrations")
    return config


def is_current(connection: Connection) -> bool:
    """Whether the tables are those of this release, not of an older one. Raises SchemaTooNew."""
    steps = sorted(path.name.partition("_")[0] for path in (Path(__file__).parent / "versions").glob("[0-9]*.py"))
    revision = _revision(connection)
    if revision is not None and revision not in steps:
        raise SchemaTooNew(
            f"the database's schema is of a newer release (revision {revision}): "
            "upgrade label-studio-active-learning, or give another DATABASE_URL"
        )
    return revision == steps[-1]


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(_MARK.name):
        return None
    found: str | None = connection.execute(sa.select(_MARK.c.version_num)).scalar_one_or_none()
    return found


def _revision_without_a_mark(connection: Connection) -> str | None:
    """The revision that tables have which a release made before it marked them; None without tables."""
    inspector = sa.inspect(connection)
    if not inspector.has_table("projects"):
        return None
    columns = {column["name"] for column in inspector.get_columns("projects")}
    return "0002" if "changed_through" in columns else "0001"
