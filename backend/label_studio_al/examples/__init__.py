"""The bundled examples: messages, what people say of them, and label configs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

# Whole customer messages by topic; and the people, organisations, places and dates in messages.
TOPICS, ENTITIES = "topics", "entities"


@dataclass(frozen=True)
class Example:
    """A project. title: in Label Studio; tasks, config: names of files of this package."""

    title: str
    tasks: str
    config: str


EXAMPLES = {
    TOPICS: Example("Customer messages", "tasks.jsonl", "label_config.xml"),
    ENTITIES: Example("Names in messages", "entities.jsonl", "entities.xml"),
}


def example_tasks(name: str = TOPICS) -> list[dict[str, Any]]:
    """`text` of about 400 customer messages with their `gold` label; of 300 other messages with their `spans`.

    spans: `[start, end, label]`, in code points, end exclusive.
    """
    lines = files(__name__).joinpath(EXAMPLES[name].tasks).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line]


def example_config(name: str = TOPICS) -> str:
    """Their label config."""
    return files(__name__).joinpath(EXAMPLES[name].config).read_text(encoding="utf-8")
