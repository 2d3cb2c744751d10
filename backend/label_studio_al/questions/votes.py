"""What people's annotations of a task say together: one answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from label_studio_al.labeling import Annotation
from label_studio_al.questions.base import OTHER_CONTROL, Answer, Question
from label_studio_al.questions.config import LabelConfig

Vote = tuple[str, int, Answer]


class Readings:
    """What annotations say of each question; each is read once."""

    def __init__(self, annotations: Iterable[Annotation], config: LabelConfig) -> None:
        self._config = config
        # Skipped ones do not count.
        annotations = [one for one in annotations if not one.was_cancelled]
        # A store gives one object for equal results, and few are different.
        results = {id(one.result): one.result for one in annotations}
        readings = {key: config.read(result) for key, result in results.items()}
        self._pairs = [(one, readings[id(one.result)]) for one in annotations]

    def asked_since(self) -> dict[str, str]:
        """When somebody answered each question first, as `updated_at`; of those that somebody answered.

        A control may have been added after annotations were made: that these hold nothing of it is no answer.
        """
        found: dict[str, str] = {}
        for annotation, readings in self._pairs:
            for name, reading in readings.items():
                if reading.answer is not None and not reading.is_implied:
                    found[name] = min(annotation.updated_at, found.get(name, annotation.updated_at))
        return found

    def answers(self, since: Mapping[str, str] | None = None) -> dict[str, dict[int, Answer]]:
        """The answer to each question of each task that has one: that of most annotations, ties to the newest.

        Annotations without a readable answer do not count. since: as `asked_since` says of all annotations, where these
        are only some. Returns, by question, task ids in ascending order.
        """
        is_only = len(self._config.questions) == 1
        asked = self.asked_since() if since is None and not is_only else since or {}
        votes: dict[str, dict[int, list[Vote]]] = {name: {} for name in self._config.names}
        for annotation, readings in self._pairs:
            for name, reading in readings.items():
                is_since = name in asked and asked[name] <= annotation.updated_at
                was_asked = is_only or not reading.is_implied or is_since
                if reading.answer is not None and was_asked:
                    vote = annotation.updated_at, annotation.id, reading.answer
                    votes[name].setdefault(annotation.task_id, []).append(vote)
        return {name: {task_id: _majority(own[task_id]) for task_id in sorted(own)} for name, own in votes.items()}

    def unread(self) -> dict[str, list[int]]:
        """The tasks of annotations that hold no answer to a question, by reason (see UNREAD)."""
        found: dict[str, list[int]] = {}
        for annotation, readings in self._pairs:
            reasons = dict.fromkeys(reading.unread for reading in readings.values() if reading.unread is not None)
            if any(reading.answer is not None and not reading.is_implied for reading in readings.values()):
                # What stands beside an answer is of a control that was there once.
                reasons.pop(OTHER_CONTROL, None)
            for reason in reasons:
                found.setdefault(reason, []).append(annotation.task_id)
        return found


def answers(annotations: Iterable[Annotation], config: LabelConfig) -> dict[str, dict[int, Answer]]:
    """As `Readings.answers` of all annotations."""
    return Readings(annotations, config).answers()


def label_counts(question: Question, answers: Iterable[Answer]) -> dict[str, int]:
    """In how many answers each class is; the config's classes first, unless only groups of them must be met."""
    counts, group = question.coding.counts(answers), question.coding.group
    if any(group(label) != label for label in question.labels):
        return dict(sorted(counts.items()))
    return dict.fromkeys(question.labels, 0) | counts


def _majority(votes: list[Vote]) -> Answer:
    if len(votes) == 1:
        return votes[0][2]
    counts = Counter(answer for _, _, answer in votes)
    most = max(counts.values())
    newest_first = sorted(votes, key=lambda vote: vote[:2], reverse=True)
    return next(answer for _, _, answer in newest_first if counts[answer] == most)
