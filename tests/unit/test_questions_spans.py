"""<Labels>, <HyperTextLabels> and <ParagraphLabels>: what they ask, and how their JSON is read and written."""

from __future__ import annotations

from typing import Any

import pytest

from label_studio_al.learning.passages import LINE
from label_studio_al.learning.spans import answer_of, scored
from label_studio_al.questions import parse_config, read_controls
from label_studio_al.questions.base import NOT_ANSWERED, OTHER_CONTROL, OTHER_TYPE, UNKNOWN_LABEL, Reading
from label_studio_al.questions.spans import Spans
from label_studio_al.runtime.errors import InvalidRequest

LABELS = ("Person", "Place")
TEXT = Spans("entity", "text", LABELS, "Labels", "Text")
HTML = Spans("entity", "text", LABELS, "HyperTextLabels", "HyperText")
LABELS_OF_HTML = Spans("entity", "text", LABELS, "Labels", "HyperText")
DIALOGUE = Spans("entity", "text", LABELS, "ParagraphLabels", "Paragraphs")
KINDS = [TEXT, HTML, LABELS_OF_HTML, DIALOGUE]


def config(control: str, shown: str) -> str:
    labels = "".join(f'<Label value="{label}"/>' for label in LABELS)
    return f'<View><{control} name="entity" toName="text">{labels}</{control}><{shown} name="text" value="$x"/></View>'


