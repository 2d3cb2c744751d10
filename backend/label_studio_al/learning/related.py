"""Multinomial logistic regression of classes that share what they learn: neighbours on a scale, branches of a tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import log_softmax

from label_studio_al.learning.classifier import REGULARISATION_C, Classifier, active_views, balance, two_or_more
from label_studio_al.learning.rows import Matrix, Rows, inner
from label_studio_al.learning.types import Array

# From classes, sorted, to how their weights go together before anything is learned: shape (n_classes, n_classes),
# positive definite. The identity is what `fit_classifier` assumes.
Covariance: TypeAlias = Callable[[Array], Array]

# With a looser one the classifier depends on where the search gave up.
LEAST_SLOPE = 1e-4
MOST_STEPS = 300
# Equal rows have no inverse. A share of the rows' mean squared length.
_JITTER = 1e-7


def fit_related(
    X: Matrix, y: Array, covariance: Covariance, allowed: Array | None = None, temperature: float = 1.0
) -> Classifier:
    """As `fit_classifier`, with a label that teaches something about related classes too. Deterministic.

    An L2 penalty takes weights for normally distributed and independent; here, those of one column are normally
    distributed with a covariance between classes. Raises InvalidRequest with fewer than 2 labels.
    """
    classes, places = two_or_more(y)
    columns, views = active_views(X, allowed)
    views = [view.astype(np.float64) for view in views]
    rows = _square(views)
    shared = cholesky(covariance(classes), lower=True)
    found, intercept = _minimum(rows, places, balance(y), shared)
    by_row = solve_triangular(rows, found @ shared.T, lower=True, trans="T")
    if len(classes) == 2:
        by_row, intercept = np.diff(by_row), np.diff(intercept)
    return Classifier(
        classes=classes,
        columns=columns,
        weights=np.concatenate([np.asarray(view.T @ by_row) for view in views]).astype(np.float32),
        intercept=intercept.astype(np.float32),
        n_features=X.shape[1],
        temperature=temperature,
    )


def _square(views: Sequence[Any]) -> Array:
    """Rows with the same inner products in as many columns as there are rows: at the optimum, weights are sums of rows.

    Returns shape (n_rows, n_rows), lower triangular.
    """
    products = inner(Rows(tuple(views)), Rows(tuple(views)))
    n_rows = len(products)
    products[np.diag_indices(n_rows)] += max(_JITTER * float(np.trace(products)) / n_rows, np.finfo(float).tiny)
    return np.asarray(cholesky(products, lower=True))


def _minimum(rows: Array, places: Array, weights: Array, shared: Array) -> tuple[Array, Array]:
    """Of the penalised loss. shared: shape (n_classes, n_classes), the root of the covariance.

    Returns weights before they are shared, shape (n_columns, n_classes), and intercepts, shape (n_classes,).
    """
    # Not at the top: it weighs 20 MB, and who only predicts does without.
    from scipy.optimize import minimize

    (n_rows, n_columns), n_classes = rows.shape, len(shared)
    share, penalty = weights / weights.sum(), 1 / (REGULARISATION_C * weights.sum())
    each, by_column = np.arange(n_rows), np.ascontiguousarray(rows.T)

    def loss(flat: Array) -> tuple[float, Array]:
        found, intercept = np.split(flat.reshape(n_columns + 1, n_classes), [n_columns])
        logs = log_softmax(rows @ (found @ shared.T) + intercept, axis=1)
        pull = np.exp(logs)
        pull[each, places] -= 1
        pull *= share[:, None]
        slopes = by_column @ (pull @ shared) + penalty * found
        value = -share @ logs[each, places] + penalty / 2 * float(np.vdot(found, found))
        return value, np.concatenate([slopes.ravel(), pull.sum(axis=0)])

    options = {"maxiter": MOST_STEPS, "gtol": LEAST_SLOPE}
    best = minimize(loss, np.zeros((n_columns + 1) * n_classes), jac=True, method="L-BFGS-B", options=options)
    found, intercept = np.split(best.x.reshape(n_columns + 1, n_classes), [n_columns])
    return found, intercept[0]
