"""Data files as different programs save them: separators, encodings, quotes, JSON."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from label_studio_al.learning.coding import LABEL_SETS, ONE_LABEL, labels_of
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data import read_data
from tests.support.data_files import ROWS, pairs, refusal, said, write_csv, write_jsonl

PAIRS = [(row["text"], row["label"]) for row in ROWS]
# Each has what separates the columns of some file.
ODD_TEXTS = ["one, two; three", 'she said "no"', "a\tb | c", "first line\nsecond; line", "'", "=1+1", "Grüße 🙂", '"']
ODD_ROWS = [{"text": text, "label": "x" if n % 2 else "y"} for n, text in enumerate(ODD_TEXTS)]


def write_json(path: Path, rows: list[Any]) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.csv", write_csv),
        ("A.CSV", write_csv),
        ("a.jsonl", write_jsonl),
        ("a.jsonl.gz", write_jsonl),
        ("a.ndjson", write_jsonl),
        ("a.json", write_json),
        # As many programs name JSON lines.
        ("a.json", write_jsonl),
    ],
)
def test_formats_give_the_same(tmp_path: Path, name: str, write: Callable[[Path, Any], Path]) -> None:
    data = read_data(str(write(tmp_path / name, ROWS)))
    assert pairs(data) == PAIRS
    assert data.name.lower() == "a"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt"])
def test_separator_is_told_whatever_the_texts_hold(tmp_path: Path, name: str, delimiter: str) -> None:
    path = write_csv(tmp_path / name, [*ODD_ROWS, *ROWS], delimiter=delimiter)
    assert pairs(read_data(str(path))) == [*((row["text"], row["label"]) for row in ODD_ROWS), *PAIRS]


def test_separator_is_told_where_every_text_has_more_of_another(tmp_path: Path) -> None:
    rows = [{"text": f"a, b, c, d, {n}", "label": "x" if n % 2 else "y"} for n in range(6)]
    data = read_data(str(write_csv(tmp_path / "a.csv", rows, delimiter=";")))
    assert data.texts == [row["text"] for row in rows]
    assert said(data, "semicolons") == "columns are separated by semicolons"


def test_separator_is_told_by_the_named_fields(tmp_path: Path) -> None:
    rows = [{"body, as sent": row["text"], "topic": row["label"]} for row in ROWS]
    path = write_csv(tmp_path / "a.csv", rows, delimiter=";")
    assert pairs(read_data(str(path), "body, as sent", "topic")) == PAIRS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("write", [write_csv, write_jsonl])
def test_marked_encodings_are_read(tmp_path: Path, encoding: str, write: Callable[[Path, Any], Path]) -> None:
    path = write(tmp_path / ("a.csv" if write is write_csv else "a.jsonl"), ODD_ROWS)
    content = path.read_bytes().decode()
    # Python marks none of these two by itself.
    path.write_bytes((("\ufeff" if encoding in ("utf-16-le", "utf-16-be") else "") + content).encode(encoding))
    assert read_data(str(path)).texts == ODD_TEXTS


def test_unicode_text_of_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.txt", ODD_ROWS, "utf-16", delimiter="\t")
    assert path.read_bytes().startswith((b"\xff\xfe", b"\xfe\xff"))
    assert read_data(str(path)).texts == ODD_TEXTS


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system_are_read(tmp_path: Path, line_end: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(line_end.join(["text,label", *(f"{text},{label}" for text, label in PAIRS), ""]).encode())
    assert pairs(read_data(str(path))) == PAIRS
    if line_end != "\r":
        lines = tmp_path / "a.jsonl"
        lines.write_bytes(line_end.join(map(json.dumps, ROWS)).encode())
        assert pairs(read_data(str(lines))) == PAIRS


def test_csv_keeps_commas_line_breaks_and_long_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    long = "word " * 50_000
    path.write_text(f'text,label\n"one, two\nthree",x\n{long},x\nb,y\nc,y\n', encoding="utf-8")
    data = read_data(str(path))
    assert data.texts == ["one, two\nthree", long, "b", "c"]


def test_header_with_blanks_and_capitals_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('Text , Label\n"one, two", x\n"three", "x"\nfour, y\nfive, y\n')
    assert pairs(read_data(str(path))) == [("one, two", "x"), ("three", "x"), ("four", "y"), ("five", "y")]


def test_empty_lines_and_empty_columns_of_a_spreadsheet_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\ntext,label,,\n\na,x,,\nb,x,,,,\n,,,\nc,y\nd,y,,\n,,,\n")
    data = read_data(str(path))
    assert pairs(data) == [("a", "x"), ("b", "x"), ("c", "y"), ("d", "y")]
    assert not [note for note in data.notes if "left out" in note]


def test_quotes_are_parts_of_texts_where_tabs_separate_and_they_are_not_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('text\tlabel\n"Great" film\tx\n"He left\tx\nno, "never\ty\nb\ty\n')
    data = read_data(str(path))
    assert data.texts == ['"Great" film', '"He left', 'no, "never', "b"]
    assert said(data, "quotes are parts of the texts")


def test_json_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    rows = [{"text": f"one\u2028two {n}", "label": label} for n, label in enumerate("aabb")]
    assert read_data(str(write_jsonl(tmp_path / "a.jsonl", rows))).texts == [row["text"] for row in rows]


def test_half_a_surrogate_pair_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "{n} a\\ud800", "label": "{n % 2}"}}\n' for n in range(4)))
    assert read_data(str(path)).texts[0] == "0 a?"


def test_fields_of_other_names(tmp_path: Path) -> None:
    rows = [{"body": row["text"], "topic": row["label"]} for row in ROWS]
    assert pairs(read_data(str(write_jsonl(tmp_path / "a.jsonl", rows)), "body", "topic")) == PAIRS


def test_field_that_only_later_rows_have_is_found(tmp_path: Path) -> None:
    rows = [{"text": "no label yet"}, *ROWS]
    assert pairs(read_data(str(write_jsonl(tmp_path / "a.jsonl", rows)))) == PAIRS


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xlsx", b"x", "a data set is a file that ends in .csv, .tsv, .txt, .jsonl, .ndjson, .json"),
        ("a.csv", b"", "no labelled texts in it: the file is empty"),
        ("a.jsonl", b"\n\n", "no labelled texts in it: the file is empty"),
        ("a.csv", b"\xef\xbb\xbf\r\n", "no labelled texts in it: the file is empty"),
        ("a.json", b"[]", "there is no field 'text' but none"),
        ("a.csv", b"text,label\n", "no labelled texts"),
        ("a.jsonl.gz", b"plain", "not gzipped, or corrupt"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "a"}', mtime=0)[:-9], "not gzipped, or corrupt"),
        (
            "a.csv",
            "text,label\ncaf\xe9,a\n".encode("latin-1"),
            "not UTF-8 (line 2, byte 14), perhaps Latin-1 or Windows-1252: save it as UTF-8",
        ),
        ("a.csv", b"\xff\xfet\0e\0x", "not UTF-16"),
        ("a.csv", "text,label\na,b\n".encode("utf-16-le"), "zero bytes, as UTF-16 without its mark does: save"),
        ("a.csv", b"texts;label\na;b\n", "there is no field 'text' but texts, label: name one with --text-field"),
        ("a.csv", b"text,topic\na,b\n", "no field 'label', 'labels', 'rating', 'path' or 'spans' but text, topic"),
        ("a.tsv", b"ham\tHello there\nspam\tBuy\n", "there is no field 'text' but ham, Hello there: name one"),
        ("a.csv", b"text,label,label\na,b,c\n", "two columns are named 'label': rename one, or take it out"),
        ("a.csv", b"text;text ;label\na;b;c\n", "two columns are named 'text'"),
        ("a.jsonl", b'{"text": "a", "label": "b", "label": "c"}\n', "line 1: two columns are named 'label'"),
        ("a.csv", b"text,label\nhello, world,x\n", "line 2 has 3 cells, the header 2: put texts with commas in quotes"),
        ("a.csv", b'text,label\na,x\n"b,x\nc,y\nd,y\n', "line 3: a quoted text is never closed"),
        ("a.csv", b'text,label\na,x\n"b" or c,y\n', "line 3: a quoted text is never closed, or has a quote"),
        ("a.tsv", b'"text"\t"label"\n"a"\t"x\n', "line 2: a quoted text is never closed"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n{"text": "a"\n', "line 2 is not JSON"),
        ("a.jsonl", b'{"text": "a", "label": "b"}\n[]\n', "line 2 must be a JSON object, not list"),
        ("a.json", b"[1]", "item 1 must be a JSON object, not int"),
        ("a.json", b"[", "the file is not JSON"),
    ],
)  # fmt: skip
def test_unreadable_file_is_a_sentence(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    sentence = refusal(path)
    assert sentence.startswith(f"{path}: ")
    assert words in sentence


def test_a_header_of_hundreds_of_columns_is_not_all_repeated(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",".join(f"column {n}" for n in range(300)) + "\n")
    sentence = refusal(path)
    assert "column 11 and 288 more: name one with --text-field" in sentence
    assert len(sentence) < 400


def test_missing_file_and_folder_are_a_sentence(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.csv").endswith("there is no such file")
    (tmp_path / "folder.csv").mkdir()
    assert "has no images in folders" in refusal(tmp_path / "folder.csv")


# -- label sets -----------------------------------------------------------------------------------------------

SETS = [("one", ["a", "b"]), ("two", []), ("three", ["b"]), ("four", ["b", "a"]), ("five", ["a"])]


@pytest.mark.parametrize("name", ["sets.jsonl", "sets.csv"])
def test_lists_in_the_column_labels_are_label_sets(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("csv"):
        write_csv(path, [{"text": text, "labels": json.dumps(labels)} for text, labels in SETS])
    else:
        path.write_text("".join(json.dumps({"text": text, "labels": labels}) + "\n" for text, labels in SETS))
    data = read_data(str(path))
    assert data.coding is LABEL_SETS
    found = dict(zip(data.texts, data.labels.tolist(), strict=True))
    assert {text: labels_of(label) for text, label in found.items()} == {text: sorted(labels) for text, labels in SETS}
    assert found["one"] == found["four"]


def test_spellings_of_a_label_in_sets_are_one_label(tmp_path: Path) -> None:
    path = tmp_path / "sets.jsonl"
    rows = [("one", ["caf\u00e9"]), ("two", ["cafe\u0301", " b "]), ("three", ["b"]), ("four", [])]
    path.write_text("".join(json.dumps({"text": text, "labels": labels}) + "\n" for text, labels in rows))
    assert sorted(read_data(str(path)).coding.counts(read_data(str(path)).labels)) == ["b", "caf\u00e9"]


@pytest.mark.parametrize("labels", ["a", '"a"', '{"a": 1}', "[1]", '[""]', "[null]", '["a"'])
def test_what_is_no_list_of_labels_is_a_sentence(tmp_path: Path, labels: str) -> None:
    path = write_csv(tmp_path / "sets.csv", [{"text": "one", "labels": '["b"]'}, {"text": "two", "labels": labels}])
    with pytest.raises(InvalidRequest, match=r'line 3: labels must be a JSON list of labels \(\["a", "b"\]\), not'):
        read_data(str(path))


def test_a_column_label_goes_before_a_column_labels(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": "AB"[n % 2], "labels": "anything"} for n in range(6)]
    assert read_data(str(write_csv(tmp_path / "both.csv", rows))).coding is ONE_LABEL
