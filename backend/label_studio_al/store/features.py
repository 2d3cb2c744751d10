"""Signed features, from which tasks become rows."""

from __future__ import annotations

import sqlalchemy as sa

from label_studio_al.store import schema
from label_studio_al.store.part import Part


class FeatureArtifacts(Part):
    """The features of all projects."""

    def save(self, key: str, field: str, artifact: bytes, now: float) -> int:
        """Keep signed features; returns their id. The published version's features stay until it is replaced."""
        values = {"project_key": key, "field": field, "created_at": now, "artifact": artifact}
        with self._write_large() as connection:
            statement = sa.insert(schema.features).returning(schema.features.c.id)
            return int(connection.execute(statement, values).scalar_one())

    def artifact(self, features_id: int) -> bytes | None:
        """Signed features; None if they were replaced."""
        table = schema.features.c
        with self._read() as connection:
            return connection.execute(sa.select(table.artifact).where(table.id == features_id)).scalar_one_or_none()

    def birth(self, features_id: int) -> float | None:
        """When features were made, for which they are signed; None if they were replaced."""
        table = schema.features.c
        with self._read() as connection:
            return connection.execute(sa.select(table.created_at).where(table.id == features_id)).scalar_one_or_none()

    def latest_id(self, key: str, field: str) -> int | None:
        """The id of the newest features made from a task field; None before the first."""
        table = schema.features.c
        query = sa.select(sa.func.max(table.id)).where(table.project_key == key, table.field == field)
        with self._read() as connection:
            found: int | None = connection.execute(query).scalar_one()
        return found

    def latest(self, key: str, field: str) -> tuple[int, bytes] | None:
        """The newest signed features made from a task field; None before the first."""
        table = schema.features.c
        query = (
            sa.select(table.id, table.artifact)
            .where(table.project_key == key, table.field == field)
            .order_by(table.id.desc())
            .limit(1)
        )
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.id, row.artifact)
