"""The built-in learner: logistic regression on rows of features, for all answers that are made of decisions."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from label_studio_al.learners.base import Fit
from label_studio_al.learning.coding import Coding
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.learner import Tuning, fit_as, tune
from label_studio_al.learning.types import Array


class Linear:
    """As of the contract; what it decides is decided by cross-validation."""

    name = "linear"
    trains = True
    refits = True

    def serves(self, coding: Coding) -> bool:
        """Where decisions are made on whole tasks."""
        return coding.marks is None

    def missing(self, answers: Collection[str]) -> str | None:
        """A second answer, where all are the same."""
        return None if len(set(answers)) > 1 else "tasks of two different answers"

    def tune(self, labelled: Labelled, choices: Mapping[str, Array], wanted: str, seed: int) -> Tuning:
        """As of the contract."""
        return tune(labelled, choices, wanted, seed)

    def fitting(self, choices: Mapping[str, Array], tuning: Tuning, coding: Coding) -> Fit:
        """As of the contract."""
        return fit_as(choices, tuning, coding)
