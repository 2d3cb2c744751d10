"""The bundled example: customer messages, their labels and a label config."""

from __future__ import annotations

import json
from importlib.resources import files


def example_tasks() -> list[dict[str, str]]:
    """`text` and the `gold` label of about 400 customer messages."""
    lines = files(__name__).joinpath("tasks.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line]


def example_config() -> str:
    """Their label config."""
    return files(__name__).joinpath("label_config.xml").read_text(encoding="utf-8")
