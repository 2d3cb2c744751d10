"""What a project's row says, set as a test needs it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from label_studio_al.store import Store, schema


def annotation_columns(store: Store, key: str) -> dict[int, dict[str, Any]]:
    """The rows of a project's annotations as they lie in the database, deleted ones too; by number."""
    table = schema.annotations
    with store._engine.connect() as connection:
        rows = connection.execute(sa.select(table).where(table.c.project_key == key).order_by(table.c.id)).mappings()
        return {row["id"]: dict(row) for row in rows}


def drop_details(store: Store, key: str) -> None:
    """Annotations as an upgrade finds them that brought the columns."""
    table = schema.annotations
    unknown = {"lead_time": None, "ground_truth": False, "item_details": None}
    with store._engine.begin() as connection:
        connection.execute(sa.update(table).where(table.c.project_key == key).values(unknown))
    set_columns(store, key, compared_at=0.0, sync_wanted=True)


def set_columns(store: Store, key: str, **columns: Any) -> None:
    """Overwrite columns as they lie in the database. The revision stays."""
    with store._engine.begin() as connection:
        connection.execute(sa.update(schema.projects).where(schema.projects.c.key == key).values(**columns))
