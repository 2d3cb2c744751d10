"""How good predicted spans are: a span is right if its start, its end and its label are.

Source: Tjong Kim Sang and De Meulder 2003.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from label_studio_al.learning.evaluation import (
    CALIBRATION_OUTCOMES,
    LabelQuality,
    Outcome,
    calibration_error,
    proportion,
)
from label_studio_al.learning.set_evaluation import SetEvaluation, confusions, f1_estimates
from label_studio_al.learning.spans import confused, spans_of
from label_studio_al.learning.types import Array


class _Counts(NamedTuple):
    """Spans of each label in each text. All of shape (n_texts, n_labels), of the sorted labels `names`."""

    names: list[str]
    hits: Array
    true: Array
    predicted: Array


def evaluate_spans(outcomes: Sequence[Outcome], labels: Sequence[str], seed: int = 0) -> SetEvaluation:
    """The quality of predicted spans. labels: the project's label names, then any other that occurs.

    accuracy is the share of texts whose spans are exactly right; F1, precision and recall are of spans. Without any
    span in truth and prediction F1 is 1.
    """
    counts = _counted((outcome.label, outcome.predicted) for outcome in outcomes)
    micro, macro = f1_estimates(counts.hits, counts.true + counts.predicted, seed) if outcomes else (None, None)
    n_correct = sum(outcome.is_correct for outcome in outcomes)
    names = dict.fromkeys([*labels, *counts.names])
    return SetEvaluation(
        n=len(outcomes),
        accuracy=proportion(n_correct, len(outcomes)) if outcomes else None,
        macro_f1=macro,
        labels=tuple(_quality(name, counts) for name in names),
        confusions=confusions(outcomes, confused),
        calibration_error=calibration_error(outcomes) if len(outcomes) >= CALIBRATION_OUTCOMES else None,
        micro_f1=micro,
    )


def span_scores(truth: Array, predicted: Array) -> dict[str, float]:
    """The share of texts whose spans are exactly right, and F1 of spans. Both of shape (n_texts,), answers."""
    counts = _counted(zip(truth.tolist(), predicted.tolist(), strict=True))
    hits, all_ = counts.hits.sum(axis=0), (counts.true + counts.predicted).sum(axis=0)
    return {
        "accuracy": float((truth == predicted).mean()),
        "macro_f1": float((2 * hits / all_).mean()) if len(all_) else 1.0,
        "micro_f1": float(2 * hits.sum() / all_.sum()) if len(all_) else 1.0,
    }


def _counted(pairs: Iterable[tuple[str, str]]) -> _Counts:
    """pairs: what is true of each text, and what was predicted."""
    found = [(set(spans_of(truth)), set(spans_of(predicted))) for truth, predicted in pairs]
    names = sorted({span[2] for pair in found for spans in pair for span in spans})
    place_of = {name: place for place, name in enumerate(names)}
    counts = np.zeros((3, len(found), len(names)))
    for row, (true, predicted) in enumerate(found):
        for kind, spans in enumerate((true & predicted, true, predicted)):
            for label, n in Counter(span[2] for span in spans).items():
                counts[kind, row, place_of[label]] = n
    return _Counts(names, *counts)


def _quality(name: str, counts: _Counts) -> LabelQuality:
    if name not in counts.names:
        return LabelQuality(name, 0, 0, None, None)
    place = counts.names.index(name)
    hits, n_true, n_predicted = (int(one[:, place].sum()) for one in (counts.hits, counts.true, counts.predicted))
    precision, recall = hits / n_predicted if n_predicted else None, hits / n_true if n_true else None
    return LabelQuality(name, n_true, n_predicted, precision, recall)
