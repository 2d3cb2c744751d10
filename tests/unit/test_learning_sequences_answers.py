"""What is made of answers that mark spans."""

from __future__ import annotations

import time

import numpy as np
import pytest

from label_studio_al.learning.contradictions import Suspect
from label_studio_al.learning.sequences.answers import SpanAnswers
from label_studio_al.learning.sequences.beliefs import SpanBeliefs
from label_studio_al.learning.spans import answer_of


def beliefs(answer: str, *parts: float) -> SpanBeliefs:
    return SpanBeliefs.of([answer], [parts], np.zeros(1), np.ones(1))


def test_suspect_has_the_span_that_is_missing_in_place_of_those_that_it_overlaps() -> None:
    said, models = answer_of([(0, 3, "PER"), (4, 9, "LOC")]), answer_of([(0, 3, "PER"), (4, 12, "PER")])
    (suspect,) = SpanAnswers("text").contradicted(np.array([said]), beliefs(models, 1.0, 0.97), np.array([]))
    assert suspect == Suspect(0, said, models, 0.97, pytest.approx(0.03))


def test_text_with_thousands_of_spans_is_compared_at_once() -> None:
    spans = [(n, n + 1, "PER") for n in range(20_000)]
    begin = time.process_time()
    found = SpanAnswers("text").contradicted(
        np.array([answer_of(spans)]), beliefs(answer_of(spans), *[1.0] * len(spans)), np.array([])
    )
    assert found == []
    assert time.process_time() - begin < 2
