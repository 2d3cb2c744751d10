"""What the loop asks of Label Studio, over its SDK.

Every method raises StudioUnreachable (try again later) or StudioRefused (somebody must change something first).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from label_studio_sdk.core.api_error import ApiError
from label_studio_sdk.core.client_wrapper import SyncClientWrapper
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from label_studio_al.labeling import (
    ACTIONS,
    RUN_PREFIX,
    Annotation,
    Task,
    project_key,
    read_annotation,
    read_task,
    utc_time,
    version_number,
)
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.counting import Counts
from label_studio_al.runtime.errors import (
    AddressRefused,
    InvalidRequest,
    NotConnected,
    PredictionsLost,
    StudioError,
    StudioRefused,
    StudioUnreachable,
)
from label_studio_al.runtime.redaction import know
from label_studio_al.studio import WEBHOOK_HEADER
from label_studio_al.studio.circuit import RETRY_AFTER_AT_MOST, Circuit
from label_studio_al.studio.tokens import ACCESS, LEGACY, token_kind
from label_studio_al.studio.transport import (
    LIMITS,
    AnswerTooLarge,
    AnswerTooSlow,
    bounded_client,
    ending_after,
    tls_advice,
)

# Repeated where that is safe, within about two seconds: what lasts longer is repeated by the next turn.
TRIES = 3
_REPEATABLE = ("GET", "PATCH", "DELETE")
_BUSY = (408, 429)
TASKS_A_PAGE = 1_000
# Their ids stand in the address.
TASKS_A_REQUEST = 100
# Texts of a megabyte are asked for in smaller pages.
PAGE_BYTES = 16 * 1024 * 1024
PROJECTS_A_PAGE = 100
SAMPLING = "Uncertainty sampling"
UNSORTED = "Sequential sampling"
TAB_TITLE = "Most informative first"
AUTOMATIC_TAB_TITLE = "Labelled automatically"
ADDRESS_ADVICE = (
    "Label Studio refuses to call this address. Start Label Studio with USE_DEFAULT_BANNED_SUBNETS=false and "
    "USER_ADDITIONAL_BANNED_SUBNETS=169.254.0.0/16,0.0.0.0/8 (metadata addresses stay blocked), "
    "or give an address that is not private with --backend-url"
)
# Measured on 1.23.2: neither by the API nor with a new connection is such a webhook made.
DOTLESS_ADVICE = (
    "Label Studio takes no webhook to a host name without a dot, as containers have: give this backend's container a "
    "network alias with one (backend.internal), and that to AL_BACKEND_URL or --backend-url"
)
NAME_ADVICE = (
    "Label Studio cannot resolve this backend's name. Give the address under which Label Studio reaches it (in Docker "
    "a network alias or host.docker.internal) in AL_BACKEND_URL or with --backend-url"
)

# Columns of the Data Manager that a tab may hide (1.23.2).
_COLUMNS = (
    "inner_id",
    "completed_at",
    "total_annotations",
    "cancelled_annotations",
    "total_predictions",
    "annotators",
    "annotations_results",
    "annotations_ids",
    "predictions_score",
    "predictions_model_versions",
    "predictions_results",
    "file_upload",
    "storage_filename",
    "created_at",
    "updated_at",
    "updated_by",
    "avg_lead_time",
    "draft_exists",
)
# Of a project; both are counted when they are asked for.
_COUNTED = ("total_annotations_number", "skipped_annotations_number")
_LEGACY_TOKENS_OFF = "legacy token authentication has been disabled"
# Label Studio resolves a backend's name itself, before anything else.
_UNRESOLVED = "resolve hostname"
_BLOCKED = re.compile(r"\(block: ([0-9a-fA-F.:/]+)\)")
_MARKUP = re.compile(r"<[^>]{0,200}>")


class _TooLarge(StudioUnreachable):
    """An answer was larger than what is taken."""


class _TooSlow(StudioUnreachable):
    """An answer did not come to its end in time."""


@dataclass(frozen=True)
class _Answer:
    """What was answered. told_at: the server's clock, in seconds since 1970."""

    content: Any
    n_bytes: int
    told_at: float | None


@dataclass(frozen=True)
class StudioProject:
    """A project as Label Studio has it. `model_version` decides which predictions order its queue.

    n_annotations: skipped ones too, counted in the moment of the answer. told_at: what Label Studio's clock said then
    (ISO 8601, UTC, cut to the second), None if it did not tell.
    """

    id: int
    key: str
    title: str
    label_config: str
    model_version: str | None
    n_tasks: int
    n_annotations: int
    sampling: str | None
    shows_predictions: bool
    told_at: str | None


@dataclass(frozen=True)
class ListedTask:
    """A task of a listing. changed_at: Label Studio's time of the last change of its data or annotations, ISO 8601."""

    task: Task
    changed_at: str


