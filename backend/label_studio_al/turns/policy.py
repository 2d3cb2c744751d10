"""When to train, how many tasks to ask, and what is left to wait for."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from label_studio_al.questions import LabelConfig, Question
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


def is_trainable(subject: Subject, question: Question) -> bool:
    """Whether a question has enough answers for its learner to make a model."""
    return _is_enough(subject, question, subject.answers[question.name].values())


def _is_enough(subject: Subject, question: Question, answers: Collection[str]) -> bool:
    learner = subject.learner(question)
    return not learner.trains or (len(answers) >= subject.settings.min_labels and learner.missing(answers) is None)


def training_reason(subject: Subject) -> str | None:
    """Why a new version is due, in words; None if it is not."""
    project, version = subject.project, subject.version
    if version is None:
        return "the first version"
    if version.revision < project.wanted_revision:
        return "a new version was asked for"
    if not is_of(subject.config, version):
        return "the question of the config changed"
    if any(version.questions[one.name].labels != one.labels for one in subject.config.questions):
        return "the labels of the config changed"
    if version.features_id != subject.pool.features_id:
        return "the features were made anew"
    if not any(is_trainable(subject, question) for question in subject.config.questions):
        return "too few labels are left" if version.has_model else None
    if not version.has_model:
        return f"{subject.n_labelled} labels"
    for question in subject.config.questions:
        if is_trainable(subject, question) and not _is_enough(
            subject, question, version.questions[question.name].trained_on.values()
        ):
            return f"the first labels of {question.name}"
    n_changed = count_changed(version, subject.answers)
    if n_changed >= growth(subject.settings, len(version.trained_on)):
        return f"{n_changed} new or changed labels"
    return None


def is_of(config: LabelConfig, version: Version) -> bool:
    """Whether the version answers the questions that the config asks."""
    asked = {question.name: question.fingerprint for question in config.questions}
    return asked == {name: one.fingerprint for name, one in version.questions.items()}


def count_changed(version: Version, answers: Mapping[str, Mapping[int, str]]) -> int:
    """How many tasks are answered otherwise than when the version was trained, or no longer."""
    changed: set[int] = set()
    for name, trained in version.questions.items():
        then, now = trained.trained_on, answers.get(name, {})
        changed.update(task_id for task_id, answer in now.items() if then.get(task_id) != answer)
        changed.update(then.keys() - now.keys())
    return len(changed)


def growth(settings: ProjectSettings, n_labels: int) -> int:
    """How many labels must be new or changed before the next training. n_labels: of the last one."""
    return max(1, math.ceil(settings.retrain_growth * n_labels))


def window_size(settings: ProjectSettings, n_labels: int) -> int:
    """How many tasks are to be asked next."""
    return min(settings.window, max(WINDOW_AT_LEAST, WINDOW_GROWTHS * growth(settings, n_labels)))


def fresh_and_due(subject: Subject, version: Version | None) -> tuple[int, int]:
    """How many labels are new to a version, and how many make the next training due."""
    if version is not None and version.has_model:
        return count_changed(version, subject.answers), growth(subject.settings, len(version.trained_on))
    return subject.n_labelled, subject.settings.min_labels


def waiting_for(subject: Subject, version: Version | None) -> Activity:
    """What a project waits for under a version."""
    n_fresh, n_due = fresh_and_due(subject, version)
    n_missing = max(0, n_due - n_fresh)
    if version is not None and version.has_model:
        return Activity(WAITING_FOR_LABELS, {"n": n_missing})
    if n_missing:
        return Activity(WAITING_FOR_FIRST_LABELS, {"n": n_missing})
    # The question with the most answers is the nearest to a model.
    question = max(subject.config.questions, key=lambda one: len(subject.answers[one.name]))
    given = subject.answers[question.name].values()
    if len(set(given)) == 1:
        return Activity(WAITING_FOR_A_SECOND_LABEL, {"n": len(given), "label": question.show(*set(given))})
    return Activity(WAITING_FOR_OTHER_LABELS, {"missing": subject.learner(question).missing(given) or "other labels"})
