"""The tags of a label config."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from xml.etree.ElementTree import ParseError, XMLParser

from label_studio_al.runtime.errors import UnsupportedConfig

MAX_CONFIG_CHARACTERS = 200_000
# As deep as Label Studio's own parser goes.
MAX_DEPTH = 256
# What the labelling page takes from the task (read: `parseValue` of its editor, 1.23.2).
VARIABLE = re.compile(r"\$[\w[\].{}]+", re.ASCII)
_LABEL_TAGS = ("Label", "Choice", "Relation")
# Their answers are about themselves, so one tag is the control and the object; by name, what the control is called.
_SELF_REFERENCING = {"chat": "ChatMessage", "reactcode": "ReactCode"}


@dataclass(frozen=True)
class Tag:
    """A control or an object of a label config. labels: what a control offers, each once; "" without a value.

    paths: the same with the labels that each lies in, the outermost first. around: the attributes of the tags that the
    control lies in, the outermost first. shares_name: whether another control or object has its name, too. offered: the
    labels that all tasks offer besides, or why there are none; None where no task is read.
    """

    tag: str
    name: str
    attributes: Mapping[str, str]
    labels: tuple[str, ...] = ()
    paths: tuple[tuple[str, ...], ...] = ()
    around: tuple[Mapping[str, str], ...] = ()
    shares_name: bool = False
    offered: tuple[str, ...] | str | None = None

    @property
    def to_name(self) -> list[str]:
        """Names of the objects that a control asks about."""
        return self.attributes.get("toName", "").split(",")

    @property
    def field(self) -> str | None:
        """The field of a task that holds what a control offers (value="$options"); None where none does."""
        value = self.attributes.get("value", "")
        return value[1:] if VARIABLE.fullmatch(value) else None

    @property
    def value(self) -> str:
        """What an object shows."""
        return self.attributes.get("valueList", self.attributes.get("value", ""))


class _Reader:
    """Takes a config tag by tag from the parser. Which tag is what: as the SDK's `LabelInterface` decides."""

    def __init__(self) -> None:
        self.controls: dict[str, Tag] = {}
        self.objects: dict[str, Tag] = {}
        # By control; the keys keep the order and each path once.
        self.paths: dict[str, dict[tuple[str, ...], None]] = {}
        self._shared: set[str] = set()
        self._open: list[dict[str, str]] = []
        # As long as `_open`: what of that is a label.
        self._labels: list[str | None] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """A tag begins."""
        if len(self._open) == MAX_DEPTH:
            raise ParseError(f"more than {MAX_DEPTH} tags inside each other")
        name, label = attributes.get("name"), None
        if name and attributes.get("toName") and tag != "Filter":
            self._take(name)
            self.controls[name] = Tag(tag, name, attributes, around=tuple(self._open))
        elif name and (attributes.get("value") or attributes.get("valueList") or tag.lower() in _SELF_REFERENCING):
            self._take(name)
            self.objects[name] = Tag(tag, name, attributes)
        elif tag in _LABEL_TAGS:
            label = attributes.get("alias") or attributes.get("value", "")
            names = [above.get("name") for above in self._open]
            place = next((place for place in reversed(range(len(names))) if names[place] in self.controls), None)
            if place is not None:
                path = (*[one for one in self._labels[place + 1 :] if one is not None], label)
                self.paths.setdefault(str(names[place]), {})[path] = None
        self._open.append(attributes)
        self._labels.append(label)

    def _take(self, name: str) -> None:
        if name in self.controls or name in self.objects:
            self._shared.add(name)

    def end(self, tag: str) -> None:
        """A tag ends."""
        self._open.pop()
        self._labels.pop()

    def tags(self) -> tuple[list[Tag], list[Tag]]:
        """The controls and the objects of a whole config."""
        for name, tag in {**self.objects, **self.controls}.items():
            answered = _SELF_REFERENCING.get(tag.tag.lower())
            if answered:
                self.controls.setdefault(name, Tag(answered, name, {"name": name, "toName": name}))
                self.objects.setdefault(name, tag)
        controls = [self._offering(tag, tuple(self.paths.get(name, ()))) for name, tag in self.controls.items()]
        return controls, [replace(tag, shares_name=name in self._shared) for name, tag in self.objects.items()]

    def _offering(self, tag: Tag, paths: tuple[tuple[str, ...], ...]) -> Tag:
        labels = tuple(dict.fromkeys(path[-1] for path in paths))
        return replace(tag, labels=labels, paths=paths, shares_name=tag.name in self._shared)


def option(attributes: Mapping[str, str], name: str, default: str = "") -> str:
    """What an attribute says to the labelling page, which takes its name in any case (read: its editor, 1.23.2)."""
    return {one.lower(): value for one, value in attributes.items()}.get(name.lower(), default)


def read_tags(xml: str) -> tuple[list[Tag], list[Tag]]:
    """The controls and the objects of a label config, in their order. Raises UnsupportedConfig if it is no XML.

    The SDK's `LabelInterface` reads the same, but weighs 80 MB.
    """
    if not isinstance(xml, str) or not xml.strip():
        raise UnsupportedConfig("the label config is empty: it needs a control such as <Choices>")
    if len(xml) > MAX_CONFIG_CHARACTERS:
        raise UnsupportedConfig(f"the label config may have {MAX_CONFIG_CHARACTERS} characters, not {len(xml)}")
    if "<!DOCTYPE" in xml.upper() or "<!ENTITY" in xml.upper():
        raise UnsupportedConfig("the label config must not declare a document type or entities")
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