@dataclass(frozen=True)
class Connection:
    """An ML backend connection of a project. is_lost: whether Label Studio did not get on with it when it last tried.

    refusal: what the backend answered then, if it answered at all.
    """

    id: int
    title: str
    url: str
    model_version: str | None
    uses_basic_auth: bool
    is_lost: bool
    refusal: str | None


@dataclass(frozen=True)
class Webhook:
    """A webhook of a project. actions: None for all there are. secret: our header's value, None without it."""

    id: int
    url: str
    actions: frozenset[str] | None
    is_active: bool
    sends_payload: bool
    secret: str | None = field(repr=False)


@dataclass(frozen=True)
class Answers:
    """All annotations of a task. has_draft: whether somebody has begun to change or add one."""

    task_id: int
    annotations: tuple[Annotation, ...]
    has_draft: bool


class Studio:
    """One Label Studio, seen with one user's token."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        basic_auth: tuple[str, str] | None = None,
        httpx_client: httpx.Client | None = None,
        ca_bundle: Path | None = None,
        clock: Clock | None = None,
        counts: Counts | None = None,
        installation: str = "",
    ) -> None:
        """basic_auth: what Label Studio must send to this backend. httpx_client: a seam for tests.

        counts: where calls are counted. installation: what the names of this backend's versions tell.

        Of the SDK we use the tokens only: it repeats every failed call, also those that may have taken effect. Its
        typed methods make an object of 40 fields of every answer's item, and importing them costs 80 MB.
        """
        self.url = url
        self.installation = installation
        self._api_key = api_key
        self._basic_auth = basic_auth
        self._clock = clock or Clock()
        self._counts = counts or Counts()
        self._circuit = Circuit(self._clock)
        self._http = httpx_client or bounded_client(ca_bundle=ca_bundle)
        try:
            self._tokens = SyncClientWrapper(base_url=f"{url}/", api_key=api_key, httpx_client=self._http)
        except ApiError as exc:
            raise StudioRefused(self._sentence(exc)) from exc

    # -- reading ----------------------------------------------------------------------------------------------

    def user(self) -> str:
        """The email of the token's user."""
        found = self._json("GET", "api/current-user/whoami")
        with self._asking():
            return str(found["email"])

    def project(self, project_id: int) -> StudioProject:
        """The project's settings."""
        answer = self._ask("GET", f"api/projects/{project_id}/", None)
        found = answer.content
        with self._asking():
            return StudioProject(
                id=project_id,
                key=project_key(project_id, found["created_at"]),
                title=found.get("title") or "",
                label_config=found.get("label_config") or "",
                model_version=found.get("model_version"),
                n_tasks=int(found.get("task_number") or 0),
                n_annotations=sum(int(found.get(name) or 0) for name in _COUNTED),
                sampling=found.get("sampling"),
                shows_predictions=bool(found.get("show_collab_predictions")),
                told_at=_text(answer.told_at),
            )

    def counts(self, project_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
        """How many tasks and annotations, skipped ones too, each of these projects has: 100 projects a question.

        Label Studio counts them when asked (measured on 1.23.2). A project that is not there is left out.
        """
        found: dict[int, tuple[int, int]] = {}
        for first in range(0, len(project_ids), PROJECTS_A_PAGE):
            wanted = {
                "ids": ",".join(map(str, project_ids[first : first + PROJECTS_A_PAGE])),
                "include": ",".join(("task_number", *_COUNTED)),
                "page_size": PROJECTS_A_PAGE,
            }
            answer = self._json("GET", f"api/projects/counts/?{urlencode(wanted)}")
            with self._asking():
                for item in answer["results"]:
                    n_annotations = sum(int(item[name] or 0) for name in _COUNTED)
                    found[int(item["id"])] = int(item["task_number"] or 0), n_annotations
        return found

    def tasks(
        self,
        project_id: int,
        after: int = 0,
        changed_after: str | None = None,
        among: Sequence[int] | None = None,
    ) -> Iterator[list[ListedTask]]:
        """A project's tasks by ascending id, from the one after `after` on, in pages of 1,000 (0.3 to 0.6 s each).

        changed_after: only what changed after this time of Label Studio's. Annotating a task changes it, and so does
        deleting an annotation; importing or deleting predictions does not (measured on 1.23.2). among: only these.
        """
        size = TASKS_A_PAGE
        while True:
            wanted = [_filter("id", "greater", after, "Number")]
            if changed_after is not None:
                wanted.append(_filter("updated_at", "greater", changed_after, "Datetime"))
            if among is not None:
                wanted.append(_filter("id", "in_list", list(among), "Number"))
            try:
                answer = self._list(project_id, size, ["tasks:id"], wanted)
            except _TooLarge:
                if size == 1:
                    raise
                size = max(1, size // 8)
                continue
            with self._asking():
                page = [_listed_task(item) for item in answer.content["tasks"]]
                if page and page[-1].task.id <= after:
                    raise InvalidRequest("the next page must hold later tasks")
            if page:
                yield page
                after = page[-1].task.id
            if len(page) < size:
                return
            # About a page's worth of bytes next time.
            size = max(1, min(TASKS_A_PAGE, size * PAGE_BYTES // max(1, answer.n_bytes)))

    def tasks_among(self, project_id: int, task_ids: Sequence[int]) -> list[Task]:
        """Those of the tasks that the project has."""
        chunks = (task_ids[first : first + TASKS_A_REQUEST] for first in range(0, len(task_ids), TASKS_A_REQUEST))
        return [one.task for some in chunks for page in self.tasks(project_id, among=some) for one in page]

    def newest_change(self, project_id: int) -> str | None:
        """Label Studio's time of the newest change of a task or its annotations; None without tasks."""
        answer = self._list(project_id, 1, ["-tasks:updated_at"], [])
        with self._asking():
            return max((_listed_task(item).changed_at for item in answer.content["tasks"]), default=None)

    def annotations(self, project_id: int) -> list[Annotation]:
        """All annotations of a project, skipped ones too: 0.04 s where few are."""
        return [one for answers in self.answers(project_id).values() for one in answers.annotations]

    def answers(self, project_id: int, task_ids: Sequence[int] | None = None) -> dict[int, Answers]:
        """The annotations of some tasks, or of all that have any, skipped ones too; by task.

        A task that is asked for is in the answer also without annotations, unless there is no such task. Label Studio
        looks at the annotations themselves, not at their number on the task, which may be wrong (measured on 1.23.2).
        """
        if task_ids is None:
            return self._answers(project_id, [("download_all_tasks", "false")])
        found: dict[int, Answers] = {}
        done, size = 0, TASKS_A_REQUEST
        while done < len(task_ids):
            some = [("ids[]", str(task_id)) for task_id in task_ids[done : done + size]]
            try:
                found |= self._answers(project_id, [("download_all_tasks", "true"), *some])
            except _TooLarge:
                # Their texts come along.
                if size == 1:
                    raise
                size = max(1, size // 8)
            else:
                done += size
        return found

    def open_tasks(self, project_id: int, task_ids: Sequence[int]) -> set[int]:
        """Those of the tasks that exist and that nobody has answered or skipped."""
        return {task_id for task_id, one in self.answers(project_id, task_ids).items() if not one.annotations}

    def annotation(self, annotation_id: int) -> Annotation | None:
        """One annotation; None if there is none of that number."""
        try:
            found = self._json("GET", f"api/annotations/{annotation_id}/")
        except StudioRefused as exc:
            if exc.code != httpx.codes.NOT_FOUND:
                raise
            return None
        with self._asking():
            return read_annotation(found)

    def model_versions(self, project_id: int) -> dict[str, int]:
        """How many predictions each model version of a project has."""
        found = self._json("GET", f"api/projects/{project_id}/model-versions/")
        with self._asking():
            return {str(name): int(n) for name, n in found.items()}

    # -- trying -----------------------------------------------------------------------------------------------

    def try_address(self, project_id: int, backend_url: str) -> None:
        """Whether we may change the project, and whether Label Studio may call the address. Nothing is made.

        Basic auth is announced without credentials, which Label Studio minds after both and before it calls anybody
        (measured on 1.23.2). Raises StudioRefused, AddressRefused.
        """
        incomplete = {"url": backend_url, "project": project_id, "auth_method": "BASIC_AUTH"}
        self._try("api/ml/", incomplete)

    def try_webhook_address(self, project_id: int, backend_url: str) -> None:
        """Whether Label Studio may send webhooks to the address, which other settings decide. Nothing is made.

        An action that does not exist is minded after the address (measured on 1.23.2). Raises AddressRefused.
        """
        impossible = {"url": f"{backend_url}/webhook", "project": project_id, "actions": ["NOTHING"]}
        self._try("api/webhooks/", impossible)

    def call_back(self, project_id: int, connection: Connection) -> None:
        """Have Label Studio call the connection's /health and /setup. Raises StudioRefused with what went wrong."""
        values = {"url": connection.url, "project": project_id, **self._credentials(connection)}
        self._json("PATCH", f"api/ml/{connection.id}", values)

    # -- publishing -------------------------------------------------------------------------------------------

    def push(self, project_id: int, predictions: Sequence[dict[str, Any]]) -> None:
        """Import predictions, each with its `task` (about 1.4 ms each on Label Studio's side).

        Label Studio counts the annotations of all tasks of the project meanwhile, and then writes what it counted: the
        count of a task that is labelled in between is wrong from then on (measured on 1.23.2).
        """
        if predictions:
            self._json("POST", f"api/projects/{project_id}/import/predictions", list(predictions))

    def push_one(self, project_id: int, task_id: int, prediction: dict[str, Any]) -> None:
        """Add one prediction (70 ms), which counts no annotations. The task's time of change becomes now.

        Sent twice it is there twice (measured on 1.23.2).
        """
        self._json("POST", "api/predictions/", {**prediction, "task": task_id, "project": project_id})

    def predicted_tasks(self, project_id: int, task_ids: Sequence[int], version: str) -> set[int]:
        """Those of the tasks that have a prediction of a version."""
        found: set[int] = set()
        for first in range(0, len(task_ids), TASKS_A_REQUEST):
            wanted = [
                _filter("id", "in_list", list(task_ids[first : first + TASKS_A_REQUEST]), "Number"),
                # Lets through longer names, too.
                _filter("predictions_model_versions", "contains", [version], "List"),
            ]
            answer = self._list(project_id, TASKS_A_PAGE, ["tasks:id"], wanted)
            with self._asking():
                found |= {_listed_task(item).task.id for item in answer.content["tasks"]}
        return {task_id for task_id in found if version in self._versions_of(task_id)}

    def _versions_of(self, task_id: int) -> set[str]:
        """The versions of a task's predictions."""
        found = self._json("GET", f"api/predictions/?task={task_id}")
        with self._asking():
            return {str(one["model_version"]) for one in found}

    def point_to(self, project_id: int, version: str) -> None:
        """Order the project's queue by a version's predictions; refused if there are none."""
        self._json("PATCH", f"api/projects/{project_id}/", {"model_version": version})

    def switch(self, project_id: int, backend_url: str | None, version: str, *, is_pushed: bool) -> None:
        """Make a version the one that orders the queue and that /predict is asked for.

        Renaming the connection moves the project's version along, and changes nothing else of the project. PATCHing
        the project saves the whole of it, and so undoes what an admin saves in the same moment: it is left to where
        renaming cannot do it. is_pushed: whether the version has predictions, without which Label Studio refuses it.
        Raises PredictionsLost where it should have some and has none.
        """
        # Asked for each time: an admin may have corrected its address, and renaming sends it along.
        connection = self.our_connection(project_id, backend_url, [version])
        is_moved_along = not is_pushed or self.project(project_id).model_version == connection.title
        # Last, so that nothing but the switch itself comes between: it would not be refused.
        if is_pushed and not self.model_versions(project_id).get(version):
            raise PredictionsLost(
                f"Label Studio lacks the predictions of {version} that it was sent (was it put back to a backup?): the "
                "next turn asks it what else it lacks, and makes a new version"
            )
        if not is_moved_along:
            self.point_to(project_id, version)
        self.rename_connection(project_id, connection, version)

    def rename_connection(self, project_id: int, connection: Connection, version: str) -> None:
        """Give the connection the version's name, so that /predict is asked for tasks without its predictions.

        Label Studio asks only where a connection's title equals the project's model version (measured on 1.23.2).
        """
        self._change_connection(project_id, connection, {"title": version})

    def set_extra_params(self, project_id: int, connection: Connection, extra_params: dict[str, Any]) -> None:
        """Replace the project's settings that an admin typed when connecting the model."""
        self._change_connection(project_id, connection, {"title": connection.title, "extra_params": extra_params})

    def delete_predictions(self, project_id: int, version: str) -> None:
        """Delete a version's predictions, about 5 ms each, while the connection's title is NOT the current version.

        Whatever version it is given, Label Studio empties project.model_version if a connection's title equals it,
        and the queue is random from then on (Project.should_none_model_version, measured on 1.23.2).
        """
        self._json("DELETE", f"api/projects/{project_id}/model-versions/", {"model_version": version})

    # -- labelling automatically ------------------------------------------------------------------------------

    def label_from_predictions(self, project_id: int, task_ids: Sequence[int], version: str) -> None:
        """Make annotations of a version's predictions on tasks that nobody has answered (about 1 ms each).

        Whether nobody has is looked at inside of the same call. Repeating it makes none twice.
        """
        body = {**_selected(task_ids, _UNANSWERED), "model_version": version}
        self._json("POST", f"api/dm/actions?id=predictions_to_annotations&project={project_id}", body)

    def clear_tasks(self, project_id: int, task_ids: Sequence[int], unchanged_since: str) -> None:
        """Delete all annotations of tasks that have one, where nothing has changed after a time of Label Studio's.

        Whoever submits or corrects an annotation changes its task (measured on 1.23.2); that, too, is looked at
        inside of the same call. About thirty times as fast as one by one.
        """
        filters = [
            _filter("updated_at", "less_or_equal", unchanged_since, "Datetime"),
            _filter("total_annotations", "equal", 1, "Number"),
        ]
        path = f"api/dm/actions?id=delete_tasks_annotations&project={project_id}"
        self._json("POST", path, _selected(task_ids, filters))

    def delete_annotation(self, annotation_id: int) -> None:
        """Delete one annotation, if it is there."""
        try:
            self._json("DELETE", f"api/annotations/{annotation_id}/")
        except StudioRefused as exc:
            if exc.code != httpx.codes.NOT_FOUND:
                raise

    # -- connecting -------------------------------------------------------------------------------------------

    def connections(self, project_id: int) -> list[Connection]:
        """The ML backend connections of a project."""
        found = self._json("GET", f"api/ml/?project={project_id}")
        with self._asking():
            return [_connection(item) for item in found]

    def find_connection(
        self, project_id: int, backend_url: str | None, versions: Collection[str] = ()
    ) -> Connection | None:
        """The connection over which Label Studio reaches this backend, if there is one: see `our_connection`."""
        return our_connection(self.connections(project_id), backend_url, self.installation, versions)

    def our_connection(self, project_id: int, backend_url: str | None, versions: Collection[str]) -> Connection:
        """The same; raises NotConnected where there is none."""
        connection = self.find_connection(project_id, backend_url, versions)
        if connection is None:
            raise NotConnected(
                f"project {project_id} has no ML backend connection to this backend (it was removed, or leads to "
                "another one): nothing is pushed or changed there. To go on, add this backend's URL on its model page, "
                f"or run label-studio-al connect --project {project_id}"
            )
        return connection

    def connect(self, project_id: int, backend_url: str, extra_params: dict[str, Any] | None) -> Connection:
        """Create the project's connection to this backend, or bring it up to date. Raises AddressRefused.

        The connection keeps its title, which is the version that orders the queue. One of ours that Label Studio does
        not reach any more is taken over: this backend has moved.
        """
        values: dict[str, Any] = {"url": backend_url, "project": project_id, "is_interactive": False}
        if extra_params is not None:
            values["extra_params"] = extra_params
        if self._basic_auth:
            user, password = self._basic_auth
            values |= {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}
        found = self.connections(project_id)
        at_this_url = [one for one in found if one.url.rstrip("/") == backend_url]
        moved = [one for one in found if one.is_lost and version_number(one.title, self.installation) is not None]
        known = next(iter(at_this_url + moved), None)
        if known is None:
            made = self._json("POST", "api/ml/", {"title": "Active learning", **values})
            found = self.connections(project_id)
        else:
            made = self._json("PATCH", f"api/ml/{known.id}", {"title": known.title, **values})
        with self._asking():
            connection = _connection(made)
        # Made by hand, or by a request that Label Studio on SQLite ran again since it had met another's write.
        for one in found:
            if one.id != connection.id and one.url.rstrip("/") == backend_url:
                self.remove_connection(one.id)
        return connection

    def disconnect(self, project_id: int, backend_url: str, versions: Collection[str]) -> None:
        """Undo what connecting and publishing made: connection, webhook, tabs, sampling and our predictions.

        versions: names of this backend's versions that do not tell whose they are (see `version_number`).
        """
        connection = self.find_connection(project_id, backend_url, versions)
        if connection is not None:
            self.remove_connection(connection.id)
            backend_url = connection.url.rstrip("/")
        for webhook in self._webhooks_to(project_id, backend_url):
            self.remove_webhook(webhook)
        self._remove_tabs(project_id, (TAB_TITLE, AUTOMATIC_TAB_TITLE))
        if self.project(project_id).sampling == SAMPLING:
            self._json("PATCH", f"api/projects/{project_id}/", {"sampling": UNSORTED})
        for name in self.model_versions(project_id):
            if version_number(name, self.installation) is not None or name in versions:
                self.delete_predictions(project_id, name)

    def remove_connection(self, connection_id: int) -> None:
        """Remove a connection. Label Studio keeps the project's version."""
        self._json("DELETE", f"api/ml/{connection_id}")

    def webhooks(self, project_id: int) -> list[Webhook]:
        """The webhooks of a project."""
        listed = self._json("GET", f"api/webhooks/?project={project_id}")
        with self._asking():
            return [_webhook(hook) for hook in listed if hook["project"] == project_id]

    def remove_webhook(self, webhook: Webhook) -> None:
        """Remove a webhook."""
        self._json("DELETE", f"api/webhooks/{webhook.id}/")

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
        ours = self._webhooks_to(project_id, backend_url)
        if ours:
            self._json("PATCH", f"api/webhooks/{ours[0].id}/", wanted)
        else:
            self._json("POST", "api/webhooks/", {**wanted, "project": project_id})
            ours = self._webhooks_to(project_id, backend_url)
        # As with connections.
        for surplus in ours[1:]:
            self.remove_webhook(surplus)

    def renew_webhooks(self, project_id: int, backend_url: str | None, secret: str) -> bool:
        """Give this secret to the webhooks to this backend that carry another one. Returns whether there were any."""
        connection = self.find_connection(project_id, backend_url)
        if connection is None:
            return False
        ours = self._webhooks_to(project_id, connection.url.rstrip("/"))
        if all(one.secret in (None, secret) for one in ours):
            return False
        self.replace_webhook(project_id, connection.url.rstrip("/"), secret)
        return True

    def arrange(self, project_id: int) -> None:
        """Make the project's queue follow the scores and show predictions to annotators."""
        self.set_queue(project_id, SAMPLING, True)

    def set_queue(self, project_id: int, sampling: str | None, shows_predictions: bool) -> None:
        """How the project's queue is ordered, and whether annotators see predictions."""
        wanted = {"sampling": sampling, "show_collab_predictions": shows_predictions}
        self._json("PATCH", f"api/projects/{project_id}/", wanted)

    def add_tab(self, project_id: int) -> None:
        """Add the Data Manager tab "Most informative first", unless it is there."""
        unlabelled = [_filter("total_annotations", "equal", 0, "Number")]
        columns = ("predictions_score", "predictions_results", "predictions_model_versions")
        self._add_tab(project_id, TAB_TITLE, ["tasks:predictions_score"], unlabelled, columns)

    def add_automatic_tab(self, project_id: int) -> None:
        """Add the Data Manager tab "Labelled automatically", unless it is there."""
        # By the predictions: looking into the annotations takes Label Studio 30 times as long (measured on 1.23.2).
        labelled = [
            _filter("predictions_model_versions", "contains", [RUN_PREFIX], "List"),
            _filter("total_annotations", "greater", 0, "Number"),
        ]
        columns = ("annotations_results", "updated_by", "updated_at", "predictions_model_versions")
        self._add_tab(project_id, AUTOMATIC_TAB_TITLE, ["tasks:id"], labelled, columns)

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

    def has_projects(self) -> bool:
        """Whether the user sees any project."""
        answer = self._json("GET", "api/projects/?page=1&page_size=1")
        with self._asking():
            return bool(answer["results"])

    def import_tasks(self, project_id: int, tasks: Sequence[dict[str, Any]]) -> None:
        """Add tasks to a project."""
        self._json("POST", f"api/projects/{project_id}/import", list(tasks))

    # -- inside -----------------------------------------------------------------------------------------------

    def _add_tab(
        self,
        project_id: int,
        title: str,
        ordering: list[str],
        filters: list[dict[str, Any]],
        columns: Sequence[str],
    ) -> None:
        """columns: shown beside the task's number and data."""
        tabs = self._json("GET", f"api/dm/views?project={project_id}")
        with self._asking():
            if any(isinstance(tab.get("data"), dict) and tab["data"].get("title") == title for tab in tabs):
                return
        shown = {"conjunction": "and", "items": filters}
        if not tabs:
            # The first stored tab takes the place of the default one, which must not vanish.
            self._json("POST", "api/dm/views/", {"project": project_id, "data": {"title": "Default"}})
        hidden = [f"tasks:{name}" for name in _COLUMNS if name not in columns]
        data = {
            "title": title,
            "ordering": ordering,
            "filters": shown,
            # In the table, and beside the task that is labelled.
            "hiddenColumns": {"explore": hidden, "labeling": hidden},
        }
        self._json("POST", "api/dm/views/", {"project": project_id, "data": data})

    def _remove_tabs(self, project_id: int, titles: Sequence[str]) -> None:
        tabs = self._json("GET", f"api/dm/views?project={project_id}")
        with self._asking():
            ids = [int(tab["id"]) for tab in tabs if (tab.get("data") or {}).get("title") in titles]
        for tab_id in ids:
            self._json("DELETE", f"api/dm/views/{tab_id}/")

    def _webhooks_to(self, project_id: int, backend_url: str) -> list[Webhook]:
        return [one for one in self.webhooks(project_id) if one.url == f"{backend_url}/webhook"]

    def _credentials(self, connection: Connection) -> dict[str, str]:
        """What a changed connection must be given again."""
        if not (connection.uses_basic_auth and self._basic_auth):
            return {}
        user, password = self._basic_auth
        return {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}

    def _try(self, path: str, body: Any) -> None:
        """POST what cannot be valid, to see what is minded before that."""
        try:
            self._json("POST", path, body)
        except StudioRefused as exc:
            if exc.code != httpx.codes.BAD_REQUEST:
                raise

    def _change_connection(self, project_id: int, connection: Connection, values: dict[str, Any]) -> None:
        # With the title alone Label Studio answers 500: it validates the URL and the project too.
        wanted = {"url": connection.url, "project": project_id, **self._credentials(connection), **values}
        self._json("PATCH", f"api/ml/{connection.id}", wanted)

    def _answers(self, project_id: int, wanted: Sequence[tuple[str, str]]) -> dict[int, Answers]:
        exported = self._json("GET", f"api/projects/{project_id}/export?{urlencode([('exportType', 'JSON'), *wanted])}")
        with self._asking():
            return {int(task["id"]): _answers(task) for task in exported}

    def _list(self, project_id: int, n: int, ordering: list[str], filters: list[dict[str, Any]]) -> _Answer:
        """One page of tasks."""
        query = {"ordering": ordering, "filters": {"conjunction": "and", "items": filters}}
        wanted = urlencode(
            {
                "project": project_id,
                "include": "id,data,updated_at",
                "page_size": n,
                "query": json.dumps(query),
            }
        )
        return self._ask("GET", f"api/tasks?{wanted}", None)

    def _json(self, method: str, path: str, body: Any = None) -> Any:
        return self._ask(method, path, body).content

    def _ask(self, method: str, path: str, body: Any) -> _Answer:
        """The answer. Repeated only where a call that took effect does no harm twice."""
        repeat = Retrying(
            stop=stop_after_attempt(TRIES if method in _REPEATABLE else 1),
            wait=wait_random_exponential(multiplier=0.25, max=1.0),
            retry=retry_if_exception(_is_worth_repeating),
            sleep=self._clock.sleep,
            reraise=True,
        )
        return repeat(self._ask_once, method, path, body)

    def _ask_once(self, method: str, path: str, body: Any) -> _Answer:
        # The token's exchange and its repetition count, too.
        with self._circuit.call(), self._counting(method), self._asking(), ending_after(LIMITS.seconds):
            answer = self._send(method, path, body)
            if answer.status_code == 401 and token_kind(self._api_key) != LEGACY:
                # The access token may have been revoked before its time.
                self._tokens._tokens_client._access_token = None
                answer = self._send(method, path, body)
            headers, content = answer.headers, answer.content
            if answer.status_code >= 400:
                raise ApiError(status_code=answer.status_code, headers=dict(headers), body=_body(content))
            return _Answer(json.loads(content) if content else None, len(content), _date(headers.get("date")))

    def _send(self, method: str, path: str, body: Any) -> httpx.Response:
        credentials = self._tokens.get_headers()
        # An access token may be new.
        know(credentials.get("Authorization", "").rpartition(" ")[2])
        headers = {**credentials, "Accept": "application/json"}
        return self._http.request(method, f"{self.url}/{path}", json=body, headers=headers)

    @contextmanager
    def _counting(self, method: str) -> Iterator[None]:
        outcome = "unreachable"
        try:
            with self._counts.timing("label_studio_al_studio_call_seconds", method=method):
                yield
            outcome = "answered"
        except StudioUnreachable:
            raise
        except StudioError:
            outcome = "refused"
            raise
        finally:
            self._counts.add("label_studio_al_studio_calls_total", method=method, outcome=outcome)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except ApiError as exc:
            sentence = self._sentence(exc)
            if "reserved network address" in str(exc.body) or "is not allowed" in str(exc.body):
                raise AddressRefused(f"{ADDRESS_ADVICE}. It said: {_detail(exc.body)}", _subnet(exc.body)) from exc
            if "Enter a valid URL" in str(exc.body):
                raise AddressRefused(f"{DOTLESS_ADVICE}. It said: {_detail(exc.body)}") from exc
            if _UNRESOLVED in str(exc.body):
                raise AddressRefused(f"{NAME_ADVICE}. It said: {_detail(exc.body)}") from exc
            if exc.status_code is None or exc.status_code in _BUSY or exc.status_code >= 500:
                raise StudioUnreachable(sentence, retry_after=_retry_after(exc, self._clock.now())) from exc
            raise StudioRefused(sentence, code=exc.status_code) from exc
        except AnswerTooLarge as exc:
            raise _TooLarge(f"Label Studio at {self.url} {exc}") from exc
        except AnswerTooSlow as exc:
            raise _TooSlow(f"Label Studio at {self.url} {exc}") from exc
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            reason = tls_advice(str(exc)) or str(exc) or type(exc).__name__
            raise StudioUnreachable(f"Label Studio at {self.url} does not answer: {reason}") from exc
        except (
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            InvalidRequest,
        ) as exc:
            # Broken JSON, half an answer, or a page that is not Label Studio's.
            raise StudioUnreachable(
                f"Label Studio at {self.url} gave an answer that is not understood: {type(exc).__name__}"
            ) from exc

    def _sentence(self, exc: ApiError) -> str:
        detail = _detail(exc.body)
        if exc.status_code == 401:
            kind = token_kind(self._api_key)
            if kind == ACCESS:
                why = (
                    "an access token, which is valid for minutes: give the personal access token that it was made "
                    "from (Account & Settings)"
                )
            elif kind != LEGACY:
                why = "a personal access token: it has expired or was revoked; make a new one (Account & Settings)"
            elif _LEGACY_TOKENS_OFF in detail:
                why = (
                    "a legacy token, and this Label Studio has legacy tokens switched off: use a personal access token "
                    "(Account & Settings), or switch them on (Organization > API Tokens Settings)"
                )
            else:
                why = "no personal access token, so taken for a legacy token, and not one that it knows: copy it again"
            return f"Label Studio at {self.url} refuses LABEL_STUDIO_API_KEY, which is {why}"
        if exc.status_code == 403:
            return (
                f"Label Studio at {self.url} does not let the user of LABEL_STUDIO_API_KEY do this: "
                f"give them the right to change the project. It said: {detail}"
            )
        return f"Label Studio at {self.url} answered {exc.status_code}: {detail}"


def our_connection(
    found: Sequence[Connection], backend_url: str | None, installation: str, versions: Collection[str] = ()
) -> Connection | None:
    """The connection over which Label Studio reaches this backend: /setup answered there with a name of ours.

    Label Studio calls /health and /setup of each connection whenever they are listed, and keeps the version that was
    answered (measured on 1.23.2). So this also finds connections to addresses that only Label Studio knows, and one
    that was edited to lead to another backend is not ours, whatever its title says. backend_url: a connection to this
    address is ours before anybody has answered. versions: names of an older release, which tell nobody's.
    """

    def has_answered(one: Connection) -> bool:
        return version_number(one.model_version, installation) is not None or one.model_version in versions

    def is_at_our_address(one: Connection) -> bool:
        return one.url.rstrip("/") == backend_url

    ours = [one for one in found if has_answered(one) or is_at_our_address(one)]
    return max(ours, key=is_at_our_address, default=None)


def _is_worth_repeating(exc: BaseException) -> bool:
    """Whether the same call may well succeed in a second. One that says when it wants to be asked again, does not."""
    return isinstance(exc, StudioUnreachable) and not isinstance(exc, (_TooLarge, _TooSlow)) and exc.retry_after is None


def _retry_after(exc: ApiError, now: float) -> float | None:
    """Seconds that the server asks for: a number, or a date (RFC 9110, 10.2.3). None if it asks for none.

    300 at most: no server puts a project to sleep for years. now: what the time is if the server does not tell, by
    whose clock its date is meant.
    """
    headers = exc.headers or {}
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        moment, theirs = _date(value), _date(headers.get("date"))
        if moment is None:
            return None
        seconds = moment - (now if theirs is None else theirs)
    return None if math.isnan(seconds) else min(RETRY_AFTER_AT_MOST, max(0.0, seconds))


def _text(moment: float | None) -> str | None:
    return None if moment is None else utc_time(datetime.fromtimestamp(moment, timezone.utc).isoformat(), "Date")


def _date(value: str | None) -> float | None:
    """A date of HTTP's in seconds since 1970."""
    try:
        moment = parsedate_to_datetime(value or "")
        return moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _filter(name: str, operator: str, value: Any, kind: str) -> dict[str, Any]:
    return {"filter": f"filter:tasks:{name}", "operator": operator, "value": value, "type": kind}


# By the annotations themselves: their number on the task may be too low (measured on 1.23.2).
_UNANSWERED = [_filter("annotators", "empty", True, "List")]


def _selected(task_ids: Sequence[int], filters: list[dict[str, Any]]) -> dict[str, Any]:
    """What a Data Manager action works on: those of the tasks that the filters let through."""
    return {
        "selectedItems": {"all": False, "included": list(task_ids)},
        "filters": {"conjunction": "and", "items": filters},
    }


def _answers(task: dict[str, Any]) -> Answers:
    given = [one for one in task.get("annotations") or [] if isinstance(one, dict)]
    annotations = tuple(read_annotation({**one, "task": task["id"]}) for one in given)
    return Answers(int(task["id"]), annotations, bool(task.get("drafts")))


def _listed_task(item: dict[str, Any]) -> ListedTask:
    return ListedTask(read_task(item), utc_time(item["updated_at"], "task.updated_at"))


def _connection(item: dict[str, Any]) -> Connection:
    return Connection(
        id=int(item["id"]),
        title=item.get("title") or "",
        url=str(item["url"]),
        model_version=item.get("model_version"),
        uses_basic_auth=item.get("auth_method") == "BASIC_AUTH",
        # Its states: CO, DI (disconnected), ER, TR, PR (measured on 1.23.2).
        is_lost=item.get("state") in ("DI", "ER"),
        refusal=item.get("error_message") if item.get("state") == "ER" else None,
    )


def _body(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content[:300].decode("utf-8", "replace")


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


def _subnet(body: Any) -> str | None:
    """The network that an address was refused for."""
    found = _BLOCKED.search(str(body))
    return None if found is None else found[1]


def _webhook(item: dict[str, Any]) -> Webhook:
    headers: Mapping[str, Any] = {str(name).lower(): value for name, value in (item.get("headers") or {}).items()}
    secret = headers.get(WEBHOOK_HEADER.lower())
    return Webhook(
        id=int(item["id"]),
        url=str(item["url"]).rstrip("/"),
        actions=None if item["send_for_all_actions"] else frozenset(item["actions"]),
        is_active=bool(item["is_active"]),
        sends_payload=bool(item["send_payload"]),
        secret=None if secret is None else str(secret),
    )
