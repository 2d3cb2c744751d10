"""Predictions as Label Studio takes them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_al.labeling import NO_ANSWER_SCORE, prediction, score
from label_studio_al.questions import parse_config
from tests.support.build import choice, config_xml

QUESTION = parse_config(config_xml()).question


def test_most_informative_task_has_the_lowest_score() -> None:
    assert [score(value) for value in (1.0, 0.75, 0.25, 0.0)] == [0.0, 0.25, 0.75, 1.0]


@given(first=st.floats(0, 1), second=st.floats(0, 1))
def test_score_turns_the_order_around(first: float, second: float) -> None:
    if first > second:
        assert score(first) <= score(second)


@given(informativeness=st.floats(allow_nan=True, allow_infinity=True))
def test_score_stays_between_0_and_1(informativeness: float) -> None:
    assert 0.0 <= score(informativeness) <= 1.0


@pytest.mark.parametrize(("informativeness", "expected"), [(-0.1, 1.0), (1.1, 0.0), (math.inf, 0.0), (-math.inf, 1.0)])
def test_values_outside_the_range_are_cut(informativeness: float, expected: float) -> None:
    assert score(informativeness) == expected


def test_task_without_an_answer_comes_last() -> None:
    assert score(0.0) <= NO_ANSWER_SCORE


def test_prediction_carries_order_and_probability_apart() -> None:
    assert prediction("al-7", 0.25, QUESTION.write("A", 0.875)) == {
        "model_version": "al-7",
        "score": 0.25,
        "result": [choice("A") | {"score": 0.875}],
    }


def test_prediction_without_an_answer_only_orders() -> None:
    assert prediction("al-7", 0.25, []) == {"model_version": "al-7", "score": 0.25, "result": []}


def test_predicted_label_is_read_back_as_the_label() -> None:
    assert QUESTION.read(QUESTION.write("B", 0.9)).answer == "B"
