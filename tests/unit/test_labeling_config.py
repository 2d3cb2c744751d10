"""What a label config asks, and how its answers are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from label_studio_al.labeling.content import field_content
from label_studio_al.labeling.tags import MAX_CONFIG_CHARACTERS
from label_studio_al.learning.coding import labels_of
from label_studio_al.questions import (
    UNREAD,
    LabelConfig,
    MultipleChoice,
    Question,
    SingleChoice,
    parse_config,
    read_controls,
)
from label_studio_al.questions.base import Reading
from label_studio_al.questions.registry import KINDS
from label_studio_al.runtime.errors import InvalidRequest, UnsupportedConfig
from tests.support.build import choice, config_xml

QUESTION = SingleChoice("topic", "text", ("A", "B"))
CONFIG = LabelConfig((QUESTION,), field_content("text"))
A_OR_B = '<Choice value="A"/><Choice value="B"/>'


def view(inside: str) -> str:
    return f"<View>{inside}</View>"


def about_text(control: str) -> str:
    return view(f'<Text name="text" value="$text"/>{control}')


def about(shown: str) -> str:
    return view(f'{shown}<Choices name="topic" toName="text">{A_OR_B}</Choices>')


def test_recorded_config_asks_for_a_label_about_the_text(payload: Callable[[str], dict[str, Any]]) -> None:
    assert parse_config(payload("setup")["schema"]) == CONFIG


def test_bundled_config_can_be_learnt() -> None:
    bundled = Path(__file__).parents[2] / "label_config.xml"
    assert len(parse_config(bundled.read_text(encoding="utf-8")).question.labels) >= 2


def test_question_is_found_below_headers_and_styles() -> None:
    xml = view(
        '<Style>.x { color: red }</Style><Header value="What is it about?"/>'
        f'<View className="x"><Text name="body" value="$body"/></View>'
        f'<Choices name="kind" toName="body" choice="single-radio" required="true">{A_OR_B}</Choices>'
    )
    assert parse_config(xml) == LabelConfig((SingleChoice("kind", "body", ("A", "B")),), field_content("body"))


def test_hypertext_is_a_text() -> None:
    assert parse_config(about('<HyperText name="text" value="$html"/>')).content.fields == ("html",)


def test_text_that_is_the_same_for_all_tasks_may_stand_beside_the_one_asked_about() -> None:
    xml = about('<Text name="hint" value="Read all of it"/><Text name="text" value="$body"/>')
    assert parse_config(xml).content.fields == ("body",)


@pytest.mark.parametrize("path", ["msg.body", "a[0].b", "parts[12]", "a.b.c[0][1]"])
def test_nested_field_is_a_path(path: str) -> None:
    assert parse_config(about(f'<Text name="text" value="${path}"/>')).content.fields == (path,)


def test_labels_keep_the_order_of_the_config() -> None:
    assert parse_config(config_xml(("Zebra", "ant", "Élan", "熊"))).question.labels == ("Zebra", "ant", "Élan", "熊")


def test_doubled_label_counts_once() -> None:
    assert parse_config(config_xml(("A", "B", "A"))).question.labels == ("A", "B")


def test_label_with_an_alias_goes_by_its_alias_as_in_results() -> None:
    xml = about_text('<Choices name="topic" toName="text"><Choice value="A" alias="a"/><Choice value="B"/></Choices>')
    assert parse_config(xml).question.labels == ("a", "B")


@pytest.mark.parametrize(
    ("xml", "rule"),
    [
        ("", "is empty"),
        ("   \n", "is empty"),
        ("hello", "is not valid"),
        ("<View>", "is not valid"),
        ("<View/>", "has no control"),
        (about_text(""), "has no control"),
        (about_text('<Number name="topic" toName="text"/>'), "topic, because no model for <Number> is built in"),
        (
            view(
                '<Paragraphs name="text" value="$text"/><Labels name="topic" toName="text"><Label value="A"/></Labels>'
            ),
            "<Labels> must mark <Text> or <HyperText>, not <Paragraphs>",
        ),
        (about_text('<Labels name="topic" toName="text"/>'), "<Labels> must offer a label"),
        (
            about_text('<Labels name="topic" toName="text" value="$options"><Label value="A"/></Labels>'),
            "must stand in the label config",
        ),
        (
            about_text(f'<Choices name="topic" toName="text" choice="several">{A_OR_B}</Choices>'),
            "must be single or multiple choice, not choice='several'",
        ),
        (about_text('<Choices name="topic" toName="text" value="$options"/>'), "waits for tasks: topic, because"),
        (about_text('<Choices name="topic" toName="text" value="$a-b"/>'), "must name one field of the tasks"),
        (
            about_text('<Choices name="topic" toName="text" value="$options" allownested="true"/>'),
            "with plain labels, not allowNested",
        ),
        (config_xml(("A",)), "must offer 2 labels or more, not 1"),
        (config_xml(("A", "A")), "must offer 2 labels or more, not 1"),
        (
            about_text(f'<Choices name="topic" toName="elsewhere">{A_OR_B}</Choices>'),
            "must point to objects of the label config, not to elsewhere",
        ),
        (
            about_text(f'<Choices name="topic" toName="text,elsewhere">{A_OR_B}</Choices>'),
            "must point to objects of the label config, not to elsewhere",
        ),
        *(
            (about_text(f'<{tag} name="topic" toName="text">{A_OR_B}{empty}</{tag}>'), f"and {n} of {n + 2} have none")
            for tag in ("Choices", "Taxonomy")
            for empty, n in (("<Choice>C</Choice>", 1), ('<Choice value=" " alias=""><Choice value="C"/></Choice>', 2))
        ),
        (about('<Audio name="text" value="$audio"/>'), "no model for a <Choices> about <Audio> is built in"),
        (about('<Text name="text" value="$text" valueType="url"/>'), "are not fetched"),
        (about('<Text name="text" value="always the same"/>'), "must take its text from the task"),
        (about('<Text name="text" value="$my-field"/>'), "not '$my-field'"),
        (about('<Text name="text" value="$text" encoding="base64"/>'), "not as 'base64'"),
        (
            about_text('<Choices name="topic" toName="text"><Choice value="$a"/><Choice value="B"/></Choices>'),
            "must stand in the label config",
        ),
        ('<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><View>&e;</View>', "document type"),
        ("<!doctype html><View/>", "document type"),
        ("<View>" + "x" * MAX_CONFIG_CHARACTERS + "</View>", f"may have {MAX_CONFIG_CHARACTERS} characters"),
    ],
)
def test_config_that_cannot_be_learnt_is_refused_with_one_sentence(xml: str, rule: str) -> None:
    with pytest.raises(UnsupportedConfig) as caught:
        parse_config(xml)
    message = str(caught.value)
    assert rule in message
    assert "\n" not in message
    assert len(message) < 400
    assert caught.value.status == 422


BESIDE = about_text(
    f'<Choices name="topic" toName="text">{A_OR_B}</Choices><TextArea name="why" toName="text"/>'
    '<Choices name="part" toName="text" perRegion="true"><Choice value="x"/><Choice value="y"/></Choices>'
)


def test_controls_beside_the_one_that_is_learned_are_left_to_people() -> None:
    assert parse_config(BESIDE) == LabelConfig((QUESTION,), field_content("text"), frozenset({"why", "part"}))
    assert [(one.name, one.tag, one.question, one.reason) for one in read_controls(BESIDE)] == [
        ("topic", "Choices", QUESTION, ""),
        ("why", "TextArea", None, "no model for <TextArea> is built in"),
        ("part", "Choices", None, "<Choices> must ask about the whole text with plain labels, not perRegion"),
    ]


def test_what_people_write_into_other_controls_is_no_answer_and_no_fault() -> None:
    config, comment = parse_config(BESIDE), {"from_name": "why", "type": "textarea", "value": {"text": ["because"]}}
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    assert config.read([comment, choice("A"), relation])["topic"].answer == "A"
    assert config.read([comment, relation])["topic"] == Reading()
    assert config.read([choice("A", control="gone"), comment])["topic"].unread == "other_control"
    sets = parse_config(BESIDE.replace('name="topic"', 'name="topic" choice="multiple"'))
    assert sets.read([comment])["topic"].answer == "[]", "nothing ticked, with a comment"


TWO_QUESTIONS = about_text(
    f'<Choices name="one" toName="text">{A_OR_B}</Choices>'
    f'<Choices name="two" toName="text" choice="multiple">{A_OR_B}</Choices>'
)


def test_each_control_that_is_learned_is_a_question() -> None:
    config = parse_config(TWO_QUESTIONS)
    assert config.names == ("one", "two")
    readings = config.read([choice("A", control="one")])
    assert {name: reading.answer for name, reading in readings.items()} == {"one": "A", "two": "[]"}
    readings = config.read([choice("B", control="two")])
    assert {name: reading.answer for name, reading in readings.items()} == {"one": None, "two": '["B"]'}
    items = config.write({"two": ('["A", "B"]', 0.5), "one": ("B", 0.9)})
    assert [(item["from_name"], item["value"]["choices"]) for item in items] == [("one", ["B"]), ("two", ["A", "B"])]


def test_one_of_several_questions_is_named() -> None:
    config = parse_config(TWO_QUESTIONS)
    assert config.only("two").names == ("two",)
    assert config.only("two").others == {"one"}
    for name, rule in ((None, "say which with --question"), ("three", "asks one, two, not 'three'")):
        with pytest.raises(InvalidRequest, match=rule):
            config.only(name)


def test_refused_config_is_refused_again() -> None:
    for _ in range(2):
        with pytest.raises(UnsupportedConfig):
            parse_config("<View/>")


def test_choices_about_regions_are_refused() -> None:
    with pytest.raises(UnsupportedConfig):
        parse_config(about_text(f'<Choices name="topic" toName="text" perRegion="true">{A_OR_B}</Choices>'))


def test_choices_below_choices_are_refused() -> None:
    nested = '<Choice value="A"><Choice value="A1"/></Choice><Choice value="B"/>'
    with pytest.raises(UnsupportedConfig):
        parse_config(about_text(f'<Choices name="topic" toName="text" allowNested="true">{nested}</Choices>'))


def test_field_without_a_name_is_refused() -> None:
    with pytest.raises(UnsupportedConfig):
        parse_config(about('<Text name="text" value="$"/>'))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"text": "hello"}, "hello"),
        ({"text": ""}, ""),
        ({"text": "/etc/passwd"}, "/etc/passwd"),
        ({"text": "na\u00efve \U0001f600"}, "na\u00efve \U0001f600"),
        ({"text": "half \ud800 a pair"}, "half ? a pair"),
        ({"text": 42}, "42"),
        ({"text": 1.5}, "1.5"),
        ({"text": True}, None),
        ({"text": None}, None),
        ({"text": ["hello"]}, "hello"),
        ({"text": ["one", "two, three", 4, None, ""]}, "one,two, three,4,,"),
        ({"text": []}, None),
        ({"text": ["one", {"two": 2}]}, None),
        ({"text": [["one"]]}, None),
        ({"text": {"text": "hello"}}, None),
        ({"body": "hello"}, None),
        ({}, None),
    ],
)
def test_text_of_a_task(data: dict[str, Any], text: str | None) -> None:
    assert CONFIG.text_of(data) == text


@pytest.mark.parametrize(
    ("path", "data", "text"),
    [
        ("msg.body", {"msg": {"body": "hello"}}, "hello"),
        ("msg.body", {"msg.body": "whole", "msg": {"body": "nested"}}, "whole"),
        ("a[0].b", {"a": [{"b": "first"}, {"b": "second"}]}, "first"),
        ("a[1]", {"a": ["first", "second"]}, "second"),
        ("a.1", {"a": ["first", "second"]}, "second"),
        ("a[2]", {"a": ["first", "second"]}, None),
        ("a.b", {"a": "text"}, None),
        ("a.b", {"a": None}, None),
        ("a.b", {}, None),
        ("a.b", {"a": {"b": ["one", "two"]}}, "one,two"),
        ("a.b", {"a": {"b": {"c": "deeper"}}}, None),
    ],
)
def test_text_at_a_path(path: str, data: dict[str, Any], text: str | None) -> None:
    assert replace(CONFIG, content=field_content(path)).text_of(data) == text


@pytest.mark.parametrize(
    ("result", "label"),
    [
        ([choice("A")], "A"),
        ([choice("X", control="other"), choice("B")], "B"),
        ([], None),
        (None, None),
        ("A", None),
        ({"choices": ["A"]}, None),
        (["A", None, 3], None),
        ([choice("not in the config")], None),
        ([choice("A", control="other")], None),
        ([{"from_name": "topic"}], None),
        ([{"from_name": "topic", "value": None}], None),
        ([{"from_name": "topic", "value": {"choices": "A"}}], None),
        ([{"from_name": "topic", "value": {"choices": []}}], None),
        ([{"from_name": "topic", "value": {"choices": ["A", "B"]}}], None),
        ([{"from_name": "topic", "value": {"choices": [["A"]]}}], None),
        ([{"from_name": "topic", "value": {"choices": [{"A": 1}]}}], None),
        ([{"from_name": "topic", "value": {"choices": [None]}}], None),
    ],
)
def test_label_of_a_result(result: object, label: str | None) -> None:
    assert QUESTION.read(result).answer == label


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ([choice("A")], None),
        ([], None),
        (None, None),
        ([choice("not in the config")], "unknown_label"),
        ([choice("A", control="other")], "other_control"),
        (["A", None, 3], "other_control"),
        ([choice("A"), choice("B")], "other_type"),
        ([{"from_name": "topic", "value": {"rating": 3}}], "other_type"),
        ([{"from_name": "topic", "value": {"choices": ["A", "B"]}}], "other_type"),
    ],
)
def test_reason_why_a_result_gives_no_label(result: object, reason: str | None) -> None:
    assert QUESTION.read(result).unread == reason
    assert reason is None or reason in UNREAD


def test_two_answers_of_one_control_give_no_label() -> None:
    assert QUESTION.read([choice("A"), choice("B")]).answer is None


def test_same_answer_twice_is_one_answer() -> None:
    assert QUESTION.read([choice("A"), choice("A")]).answer == "A"


def test_no_two_kinds_of_question_have_one_fingerprint() -> None:
    """Stored answers of one kind would pass for another's."""
    fingerprints = [kind.fingerprint for kind in KINDS]
    assert len(set(fingerprints)) == len(KINDS) > 1


