"""What the loop asks of Label Studio, over its SDK.

Every method raises StudioUnreachable (try again later) or StudioRefused (somebody must change something first).
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt
from label_studio_sdk.core.api_error import ApiError
from label_studio_sdk.core.client_wrapper import SyncClientWrapper

from backend.errors import AddressRefused, InvalidRequest, StudioRefused, StudioUnreachable
from backend.labeling import ACTIONS, Annotation, Task, project_key, read_annotation, read_task, version_number
from backend.studio import WEBHOOK_HEADER

TIMEOUT_SECONDS = 60.0
TASKS_A_PAGE = 1_000
PROJECTS_A_PAGE = 100
SAMPLING = "Uncertainty sampling"
TAB_TITLE = "Most informative first"
ADDRESS_ADVICE = (
    "Label Studio refuses to call this address. Start Label Studio with USE_DEFAULT_BANNED_SUBNETS=false and "
    "USER_ADDITIONAL_BANNED_SUBNETS=169.254.0.0/16,0.0.0.0/8 (metadata addresses stay blocked), "
    "or give an address that is not private with --backend-url"
)

_MARKUP = re.compile(r"<[^>]{0,200}>")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudioProject:
    """A project as Label Studio has it. `model_version` decides which predictions order its queue."""

    id: int
    key: str
    title: str
    label_config: str
    model_version: str | None
    n_tasks: int


@dataclass(frozen=True)
class ListedTask:
    """A task of a listing. changed_at: Label Studio's time of the last change of its data or annotations, ISO 8601."""

    task: Task
    changed_at: str
    n_annotations: int


@dataclass(frozen=True)
class Connection:
    """An ML backend connection of a project."""

    id: int
    title: str
    url: str
    model_version: str | None
    uses_basic_auth: bool


