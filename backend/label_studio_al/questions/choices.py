"""<Choices>: labels out of a fixed list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from label_studio_al.labeling.tags import VARIABLE, Tag, option
from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.coding import LABEL_SETS, ONE_LABEL, Coding, LabelSets, labels_of, text_of
from label_studio_al.learning.evaluation import Evaluation, Outcome
from label_studio_al.learning.set_evaluation import evaluate_sets
from label_studio_al.questions.base import OTHER_TYPE, UNKNOWN_LABEL, Answer, Reading
from label_studio_al.questions.items import ItemsQuestion, LabelQuestion, agreed, came, check_values, json_list, refuse
from label_studio_al.runtime.errors import AwaitsTasks, InvalidRequest, UnsupportedConfig

CHOICES = "choices"


@dataclass(frozen=True)
class SingleChoice(LabelQuestion):
    """Which one of the labels. An answer is a label."""

    item_type: ClassVar[str] = CHOICES
    value_key: ClassVar[str] = CHOICES
    coding: ClassVar[Coding] = ONE_LABEL
    # As of all versions before there was another question.
    fingerprint: ClassVar[str] = ""

    @classmethod
    def reads(cls, control: Tag) -> bool:
        """Whether a control asks for one label."""
        return control.tag == "Choices" and option(control.attributes, "choice", "single") in ("single", "single-radio")

    @classmethod
    def of(cls, control: Tag, shown: Tag) -> SingleChoice:
        """Raises UnsupportedConfig with one sentence."""
        return cls(control.name, shown.name, choices_offered(control))

    def reading(self, value: object) -> Reading:
        """The one choice."""
        chosen = _texts(value)
        if chosen is None or len(chosen) != 1:
            return Reading(unread=OTHER_TYPE)
        return Reading(chosen[0]) if chosen[0] in self.labels else Reading(None, UNKNOWN_LABEL, (chosen[0],))

    def parse(self, value: object) -> Answer:
        """A text is the label."""
        if not isinstance(value, str):
            raise InvalidRequest(f"must be one label (single choice), not {came(value)}")
        return value

    def write(self, answer: Answer, confidence: float) -> list[dict[str, Any]]:
        """One item."""
        return [self.item([str(answer)], confidence)]

    @property
    def summary(self) -> str:
        """As of the contract."""
        return f"one of {len(self.labels)} labels"


@dataclass(frozen=True)
class MultipleChoice(ItemsQuestion):
    """Which of the labels, perhaps none. An answer is a set of labels as one text (see learning.coding.text_of)."""

    item_type: ClassVar[str] = CHOICES
    value_key: ClassVar[str] = CHOICES
    coding: ClassVar[LabelSets] = LABEL_SETS
    fingerprint: ClassVar[str] = "multiple choice"

    @classmethod
    def reads(cls, control: Tag) -> bool:
        """Whether a control asks for any number of labels."""
        return control.tag == "Choices" and not SingleChoice.reads(control)

    @classmethod
    def of(cls, control: Tag, shown: Tag) -> MultipleChoice:
        """Raises UnsupportedConfig with one sentence."""
        choice = option(control.attributes, "choice")
        if choice != "multiple":
            raise UnsupportedConfig(f"<Choices> must be single or multiple choice, not choice={choice[:20]!r}")
        return cls(control.name, shown.name, choices_offered(control))

    def read(self, result: object) -> Reading:
        """As of all questions; an empty result is the answer that no label applies.

        Measured on 1.23.2: nothing ticked is an annotation with an empty result.
        """
        return Reading(text_of(())) if isinstance(result, list) and not result else super().read(result)

    def reading(self, value: object) -> Reading:
        """The choices that the config offers."""
        chosen = _texts(value)
        if chosen is None:
            return Reading(unread=OTHER_TYPE)
        answer = self.coding.within(text_of(chosen), self.labels)
        unoffered = tuple(label for label in chosen if label not in self.labels)
        return Reading(answer, UNKNOWN_LABEL if answer is None else None, unoffered)

    def parse(self, value: object) -> Answer:
        """A list of labels, or the text of one in JSON; an empty list says that none of them applies."""
        found = json_list(value) if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(one, str) and one.strip() for one in found):
            raise InvalidRequest(f'must be a JSON list of labels (["a", "b"]), not {came(value)}')
        return text_of(found)

    def write(self, answer: Answer, confidence: float) -> list[dict[str, Any]]:
        """One item with all labels, in the config's order; none where no label applies."""
        chosen = set(labels_of(answer))
        shown = [label for label in self.labels if label in chosen]
        return [self.item(shown, confidence)] if shown else []

    def best(
        self, beliefs: Beliefs, k: int, given: Sequence[Answer | None] | None = None
    ) -> list[list[tuple[Answer, float]]]:
        """As of the contract."""
        return best_sets(beliefs, self.labels, self.coding, k, given)

    def figures(self, outcomes: Sequence[Outcome], labels: Sequence[str], seed: int) -> Evaluation:
        """As of the contract, and micro-F1."""
        return evaluate_sets(outcomes, labels, seed)

    @property
    def summary(self) -> str:
        """As of the contract."""
        return f"any number of {len(self.labels)} labels"

    def show(self, answer: Answer) -> str:
        """The labels, with commas."""
        return ", ".join(labels_of(answer)) or "none of them"


