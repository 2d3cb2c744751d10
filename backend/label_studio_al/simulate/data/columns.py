"""Which parts of a table are the text and the answer, and what the answer is."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from label_studio_al.exporting import tables
from label_studio_al.labeling.content import Content, field_content
from label_studio_al.learning.comparison import COMPARED
from label_studio_al.learning.images import WithImages
from label_studio_al.learning.layouts import WHOLE, Layout
from label_studio_al.learning.passages import Marking
from label_studio_al.learning.texts import joined
from label_studio_al.questions import LabelConfig, Question, column_question, stated, stated_names
from label_studio_al.questions.items import json_list
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data.dataset import Asked, Found, Row
from label_studio_al.simulate.data.files import Table
from label_studio_al.simulate.data.marked import beyond, end_of

TEXT, LABEL, LABELS, SPANS, SPLIT = "text", "label", "labels", "spans", "split"
# Where an image lies, beside the file.
IMAGE = "image"
# Two texts, which are compared.
PAIR = ("text_a", "text_b")
TEXT_OPTION, LABEL_OPTION, QUESTION_OPTION = "--text-field", "--label-field", "--question"
CONFIG_OPTION, SEPARATOR_OPTION = "--config", "--separator"
# In whose presence rows of one text are several people's answers, not copies.
ANNOTATORS = ("annotator", "annotator_id", "worker", "worker_id")
# `tasks.csv` of `label-studio-al export`. A text that a spreadsheet would take for a formula has an apostrophe in front
# there, and so has one that begins with apostrophes and goes on like that.
OWN_EXPORTS = tuple(map(tables.header, (tables.LABEL, tables.LABELS, tables.PATH, tables.SPANS)))
_FORMULA = re.compile(r"[=+\-@\t\r]")
_QUOTED = re.compile(r"'+[=+\-@\t\r]")


@dataclass(frozen=True)
class Said:
    """What a user says of a file; None of what they do not.

    text, label: names of the fields; of an export of Label Studio, the task's field and the control. config: what is
    asked, about which field. separator: what stands between several labels in a cell. question: the only one that
    counts of those that columns state.
    """

    text: str | None = None
    label: str | None = None
    config: LabelConfig | None = None
    separator: str | None = None
    question: str | None = None

    def __post_init__(self) -> None:
        if self.label is not None and self.config is not None and len(self.config.questions) > 1:
            asked = ", ".join(self.config.names)
            raise InvalidRequest(
                f"the label config asks {asked}: say which is in {self.label!r} with {QUESTION_OPTION}"
            )

    @property
    def names(self) -> set[str]:
        """The names that a table may have, by which its columns are found."""
        texts = self.config.content.fields if self.config else (TEXT, IMAGE, *PAIR)
        texts = texts if self.text is None else (self.text,)
        return {*texts, SPLIT, *([self.label] if self.label else self.labels)}

    @property
    def asked(self) -> LabelConfig | None:
        """What is asked about what is read: the label config's text, or the named one; None without a label config."""
        if self.config is None or self.text is None:
            return self.config
        return replace(self.config, content=_renamed(self.config.content, self.text))

    @property
    def layout(self) -> Layout:
        """Which columns texts become, unless a table's names say more."""
        return WHOLE if self.asked is None else self.asked.content.layout

    @property
    def markings(self) -> Mapping[str, Marking]:
        """Where in the texts spans are marked, as the label config says."""
        return {} if self.asked is None else self.asked.content.markings

    @property
    def labels(self) -> list[str]:
        """Names that columns of answers may have where the user names none, the first of them first."""
        if self.config is None:
            return stated_names()
        return [name for question in self.config.questions for name in (question.name, *stated_names(question))]


def _renamed(content: Content, text: str) -> Content:
    """The one text in another field, read as before where spans are marked in it."""
    if not content.marked:
        return field_content(text)
    (name, place), *_ = content.marked
    return Content((replace(content.parts[place], value=f"${text}"),), marked=((name, 0),))


@dataclass(frozen=True)
class _Answers:
    """A column of answers, what reads it, and what it answers."""

    column: str
    question: Question
    asked: Asked


