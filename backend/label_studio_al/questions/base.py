"""What a control of a label config asks: the contract that every kind of question keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

from label_studio_al.labeling.tags import Tag

# In one form for each answer, so that equal answers compare as equal: "Spam".
Answer: TypeAlias = str

# Why an annotation that somebody gave holds no answer, and what to say of such annotations.
OTHER_CONTROL, UNKNOWN_LABEL, OTHER_TYPE = "other_control", "unknown_label", "other_type"
UNREAD: Mapping[str, str] = MappingProxyType(
    {
        UNKNOWN_LABEL: "give a label that is not in the label config",
        OTHER_CONTROL: "answer another control than the label config's",
        OTHER_TYPE: "hold something else than one choice",
    }
)


@dataclass(frozen=True)
class Reading:
    """What an annotation says of a question: an answer, or one of UNREAD; neither where it was not answered."""

    answer: Answer | None = None
    unread: str | None = None


NOT_ANSWERED = Reading()


class Question(Protocol):
    """What one control asks. It alone knows the control's JSON.

    name: the control's. labels: the classes that the label config offers, in its order.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102

    def read(self, result: object) -> Reading:
        """The answer in an annotation's result, whatever that is."""

    def write(self, answer: Answer, confidence: float) -> list[dict[str, Any]]:
        """The result items of a prediction. confidence: of the whole answer, in [0, 1]."""


class Kind(Protocol):
    """Makes questions of one kind from controls."""

    def reads(self, control: Tag) -> bool:
        """Whether a control asks this kind of question."""

    def of(self, control: Tag, object_name: str) -> Question:
        """The question of such a control about an object. Raises UnsupportedConfig with one sentence."""
