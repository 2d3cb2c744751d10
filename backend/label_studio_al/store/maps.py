"""Maps of the projects' pools, as the status page draws them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from label_studio_al.store import schema
from label_studio_al.store.part import Part


@dataclass(frozen=True)
class MapHead:
    """When a map was made, and how many tasks it shows one by one."""

    made_at: float
    n_points: int


class Maps(Part):
    """One map a project, the newest."""

    def record(self, key: str, head: MapHead, landmarks: Mapping[str, Any], picture: Mapping[str, Any]) -> None:
        """Keep a map in place of the one before. landmarks, picture: as JSON."""
        values = {
            "made_at": head.made_at,
            "n_points": head.n_points,
            "landmarks": _dumps(landmarks),
            "picture": _dumps(picture),
        }
        insert = self._insert(schema.maps)
        replacing = insert.on_conflict_do_update(
            index_elements=["project_key"], set_={name: insert.excluded[name] for name in values}
        )
        with self._write_large() as connection:
            connection.execute(replacing, {"project_key": key} | values)

    def landmarks(self, key: str) -> dict[str, Any] | None:
        """Those of the newest map; None before the first."""
        return self._json(key, schema.maps.c.landmarks)

    def picture(self, key: str) -> dict[str, Any] | None:
        """What the newest map shows; None before the first."""
        return self._json(key, schema.maps.c.picture)

    def head(self, key: str) -> MapHead | None:
        """About the newest map; None before the first."""
        table = schema.maps.c
        with self._read() as connection:
            query = sa.select(table.made_at, table.n_points).where(table.project_key == key)
            row = connection.execute(query).one_or_none()
        return None if row is None else MapHead(row.made_at, row.n_points)

    def _json(self, key: str, column: sa.Column[str]) -> dict[str, Any] | None:
        with self._read() as connection:
            query = sa.select(column).where(schema.maps.c.project_key == key)
            found = connection.execute(query).scalar_one_or_none()
        return None if found is None else json.loads(found)


def _dumps(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
