"""Tasks, as our copy has them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from label_studio_al.labeling import Task
from label_studio_al.store import schema
from label_studio_al.store.part import Part
from label_studio_al.store.upserts import chunks


@dataclass(frozen=True)
class Change:
    """A task as it became with a revision of its project; data: None if it was deleted."""

    task_id: int
    data: dict[str, Any] | None
    revision: int


class Tasks(Part):
    """The tasks of all projects."""

    def ids(self, key: str) -> list[int]:
        """The ids of all tasks, ascending."""
        table = schema.tasks.c
        query = sa.select(table.id).where(table.project_key == key, ~table.is_deleted).order_by(table.id)
        with self._read() as connection:
            return list(connection.execute(query).scalars())

    def changes(self, key: str, after: tuple[int, int], limit: int) -> list[Change]:
        """What changed of the tasks after a (revision, task id), in that order; at most `limit` changes."""
        table = schema.tasks.c
        query = (
            sa.select(table.id, table.data, table.revision, table.is_deleted)
            .where(table.project_key == key, table.revision >= after[0])
            .where((table.revision > after[0]) | (table.id > after[1]))
            .order_by(table.revision, table.id)
            .limit(limit)
        )
        with self._read() as connection:
            return [
                Change(row.id, None if row.is_deleted else json.loads(row.data), row.revision)
                for row in connection.execute(query)
            ]

    def some(self, key: str, task_ids: Sequence[int]) -> list[Task]:
        """Some tasks, as far as they are known."""
        table = schema.tasks.c
        query = sa.select(table.id, table.data).where(table.project_key == key, ~table.is_deleted)
        with self._read() as connection:
            return [
                Task(row.id, json.loads(row.data))
                for some in chunks(task_ids)
                for row in connection.execute(query.where(table.id.in_(some)))
            ]

    def counts(self, key: str) -> dict[str, int]:
        """How many tasks and annotations are known. Counts them: 0.1 s for a million."""
        result = {}
        with self._read() as connection:
            for name, table in (("tasks", schema.tasks), ("annotations", schema.annotations)):
                query = sa.select(sa.func.count()).where(table.c.project_key == key, ~table.c.is_deleted)
                result[name] = int(connection.execute(query).scalar_one())
        return result
