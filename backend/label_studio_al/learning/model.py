"""What a version knows: features, a classifier for each question, and how it ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.coding import Learned
from label_studio_al.learning.features import Features
from label_studio_al.learning.learner import Tuning
from label_studio_al.learning.strategies import MEASURES, most_informative
from label_studio_al.learning.types import Array


@dataclass(frozen=True)
class Trained:
    """A classifier of one question. tuning: what was decided before it was trained."""

    classifier: Learned
    tuning: Tuning


@dataclass(frozen=True)
class QuestionModel:
    """What a version knows of one question."""

    features: Features
    classifier: Learned
    tuning: Tuning

    def believe(self, texts: Sequence[str]) -> Beliefs:
        """What it says of texts."""
        return self.classifier.believe(self.features.transform(texts))


@dataclass(frozen=True)
class Model:
    """Trained classifiers by question, of those that could be trained; one at least.

    ranked_by: the measure that makes its informativeness, or another order's name. steering: the questions that make
    it.
    """

    features: Features
    trained: Mapping[str, Trained]
    ranked_by: str
    steering: Sequence[str]

    def believe(self, texts: Sequence[str]) -> dict[str, Beliefs]:
        """What it says of texts, by question."""
        rows = self.features.transform(texts)
        return {name: one.classifier.believe(rows) for name, one in self.trained.items()}

    def of(self, name: str) -> QuestionModel:
        """Of one question that has a classifier."""
        return QuestionModel(self.features, self.trained[name].classifier, self.trained[name].tuning)

    def informativeness(self, beliefs: Mapping[str, Beliefs]) -> Array | None:
        """Of each task, high = ask first; None if the order does not follow from probabilities."""
        measure = MEASURES.get(self.ranked_by)
        found = [beliefs[name] for name in self.steering if name in beliefs]
        return None if measure is None or not found else most_informative([one.measured(measure) for one in found])
