"""Answers that mark spans: what models make of them, and what becomes of models' spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.coding import METRICS, Coding, Learned
from label_studio_al.learning.contradictions import PROBABILITY, Suspect
from label_studio_al.learning.predictions import Predictions
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.sequences.beliefs import SpanBeliefs
from label_studio_al.learning.sequences.classifier import fit_spans
from label_studio_al.learning.sequences.evaluation import span_scores
from label_studio_al.learning.spans import answer_of, confused, overlap, scored, spans_of
from label_studio_al.learning.types import Array


@dataclass(frozen=True)
class SpanAnswers:
    """An answer marks spans of a text, perhaps none. marks: the object whose text it is."""

    marks: str
    has_one_class = False
    of_sides = False
    metrics: tuple[str, ...] = METRICS

    def settled(self, y: Iterable[str]) -> Coding:
        """Itself."""
        return self

    def classes(self, y: Array) -> Array:
        """As of the contract."""
        return np.array(sorted({label for answer in set(y.tolist()) for _, _, label in spans_of(answer)}), dtype=str)

    def counts(self, y: Iterable[str]) -> Counter[str]:
        """As of the contract."""
        return Counter(label for answer in y for label in {label for _, _, label in spans_of(answer)})

    def group(self, name: str) -> str:
        """Itself."""
        return name

    def renamed(self, answer: str, names: Mapping[str, str]) -> str:
        """As of the contract."""
        return answer_of((start, end, names[label]) for start, end, label in spans_of(answer))

    def within(self, answer: str, classes: Container[str]) -> str | None:
        """As of the contract: an answer without spans stays what it is."""
        spans = spans_of(answer)
        known = [span for span in spans if span[2] in classes]
        return answer_of(known) if known or not spans else None

    def confused(self, truth: str, predicted: str) -> list[tuple[str, str]]:
        """As of the contract."""
        return confused(truth, predicted)

    def aligned(self, beliefs: Beliefs, classes: Array) -> Beliefs:
        """As they are."""
        return beliefs

    def sure(self, answer: str, n: int, classes: Array) -> Beliefs:
        """As of the contract."""
        parts = (1.0,) * len(spans_of(answer))
        return SpanBeliefs.of([answer] * n, [parts] * n, np.zeros(n), np.ones(n))

    def contradicted(self, y: Array, beliefs: Beliefs, classes: Array) -> list[Suspect]:
        """Spans that models are sure of and people did not mark, or with another label."""
        assert isinstance(beliefs, SpanBeliefs)
        found = []
        models = zip(y.tolist(), beliefs.answers, beliefs.parts, strict=True)
        for example, (answer, predicted, parts) in enumerate(models):
            said = spans_of(answer)
            known = set(said)
            sure = [(share, span) for span, share in zip(spans_of(predicted), parts, strict=True) if span not in known]
            if sure and max(sure)[0] >= PROBABILITY[1]:
                share, span = max(sure)
                other = answer_of([span, *(one for one in said if not overlap(one, span))])
                found.append(Suspect(example, answer, other, share, 1 - share))
        return sorted(found, key=lambda one: -one.probability)

    def strata(self, y: Array) -> Array:
        """The rarest label of each answer, so that each fold gets its share of it; "" of one without spans."""
        counts = self.counts(y.tolist())
        labels = ({label for _, _, label in spans_of(answer)} for answer in y.tolist())
        return np.array([min(own, key=lambda one: (counts[one], one)) if own else "" for own in labels], dtype=str)

    def fit(
        self, X: Matrix, y: Array, allowed: Array | None, temperature: float, thresholds: Mapping[str, float]
    ) -> Learned:
        """As of the contract, from the tokens of the texts."""
        return fit_spans(X, self.marks, y)

    def decide(self, beliefs: Beliefs) -> Predictions:
        """The most probable spans."""
        assert isinstance(beliefs, SpanBeliefs)
        return Predictions(beliefs.answers, np.clip(beliefs.proba[:, 0, 1], 0.0, 1.0))

    def scored(self, beliefs: Beliefs) -> list[tuple[str, float]]:
        """As `decide`, with how probable each span is in the answers (see learning.spans.scored)."""
        assert isinstance(beliefs, SpanBeliefs)
        said = self.decide(beliefs).pairs()
        return [(scored(answer, parts), share) for (answer, share), parts in zip(said, beliefs.parts, strict=True)]

    def scores(self, truth: Array, predicted: Array) -> dict[str, float]:
        """The share of texts whose spans are exactly right, and F1 of exact spans."""
        return span_scores(truth, predicted)