def choices_offered(control: Tag) -> tuple[str, ...]:
    """The labels that a control offers, the tasks' after the label config's.

    Raises UnsupportedConfig unless they are plain and about a whole task, AwaitsTasks where the tasks are to be read.
    """
    refuse(control, ("perRegion", "perItem", "allowNested"), "ask about the whole text with plain labels")
    if any(map(VARIABLE.search, control.labels)):
        raise UnsupportedConfig("the choices must stand in the label config as they are")
    check_values(control)
    labels, value = control.labels, option(control.attributes, "value")
    if value.startswith("$"):
        if control.field is None:
            raise UnsupportedConfig(f'<Choices> must name one field of the tasks (value="$field"), not {value[:60]!r}')
        if control.offered is None:
            raise AwaitsTasks(f"its choices come from the tasks ({control.field!a}): learned if all offer the same")
        if isinstance(control.offered, str):
            raise UnsupportedConfig(control.offered)
        labels = tuple(dict.fromkeys((*labels, *control.offered)))
    if len(labels) < 2:
        raise UnsupportedConfig(f"<Choices> must offer 2 labels or more, not {len(labels)}")
    return labels


def best_sets(
    beliefs: Beliefs, labels: Sequence[str], coding: LabelSets, k: int, given: Sequence[Answer | None] | None = None
) -> list[list[tuple[Answer, float]]]:
    """As of `Question.best`, where an answer is a set. labels: those that are offered.

    The second best differs from the best in the decision that is the least certain.
    """
    is_offered = np.isin(beliefs.names, labels)
    cuts = None if beliefs.thresholds is None else beliefs.thresholds[is_offered]
    offered = replace(beliefs, proba=beliefs.proba[:, is_offered], names=beliefs.names[is_offered], thresholds=cuts)
    if not is_offered.any():
        return [[] for _ in range(len(beliefs))]
    found = [[pair] for pair in coding.decide(offered).pairs()]
    if k > 1:
        certainty = offered.proba.max(axis=2)
        least = certainty.argmin(axis=1)
        for place, (answers, decision) in enumerate(zip(found, least.tolist(), strict=True)):
            other = coding.changed(answers[0][0], offered.names, decision, 0)
            share = certainty[place, decision]
            answers.append((other, float(min(1.0, answers[0][1] * (1 - share) / max(share, 1e-12)))))
    if given is not None:
        for place, answer in enumerate(given):
            if answer is not None and answer != found[place][0][0]:
                chosen = np.isin(offered.names, coding.labels(answer)).astype(int)
                share = float(offered.proba[place, np.arange(len(chosen)), chosen].prod())
                found[place] = [(answer, share), *found[place]][:k]
    return found


def choices_of(items: list[dict[str, Any]]) -> list[str] | None:
    """What the items of one control choose, in the config or not; None where they hold no texts, or contradict."""
    return _texts(agreed(items, CHOICES))


def _texts(value: object) -> list[str] | None:
    return value if isinstance(value, list) and all(isinstance(one, str) for one in value) else None