@pytest.mark.parametrize(
    ("result", "labels"),
    [
        ([], []),
        ([choice("B")], ["B"]),
        ([choice("A") | {"value": {"choices": ["B", "A"]}}], ["A", "B"]),
        ([choice("A") | {"value": {"choices": []}}], []),
        ([choice("A") | {"value": {"choices": ["B", "gone"]}}], ["B"]),
    ],
)
def test_set_of_a_result(result: object, labels: list[str]) -> None:
    question = MultipleChoice("topic", "text", ("A", "B"))
    answer = question.read(result).answer
    assert answer is not None
    assert labels_of(answer) == labels
    assert question.read(question.write(answer, 0.5)).answer == answer


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (None, None),
        ("A", None),
        ([choice("gone")], "unknown_label"),
        ([choice("A", control="other")], "other_control"),
        ([choice("A"), choice("B")], "other_type"),
        ([choice("A") | {"value": {"rating": 3}}], "other_type"),
        ([choice("A") | {"value": {"choices": [["A"]]}}], "other_type"),
    ],
)
def test_reason_why_a_result_gives_no_set(result: object, reason: str | None) -> None:
    reading = MultipleChoice("topic", "text", ("A", "B")).read(result)
    assert (reading.answer, reading.unread) == (None, reason)


def test_labels_that_the_config_does_not_offer_are_named() -> None:
    several = [choice("A") | {"value": {"choices": ["B", "gone"]}}]
    question = MultipleChoice("topic", "text", ("A", "B"))
    assert question.read(several).unoffered == ("gone",)
    assert question.read([choice("gone")]).unoffered == QUESTION.read([choice("gone")]).unoffered == ("gone",)
    assert question.read([choice("A")]).unoffered == QUESTION.read([choice("A")]).unoffered == ()


