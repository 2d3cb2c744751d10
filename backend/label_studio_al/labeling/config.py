"""What a label config asks: one single-choice question about one text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from xml.etree.ElementTree import ParseError, XMLParser

from label_studio_al.runtime.errors import UnsupportedConfig

MAX_CONFIG_CHARACTERS = 200_000
# As deep as Label Studio's own parser goes.
MAX_DEPTH = 256
_TEXT_OBJECTS = ("Text", "HyperText")
_LABEL_TAGS = ("Label", "Choice", "Relation")
# What the labelling page takes from the task, and the steps of such a path (read: `parseValue` of its editor, 1.23.2).
_VARIABLE = re.compile(r"\$[\w[\].{}]+", re.ASCII)
_STEP = re.compile(r"[^.[\]]+")
# Their answers are about themselves, so one tag is the control and the object; by name, what the control is called.
_SELF_REFERENCING = {"chat": "ChatMessage", "reactcode": "ReactCode"}

# Why an answer gives no label, and what to say of the annotations.
OTHER_CONTROL, UNKNOWN_LABEL, OTHER_TYPE = "other_control", "unknown_label", "other_type"
UNREAD: Mapping[str, str] = MappingProxyType(
    {
        UNKNOWN_LABEL: "give a label that is not in the label config",
        OTHER_CONTROL: "answer another control than the label config's",
        OTHER_TYPE: "hold something else than one choice",
    }
)


@dataclass(frozen=True)
class LabelConfig:
    """The question: `control` (a Choices name) about `object_name` (a Text name), read from the task's `field`.

    field: a name, or a path to a nested value (`message.body`, `parts[0].text`).
    """

    control: str
    object_name: str
    field: str
    labels: tuple[str, ...]

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

    def label_of(self, result: object) -> str | None:
        """The label that an annotation's result gives; None if it gives none, several, or one not in the config."""
        choice = self._choice(result)
        return choice if choice in self.labels else None

    def why_ignored(self, result: object) -> str | None:
        """Why a result gives no label: one of UNREAD; None if it gives one, or somebody has answered nothing."""
        if not isinstance(result, list) or not result or self.label_of(result) is not None:
            return None
        if not any(isinstance(item, dict) and item.get("from_name") == self.control for item in result):
            return OTHER_CONTROL
        return OTHER_TYPE if self._choice(result) is None else UNKNOWN_LABEL

    def _choice(self, result: object) -> str | None:
        """The one choice that the control's items of a result agree on, in the config or not."""
        if not isinstance(result, list):
            return None
        answers = []
        for item in result:
            if isinstance(item, dict) and item.get("from_name") == self.control:
                value = item.get("value")
                answers.append(value.get("choices") if isinstance(value, dict) else None)
        if not answers or any(answer != answers[0] for answer in answers):
            return None
        choices = answers[0]
        if isinstance(choices, list) and len(choices) == 1 and isinstance(choices[0], str):
            return choices[0]
        return None


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


@dataclass(frozen=True)
class Tag:
    """A control or an object of a label config. labels: what a control offers, each once."""

    tag: str
    name: str
    attributes: Mapping[str, str]
    labels: tuple[str, ...] = ()

    @property
    def to_name(self) -> list[str]:
        """Names of the objects that a control asks about."""
        return self.attributes.get("toName", "").split(",")

    @property
    def value(self) -> str:
        """What an object shows."""
        return self.attributes.get("valueList", self.attributes.get("value", ""))


class _Reader:
    """Takes a config tag by tag from the parser. Which tag is what: as the SDK's `LabelInterface` decides."""

    def __init__(self) -> None:
        self.controls: dict[str, Tag] = {}
        self.objects: dict[str, Tag] = {}
        # By control; the keys keep the order and each label once.
        self.labels: dict[str, dict[str, None]] = {}
        self._open: list[str | None] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """A tag begins."""
        if len(self._open) == MAX_DEPTH:
            raise ParseError(f"more than {MAX_DEPTH} tags inside each other")
        name = attributes.get("name")
        if name and attributes.get("toName") and tag != "Filter":
            self.controls[name] = Tag(tag, name, attributes)
        elif name and (attributes.get("value") or attributes.get("valueList") or tag.lower() in _SELF_REFERENCING):
            self.objects[name] = Tag(tag, name, attributes)
        elif tag in _LABEL_TAGS:
            label = attributes.get("alias") or attributes.get("value")
            parent = next((above for above in reversed(self._open) if above in self.controls), None)
            if label is not None and parent is not None:
                self.labels.setdefault(parent, {})[label] = None
        self._open.append(name)

    def end(self, tag: str) -> None:
        """A tag ends."""
        self._open.pop()

    def tags(self) -> tuple[list[Tag], list[Tag]]:
        """The controls and the objects of a whole config."""
        for name, tag in {**self.objects, **self.controls}.items():
            answered = _SELF_REFERENCING.get(tag.tag.lower())
            if answered:
                self.controls.setdefault(name, Tag(answered, name, {"name": name, "toName": name}))
                self.objects.setdefault(name, tag)
        controls = [
            Tag(tag.tag, name, tag.attributes, tuple(self.labels.get(name, ()))) for name, tag in self.controls.items()
        ]
        return controls, list(self.objects.values())


