"""A kind of question, and two learners, that the package has never seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from label_studio_al.labeling.tags import Tag
from label_studio_al.learners.base import Fit
from label_studio_al.learners.linear import Linear
from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.coding import ONE_LABEL, Coding, Learned
from label_studio_al.learning.evaluation import Evaluation, Outcome, evaluate
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.learner import Tuning
from label_studio_al.learning.predictions import top_k
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.types import Array
from label_studio_al.questions.base import NOT_ANSWERED, OTHER_TYPE, Answer, Reading
from label_studio_al.runtime.errors import InvalidRequest

LIGHTS = ("1 red", "2 amber", "3 green")
CONFIG = '<View><Text name="text" value="$text"/><TrafficLight name="light" toName="text"/></View>'
# The first word of a text says its light.
WORDS = {"stop": 0, "slow": 1, "drive": 2}


def texts(n: int = 120) -> list[str]:
    return [f"{word} at corner {n // 3}, lane {n % 7}" for n in range(n) for word in (list(WORDS)[n % 3],)]


def truth(text: str) -> str:
    return LIGHTS[WORDS[text.split()[0]]]


def result(light: str) -> list[dict[str, Any]]:
    """As an annotation of this control holds it."""
    return [{"from_name": "light", "to_name": "text", "type": "trafficlight", "value": {"lit": LIGHTS.index(light)}}]


@dataclass(frozen=True)
class LightEvaluation(Evaluation):
    """mean_distance: how many lights predictions are off, on average."""

    mean_distance: float | None


@dataclass(frozen=True)
class TrafficLight:
    """Which of three lights; they have an order."""

    name: str
    object_name: str
    labels: tuple[str, ...] = LIGHTS
    coding: ClassVar[Coding] = ONE_LABEL
    fingerprint: ClassVar[str] = "traffic light"

    @classmethod
    def reads(cls, control: Tag) -> bool:
        return control.tag == "TrafficLight"

    @classmethod
    def of(cls, control: Tag, shown: Tag) -> TrafficLight:
        return cls(control.name, shown.name)

    def read(self, result: object) -> Reading:
        if not isinstance(result, list) or not result:
            return NOT_ANSWERED
        lit = result[0].get("value", {}).get("lit")
        return Reading(LIGHTS[lit]) if lit in (0, 1, 2) else Reading(unread=OTHER_TYPE)

    @property
    def summary(self) -> str:
        return "which light"

    def parse(self, value: object) -> Answer:
        if value not in LIGHTS:
            raise InvalidRequest(f"a light is one of {', '.join(LIGHTS)}, not {value!r}")
        return str(value)

    def write(self, answer: Answer, confidence: float) -> list[dict[str, Any]]:
        return [item | {"score": confidence} for item in result(answer)]

    def best(
        self, beliefs: Beliefs, k: int, given: Sequence[Answer | None] | None = None
    ) -> list[list[tuple[Answer, float]]]:
        return top_k(beliefs.wide, beliefs.classes, k)

    def figures(self, outcomes: Sequence[Outcome], labels: Sequence[str], seed: int) -> LightEvaluation:
        steps = [abs(LIGHTS.index(one.label) - LIGHTS.index(one.predicted)) for one in outcomes]
        found = evaluate(outcomes, labels, seed)
        plain = {name: getattr(found, name) for name in asdict(found)}
        return LightEvaluation(**plain, mean_distance=float(np.mean(steps)) if steps else None)

    def show(self, answer: Answer) -> str:
        return answer.split()[1]


class Untrained:
    """A learner that does not train: it knows from the beginning."""

    name = "untrained"
    trains = False
    refits = True

    def __init__(self, model: Learned) -> None:
        self.model = model

    def serves(self, coding: Coding) -> bool:
        return coding is ONE_LABEL

    def missing(self, answers: Collection[str]) -> str | None:
        return None

    def tune(self, labelled: Labelled, choices: Mapping[str, Array], wanted: str, seed: int) -> Tuning:
        return Tuning(next(iter(choices)))

    def fitting(self, choices: Mapping[str, Array], tuning: Tuning, coding: Coding) -> Fit:
        return lambda X, y: self.model


class OnceOnly(Linear):
    """A learner that cannot be trained beside itself; it remembers what it was trained on."""

    name = "once only"
    refits = False

    def __init__(self) -> None:
        self.trained_on: list[int] = []

    def fitting(self, choices: Mapping[str, Array], tuning: Tuning, coding: Coding) -> Fit:
        fit = super().fitting(choices, tuning, coding)

        def noted(X: Matrix, y: Array) -> Learned:
            self.trained_on.append(len(y))
            return fit(X, y)

        return noted