def test_cell_of_a_data_file_is_a_label() -> None:
    assert QUESTION.parse("A") == "A"
    assert QUESTION.parse('["A"]') == '["A"]'


@pytest.mark.parametrize("value", [["A"], [], {"A": 1}])
def test_cell_that_is_no_label_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequest, match=r"^must be one label \(single choice\), not [\[{]"):
        QUESTION.parse(value)


@pytest.mark.parametrize("value", [["B", "A", "B"], '["A", "B"]', ' ["B","A"] '])
def test_cell_of_a_data_file_is_a_list_of_labels(value: object) -> None:
    question = MultipleChoice("topic", "text", ("A", "B"))
    assert labels_of(question.parse(value)) == ["A", "B"]
    assert labels_of(question.parse([])) == labels_of(question.parse("[]")) == []


@pytest.mark.parametrize("value", ["A", "A;B", '"A"', "3", [1], ["A", " "], [["A"]], {"A": 1}, "[" * 9999, "x" * 999])
def test_cell_that_is_no_list_of_labels_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequest, match=r'^must be a JSON list of labels \(\["a", "b"\]\), not ') as caught:
        MultipleChoice("topic", "text", ("A", "B")).parse(value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("labels", [["A"], ["A", "A"]])
def test_multiple_choice_needs_two_labels(labels: list[str]) -> None:
    inside = "".join(f'<Choice value="{label}"/>' for label in labels)
    with pytest.raises(UnsupportedConfig, match="2 labels or more"):
        parse_config(about_text(f'<Choices name="topic" toName="text" choice="multiple">{inside}</Choices>'))


CONDITIONAL = about_text(
    f'<Choices name="topic" toName="text">{A_OR_B}</Choices>'
    '<View visibleWhen="choice-selected" whenTagName="topic" whenChoiceValue="A,C">'
    f'<Choices name="more" toName="text" choice="multiple">{A_OR_B}</Choices></View>'
)


def test_question_that_was_not_shown_is_not_answered() -> None:
    config = parse_config(CONDITIONAL)
    more = choice("B", control="more")
    assert config.read([choice("A")])["more"].answer == "[]", "shown, and nothing was ticked"
    assert config.read([choice("A"), more])["more"].answer == '["B"]'
    assert config.read([choice("B")])["more"] == Reading()
    assert config.read([])["more"] == Reading()
    assert config.read([choice("B"), more])["more"].answer == '["B"]', "what somebody answered is an answer"


def test_question_that_is_not_shown_is_not_filled_in() -> None:
    config = parse_config(CONDITIONAL)
    said = {"more": ('["A"]', 0.9)}
    assert [one["from_name"] for one in config.write(said | {"topic": ("A", 0.8)})] == ["topic", "more"]
    assert [one["from_name"] for one in config.write(said | {"topic": ("B", 0.8)})] == ["topic"]
    assert config.write(said) == []


def test_question_may_be_shown_unless_something_is_chosen() -> None:
    xml = CONDITIONAL.replace("choice-selected", "choice-unselected").replace(' whenChoiceValue="A,C"', "")
    config = parse_config(xml)
    assert config.read([])["more"].answer == "[]"
    assert config.read([choice("B")])["more"] == Reading()


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        ('visibleWhen="region-selected"', "of parts of a task only"),
        ('visibleWhen="choice-selected"', "must name a control"),
        ('visibleWhen="at-night"', "of parts of a task only"),
    ],
)
def test_question_about_regions_is_left_to_people(when: str, reason: str) -> None:
    inside = CONDITIONAL.replace('visibleWhen="choice-selected" whenTagName="topic" whenChoiceValue="A,C"', when)
    learned, left = read_controls(inside)
    assert learned.question == QUESTION
    assert reason in left.reason


