"""A linear classifier of label sets: a logistic regression for each label, all fitted together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.classifier import REGULARISATION_C, Linear, active_columns
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest

MAX_ITERATIONS = 300
# Of the largest gradient; scikit-learn's logistic regression is stopped at the same.
TOLERANCE = 1e-3
ABSENT_PRESENT = np.array([False, True])


@dataclass(frozen=True)
class SetClassifier(Linear):
    """A logistic regression for each label, kept as the weights of the columns that occurred in training.

    classes: shape (n_labels,), label names, sorted. thresholds: shape (n_labels,), in (0, 1), from which probability on
    a text has the label.
    """

    thresholds: Array

    def decisions(self, X: Matrix) -> Array:
        """As of logistic functions. Returns shape (n, n_labels)."""
        return self.sums(X)

    def believe(self, X: Matrix) -> Beliefs:
        """A decision for each label: whether a text has it."""
        present = self.outputs(X, lambda sums: expit((sums + self.intercept) / self.temperature))
        proba = np.stack([1 - present, present], axis=2)
        return Beliefs(proba, ABSENT_PRESENT, self.classes, self.thresholds)


def fit_sets(X: Matrix, has: Array, classes: Array, allowed: Array | None = None) -> SetClassifier:
    """Fit on labelled rows. has: shape (n_examples, n_labels), 0 or 1. allowed: as of `fit_classifier`. Deterministic.

    All labels share one search (L-BFGS): a step costs one product with the rows, not one a label. A label that all
    examples have, or none, is as probable everywhere as its smoothed share. Raises InvalidRequest where that is so of
    every label.
    """
    n_positive, n = has.sum(axis=0, dtype=int), len(has)
    is_learned = (n_positive > 0) & (n_positive < n)
    if not is_learned.any():
        raise InvalidRequest("need a label that some texts have and others have not, to train")
    columns, design = active_columns(X, allowed)
    weights = np.zeros((len(columns), len(classes)))
    intercept = np.log((n_positive + 0.5) / (n - n_positive + 0.5))
    weights[:, is_learned], intercept[is_learned] = _fit_together(design, has[:, is_learned])
    return SetClassifier(
        classes=classes,
        columns=columns,
        weights=weights.astype(np.float32),
        intercept=intercept,
        n_features=X.shape[1],
        temperature=1.0,
        thresholds=np.full(len(classes), 0.5),
    )


def _fit_together(design: Any, has: Array) -> tuple[Array, Array]:
    """Weights, shape (n_columns, n_labels), and intercepts, of L2-regularised logistic regressions."""
    # Not at the top: it weighs 20 MB, and who only predicts does without.
    from scipy.optimize import minimize

    (n, n_columns), n_labels = design.shape, has.shape[1]
    truth, signs = has.astype(np.float64), np.where(has, -1.0, 1.0)
    transposed = design.T.tocsr() if hasattr(design, "tocsr") else design.T

    def loss(flat: Array) -> tuple[float, Array]:
        both = flat.reshape(n_columns + 1, n_labels)
        weights, intercept = both[:-1], both[-1]
        sums = np.asarray(design @ weights) + intercept
        value = np.logaddexp(0.0, signs * sums).sum() + (weights**2).sum() / (2 * REGULARISATION_C)
        pulls = expit(sums) - truth
        gradient = np.vstack([np.asarray(transposed @ pulls) + weights / REGULARISATION_C, pulls.sum(axis=0)])
        return float(value), gradient.ravel()

    start = np.zeros((n_columns + 1, n_labels))
    found = minimize(
        loss,
        start.ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_ITERATIONS, "gtol": TOLERANCE * n, "ftol": 64 * np.finfo(float).eps},
    )
    both = found.x.reshape(n_columns + 1, n_labels)
    return both[:-1], both[-1]
