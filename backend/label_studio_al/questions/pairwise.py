"""<Pairwise>: which of two texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from label_studio_al.labeling.tags import Tag
from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.coding import Coding
from label_studio_al.learning.evaluation import Evaluation, Outcome, evaluate
from label_studio_al.learning.preference import PREFERENCE
from label_studio_al.questions.base import NOT_ANSWERED, OTHER_CONTROL, OTHER_TYPE, Answer, Reading
from label_studio_al.questions.choices import best_labels, came, items_of
from label_studio_al.runtime.errors import InvalidRequest, UnsupportedConfig

LEFT, RIGHT = "left", "right"
# What the page sets before it takes an answer back (read: `setResult` of its editor, 1.23.2).
_NEITHER = "none"


@dataclass(frozen=True)
class Pairwise:
    """Which of two texts was chosen. An answer is its side."""

    name: str
    object_name: str
    labels: ClassVar[tuple[str, ...]] = (LEFT, RIGHT)
    coding: ClassVar[Coding] = PREFERENCE
    fingerprint: ClassVar[str] = "pairwise"

    @classmethod
    def reads(cls, control: Tag) -> bool:
        """Whether a control asks for one of two texts."""
        return control.tag == "Pairwise"

    @classmethod
    def of(cls, control: Tag, object_name: str) -> Pairwise:
        """Raises UnsupportedConfig with one sentence."""
        if len(control.to_name) != 2 or len(set(control.to_name)) != 2:
            came = ",".join(control.to_name)[:60]
            raise UnsupportedConfig(f'<Pairwise> must ask about two objects (toName="left,right"), not {came!r}')
        return cls(control.name, object_name)

    def read(self, result: object) -> Reading:
        """The side that the control's items agree on."""
        if not isinstance(result, list) or not result:
            return NOT_ANSWERED
        items = items_of(result, self.name)
        if not items:
            return Reading(unread=OTHER_CONTROL)
        values = [item.get("value") for item in items]
        first, *others = [value.get("selected") if isinstance(value, dict) else None for value in values]
        if any(other != first for other in others):
            return Reading(unread=OTHER_TYPE)
        if first == _NEITHER:
            return NOT_ANSWERED
        return Reading(str(first)) if first in self.labels else Reading(unread=OTHER_TYPE)

    def parse(self, value: object) -> Answer:
        """A side, in any case."""
        side = value.strip().lower() if isinstance(value, str) else None
        if side not in self.labels:
            raise InvalidRequest(f"must be {LEFT} or {RIGHT} (pairwise), not {came(value)}")
        return str(side)

    def write(self, answer: Answer, confidence: float) -> list[dict[str, Any]]:
        """One item."""
        item = {"from_name": self.name, "to_name": self.object_name, "type": "pairwise", "value": {"selected": answer}}
        return [item | {"score": round(float(confidence), 6)}]

    def best(
        self, beliefs: Beliefs, k: int, given: Sequence[Answer | None] | None = None
    ) -> list[list[tuple[Answer, float]]]:
        """As of the contract."""
        return best_labels(beliefs, self.labels, k, given)

    def figures(self, outcomes: Sequence[Outcome], labels: Sequence[str], seed: int) -> Evaluation:
        """As of the contract."""
        return evaluate(outcomes, labels, seed)

    @property
    def summary(self) -> str:
        """As of the contract."""
        return "which of two texts"

    def show(self, answer: Answer) -> str:
        """The side."""
        return answer
