"""From labels to a model."""

from __future__ import annotations

import logging
from collections.abc import Collection

from label_studio_al.learners.base import Fit
from label_studio_al.learning.coding import Coding
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.learner import Tuning, n_deciding
from label_studio_al.learning.model import Trained
from label_studio_al.questions import Question
from label_studio_al.store import Store
from label_studio_al.turns.policy import is_trainable
from label_studio_al.turns.subject import Subject

log = logging.getLogger(__name__)


class Training:
    """Trains each project's models. Remembers which features and which calibration its earliest labels decided on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tunings: dict[tuple[str, str], tuple[object, Tuning]] = {}

    def train(self, subject: Subject) -> dict[str, Trained]:
        """A model of each question that has enough answers."""
        return {
            question.name: self._trained(subject, question)
            for question in subject.config.questions
            if is_trainable(subject, question)
        }

    def _trained(self, subject: Subject, question: Question) -> Trained:
        """A model of all answers; of all but the audit labels where the learner trains one model only.

        These tell how good it is.
        """
        answers, learner = subject.answers[question.name], subject.learner(question)
        if learner.trains and not learner.refits:
            kept = self._store.measurements.predictions(subject.key, question.name)
            audited = {one.task_id for one in kept if one.is_audit}
            answers = {task_id: answer for task_id, answer in answers.items() if task_id not in audited}
        labelled = subject.pool.labelled(answers, question.coding.settled(answers.values()))
        tuning = self._tuning(subject, question, labelled)
        return Trained(fitting(subject, question, tuning, labelled.coding)(labelled.X, labelled.y), tuning)

    def forget_all_but(self, keys: Collection[str]) -> None:
        """Let go of projects that are not known any more."""
        for known in [known for known in self._tunings if known[0] not in keys]:
            del self._tunings[known]

    def _tuning(self, subject: Subject, question: Question, labelled: Labelled) -> Tuning:
        """Which features and how calibrated, from the earliest labels: decided again only when these change."""
        pool, settings, of = subject.pool, subject.settings, (subject.key, question.name)
        answers = subject.answers[question.name]
        deciding = tuple(answers.items())[: n_deciding(len(answers))]
        because = (pool.features_id, question.fingerprint, settings.features, settings.seed, deciding)
        known = self._tunings.get(of)
        if known is None or known[0] != because:
            choices = pool.features.choices(question.coding.of_sides)
            found = subject.learner(question).tune(labelled, choices, settings.features, settings.seed)
            known = self._tunings[of] = (because, found)
            log.info("project %s: features for %s: %s", subject.key, question.name, found.sentence())
        return known[1]


def fitting(subject: Subject, question: Question, tuning: Tuning | None, coding: Coding) -> Fit:
    """How models are trained: the published one, and those beside it in the same way. coding: of the answers."""
    choices = subject.pool.features.choices(coding.of_sides)
    return subject.learner(question).fitting(choices, tuning or Tuning(next(iter(choices))), coding)
