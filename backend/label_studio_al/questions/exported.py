"""Exports of Label Studio: what was asked where no label config comes along, and answers in tables as result items."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from label_studio_al.questions.base import Question
from label_studio_al.questions.choices import CHOICES, MultipleChoice, SingleChoice, choices_of
from label_studio_al.questions.rating import Rating
from label_studio_al.questions.spans import Spans
from label_studio_al.questions.taxonomy import Taxonomy

_STATED: Mapping[str, type[SingleChoice | MultipleChoice | Rating | Taxonomy | Spans]] = MappingProxyType(
    {"label": SingleChoice, "labels": MultipleChoice, "rating": Rating, "path": Taxonomy, "spans": Spans}
)
# Those that hold answers of every kind where a label config says which.
_OF_ANY = ("label", "labels")
# The type of items that mark spans, which are alike on every kind of text, and what says that it is no plain one.
_SPANS = "labels"
_NOT_PLAIN = ("globalOffsets", "startOffset", "endOffset")


def tells_its_question(item: Mapping[str, Any]) -> bool:
    """Whether a result item says enough of its control: of other controls one must see the label config."""
    value = item.get("value")
    is_plain = isinstance(value, dict) and isinstance(value.get("start"), int) and value.keys().isdisjoint(_NOT_PLAIN)
    return item.get("type") == CHOICES or (item.get("type") == _SPANS and is_plain)


def question_of(items: Sequence[dict[str, Any]]) -> Question:
    """What was asked, from items of one control that tell it: any number of labels if an item has several of them.

    The question offers the labels that occur.
    """
    if items[0].get("type") == _SPANS:
        given = [item["value"].get(_SPANS) for item in items]
        found = {label for some in given if isinstance(some, list) for label in some if isinstance(label, str)}
        return Spans(str(items[0]["from_name"]), str(items[0].get("to_name")), tuple(sorted(found)))
    chosen = [choices_of([item]) or [] for item in items]
    kind = MultipleChoice if any(len(labels) > 1 for labels in chosen) else SingleChoice
    labels = sorted({label for some in chosen for label in some})
    return kind(str(items[0]["from_name"]), str(items[0].get("to_name")), tuple(labels))


def stated(column: str) -> tuple[str, str] | None:
    """The kind of answers that a column's name states, and the question: `label:topic` both, `label` the kind alone."""
    kind, colon, name = (part.strip() for part in column.partition(":"))
    kind = kind.casefold()
    return (kind, name or kind) if kind in _STATED and bool(colon) == bool(name) else None


def column_question(column: str) -> Question:
    """What a column of a data file answers by its stated name; as `label`, one label, under every other."""
    kind, name = stated(column) or ("label", "label")
    return _STATED[kind](name, "text", ())


def stated_names(question: Question | None = None) -> list[str]:
    """The names of columns that say what they answer, the first of them first; those that may answer a question."""
    return [name for name, kind in _STATED.items() if question is None or name in _OF_ANY or isinstance(question, kind)]


def items_in_cell(cell: object, control: str) -> list[dict[str, Any]]:
    """The result items of a control that a cell of CSV, TSV or JSON-MIN stands for; none if it is empty.

    A cell is the text of a single choice, or the items' values: an object or a list of them, in CSV and TSV as JSON.
    """
    content = _parsed(cell) if isinstance(cell, str) else cell
    values = content if isinstance(content, list) else [content]
    values = [{CHOICES: [value]} if isinstance(value, str) and value.strip() else value for value in values]
    return [
        {"from_name": control, "type": _type_of(value), "value": value} for value in values if isinstance(value, dict)
    ]


def _type_of(value: Mapping[str, Any]) -> str | None:
    """That of an item with this value: the value of an answer about a whole task has one key, its type."""
    if len(value) == 1:
        return next(iter(value))
    return _SPANS if _SPANS in value and "start" in value else None


def _parsed(cell: str) -> object:
    """What a cell with an object or a list in JSON holds; every other text as it is."""
    try:
        content = json.loads(cell)
    except (ValueError, RecursionError):
        return cell
    return content if isinstance(content, (dict, list)) else cell
