"""Brings a database's tables to this release: one numbered step a release that changes them, never backwards.

A new step: copy `script.py.mako`'s shape to versions/<number>_<what>.py; a test compares the outcome with `schema`.
"""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from backend.errors import SchemaTooNew

_LOCK = int.from_bytes(hashlib.sha256(b"label-studio-al migrate").digest()[:8], "big", signed=True)


def migrate(engine: sa.Engine) -> None:
    """Make what the tables lack. Processes that start at once may call it together. Raises SchemaTooNew.

    All steps are one transaction: a kill in the middle leaves the database as it was.
    """
    config = _config()
    with engine.connect() as connection:
        if _is_current(connection, config):
            return
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            # sqlite3 begins no transaction before DDL by itself. This one waits for other processes' writes.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        if _is_current(connection, config):
            return
        config.attributes["connection"] = connection
        if _revision(connection) is None:
            made_by_hand = _revision_without_a_mark(connection)
            if made_by_hand is not None:
                command.stamp(config, made_by_hand)
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "backend.store:migrations")
    return config


def _is_current(connection: Connection, config: Config) -> bool:
    scripts = ScriptDirectory.from_config(config)
    revision = _revision(connection)
    known = {script.revision for script in scripts.walk_revisions()}
    if revision is not None and revision not in known:
        raise SchemaTooNew(
            f"the database's schema is of a newer release (revision {revision}): "
            "upgrade label-studio-active-learning, or give another DATABASE_URL"
        )
    return revision == scripts.get_current_head()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _revision_without_a_mark(connection: Connection) -> str | None:
    """The revision that tables have which a release made before it marked them; None without tables."""
    inspector = sa.inspect(connection)
    if not inspector.has_table("projects"):
        return None
    columns = {column["name"] for column in inspector.get_columns("projects")}
    return "0002" if "changed_through" in columns else "0001"
