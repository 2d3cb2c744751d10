"""How good predicted label sets are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from label_studio_al.learning.coding import LABEL_SETS, LabelSets
from label_studio_al.learning.evaluation import (
    CALIBRATION_OUTCOMES,
    N_RESAMPLES,
    Confusion,
    Estimate,
    Evaluation,
    LabelQuality,
    Outcome,
    calibration_error,
    proportion,
)
from label_studio_al.learning.types import Array


@dataclass(frozen=True)
class SetEvaluation(Evaluation):
    """As for one label; accuracy is the share of answers that are exactly right.

    confusions: one label was missed where another one was predicted in vain.
    """

    micro_f1: Estimate | None


def evaluate_sets(
    outcomes: Sequence[Outcome], labels: Sequence[str], seed: int = 0, coding: LabelSets = LABEL_SETS
) -> SetEvaluation:
    """The quality of predicted label sets. labels: the project's label names, then any other that occurs."""
    truth = np.array([outcome.label for outcome in outcomes], dtype=str)
    predicted = np.array([outcome.predicted for outcome in outcomes], dtype=str)
    found = coding.classes(np.concatenate([truth, predicted]))
    has, said = (coding.encode(y, found).astype(bool) for y in (truth, predicted))
    names = list(dict.fromkeys([*labels, *found.tolist()]))
    n_correct = sum(outcome.is_correct for outcome in outcomes)
    hits, occurrences = (has & said).astype(float), has.astype(float) + said.astype(float)
    micro, macro = f1_estimates(hits, occurrences, seed) if outcomes else (None, None)
    return SetEvaluation(
        n=len(outcomes),
        accuracy=proportion(n_correct, len(outcomes)) if outcomes else None,
        macro_f1=macro,
        labels=qualities(names, found.tolist(), has, said),
        confusions=confusions(outcomes, coding.confused),
        calibration_error=calibration_error(outcomes) if len(outcomes) >= CALIBRATION_OUTCOMES else None,
        micro_f1=micro,
    )


def qualities(names: Sequence[str], found: Sequence[str], has: Array, said: Array) -> tuple[LabelQuality, ...]:
    """How well labels are found. has, said: shape (n_answers, n_labels), bool, of the labels that were found."""
    place_of = {name: place for place, name in enumerate(found)}
    return tuple(
        _quality(name, has[:, place_of[name]], said[:, place_of[name]])
        if name in place_of
        else LabelQuality(name, 0, 0, None, None)
        for name in names
    )


def _quality(name: str, true: Array, predicted: Array) -> LabelQuality:
    hits, n_true, n_predicted = int((true & predicted).sum()), int(true.sum()), int(predicted.sum())
    return LabelQuality(
        label=name,
        n_true=n_true,
        n_predicted=n_predicted,
        precision=hits / n_predicted if n_predicted else None,
        recall=hits / n_true if n_true else None,
    )


def confusions(
    outcomes: Sequence[Outcome], confused: Callable[[str, str], list[tuple[str, str]]]
) -> tuple[Confusion, ...]:
    """Which labels were taken for which, most frequent first. confused: see `Coding.confused`."""
    counts = Counter[tuple[str, str]]()
    for outcome in outcomes:
        counts.update(confused(outcome.label, outcome.predicted))
    found = [Confusion(*pair, count) for pair, count in counts.items()]
    return tuple(sorted(found, key=lambda one: (-one.count, one.true, one.predicted)))


def f1_estimates(hits: Array, occurrences: Array, seed: int) -> tuple[Estimate, Estimate]:
    """Micro- and macro-F1 with the percentiles of a Bayesian bootstrap over the answers and one more, half of it right.

    hits, occurrences: shape (n_answers, n_labels), how often a label is predicted rightly, and how often it is true
    plus how often it is predicted.

    Without it, 7 right answers would mean no error for sure. It has as many labels as an answer has on average, for
    macro-F1 as much of every label. Measured with 3, 10 and 25 labels, from 7 answers on: the interval of micro-F1
    holds the truth in 91 to 99 % of cases; that of macro-F1 in 87 to 98 % with 3 labels, 79 to 97 % with 10, 74 to
    100 % with 25, of which few answers hold only some. Source: Rubin 1981.

    Empty sets that are predicted as empty count for neither. Without any label in truth and prediction both are 1.
    """
    size = max(1.0, float(occurrences.sum()) / len(hits))

    def scores(weights: Array, unseen: Array) -> tuple[Array, Array]:
        n_hits, n_all, n_right, n_more = 2 * (weights @ hits), weights @ occurrences, unseen[:, 0], unseen.sum(axis=1)
        micro = _shares(n_hits.sum(axis=1) + size * n_right, n_all.sum(axis=1) + size * n_more)
        shares = _shares(n_hits + n_right[:, None], n_all + n_more[:, None])
        return micro, shares.mean(axis=1) if shares.shape[1] else micro

    random = np.random.default_rng(seed)
    values = scores(np.ones((1, len(hits))), np.zeros((1, 2)))
    resampled = scores(
        random.standard_gamma(1.0, size=(N_RESAMPLES, len(hits))), random.standard_gamma(0.5, size=(N_RESAMPLES, 2))
    )
    micro, macro = (
        _estimate(float(value[0]), np.percentile(sample, [2.5, 97.5]))
        for value, sample in zip(values, resampled, strict=True)
    )
    return micro, macro


def _shares(hits: Array, of: Array) -> Array:
    return np.divide(hits, of, out=np.ones_like(hits), where=of > 0)


def _estimate(value: float, interval: Array) -> Estimate:
    return Estimate(value, min(float(interval[0]), value), max(float(interval[1]), value))
