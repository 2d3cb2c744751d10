"""What Label Studio sends, as pydantic models; /openapi.json is generated from them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from label_studio_al.runtime.errors import InvalidRequest

START_TRAINING = "START_TRAINING"
# What is nested deeper than this is nothing that we read, and could not be written down again.
MAX_DEPTH = 20
# Thirty years. Label Studio takes any number (measured on 1.23.2).
MAX_LEAD_SECONDS = 1e9
# Of a value that is refused, so much is repeated.
_SHOWN_CHARACTERS = 40

T = TypeVar("T")


def utc_text(time: datetime) -> str:
    """A time as text that can be compared: UTC with microseconds, which Label Studio leaves out where they are 0.

    Raises OverflowError for times that UTC does not have.
    """
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moment(value: object) -> str:
    try:
        time = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        return utc_text(time.replace(tzinfo=time.tzinfo or timezone.utc))
    except (ValueError, OverflowError):
        raise ValueError(f"must be an ISO 8601 time, not {_shown(value)}") from None


def pruned(value: Any, depth: int = MAX_DEPTH) -> Any:
    """The value without what is nested deeper than `depth`."""
    if isinstance(value, dict):
        return {name: pruned(one, depth - 1) for name, one in value.items()} if depth else None
    if isinstance(value, list):
        return [pruned(one, depth - 1) for one in value] if depth else None
    return value


def _prune_fields(data: object) -> object:
    return {name: pruned(value) for name, value in data.items()} if isinstance(data, dict) else data


def _lead_time(value: object) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value <= MAX_LEAD_SECONDS else None


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _listed_if_any(value: object) -> object:
    return [] if value is None else _listed(value)


# Ids beyond 64 bits exist in no Label Studio and would not fit our tables.
Id = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Moment = Annotated[str, BeforeValidator(_moment)]
# One object (single actions) or a list of them (bulk actions). A body may hold millions: the first wrong one is said.
Several = Annotated[list[T], FailFast(), BeforeValidator(_listed)]


class Payload(BaseModel):
    """An object from Label Studio. Fields that we do not read may be anything."""

    model_config = ConfigDict(frozen=True)


class Named(Payload):
    """Something of which only the id is told."""

    id: Id


class TaskPayload(Named):
    """A task. total_annotations: how many it came with."""

    data: Annotated[dict[str, Any], BeforeValidator(_prune_fields)]
    total_annotations: Any = None


class ListedTaskPayload(TaskPayload):
    """A task as Label Studio's API lists it."""

    updated_at: Moment


class AnnotationPayload(Named):
    """An annotation, in a webhook or an export. completed_by: a user's number, or an object that holds it.

    lead_time: in seconds. One that makes no sense is read as none, and so is a ground_truth that is no boolean.
    """

    task: Id
    result: list[Any] | None = None
    was_cancelled: Any = None
    updated_at: Annotated[str, BeforeValidator(lambda value: "" if value is None else _moment(value))] = ""
    updated_by: Any = None
    parent_prediction: Any = None
    completed_by: Any = None
    lead_time: Annotated[float | None, BeforeValidator(_lead_time)] = None
    ground_truth: Annotated[bool, BeforeValidator(lambda value: value is True)] = False


class ProjectPayload(Payload):
    """A project. id, created_at: together its identity (see `project_key`)."""

    id: Any = Field(None, json_schema_extra={"type": "integer", "minimum": 0})
    created_at: Any = Field(None, json_schema_extra={"type": "string"})
    label_config: Any = Field(None, json_schema_extra={"type": "string"})


class _Webhook(Payload):
    project: ProjectPayload


class AnnotationsSaved(_Webhook):
    """Annotations were made or changed. task: that of a single one comes along."""

    action: Literal["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED"]
    annotation: Several[AnnotationPayload]
    task: Annotated[list[TaskPayload], FailFast(), BeforeValidator(_listed_if_any)] = Field(default_factory=list)


class AnnotationsDeleted(_Webhook):
    """Annotations were deleted."""

    action: Literal["ANNOTATIONS_DELETED"]
    annotations: Several[Named]


class TasksCreated(_Webhook):
    """Tasks were made. Annotations that were imported with them are only counted."""

    action: Literal["TASKS_CREATED"]
    tasks: Several[TaskPayload]


class TasksDeleted(_Webhook):
    """Tasks were deleted."""

    action: Literal["TASKS_DELETED"]
    tasks: Several[Named]


class ProjectTold(_Webhook):
    """The project was changed, or somebody asks for a training, which Label Studio tells every backend."""

    action: Literal["PROJECT_UPDATED", "START_TRAINING"]


Webhook = AnnotationsSaved | AnnotationsDeleted | TasksCreated | TasksDeleted | ProjectTold
_WEBHOOK: TypeAdapter[Webhook] = TypeAdapter(Annotated[Webhook, Field(discriminator="action")])
# The webhook actions that `connect` subscribes to. Label Studio also sends START_TRAINING, to every backend.
ACTIONS: tuple[str, ...] = tuple(
    action
    for kind in get_args(Webhook)
    for action in get_args(kind.model_fields["action"].annotation)
    if action != START_TRAINING
)


AnyPayload = TypeVar("AnyPayload", bound=Payload)


def read_webhook(body: Mapping[str, Any]) -> Webhook:
    """A webhook of one of these actions. Raises InvalidRequest with a sentence that names the field."""
    try:
        return _WEBHOOK.validate_python(body)
    except ValidationError as exc:
        error = exc.errors(include_url=False)[0]
        # First comes the action, by which the kind was chosen.
        raise InvalidRequest(_sentence(error, "a webhook", error["loc"][1:])) from None


def read_payload(kind: type[AnyPayload], item: object, name: str) -> AnyPayload:
    """A payload of this kind. name: what it is called in a sentence. Raises InvalidRequest."""
    try:
        return kind.model_validate(item)
    except ValidationError as exc:
        error = exc.errors(include_url=False)[0]
        raise InvalidRequest(_sentence(error, name, (name, *error["loc"]))) from None


def webhook_schema() -> dict[str, Any]:
    """What /webhook takes, as JSON schema."""
    schema = _WEBHOOK.json_schema(ref_template="#/components/schemas/{model}")
    for kind in schema["$defs"].values():
        for name, field in kind["properties"].items():
            if "$ref" in field.get("items", {}):
                # See `Several`.
                kind["properties"][name] = {"anyOf": [field["items"], field]}
    return schema


def _sentence(error: ErrorDetails, whole: str, place: tuple[int | str, ...]) -> str:
    """What the field must be, and what came."""
    kind, came = error["type"], error["input"]
    names = [str(one) for one in place if isinstance(one, str)]
    field = ".".join(names) or whole
    if kind == "missing":
        return f"{field} is missing"
    if kind == "value_error":
        return f"{field} {error['ctx']['error']}"
    if kind in ("model_type", "dict_type"):
        if place and isinstance(place[-1], int):
            return f"{field} must hold objects, not {type(came).__name__}"
        return f"{field} must be an object, not {type(came).__name__}"
    if kind == "list_type":
        return f"{field} must be a list, not {type(came).__name__}"
    return f"{field} must be a whole number, not {_shown(came)}"


def _shown(value: object) -> str:
    return repr(str(value)[:_SHOWN_CHARACTERS])
