"""Exports of a Label Studio project: JSON, and JSON-MIN, CSV and TSV, which are tables of answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from label_studio_al.labeling import Task, read_annotation, read_task
from label_studio_al.labeling.content import field_content
from label_studio_al.questions import (
    UNREAD,
    LabelConfig,
    Question,
    Reading,
    column_question,
    items_in_cell,
    question_of,
    tells_its_question,
)
from label_studio_al.questions.base import NOT_ANSWERED
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data.cleaning import not_offered
from label_studio_al.simulate.data.columns import (
    CONFIG_OPTION,
    LABEL,
    LABEL_OPTION,
    SEPARATOR_OPTION,
    TEXT,
    TEXT_OPTION,
    Said,
    beside,
    column,
    find,
    text_reader,
    word,
)
from label_studio_al.simulate.data.dataset import Asked, Found, Row
from label_studio_al.simulate.data.files import Table

# What every row of a table of answers has beside the task's own data and the answers.
FIXED = frozenset(("annotation_id", "annotator", "created_at", "lead_time", "updated_at"))
_TASK, _ANNOTATION, _TIME, _LEAD = "id", "annotation_id", "updated_at", "lead_time"
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


def rows_of_export(table: Table, said: Said) -> Found:
    """A row for each annotation that was not skipped; one without a label for a task without annotations."""
    _refuse_separator(said)
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
    answers = [item for some in given for annotation in some for item in annotation.result]
    config = _asked(said, tasks, answers)
    rows: list[Row] = []
    readings: list[Mapping[str, Reading]] = []
    for task, some in zip(tasks, given, strict=True):
        unanswered = Row(
            word(config.text_of(task.data)), ("",) * len(config.names), f"task {task.id}", task=str(task.id)
        )
        for one in some:
            if not one.is_automatic:
                result = one.result if said.label is None else _of_control(one.result, said.label, config.question.name)
                readings.append(_unanswered(config) if one.was_cancelled else config.read(result))
                time = f"{one.updated_at} {one.id:020}"
                rows.append(replace(unanswered, labels=_labels(readings[-1], config), time=time))
        if not some:
            rows.append(unanswered)
    n_automatic = sum(one.is_automatic for some in given for one in some)
    notes = [_where(", ".join(config.content.fields), config.names if said.label is None else [said.label])]
    if said.config is not None:
        notes += beside(said.config, {str(item["from_name"]) for item in answers} - {said.label})
    if n_automatic:
        notes.append(f"labels that autolabel set, left out: {n_automatic} (nobody checked them)")
    return _found(rows, notes, config, readings, said)


def _found(
    rows: list[Row], notes: Sequence[str], config: LabelConfig, readings: Sequence[Mapping[str, Reading]], said: Said
) -> Found:
    """Rows about what was asked, with notes on what annotations say that is no answer to a label config."""
    if said.config is None:
        return Found(rows, (Asked(config.question.name, config.question.coding),), tuple(notes), said.layout)
    asked = tuple(Asked(one.name, one.coding, one) for one in config.questions)
    found = Found(rows, asked, tuple(notes), said.layout, said.markings)
    unread = [
        found.about(asked, note) for asked in found.asked for note in _unread([one[asked.name] for one in readings])
    ]
    return replace(found, notes=(*notes, *unread))


def _labels(readings: Mapping[str, Reading], config: LabelConfig) -> tuple[str, ...]:
    return tuple(word(readings[name].answer) for name in config.names)


def _unanswered(config: LabelConfig) -> Mapping[str, Reading]:
    return dict.fromkeys(config.names, NOT_ANSWERED)


def _where(text: str, labels: Sequence[str]) -> str:
    return f"the text is {text}, the label{'s' if len(labels) > 1 else ''} {', '.join(labels)}"


def _asked(said: Said, tasks: Sequence[Task], answers: Sequence[dict[str, Any]]) -> LabelConfig:
    """What was asked about which field: as the label config says, or else as the answers tell."""
    fields = {field for task in tasks for field, value in task.data.items() if isinstance(value, str)}
    controls = {str(item["from_name"]) for item in answers}
    config = said.asked
    if config is not None:
        if all(config.text_of(task.data) is None for task in tasks):
            _one_of(fields, config.content.fields[0], "text field", TEXT_OPTION)
        if controls and controls.isdisjoint(config.names if said.label is None else [said.label]):
            _one_of(controls, said.label or config.names[0], "control", LABEL_OPTION)
        return config
    answers = _telling(answers)
    wanted = said.label or said.question
    control = _one_of({str(item["from_name"]) for item in answers}, wanted, "control", LABEL_OPTION)
    answers = [item for item in answers if item["from_name"] == control]
    # An object is often named like the field that it shows.
    shown = fields & {str(item["to_name"]) for item in answers}
    only = said.text or (next(iter(shown)) if len(shown) == 1 else None)
    return LabelConfig((question_of(answers),), field_content(_one_of(fields, only, "text field", TEXT_OPTION)))


def _telling(answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers that tell what was asked. Raises InvalidRequest where there are only others."""
    found = [item for item in answers if tells_its_question(item)]
    if answers and not found:
        kinds = ", ".join(sorted({str(item["type"]) for item in answers}))
        raise InvalidRequest(f"answers of {kinds} do not tell what was asked: give the label config ({CONFIG_OPTION})")
    return found


