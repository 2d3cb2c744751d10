"""What a label config asks: one single-choice question about one text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from label_studio_sdk.label_interface.interface import LabelInterface

from backend.errors import UnsupportedConfig

MAX_CONFIG_CHARACTERS = 200_000
_TEXT_OBJECTS = ("Text", "HyperText")


@dataclass(frozen=True)
class LabelConfig:
    """The question: `control` (a Choices name) about `object_name` (a Text name), read from the task's `field`."""

    control: str
    object_name: str
    field: str
    labels: tuple[str, ...]

    def text_of(self, data: Mapping[str, Any]) -> str | None:
        """The task's text; None if the task has no such field or it holds no text.

        A text is only ever read: an address or a path in it is never opened.
        """
        value = data.get(self.field)
        if isinstance(value, str):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        return None

    def label_of(self, result: object) -> str | None:
        """The label that an annotation's result gives; None if it gives none, several, or one not in the config."""
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
        if isinstance(choices, list) and len(choices) == 1 and choices[0] in self.labels:
            return str(choices[0])
        return None


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
    try:
        interface = LabelInterface(xml)
        controls = list(interface.controls)
    except Exception as exc:
        # The SDK raises lxml's, pydantic's and its own errors, and plain ValueError and KeyError.
        reason = " ".join(str(exc).split())[:150]
        raise UnsupportedConfig(f"the label config is not valid: {reason}") from exc
    if not controls:
        raise UnsupportedConfig("the label config has no control: it needs one <Choices> on a <Text>")
    if len(controls) > 1:
        names = ", ".join(f"{control.tag} {control.name!r}" for control in controls)
        raise UnsupportedConfig(f"the label config must have one control, not {len(controls)}: {names}")
    return _question(interface, controls[0])


def _question(interface: Any, control: Any) -> LabelConfig:
    if control.tag != "Choices":
        raise UnsupportedConfig(f"the control must be <Choices>, not <{control.tag}>")
    if control.attr.get("choice", "single") not in ("single", "single-radio"):
        raise UnsupportedConfig(f"<Choices> must be single choice, not choice={control.attr['choice']!r}")
    if str(control.attr.get("value", "")).startswith("$"):
        raise UnsupportedConfig("the choices must stand in the label config, not come from the tasks")
    for name in ("perRegion", "perItem", "allowNested"):
        if str(control.attr.get(name, "false")).lower() == "true":
            raise UnsupportedConfig(f"<Choices> must ask about the whole text with plain labels, not {name}")
    labels = tuple(dict.fromkeys(control.labels))
    if len(labels) < 2:
        raise UnsupportedConfig(f"<Choices> must offer 2 labels or more, not {len(labels)}")
    objects = [found for found in interface.objects if found.name in control.to_name]
    if len(objects) != 1:
        raise UnsupportedConfig(f"<Choices> must point to one object, not to {', '.join(control.to_name) or 'none'}")
    shown = objects[0]
    if shown.tag not in _TEXT_OBJECTS:
        raise UnsupportedConfig(f"<Choices> must point to a <Text>, not to <{shown.tag}>")
    if shown.attr.get("valueType", "text") != "text":
        raise UnsupportedConfig("the text must stand in the task: texts behind addresses are not fetched")
    if not re.fullmatch(r"\$.+", str(shown.value or "")):
        raise UnsupportedConfig(f'<{shown.tag}> must take its text from the task (value="$field")')
    return LabelConfig(control.name, shown.name, shown.value[1:], labels)
