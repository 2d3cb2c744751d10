"""Stores tasks and annotations that events reported or Label Studio listed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from label_studio_al.labeling import Annotation, Event, Task
from label_studio_al.runtime.errors import UnknownProject
from label_studio_al.store import schema
from label_studio_al.store.claims import additions
from label_studio_al.store.part import Part
from label_studio_al.store.projects import NEXT_REVISION, Project, Projects, raise_revision
from label_studio_al.store.upserts import chunks


class Updates(Part):
    """Changes of tasks and annotations. Each raises the revision of its project."""

    def __init__(self, engine: sa.Engine, projects: Projects) -> None:
        super().__init__(engine)
        self._projects = projects

    def hear(self, event: Event, now: float, *, adds_only: bool = False) -> Project | None:
        """Write an event's rows. Returns the project, or None if it was never set up here (nothing is written).

        adds_only: delete and change nothing that is there. What the event says of that is kept in `claims`.
        """
        known = self._projects.find(event.project_key)
        if known is None or (event.is_bare and event.label_config in (None, known.label_config)):
            # Our own switches come back as PROJECT_UPDATED: only another label config is news.
            return known
        with self._write() as connection:
            changes: dict[str, Any] = {"heard_at": now}
            if event.label_config and event.label_config != known.label_config:
                changes |= {"label_config": event.label_config, "config_wanted": True}
            if event.asks_training:
                changes |= {"wanted_revision": NEXT_REVISION, "retry_at": None}
            if event.needs_sync:
                changes["sync_wanted"] = True
            project = raise_revision(connection, event.project_key, **changes)
            if project is None:
                return None
            revision = project.revision
            if adds_only:
                event, claimed = additions(connection, event)
                self._keep_claims(connection, event.project_key, claimed, revision)
            self._keep_tasks(connection, event.project_key, event.tasks, revision)
            self._keep_annotations(connection, event.project_key, event.annotations, revision)
            self._mark_deleted(connection, event.project_key, event.deleted_tasks, revision)
            self._mark_annotations_deleted(connection, event.project_key, event.deleted_annotations, revision)
        return project

    def claims(self, key: str) -> list[int]:
        """Tasks of which events said more than Label Studio has been asked about, ascending."""
        table = schema.claims.c
        query = sa.select(table.task_id).where(table.project_key == key).order_by(table.task_id)
        with self._read() as connection:
            return list(connection.execute(query).scalars())

    def settle_claims(self, key: str, since: int) -> None:
        """Forget what was claimed up to revision `since`: Label Studio was asked after that."""
        with self._write() as connection:
            self._settle_claims(connection, key, since)

    def sync_tasks(self, key: str, batch: Sequence[Task], since: int, gone: Collection[int] = ()) -> None:
        """Keep tasks that Label Studio listed, and mark those deleted that it no longer has.

        Tasks with events newer than revision `since` are left alone.
        """
        with self._comparing(key) as (connection, revision, changes):
            changes.append(self._keep_tasks(connection, key, batch, revision, since))
            for known in _known(connection, schema.tasks, key, gone, since):
                self._mark_deleted(connection, key, known, revision)
                changes.append(len(known))

    def compare_tasks(self, key: str, batch: Sequence[Task], after: int, through: int | None, since: int) -> None:
        """As `sync_tasks`, where the batch is all that Label Studio has of the ids above `after` up to `through`.

        What we know beyond that was deleted there. through: None for all ids above `after`.
        """
        table = schema.tasks.c
        ours = (table.project_key == key) & ~table.is_deleted & (table.revision <= since) & (table.id > after)
        if through is not None:
            ours &= table.id <= through
        listed = {task.id for task in batch}
        with self._comparing(key) as (connection, revision, changes):
            known = connection.execute(sa.select(table.id).where(ours)).scalars()
            gone = [id for id in known if id not in listed]
            self._mark_deleted(connection, key, gone, revision)
            changes += [len(gone), self._keep_tasks(connection, key, batch, revision, since)]

    def compare_annotations(self, key: str, listed: Sequence[Annotation], gone: Collection[int], since: int) -> None:
        """Keep annotations that Label Studio listed, and mark those deleted that it reported as gone.

        Rows that changed after revision `since` are left alone: they are newer than what it said.
        """
        with self._comparing(key) as (connection, revision, changes):
            changes.append(self._keep_annotations(connection, key, listed, revision, since))
            for known in _known(connection, schema.annotations, key, gone, since):
                self._mark_annotations_deleted(connection, key, known, revision)
                changes.append(len(known))

    def finish_comparison(self, key: str, since: int, now: float) -> None:
        """Note that everything was compared. Marks and claims from before revision `since` are needed no more."""
        with self._write() as connection:
            columns = {"compared_at": now, "comparing_since": None, "compared_through": 0, "purged_revision": since}
            raise_revision(connection, key, **columns)
            self._settle_claims(connection, key, since)
            for table in (schema.tasks, schema.annotations):
                old_marks = (table.c.project_key == key) & table.c.is_deleted & (table.c.revision <= since)
                connection.execute(sa.delete(table).where(old_marks))

    @contextmanager
    def _comparing(self, key: str) -> Iterator[tuple[Connection, int, list[int]]]:
        """A transaction, the next revision, and a list that takes how many rows were changed.

        What changed nothing is no news, and leaves the revision as it is.
        """
        table, n_changed = schema.projects, list[int]()
        row = table.c.key == key
        with self._write() as connection:
            # A write first: nobody else gives this revision meanwhile.
            held = sa.update(table).where(row).values(revision=table.c.revision).returning(table.c.revision)
            revision = connection.execute(held).scalar_one_or_none()
            if revision is None:
                raise UnknownProject(f"project {key} was never set up here: connect it first")
            yield connection, revision + 1, n_changed
            if any(n_changed):
                raise_revision(connection, key)

    def _keep_tasks(
        self, connection: Connection, key: str, batch: Sequence[Task], revision: int, since: int | None = None
    ) -> int:
        """Returns how many rows were changed."""
        rows = [
            {
                "project_key": key,
                "id": task.id,
                "data": _json(task.data),
                "revision": revision,
                "is_deleted": False,
                "since": since,
            }
            for task in batch
        ]
        if not rows:
            return 0
        of = self._upserts
        return connection.execute(of.heard_task if since is None else of.listed_task, rows).rowcount

    def _keep_annotations(
        self,
        connection: Connection,
        key: str,
        annotations: Iterable[Annotation],
        revision: int,
        since: int | None = None,
    ) -> int:
        """Returns how many rows were changed."""
        rows = [
            {
                "project_key": key,
                "id": annotation.id,
                "task_id": annotation.task_id,
                "result": _json(annotation.result),
                "was_cancelled": annotation.was_cancelled,
                "updated_at": annotation.updated_at,
                "is_automatic": annotation.is_automatic,
                "completed_by": annotation.completed_by,
                "lead_time": annotation.lead_time,
                "ground_truth": annotation.ground_truth,
                "item_details": None if annotation.item_details is None else _json(annotation.item_details),
                "revision": revision,
                "is_deleted": False,
                "since": since,
            }
            for annotation in annotations
        ]
        if not rows:
            return 0
        of = self._upserts
        return connection.execute(of.heard_annotation if since is None else of.listed_annotation, rows).rowcount

    def _keep_claims(self, connection: Connection, key: str, task_ids: Collection[int], revision: int) -> None:
        rows = [{"project_key": key, "task_id": task_id, "revision": revision} for task_id in sorted(task_ids)]
        if rows:
            connection.execute(self._upserts.claim, rows)

    def _settle_claims(self, connection: Connection, key: str, since: int) -> None:
        table = schema.claims.c
        connection.execute(sa.delete(schema.claims).where(table.project_key == key, table.revision <= since))

    def _mark_deleted(self, connection: Connection, key: str, task_ids: Sequence[int], revision: int) -> None:
        if not task_ids:
            return
        rows = [
            {"project_key": key, "id": task_id, "data": "{}", "revision": revision, "is_deleted": True}
            for task_id in task_ids
        ]
        mark = {"data": "{}", "revision": revision, "is_deleted": True}
        statement = self._insert(schema.tasks).on_conflict_do_update(index_elements=["project_key", "id"], set_=mark)
        connection.execute(statement, rows)
        table = schema.annotations
        for some in chunks(task_ids):
            predicted = schema.outcomes.c
            connection.execute(
                sa.delete(schema.outcomes).where(predicted.project_key == key, predicted.task_id.in_(some))
            )
            theirs = (table.c.project_key == key) & table.c.task_id.in_(some)
            connection.execute(sa.update(table).where(theirs).values(_deleted_annotation(revision)))

    def _mark_annotations_deleted(
        self, connection: Connection, key: str, annotation_ids: Sequence[int], revision: int
    ) -> None:
        if not annotation_ids:
            return
        mark = _deleted_annotation(revision)
        rows = [
            {"project_key": key, "id": id, "task_id": 0, "was_cancelled": False, "updated_at": "", **mark}
            for id in annotation_ids
        ]
        statement = self._insert(schema.annotations)
        connection.execute(statement.on_conflict_do_update(index_elements=["project_key", "id"], set_=mark), rows)


def _deleted_annotation(revision: int) -> dict[str, Any]:
    """A mark without content."""
    nothing = dict.fromkeys(("completed_by", "lead_time", "item_details"))
    return {**nothing, "result": "[]", "ground_truth": False, "revision": revision, "is_deleted": True}


def _known(
    connection: Connection, table: sa.Table, key: str, ids: Collection[int], since: int
) -> Iterator[Sequence[int]]:
    """Those of the rows that we have, unless they changed after revision `since`; so many at a time."""
    column = table.c
    ours = (column.project_key == key) & ~column.is_deleted & (column.revision <= since)
    for some in chunks(sorted(ids)):
        yield connection.execute(sa.select(column.id).where(ours & column.id.in_(some))).scalars().all()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
