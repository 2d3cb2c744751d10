"""A simulated Label Studio over HTTP, for pools that the real one takes an hour to import.

    python -m benchmarks.big_label_studio --port 8080 --texts FOLDER [--real-delays]

Answers what `studio/client.py` asks for, as release 1.23.2 does (tests/support/fake_label_studio.py says more),
and what an annotator's page asks for. It calls the backend back as the real one does: /health and /setup when a
connection is saved, webhooks inside the Submit, with a limit of 1 s and no retry. A million tasks cost no memory: their
texts stay in a file (benchmarks/scale/texts.py), pages are put together on the fly. Calls under /bench are the
benchmark's own: they make projects, import labels and give out the log of what happened.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from benchmarks.scale.calls import CallFailedError, Connection
from benchmarks.scale.texts import TextFile
from label_studio_al.cli.local import free_port

TOKEN = "0123456789abcdef0123456789abcdef01234567"
PAYLOADS = Path(__file__).parent.parent / "tests" / "payloads"
WEBHOOK_SECONDS = 1.0
BULK_WEBHOOK = 5_000
NO_PAGE = (404, {"detail": "Not found."})
# Measured on a real one at 10,000 tasks: a prediction of an import, and any change of a connection or a project.
PREDICTION_SECONDS, ONE_PREDICTION_SECONDS, CHANGE_SECONDS = 0.0014, 0.07, 0.1

Answer = tuple[int, Any]


# -- state --------------------------------------------------------------------------------------------------------


@dataclass
class Project:
    """A project's state; its tasks are the rows `first` to before `first + n_tasks` of the file, with row + 1 as id."""

    id: int
    title: str
    created_at: float
    first: int
    n_tasks: int
    label_config: str
    model_version: str | None = ""
    sampling: str = "Sequential sampling"
    show_collab_predictions: bool = False
    annotations: dict[int, dict[str, Any]] = field(default_factory=dict)
    by_task: dict[int, list[int]] = field(default_factory=dict)
    predictions: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    n_predictions: Counter[str] = field(default_factory=Counter)
    locks: dict[int, str] = field(default_factory=dict)
    log: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __post_init__(self) -> None:
        self.updated_at = np.full(self.n_tasks, self.created_at)

    @property
    def key(self) -> str:
        """What Label Studio sends to /setup."""
        return f"{self.id}.{int(self.created_at)}"

    @property
    def ids(self) -> np.ndarray:
        """The ids of all tasks."""
        return np.arange(self.first + 1, self.first + self.n_tasks + 1)

    def has(self, task_id: int) -> bool:
        """Whether a task belongs to it."""
        return self.first < task_id <= self.first + self.n_tasks

    def open_scores(self) -> dict[int, float]:
        """Score of each task of the current version that nobody has annotated."""
        found = self.predictions.get(self.model_version or "", {})
        return {task_id: item["score"] for task_id, item in found.items() if task_id not in self.by_task}


