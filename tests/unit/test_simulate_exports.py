"""Exports of a Label Studio project as data files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from label_studio_al.exporting.tables import Row as Exported
from label_studio_al.exporting.tables import open_table
from label_studio_al.labeling import MARK
from label_studio_al.learning.coding import LABEL_SETS, text_of
from label_studio_al.questions import LabelConfig
from label_studio_al.simulate.data import read_data
from tests.support.build import choice
from tests.support.data_files import any_of, one_of, pairs, refusal, said, write_csv, write_jsonl

# -- our own --------------------------------------------------------------------------------------------------

ODD_TEXTS = [
    "=1+1",
    "- one",
    "'=kept",
    "''@",
    "\tindented",
    "it's",
    "'quoted'",
    "''",
    "1=1",
    "Grüße;\nand more",
    "6",
    "7",
]


@pytest.mark.parametrize("quotes_formulas", [True, False])
def test_our_own_table_is_read_unchanged(tmp_path: Path, quotes_formulas: bool) -> None:
    labels = ["A", "-B", None]
    with open_table(tmp_path, "csv", quotes_formulas=quotes_formulas) as write:
        write([Exported(n, text, labels[n % 3], "A", 0.75, n % 2 == 0) for n, text in enumerate(ODD_TEXTS)])
    data = read_data(str(tmp_path / "tasks.csv"))
    assert pairs(data) == [(text, labels[n % 3]) for n, text in enumerate(ODD_TEXTS) if n % 3 != 2]
    assert said(data, "without a label") == "rows without a label, left out: 4 of 12 (line 4 first)"


def test_our_own_table_may_have_become_json_lines(tmp_path: Path) -> None:
    rows = [asdict(Exported(n, f"text {n}", "AB"[n % 2], "A", 0.75, True)) for n in range(6)]
    assert len(read_data(str(write_jsonl(tmp_path / "tasks.jsonl", rows))).texts) == 6


def test_apostrophes_of_other_tables_stay(tmp_path: Path) -> None:
    rows = [{"text": f"'={n}", "label": "x" if n % 2 else "y"} for n in range(6)]
    assert read_data(str(write_csv(tmp_path / "a.csv", rows))).texts == [row["text"] for row in rows]


# -- recorded -------------------------------------------------------------------------------------------------

# Exports of one project of Label Studio 1.23.2: twelve tasks; three people, two contradictions; one empty answer, one
# skipped task; four labels that were set as autolabel sets them, one of which a person has corrected.
RECORDED = Path(__file__).parents[1] / "payloads" / "exports"
MESSAGES = [
    ("Why was I charged twice, and when do I get it back?", "Billing"),
    ('My parcel is late; the tracking says "in transit"', "Delivery"),
    ("The invoice shows the wrong address\nand the wrong name", "Billing"),
    ("Where is the courier? He should have come at 9", "Delivery"),
    ("=SUM(A1) stands on my bill instead of an amount", "Billing"),
    ("- the box was open\n- one cup is missing", "Delivery"),
    ("The parcel went to my neighbour\u2019s café", "Delivery"),
]


@pytest.mark.parametrize("name", ["messages.json", "messages-min.json", "messages.csv", "messages.tsv"])
def test_every_export_of_a_project_gives_the_same(name: str) -> None:
    data = read_data(str(RECORDED / name), "body", "topic")
    assert pairs(data) == MESSAGES
    assert said(data, "the text is") == "the text is body, the label topic"
    assert said(data, "autolabel").startswith("labels ")
    assert said(data, "left out: 3")
    assert said(data, "answers") == (
        "11 answers to 7 tasks: each task counts once, with the label that most gave it; with different labels: 1"
    )


def test_table_of_answers_with_other_data_asks_which_column_is_meant() -> None:
    assert refusal(RECORDED / "messages.csv").endswith(
        "there is no field 'label' but body, customer, topic: name one with --label-field"
    )


def answers(*columns: tuple[str, str], leads: tuple[object, ...] = (2.5,)) -> list[dict[str, object]]:
    """A table of answers as in messages.csv; columns: their names and what they begin with."""
    return [
        {
            "annotation_id": n,
            "annotator": "1",
            "created_at": "2026-11-27T16:08:27.891709Z",
            "id": n,
            "lead_time": leads[n % len(leads)],
            "updated_at": f"2026-11-27T16:08:2{n}.891766Z",
        }
        | {name: f"{value} {n % 2 if place else n}" for place, (name, value) in enumerate(columns)}
        for n in range(8)
    ]


@pytest.mark.parametrize("columns", [("body", "topic"), ("text", "topic"), ("zzz", "label"), ("_data_topic", "topic")])
def test_text_and_label_of_a_table_of_answers_are_found(tmp_path: Path, columns: tuple[str, str]) -> None:
    rows = answers((columns[0], "message"), (columns[1], "kind"))
    data = read_data(str(write_csv(tmp_path / "a.csv", rows)))
    assert pairs(data) == [(f"message {n}", f"kind {n % 2}") for n in range(8)]
    assert said(data, "the text is") == f"the text is {columns[0]}, the label {columns[1]}"


def sets_as_exported(name: str) -> list[dict[str, Any]]:
    """A table of multiple choice as the SDK's converter writes it: one, several, none and an empty list of choices, and
    a task that nobody has labelled.
    """
    several, empty = {"choices": ["kind 0", "kind 1"]}, {"choices": []}
    cells: list[object] = ["kind 0", several, None, empty, "kind 1", several, None]
    rows = answers(("body", "message"), ("topic", ""))[: len(cells)]
    for row, cell in zip(rows, cells, strict=True):
        is_text = not name.endswith("json") and isinstance(cell, dict)
        row["topic"] = json.dumps(cell) if is_text else cell
    rows[-1] |= dict.fromkeys(("annotation_id", "annotator", "created_at", "lead_time", "updated_at"))
    return rows


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
@pytest.mark.parametrize("config", [None, any_of("kind 0", "kind 1", field="body")])
def test_several_choices_are_a_set(tmp_path: Path, name: str, config: LabelConfig | None) -> None:
    rows = sets_as_exported(name)
    path = tmp_path / name
    path.write_text(json.dumps(rows)) if name.endswith("json") else write_csv(path, rows)
    data = read_data(str(path), config=config)
    assert data.coding is LABEL_SETS
    both, none = text_of(["kind 0", "kind 1"]), text_of(())
    labels = [text_of(["kind 0"]), both, none, none, text_of(["kind 1"]), both]
    assert pairs(data) == [(f"message {n}", label) for n, label in enumerate(labels)]
    assert said(data, "without a label").startswith("rows without a label, left out: 1 of 7")


def test_empty_answer_in_a_table_of_single_choice_is_no_label(tmp_path: Path) -> None:
    rows = answers(("body", "message"), ("topic", "kind"))
    rows[3]["topic"] = ""
    data = read_data(str(write_csv(tmp_path / "a.csv", rows)))
    assert "message 3" not in data.texts
    assert said(data, "without a label") == "rows without a label, left out: 1 of 8 (line 5 first)"


def test_field_named_like_the_control_is_found_with_the_label_config(tmp_path: Path) -> None:
    config = one_of("kind 0", "kind 1", field="topic")
    rows = answers(("_data_topic", "message"), ("other", "x"), ("topic", "kind"))
    data = read_data(str(write_csv(tmp_path / "a.csv", rows)), config=config)
    assert pairs(data) == [(f"message {n}", f"kind {n % 2}") for n in range(8)]


def test_where_no_label_has_a_lead_time_automatic_ones_are_warned_of(tmp_path: Path) -> None:
    rows = answers(("body", "message"), ("topic", "kind"), leads=("",))
    data = read_data(str(write_csv(tmp_path / "a.csv", rows)))
    assert len(data.texts) == 8
    assert "take the JSON export" in said(data, "lead_time")


def test_tasks_of_one_number_but_different_texts_are_different_tasks(tmp_path: Path) -> None:
    rows = [{**row, "id": 4} for row in answers(("body", "message"), ("topic", "kind"))]
    assert len(read_data(str(write_csv(tmp_path / "a.csv", rows))).texts) == 8


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


def test_labels_that_autolabel_set_are_left_out_of_an_export(tmp_path: Path) -> None:
    automatic = exported(20, "A", updated_by=None)
    corrected = exported(21, "A", updated_by=1)
    for task in (automatic, corrected):
        task["annotations"][0]["result"][0]["id"] = f"{MARK}3"
    tasks = [*PLAIN, automatic, corrected]
    data = read_data(str(write_export(tmp_path / "export.json", tasks)))
    assert pairs(data)[len(PLAIN) :] == [("text 21", "A")]
    assert said(data, "autolabel") == "labels that autolabel set, left out: 1 (nobody checked them)"


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


def test_several_labels_in_an_answer_make_it_multiple_choice(tmp_path: Path) -> None:
    several = {**choice("A"), "value": {"choices": ["B", "A"]}}
    tasks = [exported(n, "A") for n in range(1, 6)]
    tasks += [{**exported(n, "A"), "annotations": [{"id": n, "task": n, "result": [several]}]} for n in range(6, 11)]
    tasks += [{**exported(n, "A"), "annotations": [{"id": n, "task": n, "result": []}]} for n in range(11, 16)]
    data = read_data(str(write_export(tmp_path / "export.json", tasks)))
    assert data.coding is LABEL_SETS
    assert sorted(data.labels.tolist()) == sorted([text_of("A")] * 5 + [text_of("AB")] * 5 + [text_of("")] * 5)


# -- with a label config --------------------------------------------------------------------------------------

A_OR_B = one_of("A", "B", field="body")
ANY_OF_A_AND_B = any_of("A", "B", field="body")


def test_label_config_says_which_control_and_which_text_count(tmp_path: Path) -> None:
    tasks = [
        exported(n, "A" if n % 2 else "B", data={"title": f"t {n}", "body": f"text {n}", "text": "x"})
        for n in range(1, 9)
    ]
    tasks[0]["annotations"][0]["result"].append(choice("C", "mood"))
    data = read_data(str(write_export(tmp_path / "export.json", tasks)), config=A_OR_B)
    assert pairs(data) == [(f"text {n}", "A" if n % 2 else "B") for n in range(1, 9)]
    assert data.question == A_OR_B.question


def test_label_config_reads_nested_texts(tmp_path: Path) -> None:
    tasks = [exported(n, "A" if n % 2 else "B", data={"mail": {"body": f"text {n}"}}) for n in range(1, 9)]
    config = one_of("A", "B", field="mail.body")
    assert read_data(str(write_export(tmp_path / "export.json", tasks)), config=config).texts[0] == "text 1"


def test_label_config_of_any_number_reads_single_and_empty_answers_as_sets(tmp_path: Path) -> None:
    tasks = [*PLAIN, exported(20, None)]
    data = read_data(str(write_export(tmp_path / "export.json", tasks)), config=ANY_OF_A_AND_B)
    assert pairs(data)[0] == ("text 1", text_of("A"))
    assert pairs(data)[-1] == ("text 20", text_of(""))


def test_named_control_answers_the_label_configs_question(tmp_path: Path) -> None:
    path = write_export(tmp_path / "export.json", PLAIN)
    other = one_of("A", "B", field="body", control="kind")
    assert "there is no control 'kind': there is topic (--label-field names one)" in refusal(path, config=other)
    assert len(read_data(str(path), label_field="topic", config=other).texts) == 8


def test_named_control_is_told_from_others_of_a_set(tmp_path: Path) -> None:
    """An answer to another control is not the answer that none of the labels applies."""
    tasks = json.loads(json.dumps(PLAIN))
    tasks[0]["annotations"][0]["result"] = [choice("A", "kind")]
    other = any_of("A", "B", field="body", control="kind")
    data = read_data(str(write_export(tmp_path / "export.json", tasks)), label_field="topic", config=other)
    assert len(data.texts) == 7
    assert said(data, "annotations that") == "annotations that answer another control than the label config's: 1 of 8"


def test_field_of_the_label_config_that_no_task_has_is_a_sentence(tmp_path: Path) -> None:
    path = write_export(tmp_path / "export.json", PLAIN)
    config = one_of("A", "B", field="mail.body")
    assert "there is no text field 'mail.body': there is body (--text-field names one)" in refusal(path, config=config)
    assert len(read_data(str(path), text_field="body", config=config).texts) == 8


def test_labels_of_an_export_that_the_config_does_not_offer_are_reported(tmp_path: Path) -> None:
    tasks = [*PLAIN, exported(20, "gone"), exported(21, "A")]
    tasks[-1]["annotations"][0]["result"][0]["value"]["choices"] += ["gone"]
    path = write_export(tmp_path / "export.json", tasks)
    one, any_number = (read_data(str(path), config=config) for config in (A_OR_B, ANY_OF_A_AND_B))
    assert pairs(one) == [(f"text {n}", "A" if n % 2 else "B") for n in range(1, 9)]
    assert said(one, "hold something else") == (
        "annotations that hold something else than the answer that is asked for: 1 of 10"
    )
    assert pairs(any_number)[-1] == ("text 21", text_of("A"))
    assert said(one, "not in the label config, left out") == (
        "labels that are not in the label config, left out: 'gone' (1)"
    )
    assert said(any_number, "not in the label config, left out") == (
        "labels that are not in the label config, left out: 'gone' (2)"
    )


def test_answers_that_do_not_tell_what_was_asked_need_a_label_config(tmp_path: Path) -> None:
    rated = [{"from_name": "stars", "to_name": "text", "type": "rating", "value": {"rating": 3}}]
    tasks = [exported(n, "A") for n in range(1, 9)]
    for task in tasks:
        task["annotations"][0]["result"] = rated
    assert refusal(write_export(tmp_path / "export.json", tasks)).endswith(
        "answers of rating do not tell what was asked: give the label config (--config)"
    )
    rows = answers(("body", "message"), ("stars", "kind"))
    for row in rows:
        row["stars"] = '[{"rating": 3}]'
    assert "give the label config (--config)" in refusal(write_csv(tmp_path / "a.csv", rows))


@pytest.mark.parametrize("name", ["export.json", "a.csv"])
def test_exports_need_no_separator(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_export(path, PLAIN) if name == "export.json" else write_csv(path, answers(("body", "m"), ("topic", "k")))
    assert "an export of Label Studio has lists of labels: leave --separator out" in refusal(path, separator=";")
