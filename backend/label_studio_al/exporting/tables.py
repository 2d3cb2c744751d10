"""Tasks with their labels and predictions in files for other programs, written a batch at a time."""

from __future__ import annotations

import csv
import importlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from label_studio_al.exporting.marked import apart, tagged
from label_studio_al.learning.spans import Span, spans_of
from label_studio_al.runtime.errors import NotExportable

CSV, PARQUET, JSONL, CONLL, SPACY, DOCBIN, NONE = "csv", "parquet", "jsonl", "conll", "spacy", "docbin", "none"
FORMATS = (CSV, PARQUET, JSONL, CONLL, SPACY, DOCBIN, NONE)
# Names of their files.
FILES = MappingProxyType(
    {
        CSV: "tasks.csv",
        PARQUET: "tasks.parquet",
        JSONL: "tasks.jsonl",
        CONLL: "tasks.conll",
        SPACY: "tasks.spacy.jsonl",
        DOCBIN: "tasks.spacy",
    }
)
# Names of the column of people's answers: a label, or a JSON list of labels, of paths or of spans.
LABEL, LABELS, PATH, SPANS = "label", "labels", "path", "spans"
# And of what a task shows: where it has no texts, the address of its image.
TEXT, IMAGE = "text", "image"
# Packages that formats need, and how they are installed.
_NEEDED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {PARQUET: ("pyarrow", "label-studio-active-learning[parquet]"), DOCBIN: ("spacy", "spacy")}
)
# What a spreadsheet takes for a formula when it opens a CSV file, and what would look as if it had been quoted.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


@dataclass(frozen=True)
class Row:
    """A task. label: people's answer, predicted: the model's, with its probability; None where there is none.

    is_learnt: whether the model was trained on this task's answer: then its prediction says nothing about its quality.
    """

    task_id: int
    text: str | None
    label: str | None
    predicted: str | None
    probability: float | None
    is_learnt: bool


Write = Callable[[Sequence[Row]], None]


def header(column: str, shown: str = TEXT) -> tuple[str, ...]:
    """The names of the columns. column: that of people's answers. shown: that of what tasks show."""
    names = {LABEL: column, TEXT: shown}
    return tuple(names.get(field.name, field.name) for field in fields(Row))


def check_format(wanted: str) -> None:
    """Raises NotExportable if it needs a package that is missing."""
    if wanted in _NEEDED:
        package, installed = _NEEDED[wanted]
        try:
            importlib.import_module(package)
        except ImportError as exc:
            raise NotExportable(
                f"{wanted.capitalize()} needs {package}, which is not installed: pip install {installed!r}, "
                "or ask for --data csv"
            ) from exc


@contextmanager
def open_table(
    folder: Path, wanted: str, columns: tuple[str, str] = (LABEL, TEXT), *, quotes_formulas: bool = True
) -> Iterator[Write]:
    """Takes rows for the file of `FILES`; nothing is written for `none`.

    columns: that of people's answers, and that of what tasks show. quotes_formulas: put an apostrophe before
    texts of the CSV file that a spreadsheet would compute. Raises NotExportable where the format is for spans, and the
    answers are none.
    """
    column, names = columns[0], header(*columns)
    if wanted in _OF_SPANS and column != SPANS:
        raise NotExportable(f"{wanted} holds texts with spans, and this question asks for none: ask for --data jsonl")
    if wanted == CSV:
        # With what marks it as UTF-8 for spreadsheets.
        with (folder / FILES[CSV]).open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            cell = quoted if quotes_formulas else _as_it_is
            yield lambda rows: writer.writerows([cell(value) for value in astuple(row)] for row in rows)
    elif wanted == PARQUET:
        with _open_parquet(folder / FILES[PARQUET], names) as write:
            yield write
    elif wanted in _WRITERS:
        with _WRITERS[wanted](folder / FILES[wanted], names) as write:
            yield write
    else:
        yield lambda _: None


def quoted(value: object) -> object:
    """The value with an apostrophe in front where a spreadsheet would compute it; without it, it is as it was."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _as_it_is(value: object) -> object:
    return value


@contextmanager
def _open_parquet(path: Path, names: tuple[str, ...]) -> Iterator[Write]:
    pyarrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    kinds = [pyarrow.int64(), *[pyarrow.string()] * 3, pyarrow.float64(), pyarrow.bool_()]
    schema = pyarrow.schema(list(zip(names, kinds, strict=True)))

    def write(rows: Sequence[Row]) -> None:
        columns = [[getattr(row, field.name) for row in rows] for field in fields(Row)]
        writer.write_table(pyarrow.table(columns, schema=schema))

    with parquet.ParquetWriter(path, schema) as writer:
        yield write


@contextmanager
def _open_lines(path: Path, names: tuple[str, ...]) -> Iterator[Write]:
    """An object a task, with lists where other files have JSON."""
    holds_lists = LABEL not in names

    def line(row: Row) -> str:
        values: Sequence[Any] = astuple(row)
        if holds_lists:
            answers = [None if one is None else json.loads(one) for one in (row.label, row.predicted)]
            values = [row.task_id, row.text, *answers, row.probability, row.is_learnt]
        return json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False) + "\n"

    with path.open("w", encoding="utf-8", newline="") as file:
        yield lambda rows: file.writelines(map(line, rows))


@contextmanager
def _open_tagged(path: Path, _: tuple[str, ...]) -> Iterator[Write]:
    """A token a line with its BIO tag, an empty line behind each line of a text."""

    def lines(row: Row) -> str:
        sentences = tagged(row.text or "", _marked(row))
        return "".join("".join(f"{token} {tag}\n" for token, tag in sentence) + "\n" for sentence in sentences)

    with path.open("w", encoding="utf-8", newline="") as file:
        yield lambda rows: file.writelines(lines(row) for row in rows)


@contextmanager
def _open_entities(path: Path, _: tuple[str, ...]) -> Iterator[Write]:
    """A text a line with its entities, as spaCy's examples have them, and whose they are."""

    def line(row: Row) -> str:
        entities = {"text": row.text, "entities": apart(_marked(row)), "by_people": row.label is not None}
        return json.dumps(entities, ensure_ascii=False) + "\n"

    with path.open("w", encoding="utf-8", newline="") as file:
        yield lambda rows: file.writelines(line(row) for row in rows if row.text is not None)


@contextmanager
def _open_docbin(path: Path, _: tuple[str, ...]) -> Iterator[Write]:
    """What `spacy train` takes: documents whose entities are set; they end where spaCy's tokens do."""
    spacy: Any = importlib.import_module("spacy")
    of_no_language = spacy.blank("xx")
    docs = importlib.import_module("spacy.tokens").DocBin()

    def add(row: Row) -> None:
        doc = of_no_language.make_doc(row.text)
        found = [doc.char_span(start, end, label, alignment_mode="expand") for start, end, label in _marked(row)]
        doc.ents = spacy.util.filter_spans([one for one in found if one is not None])
        docs.add(doc)

    def write(rows: Sequence[Row]) -> None:
        for row in rows:
            if row.text is not None:
                add(row)

    yield write
    docs.to_disk(path)


def _marked(row: Row) -> Sequence[Span]:
    """People's spans, or else the model's."""
    answer = row.predicted if row.label is None else row.label
    return () if answer is None else spans_of(answer)


_OF_SPANS = (CONLL, SPACY, DOCBIN)
_WRITERS: Mapping[str, Callable[[Path, tuple[str, ...]], AbstractContextManager[Write]]] = MappingProxyType(
    {JSONL: _open_lines, CONLL: _open_tagged, SPACY: _open_entities, DOCBIN: _open_docbin}
)
