"""The bundled example, as tests with a real Label Studio use it."""

from __future__ import annotations

from label_studio_al.examples import example_tasks

# Each text with its label.
GOLD = {task["text"]: task["gold"] for task in example_tasks()}
LABELS = sorted(set(GOLD.values()))
# Enough for most tests: importing tasks, and pushing a window of them, take Label Studio most of the time.
TEXTS = list(GOLD)[:150]
