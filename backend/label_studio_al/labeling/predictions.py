"""Predictions as Label Studio takes them."""

from __future__ import annotations

from typing import Any

from label_studio_al.labeling.config import LabelConfig

# A task that cannot be ranked comes last.
NO_ANSWER_SCORE = 1.0


def score(informativeness: float) -> float:
    """Label Studio's score of a task, in [0, 1]: lowest first, because its queue sorts ascending.

    informativeness: in [0, 1], high = ask first.
    """
    return 1.0 - min(1.0, max(0.0, float(informativeness)))


def prediction(
    config: LabelConfig, version: str, task_score: float, label: str | None, probability: float | None
) -> dict[str, Any]:
    """One prediction: `score` orders the queue, the result item's `score` is the label's probability.

    label: None gives an empty result, for tasks about which the model says nothing yet.
    """
    result: list[dict[str, Any]] = []
    if label is not None and probability is not None:
        result.append(
            {
                "from_name": config.control,
                "to_name": config.object_name,
                "type": "choices",
                "value": {"choices": [label]},
                "score": round(float(probability), 6),
            }
        )
    return {"model_version": version, "score": float(task_score), "result": result}
