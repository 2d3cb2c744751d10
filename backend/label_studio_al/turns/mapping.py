"""Draws a map of a project's pool for the status page, and keeps each task at its place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, MutableMapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from label_studio_al.learning.maps import Landmarks, Surroundings, choose_landmarks, lay_out
from label_studio_al.learning.rows import blocks
from label_studio_al.learning.types import Array
from label_studio_al.pool.tasks import Pool
from label_studio_al.store import Version
from label_studio_al.store.maps import MapHead
from label_studio_al.turns.means import Means
from label_studio_al.turns.pictures import MAX_NEXT, picture_of
from label_studio_al.turns.subject import Subject

# Landmarks are chosen anew when the pool has doubled, or half of them are gone.
GROWTH = 2.0
LEFT_AT_LEAST = 0.5
_ROWS_AT_ONCE = 4_096

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Layout:
    """Landmarks, the task field that they were laid out by, and how many tasks there were then."""

    landmarks: Landmarks
    field: str
    n_tasks: int

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> _Layout:
        """From what `stored` gave."""
        places = np.array([stored["x"], stored["y"]], dtype=np.float64).T
        return cls(Landmarks(np.array(stored["tasks"], dtype=np.int64), places), stored["field"], stored["n_tasks"])

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        x, y = np.round(self.landmarks.places, 5).T.tolist()
        return {
            "field": self.field,
            "n_tasks": self.n_tasks,
            "tasks": self.landmarks.tasks.tolist(),
            "x": x,
            "y": y,
        }

    def fits(self, pool: Pool) -> bool:
        """Whether the pool is still much as it was."""
        n_left = len(pool.having_rows(self.landmarks.tasks.tolist()))
        return (
            self.field == pool.field
            and len(pool.live) < GROWTH * self.n_tasks
            and n_left >= LEFT_AT_LEAST * len(self.landmarks.tasks)
        )


@dataclass(frozen=True)
class _Placed:
    """Where the tasks of a pool lie. rows: of the landmarks that are left. tasks, places: of all rows of the pool."""

    features_id: int | None
    layout: _Layout
    rows: Array
    surroundings: Surroundings
    tasks: Array
    places: Array

    @classmethod
    def of(cls, pool: Pool, layout: _Layout) -> _Placed:
        """All rows of a pool."""
        left = pool.having_rows(layout.landmarks.tasks.tolist())
        rows = pool.rows(left)
        landmarks = layout.landmarks.among(np.isin(layout.landmarks.tasks, left))
        surroundings = Surroundings.of(landmarks, np.asarray(pool.compact[rows]))
        places = surroundings.places(pool.compact, pool.task_ids)
        return cls(pool.features_id, layout, rows, surroundings, np.array(pool.task_ids), places)

    def is_of(self, pool: Pool) -> bool:
        """Whether the places hold; the pool may have more rows by now."""
        return (
            self.features_id == pool.features_id
            and np.array_equal(self.rows, pool.rows(self.layout.landmarks.tasks.tolist()))
            and np.array_equal(self.tasks, pool.task_ids[: len(self.tasks)])
        )

    def grown(self, pool: Pool) -> _Placed:
        """With the rows that came since."""
        n_known, places = len(self.tasks), [self.places]
        for block in blocks(len(pool.task_ids) - n_known, _ROWS_AT_ONCE):
            new = slice(n_known + block.start, n_known + block.stop)
            places.append(self.surroundings.places(pool.compact[new], pool.task_ids[new]))
        if len(places) == 1:
            return self
        return replace(self, tasks=np.array(pool.task_ids), places=np.concatenate(places))


class PoolMaps:
    """The maps of all projects: drawn in turns, read by the status page. Each project in one thread at a time."""

    def __init__(self, means: Means) -> None:
        self._store = means.store
        self._computing = means.computing
        self._clock = means.clock
        self._placed: dict[str, _Placed] = {}
        self._drawn: dict[str, dict[str, Any]] = {}

    def forget_all_but(self, keys: Collection[str]) -> None:
        """Let go of projects that are not known any more."""
        in_memory: tuple[MutableMapping[str, Any], ...] = (self._placed, self._drawn)
        for kept in in_memory:
            for key in kept.keys() - keys:
                del kept[key]

    def draw(
        self, subject: Subject, version: Version | None, step: Callable[[str], AbstractContextManager[None]]
    ) -> None:
        """Bring the map up to date with a turn. Never raises: no turn fails for want of a picture."""
        key, pool = subject.key, subject.pool
        if version is None or not pool.is_complete or not len(pool.live):
            return
        try:
            with step("map"), self._computing.slot():
                placed = self._place(pool)
                asked = [one.task_id for one in self._store.windows.next(key, version.id, MAX_NEXT)]
                picture = picture_of(subject, placed.places, asked)
                if picture != self._drawn.get(key):
                    head = MapHead(self._clock.now(), len(picture["points"]))
                    self._store.maps.record(key, head, placed.layout.stored(), picture)
                    self._drawn[key] = picture
        except Exception as exc:
            log.error("project %s: the map was not drawn: %s", key, type(exc).__name__, exc_info=exc)

    def _place(self, pool: Pool) -> _Placed:
        placed = self._placed.get(pool.key)
        if placed is None or not (placed.layout.fits(pool) and placed.is_of(pool)):
            placed = _Placed.of(pool, self._layout(pool, placed))
        self._placed[pool.key] = placed = placed.grown(pool)
        return placed

    def _layout(self, pool: Pool, placed: _Placed | None) -> _Layout:
        """The one from before while it fits; else a new one, near it."""
        before = self._stored(pool.key) if placed is None else placed.layout
        if before is not None and before.fits(pool):
            return before
        tasks = pool.task_ids[pool.live]
        chosen = choose_landmarks(tasks)
        tasks, rows = tasks[chosen], np.asarray(pool.compact[pool.live[chosen]])
        earlier = None
        if before is not None and before.field == pool.field and pool.having_rows(before.landmarks.tasks.tolist()):
            earlier = _Placed.of(pool, before).places[pool.live[chosen]]
        return _Layout(Landmarks(tasks, lay_out(rows, earlier)), pool.field, len(pool.live))

    def _stored(self, key: str) -> _Layout | None:
        stored = self._store.maps.landmarks(key)
        return None if stored is None else _Layout.read(stored)
