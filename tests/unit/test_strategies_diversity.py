"""Diversity strategies against scikit-activeml, scikit-learn and hand-made pools."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from skactiveml.pool import CoreSet
from sklearn.cluster import KMeans

from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.rows import Matrix, Rows
from label_studio_al.learning.strategies import Query, diversity
from label_studio_al.learning.strategies.clusters import compact, k_means_centres, nearest, spread
from label_studio_al.learning.strategies.diversity import most_typical
from label_studio_al.learning.types import Array
from tests.support.queries import FORMS, features, labelled

Chooser = Callable[..., Array]


def k_center(Z: Matrix, known: Matrix, n: int, seed: int, keys: Array | None = None) -> Array:
    """Tasks are numbered by their places where no keys are given."""
    return diversity.k_center(Z, known, np.arange(Z.shape[0]) if keys is None else keys, n, seed)


def query(Z: Matrix, known: Matrix, n: int, batch: int, seed: int, keys: Array | None) -> Query:
    keys = np.arange(Z.shape[0]) if keys is None else keys
    labels = labelled(known, np.full(known.shape[0], "any"))
    return Query(Z, Z, keys, labels, known, None, n, batch, seed, fit_classifier)


def k_means(Z: Matrix, known: Matrix, n: int, batch: int, seed: int, keys: Array | None = None) -> Array:
    return diversity.k_means(query(Z, known, n, batch, seed, keys))


def typiclust(Z: Matrix, known: Matrix, n: int, batch: int, seed: int, keys: Array | None = None) -> Array:
    return diversity.typiclust(query(Z, known, n, batch, seed, keys))


CHOOSERS: dict[str, Chooser] = {
    "k_center": k_center,
    "k_means": lambda Z, known, n, seed, keys=None: k_means(Z, known, n, 4, seed, keys),
    "typiclust": lambda Z, known, n, seed, keys=None: typiclust(Z, known, n, 4, seed, keys),
}
ONE_BATCH: dict[str, Chooser] = {
    "k_center": k_center,
    "k_means": lambda Z, known, n, seed: k_means(Z, known, n, n, seed),
    "typiclust": lambda Z, known, n, seed: typiclust(Z, known, n, n, seed),
}
one_batch = pytest.mark.parametrize("choose", ONE_BATCH.values(), ids=list(ONE_BATCH))
choosers = pytest.mark.parametrize("choose", CHOOSERS.values(), ids=list(CHOOSERS))
forms = pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
NOBODY = np.zeros((0, 2), dtype=np.float32)


def groups(*sizes: int, seed: int = 0) -> tuple[Array, Array]:
    """Tight groups of tasks on a circle, and the group of each task."""
    of = np.arange(len(sizes)).repeat(sizes)
    angle = of * (2 * np.pi / len(sizes)) + np.random.default_rng(seed).normal(0, 0.02, len(of))
    return np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32), of


@choosers
@given(n_tasks=st.integers(0, 30), n_labelled=st.integers(0, 6), n=st.integers(0, 40), seed=st.integers(0, 9))
@settings(max_examples=30)
def test_chosen_are_distinct_and_as_many_as_there_can_be(
    choose: Chooser, n_tasks: int, n_labelled: int, n: int, seed: int
) -> None:
    Z, _ = features(n_tasks + n_labelled, seed)
    chosen = choose(Z[n_labelled:], Z[:n_labelled], n, seed)
    assert len(chosen) == len(set(chosen.tolist())) == min(n, n_tasks)
    assert set(chosen.tolist()) <= set(range(n_tasks))


@choosers
@forms
def test_form_of_the_features_does_not_matter(choose: Chooser, form: Callable[[Array], Matrix]) -> None:
    Z, _ = features(80)
    assert choose(form(Z[10:]), form(Z[:10]), 20, 1).tolist() == choose(Z[10:], Z[:10], 20, 1).tolist()


@choosers
@given(seed=st.integers(0, 99))
@settings(max_examples=10)
def test_order_of_the_pool_does_not_matter(choose: Chooser, seed: int) -> None:
    Z, _ = features(80, seed)
    order = np.random.default_rng(seed).permutation(70)
    pool, labelled = Z[10:], Z[:10]
    assert order[choose(pool[order], labelled, 15, seed, order)].tolist() == choose(pool, labelled, 15, seed).tolist()


@choosers
def test_shorter_window_is_the_beginning_of_a_longer_one(choose: Chooser) -> None:
    Z, _ = features(80)
    longest = choose(Z[10:], Z[:10], 60, 3).tolist()
    assert all(choose(Z[10:], Z[:10], n, 3).tolist() == longest[:n] for n in (1, 4, 5, 20, 59))


@one_batch
def test_one_task_of_each_group_before_a_second_of_any(choose: Chooser) -> None:
    Z, of = groups(30, 20, 25, 5)
    assert sorted(of[choose(Z, NOBODY, 4, 0)]) == [0, 1, 2, 3]


@one_batch
def test_groups_with_a_label_are_passed_over(choose: Chooser) -> None:
    Z, of = groups(30, 20, 25, 15)
    labelled = np.array([Z[of == 0][0], Z[of == 2][0]])
    assert sorted(of[choose(Z, labelled, 2, 0)]) == [1, 3]


@choosers
def test_tasks_that_are_all_alike_are_still_chosen(choose: Chooser) -> None:
    for alike in (np.ones((20, 3), np.float32), np.zeros((20, 3), np.float32)):
        assert len(set(choose(alike, alike[:2], 12, 0).tolist())) == 12


def test_ties_are_drawn() -> None:
    alike = np.ones((50, 2), np.float32)
    assert len({tuple(k_center(alike, NOBODY, 3, seed)) for seed in range(10)}) == 10


# -- k-center -------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 99))
@settings(max_examples=10)
def test_k_center_agrees_with_scikit_activeml(seed: int) -> None:
    Z, _ = features(60, seed)
    y = np.full(60, np.nan)
    y[:5] = 0
    other = CoreSet(random_state=0).query(X=Z.astype(np.float64), y=y, batch_size=12)
    assert (k_center(Z[5:].astype(np.float64), Z[:5].astype(np.float64), 12, 0) + 5).tolist() == other.tolist()


# -- TypiClust and k-means ------------------------------------------------------------------------------------


def test_larger_groups_come_first() -> None:
    Z, of = groups(10, 40, 20, 30)
    assert of[typiclust(Z, NOBODY, 4, 4, 0)].tolist() == [1, 3, 2, 0]


def test_most_typical_is_nearest_to_its_neighbours() -> None:
    rows, _ = features(30)
    distances = np.sort(cdist(rows, rows), axis=1)[:, 1:16]
    expected = np.argsort(distances.mean(axis=1))
    assert most_typical(rows)[:5].tolist() == expected[:5].tolist()


def test_rows_beyond_those_compared_come_last() -> None:
    rows, _ = features(620)
    order = most_typical(rows)
    assert sorted(order.tolist()) == list(range(620))
    assert order[500:].tolist() == list(range(500, 620))


def test_k_means_takes_the_middle_of_each_group() -> None:
    Z, of = groups(31, 21, 11)
    for task in k_means(Z, NOBODY, 3, 3, 0):
        own = np.flatnonzero(of == of[task])
        assert task == own[np.linalg.norm(Z[own] - Z[own].mean(axis=0), axis=1).argmin()]


def test_centres_are_as_good_as_those_of_scikit_learn() -> None:
    Z, _ = features(400)
    ours = nearest(Z, k_means_centres(Z, 8, 0))[1].sum()
    other = np.mean([KMeans(8, n_init=1, random_state=seed).fit(Z).inertia_ for seed in range(5)])
    assert ours < 1.05 * other


@forms
def test_nearest_are_those_of_scipy(form: Callable[[Array], Matrix], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("label_studio_al.learning.rows.MAX_PRODUCTS", 50)
    Z, _ = features(40)
    distances = cdist(Z[7:], Z[:7], "sqeuclidean")
    which, squared = nearest(form(Z[7:]), form(Z[:7]))
    assert which.tolist() == distances.argmin(axis=1).tolist()
    np.testing.assert_allclose(squared, distances.min(axis=1), atol=1e-6)


def test_wide_sparse_features_keep_their_groups_when_compact() -> None:
    random = np.random.default_rng(0)
    of = random.integers(4, size=200)
    wide = np.zeros((200, 2000), np.float32)
    for task, group in enumerate(of):
        wide[task, group * 500 + random.integers(100, size=20)] = 1
    rows, labelled = compact(FORMS["sparse"](wide), FORMS["sparse"](wide[:3]), np.arange(200), 0)
    assert rows.shape == (200, 32)
    np.testing.assert_allclose(labelled, rows[:3], atol=1e-5)
    is_same = of[:, None] == of
    similarity = rows @ rows.T
    assert similarity[is_same].mean() > 5 * abs(similarity[~is_same]).mean()
    assert sorted(of[typiclust(FORMS["sparse"](wide), FORMS["sparse"](wide[:0]), 4, 4, 0)]) == [0, 1, 2, 3]


def test_empty_view_beside_another_is_compact() -> None:
    Z, _ = features(10)
    empty = FORMS["sparse"](np.zeros((10, 1000), np.float32))
    rows, _ = compact(Rows((empty, Z)), Rows((empty[:0], Z[:0])), np.arange(10), 0)
    assert rows.shape[0] == 10
    assert np.isfinite(rows).all()


# -- spread ---------------------------------------------------------------------------------------------------


def test_chance_of_a_task_is_its_squared_distance() -> None:
    places = np.array([0.0, 1.0, 2.0, 3.0])
    drawn = [spread(lambda task: (places - places[task]) ** 2, 0, 2, np.arange(4), seed)[1] for seed in range(3000)]
    shares = np.bincount(drawn, minlength=4) / 3000
    np.testing.assert_allclose(shares, [0, 1 / 14, 4 / 14, 9 / 14], atol=0.03)


def test_spread_goes_on_where_nothing_is_left_apart() -> None:
    alike = partial(np.zeros, 6)
    chosen = spread(lambda task: alike(), 2, 6, np.arange(6), 0)
    assert sorted(chosen.tolist()) == list(range(6))
