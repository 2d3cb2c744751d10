"""`label-studio-al questions`: what becomes of each control."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from tests.support.build import config_xml

COMMENT = '<TextArea name="why" toName="text"/></View>'
NO_ENCODER = "because AL_IMAGE_ENCODER names no encoder of images"
BESIDE = config_xml(("A", "B")).replace("</View>", COMMENT)


def questions(folder: Path, xml: str | bytes, *options: str) -> Result:
    path = folder / "config.xml"
    path.write_bytes(xml if isinstance(xml, bytes) else xml.encode())
    return CliRunner().invoke(main, ["questions", str(path), *options])


def as_json(folder: Path, xml: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(questions(folder, xml, "--json").stdout)
    return found


def test_each_control_is_a_line(tmp_path: Path) -> None:
    done = questions(tmp_path, BESIDE)
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        [
            "topic: one of 2 labels, learned (linear)",
            "why: left to people, because no model for <TextArea> is built in",
            "reads: text",
        ],
    )


def test_json_says_the_same(tmp_path: Path) -> None:
    found = as_json(tmp_path, BESIDE)
    assert (found["learned"], found["reads"]) == (True, ["text"])
    topic, why = found["controls"]
    assert (topic["tag"], topic["learned"], topic["labels"], topic["learner"]) == (
        "Choices",
        True,
        ["A", "B"],
        "linear",
    )
    assert (why["name"], why["learned"], why["learner"], why["reason"]) == (
        "why",
        False,
        None,
        "no model for <TextArea> is built in",
    )


def test_multiple_choice_is_said(tmp_path: Path) -> None:
    xml = config_xml(("A", "B", "C")).replace('toName="text"', 'toName="text" choice="multiple"')
    assert as_json(tmp_path, xml)["controls"][0]["asks"] == "any number of 3 labels"


@pytest.mark.parametrize("xml", ["<View/>", '<View><Image name="i" value="$i"/><Brush name="b" toName="i"/></View>'])
def test_where_nothing_is_learned_it_ends_with_one(tmp_path: Path, xml: str) -> None:
    assert questions(tmp_path, xml).exit_code == 1
    assert as_json(tmp_path, xml)["learned"] is False


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "is empty"), (b"<View", "is not valid"), (b"\xff\xfe", "must be text (UTF-8)")],
)
def test_what_is_no_config_is_said_in_one_line(tmp_path: Path, content: bytes, sentence: str) -> None:
    done = questions(tmp_path, content)
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_missing_file_is_said(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["questions", str(tmp_path / "none.xml")])
    assert (done.exit_code, "No such file" in done.stderr) == (1, True)


def test_standard_input_is_read() -> None:
    done = CliRunner().invoke(main, ["questions", "-"], input=BESIDE)
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 3)


def test_choices_that_come_from_the_tasks_are_said(tmp_path: Path) -> None:
    choices = '<Choices name="topic" toName="text" value="$options"/>'
    done = questions(tmp_path, f'<View><Text name="text" value="$text"/>{choices}</View>')
    reason = "its choices come from the tasks ('options'): learned if all offer the same"
    assert (done.exit_code, done.stdout) == (1, f"topic: left to people, because {reason}\n")


@pytest.mark.parametrize(
    ("encoder", "text", "code", "sentence"),
    [
        ("onnx:folder", "", 0, "seen by onnx:folder"),
        ("none", "", 1, "nothing is learned, because AL_IMAGE_ENCODER names no encoder of images"),
        (
            "none",
            '<Text name="text" value="$text"/>',
            0,
            "left out, because AL_IMAGE_ENCODER names no encoder of images",
        ),
    ],
)
def test_what_becomes_of_images_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: str, text: str, code: int, sentence: str
) -> None:
    monkeypatch.setenv("AL_IMAGE_ENCODER", encoder)
    choices = '<Choices name="topic" toName="image"><Choice value="A"/><Choice value="B"/></Choices>'
    xml = f'<View><Image name="image" value="$image"/>{text}{choices}</View>'
    done = questions(tmp_path, xml)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (code, f"images: {sentence}")
    found = as_json(tmp_path, xml)
    assert (found["learned"], found["images"]) == (not code, sentence)
