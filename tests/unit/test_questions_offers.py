"""What is learned of choices that come from the tasks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from label_studio_al.labeling.tags import MAX_CONFIG_CHARACTERS
from label_studio_al.questions import Offer, awaited_fields, parse_config, read_controls, write_offers
from label_studio_al.runtime.errors import AwaitsTasks, UnsupportedConfig
from tests.support.build import config_xml

FIELD = "options"


def dynamic(inside: str = "", *, attributes: str = "") -> str:
    choices = f'<Choices name="topic" toName="text" value="${FIELD}" {attributes}>{inside}</Choices>'
    return f'<View><Text name="text" value="$text"/>{choices}</View>'


def told(*options: Any) -> Offer:
    offer = Offer(FIELD)
    for task_id, value in enumerate(options, start=1):
        offer.tell(task_id, {"text": "a", FIELD: value})
    return offer


def offers(*options: Any) -> str:
    return write_offers({FIELD: told(*options)})


def listed(*labels: str) -> list[dict[str, str]]:
    return [{"value": label} for label in labels]


def test_choices_that_all_tasks_offer_are_learned_after_those_of_the_config() -> None:
    config = parse_config(dynamic('<Choice value="Z"/><Choice value="B"/>'), offers(listed("A", "B"), listed("A", "B")))
    assert config.question.labels == ("Z", "B", "A")
    assert config.content.fields == ("text",)


def test_several_may_be_chosen_and_an_alias_is_what_results_hold() -> None:
    options = [{"value": "Long name", "alias": "a", "html": "<b>Long</b>"}, {"value": "b", "hint": "c"}]
    question = parse_config(dynamic(attributes='choice="multiple"'), offers(options)).question
    assert (question.summary, question.labels) == ("any number of 2 labels", ("a", "b"))


@pytest.mark.parametrize(
    "other",
    [
        None,
        [],
        "A,B",
        listed("B", "A"),
        listed("A"),
        listed("A", "B", "C"),
        [{"value": "A", "html": "<b>A</b>"}, {"value": "B"}],
    ],
)
def test_one_task_with_another_list_leaves_them_to_people(other: Any) -> None:
    for lists in ((listed("A", "B"), other), (other, listed("A", "B"))):
        with pytest.raises(UnsupportedConfig, match=r"different choices in 'options', 1 and 2 for example") as caught:
            parse_config(dynamic(), offers(*lists))
        assert not isinstance(caught.value, AwaitsTasks)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "A,B",
        7,
        {"value": "A"},
        # The labelling page shows these as empty choices.
        ["A", "B"],
        [{"value": "A"}, {"label": "B"}],
        [{"value": "A"}, {"value": 2}],
        [{"value": "A"}, {"value": 2, "alias": "b"}],
        [{"value": "A"}, {"value": " "}],
        [{"value": "A"}, {"value": "B", "alias": ""}],
        [{"value": "A"}, {"value": "$text"}],
        [{"value": "A"}, {"value": "a\0b"}],
        [{"value": "A"}, {"value": "\ud800"}],
    ],
)
def test_what_the_page_does_not_show_as_choices_is_left_to_people(value: Any) -> None:
    with pytest.raises(UnsupportedConfig, match="'options' must hold a list of choices"):
        parse_config(dynamic(), offers(value, value))


def test_missing_field_is_no_list() -> None:
    offer = Offer(FIELD)
    offer.tell(3, {"text": "a"})
    with pytest.raises(UnsupportedConfig, match="which 3, for example, does not"):
        parse_config(dynamic(), write_offers({FIELD: offer}))


def test_empty_list_and_doubled_choices_count_as_what_is_shown() -> None:
    with pytest.raises(UnsupportedConfig, match="2 labels or more, not 0"):
        parse_config(dynamic(), offers([]))
    with pytest.raises(UnsupportedConfig, match="2 labels or more, not 1"):
        parse_config(dynamic(), offers(listed("A", "A")))
    assert parse_config(dynamic('<Choice value="A"/><Choice value="B"/>'), offers([])).question.labels == ("A", "B")


def test_thousand_choices_are_learned_and_more_than_a_config_could_hold_are_not() -> None:
    labels = [f"label {n}" for n in range(1_000)]
    assert parse_config(dynamic(), offers(listed(*labels))).question.labels == tuple(labels)
    with pytest.raises(UnsupportedConfig, match=f"may offer {MAX_CONFIG_CHARACTERS} characters of choices, not more"):
        parse_config(dynamic(), offers(listed("A", "B" * MAX_CONFIG_CHARACTERS)))


def test_field_may_be_nested() -> None:
    xml = dynamic().replace(FIELD, "meta.options[0]")
    assert awaited_fields(xml) == ["meta.options[0]"]
    offer = Offer("meta.options[0]")
    offer.tell(1, {"meta": {"options": [listed("A", "B")]}})
    assert parse_config(xml, write_offers({offer.field: offer})).question.labels == ("A", "B")


def test_before_tasks_are_read_a_config_with_nothing_else_waits_for_them() -> None:
    with pytest.raises(AwaitsTasks, match="waits for tasks: topic, because its choices come from the tasks"):
        parse_config(dynamic(), offers())
    beside = dynamic().replace("</View>", '<Rating name="stars" toName="text"/></View>')
    assert parse_config(beside).names == ("stars",)
    assert parse_config(beside, offers(listed("A", "B"))).names == ("topic", "stars")
    assert [(one.name, one.awaits) for one in read_controls(beside)] == [("topic", FIELD), ("stars", None)]


def test_tasks_are_not_read_for_what_is_never_learned() -> None:
    about_audio = dynamic().replace("<Text", "<Audio")
    assert [awaited_fields(xml) for xml in (about_audio, dynamic(attributes='perItem="true"'), config_xml(), "<")] == [
        [],
        [],
        [],
        [],
    ]


def test_offers_are_json_that_may_be_stored() -> None:
    assert json.loads(offers(listed("A", "é"))) == {FIELD: ["A", "é"]}
    assert offers() == "{}"
