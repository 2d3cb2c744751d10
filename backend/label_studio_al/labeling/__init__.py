"""Tags, tasks, annotations and predictions as Label Studio writes them."""

from label_studio_al.labeling.automatic import (
    MARK,
    RUN_PREFIX,
    automatic_prediction,
    batch_version,
    is_automatic,
    run_of,
)
from label_studio_al.labeling.events import (
    Annotation,
    Event,
    Task,
    read_annotation,
    read_event,
    read_task,
)
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
    "Annotation",
    "Event",
    "ListedTaskPayload",
    "Task",
    "automatic_prediction",
    "batch_version",
    "is_automatic",
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
