"""The classifier against scikit-learn's own, fitted on all columns."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from label_studio_al.learning.classifier import REGULARISATION_C, balance, fit_classifier
from label_studio_al.learning.tfidf import Tfidf
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest

WORDS = {
    "sport": "match goal team coach league win",
    "money": "bank stock price market profit fund",
    "space": "rocket orbit moon star launch probe",
}


def texts_of(labels: list[str], seed: int) -> list[str]:
    """Five words a text: four of its label, one of any label."""
    draw = np.random.default_rng(seed)
    everything = " ".join(WORDS.values()).split()
    return [" ".join([*draw.choice(WORDS[label].split(), 4), draw.choice(everything)]) for label in labels]


def data(n: int, n_labels: int, seed: int = 0) -> tuple[sp.csr_matrix, Array, sp.csr_matrix]:
    """Labelled rows, their labels, and a larger pool with terms that the labelled rows lack."""
    labels = [list(WORDS)[place % n_labels] for place in range(n)]
    pool = texts_of(list(WORDS) * 40, seed + 1)
    texts = texts_of(labels, seed)
    features = Tfidf.fit(texts + pool)
    return features.transform(texts), np.array(labels), features.transform(pool)


def reference(X: sp.csr_matrix, y: Array, tol: float) -> LogisticRegression:
    """scikit-learn on every column."""
    model = LogisticRegression(C=REGULARISATION_C, max_iter=10_000, tol=tol)
    return model.fit(X, y, sample_weight=balance(y))


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("n", [6, 40, 99, 100, 400])
def test_probabilities_are_those_of_logistic_regression_on_all_columns(n: int, n_labels: int) -> None:
    X, y, pool = data(n, n_labels)
    ours, theirs = fit_classifier(X, y), reference(X, y, tol=1e-3)
    assert list(ours.classes) == list(theirs.classes_)
    np.testing.assert_allclose(ours.predict_proba(pool), theirs.predict_proba(pool), atol=1e-5)


@pytest.mark.parametrize("n_labels", [2, 3])
def test_early_stop_is_near_the_optimum(n_labels: int) -> None:
    X, y, pool = data(200, n_labels)
    optimum = reference(X.astype(np.float64), y, tol=1e-9).predict_proba(pool)
    np.testing.assert_allclose(fit_classifier(X, y).predict_proba(pool), optimum, atol=0.03)


def test_unbalanced_labels_are_balanced_while_they_are_few() -> None:
    X, _, pool = data(40, 2)
    y = np.array(["money"] + ["sport"] * 39)
    ours, theirs = fit_classifier(X, y), reference(X, y, tol=1e-3)
    np.testing.assert_allclose(ours.predict_proba(pool), theirs.predict_proba(pool), atol=1e-5)


def test_columns_that_no_example_has_weigh_nothing() -> None:
    X = sp.csr_matrix(np.array([[1, 0, 0, 0], [0, 0, 1, 0]], dtype=np.float32))
    classifier = fit_classifier(X, np.array(["A", "B"]))
    assert list(classifier.columns) == [0, 2]
    unseen = sp.csr_matrix(np.array([[0, 1, 0, 1]], dtype=np.float32))
    np.testing.assert_allclose(classifier.predict_proba(unseen), [[0.5, 0.5]], atol=1e-6)


@given(names=st.permutations(["sport", "money", "space"]), n_labels=st.sampled_from([2, 3]))
@settings(max_examples=12)
def test_renamed_labels_keep_their_probabilities(names: list[str], n_labels: int) -> None:
    X, y, pool = data(30, n_labels)
    renamed = dict(zip(WORDS, names, strict=True))
    before, after = fit_classifier(X, y), fit_classifier(X, np.array([renamed[label] for label in y]))
    expected, got = before.predict_proba(pool), after.predict_proba(pool)
    for column, label in enumerate(before.classes):
        place = list(after.classes).index(renamed[label])
        np.testing.assert_allclose(got[:, place], expected[:, column], atol=0.03)


def test_classes_are_sorted_whatever_comes_first() -> None:
    X, y, _ = data(9, 3)
    assert list(fit_classifier(X, y).classes) == list(fit_classifier(X[::-1], y[::-1]).classes) == sorted(WORDS)


def test_same_examples_give_the_same_model() -> None:
    X, y, pool = data(60, 3)
    assert np.array_equal(fit_classifier(X, y).predict_proba(pool), fit_classifier(X, y).predict_proba(pool))


@given(seed=st.integers(0, 1000), n_labels=st.sampled_from([2, 3]))
@settings(max_examples=15)
def test_rows_sum_to_1_and_lie_between_0_and_1(seed: int, n_labels: int) -> None:
    X, y, pool = data(12, n_labels, seed)
    proba = fit_classifier(X, y).predict_proba(pool)
    assert proba.shape == (pool.shape[0], n_labels)
    assert np.isfinite(proba).all()
    assert proba.min() >= 0
    assert proba.max() <= 1
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, atol=1e-6)


def test_examples_without_any_term_give_what_their_numbers_say() -> None:
    X = sp.csr_matrix((4, 5), dtype=np.float32)
    classifier = fit_classifier(X, np.array(["A", "B", "A", "B"]))
    np.testing.assert_allclose(classifier.predict_proba(X), np.full((4, 2), 0.5), atol=1e-6)


def test_no_rows_give_no_probabilities() -> None:
    X, y, _ = data(6, 3)
    assert fit_classifier(X, y).predict_proba(X[:0]).shape == (0, 3)


@pytest.mark.parametrize(("y", "came"), [([], "none"), (["Spam"], "only 'Spam'"), (["Spam", "Spam"], "only 'Spam'")])
def test_fewer_than_two_labels_cannot_train(y: list[str], came: str) -> None:
    X = sp.csr_matrix(np.ones((len(y), 3), dtype=np.float32))
    with pytest.raises(InvalidRequest, match=f"need tasks of 2 labels to train, have {came}"):
        fit_classifier(X, np.array(y, dtype=str))


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix], ids=["dense", "sparse"])
def test_many_classes_of_few_examples_are_learned_without_a_warning(make: Callable[[Array], Any]) -> None:
    # Any warning fails a test here; scikit-learn's own fit gives one, and the same optimum.
    X = np.random.default_rng(0).random((30, 40)).astype(np.float32)
    y = np.array([f"class {place % 24:02}" for place in range(30)])
    classifier = fit_classifier(make(X), y)
    with pytest.warns(UserWarning, match="could represent a regression problem"):
        plain = LogisticRegression(C=REGULARISATION_C, max_iter=300, tol=1e-3).fit(X, y, sample_weight=balance(y))
    assert classifier.predict_proba(make(X)) == pytest.approx(plain.predict_proba(X), abs=1e-3)


def test_rows_of_other_features_are_refused() -> None:
    X, y, pool = data(6, 2)
    with pytest.raises(InvalidRequest, match="columns"):
        fit_classifier(X, y).predict_proba(pool[:, :-1])


def test_stored_model_is_small_and_says_the_same() -> None:
    X, y, pool = data(30, 3)
    classifier = fit_classifier(X, y)
    before = len(pickle.dumps(classifier))
    expected = classifier.predict_proba(pool)
    stored = pickle.dumps(classifier)
    assert len(stored) == before
    assert np.array_equal(pickle.loads(stored).predict_proba(pool), expected)
