"""What a label config asks, and which part of a task it asks about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from label_studio_al.labeling.tags import VARIABLE, Tag, read_tags
from label_studio_al.questions.base import Question, Reading
from label_studio_al.questions.registry import find_kind
from label_studio_al.runtime.errors import UnsupportedConfig

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
    """A question about a text, which is read from the task's `field`.

    field: a name, or a path to a nested value (`message.body`, `parts[0].text`). others: names of the controls that are
    left to people.
    """

    question: Question
    field: str
    others: frozenset[str] = frozenset()

    def read(self, result: object) -> Reading:
        """What an annotation's result says of the question, whatever else it holds of other controls."""
        if isinstance(result, list) and result:
            result = [item for item in result if not self._is_of_others(item)]
        return self.question.read(result)

    def _is_of_others(self, item: object) -> bool:
        return isinstance(item, dict) and (item.get("type") == "relation" or item.get("from_name") in self.others)

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
    """The question that a label config asks. Raises UnsupportedConfig with one sentence if none can be learned."""
    found = read_controls(xml)
    if not found:
        raise UnsupportedConfig("the label config has no control, such as <Choices>")
    learned = [control for control in found if control.question is not None]
    if not learned:
        reasons = "; ".join(f"{control.name}, because {control.reason}" for control in found[:_SHOWN])
        raise UnsupportedConfig(f"nothing of the label config can be learned: {reasons}")
    if len(learned) > 1:
        names = ", ".join(control.name for control in learned)
        raise UnsupportedConfig(f"one question of a label config is learned, and this one asks {len(learned)}: {names}")
    (question,) = [control.question for control in learned if control.question is not None]
    controls, objects = read_tags(xml)
    asked = next(control for control in controls if control.name == question.name)
    field = _shown(asked, objects).value[1:]
    return LabelConfig(question, field, frozenset(control.name for control in found) - {question.name})


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
