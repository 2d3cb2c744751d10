"""What a label config asks, and which part of a task it asks about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from label_studio_al.labeling.tags import VARIABLE, Tag, read_tags
from label_studio_al.questions.base import Question
from label_studio_al.questions.registry import find_kind
from label_studio_al.runtime.errors import UnsupportedConfig

_TEXT_OBJECTS = ("Text", "HyperText")
# The steps of a path to a value in a task.
_STEP = re.compile(r"[^.[\]]+")


@dataclass(frozen=True)
class LabelConfig:
    """A question about a text, which is read from the task's `field`.

    field: a name, or a path to a nested value (`message.body`, `parts[0].text`).
    """

    question: Question
    field: str

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
def parse_config(xml: str) -> LabelConfig:
    """The question that a label config asks.

    Raises UnsupportedConfig with one sentence for everything but exactly one single-choice <Choices> on a <Text>.
    """
    controls, objects = read_tags(xml)
    if not controls:
        raise UnsupportedConfig("the label config has no control: it needs one <Choices> on a <Text>")
    if len(controls) > 1:
        names = ", ".join(f"{control.tag} {control.name!r}" for control in controls)
        raise UnsupportedConfig(f"the label config must have one control, not {len(controls)}: {names}")
    return _config(controls[0], objects)


def _config(control: Tag, objects: list[Tag]) -> LabelConfig:
    kind = find_kind(control)
    asked_about = [found for found in objects if found.name in control.to_name]
    if len(asked_about) != 1:
        raise UnsupportedConfig(f"<Choices> must point to one object, not to {', '.join(control.to_name) or 'none'}")
    shown = asked_about[0]
    if shown.tag not in _TEXT_OBJECTS:
        raise UnsupportedConfig(f"<Choices> must point to a <Text>, not to <{shown.tag}>")
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
    return LabelConfig(kind.of(control, shown.name), shown.value[1:])
