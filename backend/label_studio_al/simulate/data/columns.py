"""Which parts of a table are the text and the answer, and what the answer is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from label_studio_al.exporting import tables
from label_studio_al.labeling.content import field_content
from label_studio_al.learning.layouts import WHOLE, Layout
from label_studio_al.questions import LabelConfig, Question, column_question, stated_names
from label_studio_al.questions.choices import json_list
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data.dataset import Found, Row
from label_studio_al.simulate.data.files import Table

TEXT, LABEL, LABELS, SPLIT = "text", "label", "labels", "split"
TEXT_OPTION, LABEL_OPTION = "--text-field", "--label-field"
CONFIG_OPTION, SEPARATOR_OPTION = "--config", "--separator"
# In whose presence rows of one text are several people's answers, not copies.
ANNOTATORS = ("annotator", "annotator_id", "worker", "worker_id")
# `tasks.csv` of `label-studio-al export`. A text that a spreadsheet would take for a formula has an apostrophe in front
# there, and so has one that begins with apostrophes and goes on like that.
OWN_EXPORTS = tuple(map(tables.header, (tables.LABEL, tables.LABELS, tables.PATH)))
_FORMULA = re.compile(r"[=+\-@\t\r]")
_QUOTED = re.compile(r"'+[=+\-@\t\r]")


@dataclass(frozen=True)
class Said:
    """What a user says of a file; None of what they do not.

    text, label: names of the fields; of an export of Label Studio, the task's field and the control. config: what is
    asked, about which field. separator: what stands between several labels in a cell.
    """

    text: str | None = None
    label: str | None = None
    config: LabelConfig | None = None
    separator: str | None = None

    @property
    def names(self) -> set[str]:
        """The names that a table may have, by which its columns are found."""
        texts = self.config.content.fields if self.config else (TEXT,)
        texts = texts if self.text is None else (self.text,)
        return {*texts, SPLIT, *([self.label] if self.label else self.labels)}

    @property
    def layout(self) -> Layout:
        """Which columns the texts become."""
        return WHOLE if self.config is None or self.text is not None else self.config.content.layout

    @property
    def labels(self) -> list[str]:
        """Names that the column of the answers may have where the user names none, the first of them first."""
        if self.config is None:
            return stated_names()
        return [self.config.question.name, *stated_names(self.config.question)]


def rows_of(table: Table, said: Said) -> Found:
    """The texts and answers of a table. Raises InvalidRequest where its names do not say which they are."""
    if table.names in OWN_EXPORTS:
        table = unquoted(table)
    text, text_of = text_reader(table, said)
    label = _label(table, said, text)
    question = _question(said.config, label)
    split = find(table, SPLIT)
    annotator = next((name for name in ANNOTATORS if name in table.names), None)
    rows = []
    for place, record in table.records:
        value = _value(record.get(label), label, said.separator)
        try:
            answer = word(question.parse(value)) if value != "" else ""
        except InvalidRequest as exc:
            raise InvalidRequest(f"{place}: {label} {exc}{_advice(said, question, value)}") from exc
        row = Row(word(text_of(record)), answer, place)
        if split is not None:
            row = replace(row, split=word(record.get(split)))
        if annotator is not None:
            row = replace(row, task=row.content)
        rows.append(row)
    notes = table.notes if said.config is None else (*table.notes, f"the text is {text}, the label {label}")
    return Found(rows, notes, question.coding, said.config.question if said.config else None, said.layout)


def text_reader(table: Table, said: Said) -> tuple[str, Callable[[Mapping[str, Any]], object]]:
    """Where a record's text is, and what reads it: with a label config, as the live loop does."""
    if said.config is None:
        name = column(table, said.text or TEXT, TEXT_OPTION)
        return name, lambda record: record.get(name)
    content = said.config.content if said.text is None else field_content(said.text)
    wanted = content.fields[0]
    if content == field_content(wanted):
        wanted = find(table, wanted) or wanted
        content = field_content(wanted)
    if wanted not in table.names and all(content.text_of(record) is None for _, record in table.records):
        column(table, wanted, TEXT_OPTION)
    return ", ".join(content.fields), content.text_of


def _label(table: Table, said: Said, text: str) -> str:
    """The column of the answers: the named one, the control's, or the first of the stated names."""
    if said.label is not None:
        return column(table, said.label, LABEL_OPTION)
    found = [name for name in (find(table, name) for name in said.labels) if name is not None and name != text]
    if not found:
        *before, last = map(repr, dict.fromkeys(said.labels))
        raise InvalidRequest(_no_field(table, f"{', '.join(before)} or {last}", LABEL_OPTION))
    return found[0]


def _question(config: LabelConfig | None, label: str) -> Question:
    return column_question(label) if config is None else config.question


def _value(cell: object, label: str, separator: str | None) -> object:
    """What a cell states: a text, a list or an object; "" if it is empty.

    [] is a list wherever a list may stand: it is the only way to say that no label applies.
    """
    if isinstance(cell, (list, dict)):
        return cell
    text = word(cell)
    if separator is not None and text.strip() != "[]":
        return [part.strip() for part in text.split(separator) if part.strip()] or ""
    listed = json_list(text) if separator is not None or label.casefold() == LABELS else None
    return text if listed is None else listed


def _advice(said: Said, question: Question, value: object) -> str:
    """What would have been read, for the end of a sentence."""
    if said.config is None and question == column_question(LABEL) and isinstance(value, list):
        return f": several labels stand in a column {LABELS}, or are asked for by a label config ({CONFIG_OPTION})"
    if said.separator is None and isinstance(value, str) and _takes_lists(question, value):
        return f": what separates labels in a cell is named with {SEPARATOR_OPTION}"
    return ""


def _takes_lists(question: Question, text: str) -> bool:
    try:
        question.parse([text])
    except InvalidRequest:
        return False
    return True


def find(table: Table, wanted: str) -> str | None:
    """The column of a name, or the only one that differs from it in capitals alone."""
    alike = [name for name in table.names if name.casefold() == wanted.casefold()]
    return wanted if wanted in alike else alike[0] if len(alike) == 1 else None


def column(table: Table, wanted: str, option: str) -> str:
    """As `find`. Raises InvalidRequest where there is none."""
    found = find(table, wanted)
    if found is None:
        raise InvalidRequest(_no_field(table, repr(wanted), option))
    return found


def _no_field(table: Table, wanted: str, option: str) -> str:
    return f"there is no field {wanted} but {table.listed()}: name one with {option}"


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
