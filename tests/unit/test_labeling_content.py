"""What of a task is read: the texts that the labelling page shows."""

from __future__ import annotations

import time
from typing import Any

import pytest

from label_studio_al.labeling.content import MAX_LINES
from label_studio_al.learning.texts import joined, said_in
from label_studio_al.questions import LabelConfig, parse_config

CHOICES = '<Choices name="topic" toName="{about}"><Choice value="A"/><Choice value="B"/></Choices>'


def config(shown: str, about: str = "text") -> LabelConfig:
    return parse_config(f"<View>{shown}{CHOICES.format(about=about)}</View>")


def text(shown: str, **data: Any) -> str | None:
    return config(shown).text_of(data)


def test_texts_that_stand_beside_each_other_are_all_read_in_their_order() -> None:
    found = config('<Text name="title" value="$title"/><Text name="text" value="$body"/>')
    assert found.content.fields == ("title", "body")
    assert found.text_of({"title": "A cat", "body": "It sleeps."}) == joined(["A cat", "It sleeps."])
    assert found.text_of({"body": "It sleeps."}) == joined(["", "It sleeps."])
    assert found.text_of({"other": "x"}) is None


def test_what_is_the_same_for_all_tasks_or_behind_an_address_is_not_read() -> None:
    found = config(
        '<Text name="hint" value="Read it"/><Text name="far" value="$url" valueType="url"/>'
        '<Text name="text" value="$body"/>'
    )
    assert found.content.fields == ("body",)


def test_control_that_asks_about_two_objects_is_learned_from_both() -> None:
    found = config('<Text name="a" value="$a"/><Text name="text" value="$b"/>', about="a,text")
    assert found.text_of({"a": "one", "b": "two"}) == joined(["one", "two"])


def test_several_fields_in_one_value_are_put_in() -> None:
    shown = '<Text name="text" value="Q: $q.x - $b[0]"/>'
    assert text(shown, q={"x": "why"}, b=["so"]) == "Q: why - so"
    assert text(shown, b=["so"]) == "Q:  - so"
    assert text(shown, other=1) is None
    assert config(shown).content.fields == ("q.x", "b[0]")


HTML = '<HyperText name="text" value="$html"/>'


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ("<p>A <b>cat</b></p><p>sleeps</p>", "A cat sleeps"),
        ("no tags &amp; one entity", "no tags & one entity"),
        ("<script>alert('x')</script><style>p {}</style>seen<!-- not -->", "seen"),
        ("<p>never <b>closed", "never closed"),
        ("2 < 3", "2 < 3"),
        ("plain", "plain"),
        ("", ""),
    ],
)
def test_html_is_read_without_its_tags(html: str, found: str) -> None:
    assert text(HTML, html=html) == found


def test_dialogue_is_read_with_its_speakers() -> None:
    shown = '<Paragraphs name="text" value="$talk" nameKey="who" textKey="says"/>'
    talk = [{"who": "Ann", "says": "Hello"}, {"says": "Who is there?"}, {"who": "Bob"}, 3, None]
    assert text(shown, talk=talk) == "Ann: Hello\nWho is there?\n3"
    assert text(shown, talk=[]) is None
    assert text(shown, talk="all in one text") == "all in one text"
    assert text('<Paragraphs name="text" value="$talk"/>', talk=[{"author": "Ann", "text": "Hi"}]) == "Ann: Hi"


def test_long_dialogue_is_read_from_its_beginning() -> None:
    found = text('<Paragraphs name="text" value="$talk"/>', talk=[{"text": f"line {n}"} for n in range(5_000)])
    assert found is not None
    assert len(found.splitlines()) == MAX_LINES


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<p>one</p><![foo[bar]]>two", "one two"),
        ("one <![foo[bar", "one <![foo[bar"),
        ("<html><head><title>no</title><body>one</body></html>", "one"),
        ("one <b>AT&T", "one AT&T"),
        ("one &lt; two <three", "one < two <three"),
        ("one<script>two", "one"),
    ],
)
def test_broken_html_is_read_as_far_as_it_goes(html: str, shown: str) -> None:
    assert text('<HyperText name="text" value="$text"/>', text=html) == shown