def test_control_about_regions_beside_a_question_is_left_to_people() -> None:
    regions = '<Labels name="spans" toName="text"><Label value="X"/></Labels>'
    notes = '<TextArea name="note" toName="text" perRegion="true" visibleWhen="region-selected"/>'
    config = parse_config(about_text(f'<Choices name="topic" toName="text">{A_OR_B}</Choices>{regions}{notes}'))
    assert (config.names, config.others) == (("topic", "spans"), {"note"})


@pytest.mark.parametrize(
    ("written", "as_in"),
    [
        ('<Choices {} allownested="true">', '<Choices {} allowNested="true">'),
        ('<Choices {} perregion="true">', '<Choices {} perRegion="true">'),
        ('<Choices {} CHOICE="multiple">', '<Choices {} choice="multiple">'),
        ('<Taxonomy {} leafsonly="true" MaxUsages="1">', '<Taxonomy {} leafsOnly="true" maxUsages="1">'),
        ('<Rating {} maxrating="7">', '<Rating {} maxRating="7">'),
        ('<Choices {} visiblewhen="region-selected">', '<Choices {} visibleWhen="region-selected">'),
    ],
)
def test_attributes_count_in_any_case_as_on_the_labelling_page(written: str, as_in: str) -> None:
    """The ranking template for search results has `allownested`."""
    nested = '<Choice value="A"><Choice value="A1"/></Choice><Choice value="B"/>'

    def said(control: str) -> tuple[Question | None, str]:
        tag = control[1:].split()[0]
        (found,) = read_controls(about_text(control.format('name="topic" toName="text"') + f"{nested}</{tag}>"))
        return found.question, found.reason

    assert said(written) == said(as_in) != said(f"{as_in.split()[0]} {{}}>")


