"""The built-in learner of spans: a conditional random field on the tokens of texts."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from label_studio_al.learners.base import Fit
from label_studio_al.learning.coding import Coding
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.learner import Tuning
from label_studio_al.learning.types import Array

TOKENS = "tokens"


class Spans:
    """As of the contract; there is nothing to be decided before it trains."""

    name = "spans"
    trains = True
    refits = True

    def serves(self, coding: Coding) -> bool:
        """Where answers mark spans."""
        return coding.marks is not None

    def missing(self, answers: Collection[str]) -> str | None:
        """As of Linear: then one of them has a span."""
        return None if len(set(answers)) > 1 else "texts with different spans"

    def tune(self, labelled: Labelled, choices: Mapping[str, Array], wanted: str, seed: int) -> Tuning:
        """Words, their neighbours, and how the pool uses them."""
        return Tuning(TOKENS)

    def fitting(self, choices: Mapping[str, Array], tuning: Tuning, coding: Coding) -> Fit:
        """As of the contract."""
        return lambda X, y: coding.fit(X, y, None, tuning.temperature, tuning.thresholds)
