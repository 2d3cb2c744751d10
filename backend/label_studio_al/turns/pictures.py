"""What a map of the pool shows, as JSON of a bounded size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from label_studio_al.learning.coding import group_counts
from label_studio_al.learning.types import Array
from label_studio_al.questions import Question
from label_studio_al.turns.subject import Subject

# Up to this size every task is a point; of a larger pool a grid says how many open tasks are where.
MAX_POINTS = 2_000
GRID = 60, 40
# Of a larger pool, those that are points all the same: the newest labels, and the tasks that are asked first.
MAX_LABELLED = 1_000
MAX_NEXT = 100
# As many as have a colour and a shape.
MAX_LABELS = 8
# What a point has in place of a label's number: nobody has annotated it, or with another label or none.
OPEN, OTHER = -1, -2
# Places are whole numbers up to this one.
SIDE = 1_000


def picture_of(subject: Subject, places: Array, asked: Sequence[int]) -> dict[str, Any]:
    """Points, which are [task id, x, y, number of its label, whether it is asked next], those that matter most last.

    Of the first question's labels. grid: `counts` are [cell, open tasks in it], cell = row * columns + column; None
    where every task is a point. places: shape (n_rows, 2), in [0, 1]. asked: tasks of the window, first to be asked
    first.
    """
    pool, question = subject.pool, subject.config.questions[0]
    answers = subject.answers[question.name]
    labels, label_of = _labels(question, answers)
    labelled = pool.having_rows(list(answers))
    asked = pool.having_rows(asked[:MAX_NEXT])
    open_rows = pool.open_rows(subject.annotated)
    is_small = len(pool.live) <= MAX_POINTS
    of_tasks: dict[int, int] = {}
    if is_small:
        of_tasks |= dict.fromkeys(pool.task_ids[pool.live].tolist(), OTHER)
        of_tasks |= dict.fromkeys(pool.task_ids[open_rows].tolist(), OPEN)
    newest = labelled if is_small else labelled[-MAX_LABELLED:]
    for task_id, number in [(one, label_of[answers[one]]) for one in newest] + [(one, OPEN) for one in asked[::-1]]:
        # Once more, at the end.
        of_tasks.pop(task_id, None)
        of_tasks[task_id] = number
    is_next = set(asked)
    corners: Array = np.round(places[pool.rows(list(of_tasks))] * SIDE).astype(np.int64)
    return {
        "question": question.name,
        "labels": labels,
        "n_tasks": len(pool.live),
        "n_open": len(open_rows),
        "n_labelled": len(labelled),
        "points": [
            [task_id, x, y, number, int(task_id in is_next)]
            for (task_id, number), (x, y) in zip(of_tasks.items(), corners.tolist(), strict=True)
        ],
        "grid": None if is_small else _grid(places[open_rows]),
    }


def _labels(question: Question, answers: Mapping[int, str]) -> tuple[list[str], dict[str, int]]:
    """The labels that are told apart, and which of these each answer has: of several, the rarest."""
    given = list(answers.values())
    coding = question.coding.settled(given)
    counts = group_counts(coding, question.labels, given)
    most = set(sorted(counts, key=lambda label: -counts[label])[:MAX_LABELS])
    labels = [label for label in counts if label in most]
    number = {label: place for place, label in enumerate(labels)}
    found = {}
    for answer in set(given):
        own = [label for label in map(coding.group, coding.counts([answer])) if label in most]
        found[answer] = number[min(own, key=lambda label: (counts[label], number[label]))] if own else OTHER
    return labels, found


def _grid(places: Array) -> dict[str, Any]:
    columns, rows = GRID
    across, down = np.minimum((places * GRID).astype(np.int64), np.array(GRID) - 1).T
    counts = np.bincount(down * columns + across, minlength=columns * rows)
    cells = np.flatnonzero(counts)
    return {"columns": columns, "rows": rows, "counts": np.column_stack([cells, counts[cells]]).tolist()}
