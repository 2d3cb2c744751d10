"""Tasks with their labels and predictions as CSV or Parquet, written a batch at a time."""

from __future__ import annotations

import csv
import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from label_studio_al.runtime.errors import NotExportable

CSV, PARQUET, NONE = "csv", "parquet", "none"
FORMATS = (CSV, PARQUET, NONE)
# Names of the column of people's answers: a label, a JSON list of labels, or a JSON list of paths.
LABEL, LABELS, PATH = "label", "labels", "path"
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


def header(column: str) -> tuple[str, ...]:
    """The names of the columns. column: that of people's answers."""
    return tuple(column if field.name == LABEL else field.name for field in fields(Row))


def check_format(wanted: str) -> None:
    """Raises NotExportable if it needs a package that is missing."""
    if wanted == PARQUET:
        try:
            importlib.import_module("pyarrow")
        except ImportError as exc:
            raise NotExportable(
                "Parquet needs pyarrow, which is not installed: pip install 'label-studio-active-learning[parquet]', "
                "or ask for --data csv"
            ) from exc


@contextmanager
def open_table(folder: Path, wanted: str, column: str = LABEL, *, quotes_formulas: bool = True) -> Iterator[Write]:
    """Takes rows for the file `tasks.csv` or `tasks.parquet`; nothing is written for `none`.

    column: that of people's answers. quotes_formulas: put an apostrophe before texts of the CSV file that a spreadsheet
    would compute.
    """
    if wanted == CSV:
        # With what marks it as UTF-8 for spreadsheets.
        with (folder / "tasks.csv").open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header(column))
            cell = quoted if quotes_formulas else _as_it_is
            yield lambda rows: writer.writerows([cell(value) for value in astuple(row)] for row in rows)
    elif wanted == PARQUET:
        with _open_parquet(folder / "tasks.parquet", header(column)) as write:
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
