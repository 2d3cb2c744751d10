"""A linear classifier for few labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import expit

from label_studio_al.learning.beliefs import Beliefs, Measure, one_decision
from label_studio_al.learning.rows import Matrix, Weights, product, views_of
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest

# Measured on four text sets: C=1 underfits below 1,000 labels. Balancing the labels helps below about 100 and fades
# out from there: a sudden end costs up to 0.07 macro-F1 on an uneven set.
REGULARISATION_C = 10.0
BALANCE_UP_TO = 100


@dataclass(frozen=True)
class Linear(ABC):
    """Weighted sums of features, kept as the weights of the columns that occurred in training.

    classes: label names, sorted. columns: shape (n_active,), indices of features. weights: shape (n_active, n_outputs),
    intercept: shape (n_outputs,). temperature: what sums are divided by before they become probabilities: above 1 is
    less sure of itself.
    """

    classes: Array
    columns: Array
    weights: Array
    intercept: Array
    n_features: int
    temperature: float

    def sums(self, X: Matrix) -> Array:
        """Weighted sums before they become probabilities. Returns shape (n, n_outputs)."""
        return self.outputs(X, lambda sums: sums + self.intercept)

    def outputs(self, X: Matrix, work: Callable[[Array], Array]) -> Array:
        """What `work` makes of the sums without the intercept, a block of rows at a time where there are many."""
        return product(X, self.of_columns, work)

    @abstractmethod
    def value(self, sums: Array, measure: Measure) -> Array:
        """What a measure says of each row. sums: without the intercept; may be changed. Returns shape (n,)."""

    def measured(self, X: Matrix, measure: Measure) -> Array:
        """As of `Beliefs.measured`. Returns shape (n,)."""
        return self.outputs(X, lambda sums: self.value(sums, measure)[:, None])[:, 0]

    @cached_property
    def of_columns(self) -> Weights:
        """The weights, as what rows are multiplied with."""
        return Weights(self.columns, self.weights, self.n_features)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "of_columns"}


@dataclass(frozen=True)
class Classifier(Linear):
    """Multinomial logistic regression. classes: shape (n_classes,); n_outputs is 1 for two classes."""

    temperature: float = 1.0

    def decisions(self, X: Matrix) -> Array:
        """As of a softmax. Returns shape (n, n_classes)."""
        found = self.sums(X)
        return np.hstack([np.zeros_like(found), found]) if found.shape[1] == 1 else found

    def predict_proba(self, X: Matrix) -> Array:
        """Probability of each class. X: shape (n, n_features). Returns shape (n, n_classes), rows sum to 1."""
        return self.outputs(X, self._probabilities)

    def believe(self, X: Matrix) -> Beliefs:
        """The same as one decision a task."""
        return one_decision(self.predict_proba(X), self.classes)

    def value(self, sums: Array, measure: Measure) -> Array:
        """As of the probabilities."""
        return measure(self._probabilities(sums))

    def _probabilities(self, sums: Array) -> Array:
        return probabilities((sums + self.intercept) / self.temperature)


def probabilities(decisions: Array) -> Array:
    """Softmax of decisions, or the logistic function of a single one. Returns shape (n, n_classes)."""
    if decisions.shape[1] == 1:
        positive = expit(decisions[:, 0])
        return np.column_stack([1 - positive, positive])
    # One row a class: NumPy is ten times slower on many short rows.
    columns = np.array(decisions.T, order="C")
    columns -= columns.max(axis=0)
    np.exp(columns, out=columns)
    columns /= columns.sum(axis=0)
    return columns.T


def fit_classifier(
    X: Matrix, y: Array, allowed: Array | None = None, temperature: float = 1.0, *, is_odd: bool = False
) -> Classifier:
    """Fit on labelled rows. X: shape (n_examples, n_features); y: shape (n_examples,), label names.

    allowed: sorted columns that may be used; None for all. is_odd: whether negated rows get the other of two labels
    with the same probability: then there is no intercept, and no label counts more than the other. Fitted on the
    columns that occur in X only: absent columns have weight 0 at the L2 optimum, so the optimum is the same and the
    time much shorter. Deterministic. Raises InvalidRequest with fewer than 2 labels.
    """
    # Not at the top: scikit-learn weighs 100 MB, and who only predicts does without.
    from sklearn.linear_model import LogisticRegression

    found, _ = two_or_more(y)
    columns, design = active_columns(X, allowed)
    model = LogisticRegression(C=REGULARISATION_C, max_iter=300, tol=1e-3, fit_intercept=not is_odd)
    design, labels, weights = _padded(design, y, np.ones(len(y)) if is_odd else balance(y), 2 * len(found))
    model.fit(design, labels, sample_weight=weights)
    return Classifier(
        classes=model.classes_,
        columns=columns,
        weights=model.coef_.T.astype(np.float32),
        intercept=model.intercept_,
        n_features=X.shape[1],
        temperature=temperature,
    )


def two_or_more(y: Array) -> tuple[Array, Array]:
    """The labels that occur, sorted, and the place of each example's among them. Raises InvalidRequest below 2."""
    found, places = np.unique(y, return_inverse=True)
    if len(found) < 2:
        came = f"only {str(found[0])!r}" if len(found) else "none"
        raise InvalidRequest(f"need tasks of 2 labels to train, have {came}")
    return found, places


def _padded(design: Any, y: Array, weights: Array, n: int) -> tuple[Any, Array, Array]:
    """The examples, and rows without weight up to n: the optimum is the same.

    Where classes are more than half as many as examples, scikit-learn warns at each fit that this might be regression
    (`check_classification_targets`). Here it is a project's beginning, which the status page speaks of; and a filter
    of warnings would be shared by all threads.
    """
    if len(y) >= n:
        return design, y, weights
    rows = np.arange(n) % len(y)
    return design[rows], y[rows], np.concatenate([weights, np.zeros(n - len(y))])


def balance(y: Array) -> Array:
    """A weight for each example: rare labels count as much as frequent ones up to 100 labels, then less and less.

    Returns shape (n_examples,), mean 1.
    """
    labels, index, counts = np.unique(y, return_inverse=True, return_counts=True)
    weights = balanced(counts, len(labels), len(y))
    return np.asarray(weights[index] / weights[index].mean())


def balanced(counts: Array, n_labels: int, n: int) -> Array:
    """How much an example of a label counts before weights are made to have the mean 1. counts: of n examples."""
    return np.asarray((n / (n_labels * counts)) ** min(1.0, BALANCE_UP_TO / n))


def active_columns(X: Matrix, allowed: Array | None) -> tuple[Array, Any]:
    """The columns that occur, and X in these columns only."""
    found, parts = active_views(X, allowed)
    return found, parts[0] if len(parts) == 1 else sp.hstack(parts, format="csr")


def active_views(X: Matrix, allowed: Array | None) -> tuple[Array, list[Any]]:
    """The columns that occur, and the views of X in these columns only."""
    columns, parts, first = [], [], 0
    for view in views_of(X):
        used = np.unique(view.indices) if sp.issparse(view) else np.flatnonzero(view.any(axis=0))
        if allowed is not None:
            used = used[np.isin(used + first, allowed)]
        columns.append(used + first)
        parts.append(view[:, used])
        first += view.shape[1]
    found = np.concatenate(columns)
    if not len(found):
        return np.arange(min(1, X.shape[1])), [np.zeros((X.shape[0], min(1, X.shape[1])))]
    return found, parts
