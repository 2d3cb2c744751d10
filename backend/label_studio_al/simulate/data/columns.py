"""Which column of a table is the text and which the label."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

from label_studio_al.exporting import tables
from label_studio_al.learning.coding import LABEL_SETS, ONE_LABEL, text_of
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data.dataset import Found, Row
from label_studio_al.simulate.data.files import Table

TEXT, LABEL, LABELS, SPLIT = "text", "label", "labels", "split"
TEXT_OPTION, LABEL_OPTION = "--text-field", "--label-field"
# In whose presence rows of one text are several people's answers, not copies.
ANNOTATORS = ("annotator", "annotator_id", "worker", "worker_id")
# `tasks.csv` of `label-studio-al export`. A text that a spreadsheet would take for a formula has an apostrophe in front
# there, and so has one that begins with apostrophes and goes on like that.
OWN_EXPORTS = tuple(map(tables.header, (tables.LABEL, tables.LABELS)))
_FORMULA = re.compile(r"[=+\-@\t\r]")
_QUOTED = re.compile(r"'+[=+\-@\t\r]")


def rows_of(table: Table, text_field: str | None, label_field: str | None) -> Found:
    """The texts and labels of a table. Raises InvalidRequest where its names do not say which they are."""
    if table.names in OWN_EXPORTS:
        table = unquoted(table)
    text = column(table, text_field or TEXT, TEXT_OPTION)
    is_of_sets = label_field is None and find(table, LABEL) is None and find(table, LABELS) is not None
    label = column(table, LABELS if is_of_sets else label_field or LABEL, LABEL_OPTION)
    split = find(table, SPLIT)
    annotator = next((name for name in ANNOTATORS if name in table.names), None)
    rows = []
    for place, record in table.records:
        value = record.get(label)
        row = Row(word(record.get(text)), label_set(value, place) if is_of_sets else word(value), place)
        if split is not None:
            row = replace(row, split=word(record.get(split)))
        if annotator is not None:
            row = replace(row, task=row.content)
        rows.append(row)
    return Found(rows, table.notes, LABEL_SETS if is_of_sets else ONE_LABEL)


def label_set(value: object, place: str) -> str:
    """A list of labels, or its JSON, as one text; "" where there is nothing. Raises InvalidRequest."""
    if value is None or value == "":
        return ""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(one, str) and one.strip() for one in found):
        raise InvalidRequest(f'{place}: {LABELS} must be a JSON list of labels (["a", "b"]), not {str(value)[:40]!r}')
    return text_of(map(word, found))


def find(table: Table, wanted: str) -> str | None:
    """The column of a name, or the only one that differs from it in capitals alone."""
    alike = [name for name in table.names if name.casefold() == wanted.casefold()]
    return wanted if wanted in alike else alike[0] if len(alike) == 1 else None


def column(table: Table, wanted: str, option: str) -> str:
    """As `find`. Raises InvalidRequest where there is none."""
    found = find(table, wanted)
    if found is None:
        raise InvalidRequest(f"there is no field {wanted!r} but {table.listed()}: name one with {option}")
    return found


def word(value: object) -> str:
    """A text or a label as text, empty if there is nothing to read."""
    is_nan = isinstance(value, float) and math.isnan(value)
    if is_nan or not isinstance(value, (str, int, float)) or not str(value).strip():
        return ""
    # Half a surrogate pair is valid JSON, but no text.
    return str(value).encode("utf-8", "replace").decode()


def unquoted(table: Table) -> Table:
    """Our own export as the texts were, if it was written with apostrophes in front of what looks like a formula."""
    cells = (cell for _, record in table.records for cell in record.values() if isinstance(cell, str))
    if any(map(_FORMULA.match, cells)):
        return table
    return replace(
        table, records=[(place, dict(map(_without_quote, record.items()))) for place, record in table.records]
    )


def _without_quote(cell: tuple[str, Any]) -> tuple[str, Any]:
    name, value = cell
    return name, value[1:] if isinstance(value, str) and _QUOTED.match(value) else value
