"""What tasks offer where the label config leaves the choices to them (`<Choices value="$options">`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from label_studio_al.labeling.content import value_at
from label_studio_al.labeling.tags import MAX_CONFIG_CHARACTERS, VARIABLE

# What tasks offer, before one is read.
NO_OFFERS = "{}"


@dataclass
class Offer:
    """What tasks offer in one field, as they are told one after another.

    one: a task, and what stands in its field. other: a task where something else stands.
    """

    field: str
    one: tuple[int, object] | None = None
    other: int | None = None

    def tell(self, task_id: int, data: Mapping[str, Any]) -> None:
        """A task has these fields."""
        value = value_at(data, self.field)
        if self.one is None:
            self.one = task_id, value
        elif value != self.one[1]:
            self.other = task_id

    @property
    def told_apart(self) -> list[int]:
        """The two tasks that differ."""
        return [] if self.one is None or self.other is None else [self.one[0], self.other]

    @property
    def said(self) -> list[str] | str | None:
        """The labels that all offer, or why there are none; None before the first task."""
        if self.one is None:
            return None
        task_id, value = self.one
        if self.other is not None:
            return f"the tasks offer different choices in {self.field!a}, {task_id} and {self.other} for example"
        labels = offered(value)
        if labels is None:
            rule = 'hold a list of choices like {"value": "A"}'
            return f"{self.field!a} must {rule} in the tasks, which {task_id}, for example, does not"
        if len(json.dumps(labels)) > MAX_CONFIG_CHARACTERS:
            return f"the tasks may offer {MAX_CONFIG_CHARACTERS} characters of choices, not more"
        return labels


def offered(value: object) -> list[str] | None:
    """The labels in a list of a task, each once; None for what the labelling page does not show as choices.

    Read: `DynamicChildrenMixin` of its editor, 1.23.2. It shows a plain text in the list as an empty choice.
    """
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return None
    labels = [one.get("value") if one.get("alias") is None else one["alias"] for one in value]
    texts = [text for one in value for text in (one.get("value"), one.get("alias", ""))]
    is_plain = all(map(_is_plain, labels)) and all(text is None or isinstance(text, str) for text in texts)
    return list(dict.fromkeys(labels)) if is_plain else None


def _is_plain(label: object) -> bool:
    """Whether something is a text that results can hold as it is."""
    return (
        isinstance(label, str)
        and bool(label.strip())
        and "\0" not in label
        and not VARIABLE.search(label)
        and not any("\ud800" <= character <= "\udfff" for character in label)
    )


def read_offers(offers: str) -> dict[str, tuple[str, ...] | str]:
    """By field of the tasks, the labels that all offer, or why there are none."""
    found = json.loads(offers)
    return {field: said if isinstance(said, str) else tuple(said) for field, said in found.items()}


def write_offers(offers: Mapping[str, Offer]) -> str:
    """The same of what was told, by field."""
    found = {field: offer.said for field, offer in offers.items()}
    return json.dumps({field: said for field, said in found.items() if said is not None}, sort_keys=True)