class BigLabelStudio:
    """Projects, connections and webhooks, and the answers to the API's calls."""

    def __init__(self, texts: TextFile, url: str, *, has_delays: bool) -> None:
        self.texts = texts
        self.url = url
        self.has_delays = has_delays
        self.projects: dict[int, Project] = {}
        self.connections: dict[int, dict[str, Any]] = {}
        self.webhooks: dict[int, dict[str, Any]] = {}
        self.tabs: dict[int, dict[str, Any]] = {}
        self.unknown: Counter[str] = Counter()
        self._last_id = 0
        self._lock = threading.Lock()
        self._template = json.loads((PAYLOADS / "annotation_created.json").read_text(encoding="utf-8"))

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        """Status and JSON (or bytes) of an answer."""
        for wanted, pattern, act in _ROUTES:
            match = re.fullmatch(pattern, path) if wanted == method else None
            if match:
                return act(self, body, query, *map(int, match.groups()))
        self.unknown[f"{method} {path}"] += 1
        return NO_PAGE

    # -- projects and tasks -----------------------------------------------------------------------------------

    def _get_version(self, _body: Any, _query: Mapping[str, str]) -> Answer:
        return 200, {"release": "1.23.2", "edition": "Community"}

    def _list_projects(self, _body: Any, _query: Mapping[str, str]) -> Answer:
        found = [self._project_json(project) for project in self.projects.values()]
        return 200, {"count": len(found), "next": None, "previous": None, "results": found}

    def _get_project(self, _body: Any, _query: Mapping[str, str], project_id: int) -> Answer:
        project = self.projects.get(project_id)
        return NO_PAGE if project is None else (200, self._project_json(project))

    def _patch_project(self, body: Any, _query: Mapping[str, str], project_id: int) -> Answer:
        project = self.projects[project_id]
        self._wait(CHANGE_SECONDS)
        version = body.get("model_version")
        with project.lock:
            if version and version not in project.predictions and version not in self._titles(project_id):
                return 400, {"detail": "Validation error", "validation_errors": {"model_version": ["no such version"]}}
            for name in ("model_version", "sampling", "show_collab_predictions", "label_config", "title"):
                if name in body:
                    setattr(project, name, body[name])
            if version:
                project.log.append({"what": "switch", "at": time.time(), "version": version})
        self._send(project, "PROJECT_UPDATED", {})
        return 200, self._project_json(project)

    def _list_tasks(self, _body: Any, query: Mapping[str, str]) -> Answer:
        project = self.projects.get(int(query["project"]))
        if project is None:
            return NO_PAGE
        wanted = json.loads(query["query"]) if "query" in query else {}
        rows = _filtered(project, wanted)
        page, size = int(query.get("page", "1")), int(query.get("page_size", "30"))
        shown = rows[(page - 1) * size : page * size]
        if page > 1 and not len(shown):
            return 404, {"detail": "Invalid page."}
        names = query.get("include", "id,data,updated_at,annotations").split(",")
        total = f'{{"total_annotations":{len(project.annotations)},"total_predictions":0,"total":{len(rows)},"tasks":['
        return 200, total.encode() + b",".join(self._task_parts(project, shown, names)) + b"]}"

    def _task_parts(self, project: Project, rows: np.ndarray, names: Sequence[str]) -> Iterator[bytes]:
        """Each task's JSON with the fields that were asked for."""
        for row, line in zip(rows.tolist(), self._lines(project, rows), strict=True):
            task_id = project.first + row + 1
            parts = [b'"id":%d' % task_id]
            if "data" in names:
                parts.append(b'"data":{"text":%b}' % line)
            if "updated_at" in names:
                parts.append(b'"updated_at":"%b"' % moment_text(project.updated_at[row]).encode())
            if "total_annotations" in names:
                parts.append(b'"total_annotations":%d' % len(project.by_task.get(task_id, ())))
            if "cancelled_annotations" in names:
                parts.append(b'"cancelled_annotations":0')
            if "annotations" in names:
                parts.append(b'"annotations":%b' % json.dumps(self._annotations_of(project, task_id)).encode())
            yield b"{" + b",".join(parts) + b"}"

    def _lines(self, project: Project, rows: np.ndarray) -> list[bytes]:
        """The texts of some rows as JSON; neighbours are read at once."""
        if not len(rows):
            return []
        first, last = project.first + int(rows[0]), project.first + int(rows[-1]) + 1
        if last - first == len(rows):
            return self.texts.json_lines(first, last)
        return [self.texts.json_lines(project.first + row, project.first + row + 1)[0] for row in rows.tolist()]

    def _export(self, _body: Any, query: Mapping[str, str], project_id: int) -> Answer:
        project = self.projects[project_id]
        wanted = {int(one) for one in query["ids[]"].split(",")} if "ids[]" in query else None
        with project.lock:
            listed = [
                {"id": task_id, "annotations": self._annotations_of(project, task_id), "project": project_id}
                for task_id in project.by_task
                if wanted is None or task_id in wanted
            ]
        return 200, listed

    # -- predictions ------------------------------------------------------------------------------------------

    def _import_predictions(self, body: Any, _query: Mapping[str, str], project_id: int) -> Answer:
        project, began = self.projects[project_id], time.time()
        strange = [item["task"] for item in body if not project.has(item["task"])]
        if strange:
            return 400, {"detail": "Validation error", "validation_errors": {"non_field_errors": [str(strange[:5])]}}
        self._wait(CHANGE_SECONDS + PREDICTION_SECONDS * len(body))
        self._keep_predictions(project, body, began)
        return 201, {"created": len(body)}

    def _create_prediction(self, body: Any, _query: Mapping[str, str]) -> Answer:
        project, began = self.projects.get(int(body["project"])), time.time()
        if project is None or not project.has(body["task"]):
            sentence = f'Invalid pk "{body["task"]}" - object does not exist.'
            return 400, {"detail": "Validation error", "validation_errors": {"task": [sentence]}}
        self._wait(ONE_PREDICTION_SECONDS)
        self._keep_predictions(project, [body], began)
        project.updated_at[body["task"] - 1 - project.first] = time.time()
        return 201, body

    def _list_predictions(self, _body: Any, query: Mapping[str, str]) -> Answer:
        task_id = int(query["task"])
        theirs = [by_task for project in list(self.projects.values()) for by_task in project.predictions.values()]
        return 200, [by_task[task_id] for by_task in theirs if task_id in by_task]

    def _keep_predictions(self, project: Project, body: Sequence[dict[str, Any]], began: float) -> None:
        with project.lock:
            for item in body:
                project.predictions.setdefault(item["model_version"], {})[item["task"]] = item
                project.n_predictions[item["model_version"]] += 1
            names = sorted({item["model_version"] for item in body})
            entry = {
                "what": "push",
                "tasks": [item["task"] for item in body],
                "at": began,
                "ended_at": time.time(),
                "version": names[0],
            }
            project.log.append(entry)

    def _list_versions(self, _body: Any, _query: Mapping[str, str], project_id: int) -> Answer:
        project = self.projects[project_id]
        with project.lock:
            return 200, dict(project.n_predictions)

    def _delete_version(self, body: Any, _query: Mapping[str, str], project_id: int) -> Answer:
        project, name = self.projects[project_id], body["model_version"]
        with project.lock:
            if project.model_version == name or project.model_version in self._titles(project_id):
                project.model_version = None
            project.predictions.pop(name, None)
            return 200, {"deleted_predictions": project.n_predictions.pop(name, 0)}

    # -- connections and webhooks -----------------------------------------------------------------------------

    def _list_connections(self, _body: Any, query: Mapping[str, str]) -> Answer:
        project_id = int(query["project"])
        return 200, [one for one in self.connections.values() if one["project"] == project_id]

    def _create_connection(self, body: Any, _query: Mapping[str, str]) -> Answer:
        connection = self._connection_json(self._new_id(), body)
        project = self.projects[connection["project"]]
        self._set_up(project, connection["url"], None)
        self.connections[connection["id"]] = connection
        project.model_version = connection["title"]
        self._set_up(project, connection["url"], connection["extra_params"])
        return 201, connection

    def _patch_connection(self, body: Any, _query: Mapping[str, str], connection_id: int) -> Answer:
        if connection_id not in self.connections:
            return NO_PAGE
        if "url" not in body:
            return 500, {"detail": "MLBackend.healthcheck_() missing 1 required positional argument: 'url'"}
        connection = self.connections[connection_id]
        project, old_title = self.projects[connection["project"]], connection["title"]
        self._wait(CHANGE_SECONDS)
        self._set_up(project, body["url"], None)
        with project.lock:
            connection.update({name: body[name] for name in body if name in connection})
            if "title" in body and project.model_version == old_title:
                project.model_version = body["title"]
                project.log.append({"what": "switch", "at": time.time(), "version": body["title"]})
        self._set_up(project, connection["url"], connection["extra_params"])
        return 200, connection

    def _set_up(self, project: Project, url: str, extra_params: Any) -> None:
        """What the real one asks a backend while it saves its connection."""
        body = {
            "project": project.key,
            "schema": project.label_config,
            "hostname": self.url,
            "access_token": TOKEN,
            "extra_params": extra_params,
        }
        backend = Connection(url, timeout=3)
        try:
            backend.send("GET", "/health")
            backend.send("POST", "/setup", json.dumps(body).encode())
        except CallFailedError as exc:
            print(f"the backend does not answer: {exc}", file=sys.stderr)
        finally:
            backend.close()

    def _list_webhooks(self, _body: Any, query: Mapping[str, str]) -> Answer:
        wanted = query.get("project")
        return 200, [hook for hook in self.webhooks.values() if wanted in (None, str(hook["project"]))]

    def _create_webhook(self, body: Any, _query: Mapping[str, str]) -> Answer:
        if "NOTHING" in body["actions"]:
            return 400, {"validation_errors": {"actions": ['"NOTHING" is not a valid choice.']}}
        now = moment_text(time.time())
        hook = {"id": self._new_id(), "organization": 1, "created_at": now, "updated_at": now, **body}
        self.webhooks[hook["id"]] = hook
        return 201, hook

    def _patch_webhook(self, body: Any, _query: Mapping[str, str], webhook_id: int) -> Answer:
        self.webhooks[webhook_id] |= body
        return 200, self.webhooks[webhook_id]

    def _delete_webhook(self, _body: Any, _query: Mapping[str, str], webhook_id: int) -> Answer:
        self.webhooks.pop(webhook_id, None)
        return 204, None

    def _list_tabs(self, _body: Any, query: Mapping[str, str]) -> Answer:
        return 200, [tab for tab in self.tabs.values() if tab["project"] == int(query["project"])]

    def _create_tab(self, body: Any, _query: Mapping[str, str]) -> Answer:
        tab = {"id": self._new_id(), "order": 0, "user": 1, **body}
        self.tabs[tab["id"]] = tab
        return 201, tab

    def _send(self, project: Project, action: str, what: Mapping[str, Any]) -> tuple[float, int]:
        """Send a webhook: its seconds, and the status of the answer (0: none came)."""
        found = [hook for hook in self.webhooks.values() if hook["project"] == project.id]
        for hook in found:
            if not hook["is_active"] or action not in hook["actions"]:
                continue
            body = json.dumps({"action": action, "project": self._project_payload(project), **what}).encode()
            backend, began, status = Connection(hook["url"], hook["headers"], WEBHOOK_SECONDS), time.perf_counter(), 0
            try:
                status, _ = backend.send("POST", urlsplit(hook["url"]).path, body)
            except CallFailedError as exc:
                print(f"lost webhook: {exc}", file=sys.stderr)
            finally:
                backend.close()
            return time.perf_counter() - began, status
        return 0.0, 0

    # -- annotators -------------------------------------------------------------------------------------------

    def _next(self, _body: Any, query: Mapping[str, str], project_id: int) -> Answer:
        """The task with the lowest score that nobody else has; a random one where the window has run dry."""
        project, user = self.projects[project_id], query["user"]
        with project.lock:
            scores = project.open_scores()
            free = [task_id for task_id in scores if project.locks.get(task_id, user) == user]
            task_id = min(free, key=lambda one: (scores[one], one)) if free else _any_open(project)
            if task_id is None:
                return 404, {"detail": "There are no tasks remaining to be annotated"}
            if not free:
                project.log.append({"what": "dry", "at": time.time(), "task": task_id})
            project.locks[task_id] = user
            version = project.model_version if free else None
        return 200, {"id": task_id, "version": version, "result": self.texts.result(task_id - 1)}

    def _submit(self, body: Any, _query: Mapping[str, str], task_id: int) -> Answer:
        """Store an annotation, then tell the backend; the annotator waits for both."""
        project = next(one for one in self.projects.values() if one.has(task_id))
        with project.lock:
            annotation = self._annotate(project, task_id, body["result"])
            project.locks.pop(task_id, None)
            stored_at = time.time()
        task = deepcopy(self._template["task"]) | {"id": task_id, "data": self._data(task_id), "project": project.id}
        seconds, status = self._send(project, "ANNOTATION_CREATED", {"annotation": annotation, "task": task})
        entry = {"what": "submit", "at": stored_at, "task": task_id, "webhook_seconds": seconds, "status": status}
        project.log.append(entry)
        return 201, annotation

    def _annotate(self, project: Project, task_id: int, result: Any) -> dict[str, Any]:
        now = round(time.time(), 6)  # what the API says of it, and compares it with
        annotation = deepcopy(self._template["annotation"]) | {
            "id": self._new_id(),
            "result": result,
            "created_at": moment_text(now),
            "updated_at": moment_text(now),
            "task": task_id,
            "project": project.id,
        }
        project.annotations[annotation["id"]] = annotation
        project.by_task.setdefault(task_id, []).append(annotation["id"])
        project.updated_at[task_id - 1 - project.first] = now
        return annotation

    def _get_annotation(self, _body: Any, _query: Mapping[str, str], annotation_id: int) -> Answer:
        found = (one.annotations.get(annotation_id) for one in self.projects.values())
        return next(((200, one) for one in found if one is not None), NO_PAGE)

    # -- the benchmark's own calls ----------------------------------------------------------------------------

    def _make_project(self, body: Any, _query: Mapping[str, str]) -> Answer:
        project_id = self._new_id()
        title = body.get("title", f"project {project_id}")
        made_at, rows = round(time.time(), 6), (body["first"], body["n_tasks"])
        self.projects[project_id] = Project(project_id, title, made_at, *rows, self.texts.label_config)
        return 201, self._project_json(self.projects[project_id])

    def _import_labels(self, body: Any, _query: Mapping[str, str], project_id: int) -> Answer:
        """Annotate the first n tasks with their right labels; told in bulk, as the real one tells imported ones."""
        project = self.projects[project_id]
        with project.lock:
            made = [
                self._annotate(project, task_id, self.texts.result(task_id - 1))
                for task_id in project.ids[: body["n"]].tolist()
            ]
        for start in range(0, len(made) if body["is_told"] else 0, BULK_WEBHOOK):
            self._send(project, "ANNOTATIONS_CREATED", {"annotation": made[start : start + BULK_WEBHOOK]})
        return 201, {"annotations": len(made)}

    def _state(self, _body: Any, _query: Mapping[str, str], project_id: int) -> Answer:
        """Where a project stands, without its log."""
        project = self.projects[project_id]
        with project.lock:
            return 200, {
                "key": project.key,
                "model_version": project.model_version,
                "n_annotations": len(project.annotations),
                "n_annotated": len(project.by_task),
                "n_predictions": dict(project.n_predictions),
                "n_open_in_window": len(project.open_scores()),
            }

    def _log(self, _body: Any, _query: Mapping[str, str], project_id: int) -> Answer:
        project = self.projects[project_id]
        with project.lock:
            return 200, list(project.log)

    def _list_unknown(self, _body: Any, _query: Mapping[str, str]) -> Answer:
        return 200, dict(self.unknown)

    # -- JSON -------------------------------------------------------------------------------------------------

    def _project_json(self, project: Project) -> dict[str, Any]:
        user = {"id": 1, "first_name": "", "last_name": "", "email": "admin@example.com", "avatar": None}
        return self._project_payload(project) | {
            "created_by": user,
            "parsed_label_config": {},
            "config_has_control_tags": True,
            "total_annotations_number": len(project.annotations),
        }

    def _project_payload(self, project: Project) -> dict[str, Any]:
        """As in webhooks."""
        return {
            **self._template["project"],
            "id": project.id,
            "title": project.title,
            "label_config": project.label_config,
            "model_version": project.model_version,
            "created_at": moment_text(project.created_at),
            "sampling": project.sampling,
            "show_collab_predictions": project.show_collab_predictions,
            "task_number": project.n_tasks,
        }

    def _connection_json(self, connection_id: int, body: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": connection_id,
            "state": "CO",
            "is_interactive": False,
            "url": body["url"],
            "error_message": None,
            "title": body.get("title") or "Model",
            "auth_method": body.get("auth_method", "NONE"),
            "basic_auth_user": body.get("basic_auth_user", ""),
            "extra_params": body.get("extra_params"),
            "model_version": "al-0",
            "timeout": 100.0,
            "created_at": moment_text(time.time()),
            "updated_at": moment_text(time.time()),
            "auto_update": True,
            "project": body["project"],
        }

    def _annotations_of(self, project: Project, task_id: int) -> list[dict[str, Any]]:
        return [project.annotations[one] for one in project.by_task.get(task_id, ())]

    def _data(self, task_id: int) -> dict[str, str]:
        return {"text": self.texts.texts(task_id - 1, task_id)[0]}

    def _titles(self, project_id: int) -> set[str]:
        return {one["title"] for one in list(self.connections.values()) if one["project"] == project_id}

    def _new_id(self) -> int:
        with self._lock:
            self._last_id += 1
            return self._last_id

    def _wait(self, seconds: float) -> None:
        if self.has_delays:
            time.sleep(seconds)


