"""<Rating>: a whole number of stars."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from label_studio_al.labeling.tags import Tag
from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.coding import Coding
from label_studio_al.learning.evaluation import Outcome
from label_studio_al.learning.ordered import ORDERED, OrderedEvaluation, evaluate_ordered
from label_studio_al.questions.base import NOT_ANSWERED, OTHER_CONTROL, OTHER_TYPE, UNKNOWN_LABEL, Answer, Reading
from label_studio_al.questions.choices import best_labels, came, items_of
from label_studio_al.runtime.errors import InvalidRequest, UnsupportedConfig

RATING = "rating"
# Of the editor where the config names none.
_DEFAULT_MAXIMUM = "5"
_MAXIMUM = range(2, 101)
# As people, spreadsheets and programs write whole numbers.
_WHOLE = re.compile(r"\s*\+?(-?\d{1,9})(\.0*)?\s*", re.ASCII)


@dataclass(frozen=True)
class Rating:
    """How many stars, from 1 on. An answer is the number as text."""

    name: str
    object_name: str
    labels: tuple[str, ...]
    coding: ClassVar[Coding] = ORDERED
    fingerprint: ClassVar[str] = "rating"

    @classmethod
    def reads(cls, control: Tag) -> bool:
        """Whether a control asks for a rating."""
        return control.tag == "Rating"

    @classmethod
    def of(cls, control: Tag, object_name: str) -> Rating:
        """Raises UnsupportedConfig with one sentence."""
        for name in ("perRegion", "perItem"):
            if control.attributes.get(name, "false").lower() == "true":
                raise UnsupportedConfig(f"<Rating> must ask about the whole text, not {name}")
        said = control.attributes.get("maxRating", _DEFAULT_MAXIMUM)
        found = _whole(said)
        if found is None or found not in _MAXIMUM:
            limits = f"{_MAXIMUM.start} to {_MAXIMUM.stop - 1}"
            raise UnsupportedConfig(f"<Rating> must have a maxRating of {limits}, not {said[:20]!r}")
        return cls(control.name, object_name, tuple(map(str, range(1, found + 1))))

    def read(self, result: object) -> Reading:
        """The one rating that the control's items agree on."""
        if not isinstance(result, list) or not result:
            return NOT_ANSWERED
        items = items_of(result, self.name)
        if not items:
            return Reading(unread=OTHER_CONTROL)
        values = [item.get("value") for item in items]
        ratings = [value.get(RATING) if isinstance(value, dict) else None for value in values]
        first = ratings[0]
        whole = int(first) if type(first) is float and first.is_integer() else first
        if type(whole) is not int or any(one != first for one in ratings):
            return Reading(unread=OTHER_TYPE)
        answer = str(whole)
        return Reading(answer) if answer in self.labels else Reading(None, UNKNOWN_LABEL, (answer,))

    def parse(self, value: object) -> Answer:
        """A whole number, whatever the scale."""
        found = _whole(value) if isinstance(value, str) else None
        if found is None:
            raise InvalidRequest(f"must be a whole number (rating), not {came(value)}")
        return str(found)

    def write(self, answer: Answer, confidence: float) -> list[dict[str, Any]]:
        """One item."""
        item = {"from_name": self.name, "to_name": self.object_name, "type": RATING, "value": {RATING: int(answer)}}
        return [item | {"score": round(float(confidence), 6)}]

    def best(
        self, beliefs: Beliefs, k: int, given: Sequence[Answer | None] | None = None
    ) -> list[list[tuple[Answer, float]]]:
        """As of the contract."""
        return best_labels(beliefs, self.labels, k, given)

    def figures(self, outcomes: Sequence[Outcome], labels: Sequence[str], seed: int) -> OrderedEvaluation:
        """As of the contract, with mean absolute error and kappa."""
        return evaluate_ordered(outcomes, labels, seed)

    @property
    def summary(self) -> str:
        """As of the contract."""
        return f"a rating from 1 to {len(self.labels)}"

    def show(self, answer: Answer) -> str:
        """The number."""
        return answer


def _whole(text: str) -> int | None:
    found = _WHOLE.fullmatch(text)
    return None if found is None else int(found[1])