def item(value: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A person's on <Text>."""
    return {"id": "aB3", "from_name": "entity", "to_name": "text", "type": "labels", "value": value} | more


def span(start: object, end: object, *labels: str, **more: Any) -> dict[str, Any]:
    return item({"start": start, "end": end, "labels": [*labels], **more})


@pytest.mark.parametrize("question", KINDS, ids=lambda one: f"{one.tag} on {one.marked_tag}")
def test_config_asks_for_spans(question: Spans) -> None:
    xml = config(question.tag, question.marked_tag)
    assert parse_config(xml).question == question
    assert question.summary == "spans of 2 labels"
    (part,) = parse_config(xml).content.parts
    assert part.is_exact


@pytest.mark.parametrize(
    ("labels", "to_name", "rule"),
    [
        ('<Label value="a"/><Label value=" "/>', "text", "every <Label> must have a value, and 1 of 2 have none"),
        # Places are counted in one text, and the other's would be taken for them.
        ('<Label value="a"/>', "text,more", "<Labels> must mark one text, not text and more"),
    ],
)
def test_config_that_cannot_be_learned_is_refused_with_the_rule(labels: str, to_name: str, rule: str) -> None:
    texts = '<Text name="text" value="$x"/><Text name="more" value="$y"/>'
    (control,) = read_controls(f'<View><Labels name="entity" toName="{to_name}">{labels}</Labels>{texts}</View>')
    assert (control.question, control.reason) == (None, rule)


@pytest.mark.parametrize(
    ("control", "shown", "rule"),
    [
        ("Labels", "Paragraphs", "<Labels> must mark <Text> or <HyperText>, not <Paragraphs>"),
        ("HyperTextLabels", "Text", "<HyperTextLabels> must mark <HyperText>, not <Text>"),
        ("ParagraphLabels", "Text", "<ParagraphLabels> must mark <Paragraphs>, not <Text>"),
        ("Labels", "Image", "<Labels> must mark <Text> or <HyperText>, not <Image>"),
    ],
)
def test_control_that_does_not_mark_such_text_is_left_to_people(control: str, shown: str, rule: str) -> None:
    (found,) = read_controls(config(control, shown))
    assert (found.question, found.reason) == (None, rule)


# As Label Studio's page wrote them, and as it draws them.
WRITTEN = {
    "Labels on Text": (TEXT, {"start": 7, "end": 11}, (7, 11)),
    "HyperTextLabels on HyperText": (
        HTML,
        {"start": "", "end": "", "startOffset": 0, "endOffset": 0, "globalOffsets": {"start": 4, "end": 8}},
        (4, 8),
    ),
    "Labels on HyperText": (
        LABELS_OF_HTML,
        {"start": "", "end": "", "startOffset": 0, "endOffset": 0, "globalOffsets": {"start": 4, "end": 8}},
        (4, 8),
    ),
    "ParagraphLabels on Paragraphs": (
        DIALOGUE,
        {"start": "3", "end": "3", "startOffset": 5, "endOffset": 9},
        (3 * LINE + 5, 3 * LINE + 9),
    ),
    "ParagraphLabels over two lines": (
        DIALOGUE,
        {"start": "0", "end": "3", "startOffset": 3, "endOffset": 4},
        (3, 3 * LINE + 4),
    ),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_what_is_written_is_what_the_page_draws_and_is_read_as_the_same(case: str) -> None:
    question, value, (start, end) = WRITTEN[case]
    key = question.tag.lower()
    (made,) = question.write(answer_of([(start, end, "Person")]), 0.75)
    assert made == {
        "from_name": "entity",
        "to_name": "text",
        "type": key,
        "value": {**value, key: ["Person"]},
        "score": 0.75,
    }
    assert question.read([made]) == Reading(answer_of([(start, end, "Person")]))


def test_each_span_is_written_with_its_own_probability() -> None:
    answer = scored(answer_of([(0, 4, "Person"), (8, 12, "Place")]), [0.9, 0.4])
    assert [made["score"] for made in TEXT.write(answer, 0.36)] == [0.9, 0.4]
    assert TEXT.write(answer_of([]), 0.5) == []


def test_paths_that_a_person_made_say_nothing_beside_positions() -> None:
    value = {"start": "/p[1]/b[1]/text()[1]", "end": "/p[1]/text()[2]", "startOffset": 0, "endOffset": 2}
    labels = {"hypertextlabels": ["Place"]}
    found = HTML.read([item({**value, **labels, "globalOffsets": {"start": 12, "end": 18}}, type="hypertextlabels")])
    assert found == Reading(answer_of([(12, 18, "Place")]))
    assert HTML.read([item({**value, **labels})]) == Reading(unread=OTHER_TYPE)
    # The page writes positions alone where a prediction had no paths.
    assert HTML.read([item({"start": 4, "end": 8, **labels})]) == Reading(answer_of([(4, 8, "Place")]))


def test_empty_annotation_says_that_there_is_no_span() -> None:
    assert TEXT.read([]) == Reading(answer_of([]))
    assert TEXT.show(answer_of([])) == "no span"
    assert TEXT.read(None) == NOT_ANSWERED


def test_order_of_items_and_spans_that_stand_twice_make_no_other_answer() -> None:
    first, second = span(0, 4, "Person"), span(8, 12, "Place")
    answer = answer_of([(0, 4, "Person"), (8, 12, "Place")])
    assert TEXT.read([second, first, {**second, "id": "other"}]) == Reading(answer)
    assert TEXT.show(answer) == "1 Person, 1 Place"


def test_span_with_several_labels_is_one_of_each_and_without_any_it_is_none() -> None:
    assert TEXT.read([span(0, 4, "Person", "Place")]) == Reading(answer_of([(0, 4, "Person"), (0, 4, "Place")]))
    assert TEXT.read([span(0, 4)]) == Reading(answer_of([]))
    assert TEXT.read([item({"start": 0, "end": 4})]) == Reading(answer_of([]))


def test_labels_that_are_not_offered_are_said() -> None:
    assert TEXT.read([span(0, 4, "Gone")]) == Reading(None, UNKNOWN_LABEL, ("Gone",))
    mixed = [span(0, 4, "Gone"), span(8, 12, "Person"), span(13, 14, "Gone", "Old")]
    assert TEXT.read(mixed) == Reading(answer_of([(8, 12, "Person")]), None, ("Gone", "Old"))


@pytest.mark.parametrize(
    "places",
    [(-1, 4), (4, 0), (4, 4), ("0", "4"), (0, None), (0.0, 4.0), (True, 4), (0, 1 << 31), (0, 10**400), ([0], [4])],
)
def test_positions_that_are_none_are_not_read(places: tuple[object, object]) -> None:
    assert TEXT.read([span(*places, "Person")]) == Reading(unread=OTHER_TYPE)
    start, end = places
    of_html = {"globalOffsets": {"start": start, "end": end}, "hypertextlabels": ["Person"]}
    assert HTML.read([item(of_html)]) == Reading(unread=OTHER_TYPE)
    in_line = {"start": "0", "end": "0", "startOffset": start, "endOffset": end, "paragraphlabels": ["Person"]}
    assert DIALOGUE.read([item(in_line)]) == Reading(unread=OTHER_TYPE)


@pytest.mark.parametrize(
    "value",
    [
        {"labels": ["Person"]},
        {"start": 0, "end": 4, "labels": "Person"},
        {"start": 0, "end": 4, "labels": [["Person"]]},
        {"start": 0, "end": 4, "labels": None},
        [0, 4, "Person"],
        None,
        "Person",
    ],
)
def test_values_that_are_none_are_not_read(value: object) -> None:
    assert TEXT.read([item({}) | {"value": value}]) == Reading(unread=OTHER_TYPE)
    assert TEXT.read([span(8, 12, "Place"), item({}) | {"value": value}]) == Reading(unread=OTHER_TYPE)


@pytest.mark.parametrize(
    "value",
    [
        {"globalOffsets": [4, 8]},
        {"globalOffsets": None},
        {"globalOffsets": {"start": 4}},
        {"startOffset": 4, "endOffset": 8},
    ],
)
def test_positions_in_html_that_are_none_are_not_read(value: dict[str, Any]) -> None:
    assert HTML.read([item({**value, "hypertextlabels": ["Person"]})]) == Reading(unread=OTHER_TYPE)


@pytest.mark.parametrize(("start", "end"), [("x", "0"), ("-1", "0"), (0, 0), ("", ""), ("1", "0"), ("9" * 5000, "0")])
def test_lines_of_dialogues_that_are_none_are_not_read(start: object, end: object) -> None:
    value = {"start": start, "end": end, "startOffset": 2, "endOffset": 5, "paragraphlabels": ["Person"]}
    assert DIALOGUE.read([item(value)]) == Reading(unread=OTHER_TYPE)


def test_offset_that_would_reach_into_another_line_is_not_read() -> None:
    value = {"start": "0", "end": "0", "startOffset": 2, "endOffset": LINE, "paragraphlabels": ["Person"]}
    assert DIALOGUE.read([item(value)]) == Reading(unread=OTHER_TYPE)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("Anna", (3, 7)),
        (" Anna", (4, 8)),
        ("Anna \n", (3, 7)),
        ("\u3000Anna\u00a0", (4, 8)),
        ("   ", (3, 6)),
        # What does not have the span's length is not what is marked.
        ("Anna ", (3, 9)),
        (7, (3, 7)),
    ],
)
def test_blanks_at_the_ends_of_a_span_are_not_of_it(text: object, places: tuple[int, int]) -> None:
    n = len(text) if isinstance(text, str) else 4
    n += places == (3, 9)
    assert TEXT.read([span(3, 3 + n, "Person", text=text)]) == Reading(answer_of([(*places, "Person")]))