def rows_of(table: Table, said: Said) -> Found:
    """The texts and answers of a table. Raises InvalidRequest where its names do not say which they are."""
    if table.names in OWN_EXPORTS:
        table = unquoted(table)
    text, text_of = text_reader(table, said)
    answers = _answers(table, said, text)
    split = find(table, SPLIT)
    annotator = next((name for name in ANNOTATORS if name in table.names), None)
    asked = tuple(one.asked for one in answers)
    found = Found((), asked, layout=_layout(table, said), said_markings=said.markings)
    _refuse_pair_of_marked(table, said, found)
    rows = []
    for place, record in table.records:
        labels = tuple(_label(record, one, said, place, n_columns=len(answers)) for one in answers)
        row = Row(word(text_of(record)), labels, place)
        _check_spans(row, found)
        if split is not None:
            row = replace(row, split=word(record.get(split)))
        if annotator is not None:
            row = replace(row, task=row.text if found.markings else row.content)
        rows.append(row)
    notes = table.notes
    if said.config is not None:
        columns = ", ".join(one.column for one in answers)
        notes = (*notes, f"the text is {text}, the {'label' if len(answers) == 1 else 'labels'} {columns}")
        absent = [name for name in said.config.names if all(one.asked.name != name for one in answers)]
        if absent:
            notes = (*notes, f"there is no column of {', '.join(absent)}: left out")
        notes = (*notes, *beside(said.config, set(table.names) - {text, *(one.column for one in answers)}))
    return replace(found, rows=rows, notes=notes)


def _refuse_pair_of_marked(table: Table, said: Said, found: Found) -> None:
    if found.markings and (pair := _pair(table, said)):
        raise InvalidRequest(f"spans are marked in one text, not in {' and '.join(pair)}: name it with {TEXT_OPTION}")


def _check_spans(row: Row, found: Found) -> None:
    """Raises InvalidRequest where a span is not in its text."""
    for asked, answer in zip(found.asked, row.labels, strict=True):
        marking = found.markings.get(asked.coding.marks or "")
        if marking is not None and row.text and (span := beyond(answer, row.text, marking)):
            end = end_of(row.text, marking)
            raise InvalidRequest(
                f"{row.place}: {asked.name} must lie in the text, which ends at {end}, not reach to {span[1]} "
                "(positions count characters, not bytes)"
            )


def beside(config: LabelConfig, names: Collection[str]) -> list[str]:
    """A note where controls that are not replayed have answers, too. names: of what has answers."""
    found = ", ".join(sorted(config.others.intersection(names)))
    return [f"not replayed: {found} (label-studio-al questions says what is learned)"] if found else []


def _label(record: Mapping[str, Any], of: _Answers, said: Said, place: str, *, n_columns: int) -> str:
    """The answer in a cell, "" in an empty one. Raises InvalidRequest with its place."""
    separator = said.separator if of.asked.coding.marks is None else None
    value = _value(record.get(of.column), of.column, separator)
    try:
        return word(of.question.parse(value)) if value != "" else ""
    except InvalidRequest as exc:
        advice = _advice(said, of.question, value)
        if n_columns > 1 and said.config is None:
            advice = f"{advice}; the only column that counts is named with {LABEL_OPTION}"
        raise InvalidRequest(f"{place}: {of.column} {exc}{advice}") from exc


def text_reader(table: Table, said: Said) -> tuple[str, Callable[[Mapping[str, Any]], object]]:
    """Where a record's text is, and what reads it: with a label config, as the live loop does."""
    if pair := _pair(table, said):
        return ", ".join(pair), lambda record: joined(word(record.get(name)) for name in pair)
    if shown := _image(table, said):
        return ", ".join(shown), lambda record: joined(word(record.get(name)) for name in shown)
    if said.asked is None:
        name = column(table, said.text or TEXT, TEXT_OPTION)
        return name, lambda record: record.get(name)
    content = said.asked.content
    wanted = content.fields[0]
    if content == field_content(wanted):
        wanted = find(table, wanted) or wanted
        content = field_content(wanted)
    if wanted not in table.names and all(content.text_of(record) is None for _, record in table.records):
        column(table, wanted, TEXT_OPTION)
    return ", ".join(content.fields), content.text_of


def _answers(table: Table, said: Said, text: str) -> list[_Answers]:
    """The columns of the answers: the named one, or one of each question. Raises InvalidRequest."""
    if said.label is not None:
        name = column(table, said.label, LABEL_OPTION)
        return [_stated(name) if said.config is None else _of(said.config.question, name)]
    found = _stated_columns(table, text) if said.config is None else _columns_of(said.config, table, text)
    if not found:
        *before, last = map(repr, dict.fromkeys(said.labels))
        raise InvalidRequest(_no_field(table, f"{', '.join(before)} or {last}", LABEL_OPTION))
    if said.config is not None or said.question is None:
        return found
    asked = ", ".join(one.asked.name for one in found)
    found = [one for one in found if one.asked.name == said.question]
    if not found:
        raise InvalidRequest(f"the columns answer {asked}, not {said.question!r}")
    return found


