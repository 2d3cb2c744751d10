"""What a project's turns do, or wait for: data, of which `wording` makes a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STARTING = "starting"
READING = "reading"
CHECKING = "checking"
COMPARING = "comparing"
WRITING_SETTINGS = "writing_settings"
FITTING = "fitting"
EMBEDDING = "embedding"
TRAINING = "training"
RANKING = "ranking"
PUSHING = "pushing"
SWITCHING = "switching"
PUSHING_REST = "pushing_rest"
PRUNING = "pruning"
WAITING_FOR_LABELS = "waiting_for_labels"
WAITING_FOR_FIRST_LABELS = "waiting_for_first_labels"
WAITING_FOR_A_SECOND_LABEL = "waiting_for_a_second_label"
WAITING_FOR_OTHER_LABELS = "waiting_for_other_labels"
WAITING_FOR_TASKS = "waiting_for_tasks"
WAITING_FOR_A_CHANGE = "waiting_for_a_change"
WAITING_FOR_THE_NEXT_TRY = "waiting_for_the_next_try"


@dataclass(frozen=True)
class Activity:
    """A state by its name. of: what a sentence about it needs, e.g. {"n": 3}."""

    state: str
    of: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_waiting(self) -> bool:
        """Whether nothing is done until something happens."""
        return self.state == STARTING or self.state.startswith("waiting")

    def dumps(self) -> str:
        """As JSON text."""
        return json.dumps({"state": self.state, **self.of}, sort_keys=True)


def read_activity(text: str) -> Activity:
    """Of JSON text."""
    found = json.loads(text)
    return Activity(found.pop("state"), found)
