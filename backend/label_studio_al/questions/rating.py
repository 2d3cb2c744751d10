"""<Rating>: a whole number of stars."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from label_studio_al.labeling.tags import Tag, option
from label_studio_al.learning.coding import Coding
from label_studio_al.learning.evaluation import Outcome
from label_studio_al.learning.ordered import ORDERED, OrderedEvaluation, evaluate_ordered
from label_studio_al.questions.base import OTHER_TYPE, UNKNOWN_LABEL, Answer, Reading
from label_studio_al.questions.items import LabelQuestion, came, refuse
from label_studio_al.runtime.errors import InvalidRequest, UnsupportedConfig

RATING = "rating"
# Of the editor where the config names none.
_DEFAULT_MAXIMUM = "5"
_MAXIMUM = range(2, 101)
# As people, spreadsheets and programs write whole numbers.
_WHOLE = re.compile(r"\s*\+?(-?\d{1,9})(\.0*)?\s*", re.ASCII)


@dataclass(frozen=True)
class Rating(LabelQuestion):
    """How many stars, from 1 on. An answer is the number as text."""

    item_type: ClassVar[str] = RATING
    value_key: ClassVar[str] = RATING
    coding: ClassVar[Coding] = ORDERED
    fingerprint: ClassVar[str] = "rating"

    @classmethod
    def reads(cls, control: Tag) -> bool:
        """Whether a control asks for a rating."""
        return control.tag == "Rating"

    @classmethod
    def of(cls, control: Tag, shown: Tag) -> Rating:
        """Raises UnsupportedConfig with one sentence."""
        refuse(control, ("perRegion", "perItem"), "ask about the whole text")
        said = option(control.attributes, "maxRating", _DEFAULT_MAXIMUM)
        found = _whole(said)
        if found is None or found not in _MAXIMUM:
            limits = f"{_MAXIMUM.start} to {_MAXIMUM.stop - 1}"
            raise UnsupportedConfig(f"<Rating> must have a maxRating of {limits}, not {said[:20]!r}")
        return cls(control.name, shown.name, tuple(map(str, range(1, found + 1))))

    def reading(self, value: object) -> Reading:
        """The one rating."""
        whole = int(value) if type(value) is float and value.is_integer() else value
        if type(whole) is not int:
            return Reading(unread=OTHER_TYPE)
        answer = str(whole)
        return Reading(answer) if answer in self.labels else Reading(None, UNKNOWN_LABEL, (answer,))

    def parse(self, value: object) -> Answer:
        """A whole number, whatever the scale."""
        found = _whole(value) if isinstance(value, str) else None
        if found is None:
            raise InvalidRequest(f"must be a whole number of stars (round decimals before), not {came(value)}")
        return str(found)

    def write(self, answer: Answer, confidence: float) -> list[dict[str, Any]]:
        """One item."""
        return [self.item(int(answer), confidence)]

    def figures(self, outcomes: Sequence[Outcome], labels: Sequence[str], seed: int) -> OrderedEvaluation:
        """As of the contract, with mean absolute error and kappa."""
        return evaluate_ordered(outcomes, labels, seed)

    @property
    def summary(self) -> str:
        """As of the contract."""
        return f"a rating from 1 to {len(self.labels)}"


def _whole(text: str) -> int | None:
    found = _WHOLE.fullmatch(text)
    return None if found is None else int(found[1])