def _stated(column: str) -> _Answers:
    question = column_question(column)
    return _Answers(column, question, Asked(question.name, question.coding))


def _of(question: Question, column: str) -> _Answers:
    return _Answers(column, question, Asked(question.name, question.coding, question))


def _stated_columns(table: Table, text: str) -> list[_Answers]:
    """Those whose names state what they answer, in the order of the columns; `labels` is another form of `label`."""
    plain = {kind: name for kind in stated_names() if (name := find(table, kind)) not in (None, text)}
    if LABEL in plain:
        plain.pop(LABELS, None)
    names = {*plain.values(), *(name for name in table.names if ":" in name and stated(name))}
    found = [_stated(name) for name in table.names if name in names and name != text]
    for question, some in _by(found, lambda one: one.asked.name).items():
        if len(some) > 1:
            raise InvalidRequest(f"the columns {' and '.join(some)} answer the same question, {question}: rename one")
    return found


def _columns_of(config: LabelConfig, table: Table, text: str) -> list[_Answers]:
    """Those of a label config's questions, as far as there are any: of a question's name, or of one that states it."""
    found = []
    for question in config.questions:
        kinds = stated_names(question)
        possible = [question.name, *(f"{kind}:{question.name}" for kind in kinds), *kinds]
        names = [name for name in (find(table, name) for name in possible) if name is not None and name != text]
        found += [_of(question, name) for name in names[:1]]
    for name, some in _by(found, lambda one: one.column).items():
        if len(some) > 1:
            asked = " and ".join(one.asked.name for one in found if one.column == name)
            raise InvalidRequest(f"{asked} have the one column {name}: name a column like each question")
    return found


def _by(answers: Sequence[_Answers], key: Callable[[_Answers], str]) -> dict[str, list[str]]:
    """The columns by what they have in common."""
    found: dict[str, list[str]] = {}
    for one in answers:
        found.setdefault(key(one), []).append(one.column)
    return found


def _value(cell: object, label: str, separator: str | None) -> object:
    """What a cell states: a text, a list or an object; "" if it is empty.

    [] is a list wherever a list may stand: it is the only way to say that no label applies.
    """
    if isinstance(cell, (list, dict)):
        return cell
    text = word(cell)
    if separator is not None and text.strip() != "[]":
        return [part.strip() for part in text.split(separator) if part.strip()] or ""
    takes_lists = separator is not None or (stated(label) or ("", ""))[0] == LABELS
    listed = json_list(text) if takes_lists else None
    return text if listed is None else listed


def _advice(said: Said, question: Question, value: object) -> str:
    """What would have been read, for the end of a sentence."""
    if said.config is None and question == column_question(LABEL) and isinstance(value, list):
        what, name = (
            ("spans", SPANS) if any(isinstance(one, (list, dict)) for one in value) else ("several labels", LABELS)
        )
        return f": {what} stand in a column {name}, or are asked for by a label config ({CONFIG_OPTION})"
    if said.separator is None and isinstance(value, str) and _takes_lists(question, value):
        return f": what separates labels in a cell is named with {SEPARATOR_OPTION}"
    return ""


def _takes_lists(question: Question, text: str) -> bool:
    try:
        question.parse([text])
    except InvalidRequest:
        return False
    return True


def _pair(table: Table, said: Said) -> tuple[str, ...]:
    """The columns of two texts, where nothing says that there is one; none otherwise."""
    if said.config is not None or said.text is not None or find(table, TEXT) is not None:
        return ()
    found = tuple(name for name in (find(table, one) for one in PAIR) if name is not None)
    return found if len(found) == len(PAIR) else ()


def _image(table: Table, said: Said) -> tuple[str, ...]:
    """The columns of an image and perhaps a text beside it, where nothing else is said; none otherwise."""
    image = find(table, IMAGE)
    if said.config is not None or said.text is not None or image is None:
        return ()
    text = find(table, TEXT)
    return (image,) if text is None else (text, image)


def _layout(table: Table, said: Said) -> Layout:
    """Which columns the texts become: as the label config says, or the table's names."""
    if _pair(table, said):
        return COMPARED
    shown = _image(table, said)
    return WithImages((False, True)[-len(shown) :]) if shown else said.layout


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
