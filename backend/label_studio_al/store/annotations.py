"""Annotations, as our copy has them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from label_studio_al.labeling import Annotation
from label_studio_al.runtime.errors import UnknownProject
from label_studio_al.store import schema
from label_studio_al.store.part import Part
from label_studio_al.store.upserts import chunks

# Whoever gave one of so many of the newest annotations is taken to label now.
PEOPLE_AMONG = 200
# Rows that come one by one take a tenth longer, all at once more memory.
ROWS_AT_ONCE = 1_000


class Annotations(Part):
    """The annotations of all projects."""

    def all(self, key: str, task_ids: Sequence[int] | None = None) -> list[Annotation]:
        """All annotations by people, skipped ones too, by ascending number. task_ids: of these tasks only, in parts."""
        table = schema.annotations.c
        known = (table.project_key == key) & ~table.is_deleted & ~table.is_automatic
        query = sa.select(*_ANNOTATION_COLUMNS).where(known).order_by(table.id)
        parsed: dict[str, list[Any]] = {}
        with self._read() as connection:
            return [
                Annotation(id, task_id, _parse(result, parsed), cancelled, updated_at)
                for some in ([None] if task_ids is None else chunks(task_ids))
                for rows in connection.execute(
                    query if some is None else query.where(table.task_id.in_(some))
                ).partitions(ROWS_AT_ONCE)
                for id, task_id, result, cancelled, updated_at in rows
            ]

    def changes(self, key: str, after: int) -> tuple[list[tuple[int, int | None]], int, int]:
        """Which annotations by people changed after a revision, each with its task, None where it is none any more.

        Then the project's revision, and the one up to which deletions are forgotten: who has seen less must read all.
        """
        table = schema.annotations.c
        query = sa.select(table.id, table.task_id, table.is_deleted | table.is_automatic).where(
            table.project_key == key, table.revision > after
        )
        with self._read() as connection:
            # The revision first and what is forgotten last, for databases on which others write in between: what is
            # read twice, or read anew, does no harm.
            before = connection.execute(_REVISIONS, {"key": key}).one_or_none()
            found = [(id, None if is_gone else task_id) for id, task_id, is_gone in connection.execute(query)]
            after_all = connection.execute(_REVISIONS, {"key": key}).one_or_none()
        if before is None or after_all is None:
            raise UnknownProject(f"project {key} is not known here")
        return found, before.revision, after_all.purged_revision

    def ids(self, key: str, since: int, task_ids: Sequence[int] | None = None) -> dict[int, list[int]]:
        """The annotations, skipped and automatic ones too, that have not changed after revision `since`; by task.

        task_ids: of these tasks only.
        """
        table = schema.annotations.c
        query = sa.select(table.task_id, table.id).where(
            table.project_key == key, ~table.is_deleted, table.revision <= since
        )
        found: dict[int, list[int]] = {}
        with self._read() as connection:
            for some in [None] if task_ids is None else chunks(task_ids):
                part = query if some is None else query.where(table.task_id.in_(some))
                for task_id, annotation_id in connection.execute(part):
                    found.setdefault(task_id, []).append(annotation_id)
        return found

    def newest(self, key: str) -> list[Annotation]:
        """The annotation with the highest number, and the one that was changed last; one if it is the same."""
        table = schema.annotations.c
        query = sa.select(*_ANNOTATION_COLUMNS).where(table.project_key == key, ~table.is_deleted).limit(1)
        orders = (table.id.desc(), table.updated_at.desc())
        with self._read() as connection:
            rows = [row for order in orders for row in connection.execute(query.order_by(order))]
        return [
            Annotation(row.id, row.task_id, json.loads(row.result), row.was_cancelled, row.updated_at)
            for row in dict.fromkeys(rows)
        ]

    def n_people(self, key: str) -> int:
        """How many people have given the newest 200 annotations."""
        table = schema.annotations.c
        newest = (
            sa.select(table.completed_by)
            .where(table.project_key == key, ~table.is_deleted, ~table.is_automatic)
            .order_by(table.id.desc())
            .limit(PEOPLE_AMONG)
            .subquery()
        )
        with self._read() as connection:
            return int(connection.execute(sa.select(sa.func.count(newest.c.completed_by.distinct()))).scalar_one())


_REVISIONS = sa.select(schema.projects.c.revision, schema.projects.c.purged_revision).where(
    schema.projects.c.key == sa.bindparam("key")
)
_ANNOTATION_COLUMNS = tuple(
    schema.annotations.c[name] for name in ("id", "task_id", "result", "was_cancelled", "updated_at")
)


def _parse(text: str, parsed: dict[str, list[Any]]) -> list[Any]:
    """Results repeat a lot: each distinct one is parsed once."""
    if text not in parsed:
        parsed[text] = json.loads(text)
    return parsed[text]
