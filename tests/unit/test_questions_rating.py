"""<Rating>: what it asks, how its JSON and data files are read, what its figures say."""

from __future__ import annotations

import numpy as np
import pytest

from label_studio_al.learning.beliefs import one_decision
from label_studio_al.learning.evaluation import Outcome
from label_studio_al.questions import Rating, parse_config, read_controls
from label_studio_al.questions.base import OTHER_CONTROL, OTHER_TYPE, UNKNOWN_LABEL, Reading
from label_studio_al.questions.registry import KINDS
from label_studio_al.runtime.errors import InvalidRequest
from tests.support.reviews import CONFIG, result

RATING = Rating("stars", "text", ("1", "2", "3", "4", "5"))


def config(attributes: str = "") -> str:
    return f'<View><Text name="text" value="$text"/><Rating name="stars" toName="text" {attributes}/></View>'


def test_config_asks_for_stars_up_to_its_maximum() -> None:
    assert parse_config(CONFIG).question == RATING
    assert parse_config(config('maxRating="10" icon="fire"')).question.labels[-2:] == ("9", "10")
    assert parse_config(CONFIG).question.summary == "a rating from 1 to 5"


@pytest.mark.parametrize(
    ("attributes", "rule"),
    [
        ('perRegion="true"', "must ask about the whole text, not perRegion"),
        ('perItem="true"', "must ask about the whole text, not perItem"),
        *(
            (f'maxRating="{said}"', f"must have a maxRating of 2 to 100, not '{said}'")
            for said in ("1", "0", "-3", "x")
        ),
        ('maxRating="2.5"', "must have a maxRating of 2 to 100, not '2.5'"),
        ('maxRating="1000000"', "must have a maxRating of 2 to 100"),
        ('maxRating=""', "must have a maxRating of 2 to 100"),
    ],
)
def test_config_that_cannot_be_learned_is_left_to_people(attributes: str, rule: str) -> None:
    (control,) = read_controls(config(attributes))
    assert control.question is None
    assert rule in control.reason


@pytest.mark.parametrize(
    ("rating", "reading"),
    [
        (1, Reading("1")),
        (5, Reading("5")),
        (4.0, Reading("4")),
        (0, Reading(None, UNKNOWN_LABEL, ("0",))),
        (6, Reading(None, UNKNOWN_LABEL, ("6",))),
        (-1, Reading(None, UNKNOWN_LABEL, ("-1",))),
        (10**400, Reading(None, UNKNOWN_LABEL, (str(10**400),))),
        *((bad, Reading(unread=OTHER_TYPE)) for bad in (3.5, "3", True, None, [3], {}, float("nan"), float("inf"))),
    ],
)
def test_number_of_stars_is_the_answer(rating: object, reading: Reading) -> None:
    assert RATING.read(result(rating)) == reading


@pytest.mark.parametrize(
    ("given", "reading"),
    [
        ([], Reading()),
        (None, Reading()),
        ("3", Reading()),
        (result(3, "another"), Reading(unread=OTHER_CONTROL)),
        ([*result(3), *result(3)], Reading("3")),
        ([*result(3), *result(4)], Reading(unread=OTHER_TYPE)),
        ([{"from_name": "stars", "value": 3}], Reading(unread=OTHER_TYPE)),
        ([{"from_name": "stars"}], Reading(unread=OTHER_TYPE)),
        ([{"from_name": "stars", "value": {"choices": ["3"]}}], Reading(unread=OTHER_TYPE)),
        ([7, *result(3)], Reading("3")),
    ],
)
def test_result_that_is_odd_is_no_answer(given: object, reading: Reading) -> None:
    assert RATING.read(given) == reading


def test_prediction_is_read_as_it_was_written() -> None:
    (item,) = RATING.write("4", 0.123456789)
    assert (item["value"], item["type"], item["score"]) == ({"rating": 4}, "rating", 0.123457)
    assert RATING.read([item]) == Reading("4")


@pytest.mark.parametrize(
    ("value", "answer"), [("4", "4"), (" 4 ", "4"), ("4.0", "4"), ("+04", "4"), ("0", "0"), ("-2", "-2"), ("12", "12")]
)
def test_cell_of_a_data_file_is_a_whole_number(value: str, answer: str) -> None:
    assert RATING.parse(value) == answer


@pytest.mark.parametrize(
    ("value", "came"),
    [
        ("4.5", "'4.5'"),
        ("four", "'four'"),
        ("٤", "'٤'"),
        ([4], "[4]"),
        ({"rating": 4}, '{"rating": 4}'),
        ("9" * 12, "999"),
    ],
)
def test_cell_that_holds_something_else_is_refused_with_what_came(value: object, came: str) -> None:
    with pytest.raises(
        InvalidRequest, match=r"must be a whole number of stars \(round decimals before\), not "
    ) as refused:
        RATING.parse(value)
    assert came in str(refused.value)


def test_best_are_the_most_probable_ratings_that_are_offered() -> None:
    beliefs = one_decision(np.array([[0.5, 0.2, 0.3], [0.1, 0.7, 0.2]]), np.array(["6", "2", "3"]))
    assert RATING.best(beliefs, 2) == [[("3", 0.3), ("2", 0.2)], [("2", 0.7), ("3", 0.2)]]
    assert RATING.best(beliefs, 1, ["2", None]) == [[("2", 0.2)], [("2", 0.7)]]


def test_figures_tell_how_far_off_predictions_are() -> None:
    outcomes = [Outcome(said, predicted, 0.5, 10, is_audit=True) for said, predicted in ("11", "25", "33", "44")]
    found = RATING.figures(outcomes, RATING.labels, seed=0)
    assert found.accuracy is not None
    assert found.mean_absolute_error is not None
    assert (found.accuracy.value, found.mean_absolute_error.value) == (0.75, 0.75)
    assert [one.label for one in found.labels] == list(RATING.labels)


def test_answer_is_shown_as_the_number() -> None:
    assert RATING.show("4") == "4"


def test_no_two_kinds_have_the_same_fingerprint() -> None:
    prints = [kind.fingerprint for kind in KINDS]  # type: ignore[attr-defined]
    assert len(set(prints)) == len(prints)
