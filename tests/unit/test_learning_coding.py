"""Answers as decisions, and decisions as answers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss

from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.coding import LABEL_SETS, ONE_LABEL, THRESHOLD_FROM, labels_of, text_of
from label_studio_al.learning.folds import folds
from label_studio_al.learning.label_sets import ABSENT_PRESENT
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.types import Array

label_sets = st.sets(st.sampled_from("abcde"))


def sets(*found: str) -> Array:
    """Sets of labels of one letter: "ab" is {a, b}."""
    return np.array([text_of(one) for one in found], dtype=str)


@given(label_sets, label_sets)
def test_equal_sets_have_one_text_and_others_another(one: set[str], other: set[str]) -> None:
    assert (text_of(one) == text_of(list(other)[::-1])) == (one == other)
    assert set(labels_of(text_of(one))) == one


@pytest.mark.parametrize(
    ("answer", "within"),
    [("ab", "ab"), ("abz", "ab"), ("az", "a"), ("z", None), ("yz", None), ("", "")],
)
def test_set_keeps_the_labels_of_some_classes(answer: str, within: str | None) -> None:
    found = LABEL_SETS.within(text_of(answer), {"a", "b"})
    assert found == (None if within is None else text_of(within))


def test_label_is_among_some_classes_or_not() -> None:
    assert [ONE_LABEL.within(label, {"a", "b"}) for label in ("a", "z")] == ["a", None]


def test_text_of_a_set_is_json_that_people_can_read() -> None:
    assert json.loads(text_of(["é", "a", "a"])) == ["a", "é"]
    assert text_of(["é"]) == '["é"]'


@given(st.lists(label_sets, min_size=1, max_size=12))
def test_sets_are_read_back_from_their_decisions(found: list[set[str]]) -> None:
    y = np.array([text_of(one) for one in found], dtype=str)
    classes = LABEL_SETS.classes(y)
    has = LABEL_SETS.encode(y, classes)
    assert has.shape == (len(found), len(classes))
    beliefs = Beliefs(np.stack([1.0 - has, has * 1.0], axis=2), ABSENT_PRESENT, classes)
    decided = LABEL_SETS.decide(beliefs)
    assert decided.labels.tolist() == y.tolist()
    assert (decided.confidence == 1).all()
    assert LABEL_SETS.counts(y) == {name: int(n) for name, n in zip(classes.tolist(), has.sum(axis=0), strict=True)}


def test_labels_are_decided_for_from_their_thresholds_on() -> None:
    present = np.array([[0.3, 0.6], [0.2, 0.9]])
    proba = np.stack([1 - present, present], axis=2)
    beliefs = Beliefs(proba, ABSENT_PRESENT, np.array(["a", "b"]), np.array([0.25, 0.7]))
    decided = LABEL_SETS.decide(beliefs)
    assert decided.labels.tolist() == [text_of("a"), text_of("b")]
    np.testing.assert_allclose(decided.confidence, [0.3 * 0.4, 0.8 * 0.9])


def test_many_labels_are_told_apart() -> None:
    """More than a byte holds."""
    names = np.array([f"label {place:02}" for place in range(20)])
    has = np.random.default_rng(0).random((300, 20)) < 0.3
    decided = LABEL_SETS.decide(Beliefs(np.stack([~has, has], axis=2).astype(float), ABSENT_PRESENT, names))
    assert [set(labels_of(text)) for text in decided.labels.tolist()] == [set(names[row].tolist()) for row in has]


def test_losses_are_scikit_learns() -> None:
    decisions = np.random.default_rng(0).normal(size=(40, 3))
    one = np.random.default_rng(1).integers(3, size=(40, 1))
    proba = np.exp(decisions) / np.exp(decisions).sum(axis=1, keepdims=True)
    assert ONE_LABEL.losses(decisions, one).mean() == pytest.approx(log_loss(one[:, 0], proba))
    some = np.random.default_rng(2).integers(2, size=(40, 3))
    present = 1 / (1 + np.exp(-decisions))
    expected = np.mean([log_loss(some[:, k], present[:, k]) for k in range(3)])
    assert LABEL_SETS.losses(decisions, some).mean() == pytest.approx(expected)


def test_threshold_is_where_f1_is_highest_and_near_half_where_few_texts_tell() -> None:
    random = np.random.default_rng(0)
    has = random.random(2_000) < 0.1
    decisions = np.where(has, random.normal(-1, 1, 2_000), random.normal(-4, 1, 2_000))
    (found,) = LABEL_SETS.thresholds(decisions[:, None], has[:, None])
    present = 1 / (1 + np.exp(-decisions))
    best = max(f1_score(has, present >= cut) for cut in np.linspace(0.01, 0.99, 99))
    assert f1_score(has, present >= found) > best - 0.03
    assert f1_score(has, present >= 0.5) < best - 0.05
    few = np.zeros(2_000, dtype=bool)
    few[: THRESHOLD_FROM - 1] = True
    assert LABEL_SETS.thresholds(decisions[:, None], few[:, None]).tolist() == [0.5]


def test_each_fold_gets_its_share_of_each_rare_label() -> None:
    y = sets(*["ab"] * 40, *["a"] * 40, *["c"] * 10, *[""] * 10)
    fold_of = folds(Labelled(np.zeros((100, 1)), y, np.arange(100), LABEL_SETS), 5, 0)
    for wanted in "bc":
        has = np.array([wanted in labels_of(text) for text in y.tolist()])
        assert np.ptp(np.bincount(fold_of[has], minlength=5)) <= 1


def test_a_changed_decision_makes_another_answer() -> None:
    classes = np.array(["a", "b"])
    assert LABEL_SETS.changed(text_of("a"), classes, 1, 1) == text_of("ab")
    assert LABEL_SETS.changed(text_of("ab"), classes, 0, 0) == text_of("b")
    assert ONE_LABEL.changed("a", classes, 0, 1) == "b"


def test_f1_of_sets_is_scikit_learns() -> None:
    truth, predicted = sets("ab", "a", "", "c"), sets("a", "ab", "", "bc")
    pair = (
        np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1]]),
        np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]]),
    )
    expected = {f"{kind}_f1": f1_score(*pair, average=kind) for kind in ("macro", "micro")}
    assert LABEL_SETS.scores(truth, predicted) == pytest.approx({"accuracy": 0.25} | expected)
    one = np.array(["a", "b", "b"]), np.array(["a", "b", "a"])
    assert ONE_LABEL.scores(*one)["micro_f1"] == pytest.approx(2 / 3)
