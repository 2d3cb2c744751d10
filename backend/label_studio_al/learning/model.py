"""What a version knows: features, a classifier, and how it ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.coding import Learned
from label_studio_al.learning.features import Features
from label_studio_al.learning.learner import Tuning
from label_studio_al.learning.strategies import MEASURES, gathered
from label_studio_al.learning.types import Array


@dataclass(frozen=True)
class Model:
    """A trained model. `ranked_by`: the measure that makes its informativeness, or another order's name.

    tuning: what was decided before it was trained.
    """

    features: Features
    classifier: Learned
    ranked_by: str
    tuning: Tuning

    def believe(self, texts: Sequence[str]) -> Beliefs:
        """What it says of texts."""
        return self.classifier.believe(self.features.transform(texts))

    def informativeness(self, beliefs: Beliefs) -> Array | None:
        """Of each task, high = ask first; None if the order does not follow from probabilities."""
        measure = MEASURES.get(self.ranked_by)
        return None if measure is None else gathered(measure, beliefs)
