"""Sentences for people, made from the data of the other packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from label_studio_al.learners.encoders import NONE
from label_studio_al.learners.registry import find_learner
from label_studio_al.learning.images import WithImages
from label_studio_al.questions import NO_OFFERS, Control, parse_config, read_controls
from label_studio_al.runtime.errors import UnsupportedConfig
from label_studio_al.store.activity import (
    CHECKING,
    COMPARING,
    EMBEDDING,
    FITTING,
    PRUNING,
    PUSHING,
    PUSHING_REST,
    RANKING,
    READING,
    STARTING,
    SWITCHING,
    TRAINING,
    WAITING_FOR_A_CHANGE,
    WAITING_FOR_A_SECOND_LABEL,
    WAITING_FOR_FIRST_LABELS,
    WAITING_FOR_LABELS,
    WAITING_FOR_OTHER_LABELS,
    WAITING_FOR_TASKS,
    WAITING_FOR_THE_NEXT_TRY,
    WRITING_SETTINGS,
    Activity,
)

_ACTIVITIES: Mapping[str, str | Callable[[Mapping[str, Any]], str]] = {
    STARTING: "waiting for the first turn",
    READING: "reading the tasks of Label Studio",
    CHECKING: "asking Label Studio what was changed or deleted",
    COMPARING: "comparing with Label Studio",
    WRITING_SETTINGS: "writing the settings into Label Studio",
    FITTING: "turning texts into features",
    EMBEDDING: "turning the first images into embeddings",
    TRAINING: lambda of: f"training on {of['n']} labels",
    RANKING: "ranking",
    PUSHING: lambda of: f"pushing the first of {of['n']} predictions",
    SWITCHING: lambda of: f"switching to {of['version']}",
    PUSHING_REST: lambda of: f"pushing {of['n']} predictions",
    PRUNING: lambda of: f"deleting the predictions of {of['n']} older versions",
    WAITING_FOR_LABELS: lambda of: f"waiting for {_more_labels(of['n'])}",
    WAITING_FOR_FIRST_LABELS: lambda of: f"waiting for {_more_labels(of['n'])} to train the first model",
    WAITING_FOR_A_SECOND_LABEL: lambda of: (
        f"waiting for a second label: all {of['n']} labelled tasks are {of['label']!r}"
    ),
    WAITING_FOR_OTHER_LABELS: lambda of: f"waiting for labels: the model needs {of['missing']}",
    WAITING_FOR_TASKS: "waiting for tasks, which say what is offered",
    WAITING_FOR_A_CHANGE: "waiting for a change",
    WAITING_FOR_THE_NEXT_TRY: "waiting for the next try",
}


def activity_sentence(activity: Activity) -> str:
    """What a project does or waits for, e.g. "training on 20 labels"."""
    found = _ACTIVITIES[activity.state]
    return found if isinstance(found, str) else found(activity.of)


def controls_of(label_config: str, offers: str = NO_OFFERS) -> Sequence[Control]:
    """What becomes of each control of a label config; of none where it is no label config.

    offers: what the project's tasks offer (see questions.offers).
    """
    try:
        return read_controls(label_config, offers)
    except UnsupportedConfig:
        return ()


def fields_of(label_config: str, offers: str = NO_OFFERS) -> list[str]:
    """The fields of a task that are read; none where nothing is learned. offers: as of `controls_of`."""
    try:
        return list(parse_config(label_config, offers).content.fields)
    except UnsupportedConfig:
        return []


def config_lines(label_config: str, image_encoder: str, offers: str = NO_OFFERS) -> list[str]:
    """What becomes of each control, what is read of a task, and what becomes of images.

    image_encoder: of AL_IMAGE_ENCODER. offers: as of `controls_of`.
    """
    lines = [control_sentence(control) for control in controls_of(label_config, offers)]
    fields, images = fields_of(label_config, offers), images_sentence(label_config, image_encoder, offers)
    lines += [f"reads: {', '.join(fields)}"] if fields else []
    return [*lines, f"images: {images}"] if images else lines


def images_sentence(label_config: str, image_encoder: str, offers: str = NO_OFFERS) -> str | None:
    """What becomes of the images that tasks show; None where nothing of them is asked. As of `config_lines`."""
    try:
        layout = parse_config(label_config, offers).content.layout
    except UnsupportedConfig:
        return None
    if not isinstance(layout, WithImages):
        return None
    if image_encoder != NONE:
        return f"seen by {image_encoder}"
    what = "left out" if layout.has_texts else "nothing is learned"
    return f"{what}, because AL_IMAGE_ENCODER names no encoder of images"


def control_sentence(control: Control) -> str:
    """What becomes of a control, e.g. "topic: one of 3 labels, learned (linear)"."""
    if control.question is None:
        return f"{control.name}: left to people, because {control.reason}"
    return f"{control.name}: {control.question.summary}, learned ({find_learner(control.question.coding).name})"


def control_facts(control: Control) -> dict[str, Any]:
    """The same as JSON."""
    question = control.question
    return {
        "name": control.name,
        "tag": control.tag,
        "learned": question is not None,
        "asks": None if question is None else question.summary,
        "labels": [] if question is None else list(question.labels),
        "learner": None if question is None else find_learner(question.coding).name,
        "reason": control.reason or None,
        "sentence": control_sentence(control),
    }


def _more_labels(n: int) -> str:
    return f"{n} more label{'s' if n != 1 else ''}"
