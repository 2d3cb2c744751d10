"""A trained model of spans, as strategies and measuring take it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np

from label_studio_al.learning.beliefs import Measure
from label_studio_al.learning.rows import Matrix, Rows
from label_studio_al.learning.sequences.beliefs import SpanBeliefs
from label_studio_al.learning.sequences.model import SpanModel, fit
from label_studio_al.learning.sequences.rows import Sequences
from label_studio_al.learning.sequences.spans import Span
from label_studio_al.learning.spans import answer_of, spans_of
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest


@dataclass(frozen=True)
class SpanClassifier:
    """Marks spans in the text of an object. marks: its name."""

    marks: str
    model: SpanModel

    @property
    def classes(self) -> Array:
        """The labels that it knows, sorted."""
        return np.array(self.model.labels, dtype=str)

    def decisions(self, X: Matrix) -> Array:
        """Log-odds of each text's spans being exactly right. Returns shape (n_tasks, 1)."""
        confidence = np.clip(np.exp(self.model.confidence(sequences_of(X, self.marks))), 1e-9, 1 - 1e-9)
        return np.asarray(np.log(confidence / (1 - confidence)))[:, None]

    def believe(self, X: Matrix) -> SpanBeliefs:
        """The most probable spans of each text."""
        found = self.model.read(sequences_of(X, self.marks))
        spans = found.spans(self.model.labels)
        # In reading order, which is that of an answer's spans.
        probabilities = iter(np.minimum(found.probabilities, 1.0).tolist())
        parts = [tuple(islice(probabilities, len(own))) for own in spans]
        return SpanBeliefs.of(list(map(answer_of, spans)), parts, found.confidence, found.n_tokens)

    def measured(self, X: Matrix, measure: Measure) -> Array:
        """As of the contract."""
        sequences = sequences_of(X, self.marks)
        units, logs = sequences.units, self.model.confidence(sequences)
        nothing: list[tuple[float, ...]] = [()] * len(logs)
        return SpanBeliefs.of([""] * len(logs), nothing, logs, units.by_text(units.lengths)).measured(measure)


def fit_spans(X: Matrix, marks: str, y: Array) -> SpanClassifier:
    """A model of answers that mark spans. Raises InvalidRequest where none does."""
    answers = [[Span(*span) for span in spans_of(answer)] for answer in y.tolist()]
    labels = sorted({span.label for spans in answers for span in spans})
    if not labels:
        raise InvalidRequest("a model of spans needs a text with a span, and has none")
    return SpanClassifier(marks, fit(sequences_of(X, marks), answers, labels)[0])


def sequences_of(X: Matrix, marks: str) -> Sequences:
    """The tokens of an object's texts. Raises InvalidRequest where rows have none."""
    found = X.sequences.get(marks) if isinstance(X, Rows) else None
    if found is None:
        raise InvalidRequest(f"tasks must have the text of {marks!r}, in which spans are marked")
    return found  # type: ignore[no-any-return]
