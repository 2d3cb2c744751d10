"""What a control of a label config asks: the contract that every kind of question keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias

from label_studio_al.labeling.tags import Tag
from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.coding import Coding
from label_studio_al.learning.evaluation import Evaluation, Outcome

# A text, the same for the same answer: a label, or the JSON of a set of labels.
Answer: TypeAlias = str

# Why an annotation that somebody gave holds no answer, and what to say of such annotations.
OTHER_CONTROL, UNKNOWN_LABEL, OTHER_TYPE = "other_control", "unknown_label", "other_type"
UNREAD: Mapping[str, str] = MappingProxyType(
    {
        UNKNOWN_LABEL: "give a label that is not in the label config",
        OTHER_CONTROL: "answer another control than the label config's",
        OTHER_TYPE: "hold something else than the answer that is asked for",
    }
)


@dataclass(frozen=True)
class Reading:
    """What an annotation says of a question: an answer, or one of UNREAD; neither where it was not answered.

    unoffered: the labels that it gives and the label config does not offer, with or without others that it offers.
    is_implied: it holds nothing of the question's control, and that is an answer (none of the labels).
    """

    answer: Answer | None = None
    unread: str | None = None
    unoffered: tuple[str, ...] = ()
    is_implied: bool = False


NOT_ANSWERED = Reading()


class Question(Protocol):
    """What one control asks. It alone knows the control's JSON.

    name: the control's. labels: the classes that the label config offers, in its order.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def labels(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def coding(self) -> Coding:
        """What models make of answers."""

    @property
    def fingerprint(self) -> str:
        """Another one means that stored answers mean something else: no two kinds have the same."""

    def read(self, result: object) -> Reading:
        """The answer in an annotation's result, whatever that is."""

    def parse(self, value: object) -> Answer:
        """The answer as a data file states it, with labels that the config may not offer.

        value: a text that is not blank, or a list or an object of JSON. Raises InvalidRequest with how a sentence goes
        on: "must be ..., not ...".
        """

    def write(self, answer: Answer, confidence: float) -> list[dict[str, Any]]:
        """The result items of a prediction. confidence: of the whole answer, in [0, 1]."""

    def best(
        self, beliefs: Beliefs, k: int, given: Sequence[Answer | None] | None = None
    ) -> list[list[tuple[Answer, float]]]:
        """The k most probable answers to each task with their probabilities, among those that the config offers.

        The best first; fewer where there are fewer. given: what people answered to a task of the same content, which
        comes first.
        """

    def figures(self, outcomes: Sequence[Outcome], labels: Sequence[str], seed: int) -> Evaluation:
        """How good predictions are. labels: those that are reported first, in their order."""

    @property
    def summary(self) -> str:
        """What is asked, for people, such as "one of 3 labels"."""

    def show(self, answer: Answer) -> str:
        """The answer for people."""


class Kind(Protocol):
    """Makes questions of one kind from controls."""

    def reads(self, control: Tag) -> bool:
        """Whether a control asks this kind of question."""

    def of(self, control: Tag, shown: Tag) -> Question:
        """The question of such a control about an object with text. Raises UnsupportedConfig with one sentence."""
