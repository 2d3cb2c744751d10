"""Which features, how calibrated, and the classifier."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_al.learning.learner import COMPARE_FROM, DECIDE_FROM, DECIDE_UP_TO, Tuning, n_deciding, train, tune
from label_studio_al.learning.types import Array
from tests.support.queries import labelled

N = 300
GOOD, NOISE = np.arange(5), np.arange(5, 10)


def data(seed: int = 0, blur: float = 0.6) -> tuple[Array, Array]:
    """Five columns that tell the label, and five that do not."""
    draw = np.random.default_rng(seed)
    y = np.array(["A", "B"])[draw.integers(0, 2, N)]
    told = (y == "A")[:, None] * np.ones(5) + draw.normal(0, blur, (N, 5))
    return np.hstack([told, draw.normal(0, 1, (N, 5))]).astype(np.float32), y


def test_better_features_are_chosen_and_the_reason_is_said() -> None:
    X, y = data()
    tuning = tune(labelled(X, y), {"noise": NOISE, "good": GOOD}, "auto", seed=0)
    assert tuning.choice == "good"
    assert "good" in tuning.sentence()
    assert str(tuning.n_labels) in tuning.sentence()
    assert set(train(labelled(X, y), {"noise": NOISE, "good": GOOD}, tuning).columns) <= set(GOOD)


def test_default_stays_where_the_difference_is_noise() -> None:
    X, y = data()
    choices = {"all": np.arange(10), "good": GOOD, "again": GOOD}
    assert tune(labelled(X, y), {"good": GOOD, "again": GOOD}, "auto", seed=0).choice == "good"
    some = labelled(X, y)
    assert tune(some[: DECIDE_FROM - 1], choices, "auto", seed=0) == Tuning("all")
    few = tune(some[: COMPARE_FROM - 1], {"noise": NOISE, "good": GOOD}, "auto", seed=0)
    assert (few.choice, few.losses) == ("noise", None)


@pytest.mark.parametrize(("wanted", "expected"), [("noise", "noise"), ("good", "good"), ("gone", "noise")])
def test_wanted_features_are_taken_if_they_exist(wanted: str, expected: str) -> None:
    X, y = data()
    assert tune(labelled(X, y), {"noise": NOISE, "good": GOOD}, wanted, seed=0).choice == expected


@given(st.integers(0, 100_000))
def test_decision_rests_on_a_number_that_grows_seldom(n_labels: int) -> None:
    n = n_deciding(n_labels)
    assert n <= min(n_labels, DECIDE_UP_TO)
    assert (n == 0) == (n_labels < DECIDE_FROM)
    if DECIDE_FROM <= n_labels <= DECIDE_UP_TO:
        assert n_labels < 1.5 * (n + 1)


def test_later_labels_do_not_change_the_decision() -> None:
    X, y = data()
    choices = {"noise": NOISE, "good": GOOD}
    assert n_deciding(150) == n_deciding(200)
    assert tune(labelled(X, y)[:150], choices, "auto", 0) == tune(labelled(X, y)[:200], choices, "auto", 0)


def test_probabilities_are_as_sure_as_they_are_right() -> None:
    """Labels that are wrong one time in five: the model must not be surer than that."""
    draw = np.random.default_rng(1)
    X, y = data(1, blur=0.1)
    is_wrong = draw.random(N) < 0.2
    y = np.where(is_wrong, np.where(y == "A", "B", "A"), y)
    X = np.hstack([X, draw.normal(0, 1, (N, 300))]).astype(np.float32)
    choices = {"all": np.arange(X.shape[1])}
    tuning = tune(labelled(X, y), choices, "auto", 0)
    assert tuning.temperature > 1
    half = N // 2
    fresh = train(labelled(X, y)[:half], choices, tuning).believe(X[half:]).wide
    cold = train(labelled(X, y)[:half], choices, Tuning("all")).believe(X[half:]).wide
    truth = (y[half:] == "B").astype(int)

    def loss(proba: Array) -> float:
        return float(-np.log(np.maximum(proba[np.arange(half), truth], 1e-12)).mean())

    assert loss(fresh) < loss(cold)


def test_label_with_one_example_and_one_label_only_are_taken() -> None:
    X, y = data()
    y = y.astype("<U5")
    y[3] = "rare"
    assert tune(labelled(X, y), {"good": GOOD}, "auto", 0).n_labels == n_deciding(N)
    assert tune(labelled(X, np.full(N, "A")), {"good": GOOD}, "auto", 0) == Tuning("good")


def test_same_labels_and_seed_decide_alike() -> None:
    X, y = data()
    choices = {"all": np.arange(10), "good": GOOD}
    assert tune(labelled(X, y), choices, "auto", 5) == tune(labelled(X, y), choices, "auto", 5)
