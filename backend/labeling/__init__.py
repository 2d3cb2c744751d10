"""Label configs, tasks, annotations and predictions: the only place that knows Label Studio's JSON."""

from backend.labeling.config import LabelConfig, parse_config
from backend.labeling.events import (
    ACTIONS,
    Annotation,
    Event,
    Task,
    read_annotation,
    read_event,
    read_task,
)
from backend.labeling.examples import examples
from backend.labeling.identity import (
    project_id_of,
    project_key,
    read_project_key,
    version_name,
    version_number,
)
from backend.labeling.predictions import NO_ANSWER_SCORE, prediction, score

__all__ = [
    "ACTIONS",
    "NO_ANSWER_SCORE",
    "Annotation",
    "Event",
    "LabelConfig",
    "Task",
    "examples",
    "parse_config",
    "prediction",
    "project_id_of",
    "project_key",
    "read_annotation",
    "read_event",
    "read_project_key",
    "read_task",
    "score",
    "version_name",
    "version_number",
]
