"""Measures of informativeness against values worked out by hand, and by what must not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import softmax
from skactiveml.pool import uncertainty_scores

from label_studio_al.learning.strategies import (
    MEASURES,
    Measure,
    by_position,
    entropy,
    highest,
    least_confidence,
    margin,
)
from label_studio_al.learning.types import Array
from tests.support.queries import any_probabilities, probabilities

measures = pytest.mark.parametrize("measure", MEASURES.values(), ids=list(MEASURES))


# Each row by hand: margin 1 - (p1 - p2); least confidence (1 - p1) * k / (k - 1); entropy in units of log k.
BY_HAND = [
    ([0.5, 0.5], 1.0, 1.0, 1.0),
    ([1.0, 0.0], 0.0, 0.0, 0.0),
    ([0.75, 0.25], 0.5, 0.5, 2 - 0.75 * math.log2(3)),
    ([0.25, 0.75], 0.5, 0.5, 2 - 0.75 * math.log2(3)),
    ([0.5, 0.5, 0.0], 1.0, 0.75, math.log(2) / math.log(3)),
    ([0.5, 0.25, 0.25], 0.75, 0.75, 1.5 * math.log(2) / math.log(3)),
    ([0.6, 0.3, 0.1], 0.7, 0.6, 0.8173454221465101),
    ([0.25, 0.25, 0.25, 0.25], 1.0, 1.0, 1.0),
    ([0.5, 0.5, 0.0, 0.0], 1.0, 2 / 3, 0.5),
]


@pytest.mark.parametrize(("row", "by_margin", "by_confidence", "by_entropy"), BY_HAND)
def test_measures_give_the_values_worked_out_by_hand(
    row: list[float], by_margin: float, by_confidence: float, by_entropy: float
) -> None:
    proba = np.array([row])
    assert margin(proba) == pytest.approx([by_margin])
    assert least_confidence(proba) == pytest.approx([by_confidence])
    assert entropy(proba) == pytest.approx([by_entropy])


def test_measures_agree_with_scikit_activeml() -> None:
    for n_labels in (2, 3, 7):
        proba = probabilities(200, n_labels)
        by_confidence = uncertainty_scores(proba, method="least_confident") * n_labels / (n_labels - 1)
        np.testing.assert_allclose(least_confidence(proba), by_confidence)
        np.testing.assert_allclose(margin(proba), uncertainty_scores(proba, method="margin_sampling"))
        np.testing.assert_allclose(entropy(proba), uncertainty_scores(proba, method="entropy") / np.log(n_labels))


@measures
def test_one_label_leaves_nothing_to_ask(measure: Measure) -> None:
    assert list(measure(np.ones((3, 1)))) == [0, 0, 0]


@measures
def test_no_tasks_have_no_informativeness(measure: Measure) -> None:
    assert measure(np.zeros((0, 3))).shape == (0,)


@measures
def test_certain_is_0_and_uniform_is_1(measure: Measure) -> None:
    for n_labels in range(2, 12):
        certain, uniform = np.eye(n_labels), np.full((1, n_labels), 1 / n_labels)
        np.testing.assert_allclose(measure(certain), 0.0, atol=1e-12)
        np.testing.assert_allclose(measure(uniform), 1.0, atol=1e-12)


@measures
@given(proba=any_probabilities())
def test_informativeness_lies_between_0_and_1(measure: Measure, proba: Array) -> None:
    values = measure(proba)
    assert values.shape == (len(proba),)
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert (values <= 1).all()


@measures
@given(spread=st.sampled_from([0.0, 1e-7, 0.1, 3.0, 1000.0]), n_labels=st.integers(2, 40), seed=st.integers(0, 1000))
def test_rounded_probabilities_stay_in_the_range(measure: Measure, spread: float, n_labels: int, seed: int) -> None:
    raw = np.random.default_rng(seed).normal(0, spread, (20, n_labels)).astype(np.float32)
    values = measure(np.asarray(softmax(raw, axis=1)))
    assert values.min() >= 0
    assert values.max() <= 1


@measures
@given(proba=any_probabilities(), data=st.data())
def test_order_of_the_labels_does_not_matter(measure: Measure, proba: Array, data: st.DataObject) -> None:
    columns = data.draw(st.permutations(range(proba.shape[1])))
    np.testing.assert_allclose(measure(proba[:, columns]), measure(proba), atol=1e-12)


@measures
@given(proba=any_probabilities(), data=st.data())
def test_order_of_the_tasks_does_not_matter(measure: Measure, proba: Array, data: st.DataObject) -> None:
    rows = np.array(data.draw(st.permutations(range(len(proba)))), dtype=int)
    np.testing.assert_allclose(measure(proba[rows]), measure(proba)[rows], atol=1e-12)


@given(proba=st.integers(0, 1000).map(lambda p: np.array([[p / 1000, 1 - p / 1000]])))
def test_measures_agree_on_the_order_of_two_labels(proba: Array) -> None:
    nearer = proba * 0.5 + 0.25
    for measure in MEASURES.values():
        assert measure(nearer)[0] >= measure(proba)[0] - 1e-12


@measures
def test_probabilities_are_left_as_they_are(measure: Measure) -> None:
    proba = np.array([[0.6, 0.3, 0.1], [0.1, 0.1, 0.8]])
    before = proba.copy()
    measure(proba)
    assert np.array_equal(proba, before)


# -- highest --------------------------------------------------------------------------------------------------

few_values = hnp.arrays(np.float64, st.integers(0, 40), elements=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
any_values = hnp.arrays(np.float64, st.integers(0, 40), elements=st.floats(0, 1))


@given(informativeness=few_values | any_values, n=st.integers(0, 50), seed=st.integers(0, 2**32 - 1))
def test_highest_are_those_of_a_full_sort(informativeness: Array, n: int, seed: int) -> None:
    chosen = highest(informativeness, np.arange(len(informativeness)), n, seed)
    assert len(chosen) == len(set(chosen.tolist())) == min(n, len(informativeness))
    assert np.array_equal(informativeness[chosen], np.sort(informativeness)[::-1][:n])


@given(informativeness=few_values, n=st.integers(0, 50), seed=st.integers(0, 2**32 - 1), data=st.data())
def test_ties_are_broken_the_same_way_wherever_the_tasks_lie(
    informativeness: Array, n: int, seed: int, data: st.DataObject
) -> None:
    keys = np.arange(len(informativeness))
    moved = np.array(data.draw(st.permutations(keys.tolist())), dtype=np.int64)
    expected = keys[highest(informativeness, keys, n, seed)].tolist()
    assert moved[highest(informativeness[moved], moved, n, seed)].tolist() == expected


def test_ties_are_drawn_not_taken_from_the_front() -> None:
    tied = np.ones(100)
    orders = {tuple(highest(tied, np.arange(100), 10, seed)) for seed in range(20)}
    assert len(orders) == 20
    assert len({task for order in orders for task in order}) > 60


@given(st.permutations([value / 20 for value in range(20)]), st.integers(1, 20))
@settings(max_examples=30)
def test_without_ties_the_seed_and_the_order_do_not_matter(values: list[float], n: int) -> None:
    informativeness = np.array(values)
    expected = [values.index(value) for value in sorted(values, reverse=True)[:n]]
    assert all(highest(informativeness, np.arange(20), n, seed).tolist() == expected for seed in (1, 2))


# -- by_position ----------------------------------------------------------------------------------------------


def test_places_fall_strictly_and_never_reach_0() -> None:
    values = by_position(np.arange(10_000))
    assert values[0] == 1.0
    assert (np.diff(values) < 0).all()
    assert values[-1] > 0


def test_later_places_continue_below_earlier_ones() -> None:
    assert by_position(np.arange(100, 110)).max() < by_position(np.arange(100)).min()


def test_no_places_have_no_values() -> None:
    assert by_position(np.arange(0)).shape == (0,)
