"""A linear classifier for few labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from backend.errors import InvalidRequest
from backend.learning.types import Array

# Measured on four text sets: C=1 underfits below 1,000 labels, balancing helps below about 100.
REGULARISATION_C = 10.0
BALANCE_BELOW = 100


@dataclass(frozen=True)
class Classifier:
    """Multinomial logistic regression, kept as the weights of the columns that occurred in training.

    classes: shape (n_classes,), label names, sorted. columns: shape (n_active,), indices of features.
    weights: shape (n_active, n_outputs), intercept: shape (n_outputs,); n_outputs is 1 for two classes.
    """

    classes: Array
    columns: Array
    weights: Array
    intercept: Array
    n_features: int

    def predict_proba(self, X: sp.csr_matrix) -> Array:
        """Probability of each class. X: shape (n, n_features). Returns shape (n, n_classes), rows sum to 1."""
        if X.shape[1] != self.n_features:
            raise InvalidRequest(f"features must have {self.n_features} columns, not {X.shape[1]}")
        decision = np.asarray(X @ self._dense_weights) + self.intercept
        if len(self.classes) == 2:
            positive = expit(decision[:, 0])
            return np.column_stack([1 - positive, positive])
        return np.asarray(softmax(decision, axis=1))

    @cached_property
    def _dense_weights(self) -> Array:
        dense = np.zeros((self.n_features, self.weights.shape[1]), dtype=np.float32)
        dense[self.columns] = self.weights
        return dense

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "_dense_weights"}


def fit_classifier(X: sp.csr_matrix, y: Array) -> Classifier:
    """Fit on labelled rows. X: shape (n_examples, n_features); y: shape (n_examples,), label names.

    Fitted on the columns that occur in X only: absent columns have weight 0 at the L2 optimum, so the
    optimum is the same and the time much shorter. Deterministic. Raises InvalidRequest with fewer than 2 labels.
    """
    found = np.unique(y)
    if len(found) < 2:
        came = f"only {str(found[0])!r}" if len(found) else "none"
        raise InvalidRequest(f"need tasks of 2 labels to train, have {came}")
    columns = np.unique(X.indices)
    if not len(columns):
        columns = np.arange(min(1, X.shape[1]))
    model = LogisticRegression(
        C=REGULARISATION_C, class_weight="balanced" if len(y) < BALANCE_BELOW else None, max_iter=300, tol=1e-3
    )
    model.fit(X[:, columns], y)
    return Classifier(
        classes=model.classes_,
        columns=columns,
        weights=model.coef_.T.astype(np.float32),
        intercept=model.intercept_,
        n_features=X.shape[1],
    )
