"""Multinomial logistic regression of classes that share what they learn: neighbours on a scale, branches of a tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.linalg.blas import dtrmm
from scipy.special import log_softmax

from label_studio_al.learning.classifier import REGULARISATION_C, Classifier, active_views, balance, two_or_more
from label_studio_al.learning.rows import Matrix, Rows, inner
from label_studio_al.learning.types import Array

# From classes, sorted, to what their weights are made of: shape (n_classes, n_parts), sparse or dense. A class has each
# part so many times, and parts are independent. The identity is what `fit_classifier` assumes.
Parts: TypeAlias = Callable[[Array], Any]

# With a looser one the classifier depends on where the search gave up.
LEAST_SLOPE = 1e-4
MOST_STEPS = 300
# Of earlier steps; each takes the memory of two vectors of all weights.
N_REMEMBERED = 5
# Equal rows have no inverse. A share of the rows' mean squared length.
_JITTER = 1e-7


def fit_related(
    X: Matrix, y: Array, parts: Parts, allowed: Array | None = None, temperature: float = 1.0
) -> Classifier:
    """As `fit_classifier`, with a label that teaches something about related classes too. Deterministic.

    An L2 penalty takes weights for normally distributed and independent; here, those of one column have the covariance
    of sums of parts. Raises InvalidRequest with fewer than 2 labels.
    """
    classes, places = two_or_more(y)
    columns, views = active_views(X, allowed)
    views = [view.astype(np.float64) for view in views]
    rows = _square(views)
    shared = parts(classes)
    found, intercept = _minimum(rows, places, balance(y), shared)
    by_row = solve_triangular(rows, _weights(found, shared), lower=True, trans="T")
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
    return np.ascontiguousarray(cholesky(products, lower=True))


def _weights(found: Array, shared: Any) -> Array:
    """The classes' weights. found: of the parts, shape (n_rows, n_parts)."""
    return np.ascontiguousarray((shared @ found.T).T)


def _minimum(rows: Array, places: Array, weights: Array, shared: Any) -> tuple[Array, Array]:
    """Of the penalised loss. rows: lower triangular. shared: as of `Parts`.

    Returns weights of the parts, shape (n_rows, n_parts), and intercepts of the classes, shape (n_classes,).
    """
    # Not at the top: it weighs 20 MB, and who only predicts does without.
    from scipy.optimize import minimize

    n_rows, (n_classes, n_parts) = len(rows), shared.shape
    share, penalty = weights / weights.sum(), 1 / (REGULARISATION_C * weights.sum())
    each = np.arange(n_rows)

    def loss(flat: Array) -> tuple[float, Array]:
        found, intercept = flat[:-n_classes].reshape(n_rows, n_parts), flat[-n_classes:]
        # Triangular: half of the work. Transposed, since BLAS goes by columns.
        sums = dtrmm(1.0, rows.T, _weights(found, shared).T, side=1).T
        logs = log_softmax(sums + intercept, axis=1)
        pull = np.exp(logs)
        pull[each, places] -= 1
        pull *= share[:, None]
        by_class = dtrmm(1.0, rows.T, pull.T, side=1, trans_a=1)
        slopes = (shared.T @ by_class).T + penalty * found
        value = -share @ logs[each, places] + penalty / 2 * float(np.vdot(found, found))
        return value, np.concatenate([slopes.ravel(), pull.sum(axis=0)])

    options = {"maxiter": MOST_STEPS, "gtol": LEAST_SLOPE, "maxcor": N_REMEMBERED}
    best = minimize(loss, np.zeros(n_rows * n_parts + n_classes), jac=True, method="L-BFGS-B", options=options)
    return best.x[:-n_classes].reshape(n_rows, n_parts), best.x[-n_classes:]