def moment_text(seconds: float) -> str:
    """A time as Label Studio writes it."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _any_open(project: Project) -> int | None:
    """A random task that nobody has annotated or locked."""
    for _ in range(1_000):
        task_id = random.randrange(project.first, project.first + project.n_tasks) + 1
        if task_id not in project.by_task and task_id not in project.locks:
            return task_id
    return None


_OPERATORS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "greater": np.greater,
    "greater_or_equal": np.greater_equal,
    "less": np.less,
    "less_or_equal": np.less_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
}


def _filtered(project: Project, query: Mapping[str, Any]) -> np.ndarray:
    """The rows that the Data Manager's `query` (filters, ordering) asks for, in its order."""
    filters = (query.get("filters") or {}).get("items") or []
    shown = np.ones(project.n_tasks, dtype=bool)
    for item in filters:
        name = item["filter"].rpartition(":")[2]
        if name == "predictions_model_versions":
            shown &= np.isin(project.ids, _predicted(project, item["value"]))
        elif item["operator"] == "in_list":
            shown &= np.isin(_column(project, name), item["value"])
        else:
            shown &= _OPERATORS[item["operator"]](_column(project, name), _number(item["value"]))
    rows = np.flatnonzero(shown)
    for name in reversed(query.get("ordering") or []):
        if name == "tasks:id":
            continue  # as they are, and a million need not be sorted for each page
        order = np.argsort(_column(project, name.rpartition(":")[2])[rows], kind="stable")
        rows = rows[order[::-1] if name.startswith("-") else order]
    return rows


