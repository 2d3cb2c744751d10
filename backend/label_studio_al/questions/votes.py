"""What people's annotations of a task say together: one answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from label_studio_al.labeling import Annotation
from label_studio_al.questions.base import NOT_ANSWERED, Answer, Reading
from label_studio_al.questions.config import LabelConfig

Vote = tuple[str, int, Answer]


def answers(annotations: Iterable[Annotation], config: LabelConfig) -> dict[int, Answer]:
    """The answer of each answered task: that of most annotations, ties to the newest.

    Skipped annotations, and those without a readable answer, do not count. Returns task ids in ascending order.
    """
    votes: dict[int, list[Vote]] = {}
    for annotation, reading in _read(annotations, config):
        if reading.answer is not None:
            votes.setdefault(annotation.task_id, []).append((annotation.updated_at, annotation.id, reading.answer))
    return {task_id: _majority(votes[task_id]) for task_id in sorted(votes)}


def unread(annotations: Iterable[Annotation], config: LabelConfig) -> dict[str, list[int]]:
    """The tasks of annotations that somebody gave and that hold no answer, by the reason (see UNREAD)."""
    found: dict[str, list[int]] = {}
    for annotation, reading in _read(annotations, config):
        if reading.unread is not None:
            found.setdefault(reading.unread, []).append(annotation.task_id)
    return found


def _read(annotations: Iterable[Annotation], config: LabelConfig) -> Iterable[tuple[Annotation, Reading]]:
    annotations = list(annotations)
    # A store gives one object for equal results, and few are different.
    results = {id(annotation.result): annotation.result for annotation in annotations}
    readings = {key: config.read(result) for key, result in results.items()}
    for annotation in annotations:
        yield annotation, NOT_ANSWERED if annotation.was_cancelled else readings[id(annotation.result)]


def _majority(votes: list[Vote]) -> Answer:
    if len(votes) == 1:
        return votes[0][2]
    counts = Counter(answer for _, _, answer in votes)
    most = max(counts.values())
    newest_first = sorted(votes, key=lambda vote: vote[:2], reverse=True)
    return next(answer for _, _, answer in newest_first if counts[answer] == most)
