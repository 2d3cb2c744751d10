"""What an event reports beyond additions: a claim, until Label Studio's API has confirmed it.

Label Studio shows a project's webhook secret to its users, and the webhook of a manually made connection has none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from label_studio_al.labeling import Event
from label_studio_al.store import schema
from label_studio_al.store.upserts import chunks


def _known_by(column: sa.Column[int]) -> sa.Select[Any]:
    """Our rows whose value in the column is among some, built once: building it takes longer than running it."""
    table = column.table.c
    names = [name for name in ("id", "task_id", "is_deleted") if name in table]
    is_among = column.in_(sa.bindparam("some", expanding=True))
    return sa.select(*(table[name] for name in names)).where(table.project_key == sa.bindparam("key"), is_among)


_TASKS = _known_by(schema.tasks.c.id)
_ANNOTATIONS = _known_by(schema.annotations.c.id)
_ANNOTATIONS_OF_TASKS = _known_by(schema.annotations.c.task_id)


def additions(connection: Connection, event: Event) -> tuple[Event, set[int]]:
    """What of an event adds to what we have, and the tasks of which it claims more than that.

    The first label of a task is added. A second one, a different one with the same id, and all deletions are claims.
    The text of a known task stays: no event reports its changes.
    """
    key, told = event.project_key, event.annotations
    numbers = {one.id for one in told}.union(event.deleted_annotations)
    known = {row.id: row for row in _rows(connection, _ANNOTATIONS, key, numbers)}
    beside = _rows(connection, _ANNOTATIONS_OF_TASKS, key, {one.task_id for one in told})
    labelled = {row.task_id for row in beside if not row.is_deleted}
    added = [one for one in told if one.id not in known and one.task_id not in labelled]
    claimed = {one.task_id for one in told if one.id in known or one.task_id in labelled}
    claimed |= {row.task_id for row in known.values() if not row.is_deleted}

    numbers = {one.id for one in event.tasks}.union(event.deleted_tasks)
    known = {row.id: row for row in _rows(connection, _TASKS, key, numbers)}
    new = [one for one in event.tasks if one.id not in known]
    claimed |= {id for id in event.deleted_tasks if id in known and not known[id].is_deleted}
    rest = replace(event, tasks=tuple(new), annotations=tuple(added), deleted_tasks=(), deleted_annotations=())
    return rest, claimed


def _rows(connection: Connection, query: sa.Select[Any], key: str, values: Collection[int]) -> list[sa.Row[Any]]:
    return [row for some in chunks(sorted(values)) for row in connection.execute(query, {"key": key, "some": some})]
