"""What a label config's tags are taken for: as Label Studio's own SDK takes them."""
# ruff: noqa: E501 - a config a line

from __future__ import annotations

import subprocess
import sys

import pytest
from label_studio_sdk.label_interface.interface import LabelInterface

from label_studio_al.labeling.tags import MAX_DEPTH, Tag, read_tags
from label_studio_al.questions import parse_config
from label_studio_al.runtime.errors import UnsupportedConfig

TEXT = '<Text name="text" value="$text"/>'
A_OR_B = '<Choice value="A"/><Choice value="B"/>'
CHOICES = f'<Choices name="topic" toName="text">{A_OR_B}</Choices>'

CONFIGS = {
    "sentiment": f"<View>{TEXT}{CHOICES}</View>",
    "control before object": f"<View>{CHOICES}{TEXT}</View>",
    "nested views": f"<View><View style='a'><View>{TEXT}</View></View><View><View>{CHOICES}</View></View></View>",
    "alias": f'<View>{TEXT}<Choices name="c" toName="text"><Choice value="A" alias="a"/>{A_OR_B}</Choices></View>',
    "empty alias": f'<View>{TEXT}<Choices name="c" toName="text"><Choice value="A" alias=""/>{A_OR_B}</Choices></View>',
    "empty value": f'<View>{TEXT}<Choices name="c" toName="text"><Choice value=""/>{A_OR_B}</Choices></View>',
    "choice with a name": f'<View>{TEXT}<Choices name="c" toName="text"><Choice name="n" value="A"/>{A_OR_B}</Choices></View>',
    "header and style": f'<View><Style>.a > b {{ color: red }}</Style><Header value="What?"/>{TEXT}{CHOICES}</View>',
    "header with a name": f'<View><Header name="title" value="$title"/>{TEXT}{CHOICES}</View>',
    "hidden choices": f'<View visibleWhen="choice-selected" whenTagName="a">{TEXT}{CHOICES}</View>',
    "hidden choice": f'<View>{TEXT}<Choices name="c" toName="text"><Choice value="A" selected="true" hint="h"/><Choice value="B" hidden="true"/></Choices></View>',
    "choices in a view": f'<View>{TEXT}<Choices name="c" toName="text"><View><View>{A_OR_B}</View></View></Choices></View>',
    "html": f'<View>{TEXT}<Choices name="c" toName="text"><Choice value="A" html="&lt;b&gt;A&lt;/b&gt;"/><Choice value="B"><b>B</b></Choice></Choices></View>',
    "nested choices": f'<View>{TEXT}<Choices name="c" toName="text" allowNested="true"><Choice value="A"><Choice value="A1"/></Choice></Choices></View>',
    "choices from the task": f'<View>{TEXT}<Choices name="c" toName="text" value="$options"/></View>',
    "ner": f'<View><Labels name="l" toName="text"><Label value="PER" background="red"/><Label value="ORG"/></Labels>{TEXT}</View>',
    "relations": f'<View>{TEXT}<Relations><Relation value="of"/></Relations><Labels name="l" toName="text"><Label value="X"/></Labels></View>',
    "filter": f'<View><Filter name="f" toName="topic" hotkey="shift+f"/>{TEXT}{CHOICES}</View>',
    "taxonomy": f'<View>{TEXT}<Taxonomy name="t" toName="text"><Choice value="A"><Choice value="B"/></Choice></Taxonomy></View>',
    "rating": f'<View>{TEXT}<Rating name="r" toName="text" maxRating="5"/></View>',
    "textarea": f'<View>{TEXT}<TextArea name="t" toName="text" value="$draft" rows="4"/></View>',
    "pairwise": '<View><Text name="a" value="$a"/><Text name="b" value="$b"/><Pairwise name="p" toName="a,b"/></View>',
    "image": f'<View><Image name="text" value="$image" zoom="true"/>{CHOICES}</View>',
    "images": f'<View><Image name="text" valueList="$images"/>{CHOICES}</View>',
    "two choices": f'<View>{TEXT}{CHOICES}<Choices name="tone" toName="text" choice="multiple">{A_OR_B}</Choices></View>',
    "two of one name": f'<View>{TEXT}{CHOICES}<Choices name="topic" toName="text"><Choice value="C"/></Choices></View>',
    "comments": f'<View><!-- {{"text": "x"}} -->{TEXT}<!-- <Choices name="x" toName="text"/> -->{CHOICES}</View>',
    "cdata": f"<View><Style><![CDATA[ .a < b <Choice> ]]></Style>{TEXT}{CHOICES}</View>",
    "instruction": f"<View><?php echo 1 ?>{TEXT}{CHOICES}</View>",
    "hypertext": f'<View><HyperText name="text" value="$html" valueType="url"/>{CHOICES}</View>',
    "paragraphs": '<View><Paragraphs name="p" value="$chat" layout="dialogue"/><ParagraphLabels name="l" toName="p"><Label value="X"/></ParagraphLabels></View>',
    "two objects": f'<View>{TEXT}<Text name="b" value="$b"/><Choices name="c" toName="text,b">{A_OR_B}</Choices></View>',
    "unknown tags": f'<View><Foo name="f" toName="text"><Choice value="F"/></Foo><Bar name="b" value="$b"/>{TEXT}</View>',
    "lower case": f'<View><text name="text" value="$text"/><choices name="c" toName="text">{A_OR_B}</choices></View>',
    "upper case": f'<VIEW><TEXT name="text" value="$text"/><CHOICES name="c" toName="text">{A_OR_B}</CHOICES></VIEW>',
    "lower case choice": f'<View>{TEXT}<Choices name="c" toName="text"><choice value="A"/>{A_OR_B}</Choices></View>',
    "lower case toName": f'<View>{TEXT}<Choices name="c" toname="text">{A_OR_B}</Choices></View>',
    "no name": f'<View><Text value="$text"/><Choices toName="text">{A_OR_B}</Choices></View>',
    "no toName": f'<View>{TEXT}<Choices name="c">{A_OR_B}</Choices></View>',
    "empty names": f'<View>{TEXT}<Choices name="" toName="text">{A_OR_B}</Choices><Choices name="c" toName=""/></View>',
    "no value": f'<View><Text name="text"/>{CHOICES}</View>',
    "time series": '<View><TimeSeries name="ts" valueType="url" value="$csv"><Channel column="a"/></TimeSeries><TimeSeriesLabels name="l" toName="ts"><Label value="Run"/></TimeSeriesLabels></View>',
    "chat": '<View><Chat name="chat" value="$chat"/></View>',
    "chat without a value": f'<View><Chat name="chat"/>{TEXT}{CHOICES}</View>',
    "repeater": f'<View><Repeater on="$pages" indexFlag="{{{{idx}}}}"><Text name="t{{{{idx}}}}" value="$p"/></Repeater>{TEXT}{CHOICES}</View>',
    "namespace": f'<View xmlns="urn:x" xmlns:y="urn:y"><y:Choices name="c" toName="text">{A_OR_B}</y:Choices>{TEXT}</View>',
    "entities and unicode": f'<View>{TEXT}<Choices name="c" toName="text"><Choice value="A &amp; B"/><Choice value="&#128512; é"/></Choices></View>',
    "white space in values": f'<View>{TEXT}<Choices name="c" toName="text , b"><Choice value=" A \n B "/>{A_OR_B}</Choices></View>',
}


