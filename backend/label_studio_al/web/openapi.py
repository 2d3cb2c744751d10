"""The routes as OpenAPI, for people who write clients and for tools that test this server."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from label_studio_al import __version__
from label_studio_al.labeling import webhook_schema
from label_studio_al.questions import UNREAD

openapi = Blueprint("openapi", __name__)

_KEY = {"type": "string", "pattern": "^[0-9]{1,18}\\.[0-9]{1,18}$", "examples": ["3.1795343520"]}
_KEY_IN_PATH = {"name": "key", "in": "path", "required": True, "schema": _KEY}
_TEXT = {"type": "string"}
_TASK_IN_PATH = {"name": "task", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
_OBJECT: dict[str, Any] = {"type": "object"}


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


_ERROR = _object(("error",), error=_TEXT)
_VERSION = _object(("model_version",), model_version=_TEXT)
_PREDICTION = _object(
    ("result", "score", "model_version"),
    result=_list(_OBJECT),
    score={"type": "number", "minimum": 0, "maximum": 1},
    model_version=_TEXT,
)
_UNREAD = _object(
    ("reason", "n", "task_id", "url", "sentence"),
    reason={"enum": ["no_text", *UNREAD]},
    n={"type": "integer", "minimum": 1},
    task_id={"type": "integer"},
    url=_nullable(_TEXT),
    sentence=_TEXT,
)
# Beside what docs/status.md tells of.
_STATE = _object(("key", "unread"), key=_KEY, unread=_list(_UNREAD))
_QUESTION_STATE = _object(("name", "labels"), name=_TEXT, labels=_OBJECT)
_NAME_IN_QUERY = {"name": "name", "in": "query", "required": True, "schema": _TEXT}
_JOB = _object(("status",), status=_TEXT, job=_TEXT, reason=_TEXT)
_EVENT = webhook_schema()
SCHEMAS = _EVENT.pop("$defs")


def _route(
    does: str,
    answer: dict[str, Any],
    body: dict[str, Any] | None = None,
    status: str = "200",
    media: str = "application/json",
) -> dict[str, Any]:
    """One operation. Every one may also answer an error: a status of 400 or more and a sentence."""
    errors = {"description": "What went wrong, in a sentence.", "content": {"application/json": {"schema": _ERROR}}}
    found = {"description": "Done.", "content": {media: {"schema": answer}}}
    described: dict[str, Any] = {"summary": does, "responses": {status: found, "4XX": errors, "503": errors}}
    if body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return described


def _page(operation: dict[str, Any]) -> dict[str, Any]:
    """A route that returns a page to browsers, which prefer text/html."""
    operation["responses"]["200"]["content"]["text/html"] = {"schema": _TEXT}
    return operation


def _action(does: str) -> dict[str, Any]:
    """A button of a project's page: needs the page's token and cookie, and redirects back to the page."""
    form = {"type": "object", "properties": {"token": _TEXT}, "required": ["token"]}
    described = _route(does, _OBJECT)
    seen = {"description": "Done: see the page.", "content": {"text/html": {"schema": _TEXT}}}
    errors = {status: answer for status, answer in described["responses"].items() if status != "200"}
    described["responses"] = {"303": seen} | errors
    described["requestBody"] = {
        "required": True,
        "content": {"application/x-www-form-urlencoded": {"schema": form}},
    }
    described["parameters"] = [_KEY_IN_PATH]
    return described


PATHS: dict[str, dict[str, Any]] = {
    "/": {
        "get": _page(
            _route(
                "The status page for browsers; otherwise, whether the server is up.", _object(("status",), status=_TEXT)
            )
        )
    },
    "/projects/{key}": {
        "get": _page(_route("A project's page for browsers; otherwise, its state.", _STATE))
        | {"parameters": [_KEY_IN_PATH]}
    },
    "/projects/{key}/questions": {
        "get": _page(_route("The same of one of several questions.", _QUESTION_STATE))
        | {"parameters": [_KEY_IN_PATH, _NAME_IN_QUERY]}
    },
    "/projects/{key}/thumbnails/{task}": {
        "get": _route("A small picture of a task's image, if one is kept.", {}, media="image/jpeg")
        | {"parameters": [_KEY_IN_PATH, _TASK_IN_PATH]}
    },
    "/projects/{key}/retrain": {"post": _action("Publish a new version whatever the growth.")},
    "/projects/{key}/pause": {"post": _action("Pause the project: no turns until somebody resumes it.")},
    "/projects/{key}/resume": {"post": _action("Resume the project's turns.")},
    "/projects/{key}/settings": {
        "post": _action("Change the project's settings; the names are those of the extra params.")
    },
    "/health": {"get": _route("Whether the server is up; needs no credentials.", _object(("status",), status=_TEXT))},
    "/status": {"get": _route("The state of every project.", _object(("projects",), projects=_list(_STATE)))},
    "/metrics": {
        "get": _route("Counts and the state of every project, for Prometheus.", _TEXT, media="text/plain"),
    },
    "/openapi.json": {"get": _route("This description.", _OBJECT)},
    "/setup": {
        "post": _route(
            "Register a project; returns its current version.",
            _VERSION,
            _object(("project", "schema"), project=_KEY, schema=_TEXT, extra_params=_nullable(_OBJECT)),
        )
    },
    "/predict": {
        "post": _route(
            "Predict labels and scores: one entry per task, in order.",
            _object(("results",), results=_list(_PREDICTION)),
            _object(("project", "tasks"), project=_KEY, tasks=_list(_OBJECT), label_config=_nullable(_TEXT)),
        )
    },
    "/webhook": {
        "post": _route("Receive an event from Label Studio.", _JOB, _EVENT, status="2XX"),
    },
    "/train": {"post": _route("Request a training.", _JOB, _object(("project",), project=_KEY), status="201")},
    "/job_status": {
        "post": _route(
            "The state of a requested training.",
            _object(("job_status",), job_status={"enum": ["queued", "started", "finished", "failed"]}),
            _object(("job",), job=_TEXT),
        )
    },
    "/versions": {
        "get": _route("The available versions.", _object(("versions",), versions=_list(_TEXT)))
        | {"parameters": [{"name": "project", "in": "query", "schema": _KEY}]}
    },
    "/validate": {
        "post": _route(
            "Whether a label config is supported.",
            _object(("status", "labels"), status=_TEXT, control=_TEXT, labels=_list(_TEXT)),
            _object(("config",), config=_TEXT),
        )
    },
    "/delete": {
        "post": _route("Report that a connection was removed.", _JOB, _object(("project",), project=_KEY)),
    },
    "/duplicate_model": {
        "post": _route(
            "Report that a project was copied.",
            _JOB,
            _object(("project_src", "project_dst"), project_src=_KEY, project_dst=_KEY),
        )
    },
}


@openapi.get("/openapi.json")
def describe() -> ResponseReturnValue:
    """What this server answers."""
    return jsonify(
        openapi="3.1.0",
        info={"title": "label-studio-active-learning", "version": __version__},
        servers=[{"url": request.root_url.rstrip("/")}],
        components={"securitySchemes": {"basic": {"type": "http", "scheme": "basic"}}, "schemas": SCHEMAS},
        paths=PATHS,
    )
