"""Replays of several questions together: one queue, and everything else by question."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from label_studio_al.learning.coding import LABEL_SETS, ONE_LABEL
from label_studio_al.learning.ordered import ORDERED
from label_studio_al.learning.strategies.uncertainty import margin
from label_studio_al.questions import parse_config
from label_studio_al.simulate.data import Dataset, Said, read, read_data
from label_studio_al.simulate.experiment import prepare
from label_studio_al.simulate.replay import Known, Options, Run, full_scores, replay, turns
from label_studio_al.simulate.summary import file_names
from tests.support.data_files import refusal, said, write_csv, write_jsonl

CONFIG = parse_config("""<View><Text name="text" value="$text"/>
<Choices name="topic" toName="text"><Choice value="animal"/><Choice value="machine"/></Choices>
<Choices name="traits" toName="text" choice="multiple"><Choice value="loud"/><Choice value="old"/></Choices>
<Rating name="size" toName="text"/></View>""")
TOPICS = {"cat": "animal", "engine": "machine"}
OPTIONS = Options(budget=60, batch=20, features="tfidf")


def rows_of(n: int = 200) -> list[dict[str, Any]]:
    """Texts whose words tell topic and size."""
    random = np.random.default_rng(0)
    rows = []
    for place in range(n):
        topic, size = list(TOPICS)[int(random.integers(2))], int(random.integers(1, 4))
        text = f"{topic} size{size} word{random.integers(9)} number {place}"
        rows.append({"text": text, "label:topic": TOPICS[topic], "rating:size": size})
    return rows


ROWS = rows_of()


def simulate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments), "--features", "tfidf", "--n-jobs", "1"])


def data_of(tmp_path: Path, rows: Sequence[Mapping[str, Any]] = ROWS) -> Dataset:
    return read_data(str(write_jsonl(tmp_path / "a.jsonl", rows)))


# -- which columns --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_columns_that_state_what_they_answer_are_questions(tmp_path: Path, name: str) -> None:
    sets = [["loud"], [], ["loud", "old"], ["old"]] * 50
    rows = [{**row, "labels:traits": given} for row, given in zip(ROWS, sets, strict=True)]
    if name == "a.csv":
        rows = [{**row, "labels:traits": json.dumps(row["labels:traits"])} for row in rows]
    data = read_data(str((write_csv if name == "a.csv" else write_jsonl)(tmp_path / name, rows)))
    assert [(one.asks, one.coding) for one in data.questions] == [
        ("topic", ONE_LABEL),
        ("size", ORDERED),
        ("traits", LABEL_SETS),
    ]
    assert data.beside[0].labels.tolist() == [str(row["rating:size"]) for row in ROWS]
    assert data.beside[1].labels.tolist() == [json.dumps(given) for given in sets]
    assert all(one.texts is data.texts and one.is_test is data.is_test for one in data.questions)


@pytest.mark.parametrize(("question", "labels"), [("topic", {"animal", "machine"}), ("size", {"1", "2", "3"})])
def test_one_of_the_questions_is_replayed_alone(tmp_path: Path, question: str, labels: set[str]) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", ROWS)
    data = read(str(path), Said(question=question))
    assert (data.asks, data.beside, set(data.labels.tolist())) == ("", (), labels)
    (column,) = [name for name in ROWS[0] if name.endswith(question)]
    assert read(str(path), Said(label=column)).labels.tolist() == data.labels.tolist()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"label:tone": "a", "rating:tone": 3}, "the columns label:tone and rating:tone answer the same question, ton"),
        (
            {"label": "a", "rating": 4.5},
            "number of stars (round decimals before), not '4.5'; the only column that counts is named with --label",
        ),
        (
            {"label:": "a"},
            "there is no field 'label', 'labels', 'rating', 'path' or 'spans' but text, label:: name one",
        ),
    ],
)
def test_columns_that_cannot_be_told_apart_or_read_are_refused(
    tmp_path: Path, columns: dict[str, object], words: str
) -> None:
    assert words in refusal(write_jsonl(tmp_path / "a.jsonl", [{"text": "a text", **columns}]))


def test_config_finds_a_column_for_each_of_its_questions(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "topic": row["label:topic"], "rating": row["rating:size"]} for row in ROWS]
    data = read(str(write_csv(tmp_path / "a.csv", rows)), Said(config=CONFIG))
    assert [one.asks for one in data.questions] == ["topic", "size"]
    assert said(data, "the text is") == "the text is text, the labels topic, rating"
    assert said(data, "there is no column") == "there is no column of traits: left out"
    assert said(data, "do not occur") == "size: labels of the label config that do not occur: '4', '5'"


def test_config_with_two_questions_and_one_column_for_both_is_refused(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": row["label:topic"]} for row in ROWS]
    words = refusal(write_csv(tmp_path / "a.csv", rows), config=CONFIG)
    assert words.endswith("topic and traits and size have the one column label: name a column like each question")
    words = refusal(tmp_path / "a.csv", config=CONFIG, label_field="label")
    assert words.endswith("the label config asks topic, traits, size: say which is in 'label' with --question")


def item(name: str, kind: str, value: object) -> dict[str, Any]:
    return {"from_name": name, "to_name": "text", "type": kind, "value": {kind: value}}


def test_exports_hold_the_answers_to_each_question(tmp_path: Path) -> None:
    given = [(row["text"], row["label:topic"], row["rating:size"] if n % 4 else None) for n, row in enumerate(ROWS)]
    results = [
        [item("topic", "choices", [topic]), *([] if size is None else [item("size", "rating", size)])]
        for _, topic, size in given
    ]
    tasks = [
        {"id": n, "data": {"text": text}, "annotations": [{"id": n, "result": result}]}
        for n, ((text, _, _), result) in enumerate(zip(given, results, strict=True))
    ]
    fixed = {"annotation_id": 1, "annotator": 1, "created_at": "", "updated_at": "", "lead_time": 2.5}
    cells = [
        {**fixed, "text": text, "topic": topic, "size": "" if size is None else json.dumps([{"rating": size}])}
        for text, topic, size in given
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    expected = [[topic, "" if size is None else str(size)] for _, topic, size in given]
    for source in (tmp_path / "export.json", write_csv(tmp_path / "export.csv", cells)):
        data = read(str(source), Said(config=parse_config(without_traits())))
        assert [one.asks for one in data.questions] == ["topic", "size"]
        assert list(map(list, zip(*(one.labels.tolist() for one in data.questions), strict=True))) == expected


def without_traits() -> str:
    return (
        '<View><Text name="text" value="$text"/><Choices name="topic" toName="text"><Choice value="animal"/>'
        '<Choice value="machine"/></Choices><Rating name="size" toName="text"/></View>'
    )


# -- which rows -----------------------------------------------------------------------------------------------


def test_row_that_answers_any_question_is_an_example(tmp_path: Path) -> None:
    rows = [dict(row) for row in ROWS]
    rows[0]["label:topic"] = ""
    rows[1]["label:topic"], rows[1]["rating:size"] = None, " "
    data = data_of(tmp_path, rows)
    assert data.texts == [row["text"] for place, row in enumerate(rows) if place != 1]
    assert (data.labels[0], data.beside[0].labels[0]) == ("", str(rows[0]["rating:size"]))
    assert said(data, "without a label") == "rows without a label, left out: 1 of 200 (line 2 first)"


def test_answers_of_several_people_and_copies_are_counted_by_question(tmp_path: Path) -> None:
    votes = [("animal", 1), ("animal", 3), ("machine", 3), ("", 3)]
    rows = [{"text": "the same", "label:topic": topic, "rating:size": size} for topic, size in votes]
    copies = data_of(tmp_path, [*ROWS, *rows])
    assert [one.labels[-4:].tolist() for one in copies.questions] == [["animal"] * 3 + [""], ["3"] * 4]
    assert said(copies, "topic: texts in several rows").endswith(": 1")
    people = data_of(tmp_path, [{**row, "annotator": "somebody"} for row in [*ROWS, *rows]])
    assert [one.labels[-1] for one in people.questions] == ["animal", "3"]
    assert len(people.texts) == len(ROWS) + 1
    assert said(people, "topic: 203 answers to 201 tasks")
    assert said(people, "size: 204 answers to 201 tasks")


def test_question_that_nobody_answers_is_left_out(tmp_path: Path) -> None:
    data = data_of(tmp_path, [{**row, "label:tone": ""} for row in ROWS])
    assert [one.asks for one in data.questions] == ["topic", "size"]
    assert said(data, "not answered in any row") == "not answered in any row, left out: tone"


def test_answers_to_controls_that_are_not_replayed_are_told(tmp_path: Path) -> None:
    xml = """<View><Text name="text" value="$text"/><TextArea name="why" toName="text"/>
    <Rating name="size" toName="gone"/>
    <Choices name="topic" toName="text"><Choice value="animal"/><Choice value="machine"/></Choices></View>"""
    rows = [{"text": row["text"], "topic": row["label:topic"], "size": row["rating:size"], "why": "so"} for row in ROWS]
    fixed = {"annotation_id": 1, "annotator": 1, "created_at": "", "updated_at": "", "lead_time": 2.5}
    types = {"topic": "choices", "size": "rating", "why": "textarea"}
    tasks = [
        {
            "id": n,
            "data": {"text": row["text"]},
            "annotations": [
                {
                    "id": n,
                    "result": [
                        {"from_name": name, "to_name": "text", "type": kind, "value": {kind: [row[name]]}}
                        for name, kind in types.items()
                    ],
                }
            ],
        }
        for n, row in enumerate(rows)
    ]
    export = tmp_path / "export.json"
    export.write_text(json.dumps(tasks))
    answers = write_csv(tmp_path / "answers.csv", [{**fixed, **row} for row in rows])
    for path in (write_jsonl(tmp_path / "a.jsonl", rows), export, answers):
        data = read_data(str(path), config=parse_config(xml))
        assert data.beside == ()
        assert said(data, "not replayed") == "not replayed: size, why (label-studio-al questions says what is learned)"


def test_question_with_too_few_answers_is_left_out_with_the_reason(tmp_path: Path) -> None:
    alone = {"text": "only the tone is known", "label:tone": "calm"}
    data = data_of(tmp_path, [*({**row, "label:tone": "calm"} for row in ROWS), alone])
    assert [one.asks for one in data.questions] == ["topic", "size"]
    assert said(data, "tone") == "tone is left out: need 2 labels to learn from, have 1 ('calm')"
    assert len(data.texts) == len(ROWS), "a text that answers nothing else is no task"
    tones = {0: "calm", 1: "loud"}
    data = data_of(tmp_path, [{**row, "label:tone": tones.get(place, "")} for place, row in enumerate(ROWS)])
    assert said(data, "tone is left out: need 2 labels in train and a text in test, have ")
    assert data_of(tmp_path, ROWS).is_test.tolist() == data.is_test.tolist()


def test_questions_with_one_label_each_are_refused_by_the_first_ones_name(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label:tone": "calm", "label:mood": "low"} for row in ROWS]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    assert refusal(path).endswith("tone: need 2 labels to learn from, have 1 ('calm')")


# -- the replay -----------------------------------------------------------------------------------------------


def test_queue_asks_what_any_question_is_unsure_of(tmp_path: Path) -> None:
    known = prepare(data_of(tmp_path)).shuffled(0)
    for before, after in pairwise(turns(known, Run("margin", 0), OPTIONS)):
        asked = after.labelled[len(before.labelled) :]
        left = np.setdiff1d(np.arange(len(known.y)), before.labelled)
        by_question = [margin(model.believe(known.X[left]).wide) for model in before.classifiers if model]
        worth = np.maximum(*by_question)
        assert np.allclose(np.sort(worth)[-len(asked) :], np.sort(worth[np.searchsorted(left, asked)]))
        assert not np.allclose(*by_question)


def test_task_trains_and_measures_only_the_questions_that_it_answers(tmp_path: Path) -> None:
    rows = [{**row, "label:topic": row["label:topic"] if place % 3 else ""} for place, row in enumerate(ROWS)]
    known = prepare(data_of(tmp_path, rows))
    topic, size = known.questions
    assert len(topic.labelled(slice(None))) == int((topic.y != "").sum()) < len(size.labelled(slice(None)))
    assert len(topic.y_test) < len(size.y_test)
    assert "" not in topic.y_test.tolist()
    points = replay(known, Run("auto", 0), OPTIONS)
    assert [(point.n_labels, point.question) for point in points] == [
        (n, question) for n in (20, 40, 60) for question in ("topic", "size")
    ]
    assert points[-2].scores["accuracy"] > 0.8


def test_question_without_answers_yet_is_asked_no_less(tmp_path: Path) -> None:
    """A question that is answered once in a while has no model for long, and holds nothing up."""
    rows = [{**row, "label:tone": {0: "calm", 1: "angry"}.get(place % 40, "")} for place, row in enumerate(ROWS)]
    known = prepare(data_of(tmp_path, rows))
    points = replay(known, Run("margin", 0), OPTIONS)
    assert [point.n_labels for point in points if point.question == "tone"] == [20, 40, 60]
    found = {point.question: point.scores["accuracy"] for point in points}
    assert found["topic"] > 0.9


def test_questions_alone_score_with_all_labels_as_together(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", ROWS)
    together: Known = prepare(read_data(str(path)))
    for one in together.questions:
        alone = prepare(read(str(path), Said(question=one.name)))
        assert full_scores(one, "tfidf") == full_scores(alone, "tfidf")


# -- the command ----------------------------------------------------------------------------------------------


def test_command_reports_each_question(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", ROWS)
    options = (path, "--budget", "40", "--seeds", "2", "--strategies", "margin", "--output", tmp_path / "out")
    done = simulate(*options)
    assert done.exit_code == 0, done.output
    assert "a: 2 questions, 140 texts to label, 60 to test" in done.output
    assert "  size: 3 labels, answered in 140 and 60 of them" in done.output
    assert done.output.count("accuracy with all labels: ") == 2
    with (tmp_path / "out" / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["question"] for row in rows] == ["topic", "size"] * 8
    assert rows[0]["mean_absolute_error"] == ""
    assert float(rows[1]["mean_absolute_error"]) >= 0
    with (tmp_path / "out" / "summary.csv").open() as file:
        lines = [(line["question"], line["strategy"]) for line in csv.DictReader(file)]
    assert lines == [("topic", "margin"), ("topic", "random"), ("size", "margin"), ("size", "random")]
    for name in ("topic", "size"):
        assert f"a: {name}" in (tmp_path / "out" / f"curves-{name}.svg").read_text()
    again = simulate(*options, "--json")
    assert "4 of 4 runs are there from before" in again.stderr
    found = json.loads(again.stdout)["questions"]
    assert [(one["question"], len(one["strategies"])) for one in found] == [("topic", 2), ("size", 2)]
    alone = simulate(*options, "--question", "size")
    assert "holds another experiment" in alone.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--metric", "mean_absolute_error"], "topic: metric must be one of accuracy, macro_f1, micro_f1, not 'mean"),
        (["--full", "0.9"], "--full is about one question: say which of topic, size with --question"),
        (["--autolabel"], "--autolabel is about one question: say which of topic, size with --question"),
        (["--question", "tone"], "the columns answer topic, size, not 'tone'"),
    ],
)
def test_what_is_about_one_question_is_refused(tmp_path: Path, options: list[str], words: str) -> None:
    done = simulate(write_jsonl(tmp_path / "a.jsonl", ROWS), "--output", tmp_path / "out", *options)
    assert done.exit_code == 1
    assert words in done.output
    assert not (tmp_path / "out").exists()


def test_files_of_questions_have_different_names_whatever_these_are() -> None:
    assert file_names(["topic", "how long?"]) == ["topic", "how_long_"]
    assert file_names(["a/b", "A:b"]) == ["1-a_b", "2-A_b"]
    assert file_names([""]) == [""]