def ours(xml: str) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    controls, objects = read_tags(xml)
    return (
        [(tag.tag, tag.name, tag.to_name, dict(tag.attributes), list(tag.labels)) for tag in controls],
        [(tag.tag, tag.name, tag.value, dict(tag.attributes)) for tag in objects],
    )


def theirs(xml: str) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    interface = LabelInterface(xml)
    return (
        [(tag.tag, tag.name, tag.to_name, tag.attr, tag.labels) for tag in interface.controls],
        [(tag.tag, tag.name, tag.value or "", tag.attr) for tag in interface.objects],
    )


def test_labels_inside_each_other_are_paths() -> None:
    inside = (
        '<Choice value="A" alias="a"><Choice value="A1"/><View><Choice value="A2"><Choice value="A1"/></Choice></View></Choice>'
        '<Choice value="B"/><Choice><Choice value="B"/><Choice value="A1"/></Choice><Choice value="A" alias="a"/>'
    )
    (control,), _ = read_tags(f'<View>{TEXT}<Taxonomy name="t" toName="text">{inside}</Taxonomy></View>')
    assert control.paths == (("a",), ("a", "A1"), ("a", "A2"), ("a", "A2", "A1"), ("B",), ("",), ("", "B"), ("", "A1"))
    assert control.labels == ("a", "A1", "A2", "B", "")
    (flat,), _ = read_tags(CONFIGS["sentiment"])
    assert (flat.paths, flat.labels) == ((("A",), ("B",)), ("A", "B"))


@pytest.mark.parametrize("xml", CONFIGS.values(), ids=CONFIGS)
def test_tags_are_read_as_the_sdk_reads_them(xml: str) -> None:
    assert ours(xml) == theirs(xml)


@pytest.mark.parametrize(
    "xml",
    [
        "hello",
        "<View>",
        "<View></Text>",
        "<View/><View/>",
        '<View a="1" a="2"/>',
        "<View a=1/>",
        "<View>&nbsp;</View>",
        "<View>&</View>",
        "<View>\x00</View>",
        "<View>\x08</View>",
        "<x:View/>",
        "<View/>" + "é",
        " <?xml version='1.0'?><View/>",
        "<View>" * (MAX_DEPTH + 1) + "</View>" * (MAX_DEPTH + 1),
    ],
)
def test_what_the_sdk_refuses_is_refused(xml: str) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - lxml's, the SDK's or a plain ValueError
        LabelInterface(xml)
    with pytest.raises(UnsupportedConfig, match="the label config is not valid: "):
        parse_config(xml)


def test_tags_may_stand_as_deep_as_in_the_sdk() -> None:
    xml = "<View>" * (MAX_DEPTH - 2) + TEXT + CHOICES + "</View>" * (MAX_DEPTH - 2)
    assert ours(xml) == theirs(xml)
    assert parse_config(xml).question.labels == ("A", "B")


def test_very_deep_config_is_refused_before_it_costs_anything() -> None:
    with pytest.raises(UnsupportedConfig, match="more than 256 tags inside each other"):
        parse_config("<View>" * 30_000)


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(UnsupportedConfig, match="is not valid"):
        parse_config("<View>\ud800</View>")


def test_xml_declaration_may_name_the_encoding() -> None:
    """The SDK refuses it, Label Studio does not."""
    assert parse_config(f'<?xml version="1.0" encoding="utf-8"?>\n{CONFIGS["sentiment"]}').question.labels == ("A", "B")


def test_a_tag_without_a_value_shows_nothing() -> None:
    assert Tag("Text", "text", {"name": "text"}).value == ""


def test_label_studios_sdk_is_not_imported_to_read_a_config() -> None:
    """It weighs 80 MB, in a process that only answers requests."""
    code = f"import sys, label_studio_al.questions as q; q.parse_config({CONFIGS['sentiment']!r}); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"label_studio_sdk", "lxml", "pandas", "jsonschema"} & set(found)