def _predicted(project: Project, parts: Sequence[str]) -> list[int]:
    """The tasks with a prediction whose version holds one of the texts."""
    with project.lock:
        versions = [name for name in project.predictions if any(part in name for part in parts)]
        return [task_id for name in versions for task_id in project.predictions[name]]


def _column(project: Project, name: str) -> np.ndarray:
    if name == "id":
        return project.ids
    if name == "updated_at":
        return project.updated_at
    counts = np.zeros(project.n_tasks)
    for task_id, found in list(project.by_task.items()):
        counts[task_id - 1 - project.first] = len(found)
    return counts


def _number(value: Any) -> float:
    """A filter's value: a number, or a time."""
    try:
        return float(value)
    except ValueError:
        return datetime.fromisoformat(str(value).replace("Z", "+00:00")).timestamp()


_ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("GET", r"/api/version", BigLabelStudio._get_version),
    ("GET", r"/api/projects", BigLabelStudio._list_projects),
    ("GET", r"/api/projects/(\d+)", BigLabelStudio._get_project),
    ("PATCH", r"/api/projects/(\d+)", BigLabelStudio._patch_project),
    ("GET", r"/api/projects/(\d+)/next", BigLabelStudio._next),
    ("GET", r"/api/tasks", BigLabelStudio._list_tasks),
    ("POST", r"/api/tasks/(\d+)/annotations", BigLabelStudio._submit),
    ("GET", r"/api/annotations/(\d+)", BigLabelStudio._get_annotation),
    ("GET", r"/api/projects/(\d+)/export", BigLabelStudio._export),
    ("POST", r"/api/projects/(\d+)/import/predictions", BigLabelStudio._import_predictions),
    ("GET", r"/api/predictions", BigLabelStudio._list_predictions),
    ("POST", r"/api/predictions", BigLabelStudio._create_prediction),
    ("GET", r"/api/projects/(\d+)/model-versions", BigLabelStudio._list_versions),
    ("DELETE", r"/api/projects/(\d+)/model-versions", BigLabelStudio._delete_version),
    ("GET", r"/api/ml", BigLabelStudio._list_connections),
    ("POST", r"/api/ml", BigLabelStudio._create_connection),
    ("PATCH", r"/api/ml/(\d+)", BigLabelStudio._patch_connection),
    ("GET", r"/api/webhooks", BigLabelStudio._list_webhooks),
    ("POST", r"/api/webhooks", BigLabelStudio._create_webhook),
    ("PATCH", r"/api/webhooks/(\d+)", BigLabelStudio._patch_webhook),
    ("DELETE", r"/api/webhooks/(\d+)", BigLabelStudio._delete_webhook),
    ("GET", r"/api/dm/views", BigLabelStudio._list_tabs),
    ("POST", r"/api/dm/views", BigLabelStudio._create_tab),
    ("POST", r"/bench/projects", BigLabelStudio._make_project),
    ("POST", r"/bench/projects/(\d+)/labels", BigLabelStudio._import_labels),
    ("GET", r"/bench/projects/(\d+)", BigLabelStudio._state),
    ("GET", r"/bench/projects/(\d+)/log", BigLabelStudio._log),
    ("GET", r"/bench/unknown", BigLabelStudio._list_unknown),
]