def read_tags(xml: str) -> tuple[list[Tag], list[Tag]]:
    """The controls and the objects of a label config, in their order. Raises UnsupportedConfig if it is no XML.

    The SDK's `LabelInterface` reads the same, but weighs 80 MB.
    """
    reader = _Reader()
    parser = XMLParser(target=reader)  # noqa: S314 - entities must be declared, which is refused before
    try:
        parser.feed(xml)
        parser.close()
    except (ParseError, ValueError) as exc:
        # It may repeat what came, whole and over several lines.
        reason = " ".join(str(exc).split())[:150]
        raise UnsupportedConfig(f"the label config is not valid: {reason}") from exc
    return reader.tags()


@lru_cache(maxsize=256)
def parse_config(xml: str) -> LabelConfig:
    """The question that a label config asks.

    Raises UnsupportedConfig with one sentence for everything but exactly one single-choice <Choices> on a <Text>.
    """
    if not isinstance(xml, str) or not xml.strip():
        raise UnsupportedConfig("the label config is empty: it needs one <Choices> on a <Text>")
    if len(xml) > MAX_CONFIG_CHARACTERS:
        raise UnsupportedConfig(f"the label config may have {MAX_CONFIG_CHARACTERS} characters, not {len(xml)}")
    if "<!DOCTYPE" in xml.upper() or "<!ENTITY" in xml.upper():
        raise UnsupportedConfig("the label config must not declare a document type or entities")
    controls, objects = read_tags(xml)
    if not controls:
        raise UnsupportedConfig("the label config has no control: it needs one <Choices> on a <Text>")
    if len(controls) > 1:
        names = ", ".join(f"{control.tag} {control.name!r}" for control in controls)
        raise UnsupportedConfig(f"the label config must have one control, not {len(controls)}: {names}")
    return _question(controls[0], objects)


def _question(control: Tag, objects: list[Tag]) -> LabelConfig:
    if control.tag != "Choices":
        raise UnsupportedConfig(f"the control must be <Choices>, not <{control.tag}>")
    if control.attributes.get("choice", "single") not in ("single", "single-radio"):
        raise UnsupportedConfig(f"<Choices> must be single choice, not choice={control.attributes['choice']!r}")
    if control.attributes.get("value", "").startswith("$") or any(map(_VARIABLE.search, control.labels)):
        raise UnsupportedConfig("the choices must stand in the label config, not come from the tasks")
    for name in ("perRegion", "perItem", "allowNested"):
        if control.attributes.get(name, "false").lower() == "true":
            raise UnsupportedConfig(f"<Choices> must ask about the whole text with plain labels, not {name}")
    if len(control.labels) < 2:
        raise UnsupportedConfig(f"<Choices> must offer 2 labels or more, not {len(control.labels)}")
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
    if not shown.value.startswith("$") and not _VARIABLE.search(shown.value):
        raise UnsupportedConfig(f'<{shown.tag}> must take its text from the task (value="$field")')
    if not _VARIABLE.fullmatch(shown.value):
        raise UnsupportedConfig(
            f'<{shown.tag}> must show one field of the task (value="$field", of letters, digits and _, or a path like '
            f"$field.part[0]), not {shown.value[:60]!r}"
        )
    texts = [one.name for one in objects if one.tag in _TEXT_OBJECTS and _VARIABLE.search(one.value)]
    if len(texts) > 1:
        raise UnsupportedConfig(
            f"the label config shows {len(texts)} texts of a task ({', '.join(texts)[:100]}), "
            "of which one would be read: put what is to be read into one field"
        )
    return LabelConfig(control.name, shown.name, shown.value[1:], control.labels)