@pytest.mark.parametrize("again", ["<!--", "<a ", "</", "<![", "<?", '<a b="', "<script>", "&"])
def test_html_that_begins_again_and_again_takes_no_minute(again: str) -> None:
    began = time.process_time()
    text('<HyperText name="text" value="$text"/>', text=again * 50_000)
    assert time.process_time() - began < 3


def test_table_is_read_with_its_names() -> None:
    shown = '<Table name="text" value="$item"/>'
    assert text(shown, item={"name": "chair", "price": 5, "tags": ["old", "red"], "none": None}) == (
        "name: chair\nprice: 5\ntags: old\ntags: red"
    )
    assert text(shown, item={}) is None
    nested: dict[str, Any] = {}
    for _ in range(200):
        nested = {"deeper": nested, "x": "y"}
    assert text(shown, item=nested) is not None


def test_list_is_read_with_titles_and_bodies() -> None:
    shown = '<List name="text" value="$items"/>'
    items = [{"id": 1, "title": "First", "body": "one"}, {"id": 2, "title": "Second"}, "bare", {"id": 3}]
    assert text(shown, items=items) == "First\none\nSecond\nbare"


def test_field_that_is_a_list_or_a_text_is_read_either_way() -> None:
    shown = '<Text name="text" value="$t"/>'
    assert (text(shown, t="one"), text(shown, t=["one", 2]), text(shown, t={"no": 1})) == ("one", "one,2", None)


def test_content_that_is_read_otherwise_has_another_key() -> None:
    keys = {
        config(shown).content.key
        for shown in (
            '<Text name="text" value="$a"/>',
            '<HyperText name="text" value="$a"/>',
            '<Text name="x" value="$b"/><Text name="text" value="$a"/>',
            '<Paragraphs name="text" value="$a"/>',
            '<Paragraphs name="text" value="$a" nameKey="who"/>',
        )
    }
    assert len(keys) == 5
    assert config('<Text name="text" value="$a"/>').content.key == "a", "as releases before named it"


MARKED = '<ParagraphLabels name="who" toName="text"><Label value="A"/></ParagraphLabels><Paragraphs name="text" {}/>'


def marked(attributes: str) -> LabelConfig:
    return parse_config(f"<View>{MARKED.format(attributes)}</View>")


def said(attributes: str, talk: list[Any]) -> list[str]:
    return [words for _, words in said_in(marked(attributes).text_of({"talk": talk}) or "")]


def test_lines_of_a_dialogue_in_which_spans_are_marked_keep_their_places() -> None:
    talk = [{"author": "Ann", "text": "Hi"}, {"author": "Bob"}, 3, {"text": ""}, {"author": "Cid", "text": "Oslo\r\n"}]
    assert said('value="$talk"', talk) == ["Hi", "", "", "", "Oslo\r\n"]
    assert marked('value="$talk"').text_of({"talk": [{"author": "Ann"}]}) is None


def test_lines_that_the_page_sorts_by_time_are_counted_in_its_order() -> None:
    """As Label Studio 1.23.2 showed these: what begins at 0, or at no time, stands last."""
    times = {"A": (0, 1), "B": (5, 6), "C": (2, 3), "D": (None, None), "E": (1, 2), "F": (2, 2.5)}
    talk = [{"author": name, "text": name, "start": start, "end": end} for name, (start, end) in times.items()]
    sorted_ = marked('value="$talk" contextScroll="true"')
    assert "".join(said('value="$talk" contextScroll="true"', talk)) == "EFCBAD"
    unsorted = marked('value="$talk" contextScroll="false"')
    assert "".join(said('value="$talk" contextScroll="false"', talk)) == "ABCDEF"
    assert sorted_.content.key != unsorted.content.key
    assert sorted_.text_of({"talk": [{"text": "a", "start": 10**400}, {"text": "b", "start": "1", "end": True}]})


def test_html_in_the_labelling_page_itself_keeps_its_first_blanks_where_spans_are_marked() -> None:
    labels = '<Labels name="who" toName="text"><Label value="A"/></Labels>'
    xml = f'<View>{labels}<HyperText name="text" value="$x" {{}}/></View>'
    own, apart = (parse_config(xml.format(attribute)) for attribute in ('inline="true"', ""))
    assert (own.text_of({"x": " \na"}), apart.text_of({"x": " \na"})) == (" \na", "a")
    assert own.content.key != apart.content.key
