"""From labels to a model."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass

from label_studio_al.learners.base import Fit
from label_studio_al.learning.coding import Learned
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.learner import Tuning, n_deciding
from label_studio_al.store import Store
from label_studio_al.turns.subject import Subject

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """A classifier, and how it was trained; both None where there are too few labels."""

    classifier: Learned | None = None
    tuning: Tuning | None = None


class Training:
    """Trains each project's models. Remembers which features and which calibration its earliest labels decided on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tunings: dict[str, tuple[object, Tuning]] = {}

    def train(self, subject: Subject) -> Trained:
        """A model of all labels.

        Of all but the audit labels where the learner trains one model only: they tell how good it is.
        """
        labels, learner = subject.labels, subject.learner
        if learner.trains and not learner.refits:
            audited = {one.task_id for one in self._store.measurements.predictions(subject.key) if one.is_audit}
            labels = {task_id: label for task_id, label in labels.items() if task_id not in audited}
        labelled = subject.pool.labelled(labels, subject.config.question.coding)
        tuning = self._tuning(subject, labelled)
        return Trained(fitting(subject, tuning)(labelled.X, labelled.y), tuning)

    def forget_all_but(self, keys: Collection[str]) -> None:
        """Let go of projects that are not known any more."""
        for key in self._tunings.keys() - keys:
            del self._tunings[key]

    def _tuning(self, subject: Subject, labelled: Labelled) -> Tuning:
        """Which features and how calibrated, from the earliest labels: decided again only when these change."""
        pool, labels, settings = subject.pool, subject.labels, subject.settings
        deciding = tuple(labels.items())[: n_deciding(len(labels))]
        because = (pool.features_id, settings.features, settings.seed, deciding)
        known = self._tunings.get(subject.key)
        if known is None or known[0] != because:
            found = subject.learner.tune(labelled, pool.features.choices(), settings.features, settings.seed)
            known = self._tunings[subject.key] = (because, found)
            log.info("project %s: features: %s", subject.key, found.sentence())
        return known[1]


def fitting(subject: Subject, tuning: Tuning | None) -> Fit:
    """How models are trained: the published one, and those beside it in the same way."""
    choices = subject.pool.features.choices()
    return subject.learner.fitting(choices, tuning or Tuning(next(iter(choices))), subject.config.question.coding)
