"""Labels in an order: whole numbers, of which near ones are more alike than far ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.linalg import cholesky

from label_studio_al.learning.coding import Learned, OneLabel
from label_studio_al.learning.evaluation import N_RESAMPLES, Estimate, Evaluation, Outcome, evaluate
from label_studio_al.learning.related import fit_related
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.types import Array

# Measured on ratings of products and on diabetes scores in five classes: lower mean absolute error than independent
# classes everywhere, and no lower accuracy from 200 labels on. Thresholds between the classes ("above 3?") have a lower
# error where one class prevails, but hardly answer the classes in the middle where the classes are even.
REACH = 2.0
OWN_SHARE = 0.1


class OrderedLabels(OneLabel):
    """An answer is one whole number, as text."""

    metrics = (*OneLabel.metrics, "mean_absolute_error", "quadratic_kappa")

    def fit(
        self, X: Matrix, y: Array, allowed: Array | None, temperature: float, thresholds: Mapping[str, float]
    ) -> Learned:
        """As of the contract: what a label teaches holds for its neighbours, too."""
        return fit_related(X, y, _in_order, allowed, temperature)

    def scores(self, truth: Array, predicted: Array) -> dict[str, float]:
        """As of the contract. Where all is one label, the kappa is 0: agreement by chance."""
        error, kappa = _agreement(np.ones((1, len(truth))), _values(truth), _values(predicted))
        return super().scores(truth, predicted) | {
            "mean_absolute_error": float(error[0]),
            "quadratic_kappa": float(kappa[0]),
        }


ORDERED = OrderedLabels()


def _in_order(classes: Array) -> Array:
    return np.asarray(cholesky(neighbours(classes), lower=True))


def neighbours(classes: Array) -> Array:
    """How the weights of the classes go together: the more, the nearer they are; as much in all as independent ones.

    Source: Rasmussen and Williams 2006, section 4.2 (squared exponential). Returns shape (n_classes, n_classes).
    """
    values = _values(classes)
    alike = np.exp(-0.5 * ((values[:, None] - values) / REACH) ** 2)
    covariance = (1 - OWN_SHARE) * alike + OWN_SHARE * np.eye(len(values))
    # What all classes have in common changes no probability.
    apart = np.trace(covariance) - covariance.mean() * len(values)
    return np.asarray(covariance * ((len(values) - 1) / apart))


@dataclass(frozen=True)
class OrderedEvaluation(Evaluation):
    """As for one label. mean_absolute_error: in steps of the scale. quadratic_kappa: 1 = the same, 0 = by chance."""

    mean_absolute_error: Estimate | None
    quadratic_kappa: Estimate | None


def evaluate_ordered(outcomes: Sequence[Outcome], labels: Sequence[str], seed: int = 0) -> OrderedEvaluation:
    """The quality of predicted numbers. labels: the project's, then any other that occurs."""
    found = evaluate(outcomes, labels, seed)
    error, kappa = _estimates(outcomes, seed) if outcomes else (None, None)
    plain = {field.name: getattr(found, field.name) for field in fields(found)}
    return OrderedEvaluation(**plain, mean_absolute_error=error, quadratic_kappa=kappa)


def _estimates(outcomes: Sequence[Outcome], seed: int) -> tuple[Estimate, Estimate]:
    """Both measures with the percentiles of a Bayesian bootstrap over the outcomes and one more, half of it right.

    The other half is off by one. Without it, 20 right answers would mean no error for sure. Measured with five labels:
    from 20 outcomes on, the interval of the error holds the truth in 86 to 98 % of cases; that of kappa in 71 to 98 %,
    from 200 on in 85 to 96 %. Source: Rubin 1981; Cohen 1968 (weighted kappa).
    """
    cells = sorted(Counter((one.label, one.predicted) for one in outcomes).items())
    truth, predicted = (_values(np.array(labels)) for labels in zip(*(cell for cell, _ in cells), strict=True))
    counts = np.array([count for _, count in cells], dtype=float)
    found = _agreement(counts[None], truth, predicted)
    right, off = _unseen(truth, counts)
    # Gamma weights are Dirichlet weights but for their sum, which both measures cancel.
    shape = np.append(counts, [0.5, 0.5])
    weights = np.random.default_rng(seed).standard_gamma(shape, size=(N_RESAMPLES, len(shape)))
    resampled = _agreement(weights, np.append(truth, [right, right]), np.append(predicted, [right, off]))
    error, kappa = (
        Estimate(float(value[0]), *_around(float(value[0]), np.percentile(sample, [2.5, 97.5])))
        for value, sample in zip(found, resampled, strict=True)
    )
    return error, kappa


def _unseen(truth: Array, counts: Array) -> tuple[float, float]:
    """The most frequent truth, and a number beside it."""
    values, places = np.unique(truth, return_inverse=True)
    most = values[np.bincount(places, counts).argmax()]
    return float(most), float(most + 1 if most == values[0] else most - 1)


def _around(value: float, interval: Array) -> tuple[float, float]:
    return min(float(interval[0]), value), max(float(interval[1]), value)


def _agreement(weights: Array, truth: Array, predicted: Array) -> tuple[Array, Array]:
    """Mean absolute error, and kappa with quadratic weights. weights: shape (n_draws, n). Each of shape (n_draws,)."""
    weights = weights / weights.sum(axis=1, keepdims=True)
    error, squared = weights @ np.abs(truth - predicted), weights @ (truth - predicted) ** 2
    by_chance = weights @ (truth**2 + predicted**2) - 2 * (weights @ truth) * (weights @ predicted)
    kappa = 1 - np.divide(squared, by_chance, out=np.ones_like(squared), where=by_chance > 1e-12)
    return error, kappa


def _values(labels: Array) -> Array:
    return np.asarray(labels, dtype=str).astype(float)
