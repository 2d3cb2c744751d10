"""Label configs, tasks, annotations and predictions: the only place that knows Label Studio's JSON."""

from label_studio_al.labeling.automatic import (
    MARK,
    RUN_PREFIX,
    automatic_prediction,
    batch_version,
    is_automatic,
    run_of,
)
from label_studio_al.labeling.config import UNREAD, LabelConfig, parse_config
from label_studio_al.labeling.events import (
    Annotation,
    Event,
    Task,
    read_annotation,
    read_event,
    read_task,
)
from label_studio_al.labeling.examples import examples, ignored
from label_studio_al.labeling.identity import (
    project_id_of,
    project_key,
    read_project_key,
    version_name,
    version_number,
)
from label_studio_al.labeling.payloads import (
    ACTIONS,
    ListedTaskPayload,
    read_payload,
    utc_text,
    webhook_schema,
)
from label_studio_al.labeling.predictions import NO_ANSWER_SCORE, prediction, score

__all__ = [
    "ACTIONS",
    "MARK",
    "NO_ANSWER_SCORE",
    "RUN_PREFIX",
    "UNREAD",
    "Annotation",
    "Event",
    "LabelConfig",
    "ListedTaskPayload",
    "Task",
    "automatic_prediction",
    "batch_version",
    "examples",
    "ignored",
    "is_automatic",
    "parse_config",
    "prediction",
    "project_id_of",
    "project_key",
    "read_annotation",
    "read_event",
    "read_payload",
    "read_project_key",
    "read_task",
    "run_of",
    "score",
    "utc_text",
    "version_name",
    "version_number",
    "webhook_schema",
]