def _of_control(result: list[Any], control: str, name: str) -> list[Any]:
    """A result in which only the items of a control have the name that the question reads."""
    if control == name:
        return result
    other = {"from_name": control}
    return [{**item, "from_name": name} if item["from_name"] == control else {**item, **other} for item in result]


def _unread(readings: Iterable[Reading]) -> list[str]:
    """What annotations say that is no answer to the label config."""
    readings = list(readings)
    reasons = Counter(one.unread for one in readings if one.unread is not None)
    labels = Counter(label for one in readings for label in one.unoffered)
    notes = [f"annotations that {UNREAD[reason]}: {n} of {len(readings)}" for reason, n in reasons.items()]
    return [*notes, not_offered(labels)] if labels else notes


def _refuse_separator(said: Said) -> None:
    if said.separator is not None:
        raise InvalidRequest(f"an export of Label Studio has lists of labels: leave {SEPARATOR_OPTION} out")


def _one_of(found: set[str], wanted: str | None, what: str, option: str) -> str:
    """The wanted name, or the only one that there is."""
    names = ", ".join(sorted(found)) or "none"
    if wanted in found:
        return str(wanted)
    if wanted is not None:
        raise InvalidRequest(f"there is no {what} {wanted!r}: there is {names} ({option} names one)")
    if len(found) != 1:
        raise InvalidRequest(f"the export must have one {what}, or one named with {option}: there is {names}")
    return names


# -- tables of answers ----------------------------------------------------------------------------------------


def rows_of_answers(table: Table, said: Said) -> Found:
    """A row for each annotation, and for each task without one where the export holds these too.

    Such a table does not say who set a label, but how long it took: that is empty for what no person saved on the
    labelling page.
    """
    _refuse_separator(said)
    text, columns = _columns(table, said)
    text, text_of = text_reader(table, replace(said, text=text))
    config = said.config or LabelConfig((_told(table, columns[0]),), field_content(text))
    column_of = {**{name: name for name in config.others}, **dict(zip(config.names, columns, strict=True))}
    readings = [_readings(record, column_of, config) for _, record in table.records]
    rows = [
        _answer(Row(word(text_of(record)), _labels(reading, config), place), record)
        for (place, record), reading in zip(table.records, readings, strict=True)
    ]
    notes = [*table.notes, _where(text, columns)]
    if said.config is not None:
        notes += beside(said.config, set(table.names) - {text, *columns})
    found = _found(rows, notes, config, readings, said)
    by_people = [
        row
        for row, (_, record) in zip(rows, table.records, strict=True)
        if word(record.get(_LEAD)) or not any(row.labels)
    ]
    if len(by_people) == len(rows):
        return found
    if not any(any(row.labels) for row in by_people):
        note = "no label has a lead_time, so nothing tells which autolabel set: if it set any, take the JSON export"
        return replace(found, notes=(*found.notes, note))
    note = (
        f"labels without a lead_time, which autolabel or an import set, left out: {len(rows) - len(by_people)} "
        "(to keep imported ones, take the JSON export, which tells them from automatic ones)"
    )
    return replace(found, rows=by_people, notes=(*found.notes, note))


def _told(table: Table, label: str) -> Question:
    """What the answers in a column tell of what was asked."""
    answers = [item for _, record in table.records for item in items_in_cell(record.get(label), label)]
    return question_of(_telling(answers)) if answers else column_question(LABEL)


def _readings(record: Mapping[str, Any], column_of: Mapping[str, str], config: LabelConfig) -> Mapping[str, Reading]:
    """What an annotation says of each question. column_of: by control."""
    items = [item for name, column in column_of.items() for item in items_in_cell(record.get(column), name)]
    return config.read(items) if items or word(record.get(_ANNOTATION)) else _unanswered(config)


def _answer(row: Row, record: Mapping[str, Any]) -> Row:
    # A field of the data that is called id may stand where the task's number was.
    return replace(row, task=f"{word(record.get(_TASK))} {row.content}", time=word(record.get(_TIME)))


def _columns(table: Table, said: Said) -> tuple[str | None, list[str]]:
    """Where the text and each answer are: under the names that the project gave them. No text: as the config says."""
    if said.config is not None:
        names = said.config.names if said.label is None else [said.label]
        found = [find(table, name) for name in names]
        if not any(found):
            column(table, names[0], LABEL_OPTION)
        # A question without a column is answered in no row.
        columns = [name or wanted for name, wanted in zip(found, names, strict=True)]
        return said.text or _collided(said.config, table), columns
    text_field, label_field = said.text, said.label or said.question
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
    return _column_of([name for name in free if name != label], table, text_field, TEXT, TEXT_OPTION), [label]


def _collided(config: LabelConfig, table: Table) -> str | None:
    """The column of the config's only field where the control took its name; None where it did not."""
    (field, *others) = config.content.fields
    collided = f"{_COLLIDED}{field}"
    return collided if not others and collided in table.names else None


def _column_of(left: list[str], table: Table, named: str | None, usual: str, option: str) -> str:
    """The named column, or of those that are left that of the usual name, or the only one."""
    if named is not None:
        return column(table, named, option)
    return left[0] if len(left) == 1 else column(replace(table, names=tuple(left)), usual, option)