class Studio:
    """One Label Studio, seen with one user's token."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        basic_auth: tuple[str, str] | None = None,
        httpx_client: httpx.Client | None = None,
    ) -> None:
        """basic_auth: what Label Studio must send to this backend. httpx_client: a seam for tests.

        Of the SDK we use what sends requests: tokens, retries, errors. Its typed methods make an object of 40 fields of
        every answer's item, and importing them costs 80 MB.
        """
        self.url = url
        self._api_key = api_key
        self._basic_auth = basic_auth
        try:
            self._client = SyncClientWrapper(
                base_url=url,
                api_key=api_key,
                timeout=TIMEOUT_SECONDS,
                httpx_client=httpx_client or httpx.Client(timeout=TIMEOUT_SECONDS, follow_redirects=False),
            ).httpx_client
        except ApiError as exc:
            raise StudioRefused(self._sentence(exc)) from exc

    # -- reading ----------------------------------------------------------------------------------------------

    def project(self, project_id: int) -> StudioProject:
        """The project's settings."""
        found = self._json("GET", f"api/projects/{project_id}/")
        with self._asking():
            return StudioProject(
                id=project_id,
                key=project_key(project_id, found["created_at"]),
                title=found.get("title") or "",
                label_config=found.get("label_config") or "",
                model_version=found.get("model_version"),
                n_tasks=int(found.get("task_number") or 0),
            )

    def tasks(self, project_id: int, after: int = 0, changed_after: str | None = None) -> Iterator[list[ListedTask]]:
        """A project's tasks by ascending id, from the one after `after` on, in pages of 1,000 (0.3 to 0.6 s each).

        changed_after: only what changed after this time of Label Studio's. Annotating a task changes it, and so does
        deleting an annotation; importing or deleting predictions does not (measured on 1.23.2).
        """
        while True:
            wanted = [_filter("id", "greater", after, "Number")]
            if changed_after is not None:
                wanted.append(_filter("updated_at", "greater", changed_after, "Datetime"))
            answer = self._list(project_id, TASKS_A_PAGE, ["tasks:id"], wanted)
            with self._asking():
                page = [_listed_task(item) for item in answer["tasks"]]
            if page:
                yield page
                after = page[-1].task.id
            if len(page) < TASKS_A_PAGE:
                return

    def newest_change(self, project_id: int) -> str | None:
        """Label Studio's time of the newest change of a task or its annotations; None without tasks."""
        answer = self._list(project_id, 1, ["-tasks:updated_at"], [])
        with self._asking():
            return max((_listed_task(item).changed_at for item in answer["tasks"]), default=None)

    def annotations(self, project_id: int, task_ids: Sequence[int] | None = None) -> list[Annotation]:
        """All annotations of a project, or of some tasks, skipped ones too.

        Asks for annotated tasks only: 0.04 s where few are.
        """
        wanted = [("exportType", "JSON"), ("download_all_tasks", "false")]
        wanted += [("ids[]", str(task_id)) for task_id in task_ids or ()]
        exported = self._json("GET", f"api/projects/{project_id}/export?{urlencode(wanted)}")
        with self._asking():
            return [
                read_annotation({**annotation, "task": task["id"]})
                for task in exported
                for annotation in task.get("annotations") or []
                if isinstance(annotation, dict)
            ]

    def model_versions(self, project_id: int) -> dict[str, int]:
        """How many predictions each model version of a project has."""
        found = self._json("GET", f"api/projects/{project_id}/model-versions/")
        with self._asking():
            return {str(name): int(n) for name, n in found.items()}

    # -- publishing -------------------------------------------------------------------------------------------

    def push(self, project_id: int, predictions: Sequence[dict[str, Any]]) -> None:
        """Import predictions, each with its `task` (about 1.4 ms each on Label Studio's side)."""
        if predictions:
            self._json("POST", f"api/projects/{project_id}/import/predictions", list(predictions))

    def point_to(self, project_id: int, version: str) -> None:
        """Order the project's queue by a version's predictions; refused if there are none."""
        self._json("PATCH", f"api/projects/{project_id}/", {"model_version": version})

    def rename_connection(self, project_id: int, connection: Connection, version: str) -> None:
        """Give the connection the version's name, so that /predict is asked for tasks without its predictions.

        Label Studio asks only where a connection's title equals the project's model version (measured on 1.23.2).
        """
        credentials: dict[str, str] = {}
        if connection.uses_basic_auth and self._basic_auth:
            user, password = self._basic_auth
            credentials = {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}
        # With the title alone Label Studio answers 500: it validates the URL and the project too.
        values = {"title": version, "url": connection.url, "project": project_id, **credentials}
        self._json("PATCH", f"api/ml/{connection.id}", values)

    def delete_predictions(self, project_id: int, version: str) -> None:
        """Delete a version's predictions, about 5 ms each, while the connection's title is NOT the current version.

        Whatever version it is given, Label Studio empties project.model_version if a connection's title equals it,
        and the queue is random from then on (Project.should_none_model_version, measured on 1.23.2).
        """
        self._json("DELETE", f"api/projects/{project_id}/model-versions/", {"model_version": version})

    # -- connecting -------------------------------------------------------------------------------------------

    def connections(self, project_id: int) -> list[Connection]:
        """The ML backend connections of a project."""
        found = self._json("GET", f"api/ml/?project={project_id}")
        with self._asking():
            return [_connection(item) for item in found]

    def find_connection(self, project_id: int, backend_url: str | None) -> Connection | None:
        """The connection that is ours: by address, else by a version of ours, else the only one."""
        found = self.connections(project_id)
        tests: list[Callable[[Connection], bool]] = [
            lambda one: one.url.rstrip("/") == backend_url,
            lambda one: version_number(one.title) is not None,
            lambda one: version_number(one.model_version) is not None,
            lambda one: len(found) == 1,
        ]
        for is_ours in tests:
            for connection in found:
                if is_ours(connection):
                    return connection
        return None

    def connect(self, project_id: int, backend_url: str, extra_params: dict[str, Any] | None) -> Connection:
        """Create the project's connection to this backend, or bring it up to date. Raises AddressRefused.

        The connection keeps its title, which is the version that orders the queue.
        """
        values: dict[str, Any] = {"url": backend_url, "project": project_id, "is_interactive": False}
        if extra_params is not None:
            values["extra_params"] = extra_params
        if self._basic_auth:
            user, password = self._basic_auth
            values |= {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}
        known = next((one for one in self.connections(project_id) if one.url.rstrip("/") == backend_url), None)
        if known is None:
            made = self._json("POST", "api/ml/", {"title": "Active learning", **values})
        else:
            made = self._json("PATCH", f"api/ml/{known.id}", {"title": known.title, **values})
        with self._asking():
            return _connection(made)

    def replace_webhook(self, project_id: int, backend_url: str, secret: str) -> None:
        """Keep one webhook to this backend: limited to the actions we use, with the secret header.

        Label Studio makes none itself while one of the same address exists. Raises AddressRefused.
        """
        url = f"{backend_url}/webhook"
        wanted: dict[str, Any] = {
            "url": url,
            "headers": {WEBHOOK_HEADER: secret},
            "actions": list(ACTIONS),
            "send_payload": True,
            "send_for_all_actions": False,
            "is_active": True,
        }
        listed = self._json("GET", f"api/webhooks/?project={project_id}")
        with self._asking():
            ours = [
                int(hook["id"]) for hook in listed if hook["url"].rstrip("/") == url and hook["project"] == project_id
            ]
        for surplus in ours[1:]:
            self._json("DELETE", f"api/webhooks/{surplus}/")
        if ours:
            self._json("PATCH", f"api/webhooks/{ours[0]}/", wanted)
        else:
            self._json("POST", "api/webhooks/", {**wanted, "project": project_id})

    def arrange(self, project_id: int) -> None:
        """Make the project's queue follow the scores and show predictions to annotators."""
        self._json("PATCH", f"api/projects/{project_id}/", {"sampling": SAMPLING, "show_collab_predictions": True})

    def add_tab(self, project_id: int) -> None:
        """Add the Data Manager tab "Most informative first", unless it is there."""
        tabs = self._json("GET", f"api/dm/views?project={project_id}")
        with self._asking():
            if any(isinstance(tab.get("data"), dict) and tab["data"].get("title") == TAB_TITLE for tab in tabs):
                return
        data: dict[str, Any] = {
            "title": TAB_TITLE,
            "ordering": ["tasks:predictions_score"],
            "filters": {
                "conjunction": "and",
                "items": [
                    {"filter": "filter:tasks:total_annotations", "operator": "equal", "type": "Number", "value": 0}
                ],
            },
        }
        if not tabs:
            # The first stored tab takes the place of the default one, which must not vanish.
            self._json("POST", "api/dm/views/", {"project": project_id, "data": {"title": "Default"}})
        self._json("POST", "api/dm/views/", {"project": project_id, "data": data})

    def create_project(self, title: str, label_config: str) -> StudioProject:
        """Make a project."""
        made = self._json("POST", "api/projects/", {"title": title, "label_config": label_config})
        with self._asking():
            project_id = int(made["id"])
        return self.project(project_id)

    def find_project(self, title: str) -> StudioProject | None:
        """The oldest project of that title."""
        ids: list[int] = []
        page = 1
        while True:
            answer = self._json("GET", f"api/projects/?page={page}&page_size={PROJECTS_A_PAGE}")
            with self._asking():
                ids += [int(one["id"]) for one in answer["results"] if one["title"] == title]
                if not answer["next"]:
                    return self.project(min(ids)) if ids else None
            page += 1

    def import_tasks(self, project_id: int, tasks: Sequence[dict[str, Any]]) -> None:
        """Add tasks to a project."""
        self._json("POST", f"api/projects/{project_id}/import", list(tasks))

    # -- inside -----------------------------------------------------------------------------------------------

    def _list(self, project_id: int, n: int, ordering: list[str], filters: list[dict[str, Any]]) -> Any:
        """One page of tasks."""
        query = {"ordering": ordering, "filters": {"conjunction": "and", "items": filters}}
        wanted = urlencode(
            {
                "project": project_id,
                "include": "id,data,updated_at,total_annotations,cancelled_annotations",
                "page_size": n,
                "query": json.dumps(query),
            }
        )
        return self._json("GET", f"api/tasks?{wanted}")

    def _json(self, method: str, path: str, body: Any = None) -> Any:
        with self._asking():
            response = self._client.request(path, method=method, json=body)
            if response.status_code >= 400:
                raise ApiError(status_code=response.status_code, body=_body(response))
            return response.json() if response.content else None

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except ApiError as exc:
            sentence = self._sentence(exc)
            if "reserved network address" in str(exc.body) or "is not allowed" in str(exc.body):
                raise AddressRefused(f"{ADDRESS_ADVICE}. It said: {_detail(exc.body)}") from exc
            if exc.status_code is None or exc.status_code in (408, 429) or exc.status_code >= 500:
                raise StudioUnreachable(sentence) from exc
            raise StudioRefused(sentence) from exc
        except httpx.HTTPError as exc:
            reason = str(exc) or type(exc).__name__
            raise StudioUnreachable(f"Label Studio at {self.url} does not answer: {reason}") from exc
        except (ValueError, TypeError, KeyError, AttributeError, InvalidRequest) as exc:
            # Broken JSON, half an answer, or a page that is not Label Studio's.
            raise StudioUnreachable(
                f"Label Studio at {self.url} gave an answer that is not understood: {type(exc).__name__}"
            ) from exc

    def _sentence(self, exc: ApiError) -> str:
        if exc.status_code == 401:
            kind = "a personal access token" if _is_jwt(self._api_key) else "a legacy token"
            advice = (
                "it may have expired or been revoked"
                if _is_jwt(self._api_key)
                else "it may be wrong, or legacy tokens may be switched off (Organization > API Tokens Settings); "
                "a personal access token (Account & Settings) works too"
            )
            return f"Label Studio at {self.url} refuses LABEL_STUDIO_API_KEY, which is {kind}: {advice}"
        return f"Label Studio at {self.url} answered {exc.status_code}: {_detail(exc.body)}"


