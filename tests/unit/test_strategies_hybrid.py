"""Hybrid strategies against scikit-activeml, explicit gradients and hand-made pools."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr
from skactiveml.classifier import SklearnClassifier
from skactiveml.pool import Badge, ContrastiveAL
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances

from label_studio_al.learning import draws
from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.strategies import Query, hybrid, margin
from label_studio_al.learning.strategies.clusters import spread
from label_studio_al.learning.strategies.hybrid import contrastive, density
from label_studio_al.learning.strategies.query import in_turns
from label_studio_al.learning.types import Array
from tests.support.queries import FORMS, Answers, beliefs, features, labelled, probabilities

forms = pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))


def badge(proba: Array, X: Matrix, n: int, seed: int, keys: Array | None = None) -> Array:
    """Tasks are numbered by their places where no keys are given."""
    errors = hybrid.gradient_errors(beliefs(proba))
    return hybrid.badge(errors, X, np.arange(len(proba)) if keys is None else keys, n, seed)


def cluster_margin(proba: Array, Z: Matrix, n: int, batch: int, seed: int, keys: Array | None = None) -> Array:
    keys = np.arange(len(proba)) if keys is None else keys
    nobody = labelled(Z[:0], np.zeros(0, dtype=str))
    return hybrid.cluster_margin(Query(Z, Z, keys, nobody, Z[:0], Answers((Z, proba)), n, batch, seed, fit_classifier))


def density_weighted_margin(proba: Array, Z: Matrix) -> Array:
    return margin(proba) * density(Z)


# Each takes (proba, features, seed) of a pool, and the keys of its tasks, and gives an order.
Chooser = Callable[..., Array]
CHOOSERS: dict[str, Chooser] = {
    "badge": lambda proba, X, seed, keys=None: badge(proba, X, 12, seed, keys),
    "cluster_margin": lambda proba, X, seed, keys=None: cluster_margin(proba, X, 12, 5, seed, keys),
}
choosers = pytest.mark.parametrize("choose", CHOOSERS.values(), ids=list(CHOOSERS))


@choosers
@forms
def test_form_of_the_features_does_not_matter(choose: Chooser, form: Callable[[Array], Matrix]) -> None:
    X, _ = features(150)
    proba = probabilities(150, 3)
    assert choose(proba, form(X), 1).tolist() == choose(proba, X, 1).tolist()


@choosers
@given(seed=st.integers(0, 99))
@settings(max_examples=10)
def test_order_of_tasks_and_labels_does_not_matter(choose: Chooser, seed: int) -> None:
    X, _ = features(150, seed)
    proba = probabilities(150, 3, seed)
    tasks = np.random.default_rng(seed).permutation(150)
    expected = choose(proba, X, seed).tolist()
    assert tasks[choose(proba[tasks], X[tasks], seed, tasks)].tolist() == expected
    assert choose(proba[:, [2, 0, 1]], X, seed).tolist() == expected


@pytest.mark.parametrize("n_tasks", [0, 1, 7])
@choosers
def test_pool_smaller_than_the_window_is_chosen_whole(choose: Chooser, n_tasks: int) -> None:
    X, _ = features(10)
    assert sorted(choose(probabilities(n_tasks, 3), X[:n_tasks], 0).tolist()) == list(range(n_tasks))


# -- cluster-margin -------------------------------------------------------------------------------------------


def test_one_uncertain_task_of_each_kind_smallest_kind_first() -> None:
    # Three kinds of tasks; the certain ones (below 0.5) are left out, since 100 others are less certain.
    sizes = (60, 30, 10, 200)
    of = np.arange(4).repeat(sizes)
    Z = np.eye(4, dtype=np.float32)[of]
    worth = np.random.default_rng(0).uniform(0.5, 1.0, len(of))
    worth[of == 3] = 0.1
    proba = np.column_stack([1 - worth / 2, worth / 2])
    chosen = cluster_margin(proba, Z, 3, 3, 0)
    assert of[chosen].tolist() == [2, 1, 0]
    assert all(worth[task] == worth[of == of[task]].max() for task in chosen)


def test_clusters_take_turns() -> None:
    of = np.array([0] * 80 + [1] * 20)
    Z = np.eye(2, dtype=np.float32)[of]
    chosen = cluster_margin(probabilities(100, 3), Z, 6, 6, 0)
    assert of[chosen].tolist() == [1, 0, 1, 0, 1, 0]


def test_window_is_batches_in_order() -> None:
    Z, _ = features(300)
    proba = probabilities(300, 3)
    window = cluster_margin(proba, Z, 30, 10, 0)
    assert cluster_margin(proba, Z, 10, 10, 0).tolist() == window[:10].tolist()
    left = np.setdiff1d(np.arange(300), window[:10])
    assert left[cluster_margin(proba[left], Z[left], 10, 10, 0, left)].tolist() == window[10:20].tolist()


def test_batch_of_one_is_margin() -> None:
    Z, _ = features(200)
    proba = probabilities(200, 3)
    assert cluster_margin(proba, Z, 15, 1, 0).tolist() == np.argsort(-margin(proba))[:15].tolist()


def test_questions_choose_in_turns_though_one_is_surer_of_all_tasks() -> None:
    Z, _ = features(200)
    unsure, sure = probabilities(200, 3), probabilities(200, 3, seed=1) / 10 + np.array([0.9, 0.0, 0.0])
    assert margin(sure).max() < margin(unsure).max()
    nobody = labelled(Z[:0], np.zeros(0, dtype=str))
    first, other = (
        Query(Z, Z, np.arange(200), nobody, Z[:0], Answers((Z, proba)), 16, 8, 0, fit_classifier)
        for proba in (unsure, sure)
    )
    chosen = hybrid.cluster_margin(replace(first, beside=(other,)))
    alone = [hybrid.cluster_margin(query) for query in (first, other)]
    assert set(chosen.tolist()) == set(in_turns(alone, 16).tolist())
    assert all(len(np.intersect1d(chosen, own)) >= 8 for own in alone)
    assert len(set(chosen.tolist())) == 16


# -- BADGE ----------------------------------------------------------------------------------------------------


@forms
def test_badge_is_a_draw_over_explicit_gradients(form: Callable[[Array], Matrix]) -> None:
    X, _ = features(60)
    proba = probabilities(60, 3)
    errors = proba - np.eye(3)[proba.argmax(axis=1)]
    gradients = (errors[:, :, None] * X[:, None, :]).reshape(60, -1)
    distances = euclidean_distances(gradients, squared=True)
    first = int(np.linalg.norm(gradients, axis=1).argmax())
    for seed in range(5):
        expected = spread(
            lambda task: distances[task], first, 15, draws.shuffled(np.arange(60), seed, "gradients"), seed
        )
        assert badge(proba, form(X), 15, seed).tolist() == expected.tolist()


def test_badge_starts_where_scikit_activeml_does() -> None:
    # Its later draws also keep away from the zero gradient, which the authors' code does not.
    X, y = features(36)
    X = X.astype(np.float64)
    known = np.full(36, np.nan)
    known[:24] = np.searchsorted(["a", "b", "c"], y[:24])
    model = SklearnClassifier(LogisticRegression(), classes=[0, 1, 2]).fit(X, known)
    first = Badge(random_state=0).query(X=X, y=known, clf=model, fit_clf=False, batch_size=1)
    assert badge(model.predict_proba(X[24:]), X[24:], 1, 0).tolist() == [first[0] - 24]


def test_badge_goes_on_where_all_is_certain() -> None:
    X, _ = features(20)
    certain = np.eye(2)[np.zeros(20, dtype=int)]
    assert len(set(badge(certain, X, 20, 0).tolist())) == 20


# -- CAL ------------------------------------------------------------------------------------------------------


def test_contrastive_agrees_with_scikit_activeml() -> None:
    X, y = features(80)
    X = X.astype(np.float64)
    known = np.full(80, np.nan)
    known[:25] = np.searchsorted(["a", "b", "c"], y[:25])
    model = SklearnClassifier(LogisticRegression(), classes=[0, 1, 2]).fit(X, known)
    other = ContrastiveAL(nearest_neighbors_dict={"n_neighbors": 10}, random_state=0)
    _, values = other.query(X=X, y=known, clf=model, fit_clf=False, return_utilities=True)
    ours = contrastive(model.predict_proba(X[25:]), X[25:], model.predict_proba(X[:25]), X[:25])
    np.testing.assert_allclose(ours, values[0][25:], rtol=1e-5)


@forms
@given(seed=st.integers(0, 99), n_labelled=st.integers(1, 20))
@settings(max_examples=15)
def test_contrastive_is_the_mean_divergence_of_the_nearest(
    form: Callable[[Array], Matrix], seed: int, n_labelled: int
) -> None:
    Z, _ = features(n_labelled + 15, seed)
    proba, known = probabilities(15, 4, seed), probabilities(n_labelled, 4, seed + 1)
    Z_known, Z = Z[:n_labelled], Z[n_labelled:]
    neighbours = np.argsort(euclidean_distances(Z, Z_known), axis=1)[:, :10]
    expected = [rel_entr(known[near], p).sum(axis=1).mean() for near, p in zip(neighbours, proba, strict=True)]
    np.testing.assert_allclose(contrastive(proba, form(Z), known, form(Z_known)), expected, rtol=1e-6, atol=1e-9)


def test_contrastive_stays_finite_where_the_model_is_certain() -> None:
    Z, _ = features(4)
    values = contrastive(np.eye(2)[[0, 1]], Z[:2], np.eye(2)[[0, 0]], Z[2:])
    assert np.isfinite(values).all()
    assert values[0] == 0
    assert values[1] > 100


# -- density --------------------------------------------------------------------------------------------------


@forms
def test_density_is_the_mean_cosine_to_all(form: Callable[[Array], Matrix]) -> None:
    Z, _ = features(50)
    Z = Z * np.random.default_rng(0).uniform(0.5, 2, (50, 1)).astype(np.float32)
    proba = probabilities(50, 3)
    expected = margin(proba) * cosine_similarity(Z).mean(axis=1)
    np.testing.assert_allclose(density_weighted_margin(proba, form(Z)), expected, rtol=1e-4)


def test_task_without_features_or_against_the_pool_is_no_use() -> None:
    Z = np.array([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [0.0, 0.0]], np.float32)
    values = density_weighted_margin(np.full((4, 2), 0.5), Z)
    assert (values[:2] > 0).all()
    assert values[2:].tolist() == [0, 0]
