"""What a project's row says, set as a test needs it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from label_studio_al.store import Store, schema


def set_columns(store: Store, key: str, **columns: Any) -> None:
    """Overwrite columns as they lie in the database. The revision stays."""
    with store._engine.begin() as connection:
        connection.execute(sa.update(schema.projects).where(schema.projects.c.key == key).values(**columns))
