"""Webhooks, tasks and annotations as Label Studio sends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from label_studio_al.labeling.automatic import is_automatic
from label_studio_al.labeling.identity import project_key
from label_studio_al.runtime.errors import InvalidRequest

# The webhook actions that `connect` subscribes to. Label Studio also sends START_TRAINING, to every backend.
ACTIONS = (
    "ANNOTATION_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATIONS_DELETED",
    "TASKS_CREATED",
    "TASKS_DELETED",
    "PROJECT_UPDATED",
)
START_TRAINING = "START_TRAINING"
# What is nested deeper than this is nothing that we read, and could not be written down again.
MAX_DEPTH = 20
# Of a result item we keep what was answered, not the ids and timings around it.
_KEPT = ("from_name", "to_name", "type", "value")


@dataclass(frozen=True)
class Task:
    """A task: `data` is what the project imported."""

    id: int
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Annotation:
    """An answer to one task. `updated_at` is ISO 8601 in UTC, so texts compare like times.

    is_automatic: whether this backend gave it, and no person has changed it since. completed_by: the number of the user
    who gave it; None where Label Studio does not say.
    """

    id: int
    task_id: int
    result: list[Any]
    was_cancelled: bool
    updated_at: str
    is_automatic: bool = False
    completed_by: int | None = None


@dataclass(frozen=True)
class Event:
    """What a webhook told: rows to keep, ids to forget, and whether only a full sync can tell the rest."""

    action: str
    project_key: str
    label_config: str | None
    tasks: tuple[Task, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    deleted_tasks: tuple[int, ...] = ()
    deleted_annotations: tuple[int, ...] = ()
    asks_training: bool = False
    needs_sync: bool = False

    @property
    def is_bare(self) -> bool:
        """Whether it tells nothing but the project's own settings."""
        rows = self.tasks or self.annotations or self.deleted_tasks or self.deleted_annotations
        return not (rows or self.asks_training or self.needs_sync)


def read_event(body: object) -> Event | None:
    """The event in a webhook's body; None for an action that does not concern us.

    Raises InvalidRequest with a sentence that names the field.
    """
    if not isinstance(body, dict):
        raise InvalidRequest(f"a webhook must be a JSON object, not {type(body).__name__}")
    action = body.get("action")
    if not isinstance(action, str):
        raise InvalidRequest("a webhook needs an action")
    if action not in (*ACTIONS, START_TRAINING):
        return None
    project = body.get("project")
    if not isinstance(project, dict):
        raise InvalidRequest(f"a webhook needs project as an object, not {type(project).__name__}")
    config = project.get("label_config")
    tasks: tuple[Task, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    deleted_tasks: tuple[int, ...] = ()
    deleted_annotations: tuple[int, ...] = ()
    needs_sync = False
    if action in ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED"):
        annotations = tuple(map(read_annotation, _items(body, "annotation")))
        tasks = tuple(map(read_task, _items(body, "task"))) if body.get("task") is not None else ()
    elif action == "ANNOTATIONS_DELETED":
        deleted_annotations = _ids(body, "annotations")
    elif action == "TASKS_CREATED":
        tasks = tuple(map(read_task, _items(body, "tasks")))
        # Tasks imported together with their annotations: the event carries the tasks only.
        needs_sync = any(item.get("total_annotations") for item in _items(body, "tasks"))
    elif action == "TASKS_DELETED":
        deleted_tasks = _ids(body, "tasks")
    return Event(
        action=action,
        project_key=project_key(project.get("id"), project.get("created_at")),
        # Half a surrogate pair is valid JSON, but no text that a database takes.
        label_config=config.encode("utf-8", "replace").decode() if isinstance(config, str) else None,
        tasks=tasks,
        annotations=annotations,
        deleted_tasks=deleted_tasks,
        deleted_annotations=deleted_annotations,
        asks_training=action == START_TRAINING,
        needs_sync=needs_sync,
    )


def read_task(item: object) -> Task:
    """A task from its JSON. Raises InvalidRequest."""
    if not isinstance(item, dict):
        raise InvalidRequest(f"a task must be an object, not {type(item).__name__}")
    data = item.get("data")
    if not isinstance(data, dict):
        raise InvalidRequest(f"task.data must be an object, not {type(data).__name__}")
    return Task(_id(item.get("id"), "task.id"), {str(name): _pruned(value, MAX_DEPTH) for name, value in data.items()})


def read_annotation(item: object) -> Annotation:
    """An annotation from its JSON, in a webhook or an export. Raises InvalidRequest."""
    if not isinstance(item, dict):
        raise InvalidRequest(f"an annotation must be an object, not {type(item).__name__}")
    result = item.get("result")
    if result is not None and not isinstance(result, list):
        raise InvalidRequest(f"annotation.result must be a list, not {type(result).__name__}")
    return Annotation(
        id=_id(item.get("id"), "annotation.id"),
        task_id=_id(item.get("task"), "annotation.task"),
        result=[
            {name: _pruned(item.get(name), MAX_DEPTH) for name in _KEPT}
            for item in result or []
            if isinstance(item, dict)
        ],
        was_cancelled=bool(item.get("was_cancelled")),
        updated_at="" if item.get("updated_at") is None else utc_time(item["updated_at"], "annotation.updated_at"),
        is_automatic=is_automatic(item),
        completed_by=_user(item.get("completed_by")),
    )


def _user(value: object) -> int | None:
    """A user's number, which is all that is kept of people; some answers hold an object in its place."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**63 else None


def _pruned(value: Any, depth: int) -> Any:
    """The value without what is nested deeper than `depth`."""
    if isinstance(value, dict):
        return {name: _pruned(one, depth - 1) for name, one in value.items()} if depth else None
    if isinstance(value, list):
        return [_pruned(one, depth - 1) for one in value] if depth else None
    return value


def utc_time(value: object, name: str) -> str:
    """A time of Label Studio's as text that can be compared. Raises InvalidRequest, which says what it is the name of.

    UTC with microseconds, which Label Studio leaves out where they are 0.
    """
    try:
        time = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        utc = time.replace(tzinfo=time.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{name} must be an ISO 8601 time, not {str(value)[:40]!r}") from None
    return utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _items(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """A field that holds one object (single actions) or a list of them (bulk actions)."""
    value = body.get(name)
    items = value if isinstance(value, list) else [value]
    objects = [item for item in items if isinstance(item, dict)]
    if len(objects) < len(items):
        raise InvalidRequest(f"{name} must hold objects, not {_first_type(items)}")
    return objects


def _ids(body: Mapping[str, Any], name: str) -> tuple[int, ...]:
    return tuple(_id(item.get("id"), f"{name}.id") for item in _items(body, name))


def _first_type(items: list[Any]) -> str:
    return next(type(item).__name__ for item in items if not isinstance(item, dict))


def _id(value: object, name: str) -> int:
    # Ids beyond 64 bits exist in no Label Studio and would not fit our tables.
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InvalidRequest(f"{name} must be a whole number, not {str(value)[:40]!r}")
    return value