def _filter(name: str, operator: str, value: Any, kind: str) -> dict[str, Any]:
    return {"filter": f"filter:tasks:{name}", "operator": operator, "value": value, "type": kind}


def _listed_task(item: dict[str, Any]) -> ListedTask:
    n_annotations = int(item["total_annotations"] or 0) + int(item["cancelled_annotations"] or 0)
    return ListedTask(read_task(item), str(item["updated_at"]), n_annotations)


def _connection(item: dict[str, Any]) -> Connection:
    return Connection(
        id=int(item["id"]),
        title=item.get("title") or "",
        url=str(item["url"]),
        model_version=item.get("model_version"),
        uses_basic_auth=item.get("auth_method") == "BASIC_AUTH",
    )


def _body(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return response.text[:300]


def _detail(body: Any) -> str:
    """What Label Studio's error body says, in one line without markup or repetition."""
    if isinstance(body, dict):
        errors = body.get("validation_errors")
        if isinstance(errors, dict) and errors:
            body = "; ".join(str(error) for values in errors.values() for error in _listed(values))
        else:
            body = body.get("detail") or body
    text = str(body)
    if text.lstrip().startswith("<"):
        text = "a web page instead of JSON"
    return " ".join(_MARKUP.sub("", text).split())[:400]


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _is_jwt(token: str) -> bool:
    try:
        jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return False
    return True
