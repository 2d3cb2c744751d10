"""Reading labelled texts for an experiment."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

import backend.simulate.data
from backend.errors import InvalidRequest
from backend.simulate.data import Dataset, read_data
from tests.support.build import choice

ROWS = [{"text": f"text {n}", "label": "spam" if n % 4 == 0 else "ham"} for n in range(40)]


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(",".join(line) + "\n" for line in [list(rows[0]), *(list(r.values()) for r in rows)]))
    return path


def pairs(data: Dataset) -> list[tuple[str, str]]:
    return list(zip(data.texts, data.labels.tolist(), strict=True))


def refusal(path: Path, **fields: str) -> str:
    with pytest.raises(InvalidRequest) as raised:
        read_data(str(path), **fields)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "write"), [("a.csv", write_csv), ("a.jsonl", write_jsonl), ("a.jsonl.gz", write_jsonl)]
)
def test_formats_give_the_same(tmp_path: Path, name: str, write: Callable[[Path, Any], Path]) -> None:
    data = read_data(str(write(tmp_path / name, ROWS)))
    assert pairs(data) == [(row["text"], row["label"]) for row in ROWS]
    assert data.name == "a"


def test_csv_keeps_commas_line_breaks_and_long_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    long = "word " * 50_000
    path.write_text(f'\ufefftext,label\n"one, two\nthree",x\n{long},x\nb,y\nc,y\n', encoding="utf-8")
    data = read_data(str(path))
    assert data.texts == ["one, two\nthree", long, "b", "c"]


def test_json_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    rows = [{"text": "one\u2028two", "label": label} for label in "aabb"]
    assert read_data(str(write_jsonl(tmp_path / "a.jsonl", rows))).texts == ["one\u2028two"] * 4


def test_fields_of_other_names(tmp_path: Path) -> None:
    rows = [{"body": row["text"], "topic": row["label"]} for row in ROWS]
    data = read_data(str(write_jsonl(tmp_path / "a.jsonl", rows)), "body", "topic")
    assert pairs(data) == [(row["text"], row["label"]) for row in ROWS]


def test_numbers_are_labels_too(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": label} for label in (0, 0, 1, 1)]
    assert read_data(str(write_jsonl(tmp_path / "a.jsonl", rows))).labels.tolist() == ["0", "0", "1", "1"]


def test_half_a_surrogate_pair_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a\\ud800", "label": "x"}\n' * 2 + '{"text": "b", "label": "y"}\n' * 2)
    assert read_data(str(path)).texts[0] == "a?"


# -- split ----------------------------------------------------------------------------------------------------


def test_without_a_split_30_percent_of_each_label_is_held_out(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", ROWS)
    data, again = read_data(str(path)), read_data(str(path))
    assert Counter(data.labels[data.test_rows].tolist()) == {"ham": 9, "spam": 3}
    assert data.is_test.tolist() == again.is_test.tolist()
    assert data.notes == ("30% of each label held out for the test, drawn with seed 0",)


def test_rarest_label_is_in_both_parts(tmp_path: Path) -> None:
    data = read_data(str(write_jsonl(tmp_path / "a.jsonl", [*ROWS, *[{"text": "x", "label": "rare"}] * 2])))
    assert "rare" in data.labels[data.train_rows]
    assert "rare" in data.labels[data.test_rows]


def test_split_of_the_data_is_kept(tmp_path: Path) -> None:
    rows = [{**row, "split": "test" if n < 7 else "train"} for n, row in enumerate(ROWS)]
    data = read_data(str(write_jsonl(tmp_path / "a.jsonl", rows)))
    assert data.test_rows.tolist() == list(range(7))


# -- Label Studio ---------------------------------------------------------------------------------------------


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
    assert data.notes[0] == "the text is body, the label topic"


def test_export_gives_the_majority_and_leaves_out_what_has_no_label(tmp_path: Path) -> None:
    tasks = [*PLAIN, exported(20, "A", "A", "B"), exported(21, "A", "B"), exported(22), exported(23, None)]
    tasks.append(exported(24, "A", was_cancelled=True))
    data = read_data(str(write_export(tmp_path / "export.json", tasks)))
    assert pairs(data)[len(PLAIN) :] == [("text 20", "A"), ("text 21", "B")]
    assert "3 of 13 tasks without a text or a single choice are left out" in data.notes


def test_export_of_an_older_release_is_read(tmp_path: Path) -> None:
    tasks = json.loads(json.dumps(PLAIN))
    for task in tasks:
        del task["annotations"][0]["task"]
    assert len(read_data(str(write_export(tmp_path / "export.json", tasks))).texts) == 8


def test_export_with_the_object_named_like_its_field(tmp_path: Path) -> None:
    tasks = [exported(n, "A" if n % 2 else "B", data={"title": "t", "text": f"text {n}"}) for n in range(1, 9)]
    assert read_data(str(write_export(tmp_path / "export.json", tasks))).texts[0] == "text 1"
    assert read_data(str(write_export(tmp_path / "export.json", tasks)), "title").texts[0] == "t"


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


# -- bundled and downloaded -----------------------------------------------------------------------------------


def test_examples_are_bundled() -> None:
    data = read_data("examples")
    assert len(data.texts) > 300
    assert "Billing" in data.labels


def test_newsgroups_without_internet_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**_: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr(backend.simulate.data, "fetch_20newsgroups", unreachable)
    with pytest.raises(InvalidRequest, match="connect to the internet, or give a file"):
        read_data("20newsgroups")


def test_newsgroups_are_split_by_date(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(subset: str, categories: list[str]) -> Any:
        asked.append(categories)
        found = {"data": [f"{subset} {n}" for n in range(4)], "target": [0, 1, 0, 1], "target_names": categories}
        return type("Bunch", (), found)

    monkeypatch.setattr(backend.simulate.data, "fetch_20newsgroups", fetch)
    data = read_data("20newsgroups")
    assert [data.texts[row] for row in data.test_rows] == [f"test {n}" for n in range(4)]
    assert set(data.labels) == {"alt.atheism", "soc.religion.christian"}
    read_data("20newsgroups:sci.med,sci.space")
    assert asked[-1] == ["sci.med", "sci.space"]


# -- bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", b"x", "a data set is a .csv, .jsonl or .jsonl.gz file"),
        ("a.csv", b"", "no labelled texts"),
        ("a.jsonl", b"\n\n", "no labelled texts"),
        ("a.jsonl.gz", b"plain", "not gzipped, or torn"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "a"}')[:-9], "not gzipped, or torn"),
        ("a.csv", "text,label\ncaf\xe9,a\n".encode("latin-1"), "not UTF-8 (byte 14)"),
        ("a.csv", b"text;label\na;b\n", "there is no field 'text' but text;label: name one with --text-field"),
        ("a.csv", b"text,topic\na,b\n", "there is no field 'label' but text, topic: name one with --label-field"),
        ("a.csv", b"text,label\na,b\n\"\",b\n", "line 3 has no text"),
        ("a.csv", b"text,label\na,b\nc\n", "line 3 has no label"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n{"text": "a"\n', "line 2 is not JSON"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n[]\n', "line 2 must be a JSON object, not list"),
        ("a.jsonl", b'{"text": " ", "label": "b"}\n', "line 1 has no text"),
        ("a.jsonl", b'{"text": ["a"], "label": "b"}\n', "line 1 has no text"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n' * 3, "need 2 labels to learn from, have 1 ('b')"),
        ("a.csv", b"text,label\na,x\nb,x\nc,y\n", "need 2 texts of each label, one to learn and one to test, have 1"),
        ("a.csv", b"text,label,split\na,x,dev\n", "line 2: split must be train or test, not 'dev'"),
        ("a.csv", b"text,label,split\na,x,train\nb,y,train\nc,x,train\nd,y,train\n", "a text in test"),
        ("a.csv", b"text,label,split\na,x,train\nb,y,test\nc,x,train\nd,y,test\n", "need 2 labels in train"),
    ],
)  # fmt: skip
def test_bad_file_is_a_sentence(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    sentence = refusal(path)
    assert sentence.startswith(f"{path}: ")
    assert words in sentence


def test_missing_file_and_folder_are_a_sentence(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.csv").endswith("there is no such file")
    (tmp_path / "folder.csv").mkdir()
    assert "cannot be read" in refusal(tmp_path / "folder.csv")
