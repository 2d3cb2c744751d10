"""A small Label Studio in memory, as release 1.23.2 answers, behind httpx's transport.

    fake = FakeLabelStudio()
    studio = Studio(URL, TOKEN, httpx_client=httpx.Client(transport=httpx.MockTransport(fake.handle)))

Answers and error bodies were compared with a real Label Studio. `fail` plans faults, `when` calls back before a call
is answered, `calls` lists what came. The methods that people would cause (annotate, delete, import) give the webhook's
body that the real one sends, so that a test decides whether it arrives.
"""

from __future__ import annotations

import json
import operator
import re
import time
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from label_studio_al.studio.transport import Bounded

URL = "http://label-studio.test"
TOKEN = "0123456789abcdef0123456789abcdef01234567"
BEGINNING = datetime(2026, 11, 23, 0, 0, 0, 84645, tzinfo=timezone.utc)
# What the labelling page says that each answer took.
LEAD_SECONDS = 4.25
PAGE_404 = "<!doctype html>\n<html lang='en'><head><title>404 | Label Studio</title></head><body>404</body></html>"
# How a call can fail, beside an HTTP status: see `FakeLabelStudio.fail`.
CLOSED, TIMEOUT, BROKEN_JSON, HTML_PAGE = "closed connection", "timeout", "broken JSON", "HTML page"


@dataclass(frozen=True)
class Call:
    """A request that came."""

    method: str
    path: str
    body: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Fault:
    """A planned failure of calls that match; `left` counts the calls still to fail (None: until mended)."""

    method: str
    path: re.Pattern[str]
    how: int | str | bytes | BaseException
    skip: int
    left: int | None
    takes_effect: bool


@dataclass
class FakeProject:
    """A project's state."""

    id: int
    title: str
    label_config: str
    created_at: str
    model_version: str = ""
    sampling: str = "Sequential sampling"
    show_collab_predictions: bool = False
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    annotations: dict[int, dict[str, Any]] = field(default_factory=dict)
    predictions: dict[int, dict[str, Any]] = field(default_factory=dict)
    # Tasks on which somebody has begun an answer.
    drafted: set[int] = field(default_factory=set)

    @property
    def key(self) -> str:
        """What Label Studio sends to /setup as `project`."""
        return f"{self.id}.{int(datetime.fromisoformat(self.created_at.replace('Z', '+00:00')).timestamp())}"

    def pushed(self, version: str) -> dict[int, float]:
        """Score of each task that has a prediction of a version."""
        found = self.predictions.values()
        return {item["task"]: item["score"] for item in found if item["model_version"] == version}

    def queue(self) -> list[int] | None:
        """The tasks in the order in which they are asked; None where Label Studio would pick at random."""
        annotated = {item["task"] for item in self.annotations.values()}
        if self.sampling != "Uncertainty sampling" or not self.model_version:
            return None
        open_tasks = {task: score for task, score in self.pushed(self.model_version).items() if task not in annotated}
        return sorted(open_tasks, key=lambda task: (open_tasks[task], task)) or None


