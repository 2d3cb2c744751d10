"""Ordered labels and classes that share what they learn, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, mean_absolute_error

from label_studio_al.exporting.forms import form_of
from label_studio_al.learning.classifier import REGULARISATION_C, balance, fit_classifier
from label_studio_al.learning.evaluation import Outcome
from label_studio_al.learning.ordered import ORDERED, evaluate_ordered, neighbours
from label_studio_al.learning.related import fit_related
from label_studio_al.learning.rows import Rows
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest


def data(n: int = 200, n_columns: int = 12, n_classes: int = 5, seed: int = 0) -> tuple[Array, Array]:
    """Rows of which the first column says, with noise, where on the scale they lie."""
    random = np.random.default_rng(seed)
    X = random.normal(0, 1, (n, n_columns))
    edges = np.linspace(-1.2, 1.2, n_classes - 1)
    return X.astype(np.float32), (np.searchsorted(edges, X[:, 0] + random.normal(0, 0.5, n)) + 1).astype(str)


def identity(classes: Array) -> Array:
    return np.eye(len(classes))


def in_order(classes: Array) -> Array:
    return np.linalg.cholesky(neighbours(classes))


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("n_columns", [12, 400])
def test_classes_that_share_nothing_are_scikit_learns_regression(n_classes: int, n_columns: int) -> None:
    X, y = data(n_columns=n_columns, n_classes=n_classes)
    theirs = LogisticRegression(C=REGULARISATION_C, tol=1e-8, max_iter=5000).fit(X, y, sample_weight=balance(y))
    ours = fit_related(X, y, lambda classes: np.eye(len(classes)) * (np.sqrt(0.5) if len(classes) == 2 else 1.0))
    assert ours.classes.tolist() == theirs.classes_.tolist()
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=0.02)


def test_weights_are_the_optimum_under_their_covariance() -> None:
    """The penalised loss of the weights found is no higher than that of any neighbour."""
    X, y = data(60)
    model = fit_related(X, y, in_order)
    precision, place = np.linalg.inv(neighbours(model.classes)), np.searchsorted(model.classes, y)

    def loss(weights: Array, intercept: Array) -> float:
        logs = X @ weights + intercept
        logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
        return -float(balance(y) @ logs[np.arange(len(y)), place]) + np.trace(weights @ precision @ weights.T) / 20

    weights, random = model.weights.astype(float), np.random.default_rng(0)
    least = loss(weights, model.intercept)
    for _ in range(50):
        step = random.normal(0, 0.05, weights.shape)
        assert loss(weights + step, model.intercept) > least - 1e-3


@pytest.mark.parametrize("allowed", [None, np.arange(4, 12)])
def test_sparse_dense_and_views_give_the_same(allowed: Array | None) -> None:
    X, y = data()
    expected = fit_related(X, y, in_order, allowed).predict_proba(X)
    for form in (sp.csr_matrix(X), Rows((sp.csr_matrix(X[:, :5]), X[:, 5:]))):
        np.testing.assert_allclose(fit_related(form, y, in_order, allowed).predict_proba(form), expected, atol=1e-3)


def test_equal_rows_empty_rows_and_single_examples_are_fitted() -> None:
    X = np.array([[1, 0], [1, 0], [0, 0], [0, 1]], dtype=np.float32)
    for rows in (X, 0 * X, np.zeros((4, 0), dtype=np.float32)):
        proba = fit_related(rows, np.array(["1", "1", "2", "5"]), in_order).predict_proba(rows)
        assert np.isfinite(proba).all()
        np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("y", [[], ["3", "3"]])
def test_one_label_is_refused_with_what_there_is(y: list[str]) -> None:
    X = np.ones((len(y), 3), dtype=np.float32)
    with pytest.raises(InvalidRequest, match="need tasks of 2 labels to train, have"):
        fit_related(X, np.array(y, dtype=str), identity)


def test_near_ratings_share_more_than_far_ones() -> None:
    found = neighbours(np.array(["1", "10", "2", "5"]))
    assert found[0, 2] > found[0, 3] > found[0, 1] > 0
    assert found[3, 1] > found[0, 1]
    assert np.linalg.eigvalsh(found).min() > 0
    # As free to differ as independent classes are.
    centred = found - found.mean(axis=0)
    assert np.trace(centred) == pytest.approx(3)


def test_order_of_ratings_lowers_their_error() -> None:
    errors = []
    for seed in range(10):
        X, y = data(260, 40, seed=seed)
        models = fit_classifier(X[:60], y[:60]), ORDERED.fit(X[:60], y[:60], None, 1.0, {})
        said = [ORDERED.decide(model.believe(X[60:])).labels for model in models]
        errors.append([ORDERED.scores(y[60:], predicted)["mean_absolute_error"] for predicted in said])
    plain, ordered = np.mean(errors, axis=0)
    assert ordered < plain - 0.02


def test_scores_are_scikit_learns() -> None:
    random = np.random.default_rng(0)
    truth, predicted = (random.integers(1, 11, 50) for _ in range(2))
    found = ORDERED.scores(truth.astype(str), predicted.astype(str))
    assert tuple(found) == ORDERED.metrics
    assert found["mean_absolute_error"] == pytest.approx(mean_absolute_error(truth, predicted))
    assert found["quadratic_kappa"] == pytest.approx(cohen_kappa_score(truth, predicted, weights="quadratic"))
    assert ORDERED.scores(np.array(["3", "3"]), np.array(["3", "3"]))["quadratic_kappa"] == 0


def outcomes(truth: Array, predicted: Array) -> list[Outcome]:
    return [Outcome(str(one), str(other), 0.5, 10, is_audit=True) for one, other in zip(truth, predicted, strict=True)]


def test_figures_are_the_scores_with_intervals_whatever_the_order_of_outcomes() -> None:
    random = np.random.default_rng(1)
    truth = random.integers(1, 6, 80)
    predicted = np.clip(truth + random.choice([-1, 0, 0, 0, 1], 80), 1, 5)
    found = evaluate_ordered(outcomes(truth, predicted), ["1", "2", "3", "4", "5"])
    scores = ORDERED.scores(truth.astype(str), predicted.astype(str))
    for name in ("mean_absolute_error", "quadratic_kappa"):
        estimate = getattr(found, name)
        assert estimate is not None
        assert estimate.value == pytest.approx(scores[name])
        assert estimate.low < estimate.value < estimate.high
    order = random.permutation(80)
    assert evaluate_ordered(outcomes(truth[order], predicted[order]), ["1", "2", "3", "4", "5"]) == found


def test_right_answers_alone_do_not_prove_that_there_are_no_errors() -> None:
    few, many = (evaluate_ordered(outcomes(np.full(n, 4), np.full(n, 4)), ["4"]).mean_absolute_error for n in (20, 500))
    assert few is not None
    assert many is not None
    assert few.value == few.low == 0
    assert few.high > 5 * many.high > 0


def test_without_outcomes_there_are_no_figures() -> None:
    found = evaluate_ordered([], ["1", "2"])
    assert (found.n, found.mean_absolute_error, found.quadratic_kappa) == (0, None, None)


def test_interval_of_the_error_holds_the_truth() -> None:
    """As the docstring says: here of 50 outcomes, a fifth of them off by one."""
    random, hits = np.random.default_rng(2), 0
    for seed in range(60):
        truth = random.integers(2, 5, 50)
        predicted = truth + random.choice([-1, 0, 1], 50, p=[0.1, 0.8, 0.1])
        found = evaluate_ordered(outcomes(truth, predicted), [], seed).mean_absolute_error
        assert found is not None
        hits += found.low <= 0.2 <= found.high
    assert hits >= 50


@pytest.mark.parametrize("n_classes", [2, 5])
def test_exported_classifier_gives_our_probabilities(n_classes: int) -> None:
    X, y = data(n_classes=n_classes)
    model = ORDERED.fit(X, y, None, 0.7, {})
    form = form_of(model)
    found = form.wide(form.estimator(model, model.weights).predict_proba(X[:, model.columns]))
    np.testing.assert_allclose(found, model.believe(X).wide, atol=1e-5)
