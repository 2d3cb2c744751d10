"""Tasks with their labels and predictions as CSV or Parquet, written a batch at a time."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from backend.errors import NotExportable

CSV, PARQUET, NONE = "csv", "parquet", "none"
FORMATS = (CSV, PARQUET, NONE)


@dataclass(frozen=True)
class Row:
    """A task. label: of people, predicted: of the model, with its probability; None where there is none.

    is_learnt: whether the model was trained on this task's label: then its prediction says nothing of its quality.
    """

    task_id: int
    text: str | None
    label: str | None
    predicted: str | None
    probability: float | None
    is_learnt: bool


Write = Callable[[Sequence[Row]], None]


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
def open_table(folder: Path, wanted: str) -> Iterator[Write]:
    """Takes rows for the file `tasks.csv` or `tasks.parquet`; nothing is written for `none`."""
    if wanted == CSV:
        # With what marks it as UTF-8 for spreadsheets.
        with (folder / "tasks.csv").open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([field.name for field in fields(Row)])
            yield lambda rows: writer.writerows(map(astuple, rows))
    elif wanted == PARQUET:
        with _open_parquet(folder / "tasks.parquet") as write:
            yield write
    else:
        yield lambda _: None


@contextmanager
def _open_parquet(path: Path) -> Iterator[Write]:
    pyarrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    kinds = [pyarrow.int64(), *[pyarrow.string()] * 3, pyarrow.float64(), pyarrow.bool_()]
    names = [field.name for field in fields(Row)]
    schema = pyarrow.schema(list(zip(names, kinds, strict=True)))

    def write(rows: Sequence[Row]) -> None:
        columns = {name: [getattr(row, name) for row in rows] for name in names}
        writer.write_table(pyarrow.table(columns, schema=schema))

    with parquet.ParquetWriter(path, schema) as writer:
        yield write
