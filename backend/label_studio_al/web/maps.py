"""Where the points of a pool's map lie. `templates/map.html` draws them, `static/page.css` gives them their colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

# In the units of the drawing: the plot, and beside it room for the names of its squares.
WIDTH, HEIGHT = 640, 424
LEFT, TOP, RIGHT, BOTTOM = 22, 6, 634, 404
# Points' centres keep off the plot's edge.
MARGIN = 10
# Squares have names as on a chessboard, by which the table says where a task lies.
COLUMNS, ROWS = "ABCDEFGHIJKL", 8
# Of what turns/pictures.py wrote.
SIDE = 1_000
OPEN, OTHER = -1, -2
# The density of open tasks is told in so many steps.
N_SHADES = 5
# As many tasks as the table has, and as are read with their texts.
TABLE_ROWS = 200


@dataclass(frozen=True)
class Point:
    """A task of the map. label: None of an open one, and of one that has none of the labels that are told apart."""

    task_id: int
    x: float
    y: float
    square: str
    label: str | None
    is_open: bool
    is_next: bool

    @property
    def words(self) -> str:
        """What is known of it."""
        if self.is_next:
            return "asked next"
        return "open" if self.is_open else self.label or "other"


@dataclass(frozen=True)
class Group:
    """Points that look alike. sign: a class of the style sheet and the end of the id of their shape."""

    sign: str
    words: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class PoolMap:
    """A map of the pool. points: those that matter most last. question: whose labels have the colours."""

    box: ClassVar[dict[str, int]] = {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "top": TOP,
        "right": RIGHT,
        "bottom": BOTTOM,
    }
    question: str
    labels: tuple[str, ...]
    points: tuple[Point, ...]
    n_tasks: int
    n_open: int
    n_labelled: int
    grid: Mapping[str, Any] | None

    @property
    def columns(self) -> list[tuple[float, str]]:
        """The squares' letters, and where their columns begin."""
        return [(LEFT + place * _column(), name) for place, name in enumerate(COLUMNS)]

    @property
    def rows(self) -> list[tuple[float, str]]:
        """The squares' numbers, and where their rows begin."""
        return [(TOP + place * _row(), str(place + 1)) for place in range(ROWS)]

    @cached_property
    def groups(self) -> list[Group]:
        """All points by how they look, those that matter most last; the labels' groups in the order of the labels."""
        words = {"open": "open", "other": "another label, or none"}
        words |= {f"l{number}": label for number, label in enumerate(self.labels)} | {"next": "asked next"}
        found: dict[str, list[Point]] = {sign: [] for sign in words}
        for point in self.points:
            found[self._sign(point)].append(point)
        return [Group(sign, words[sign], tuple(points)) for sign, points in found.items()]

    @property
    def legend(self) -> list[Group]:
        """What there is to be explained: the labels and what is met besides."""
        return [one for one in self.groups if one.points or one.sign[0] == "l"]

    @property
    def table(self) -> tuple[Point, ...]:
        """The tasks that matter most, these first."""
        return self.points[::-1][:TABLE_ROWS]

    @property
    def shades(self) -> dict[str, str]:
        """Paths that fill the cells in which open tasks are, by a class of the style sheet: the later, the more tasks.

        None where every task is a point.
        """
        if self.grid is None:
            return {}
        n_columns, n_rows, counts = self.grid["columns"], self.grid["rows"], self.grid["counts"]
        most = math.log1p(max((n for _, n in counts), default=1))
        shades = {f"s{step}": "" for step in range(1, N_SHADES + 1)}
        for cell, n in counts:
            (left, top), (right, bottom) = (
                _place((cell % n_columns + one) / n_columns, (cell // n_columns + one) / n_rows) for one in (0, 1)
            )
            step = max(1, math.ceil(N_SHADES * math.log1p(n) / most))
            shades[f"s{step}"] += f"M{left} {top}H{right}V{bottom}H{left}z"
        return {shade: path for shade, path in shades.items() if path}

    def _sign(self, point: Point) -> str:
        if point.is_next:
            return "next"
        if point.label is None:
            return "open" if point.is_open else "other"
        return f"l{self.labels.index(point.label)}"


def read_map(picture: Mapping[str, Any]) -> PoolMap:
    """From what turns/pictures.py wrote."""
    labels = tuple(picture["labels"])
    return PoolMap(
        question=picture["question"],
        labels=labels,
        points=tuple(_point(labels, *point) for point in picture["points"]),
        n_tasks=picture["n_tasks"],
        n_open=picture["n_open"],
        n_labelled=picture["n_labelled"],
        grid=picture["grid"],
    )


def _point(labels: Sequence[str], task_id: int, *about: int) -> Point:
    across, down, number, is_next = about
    x, y = _place(across / SIDE, down / SIDE)
    square = f"{COLUMNS[int((x - LEFT) / _column())]}{int((y - TOP) / _row()) + 1}"
    label = labels[number] if number >= 0 else None
    return Point(task_id, x, y, square, label, number == OPEN, bool(is_next))


def _place(across: float, down: float) -> tuple[float, float]:
    x = LEFT + MARGIN + across * (RIGHT - LEFT - 2 * MARGIN)
    y = TOP + MARGIN + down * (BOTTOM - TOP - 2 * MARGIN)
    return round(x, 1), round(y, 1)


def _column() -> float:
    return (RIGHT - LEFT) / len(COLUMNS)


def _row() -> float:
    return (BOTTOM - TOP) / ROWS
