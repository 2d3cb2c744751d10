"""Exports of a Label Studio project as data files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend.simulate.data import read_data
from tests.support.build import choice
from tests.support.data_files import pairs, refusal, said

# -- JSON -----------------------------------------------------------------------------------------------------


def exported(task_id: int, *labels: str | None, data: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    """A task in an export; a label of None is an empty answer."""
    annotations = [
        {
            "id": 10 * task_id + place,
            "task": task_id,
            "result": [] if label is None else [choice(label)],
            "was_cancelled": False,
            "updated_at": f"2026-11-23T12:00:0{place}.000000Z",
            **parts,
        }
        for place, label in enumerate(labels)
    ]
    return {"id": task_id, "data": data or {"body": f"text {task_id}", "id": 4}, "annotations": annotations}


def write_export(path: Path, tasks: list[Any]) -> Path:
    path.write_text(json.dumps(tasks))
    return path


PLAIN = [exported(n, "A" if n % 2 else "B") for n in range(1, 9)]


def test_export_gives_text_and_label(tmp_path: Path) -> None:
    data = read_data(str(write_export(tmp_path / "export.json", PLAIN)))
    assert pairs(data) == [(f"text {n}", "A" if n % 2 else "B") for n in range(1, 9)]
    assert said(data, "the text is") == "the text is body, the label topic"


def test_export_gives_the_majority_and_leaves_out_what_has_no_label(tmp_path: Path) -> None:
    tasks = [*PLAIN, exported(20, "A", "A", "B"), exported(21, "A", "B"), exported(22), exported(23, None)]
    tasks.append(exported(24, "A", was_cancelled=True))
    data = read_data(str(write_export(tmp_path / "export.json", tasks)))
    assert pairs(data)[len(PLAIN) :] == [("text 20", "A"), ("text 21", "B")]
    assert said(data, "without a label") == "rows without a label, left out: 3 of 16 (task 22 first)"
    assert said(data, "answers") == (
        "13 answers to 10 tasks: each task counts once, with the label that most gave it; with different labels: 2"
    )


def test_export_of_an_older_release_is_read(tmp_path: Path) -> None:
    tasks = json.loads(json.dumps(PLAIN))
    for task in tasks:
        del task["annotations"][0]["task"]
    assert len(read_data(str(write_export(tmp_path / "export.json", tasks))).texts) == 8


def test_export_with_the_object_named_like_its_field(tmp_path: Path) -> None:
    tasks = [exported(n, "A" if n % 2 else "B", data={"title": f"t {n}", "text": f"text {n}"}) for n in range(1, 9)]
    assert read_data(str(write_export(tmp_path / "export.json", tasks))).texts[0] == "text 1"
    assert read_data(str(write_export(tmp_path / "export.json", tasks)), "title").texts[0] == "t 1"


def test_export_with_two_fields_or_two_controls_asks_for_a_name(tmp_path: Path) -> None:
    tasks = [exported(n, "A" if n % 2 else "B", data={"title": "t", "body": f"text {n}"}) for n in range(1, 9)]
    assert "--text-field: there is body, title" in refusal(write_export(tmp_path / "a.json", tasks))
    assert "there is no text field 'x': there is body, title" in refusal(tmp_path / "a.json", text_field="x")
    tasks = json.loads(json.dumps(PLAIN))
    tasks[0]["annotations"][0]["result"].append(choice("C", "mood"))
    assert "--label-field: there is mood, topic" in refusal(write_export(tmp_path / "b.json", tasks))
    assert read_data(str(tmp_path / "b.json"), None, "topic").labels.tolist() == ["A", "B"] * 4


@pytest.mark.parametrize("content", ["{}", "[1]", '[{"text": "a"}]', "[", "[]", '[{"annotations": 1, "data": {}}]'])
def test_json_that_is_no_export_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    assert str(path) in refusal(path)


@pytest.mark.parametrize("broken", [{"annotations": [1]}, {"annotations": [{}]}, {"data": 1}, {"id": None}])
def test_broken_export_is_refused(tmp_path: Path, broken: dict[str, Any]) -> None:
    assert refusal(write_export(tmp_path / "a.json", [{**PLAIN[0], **broken}, *PLAIN[1:]]))


@pytest.mark.parametrize("value", [None, 3, {"choices": None}, {"choices": [["A", "B"]]}, {"choices": [3]}, {}])
def test_odd_answers_in_an_export_are_left_out(tmp_path: Path, value: object) -> None:
    odd = exported(30, "A")
    odd["annotations"][0]["result"][0]["value"] = value
    assert len(read_data(str(write_export(tmp_path / "a.json", [*PLAIN, odd]))).texts) == 8
