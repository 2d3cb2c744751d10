"""What controls whose answers are result items have in common."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from label_studio_al.labeling.tags import Tag, option
from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.evaluation import Evaluation, Outcome, evaluate
from label_studio_al.learning.predictions import top_k
from label_studio_al.questions.base import NOT_ANSWERED, OTHER_CONTROL, Answer, Reading
from label_studio_al.runtime.errors import UnsupportedConfig

_CAME_CHARACTERS = 60


@dataclass(frozen=True)
class ItemsQuestion(ABC):
    """A question whose answer stands in items of one type, under one key of their value."""

    name: str
    object_name: str
    labels: tuple[str, ...]
    item_type: ClassVar[str]
    value_key: ClassVar[str]

    def read(self, result: object) -> Reading:
        """What the control's items agree on."""
        if not isinstance(result, list) or not result:
            return NOT_ANSWERED
        items = items_of(result, self.name)
        return self.reading(agreed(items, self.value_key)) if items else Reading(unread=OTHER_CONTROL)

    @abstractmethod
    def reading(self, value: object) -> Reading:
        """The answer in what items hold; they hold None where they contradict each other."""

    def item(self, value: object, confidence: float) -> dict[str, Any]:
        """A result item as Label Studio takes it."""
        return {
            "from_name": self.name,
            "to_name": self.object_name,
            "type": self.item_type,
            "value": {self.value_key: value},
            "score": round(float(confidence), 6),
        }


class LabelQuestion(ItemsQuestion):
    """A question whose answer is one label."""

    def best(
        self, beliefs: Beliefs, k: int, given: Sequence[Answer | None] | None = None
    ) -> list[list[tuple[Answer, float]]]:
        """As of the contract."""
        is_offered = np.isin(beliefs.classes, self.labels)
        proba, classes = beliefs.wide[:, is_offered], beliefs.classes[is_offered]
        if given is None:
            return top_k(proba, classes, k)
        is_given = classes == np.array([label or "" for label in given], dtype=str)[:, None]
        return top_k(proba, classes, k, is_given)

    def figures(self, outcomes: Sequence[Outcome], labels: Sequence[str], seed: int) -> Evaluation:
        """As of the contract."""
        return evaluate(outcomes, labels, seed)

    def show(self, answer: Answer) -> str:
        """The label."""
        return answer


def items_of(result: list[Any], name: str) -> list[dict[str, Any]]:
    """The items of a result that a control has."""
    return [item for item in result if isinstance(item, dict) and item.get("from_name") == name]


def agreed(items: list[dict[str, Any]], key: str) -> object:
    """What the values of one control's items hold under a key; None where that is nothing, or differs."""
    values = [item.get("value") for item in items]
    found = [value.get(key) if isinstance(value, dict) else None for value in values]
    return None if any(one != found[0] for one in found) else found[0]


def refuse(control: Tag, attributes: Sequence[str], rule: str) -> None:
    """Raises UnsupportedConfig where one of these attributes is true. rule: what must be instead."""
    for name in attributes:
        if option(control.attributes, name).lower() == "true":
            raise UnsupportedConfig(f"<{control.tag}> must {rule}, not {name}")


def check_values(control: Tag, offered: str = "Choice") -> None:
    """Raises UnsupportedConfig where a choice, or one that it lies in, has no value: its answers say nothing.

    offered: the tag that choices have.
    """
    n_empty = sum(not all(name.strip() for name in path) for path in control.paths)
    if n_empty:
        raise UnsupportedConfig(f"every <{offered}> must have a value, and {n_empty} of {len(control.paths)} have none")


def json_list(text: str) -> list[Any] | None:
    """The list that a text is in JSON; None for every other text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def came(value: object) -> str:
    """A value of a data file for the end of a sentence."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _CAME_CHARACTERS else f"{text[:_CAME_CHARACTERS]}..."
