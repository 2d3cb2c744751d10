"""<Pairwise>: which of two texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from label_studio_al.labeling.tags import Tag
from label_studio_al.learning.coding import Coding
from label_studio_al.learning.preference import PREFERENCE
from label_studio_al.questions.base import NOT_ANSWERED, OTHER_TYPE, Answer, Reading
from label_studio_al.questions.items import LabelQuestion, came
from label_studio_al.runtime.errors import InvalidRequest, UnsupportedConfig

LEFT, RIGHT = "left", "right"
# What the page sets before it takes an answer back (read: `setResult` of its editor, 1.23.2).
_NEITHER = "none"


@dataclass(frozen=True)
class Pairwise(LabelQuestion):
    """Which of two texts was chosen. An answer is its side."""

    labels: tuple[str, ...] = (LEFT, RIGHT)
    item_type: ClassVar[str] = "pairwise"
    value_key: ClassVar[str] = "selected"
    coding: ClassVar[Coding] = PREFERENCE
    fingerprint: ClassVar[str] = "pairwise"

    @classmethod
    def reads(cls, control: Tag) -> bool:
        """Whether a control asks for one of two texts."""
        return control.tag == "Pairwise"

    @classmethod
    def of(cls, control: Tag, shown: Tag) -> Pairwise:
        """Raises UnsupportedConfig with one sentence."""
        if len(control.to_name) != 2 or len(set(control.to_name)) != 2:
            given = ",".join(control.to_name)[:60]
            raise UnsupportedConfig(f'<Pairwise> must ask about two objects (toName="left,right"), not {given!r}')
        return cls(control.name, shown.name)

    def reading(self, value: object) -> Reading:
        """The side."""
        if value == _NEITHER:
            return NOT_ANSWERED
        return Reading(str(value)) if value in self.labels else Reading(unread=OTHER_TYPE)

    def parse(self, value: object) -> Answer:
        """A side, in any case."""
        side = value.strip().lower() if isinstance(value, str) else None
        if side not in self.labels:
            raise InvalidRequest(f"must be {LEFT} or {RIGHT} (pairwise), not {came(value)}")
        return str(side)

    def write(self, answer: Answer, confidence: float) -> list[dict[str, Any]]:
        """One item."""
        return [self.item(answer, confidence)]

    @property
    def summary(self) -> str:
        """As of the contract."""
        return "which of two texts"
