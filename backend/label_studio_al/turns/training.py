"""From labels to a model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from label_studio_al.learning.coding import Learned
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.learner import Tuning, fit_as, n_deciding, train, tune
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.types import Array
from label_studio_al.turns.subject import Subject

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    """A classifier, and how it was trained; both None where there are too few labels."""

    classifier: Learned | None = None
    tuning: Tuning | None = None


class Training:
    """Trains each project's models. Remembers which features and which calibration its earliest labels decided on."""

    def __init__(self) -> None:
        self._tunings: dict[str, tuple[object, Tuning]] = {}

    def train(self, subject: Subject) -> Trained:
        """A model of all labels."""
        labelled = subject.pool.labelled(subject.labels, subject.config.question.coding)
        tuning = self._tuning(subject, labelled)
        return Trained(train(labelled, subject.pool.features.choices(), tuning), tuning)

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
            found = tune(labelled, pool.features.choices(), settings.features, settings.seed)
            known = self._tunings[subject.key] = (because, found)
            log.info("project %s: features: %s", subject.key, found.sentence())
        return known[1]


def fit_beside(subject: Subject, tuning: Tuning | None) -> Callable[[Matrix, Array], Learned]:
    """How models beside the published one are trained: in the same way."""
    choices = subject.pool.features.choices()
    return fit_as(choices, tuning or Tuning(next(iter(choices))), subject.config.question.coding)
