"""What people's annotations teach: one label a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from label_studio_al.labeling.events import Annotation


def examples(annotations: Iterable[Annotation], label_of: Callable[[object], str | None]) -> dict[int, str]:
    """The label of each labelled task: the majority of its annotations, ties to the newest.

    Skipped annotations, empty results and labels that `label_of` does not know teach nothing.
    Returns task ids in ascending order.
    """
    annotations = list(annotations)
    # A store gives one object for equal results, and few are different.
    results = {id(annotation.result): annotation.result for annotation in annotations}
    labels = {key: label_of(result) for key, result in results.items()}
    votes: dict[int, list[tuple[str, int, str]]] = {}
    for annotation in annotations:
        label = None if annotation.was_cancelled else labels[id(annotation.result)]
        if label is not None:
            votes.setdefault(annotation.task_id, []).append((annotation.updated_at, annotation.id, label))
    return {task_id: _majority(votes[task_id]) for task_id in sorted(votes)}


def ignored(annotations: Iterable[Annotation], why_ignored: Callable[[object], str | None]) -> dict[str, list[int]]:
    """The tasks of annotations that somebody gave and that teach nothing, by the reason that `why_ignored` gives."""
    annotations = list(annotations)
    results = {id(annotation.result): annotation.result for annotation in annotations}
    reasons = {key: why_ignored(result) for key, result in results.items()}
    found: dict[str, list[int]] = {}
    for annotation in annotations:
        reason = None if annotation.was_cancelled else reasons[id(annotation.result)]
        if reason is not None:
            found.setdefault(reason, []).append(annotation.task_id)
    return found


def _majority(votes: list[tuple[str, int, str]]) -> str:
    if len(votes) == 1:
        return votes[0][2]
    counts = Counter(label for _, _, label in votes)
    most = max(counts.values())
    return next(label for _, _, label in sorted(votes, reverse=True) if counts[label] == most)
