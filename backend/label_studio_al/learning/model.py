"""What a version knows: features, a classifier for each question, and how it ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.coding import Learned
from label_studio_al.learning.deferred import DeferredRows, Vectors
from label_studio_al.learning.draws import text_hashes
from label_studio_al.learning.features import Features, TextRows
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
    vectors: Sequence[Vectors] = ()

    def believe(self, texts: Sequence[str]) -> Beliefs:
        """What it says of texts that it knows all about."""
        return self.classifier.believe(_rows(self.features, texts, self.vectors))

    def knows(self, texts: Sequence[str]) -> Array:
        """Of which texts it knows all that it looks at. Returns shape (n_texts,), bool."""
        return _knows(self.features, texts, self.vectors)


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
    vectors: Sequence[Vectors] = ()

    def knows(self, texts: Sequence[str]) -> Array:
        """Of which texts it knows all that it looks at: embeddings may not be there yet. Shape (n_texts,), bool."""
        return _knows(self.features, texts, self.vectors)

    def believe(self, texts: Sequence[str]) -> dict[str, Beliefs]:
        """What it says of texts that it knows all about, by question."""
        rows = _rows(self.features, texts, self.vectors)
        return {name: one.classifier.believe(rows) for name, one in self.trained.items()}

    def of(self, name: str) -> QuestionModel:
        """Of one question that has a classifier."""
        one = self.trained[name]
        return QuestionModel(self.features, one.classifier, one.tuning, self.vectors)

    def informativeness(self, beliefs: Mapping[str, Beliefs]) -> Array | None:
        """Of each task, high = ask first; None if the order does not follow from probabilities."""
        measure = MEASURES.get(self.ranked_by)
        found = [beliefs[name] for name in self.steering if name in beliefs]
        return None if measure is None or not found else most_informative([one.measured(measure) for one in found])


def _rows(features: Features, texts: Sequence[str], vectors: Sequence[Vectors]) -> TextRows:
    return features.filled_in(features.transform(texts), texts, vectors)


def _knows(features: Features, texts: Sequence[str], vectors: Sequence[Vectors]) -> Array:
    if not features.deferred:
        return np.ones(len(texts), dtype=bool)
    if not vectors:
        return np.zeros(len(texts), dtype=bool)
    return DeferredRows.of(features.deferred, text_hashes(texts), vectors).is_there
