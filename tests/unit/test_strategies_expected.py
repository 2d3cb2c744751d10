"""Expected gradient length and error reduction against explicit gradients and real trainings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given
from scipy.special import expit, softmax
from scipy.stats import entropy as other_entropy
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression

from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.rows import Matrix, squared_norms
from label_studio_al.learning.strategies import Query
from label_studio_al.learning.strategies.expected import (
    PENALTY,
    expected_entropies,
    expected_error_reduction,
    expected_gradient_length,
    posterior,
    surprise,
)
from label_studio_al.learning.types import Array
from tests.support.queries import FORMS, Answers, any_probabilities, features, labelled, probabilities


def test_expected_gradient_length_is_that_of_explicit_gradients() -> None:
    X, _ = features(20)
    proba = probabilities(20, 4)
    with_intercept = np.column_stack([X, np.ones(20)])
    expected = [
        sum(p[label] * np.linalg.norm(np.outer(x, p - np.eye(4)[label])) for label in range(4))
        for x, p in zip(with_intercept, proba, strict=True)
    ]
    np.testing.assert_allclose(expected_gradient_length(proba, squared_norms(X)), expected, rtol=1e-6)


@given(proba=any_probabilities())
def test_gradient_length_is_0_when_certain_and_below_the_root_of_2(proba: Array) -> None:
    lengths = expected_gradient_length(proba, np.ones(len(proba)))
    assert lengths.shape == (len(proba),)
    assert ((lengths >= 0) & (lengths < np.sqrt(2))).all()
    n_labels = proba.shape[1]
    np.testing.assert_allclose(expected_gradient_length(np.eye(n_labels), np.ones(n_labels)), 0, atol=1e-7)
    labels = np.random.default_rng(0).permutation(n_labels)
    np.testing.assert_allclose(expected_gradient_length(proba[:, labels], np.ones(len(proba))), lengths, atol=1e-9)


# -- expected error reduction ---------------------------------------------------------------------------------


def trained(X: Array, y: Array) -> LogisticRegression:
    """On features with a last column of ones, which is penalised like the others."""
    return LogisticRegression(C=1 / PENALTY, fit_intercept=False, tol=1e-6, max_iter=1000).fit(X, y)


def with_ones(X: Array) -> Array:
    return np.column_stack([X, np.ones(len(X))]).astype(np.float64)


@pytest.mark.parametrize("n_labels", [2, 4])
def test_covariances_are_those_of_the_inverted_hessian(n_labels: int) -> None:
    X, _ = features(50)
    X, proba = X.astype(np.float64), probabilities(20, n_labels)
    candidates, evaluated, known = with_ones(X[20:25]), with_ones(X[25:]), with_ones(X[:20])
    covariances, variances = posterior(X[20:25], X[25:], X[:20], proba)
    for label in range(n_labels):
        p = proba[:, label]
        inverse = np.linalg.inv(known.T @ (known * (p * (1 - p))[:, None]) + PENALTY * np.eye(known.shape[1]))
        inverse /= 2 if n_labels == 2 else 1
        np.testing.assert_allclose(covariances[label], evaluated @ inverse @ candidates.T, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(variances[:, label], ((candidates @ inverse) * candidates).sum(axis=1))


def test_surprise_balances_the_label_and_what_is_known() -> None:
    proba, variances = probabilities(30, 3), np.random.default_rng(0).uniform(0, 20, (30, 3))
    pulls = surprise(proba, variances)
    after = softmax(np.log(proba)[:, None, :] + variances[:, None, :] * pulls, axis=2)
    np.testing.assert_allclose(pulls, np.eye(3) - after, atol=0.01)
    np.testing.assert_allclose(surprise(proba, np.zeros((30, 3))), np.eye(3) - proba[:, None, :])


def test_entropies_are_those_of_the_moved_probabilities() -> None:
    random = np.random.default_rng(0)
    logits, covariances = random.normal(size=(7, 3)), random.normal(size=(3, 7, 4))
    proba, variances = probabilities(4, 3), random.uniform(0, 5, (4, 3))
    pulls = surprise(proba, variances)
    expected = [
        sum(
            proba[task, label]
            * other_entropy(softmax(logits + pulls[task, label] * covariances[:, :, task].T, axis=1), axis=1)
            for label in range(3)
        ).mean()
        for task in range(4)
    ]
    np.testing.assert_allclose(expected_entropies(logits, covariances, proba, variances), expected)


def chosen_of(X: Matrix, proba: Array, known: Matrix, known_proba: Array, n: int, **more: Any) -> Array:
    """Tasks are numbered by their places where no keys are given."""
    keys, seed = more.get("keys", np.arange(len(proba))), more.get("seed", 0)
    answers = Answers((X, proba), (known, known_proba))
    labels = labelled(known, np.full(len(known_proba), "any"))
    return expected_error_reduction(Query(X, X, keys, labels, known, answers, n, n, seed, fit_classifier))


@pytest.mark.parametrize("n_labels", [2, 3])
def test_order_is_nearly_that_of_real_trainings(n_labels: int) -> None:
    X, names = features(70, seed=3)
    y = np.searchsorted(["a", "b", "c"], names) % n_labels
    X = X.astype(np.float64)
    known, pool = slice(0, 30), slice(30, 70)
    model = trained(with_ones(X[known]), y[known])
    proba = model.predict_proba(with_ones(X[pool]))
    known_proba = model.predict_proba(with_ones(X[known]))
    order = chosen_of(X[pool], proba, X[known], known_proba, len(proba))
    left = []
    for task, p in zip(X[pool], proba, strict=True):
        entropies = [
            other_entropy(
                trained(with_ones(np.vstack([X[known], task])), np.append(y[known], label)).predict_proba(
                    with_ones(X[pool])
                ),
                axis=1,
            ).mean()
            for label in range(n_labels)
        ]
        left.append(p @ entropies)
    place = np.empty(len(order))
    place[order] = np.arange(len(order))
    assert spearmanr(place, left).statistic > 0.9


def chosen_by_error(form: Callable[[Array], Matrix] = FORMS["dense"], order: Array | None = None) -> list[int]:
    X, y = features(100)
    X, y = X.astype(np.float64), y
    model = LogisticRegression(C=10).fit(X[:20], y[:20])
    pool = X[20:] if order is None else X[20:][order]
    proba, known = model.predict_proba(pool), model.predict_proba(X[:20])
    keys = np.arange(80) if order is None else order
    return chosen_of(form(pool), proba, form(X[:20]), known, 15, keys=keys, seed=1).tolist()


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_form_of_the_features_does_not_matter(form: Callable[[Array], Matrix]) -> None:
    assert chosen_by_error(form) == chosen_by_error()


def test_order_of_the_pool_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(80)
    assert [int(order[task]) for task in chosen_by_error(order=order)] == chosen_by_error()


def test_side_by_side_gives_the_same() -> None:
    alone = chosen_by_error()
    with joblib.parallel_config(backend="threading", n_jobs=2):
        assert chosen_by_error() == alone


def test_tasks_that_were_not_tried_follow() -> None:
    X, _ = features(700)
    scores = np.random.default_rng(0).normal(size=700)
    proba = np.column_stack([expit(scores), 1 - expit(scores)])
    chosen = chosen_of(X[20:], proba[20:], X[:20], proba[:20], 650)
    assert len(set(chosen.tolist())) == 650
    rest = chosen[500:]
    assert (np.diff(np.abs(scores[20:][rest])) >= 0).all()


def test_many_labels_lower_the_number_of_tries() -> None:
    X, _ = features(300)
    proba = probabilities(300, 60)
    chosen = chosen_of(X[100:], proba[100:], X[:100], proba[:100], 30)
    assert len(set(chosen.tolist())) == 30
