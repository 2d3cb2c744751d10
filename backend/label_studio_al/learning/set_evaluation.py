"""How good predicted label sets are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
    micro, macro = _f1(has, said, seed) if outcomes else (None, None)
    return SetEvaluation(
        n=len(outcomes),
        accuracy=proportion(n_correct, len(outcomes)) if outcomes else None,
        macro_f1=macro,
        labels=qualities(names, found.tolist(), has, said),
        confusions=_confusions(outcomes, coding),
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


def _confusions(outcomes: Sequence[Outcome], coding: LabelSets) -> tuple[Confusion, ...]:
    counts = Counter[tuple[str, str]]()
    for outcome in outcomes:
        counts.update(coding.confused(outcome.label, outcome.predicted))
    found = [Confusion(*pair, count) for pair, count in counts.items()]
    return tuple(sorted(found, key=lambda one: (-one.count, one.true, one.predicted)))


def _f1(has: Array, said: Array, seed: int) -> tuple[Estimate, Estimate]:
    """Micro- and macro-F1 with the percentiles of a Bayesian bootstrap over the answers. Source: Rubin 1981.

    Empty sets that are predicted as empty count for neither. Without any label in truth and prediction both are 1.
    """
    hits, occurrences = (has & said).astype(float), has.astype(float) + said.astype(float)

    def scores(weights: Array) -> tuple[Array, Array]:
        n_hits, n_all = 2 * (weights @ hits), weights @ occurrences
        shares = np.divide(n_hits, n_all, out=np.ones_like(n_hits), where=n_all > 0)
        total = n_all.sum(axis=-1)
        micro = np.divide(n_hits.sum(axis=-1), total, out=np.ones_like(total), where=total > 0)
        return micro, shares.mean(axis=-1) if shares.shape[-1] else np.ones_like(micro)

    values = scores(np.ones((1, len(has))))
    resampled = scores(np.random.default_rng(seed).standard_gamma(1.0, size=(N_RESAMPLES, len(has))))
    micro, macro = (
        _estimate(float(value[0]), np.percentile(sample, [2.5, 97.5]))
        for value, sample in zip(values, resampled, strict=True)
    )
    return micro, macro


def _estimate(value: float, interval: Array) -> Estimate:
    return Estimate(value, min(float(interval[0]), value), max(float(interval[1]), value))