BESIDE = """<View>
  <Labels name="entity" toName="text">
    <Label value="Person"/><Label value="Order number" alias="ORD"/>
  </Labels>
  <Relations><Relation value="of"/></Relations>
  <Text name="text" value="$text"/>
  <Choices name="kind" toName="text" perRegion="true"><Choice value="a"/><Choice value="b"/></Choices>
  <TextArea name="note" toName="text" perRegion="true"/>
</View>"""


def test_what_stands_beside_spans_changes_nothing_and_labels_are_known_by_their_alias() -> None:
    found = parse_config(BESIDE)
    assert found.question.labels == ("Person", "ORD")
    place = {"start": 0, "end": 4}
    result = [
        item({**place, "labels": ["ORD"]}, parentID="x", meta={"text": ["a remark"]}),
        {"id": "aB3", "from_name": "kind", "to_name": "text", "type": "choices", "value": {**place, "choices": ["a"]}},
        {"id": "aB3", "from_name": "note", "to_name": "text", "type": "textarea", "value": {**place, "text": ["why"]}},
        {"from_id": "aB3", "to_id": "aB4", "type": "relation", "direction": "right", "labels": ["of"]},
        span(8, 12, "Person") | {"id": "aB4"},
    ]
    assert found.read(result) == {"entity": Reading(answer_of([(0, 4, "ORD"), (8, 12, "Person")]))}
    (implied,) = found.read(result[1:4]).values()
    assert (implied.answer, implied.is_implied) == (answer_of([]), True)
    stranger = {"from_name": "gone", "to_name": "text", "type": "labels", "value": {**place, "labels": ["Person"]}}
    assert found.read([stranger]) == {"entity": Reading(unread=OTHER_CONTROL)}


@pytest.mark.parametrize("value", [[[0, 4, "Person"]], '[[0, 4, "Person"]]', [[0, 4, "Person"], [0, 4, "Person"]]])
def test_data_files_state_lists_of_spans(value: object) -> None:
    assert TEXT.parse(value) == answer_of([(0, 4, "Person")])
    assert TEXT.parse([]) == TEXT.parse("[]") == answer_of([])


@pytest.mark.parametrize(
    "value",
    [
        "Person",
        {},
        3,
        None,
        ["Person"],
        [[0, 4]],
        [[4, 0, "a"]],
        [[0, 4, " "]],
        [["0", 4, "a"]],
        [[-1, 4, "a"]],
        "[[[[",
    ],
)
def test_data_files_that_state_no_spans_are_refused(value: object) -> None:
    with pytest.raises(InvalidRequest, match="must be a list of spans"):
        TEXT.parse(value)
