"""When to train, how many tasks to ask, and what is left to wait for."""

from __future__ import annotations

import math
from collections.abc import Mapping

from label_studio_al.questions import Question
from label_studio_al.runtime.settings import ProjectSettings
from label_studio_al.store import Version
from label_studio_al.store.activity import (
    WAITING_FOR_A_SECOND_LABEL,
    WAITING_FOR_FIRST_LABELS,
    WAITING_FOR_LABELS,
    WAITING_FOR_OTHER_LABELS,
    Activity,
)
from label_studio_al.turns.subject import Subject

# A window need not be larger than what is labelled until the next turn, and each task of it costs Label Studio 70 ms.
WINDOW_AT_LEAST = 50
WINDOW_GROWTHS = 3
# The window is topped up when less than this share of it is left.
TOP_UP_SHARE = 0.5


def is_trainable(subject: Subject) -> bool:
    """Whether there are enough labels for the learner to make a model."""
    learner, answers = subject.learner, subject.labels.values()
    return not learner.trains or (len(answers) >= subject.settings.min_labels and learner.missing(answers) is None)


def training_reason(subject: Subject) -> str | None:
    """Why a new version is due, in words; None if it is not."""
    project, version, labels = subject.project, subject.version, subject.labels
    if version is None:
        return "the first version"
    if version.revision < project.wanted_revision:
        return "a new version was asked for"
    if not is_of(subject.config.question, version):
        return "the question of the config changed"
    if version.labels != subject.config.question.labels:
        return "the labels of the config changed"
    if version.features_id != subject.pool.features_id:
        return "the features were made anew"
    if not is_trainable(subject):
        return "too few labels are left" if version.has_model else None
    if not version.has_model:
        return f"{len(labels)} labels"
    n_changed = count_changed(version, labels)
    if n_changed >= growth(subject.settings, len(version.trained_on)):
        return f"{n_changed} new or changed labels"
    return None


def is_of(question: Question, version: Version) -> bool:
    """Whether the version answers this kind of question."""
    return version.question == question.fingerprint


def count_changed(version: Version, labels: Mapping[int, str]) -> int:
    """How many tasks are labelled otherwise than when the version was trained, or no longer."""
    n_new = sum(version.trained_on.get(task_id) != label for task_id, label in labels.items())
    return n_new + sum(task_id not in labels for task_id in version.trained_on)


def growth(settings: ProjectSettings, n_labels: int) -> int:
    """How many labels must be new or changed before the next training. n_labels: of the last one."""
    return max(1, math.ceil(settings.retrain_growth * n_labels))


def window_size(settings: ProjectSettings, n_labels: int) -> int:
    """How many tasks are to be asked next."""
    return min(settings.window, max(WINDOW_AT_LEAST, WINDOW_GROWTHS * growth(settings, n_labels)))


def fresh_and_due(subject: Subject, version: Version | None) -> tuple[int, int]:
    """How many labels are new to a version, and how many make the next training due."""
    if version is not None and version.has_model:
        return count_changed(version, subject.labels), growth(subject.settings, len(version.trained_on))
    return len(subject.labels), subject.settings.min_labels


def label_counts(subject: Subject) -> dict[str, int]:
    """In how many tasks' answers each class is; the config's classes first."""
    question = subject.config.question
    return dict.fromkeys(question.labels, 0) | question.coding.counts(subject.labels.values())


def waiting_for(subject: Subject, version: Version | None) -> Activity:
    """What a project waits for under a version."""
    n_fresh, n_due = fresh_and_due(subject, version)
    n_missing = max(0, n_due - n_fresh)
    if version is not None and version.has_model:
        return Activity(WAITING_FOR_LABELS, {"n": n_missing})
    if n_missing:
        return Activity(WAITING_FOR_FIRST_LABELS, {"n": n_missing})
    answers = set(subject.labels.values())
    if len(answers) == 1:
        found = subject.config.question.show(*answers)
        return Activity(WAITING_FOR_A_SECOND_LABEL, {"n": len(subject.labels), "label": found})
    return Activity(WAITING_FOR_OTHER_LABELS, {"missing": subject.learner.missing(answers) or "other labels"})
