"""Predictions as Label Studio takes them."""

from __future__ import annotations

from typing import Any

# A task that cannot be ranked comes last.
NO_ANSWER_SCORE = 1.0


def score(informativeness: float) -> float:
    """Label Studio's score of a task, in [0, 1]: lowest first, because its queue sorts ascending.

    informativeness: in [0, 1], high = ask first.
    """
    return 1.0 - min(1.0, max(0.0, float(informativeness)))


def prediction(version: str, task_score: float, result: list[dict[str, Any]]) -> dict[str, Any]:
    """One prediction: `score` orders the queue, a result item's `score` is its own probability.

    result: empty for tasks about which the model says nothing yet.
    """
    return {"model_version": version, "score": float(task_score), "result": result}
