"""The tasks that each version asks next."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from label_studio_al.store import schema
from label_studio_al.store.part import Part
from label_studio_al.store.upserts import chunks

# Of one task, by question: the most probable answers with their probabilities, the best first.
Best = Mapping[str, Sequence[tuple[str, float]]]


@dataclass(frozen=True)
class WindowTask:
    """A task that is to be asked. top_k: the version's most probable answers; empty without a model."""

    task_id: int
    informativeness: float
    is_audit: bool
    top_k: Best


@dataclass(frozen=True)
class NewTasks:
    """Tasks that a version is to ask: (task id, informativeness), most informative first.

    audits: those that were drawn at random. top_k: the most probable answers by task.
    pushed: those whose predictions Label Studio has; None for all.
    """

    window: Sequence[tuple[int, float]]
    audits: frozenset[int] = frozenset()
    top_k: Mapping[int, Best] = field(default_factory=dict)
    pushed: frozenset[int] | None = None


class Windows(Part):
    """The versions' windows."""

    def informativeness(self, version_id: int, among: Sequence[int] | None = None) -> dict[int, float]:
        """Informativeness of the tasks of a version's window, most informative first; optionally of some only."""
        table = schema.window.c
        query = sa.select(table.task_id, table.informativeness).where(table.version_id == version_id)
        found: dict[int, float] = {}
        with self._read() as connection:
            for some in [None] if among is None else chunks(among):
                part = query if some is None else query.where(table.task_id.in_(some))
                found.update({row.task_id: row.informativeness for row in connection.execute(part)})
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def add(self, version_id: int, new: NewTasks) -> None:
        """Record tasks that the same version asks beside those it has."""
        with self._write() as connection:
            add_to_window(connection, self._insert, version_id, new)

    def pushed(self, version_id: int) -> set[int]:
        """The tasks of a version's window whose predictions Label Studio has."""
        table = schema.window.c
        query = sa.select(table.task_id).where(table.version_id == version_id, table.is_pushed)
        with self._read() as connection:
            return set(connection.execute(query).scalars())

    def mark_pushed(self, version_id: int, task_ids: Sequence[int]) -> None:
        """Note that Label Studio has the predictions of these tasks of a version's window."""
        table = schema.window
        with self._write() as connection:
            for some in chunks(task_ids):
                theirs = (table.c.version_id == version_id) & table.c.task_id.in_(some)
                connection.execute(sa.update(table).where(theirs).values(is_pushed=True))

    def unpushed(self, key: str, version_id: int) -> list[WindowTask]:
        """The tasks that are still to be pushed, most informative first: without those that were asked meanwhile."""
        return self._window_tasks(_is_left(key, version_id) & ~schema.window.c.is_pushed)

    def next(self, key: str, version_id: int, n: int | None = None) -> list[WindowTask]:
        """The (first n) tasks of a version's window that are asked next, in that order; nobody has answered these."""
        return self._window_tasks(_is_left(key, version_id), n)

    def _window_tasks(self, among: Any, n: int | None = None) -> list[WindowTask]:
        table = schema.window.c
        query = (
            sa.select(table.task_id, table.informativeness, table.is_audit, table.top_k)
            .where(among)
            .order_by(table.informativeness.desc(), table.task_id)
            .limit(n)
        )
        with self._read() as connection:
            rows = connection.execute(query).all()
        return [
            WindowTask(task_id, informativeness, is_audit, _best(top_k))
            for task_id, informativeness, is_audit, top_k in rows
        ]

    def sizes(self, key: str, version_id: int) -> tuple[int, int]:
        """How many tasks a version's window has, and how many of them are left to be asked."""
        count = sa.select(sa.func.count()).select_from(schema.window)
        with self._read() as connection:
            n_all = connection.execute(count.where(schema.window.c.version_id == version_id)).scalar_one()
            return int(n_all), int(connection.execute(count.where(_is_left(key, version_id))).scalar_one())

    def audits(self, version_id: int) -> set[int]:
        """The tasks of a version's window that were drawn at random."""
        table = schema.window.c
        query = sa.select(table.task_id).where(table.version_id == version_id, table.is_audit)
        with self._read() as connection:
            return set(connection.execute(query).scalars())


def add_to_window(connection: Connection, insert: Callable[..., Any], version_id: int, new: NewTasks) -> None:
    """Record tasks of a version's window within a transaction."""
    rows = [
        {
            "version_id": version_id,
            "task_id": task_id,
            "informativeness": float(informativeness),
            "is_audit": task_id in new.audits,
            "top_k": json.dumps(new.top_k[task_id]) if new.top_k.get(task_id) else None,
            "is_pushed": new.pushed is None or task_id in new.pushed,
        }
        for task_id, informativeness in new.window
    ]
    if rows:
        connection.execute(insert(schema.window).on_conflict_do_nothing(), rows)


def _best(stored: str | None) -> Best:
    return {name: tuple(map(tuple, found)) for name, found in json.loads(stored or "{}").items()}


def _is_left(key: str, version_id: int) -> Any:
    """The condition of a window's task that nobody has annotated, or deleted."""
    window, annotations, tasks = schema.window.c, schema.annotations.c, schema.tasks.c
    annotated = (annotations.project_key == key) & (annotations.task_id == window.task_id) & ~annotations.is_deleted
    there = (tasks.project_key == key) & (tasks.id == window.task_id) & ~tasks.is_deleted
    return (window.version_id == version_id) & ~sa.exists().where(annotated) & sa.exists().where(there)
