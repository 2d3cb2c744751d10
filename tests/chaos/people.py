"""What people do in Label Studio, and what it does for them: the next task, opening it, Submit with its webhook."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from label_studio_al.labeling.identity import VERSION_PREFIX
from label_studio_al.studio import WEBHOOK_HEADER, webhook_secret
from tests.chaos.server import StudioServer
from tests.support.fake_label_studio import FakeProject

# Label Studio's own limits: facts of release 1.23.2.
HEALTH_SECONDS, SETUP_SECONDS, PREDICT_SECONDS, WEBHOOK_SECONDS = 1.0, 3.0, 5.0, 1.0
# What a test says a person of a text, by its first word.
LABELS = ("animal", "machine")


def truth(text: str) -> str:
    """The right label of a text."""
    return LABELS[0] if text.split()[0] in ("cat", "dog", "horse", "bird") else LABELS[1]


def texts(n: int, rng: random.Random) -> list[str]:
    """Short texts; the first word tells the label."""
    first = ("cat", "dog", "horse", "bird", "engine", "robot", "pump", "gear")
    more = ("sleeps", "runs", "turns", "stops", "today", "again", "slowly", "outside", "tonight", "at last")
    return [f"{first[i % len(first)]} {' '.join(rng.choices(more, k=5))} {i}" for i in range(n)]


@dataclass
class Seen:
    """What people met."""

    slowest_submit: float = 0.0
    n_submits: int = 0
    n_webhooks_unheard: int = 0
    wrongs: list[str] = field(default_factory=list)


class People:
    """Annotators of one project, and its admin."""

    def __init__(
        self, server: StudioServer, project: FakeProject, backend_url: str, auth: tuple[str, str], webhook_key: str
    ) -> None:
        self.server = server
        self._project = project
        self.project_key = project.key
        self._url = backend_url
        self._auth = httpx.BasicAuth(*auth)
        self._webhook_key = webhook_key
        self._random = random.Random(server.weather.random.random())
        self._kept: dict[str, Any] | None = None
        self._locked: set[int] = set()
        self.extra_params: dict[str, Any] = {}
        self.thinking_seconds = (0.05, 0.3)
        self.seen = Seen()

    # -- labelling --------------------------------------------------------------------------------------------

    def label_until(self, stop: threading.Event) -> None:
        """One annotator."""
        with httpx.Client(auth=self._auth) as client:
            while not stop.is_set() and self._label_next(client):
                self._admin(client)

    def label_one(self) -> None:
        """Somebody comes back for one task."""
        with httpx.Client(auth=self._auth) as client:
            self._label_next(client)

    def next_task(self) -> int | None:
        """Lowest score of the project's version first; at random where no task has one."""
        with self.server.lock:
            queue = self._project.queue()
            self._check_version()
            annotated = {one["task"] for one in self._project.annotations.values()}
            free = [one for one in queue or [] if one not in self._locked]
            if not free:
                free = [one for one in self._project.tasks if one not in annotated and one not in self._locked]
                self._random.shuffle(free)
            if not free:
                return None
            self._locked.add(free[0])
            return free[0]

    def open_task(self, client: httpx.Client, task_id: int) -> None:
        """The calls that Label Studio makes when a task is opened."""
        with self.server.lock:
            task = self._project.tasks.get(task_id)
            body = {
                "project": self._project.key,
                "schema": self._project.label_config,
                "hostname": self.server.url,
                "access_token": None,
                "extra_params": self.extra_params,
            }
        if task is None or self._call(client, "GET", "/health", None, HEALTH_SECONDS) is None:
            return
        answer = self._call(client, "POST", "/setup", body, SETUP_SECONDS)
        if answer is None:
            return
        with self.server.lock:
            is_predicted = task_id in self._project.pushed(answer.get("model_version") or "")
        if is_predicted:
            return
        asked = {"tasks": [task], "project": self._project.key, "label_config": self._project.label_config}
        self._call(client, "POST", "/predict", asked, PREDICT_SECONDS)

    def submit(self, client: httpx.Client, task_id: int) -> None:
        """Submit: the webhook goes out inside of it."""
        with self.server.lock:
            task = self._project.tasks.get(task_id)
            if task is None:
                return
            event = self.server.fake.annotate(self._project.id, task_id, truth(task["data"]["text"]))
        self.tell(client, event)

    def tell(self, client: httpx.Client, event: dict[str, Any]) -> None:
        """Send a webhook as Label Studio does: one try, one second."""
        events, fault = [event], self.server.weather.webhook_fault()
        if fault == "dropped":
            events = []
        elif fault == "doubled":
            events = [event, event]
        elif fault == "delayed":
            threading.Timer(self._random.uniform(0.2, 2.0), self._send_late, [event]).start()
            events = []
        elif fault == "reordered" and self._kept is None:
            self._kept, events = event, []
        elif self._kept is not None:
            events, self._kept = [event, self._kept], None
        for one in events:
            began = time.monotonic()
            answer = self._call(client, "POST", "/webhook", one, WEBHOOK_SECONDS)
            self.seen.slowest_submit = max(self.seen.slowest_submit, time.monotonic() - began)
            self.seen.n_submits += 1
            self.seen.n_webhooks_unheard += answer is None

    def open_some(self) -> None:
        """Look at a few tasks without labelling: Label Studio calls /setup."""
        with httpx.Client(auth=self._auth) as client:
            for task_id in list(self._project.tasks)[:2]:
                self.open_task(client, task_id)

    # -- inside -----------------------------------------------------------------------------------------------

    def _label_next(self, client: httpx.Client) -> bool:
        """Whether there was a task to label."""
        task_id = self.next_task()
        if task_id is None:
            return False
        self.open_task(client, task_id)
        time.sleep(self._random.uniform(*self.thinking_seconds))
        self.submit(client, task_id)
        return True

    def _admin(self, client: httpx.Client) -> None:
        """Now and then somebody corrects, deletes or imports."""
        chance, fake, project = self._random.random(), self.server.fake, self._project
        with self.server.lock:
            annotation = self._random.choice(sorted(project.annotations) or [0])
            if chance < 0.04 and annotation:
                event = fake.correct(project.id, annotation, self._random.choice(LABELS))
            elif chance < 0.07 and annotation:
                event = fake.delete_annotations(project.id, annotation)
            elif chance < 0.10 and len(project.tasks) > 30:
                event = fake.delete_tasks(project.id, self._random.choice(sorted(project.tasks)))
            elif chance < 0.13:
                event = fake.add_tasks(project.id, [{"text": text} for text in texts(3, self._random)])
            else:
                return
        self.tell(client, event)

    def _check_version(self) -> None:
        """An annotator must never meet a published version that has no predictions."""
        version = self._project.model_version
        if (
            version.startswith(VERSION_PREFIX)
            and not version.startswith(f"{VERSION_PREFIX}0")
            and not self._project.pushed(version)
        ):
            self.seen.wrongs.append(f"the project's version {version} has no predictions")

    def _send_late(self, event: dict[str, Any]) -> None:
        with httpx.Client(auth=self._auth) as client:
            self._call(client, "POST", "/webhook", event, WEBHOOK_SECONDS)

    def _call(
        self, client: httpx.Client, method: str, path: str, body: dict[str, Any] | None, seconds: float
    ) -> dict[str, Any] | None:
        headers = {WEBHOOK_HEADER: webhook_secret(self._webhook_key, self._project.key)} if path == "/webhook" else {}
        try:
            response = client.request(method, self._url + path, json=body, headers=headers, timeout=seconds)
        except httpx.HTTPError:
            return None
        if "Traceback" in response.text:
            self.seen.wrongs.append(f"{path} answered with a traceback")
        if response.status_code >= 500 and response.status_code != 503:
            self.seen.wrongs.append(f"{path} answered {response.status_code}: {response.text[:200]}")
        if not response.is_success:
            return None
        answer: dict[str, Any] = response.json()
        return answer
