"""Webhooks, tasks and annotations as the loop keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from label_studio_al.labeling.automatic import is_automatic
from label_studio_al.labeling.details import item_details
from label_studio_al.labeling.identity import project_key
from label_studio_al.labeling.payloads import (
    ACTIONS,
    MAX_DEPTH,
    START_TRAINING,
    AnnotationPayload,
    AnnotationsDeleted,
    AnnotationsSaved,
    Named,
    TaskPayload,
    TasksCreated,
    TasksDeleted,
    pruned,
    read_payload,
    read_webhook,
)
from label_studio_al.runtime.errors import InvalidRequest

# Of a result item, what was answered: equal answers are equal. What stands around it is kept beside it, as details.
_KEPT = ("from_name", "to_name", "type", "value")


@dataclass(frozen=True)
class Task:
    """A task: `data` is what the project imported."""

    id: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Annotation:
    """An answer to one task. `updated_at` is ISO 8601 in UTC, so texts compare like times.

    is_automatic: whether this backend set it, and no person has changed it since. completed_by: the number of the user
    who made it. lead_time: how many seconds that took. item_details: see `details.py`. Each is None if Label Studio
    does not say, and where it was not read.
    """

    id: int
    task_id: int
    result: list[Any]
    was_cancelled: bool
    updated_at: str
    is_automatic: bool = False
    completed_by: int | None = None
    lead_time: float | None = None
    ground_truth: bool = False
    item_details: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Event:
    """The content of a webhook: rows to keep, ids to delete, and whether the rest needs a full sync."""

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
    told = read_webhook(body)
    config = told.project.label_config
    event = Event(
        action=action,
        project_key=project_key(told.project.id, told.project.created_at),
        # Half a surrogate pair is valid JSON, but no text that a database takes.
        label_config=config.encode("utf-8", "replace").decode() if isinstance(config, str) else None,
        asks_training=action == START_TRAINING,
    )
    if isinstance(told, AnnotationsSaved):
        return replace(event, annotations=tuple(map(_annotation, told.annotation)), tasks=_tasks(told.task))
    if isinstance(told, AnnotationsDeleted):
        return replace(event, deleted_annotations=_ids(told.annotations))
    if isinstance(told, TasksCreated):
        # Tasks imported together with their annotations: the event carries the tasks only.
        return replace(event, tasks=_tasks(told.tasks), needs_sync=any(one.total_annotations for one in told.tasks))
    if isinstance(told, TasksDeleted):
        return replace(event, deleted_tasks=_ids(told.tasks))
    return event


def read_task(item: object) -> Task:
    """A task from its JSON. Raises InvalidRequest."""
    return _task(read_payload(TaskPayload, item, "task"))


def read_annotation(item: object) -> Annotation:
    """An annotation from its JSON, in an export or an answer. Raises InvalidRequest."""
    return _annotation(read_payload(AnnotationPayload, item, "annotation"))


def _task(told: TaskPayload) -> Task:
    return Task(told.id, told.data)


def _tasks(told: Iterable[TaskPayload]) -> tuple[Task, ...]:
    return tuple(map(_task, told))


def _annotation(told: AnnotationPayload) -> Annotation:
    result = told.result or []
    items = [item for item in result if isinstance(item, dict)]
    return Annotation(
        id=told.id,
        task_id=told.task,
        result=[{name: pruned(item.get(name), MAX_DEPTH) for name in _KEPT} for item in items],
        was_cancelled=bool(told.was_cancelled),
        updated_at=told.updated_at,
        is_automatic=is_automatic(result, told.updated_by, None if told.was_cancelled else told.parent_prediction),
        completed_by=_user(told.completed_by),
        lead_time=told.lead_time,
        ground_truth=told.ground_truth,
        item_details=item_details(items),
    )


def _user(value: object) -> int | None:
    """A user's number, which is all that is kept of people; some answers hold an object in its place."""
    found = value.get("id") if isinstance(value, dict) else value
    return found if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 2**63 else None


def _ids(told: Iterable[Named]) -> tuple[int, ...]:
    return tuple(one.id for one in told)