def test_controls_and_objects_of_one_name_are_left_to_people() -> None:
    """Label Studio refuses to save them, but not what an older one has saved."""
    twice = f'<Choices name="topic" toName="text">{A_OR_B}</Choices><Rating name="topic" toName="text"/>'
    again = '<Text name="other" value="$a"/><Text name="other" value="$b"/><Rating name="good" toName="other"/>'
    itself = f'<Choices name="text" toName="other">{A_OR_B}</Choices>'
    kept = f'<Choices name="kept" toName="text">{A_OR_B}</Choices>'
    reasons = {one.name: one.reason for one in read_controls(about_text(twice + again + kept))}
    assert reasons == {
        "topic": "names must be unique, and several tags have the name 'topic'",
        "good": "names must be unique, and several tags have the name 'other'",
        "kept": "",
    }
    config = parse_config(about_text(twice + kept))
    assert (config.names, config.others) == (("kept",), {"topic"})
    assert config.read([choice("A"), choice("B", control="kept")])["kept"].answer == "B"
    for xml in (twice, itself + again):
        with pytest.raises(
            UnsupportedConfig, match=r"nothing of the label config can be learned.*names must be unique"
        ):
            parse_config(about_text(xml))


def test_taxonomy_with_an_endless_limit_has_none() -> None:
    (found,) = read_controls(
        about_text(f'<Taxonomy name="t" toName="text" maxUsages="{"9" * 5000}">{A_OR_B}</Taxonomy>')
    )
    assert found.question is not None
    assert found.question.summary == "one or more of 2 paths"


@pytest.mark.parametrize("odd", [[], {}, 1, None])
def test_item_whose_name_or_type_is_no_text_is_no_answer(odd: object) -> None:
    config = parse_config(CONDITIONAL)
    assert config.read([choice("A") | {"from_name": odd}])["topic"] == Reading(unread="other_control")
    assert config.read([choice("A") | {"type": odd}])["more"] == Reading()


def test_question_shown_beside_one_that_is_not_shown_is_not_filled_in() -> None:
    last = f'<Choices name="last" toName="text" visibleWhen="choice-selected" whenTagName="more">{A_OR_B}</Choices>'
    config = parse_config(CONDITIONAL.removesuffix("</View>") + last + "</View>")
    said = {"more": ('["A"]', 0.9), "last": ("A", 0.9)}
    assert [one["from_name"] for one in config.write(said | {"topic": ("A", 0.8)})] == ["topic", "more", "last"]
    assert [one["from_name"] for one in config.write(said | {"topic": ("B", 0.8)})] == ["topic"]
