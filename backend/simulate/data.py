"""Labelled texts from a file, a Label Studio export, the bundled examples or scikit-learn's 20 newsgroups."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import fetch_20newsgroups

from backend.errors import InvalidRequest
from backend.examples import example_tasks
from backend.labeling import Annotation, LabelConfig, Task, examples, read_annotation, read_task
from backend.learning.types import Array

EXAMPLES = "examples"
NEWSGROUPS = "20newsgroups"
CATEGORIES = "alt.atheism,soc.religion.christian"
TEXT, LABEL, SPLIT = "text", "label", "split"
TRAIN, TEST = "train", "test"
TEST_SHARE = 0.3
SPLIT_SEED = 0


@dataclass(frozen=True)
class Dataset:
    """Labelled texts. texts, labels: as long as each other; is_test: shape (n_texts,), what the loop never sees.

    notes: what a person should know of how it was read.
    """

    name: str
    texts: list[str]
    labels: Array
    is_test: Array
    notes: tuple[str, ...] = ()

    @property
    def train_rows(self) -> Array:
        """Indices of the texts that may be labelled."""
        return np.flatnonzero(~self.is_test)

    @property
    def test_rows(self) -> Array:
        """Indices of the texts that only measure."""
        return np.flatnonzero(self.is_test)

    @property
    def n_train(self) -> int:
        """How many texts may be labelled."""
        return len(self.train_rows)

    def fingerprint(self) -> str:
        """Equal for equal texts, labels and splits in the same order."""
        content = json.dumps([self.texts, self.labels.tolist(), self.is_test.tolist()])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class _Row:
    text: str
    label: str
    split: str | None = None


def read_data(source: str, text_field: str | None = None, label_field: str | None = None) -> Dataset:
    """The data set of a path or a name. Raises InvalidRequest with a sentence.

    text_field, label_field: names of the fields; of a Label Studio export, the task's field and the control.
    """
    name, _, categories = source.partition(":")
    if name == NEWSGROUPS:
        rows = _newsgroups(categories or CATEGORIES)
        return _dataset(source, rows)
    if source == EXAMPLES:
        records = enumerate(example_tasks(), start=1)
        return _dataset(source, _rows(records, text_field or TEXT, label_field or "gold"))
    path = Path(source)
    name = path.name.partition(".")[0]
    try:
        if path.name.endswith(".json"):
            return _export(name, _text_of(path), text_field, label_field)
        records = _reader_of(path)(_text_of(path))
        return _dataset(name, _rows(records, text_field or TEXT, label_field or LABEL))
    except InvalidRequest as exc:
        raise InvalidRequest(f"{path}: {exc}") from exc


# -- files ----------------------------------------------------------------------------------------------------


def _reader_of(path: Path) -> Any:
    for ending, reader in {".csv": _csv_lines, ".jsonl": _json_lines, ".jsonl.gz": _json_lines}.items():
        if path.name.endswith(ending):
            return reader
    raise InvalidRequest(
        f"a data set is a .csv, .jsonl or .jsonl.gz file, a .json export of Label Studio, {EXAMPLES} or {NEWSGROUPS}"
    )


def _text_of(path: Path) -> str:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise InvalidRequest("there is no such file") from None
    except UnicodeDecodeError as exc:
        raise InvalidRequest(f"the file is not UTF-8 (byte {exc.start}): save it as UTF-8") from exc
    except (gzip.BadGzipFile, EOFError, zlib.error) as exc:
        raise InvalidRequest("the file is not gzipped, or torn") from exc
    except OSError as exc:
        raise InvalidRequest(f"the file cannot be read: {exc.strerror}") from exc


def _csv_lines(content: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    csv.field_size_limit(sys.maxsize)  # 131,072 characters by default, less than a long mail
    reader = csv.DictReader(io.StringIO(content, newline=""))
    try:
        for record in reader:
            yield reader.line_num, record
    except csv.Error as exc:
        raise InvalidRequest(f"line {reader.line_num} is not CSV: {exc}") from exc


def _json_lines(content: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    # Not splitlines: JSON strings may hold U+2028 and its like.
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as exc:
            raise InvalidRequest(f"line {number} is not JSON: {exc}") from exc
        if not isinstance(record, dict):
            raise InvalidRequest(f"line {number} must be a JSON object, not {type(record).__name__}")
        yield number, record


def _rows(records: Iterable[tuple[int, Mapping[str, Any]]], text_field: str, label_field: str) -> list[_Row]:
    rows: list[_Row] = []
    is_split = False
    for number, record in records:
        if not rows:
            is_split = SPLIT in record
            for field, option in ((text_field, "--text-field"), (label_field, "--label-field")):
                if field not in record:
                    found = ", ".join(map(str, record))
                    raise InvalidRequest(f"there is no field {field!r} but {found}: name one with {option}")
        text, label, split = (_word(record.get(field)) for field in (text_field, label_field, SPLIT))
        if not text or not label:
            raise InvalidRequest(f"line {number} has no {label_field if text else text_field}: fill it, or take it out")
        if is_split and split not in (TRAIN, TEST):
            raise InvalidRequest(f"line {number}: {SPLIT} must be {TRAIN} or {TEST}, not {split!r}")
        rows.append(_Row(text, label, split if is_split else None))
    return rows


def _word(value: object) -> str:
    """A text or a label as text, empty if there is nothing to read."""
    if not isinstance(value, (str, int, float)) or not str(value).strip():
        return ""
    # Half a surrogate pair is valid JSON, but no text.
    return str(value).encode("utf-8", "replace").decode()


# -- Label Studio ---------------------------------------------------------------------------------------------


def _export(name: str, content: str, text_field: str | None, control: str | None) -> Dataset:
    """The majority label of each task in a JSON export."""
    try:
        items = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest(f"the file is not JSON: {exc}") from exc
    if not isinstance(items, list) or not all(isinstance(item, dict) and "annotations" in item for item in items):
        raise InvalidRequest("a Label Studio export (JSON, not JSON-MIN) is a list of tasks with annotations")
    tasks = [read_task(item) for item in items]
    # Exports of older releases do not repeat the task's number in its annotations.
    annotations = [
        read_annotation({**annotation, "task": task.id} if isinstance(annotation, dict) else annotation)
        for item, task in zip(items, tasks, strict=True)
        for annotation in (item["annotations"] if isinstance(item["annotations"], list) else [])
    ]
    config = _question(tasks, annotations, text_field, control)
    label_of = examples(annotations, config.label_of)
    texts = {task.id: _word(config.text_of(task.data)) for task in tasks}
    rows = [_Row(texts[task.id], label_of[task.id]) for task in tasks if task.id in label_of and texts[task.id]]
    notes = [f"the text is {config.field}, the label {config.control}"]
    if len(rows) < len(tasks):
        notes.append(f"{len(tasks) - len(rows)} of {len(tasks)} tasks without a text or a single choice are left out")
    return _dataset(name, rows, notes)


def _question(
    tasks: list[Task], annotations: list[Annotation], text_field: str | None, control: str | None
) -> LabelConfig:
    """What was asked, found in the answers: an export comes without its label config."""
    answers = [item for annotation in annotations for item in annotation.result if item["type"] == "choices"]
    control = _one_of({str(item["from_name"]) for item in answers}, control, "choices control", "--label-field")
    answers = [item for item in answers if item["from_name"] == control]
    fields = {field for task in tasks for field, value in task.data.items() if isinstance(value, str)}
    # An object is often named like the field that it shows.
    shown = fields & {str(item["to_name"]) for item in answers}
    only = text_field or (next(iter(shown)) if len(shown) == 1 else None)
    field = _one_of(fields, only, "text field", "--text-field")
    choices = [item["value"].get("choices") for item in answers if isinstance(item["value"], dict)]
    labels = {label for some in choices if isinstance(some, list) for label in some if isinstance(label, str)}
    return LabelConfig(control, str(answers[0]["to_name"]), field, tuple(sorted(labels)))


def _one_of(found: set[str], wanted: str | None, what: str, option: str) -> str:
    """The wanted name, or the only one that there is."""
    names = ", ".join(sorted(found)) or "none"
    if wanted in found:
        return str(wanted)
    if wanted is not None:
        raise InvalidRequest(f"there is no {what} {wanted!r}: there is {names}")
    if len(found) != 1:
        raise InvalidRequest(f"the export must have one {what}, or one named with {option}: there is {names}")
    return names


# -- 20 newsgroups --------------------------------------------------------------------------------------------


def _newsgroups(categories: str) -> list[_Row]:
    wanted = [category.strip() for category in categories.split(",")]
    rows = []
    for split in (TRAIN, TEST):
        try:
            with warnings.catch_warnings():
                # Of each further attempt to download.
                warnings.simplefilter("ignore")
                found = fetch_20newsgroups(subset=split, categories=wanted)
        except OSError as exc:
            raise InvalidRequest(
                f"{NEWSGROUPS} cannot be downloaded ({exc}): connect to the internet, or give a file"
            ) from exc
        except ValueError as exc:
            raise InvalidRequest(f"{NEWSGROUPS}: {exc}") from exc
        rows += [
            _Row(text, str(found.target_names[target]), split)
            for text, target in zip(found.data, found.target, strict=True)
        ]
    return rows


# -- all ------------------------------------------------------------------------------------------------------


def _dataset(name: str, rows: list[_Row], notes: Iterable[str] = ()) -> Dataset:
    counts = Counter(row.label for row in rows)
    if not rows:
        raise InvalidRequest("there are no labelled texts in it")
    if len(counts) < 2:
        raise InvalidRequest(f"need 2 labels to learn from, have 1 ({rows[0].label!r})")
    single = sorted(label for label, count in counts.items() if count == 1)
    if single:
        raise InvalidRequest(f"need 2 texts of each label, one to learn and one to test, have 1 of {single[0]!r}")
    labels = np.array([row.label for row in rows])
    if rows[0].split is None:
        is_test = _held_out(labels)
        how = f"{TEST_SHARE:.0%} of each label held out for the test, drawn with seed {SPLIT_SEED}"
    else:
        is_test = np.array([row.split == TEST for row in rows])
        how = "split as the data says"
    if not is_test.any() or len(np.unique(labels[~is_test])) < 2:
        raise InvalidRequest(f"need 2 labels in {TRAIN} and a text in {TEST}, have other splits")
    return Dataset(name, [row.text for row in rows], labels, is_test, (*notes, how))


def _held_out(labels: Array) -> Array:
    """A share of each label, at least one text and not all. Returns shape (n_texts,), whether for the test."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    is_test = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        own = order[labels[order] == label]
        is_test[own[: max(1, round(TEST_SHARE * len(own)))]] = True
    return is_test
