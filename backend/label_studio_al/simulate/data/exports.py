"""Exports of a Label Studio project: JSON, and JSON-MIN, CSV and TSV, which are tables of answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from label_studio_al.labeling import Annotation, Task, read_annotation, read_task
from label_studio_al.questions import LabelConfig, MultipleChoice, SingleChoice
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data.columns import LABEL, LABEL_OPTION, TEXT, TEXT_OPTION, column, word
from label_studio_al.simulate.data.dataset import Found, Row
from label_studio_al.simulate.data.files import Table

# What every row of a table of answers has beside the task's own data and the answers.
FIXED = frozenset(("annotation_id", "annotator", "created_at", "lead_time", "updated_at"))
_TASK, _TIME, _LEAD = "id", "updated_at", "lead_time"
_SOMETIMES = ("agreement", "history", _TASK)
# A field of the task that is named like the control, in CSV and TSV.
_COLLIDED = "_data_"


def is_export(table: Table) -> bool:
    """Whether it is Label Studio's JSON: tasks with their annotations."""
    return {"annotations", "data"} <= set(table.names)


def is_table_of_answers(table: Table) -> bool:
    """Whether it is Label Studio's JSON-MIN, CSV or TSV: a row for each annotation that was not skipped."""
    return set(table.names) >= FIXED


# -- JSON -----------------------------------------------------------------------------------------------------


def rows_of_export(table: Table, text_field: str | None, control: str | None) -> Found:
    """A row for each annotation that was not skipped; one without a label for a task without annotations."""
    items = [record for _, record in table.records]
    tasks = [read_task(item) for item in items]
    # Exports of older releases do not repeat the task's number in its annotations.
    given = [
        [
            read_annotation({**annotation, "task": task.id} if isinstance(annotation, dict) else annotation)
            for annotation in (item["annotations"] if isinstance(item.get("annotations"), list) else [])
        ]
        for item, task in zip(items, tasks, strict=True)
    ]
    config = _question(tasks, [annotation for some in given for annotation in some], text_field, control)
    rows: list[Row] = []
    for task, answers in zip(tasks, given, strict=True):
        unanswered = Row(word(config.text_of(task.data)), "", f"task {task.id}", task=str(task.id))
        rows += [
            replace(unanswered, label=_label(config, one), time=f"{one.updated_at} {one.id:020}")
            for one in answers
            if not one.is_automatic
        ]
        if not answers:
            rows.append(unanswered)
    n_automatic = sum(one.is_automatic for some in given for one in some)
    notes = [f"the text is {config.field}, the label {config.question.name}"]
    if n_automatic:
        notes.append(f"labels that autolabel set, left out: {n_automatic} (nobody checked them)")
    return Found(rows, tuple(notes), config.question.coding)


def _label(config: LabelConfig, annotation: Annotation) -> str:
    return "" if annotation.was_cancelled else str(config.question.read(annotation.result).answer or "")


def _question(
    tasks: list[Task], annotations: list[Annotation], text_field: str | None, control: str | None
) -> LabelConfig:
    """What was asked, found in the answers: an export comes without its label config."""
    answers = [item for annotation in annotations for item in annotation.result if item["type"] == "choices"]
    control = _one_of({str(item["from_name"]) for item in answers}, control, "choices control", LABEL_OPTION)
    answers = [item for item in answers if item["from_name"] == control]
    fields = {field for task in tasks for field, value in task.data.items() if isinstance(value, str)}
    # An object is often named like the field that it shows.
    shown = fields & {str(item["to_name"]) for item in answers}
    only = text_field or (next(iter(shown)) if len(shown) == 1 else None)
    field = _one_of(fields, only, "text field", TEXT_OPTION)
    choices = [item["value"].get("choices") for item in answers if isinstance(item["value"], dict)]
    labels = {label for some in choices if isinstance(some, list) for label in some if isinstance(label, str)}
    # One answer with several labels tells that any number could be chosen.
    kind = MultipleChoice if any(isinstance(some, list) and len(some) > 1 for some in choices) else SingleChoice
    return LabelConfig(kind(control, str(answers[0]["to_name"]), tuple(sorted(labels))), field)


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


# -- tables of answers ----------------------------------------------------------------------------------------


def rows_of_answers(table: Table, text_field: str | None, label_field: str | None) -> Found:
    """A row for each annotation, and for each task without one where the export holds these too.

    Such a table does not say who set a label, but how long it took: that is empty for what no person saved on the
    labelling page.
    """
    text, label = _columns(table, text_field, label_field)
    rows = [(_answer(place, record, text, label), word(record.get(_LEAD))) for place, record in table.records]
    by_people = [row for row, lead in rows if lead or not row.label]
    notes = [*table.notes, f"the text is {text}, the label {label}"]
    if len(by_people) == len(rows):
        return Found(by_people, tuple(notes))
    if not any(row.label for row in by_people):
        notes.append(
            "no label has a lead_time, so nothing tells which autolabel set: if it set any, take the JSON export"
        )
        return Found([row for row, _ in rows], tuple(notes))
    notes.append(
        f"labels without a lead_time, which autolabel or an import set, left out: {len(rows) - len(by_people)} "
        "(to keep imported ones, take the JSON export, which tells them from automatic ones)"
    )
    return Found(by_people, tuple(notes))


def _answer(place: str, record: Mapping[str, Any], text: str, label: str) -> Row:
    row = Row(word(record.get(text)), _single(record.get(label)), place, time=word(record.get(_TIME)))
    # A field of the data that is called id may stand where the task's number was.
    return replace(row, task=f"{word(record.get(_TASK))} {row.content}")


def _single(answer: object) -> str:
    """The label of an answer; "" for none, and for several, which are a JSON object."""
    label = word(answer)
    return "" if label.startswith(('{"choices"', "[")) and _is_json(label) else label


def _is_json(content: str) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True


def _columns(table: Table, text_field: str | None, label_field: str | None) -> tuple[str, str]:
    """The columns of the text and of the label, which have the names that the project gave them."""
    free = [name for name in table.names if name not in (*FIXED, *_SOMETIMES)]
    collided = [name for name in free if name.startswith(_COLLIDED) and name.removeprefix(_COLLIDED) in free]
    if len(collided) == 1:
        text_field = text_field or collided[0]
        label_field = label_field or collided[0].removeprefix(_COLLIDED)
    if text_field is None and TEXT in free and label_field != TEXT:
        text_field = TEXT
    if text_field is None and label_field is None and len(free) == 2 and LABEL not in free:
        # There are fewer different labels than texts.
        n_different = {name: len({word(record.get(name)) for _, record in table.records}) for name in free}
        label_field = min(free, key=lambda name: (n_different[name], name))
    label = _column_of([name for name in free if name != text_field], table, label_field, LABEL, LABEL_OPTION)
    return _column_of([name for name in free if name != label], table, text_field, TEXT, TEXT_OPTION), label


def _column_of(left: list[str], table: Table, named: str | None, usual: str, option: str) -> str:
    """The named column, or of those that are left that of the usual name, or the only one."""
    if named is not None:
        return column(table, named, option)
    return left[0] if len(left) == 1 else column(replace(table, names=tuple(left)), usual, option)