class FakeLabelStudio:
    """Projects, tasks, annotations, predictions, connections, webhooks and tabs."""

    def __init__(self, token: str = TOKEN) -> None:
        self.token = token
        self.release = "1.23.2"
        self.now: Callable[[], float] = time.time
        # Why another token, or all of them, is refused.
        self.no_token = "Invalid token."
        self.takes_tokens = True
        # Hosts that it does not call, and the networks that they are in; "" for a name that it cannot resolve.
        self.banned: dict[str, str] = {}
        self.banned_for_webhooks: dict[str, str] = {}
        # Reaches the backends that connections name; without it, all are taken to answer.
        self.caller: httpx.Client | None = None
        self.projects: dict[int, FakeProject] = {}
        self.connections: dict[int, dict[str, Any]] = {}
        self.webhooks: dict[int, dict[str, Any]] = {}
        self.tabs: dict[int, dict[str, Any]] = {}
        self.calls: list[Call] = []
        # Happens while an import of predictions counts the annotations of all tasks.
        self.while_counting: Callable[[], None] = lambda: None
        self._faults: list[Fault] = []
        self._hooks: list[tuple[str, re.Pattern[str], Callable[[], None]]] = []
        self._last_id = 100
        self._n_moments = 0

    # -- what a test plans ------------------------------------------------------------------------------------

    def let_pass(self, seconds: float) -> None:
        """What happens from now on happens so much later, by its clock; earlier, if that is set back."""
        self._n_moments += int(1000 * seconds)

    def backup(self) -> FakeLabelStudio:
        """A copy of all that its database holds."""
        kept = FakeLabelStudio(self.token)
        for name in ("projects", "connections", "webhooks", "tabs", "_last_id"):
            setattr(kept, name, deepcopy(getattr(self, name)))
        return kept

    def restore(self, kept: FakeLabelStudio) -> None:
        """Put a backup back in place: what happened since has never been, but for the time that has passed.

        Who holds a project sees it as it is then. Numbers that were given since are given again.
        """
        for project_id, project in kept.projects.items():
            vars(self.projects[project_id]).update(deepcopy(vars(project)))
        for name in ("connections", "webhooks", "tabs"):
            setattr(self, name, deepcopy(getattr(kept, name)))
        self._last_id = kept._last_id

    def client(self) -> httpx.Client:
        """A client that talks to this fake."""
        return httpx.Client(transport=Bounded(httpx.MockTransport(self.handle)))

    def fail(
        self,
        method: str,
        path: str,
        how: int | str | bytes | BaseException,
        *,
        nth: int = 1,
        times: int | None = None,
        takes_effect: bool = False,
    ) -> None:
        """Make calls fail from the nth match on, `times` of them (None: until `mend`).

        path: a regular expression that the whole path must match. how: a status, CLOSED, TIMEOUT, BROKEN_JSON,
        HTML_PAGE, a body answered with 200, or an exception that is raised here. takes_effect: the call does its work
        first, only its answer is lost. The client repeats a call that got a 5xx or no answer twice, but for a POST.
        """
        self._faults.append(Fault(method, re.compile(path), how, nth - 1, times, takes_effect))

    def mend(self) -> None:
        """Forget all planned faults."""
        self._faults.clear()

    def when(self, method: str, path: str, act: Callable[[], None]) -> None:
        """Call `act` once, before the next call that matches is answered."""
        self._hooks.append((method, re.compile(path), act))

    def names(self) -> list[str]:
        """The calls so far, as "METHOD /path"."""
        return [str(call) for call in self.calls]

    # -- what people do ---------------------------------------------------------------------------------------

    def add_project(self, label_config: str, texts: list[str] | None = None, title: str = "texts") -> FakeProject:
        """A project, with one task a text (field `text`)."""
        project_id = 1 + max(self.projects, default=0)
        created_at = _text(BEGINNING + timedelta(seconds=project_id))
        project = self.projects[project_id] = FakeProject(project_id, title, label_config, created_at)
        self.add_tasks(project_id, [{"text": text} for text in texts or []])
        return project

    def recreate_project(self, project_id: int) -> FakeProject:
        """Another project under the same id, as after a reset of Label Studio's database."""
        old = self.projects[project_id]
        created_at = _text(BEGINNING + timedelta(days=1))
        self.projects[project_id] = FakeProject(project_id, old.title, old.label_config, created_at)
        return self.projects[project_id]

    def connect(self, project_id: int, url: str = "http://localhost:9090", title: str = "Active learning") -> int:
        """A model connection, as the project's admin makes it: it sets the project's model version to its title."""
        connection_id = self._new_id()
        self.connections[connection_id] = {
            "id": connection_id,
            "state": "CO",
            "readable_state": "Connected",
            "is_interactive": False,
            "url": url,
            "error_message": None,
            "title": title,
            "auth_method": "NONE",
            "basic_auth_user": "",
            "basic_auth_pass_is_set": False,
            "description": "",
            "extra_params": None,
            "model_version": "al-0",
            "timeout": 100.0,
            "created_at": self._moment(),
            "updated_at": self._moment(),
            "auto_update": True,
            "project": project_id,
        }
        self.projects[project_id].model_version = title
        return connection_id

    def add_tasks(self, project_id: int, data: list[dict[str, Any]]) -> dict[str, Any]:
        """Import tasks. Gives the webhook."""
        project = self.projects[project_id]
        added = []
        for one in data:
            task = self._task(project, self._new_id(), one)
            project.tasks[task["id"]] = task
            added.append(task)
        return self._event("TASKS_CREATED", project, tasks=added)

    def delete_tasks(self, project_id: int, *task_ids: int) -> dict[str, Any]:
        """Delete tasks with their annotations and predictions. Gives the webhook."""
        project = self.projects[project_id]
        for task_id in task_ids:
            del project.tasks[task_id]
        for rows in (project.annotations, project.predictions):
            for row_id in [row_id for row_id, row in rows.items() if row["task"] in task_ids]:
                del rows[row_id]
        return self._event("TASKS_DELETED", project, tasks=[{"id": task_id} for task_id in task_ids])

    def annotate(
        self,
        project_id: int,
        task_id: int,
        label: str | list[str] | None,
        *,
        from_name: str = "topic",
        skip: bool = False,
        user_id: int = 1,
        result: list[dict[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """Submit an annotation (label None, or no labels: an empty one; or any result). Gives the webhook."""
        project = self.projects[project_id]
        annotation_id = self._new_id()
        annotation = {
            "id": annotation_id,
            "result": result if result is not None else [_item(annotation_id, from_name, label)] if label else [],
            "was_cancelled": skip,
            "ground_truth": False,
            "created_at": self._moment(),
            "updated_at": self._moment(),
            "lead_time": LEAD_SECONDS,
            "task": task_id,
            "project": project_id,
            "completed_by": user_id,
            "updated_by": user_id,
            "parent_prediction": None,
        }
        project.annotations[annotation["id"]] = annotation
        self._touch(project, task_id)
        return self._event("ANNOTATION_CREATED", project, annotation=dict(annotation), task=project.tasks[task_id])

    def correct(self, project_id: int, annotation_id: int, label: str, from_name: str = "topic") -> dict[str, Any]:
        """Change an annotation's label. Gives the webhook."""
        project = self.projects[project_id]
        annotation = project.annotations[annotation_id]
        result = [_item(annotation_id, from_name, label)]
        annotation |= {"result": result, "lead_time": 2 * LEAD_SECONDS, "updated_at": self._moment(), "updated_by": 1}
        self._touch(project, annotation["task"])
        task = project.tasks[annotation["task"]]
        return self._event("ANNOTATION_UPDATED", project, annotation=dict(annotation), task=task)

    def mark_ground_truth(self, project_id: int, annotation_id: int) -> dict[str, Any]:
        """Star an annotation: the task's others lose the star, and their times stay. Gives the webhook."""
        project = self.projects[project_id]
        annotation = project.annotations[annotation_id]
        for other in project.annotations.values():
            other["ground_truth"] &= other["task"] != annotation["task"]
        annotation |= {"ground_truth": True, "updated_at": self._moment(), "updated_by": 1}
        self._touch(project, annotation["task"])
        task = project.tasks[annotation["task"]]
        return self._event("ANNOTATION_UPDATED", project, annotation=dict(annotation), task=task)

    def delete_annotations(self, project_id: int, *annotation_ids: int) -> dict[str, Any]:
        """Delete annotations. Gives the webhook."""
        project = self.projects[project_id]
        for annotation_id in annotation_ids:
            self._touch(project, project.annotations.pop(annotation_id)["task"])
        ids = [{"id": annotation_id} for annotation_id in annotation_ids]
        return self._event("ANNOTATIONS_DELETED", project, annotations=ids)

    def change_data(self, project_id: int, task_id: int, data: dict[str, Any]) -> None:
        """Change what a task shows: no webhook tells of it."""
        project = self.projects[project_id]
        project.tasks[task_id]["data"] = data
        self._touch(project, task_id)

    def change_config(self, project_id: int, label_config: str) -> dict[str, Any]:
        """Change the label config. Gives the webhook."""
        project = self.projects[project_id]
        project.label_config = label_config
        return self._event("PROJECT_UPDATED", project)

    # -- HTTP -------------------------------------------------------------------------------------------------

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        body = json.loads(request.content) if request.content else None
        call = Call(request.method, "/" + request.url.path.strip("/"), body)
        self.calls.append(call)
        for hook in [hook for hook in self._hooks if hook[0] == call.method and hook[1].fullmatch(call.path)][:1]:
            self._hooks.remove(hook)
            hook[2]()
        fault = self._fault(call)
        if fault is not None:
            if fault.takes_effect:
                self._answer(call, request)
            return _failure(fault.how, request)
        is_open = call.path == "/api/version"
        if not is_open and (request.headers.get("Authorization") != f"Token {self.token}" or not self.takes_tokens):
            return _error(401, self.no_token)
        return self._answer(call, request)

    def _answer(self, call: Call, request: httpx.Request) -> httpx.Response:
        query = {name: ",".join(values) for name, values in parse_qs(request.url.query.decode()).items()}
        for method, pattern, answer in _ROUTES:
            match = re.fullmatch(pattern, call.path)
            if match and method == call.method:
                return answer(self, call.body, query, *map(int, match.groups()))
        return httpx.Response(404, html=PAGE_404)

    def _fault(self, call: Call) -> Fault | None:
        for fault in self._faults:
            if fault.method not in ("*", call.method) or not fault.path.fullmatch(call.path):
                continue
            if fault.skip > 0:
                fault.skip -= 1
            elif fault.left is None:
                return fault
            elif fault.left > 0:
                fault.left -= 1
                return fault
        return None

    def _version(self, _body: Any, _query: dict[str, str]) -> httpx.Response:
        date = formatdate(self.now(), usegmt=True)
        return httpx.Response(200, json={"release": self.release, "edition": "Community"}, headers={"Date": date})

    def _whoami(self, _body: Any, _query: dict[str, str]) -> httpx.Response:
        return httpx.Response(200, json={"id": 1, "email": "admin@example.com", "active_organization": 1})

    def _list_projects(self, _body: Any, _query: dict[str, str]) -> httpx.Response:
        found = [self._project(project) for project in self.projects.values()]
        return httpx.Response(200, json={"count": len(found), "next": None, "previous": None, "results": found})

    def _list_counts(self, _body: Any, query: dict[str, str]) -> httpx.Response:
        ids = [int(project_id) for project_id in query["ids"].split(",")]
        names = ("id", *query["include"].split(","))
        projects = [self._project(self.projects[project_id]) for project_id in ids if project_id in self.projects]
        found = [{name: project[name] for name in names} for project in projects]
        return httpx.Response(200, json={"count": len(found), "next": None, "previous": None, "results": found})

    def _create_project(self, body: Any, _query: dict[str, str]) -> httpx.Response:
        project = self.add_project(body["label_config"], title=body["title"])
        project.show_collab_predictions = True
        return httpx.Response(201, json=self._project(project))

    def _get_project(self, _body: Any, _query: dict[str, str], project_id: int) -> httpx.Response:
        if project_id not in self.projects:
            return _error(404, "No Project matches the given query.")
        return httpx.Response(200, json=self._project(self.projects[project_id]), headers={"Date": self._date()})

    def _patch_project(self, body: Any, _query: dict[str, str], project_id: int) -> httpx.Response:
        if project_id not in self.projects:
            return _error(404, "No Project matches the given query.")
        project = self.projects[project_id]
        version = body.get("model_version")
        if version and not project.pushed(version) and version not in self._titles(project_id):
            message = "Model version doesn't exist either as live model or as static predictions."
            return _error(400, "Validation error", {"model_version": [message]})
        if body.get("show_collab_predictions") is False:
            project.model_version = ""
        for name in ("model_version", "sampling", "show_collab_predictions", "label_config", "title"):
            if name in body:
                setattr(project, name, body[name])
        return httpx.Response(200, json=self._project(project))

    def _list_tasks(self, _body: Any, query: dict[str, str]) -> httpx.Response:
        if int(query["project"]) not in self.projects:
            return _error(404, "No Project matches the given query.")
        wanted = json.loads(query.get("query", "{}"))
        project = self.projects[int(query["project"])]
        tasks = list(project.tasks.values())
        for one in wanted.get("filters", {}).get("items", []):
            if one["filter"] == "filter:tasks:predictions_model_versions":
                # A part of a name is enough, and one of the values.
                some = [item for item in project.predictions.values() if _holds(item["model_version"], one["value"])]
                tasks = [task for task in tasks if task["id"] in {item["task"] for item in some}]
            else:
                tasks = [task for task in tasks if _passes(project, task, one)]
        for name in wanted.get("ordering", []):
            column = name.removeprefix("-").removeprefix("tasks:")
            tasks.sort(key=lambda task, column=column: task[column], reverse=name.startswith("-"))
        page, size = int(query.get("page", "1")), int(query.get("page_size", "30"))
        shown = tasks[(page - 1) * size : page * size]
        if page > 1 and not shown:
            return _error(404, "Invalid page.")
        names = query["include"].split(",") if "include" in query else None
        listed = [{name: task[name] for name in names or task} for task in shown]
        answer = {"total_annotations": 0, "total_predictions": 0, "total": len(tasks), "tasks": listed}
        return httpx.Response(200, json=answer)

    def _export(self, _body: Any, query: dict[str, str], project_id: int) -> httpx.Response:
        if project_id not in self.projects:
            return httpx.Response(404, html=PAGE_404)
        project = self.projects[project_id]
        by_task: dict[int, list[dict[str, Any]]] = {}
        for annotation in project.annotations.values():
            by_task.setdefault(annotation["task"], []).append(annotation)
        wants_all = query.get("download_all_tasks", "").lower() == "true"
        among = {int(task_id) for task_id in query.get("ids[]", "").split(",") if task_id}
        listed = [
            {
                "id": task["id"],
                "annotations": by_task.get(task["id"], []),
                "drafts": [{"task": task["id"]}] if task["id"] in project.drafted else [],
                "data": task["data"],
                "project": project_id,
            }
            for task in project.tasks.values()
            if (wants_all or task["id"] in by_task) and (not among or task["id"] in among)
        ]
        return httpx.Response(200, content=json.dumps(listed), headers={"Content-Type": "application/.json"})

    def _import(self, body: Any, _query: dict[str, str], project_id: int) -> httpx.Response:
        if project_id not in self.projects:
            return httpx.Response(404, html=PAGE_404)
        self.add_tasks(project_id, [item.get("data", item) for item in body])
        return httpx.Response(201, json={"task_count": len(body), "annotation_count": 0, "prediction_count": 0})

    def _import_predictions(self, body: Any, _query: dict[str, str], project_id: int) -> httpx.Response:
        if project_id not in self.projects:
            return httpx.Response(404, html=PAGE_404)
        project = self.projects[project_id]
        for item in body:
            if item["task"] not in project.tasks:
                sentence = (
                    f'{item} contains invalid "task" field: corresponding task ID couldn\'t be retrieved from '
                    f"project {project.title} (id={project.id}) tasks"
                )
                return _error(400, "Validation error", {"non_field_errors": [sentence]})
        for item in body:
            self.add_prediction(project_id, item["task"], item["model_version"], item["score"], item["result"])
        self._recount(project)
        return httpx.Response(201, json={"created": len(body)})

    def _recount(self, project: FakeProject) -> None:
        """Count the annotations of all tasks, and write the numbers later: who submits in between is not counted."""
        names = ("total_annotations", "cancelled_annotations")
        counted = {task_id: {name: task[name] for name in names} for task_id, task in project.tasks.items()}
        self.while_counting()
        for task_id in counted.keys() & project.tasks.keys():
            project.tasks[task_id] |= counted[task_id]

    def _create_prediction(self, body: Any, _query: dict[str, str]) -> httpx.Response:
        project = self._project_of(body["task"])
        if project is None:
            sentence = f'Invalid pk "{body["task"]}" - object does not exist.'
            return _error(400, "Validation error", {"task": [sentence]})
        made = self.add_prediction(project.id, body["task"], body["model_version"], body["score"], body["result"])
        project.tasks[body["task"]]["updated_at"] = self._moment()
        return httpx.Response(201, json=project.predictions[made])

    def _list_predictions(self, _body: Any, query: dict[str, str]) -> httpx.Response:
        everything = [one for project in self.projects.values() for one in project.predictions.values()]
        return httpx.Response(200, json=[one for one in everything if one["task"] == int(query["task"])])

    def _project_of(self, task_id: int) -> FakeProject | None:
        return next((one for one in self.projects.values() if task_id in one.tasks), None)

    def add_prediction(
        self, project_id: int, task_id: int, version: str | None, score: float, result: list[Any] | None = None
    ) -> int:
        """Store a prediction, as an import or another backend does. Like the real one, it allows doubles."""
        prediction_id = self._new_id()
        self.projects[project_id].predictions[prediction_id] = {
            "id": prediction_id,
            "result": result or [],
            "model_version": version,
            "score": score,
            "cluster": None,
            "created_at": self._moment(),
            "updated_at": self._moment(),
            "task": task_id,
            "project": project_id,
        }
        return prediction_id

    def _model_versions(self, _body: Any, _query: dict[str, str], project_id: int) -> httpx.Response:
        if project_id not in self.projects:
            return _error(404, "No Project matches the given query.")
        found = Counter(str(item["model_version"]) for item in self.projects[project_id].predictions.values())
        return httpx.Response(200, json=dict(found))

    def _delete_version(self, body: Any, _query: dict[str, str], project_id: int) -> httpx.Response:
        project = self.projects[project_id]
        name = body["model_version"]
        titles = {one["title"] for one in self.connections.values() if one["project"] == project_id}
        if project.model_version == name or project.model_version in titles:
            project.model_version = None
        gone = [key for key, item in project.predictions.items() if item["model_version"] == name]
        for key in gone:
            del project.predictions[key]
        return httpx.Response(200, json={"deleted_predictions": len(gone)})

    def _act(self, body: Any, query: dict[str, str]) -> httpx.Response:
        project = self.projects[int(query["project"])]
        among = set(body["selectedItems"]["included"])
        selected = {
            task["id"]
            for task in project.tasks.values()
            if task["id"] in among and all(_passes(project, task, one) for one in body["filters"]["items"])
        }
        if query["id"] == "predictions_to_annotations":
            used = {one["parent_prediction"] for one in project.annotations.values()}
            chosen = [
                one
                for one in project.predictions.values()
                if one["task"] in selected and one["model_version"] == body["model_version"] and one["id"] not in used
            ]
            for one in chosen:
                self._annotate_automatically(project, one)
            return httpx.Response(200, json={"response_code": 200, "detail": f"Created {len(chosen)} annotations"})
        assert query["id"] == "delete_tasks_annotations", query
        gone = [id for id, one in project.annotations.items() if one["task"] in selected]
        if gone:
            self.delete_annotations(project.id, *gone)
        project.drafted -= selected
        return httpx.Response(200, json={"processed_items": len(gone), "detail": f"Deleted {len(gone)} annotations"})

    def _annotate_automatically(self, project: FakeProject, prediction: dict[str, Any]) -> None:
        annotation_id, moment = self._new_id(), self._moment()
        project.annotations[annotation_id] = {
            "id": annotation_id,
            "result": prediction["result"],
            "was_cancelled": False,
            "ground_truth": False,
            "created_at": moment,
            "updated_at": moment,
            "lead_time": None,
            "task": prediction["task"],
            "project": project.id,
            "completed_by": 1,
            "updated_by": None,
            "parent_prediction": prediction["id"],
        }
        self._touch(project, prediction["task"])

    def bulk_event(self, project_id: int) -> dict[str, Any]:
        """The webhook that tells of all annotations that the Data Manager's action has made."""
        project = self.projects[project_id]
        made = [dict(one) for one in project.annotations.values() if one["updated_by"] is None]
        tasks = [project.tasks[one["task"]] for one in made]
        return self._event("ANNOTATIONS_CREATED", project, annotation=made, task=tasks)

    def _get_annotation(self, _body: Any, _query: dict[str, str], annotation_id: int) -> httpx.Response:
        for project in self.projects.values():
            if annotation_id in project.annotations:
                return httpx.Response(200, json=project.annotations[annotation_id])
        return _error(404, "No Annotation matches the given query.")

    def _delete_annotation(self, _body: Any, _query: dict[str, str], annotation_id: int) -> httpx.Response:
        for project in self.projects.values():
            if annotation_id in project.annotations:
                self.delete_annotations(project.id, annotation_id)
                return httpx.Response(204)
        return _error(404, "No Annotation matches the given query.")

    def _list_connections(self, _body: Any, query: dict[str, str]) -> httpx.Response:
        project_id = int(query["project"])
        if project_id not in self.projects:
            return _error(404, "No Project matches the given query.")
        found = [one for one in self.connections.values() if one["project"] == project_id]
        for connection in found:
            self._update_state(connection)
        return httpx.Response(200, json=found)

    def _update_state(self, connection: dict[str, Any]) -> None:
        """Every listing calls /health and /setup of each connection."""
        if self.caller is None:
            return
        problem = self._call(connection)
        if problem is None:
            connection |= {"state": "CO", "error_message": None}
        elif problem.startswith("Can't connect"):
            connection |= {"state": "DI"}
        else:
            connection |= {"state": "ER", "error_message": problem.partition("Reason: ")[2]}

    def _call(self, connection: dict[str, Any]) -> str | None:
        """Why a backend does not answer as it must."""
        if self.caller is None:
            return None
        url = connection["url"]
        user, password = connection.get("basic_auth_user"), connection.get("basic_auth_pass")
        auth = httpx.BasicAuth(user, password) if user and password else None
        project = self.projects[connection["project"]]
        setup = {"project": project.key, "schema": project.label_config, "extra_params": connection.get("extra_params")}
        try:
            if _host(url) in self.banned:
                raise httpx.ConnectError("blocked")
            self.caller.get(f"{url}/health", auth=auth).raise_for_status()
        except httpx.HTTPError as exc:
            return f"Can't connect to ML backend {url}, health check failed. Additional info: {exc}"
        try:
            answer = self.caller.post(f"{url}/setup", json=setup, auth=auth)
            answer.raise_for_status()
            connection["model_version"] = answer.json()["model_version"]
        except httpx.HTTPError as exc:
            return f"Successfully connected to {url} but it doesn't look like a valid ML backend. Reason: {exc}"
        return None

    def _create_connection(self, body: Any, _query: dict[str, str]) -> httpx.Response:
        if _host(body["url"]) in self.banned:
            return _blocked(self.banned[_host(body["url"])])
        if body.get("auth_method") == "BASIC_AUTH" and not body.get("basic_auth_pass"):
            message = "Authentication username and password is required for Basic Authentication."
            return _error(400, "Validation error", {"non_field_errors": [message]})
        connection_id = self.connect(body["project"], body["url"], body.get("title") or "Model")
        self.connections[connection_id] |= _connection_fields(body)
        return httpx.Response(201, json=self.connections[connection_id])

    def _patch_connection(self, body: Any, _query: dict[str, str], connection_id: int) -> httpx.Response:
        if connection_id not in self.connections:
            return httpx.Response(404, html=PAGE_404)
        if "url" not in body:
            return _error(500, "MLBackend.healthcheck_() missing 1 required positional argument: 'url'")
        connection = self.connections[connection_id]
        if _host(body["url"]) in self.banned:
            return _blocked(self.banned[_host(body["url"])])
        problem = self._call({**connection, **_connection_fields(body), "extra_params": None})
        if problem is not None:
            return _error(400, "Validation error", {"non_field_errors": [problem]})
        project = self.projects[connection["project"]]
        old_title = connection["title"]
        connection |= {**_connection_fields(body), "updated_at": self._moment()}
        if "title" in body and project.model_version == old_title:
            project.model_version = body["title"]
        return httpx.Response(200, json=connection)

    def _delete_connection(self, _body: Any, _query: dict[str, str], connection_id: int) -> httpx.Response:
        if self.connections.pop(connection_id, None) is None:
            return httpx.Response(404, html=PAGE_404)
        return httpx.Response(204)

    def _list_webhooks(self, _body: Any, query: dict[str, str]) -> httpx.Response:
        wanted = query.get("project")
        found = [hook for hook in self.webhooks.values() if wanted in (None, str(hook["project"]))]
        return httpx.Response(200, json=found)

    def _create_webhook(self, body: Any, _query: dict[str, str]) -> httpx.Response:
        host = _host(body["url"])
        if "." not in host and host != "localhost":
            return _error(400, "Validation error", {"url": ["Enter a valid URL."]})
        if host in self.banned_for_webhooks:
            return _blocked(self.banned_for_webhooks[host])
        if "NOTHING" in body.get("actions", []):
            return _error(400, "Validation error", {"actions": ['"NOTHING" is not a valid choice.']})
        webhook_id = self._new_id()
        given = {"organization": 1, "created_at": self._moment(), "updated_at": self._moment(), **body}
        self.webhooks[webhook_id] = {"id": webhook_id, **given}
        return httpx.Response(201, json=self.webhooks[webhook_id])

    def _patch_webhook(self, body: Any, _query: dict[str, str], webhook_id: int) -> httpx.Response:
        if webhook_id not in self.webhooks:
            return _error(404, "No Webhook matches the given query.")
        self.webhooks[webhook_id] |= body
        return httpx.Response(200, json=self.webhooks[webhook_id])

    def _delete_webhook(self, _body: Any, _query: dict[str, str], webhook_id: int) -> httpx.Response:
        if self.webhooks.pop(webhook_id, None) is None:
            return _error(404, "No Webhook matches the given query.")
        return httpx.Response(204)

    def _list_tabs(self, _body: Any, query: dict[str, str]) -> httpx.Response:
        found = [tab for tab in self.tabs.values() if tab["project"] == int(query["project"])]
        return httpx.Response(200, json=found)

    def _create_tab(self, body: Any, _query: dict[str, str]) -> httpx.Response:
        tab_id = self._new_id()
        self.tabs[tab_id] = {"id": tab_id, "order": 0, "user": 1, **body}
        return httpx.Response(201, json=self.tabs[tab_id])

    def _delete_tab(self, _body: Any, _query: dict[str, str], tab_id: int) -> httpx.Response:
        if self.tabs.pop(tab_id, None) is None:
            return httpx.Response(404, html=PAGE_404)
        return httpx.Response(204)

    # -- JSON -------------------------------------------------------------------------------------------------

    def _project(self, project: FakeProject) -> dict[str, Any]:
        return {
            "id": project.id,
            "title": project.title,
            "description": "",
            "label_config": project.label_config,
            "expert_instruction": "",
            "show_instruction": False,
            "show_skip_button": True,
            "enable_empty_annotation": True,
            "organization": 1,
            "color": "#FFFFFF",
            "maximum_annotations": 1,
            "is_published": False,
            "model_version": project.model_version,
            "is_draft": False,
            "created_by": {"id": 1, "first_name": "", "last_name": "", "email": "admin@example.com", "avatar": None},
            "created_at": project.created_at,
            "show_collab_predictions": project.show_collab_predictions,
            "task_number": len(project.tasks),
            "total_annotations_number": sum(not one["was_cancelled"] for one in project.annotations.values()),
            "skipped_annotations_number": sum(one["was_cancelled"] for one in project.annotations.values()),
            "total_predictions_number": len(project.predictions),
            "sampling": project.sampling,
            "config_has_control_tags": True,
            "skip_queue": "REQUEUE_FOR_OTHERS",
            "parsed_label_config": {},
            "control_weights": {},
        }

    def _task(self, project: FakeProject, task_id: int, data: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": task_id,
            "data": data,
            "meta": {},
            "created_at": self._moment(),
            "updated_at": self._moment(),
            "is_labeled": False,
            "overlap": 1,
            "inner_id": len(project.tasks) + 1,
            "total_annotations": 0,
            "cancelled_annotations": 0,
            "total_predictions": 0,
            "project": project.id,
        }

    def _event(self, action: str, project: FakeProject, **what: Any) -> dict[str, Any]:
        return {"action": action, "project": self._project(project), **what}

    def _touch(self, project: FakeProject, task_id: int) -> None:
        """What changes with a task's annotations and data."""
        task = project.tasks[task_id]
        theirs = [one["was_cancelled"] for one in project.annotations.values() if one["task"] == task_id]
        task["total_annotations"], task["cancelled_annotations"] = theirs.count(False), theirs.count(True)
        task["updated_at"] = self._moment()

    def _titles(self, project_id: int) -> set[str]:
        return {one["title"] for one in self.connections.values() if one["project"] == project_id}

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _moment(self) -> str:
        """Times pass with what happens."""
        self._n_moments += 1
        return _text(self._time())

    def _time(self) -> datetime:
        return BEGINNING + timedelta(hours=1, milliseconds=self._n_moments)

    def _date(self) -> str:
        """What the clock says in a header: whole seconds."""
        return formatdate(self._time().timestamp(), usegmt=True)


def _holds(name: str | None, parts: list[str]) -> bool:
    return any(part in (name or "") for part in parts)


def _passes(project: FakeProject, task: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a Data Manager filter lets a task through."""
    if wanted["filter"] == "filter:tasks:annotators":
        assert wanted["operator"] == "empty"
        return wanted["value"] is not any(one["task"] == task["id"] for one in project.annotations.values())
    value = task[wanted["filter"].removeprefix("filter:tasks:")]
    compare: dict[str, Callable[[Any, Any], bool]] = {
        "greater": operator.gt,
        "equal": operator.eq,
        "less_or_equal": operator.le,
        "in_list": lambda one, some: one in some,
    }
    return compare[wanted["operator"]](value, wanted["value"])


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _item(annotation_id: int, from_name: str, label: str | list[str]) -> dict[str, Any]:
    """What the labelling page makes of the chosen labels."""
    chosen = label if isinstance(label, list) else [label]
    return {
        "value": {"choices": chosen},
        "id": f"r{annotation_id:09}",
        "from_name": from_name,
        "to_name": "text",
        "type": "choices",
        "origin": "manual",
    }


def _connection_fields(body: dict[str, Any]) -> dict[str, Any]:
    kept = ("title", "url", "project", "extra_params", "auth_method", "basic_auth_user", "basic_auth_pass")
    return {name: body[name] for name in kept if name in body}


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _blocked(subnet: str) -> httpx.Response:
    if not subnet:
        return _error(500, "Can't resolve hostname somewhere")
    return _error(403, f"URL resolves to a reserved network address (block: {subnet})")


def _error(status: int, detail: str, errors: dict[str, list[str]] | None = None) -> httpx.Response:
    body: dict[str, Any] = {"id": "fake", "status_code": status, "version": "1.23.2", "detail": detail}
    body["exc_info"] = None
    if errors is not None:
        body["validation_errors"] = errors
    return httpx.Response(status, json=body)


def _failure(how: int | str | bytes | BaseException, request: httpx.Request) -> httpx.Response:
    if isinstance(how, BaseException):
        raise how
    if isinstance(how, int):
        return _error(how, "Invalid token." if how == 401 else "a fault that a test planned")
    if isinstance(how, bytes):
        return httpx.Response(200, content=how, headers={"Content-Type": "application/json"})
    if how == CLOSED:
        raise httpx.ConnectError("connection refused", request=request)
    if how == TIMEOUT:
        raise httpx.ReadTimeout("timed out", request=request)
    if how == BROKEN_JSON:
        return httpx.Response(200, content=b'{"id": 1, "tas', headers={"Content-Type": "application/json"})
    return httpx.Response(200, html="<!doctype html><html><body>Sign in</body></html>")


_ROUTES: list[tuple[str, str, Callable[..., httpx.Response]]] = [
    ("GET", r"/api/version", FakeLabelStudio._version),
    ("GET", r"/api/current-user/whoami", FakeLabelStudio._whoami),
    ("GET", r"/api/projects", FakeLabelStudio._list_projects),
    ("GET", r"/api/projects/counts", FakeLabelStudio._list_counts),
    ("POST", r"/api/projects", FakeLabelStudio._create_project),
    ("GET", r"/api/projects/(\d+)", FakeLabelStudio._get_project),
    ("PATCH", r"/api/projects/(\d+)", FakeLabelStudio._patch_project),
    ("GET", r"/api/tasks", FakeLabelStudio._list_tasks),
    ("GET", r"/api/projects/(\d+)/export", FakeLabelStudio._export),
    ("POST", r"/api/projects/(\d+)/import", FakeLabelStudio._import),
    ("POST", r"/api/projects/(\d+)/import/predictions", FakeLabelStudio._import_predictions),
    ("GET", r"/api/predictions", FakeLabelStudio._list_predictions),
    ("POST", r"/api/predictions", FakeLabelStudio._create_prediction),
    ("GET", r"/api/projects/(\d+)/model-versions", FakeLabelStudio._model_versions),
    ("DELETE", r"/api/projects/(\d+)/model-versions", FakeLabelStudio._delete_version),
    ("GET", r"/api/ml", FakeLabelStudio._list_connections),
    ("POST", r"/api/ml", FakeLabelStudio._create_connection),
    ("PATCH", r"/api/ml/(\d+)", FakeLabelStudio._patch_connection),
    ("DELETE", r"/api/ml/(\d+)", FakeLabelStudio._delete_connection),
    ("GET", r"/api/webhooks", FakeLabelStudio._list_webhooks),
    ("POST", r"/api/webhooks", FakeLabelStudio._create_webhook),
    ("PATCH", r"/api/webhooks/(\d+)", FakeLabelStudio._patch_webhook),
    ("DELETE", r"/api/webhooks/(\d+)", FakeLabelStudio._delete_webhook),
    ("POST", r"/api/dm/actions", FakeLabelStudio._act),
    ("GET", r"/api/annotations/(\d+)", FakeLabelStudio._get_annotation),
    ("DELETE", r"/api/annotations/(\d+)", FakeLabelStudio._delete_annotation),
    ("GET", r"/api/dm/views", FakeLabelStudio._list_tabs),
    ("POST", r"/api/dm/views", FakeLabelStudio._create_tab),
    ("DELETE", r"/api/dm/views/(\d+)", FakeLabelStudio._delete_tab),
]
