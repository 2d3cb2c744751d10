"""<Pairwise>: what it asks, how its JSON and data files are read."""

from __future__ import annotations

import numpy as np
import pytest

from label_studio_al.learning.beliefs import one_decision
from label_studio_al.questions import parse_config, read_controls
from label_studio_al.questions.base import NOT_ANSWERED, OTHER_CONTROL, OTHER_TYPE, Reading
from label_studio_al.questions.pairwise import Pairwise
from label_studio_al.runtime.errors import InvalidRequest
from tests.support.answers import CONFIG, config, result

BETTER = Pairwise("better", "a")


def test_config_asks_which_of_two_texts() -> None:
    found = parse_config(CONFIG)
    assert found.question == BETTER
    assert found.question.summary == "which of two texts"
    assert found.content.fields == ("prompt", "first", "second")


@pytest.mark.parametrize(
    ("to_name", "rule"),
    [
        ("a", "must ask about two objects (toName=\"left,right\"), not 'a'"),
        ("a,a", "must ask about two objects"),
        ("a,b,ask", "must ask about two objects"),
        ("a,gone", "must point to objects of the label config, not to gone"),
        ("gone,lost", "must point to objects of the label config, not to gone, lost"),
        ("a,shot", "no model for a <Pairwise> about <Image> is built in"),
    ],
)
def test_config_that_cannot_be_learned_is_left_to_people(to_name: str, rule: str) -> None:
    (control,) = read_controls(config(to_name, '<Image name="shot" value="$shot"/>'))
    assert control.question is None
    assert rule in control.reason


def test_second_control_may_only_ask_about_the_same_two_texts() -> None:
    second = '<Pairwise name="{}" toName="{}"/>'
    (_, same, other, swapped) = read_controls(
        config("a,b", second.format("same", "a,b") + second.format("other", "a,ask") + second.format("swapped", "b,a"))
    )
    assert same.question is not None
    assert other.reason == swapped.reason == "another control chooses between a and b"


@pytest.mark.parametrize(
    ("selected", "reading"),
    [
        ("left", Reading("left")),
        ("right", Reading("right")),
        ("none", NOT_ANSWERED),
        *((bad, Reading(unread=OTHER_TYPE)) for bad in ("both", "LEFT", None, 1, ["left"], {}, float("nan"))),
    ],
)
def test_reading_of_an_annotation(selected: object, reading: Reading) -> None:
    assert BETTER.read(result(selected)) == reading
    assert BETTER.read(result(selected) * 2).answer == reading.answer


def test_annotation_that_answers_something_else() -> None:
    assert BETTER.read([]) == NOT_ANSWERED
    assert BETTER.read(None) == NOT_ANSWERED
    assert BETTER.read(result("left", control="other")).unread == OTHER_CONTROL
    assert BETTER.read(result("left") + result("right")).unread == OTHER_TYPE
    assert BETTER.read([{"from_name": "better", "value": "left"}]).unread == OTHER_TYPE


def test_prediction_is_read_as_the_same_answer() -> None:
    items = BETTER.write("right", 0.75)
    assert items == [
        {"from_name": "better", "to_name": "a", "type": "pairwise", "value": {"selected": "right"}, "score": 0.75}
    ]
    assert BETTER.read(items) == Reading("right")
    beliefs = one_decision(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array(["left", "right"]))
    assert [pairs[0] for pairs in BETTER.best(beliefs, 1)] == [("left", 0.9), ("right", 0.8)]


def test_cell_of_a_data_file_says_a_side() -> None:
    assert BETTER.parse(" Left ") == "left"
    for value in ("first", ["left"], 1):
        with pytest.raises(InvalidRequest, match=r"must be left or right \(pairwise\), not"):
            BETTER.parse(value)
