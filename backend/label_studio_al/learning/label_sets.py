"""A linear classifier of label sets: a logistic regression for each label, on shared rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from label_studio_al.learning.beliefs import Beliefs, Measure
from label_studio_al.learning.classifier import REGULARISATION_C, Linear, active_views, balanced
from label_studio_al.learning.logistic import Problem, fit_together
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest

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
        # Not stacked, which would hold all of it twice.
        proba = np.empty((*present.shape, 2))
        proba[:, :, 1] = present
        np.subtract(1, present, out=proba[:, :, 0])
        return Beliefs(proba, ABSENT_PRESENT, self.classes, self.thresholds)

    def value(self, sums: Array, measure: Measure) -> Array:
        """Only the label that is closest to its threshold is measured."""
        sums += self._shift
        closest = np.abs(sums, out=sums).min(axis=1).astype(np.float64)
        improbable = expit(-closest / self.temperature)
        return measure(np.column_stack([1 - improbable, improbable]))

    @property
    def _shift(self) -> Array:
        """What makes a sum 0 where a label is at its threshold. Returns shape (n_labels,), float32."""
        return np.asarray(self.intercept - self.temperature * logit(self.thresholds), dtype=np.float32)


def fit_sets(X: Matrix, has: Array, classes: Array, allowed: Array | None = None) -> SetClassifier:
    """Fit on labelled rows. has: shape (n_examples, n_labels), 0 or 1. allowed: as of `fit_classifier`. Deterministic.

    All labels share the columns that occur in X. A label that all examples have, or none, is as probable everywhere as
    its smoothed share. Raises InvalidRequest where that is so of every label.
    """
    n_positive, n = has.sum(axis=0, dtype=int), len(has)
    is_learned = (n_positive > 0) & (n_positive < n)
    if not is_learned.any():
        raise InvalidRequest("need a label that some texts have and others have not, to train")
    columns, views = active_views(X, allowed)
    weights = np.zeros((len(columns), len(classes)))
    intercept = np.log((n_positive + 0.5) / (n - n_positive + 0.5))
    learned, counts = has[:, is_learned], n_positive[is_learned]
    counted = np.where(learned, balanced(counts, 2, n), balanced(n - counts, 2, n))
    problem = Problem(
        views=views,
        has=learned,
        share=counted / counted.sum(axis=0),
        penalty=1 / (REGULARISATION_C * n),
        least_slope=1e-3,
        most_steps=300,
    )
    weights[:, is_learned], intercept[is_learned] = fit_together(problem)
    return SetClassifier(
        classes=classes,
        columns=columns,
        weights=weights.astype(np.float32),
        intercept=intercept,
        n_features=X.shape[1],
        temperature=1.0,
        thresholds=np.full(len(classes), 0.5),
    )
