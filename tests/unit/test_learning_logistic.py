"""Logistic regressions that are fitted together, against scikit-learn's one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from label_studio_al.learning import logistic
from label_studio_al.learning.classifier import balance
from label_studio_al.learning.logistic import Problem, fit_together
from label_studio_al.learning.types import Array

C = 10.0
TOLERANCE = 1e-3


def rows(n: int, scale: float = 1.0, seed: int = 0) -> tuple[list[Any], Array]:
    """Sparse words and dense topics, and which of seven labels each row has: rare and frequent ones."""
    random = np.random.default_rng(seed)
    words = sp.random(n, 400, density=0.04, random_state=seed, format="csr", dtype=np.float32)
    topics = random.normal(0, 0.2, (n, 12)).astype(np.float32)
    pull = words @ random.normal(0, 4, (400, 7)) + topics @ random.normal(0, 4, (12, 7))
    has = pull + random.normal(0, 0.5, (n, 7)) > np.quantile(pull, [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95], axis=0)[:, 0]
    return [words * scale, topics * scale], has.astype(np.int8)


def problem(views: list[Any], has: Array, most_steps: int = 300) -> Problem:
    n, n_labels = has.shape
    share = np.stack([balance(has[:, label]) for label in range(n_labels)], axis=1) / n
    return Problem(views, has, share, 1 / (C * n), TOLERANCE, most_steps)


def one_by_one(views: list[Any], has: Array, max_iter: int = 300) -> tuple[Array, Array]:
    # In double precision, as ours: in single its losses are too coarse for the same steps.
    X = sp.hstack(views, format="csr").astype(np.float64)
    model = LogisticRegression(C=C, tol=TOLERANCE, max_iter=max_iter)
    fitted = [(model.fit(X, y, sample_weight=balance(y)).coef_[0].copy(), float(model.intercept_[0])) for y in has.T]
    return np.array([weights for weights, _ in fitted]).T, np.array([intercept for _, intercept in fitted])


@pytest.mark.parametrize("scale", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("n", [40, 300])
def test_weights_are_scikit_learns(n: int, scale: float) -> None:
    """Small and large features: where a first step is much too long or too short, others must be tried."""
    views, has = rows(n, scale)
    weights, intercepts = fit_together(problem(views, has))
    expected, their_intercepts = one_by_one(views, has)
    np.testing.assert_allclose(weights, expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(intercepts, their_intercepts, atol=1e-5)


@pytest.mark.parametrize(("name", "value"), [("MOST_PRODUCTS", 10), ("NUMBERS_AT_ONCE", 700)])
def test_many_rows_and_many_labels_are_fitted_alike(monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    """Without the products of all rows, and some labels after the others."""
    views, has = rows(300)
    before = fit_together(problem(views, has))
    monkeypatch.setattr(logistic, name, value)
    for found, expected in zip(fit_together(problem(views, has)), before, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_label_is_the_same_whatever_others_are_fitted_with_it() -> None:
    views, has = rows(200)
    together, _ = fit_together(problem(views, has))
    alone, _ = fit_together(problem(views, has[:, [3]]))
    np.testing.assert_allclose(together[:, [3]], alone, atol=1e-9)


def test_fitting_ends_after_so_many_steps() -> None:
    views, has = rows(200)
    with pytest.warns(UserWarning, match="failed to converge"):
        expected, _ = one_by_one(views, has, max_iter=3)
    weights, _ = fit_together(problem(views, has, most_steps=3))
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_rows_without_features_and_equal_rows_leave_the_intercept() -> None:
    has = np.array([[1, 1, 1, 0], [0, 0, 1, 1]]).T
    weights, intercepts = fit_together(Problem([np.zeros((4, 2))], has, np.full((4, 2), 0.25), 0.025, 1e-6, 300))
    assert not weights.any()
    np.testing.assert_allclose(intercepts, [np.log(3), 0], atol=1e-4)
    same = np.ones((4, 1))
    weights, intercepts = fit_together(Problem([same], has, np.full((4, 2), 0.25), 0.025, 1e-6, 300))
    np.testing.assert_allclose(weights[0] + intercepts, [np.log(3), 0], atol=0.05)