# -- HTTP ---------------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Passes requests to `studio`, which `serve` sets."""

    studio: BigLabelStudio
    protocol_version = "HTTP/1.1"
    # An answer goes out in one piece, at once.
    wbufsize = -1
    disable_nagle_algorithm = True

    def handle_any(self) -> None:
        """Answer one request."""
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        query = {name: ",".join(values) for name, values in parse_qs(parts.query).items()}
        try:
            path = "/" + parts.path.strip("/")
            status, answer = self.studio.answer(self.command, path, query, json.loads(content) if content else None)
        except Exception as exc:
            print(f"{self.command} {self.path}: {exc!r}", file=sys.stderr)
            status, answer = 500, {"detail": repr(exc)}
        body = answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 512


class RunningStudio:
    """A simulated Label Studio in a process of its own, while the `with` lasts."""

    def __init__(self, texts: TextFile, log: Path, *, real_delays: bool = False) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._command = [sys.executable, "-m", "benchmarks.big_label_studio", "--port", str(self.port)]
        self._command += ["--texts", str(texts.folder), *(["--real-delays"] if real_delays else [])]
        self._calls = Connection(self.url)

    def __enter__(self) -> RunningStudio:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        for _ in range(200):
            try:
                self._calls.call("GET", "/api/version")
            except CallFailedError:
                time.sleep(0.05)
            else:
                return self
        self.process.kill()
        raise CallFailedError(f"the simulated Label Studio does not start: {self._log.read_text()[-1000:]}")

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        unknown = self._calls.call("GET", "/bench/unknown") if self.process.poll() is None else {}
        if unknown:
            print(f"the simulated Label Studio does not know these calls: {unknown}", file=sys.stderr)
        self._calls.close()
        self.process.terminate()
        self.process.wait(10)

    def make_project(self, n_tasks: int, first: int = 0) -> int:
        """A project with the texts of the rows from `first` on."""
        return int(self._calls.call("POST", "/bench/projects", {"first": first, "n_tasks": n_tasks})["id"])

    def import_labels(self, project_id: int, n: int, *, is_told: bool = True) -> None:
        """Annotate the first n tasks. is_told: whether webhooks tell of it."""
        self._calls.call("POST", f"/bench/projects/{project_id}/labels", {"n": n, "is_told": is_told})

    def submit(self, task_id: int, result: list[dict[str, Any]]) -> None:
        """Press Submit."""
        self._calls.call("POST", f"/api/tasks/{task_id}/annotations/", {"result": result})

    def state(self, project_id: int) -> dict[str, Any]:
        """Where a project stands."""
        found: dict[str, Any] = self._calls.call("GET", f"/bench/projects/{project_id}")
        return found

    def log(self, project_id: int) -> list[dict[str, Any]]:
        """All pushes, switches and Submits of a project, and when its window was found dry."""
        found: list[dict[str, Any]] = self._calls.call("GET", f"/bench/projects/{project_id}/log")
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--texts", type=Path, required=True, help="folder that benchmarks.scale.texts has written")
    parser.add_argument("--real-delays", action="store_true", help="answer changes as slowly as the real one")
    options = parser.parse_args()
    url = f"http://127.0.0.1:{options.port}"
    Handler.studio = BigLabelStudio(TextFile(options.texts), url, has_delays=options.real_delays)
    Server(("127.0.0.1", options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
