"""F1 of spans beside a second implementation: nervaluate's strict scheme."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_al.learning.sequences.evaluation import span_scores
from label_studio_al.learning.spans import Span, answer_of

# It has no release for Python 3.10.
nervaluate = pytest.importorskip("nervaluate")

LABELS = ["LOC", "ORG", "PER"]
N_CHARACTERS = 30


@st.composite
def answers(draw: st.DrawFn) -> list[Span]:
    """Spans of one text that do not overlap."""
    ends = sorted(draw(st.sets(st.integers(0, N_CHARACTERS), max_size=8)))
    pairs = list(zip(ends[::2], ends[1::2], strict=False))
    return [(start, end, draw(st.sampled_from(LABELS))) for start, end in pairs]


pairs = st.lists(st.tuples(answers(), answers()), min_size=1, max_size=6)


def entities(spans: list[Span]) -> list[dict[str, object]]:
    """As nervaluate takes them; its ends are inclusive."""
    return [{"label": label, "start": start, "end": end - 1} for start, end, label in spans]


@given(pairs)
def test_f1_of_spans_is_that_of_nervaluate(texts: list[tuple[list[Span], list[Span]]]) -> None:
    truth, predicted = ([pair[side] for pair in texts] for side in (0, 1))
    if not any(truth) and not any(predicted):
        return
    evaluator = nervaluate.Evaluator([*map(entities, truth)], [*map(entities, predicted)], tags=LABELS, loader="dict")
    strict = evaluator.evaluate()["overall"]["strict"]
    ours = span_scores(np.array([*map(answer_of, truth)]), np.array([*map(answer_of, predicted)]))
    np.testing.assert_allclose(ours["micro_f1"], strict.f1, atol=1e-12)
