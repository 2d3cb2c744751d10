"""The statements that keep tasks, annotations and so on, built once: building one takes longer than running it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from label_studio_al.store import schema

_ROWS_A_STATEMENT = 500
_ANNOTATION = (
    "task_id",
    "result",
    "was_cancelled",
    "updated_at",
    "is_deleted",
    "is_automatic",
    "completed_by",
    "lead_time",
    "ground_truth",
    "item_details",
)


@dataclass(frozen=True)
class Upserts:
    """Each takes rows of a table. The listed ones also take `since`, the revision that the listing began with.

    added_count: adds to the value that is there.
    """

    heard_task: Any
    heard_annotation: Any
    listed_task: Any
    listed_annotation: Any
    claim: Any
    added_count: Any


@cache
def upserts(dialect: str) -> Upserts:
    """The statements for `postgresql` or `sqlite`."""
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    since: Any = sa.bindparam("since", type_=sa.BigInteger)

    tasks, task = schema.tasks.c, insert(schema.tasks)
    is_other_task = tasks.data != task.excluded.data
    annotations, annotation = schema.annotations.c, insert(schema.annotations)
    is_other = sa.or_(*(annotations[name].is_distinct_from(annotation.excluded[name]) for name in _ANNOTATION))
    claim, count = insert(schema.claims), insert(schema.counts)
    return Upserts(
        # An event may come after the one of its deletion.
        heard_task=_replacing(task, ("data", "is_deleted"), is_other_task & ~tasks.is_deleted),
        # Webhooks may come late and out of order: an older state never replaces a newer one.
        heard_annotation=_replacing(
            annotation,
            _ANNOTATION,
            (annotations.updated_at <= annotation.excluded.updated_at) & ~annotations.is_deleted,
        ),
        # What Label Studio lists is the truth, even if it looks older (a restored backup).
        listed_task=_replacing(
            task, ("data", "is_deleted"), (is_other_task | tasks.is_deleted) & (tasks.revision <= since)
        ),
        listed_annotation=_replacing(annotation, _ANNOTATION, is_other & (annotations.revision <= since)),
        claim=claim.on_conflict_do_update(
            index_elements=["project_key", "task_id"], set_={"revision": claim.excluded.revision}
        ),
        added_count=count.on_conflict_do_update(
            index_elements=["name", "labels"], set_={"value": schema.counts.c.value + count.excluded.value}
        ),
    )


def _replacing(insert: Any, names: tuple[str, ...], changed: Any) -> Any:
    values = {name: insert.excluded[name] for name in (*names, "revision")}
    statement = insert.on_conflict_do_update(index_elements=["project_key", "id"], set_=values, where=changed)
    # How many rows that were is asked for afterwards, when PostgreSQL's driver has forgotten it.
    return statement.execution_options(preserve_rowcount=True)


def chunks(ids: Sequence[int]) -> Iterator[list[int]]:
    """The ids, so many at a time as one statement takes."""
    remaining = iter(ids)
    while some := list(islice(remaining, _ROWS_A_STATEMENT)):
        yield some
