"""Versions of a project with one question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from label_studio_al.learning.coding import Learned
from label_studio_al.learning.features import Features
from label_studio_al.learning.learner import Tuning
from label_studio_al.learning.model import Model, Trained
from label_studio_al.store import NewVersion, Version, VersionQuestion

CONTROL = "topic"
TopK = Mapping[int, Sequence[tuple[str, float]]]


def new_version(
    number: int,
    created_at: float,
    revision: int,
    ranked_by: str,
    labels: Sequence[str],
    trained_on: Mapping[int, str],
    features_id: int | None,
    artifact: bytes | None,
    window: Sequence[tuple[int, float]],
    *,
    top_k: TopK | None = None,
    label_counts: Mapping[str, int] | None = None,
    **others: Any,
) -> NewVersion:
    return NewVersion(
        number=number,
        created_at=created_at,
        revision=revision,
        ranked_by=ranked_by,
        questions={CONTROL: VersionQuestion("", tuple(labels), dict(trained_on))},
        features_id=features_id,
        artifact=artifact,
        window=window,
        top_k={task_id: {CONTROL: best} for task_id, best in (top_k or {}).items()},
        label_counts={CONTROL: dict(label_counts or dict.fromkeys(labels, 0))},
        **others,
    )


def asked(version: Version) -> VersionQuestion:
    """What a version knows of its only question."""
    (found,) = version.questions.values()
    return found


def one_model(features: Features, classifier: Learned, ranked_by: str, tuning: Tuning) -> Model:
    """The model of the only question."""
    return Model(features, {CONTROL: Trained(classifier, tuning)}, ranked_by, [CONTROL])


def stored(classifier: Learned, ranked_by: str, tuning: Tuning) -> dict[str, Any]:
    """What a version's artifact holds of it."""
    return {"trained": {CONTROL: Trained(classifier, tuning)}, "ranked_by": ranked_by, "steering": [CONTROL]}


def classifier_of(model: Model) -> Any:
    """Of the only question."""
    (found,) = model.trained.values()
    return found.classifier
