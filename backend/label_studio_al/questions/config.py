"""What a label config asks, and which part of a task it asks about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from label_studio_al.labeling.tags import VARIABLE, Tag, read_tags
from label_studio_al.questions.base import Answer, Question, Reading
from label_studio_al.questions.registry import find_kind
from label_studio_al.runtime.errors import InvalidRequest, UnsupportedConfig

_TEXT_OBJECTS = ("Text", "HyperText")
# Controls that a sentence names.
_SHOWN = 3
# The steps of a path to a value in a task.
_STEP = re.compile(r"[^.[\]]+")


@dataclass(frozen=True)
class Control:
    """A control of a label config, and what becomes of it: the question that it asks, or why that is not learned."""

    name: str
    tag: str
    question: Question | None = None
    reason: str = ""


@dataclass(frozen=True)
class LabelConfig:
    """Questions about a text, which is read from the task's `field`.

    questions: in the config's order, one or more. field: a name, or a path to a nested value (`message.body`,
    `parts[0].text`). others: names of the controls that are left to people.
    """

    questions: tuple[Question, ...]
    field: str
    others: frozenset[str] = frozenset()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the questions."""
        return tuple(question.name for question in self.questions)

    @property
    def question(self) -> Question:
        """The one that is asked, where it is the only one."""
        (found,) = self.questions
        return found

    def only(self, name: str | None = None) -> LabelConfig:
        """The config with one of its questions: the one of that name, or the only one. Raises InvalidRequest."""
        asked, found = ", ".join(self.names), [one for one in self.questions if name in (None, one.name)]
        if not found:
            raise InvalidRequest(f"the label config asks {asked}, not {name!r}")
        if len(found) > 1:
            raise InvalidRequest(f"the label config asks {asked}: say which with --question")
        others = self.others | {one.name for one in self.questions if one not in found}
        return replace(self, questions=tuple(found), others=others)

    def read(self, result: object) -> dict[str, Reading]:
        """What an annotation's result says of each question, whatever else it holds of other controls."""
        if not isinstance(result, list) or not result:
            return {question.name: question.read(result) for question in self.questions}
        return {
            question.name: question.read([item for item in result if not self._is_beside(question, item)])
            for question in self.questions
        }

    def _is_beside(self, question: Question, item: object) -> bool:
        """Whether an item belongs to another control of the config, or to none."""
        if not isinstance(item, dict):
            return False
        name = item.get("from_name")
        return item.get("type") == "relation" or (name != question.name and name in self._known)

    @cached_property
    def _known(self) -> frozenset[str]:
        return self.others.union(self.names)

    def write(self, answers: Mapping[str, tuple[Answer, float]]) -> list[dict[str, Any]]:
        """The result items of a prediction: of each question that has an answer. answers: with their probabilities."""
        return [
            item
            for question in self.questions
            if question.name in answers
            for item in question.write(*answers[question.name])
        ]

    def text_of(self, data: Mapping[str, Any]) -> str | None:
        """The task's text; None if the task has no such field or it holds no text.

        A list of texts is one text with commas between, as the labelling page shows it. A text is only ever read: an
        address or a path in it is never opened.
        """
        value = _value_at(data, self.field)
        if isinstance(value, list):
            parts = ["" if part is None else _text(part) for part in value]
            return None if not parts or None in parts else ",".join(map(str, parts))
        return _text(value)


def _value_at(data: Mapping[str, Any], path: str) -> object:
    """What a task holds at a path; a field with the whole path as its name goes first. None if there is nothing."""
    if path in data:
        return data[path]
    value: object = data
    for step in _STEP.findall(path):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _text(value: object) -> str | None:
    if isinstance(value, str):
        # Half a surrogate pair is valid JSON, but no text that a tokenizer or a file takes.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return None


@lru_cache(maxsize=256)
def read_controls(xml: str) -> tuple[Control, ...]:
    """What becomes of each control of a label config, in its order. Raises UnsupportedConfig if it is none."""
    controls, objects = read_tags(xml)
    return tuple(_control(control, objects) for control in controls)


@lru_cache(maxsize=256)
def parse_config(xml: str) -> LabelConfig:
    """The questions that a label config asks. Raises UnsupportedConfig with one sentence if none can be learned."""
    found = read_controls(xml)
    if not found:
        raise UnsupportedConfig("the label config has no control, such as <Choices>")
    learned = [control for control in found if control.question is not None]
    if not learned:
        reasons = "; ".join(f"{control.name}, because {control.reason}" for control in found[:_SHOWN])
        raise UnsupportedConfig(f"nothing of the label config can be learned: {reasons}")
    controls, objects = read_tags(xml)
    asked = next(control for control in controls if control.name == learned[0].name)
    field = _shown(asked, objects).value[1:]
    questions = tuple(control.question for control in learned if control.question is not None)
    return LabelConfig(questions, field, frozenset(control.name for control in found if control.question is None))


def _control(control: Tag, objects: list[Tag]) -> Control:
    try:
        kind = find_kind(control)
        shown = _shown(control, objects)
        return Control(control.name, control.tag, kind.of(control, shown.name))
    except UnsupportedConfig as exc:
        return Control(control.name, control.tag, reason=str(exc))


def _shown(control: Tag, objects: list[Tag]) -> Tag:
    """The text that a control asks about. Raises UnsupportedConfig with one sentence."""
    asked_about = [found for found in objects if found.name in control.to_name]
    if len(asked_about) != 1:
        named = ", ".join(control.to_name) or "none"
        raise UnsupportedConfig(f"<{control.tag}> must point to one object of the label config, not to {named}")
    shown = asked_about[0]
    if shown.tag not in _TEXT_OBJECTS:
        raise UnsupportedConfig(f"<{control.tag}> must point to a <Text>, not to <{shown.tag}>")
    if shown.attributes.get("valueType", "text") != "text":
        raise UnsupportedConfig("the text must stand in the task: texts behind addresses are not fetched")
    if shown.attributes.get("encoding", "none") != "none":
        raise UnsupportedConfig(
            f"the text must stand in the task as it is, not as {shown.attributes['encoding'][:20]!r}"
        )
    if not shown.value.startswith("$") and not VARIABLE.search(shown.value):
        raise UnsupportedConfig(f'<{shown.tag}> must take its text from the task (value="$field")')
    if not VARIABLE.fullmatch(shown.value):
        raise UnsupportedConfig(
            f'<{shown.tag}> must show one field of the task (value="$field", of letters, digits and _, or a path like '
            f"$field.part[0]), not {shown.value[:60]!r}"
        )
    texts = [one.name for one in objects if one.tag in _TEXT_OBJECTS and VARIABLE.search(one.value)]
    if len(texts) > 1:
        raise UnsupportedConfig(
            f"the label config shows {len(texts)} texts of a task ({', '.join(texts)[:100]}), "
            "of which one would be read: put what is to be read into one field"
        )
    return shown
