"""Drives a real Label Studio as people do, and reads the truth from its own database."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

CHOICES = "topic"
TEXT = "text"


def label_config(labels: Sequence[str], field: str = "text", how_many: str = "single") -> str:
    """A choice of labels. how_many: "single" or "multiple"."""
    choices = "".join(f'<Choice value="{label}"/>' for label in labels)
    return (
        f'<View><Text name="{TEXT}" value="${field}"/>'
        f'<Choices name="{CHOICES}" toName="{TEXT}" choice="{how_many}">{choices}</Choices></View>'
    )


def choice(label: str) -> list[dict[str, Any]]:
    """The result that the labelling page sends."""
    return choices([label])


def choices(labels: Sequence[str]) -> list[dict[str, Any]]:
    """The same where any number may be chosen: nothing ticked is an empty result."""
    item = {"from_name": CHOICES, "to_name": TEXT, "type": "choices", "value": {"choices": [*labels]}}
    return [item] if labels else []


@dataclass(frozen=True)
class Served:
    """A task as `next` served it."""

    task_id: int
    text: str
    version: str | None
    score: float | None
    label: str | None
    seconds: float


class Annotator:
    """One user of Label Studio's labelling page."""

    def __init__(self, url: str, *, token: str | None = None) -> None:
        headers = {"Authorization": f"Token {token}"} if token else {}
        self.client = httpx.Client(base_url=url, headers=headers, timeout=120)

    @classmethod
    def sign_up(cls, url: str, email: str) -> Annotator:
        """A new user of the same organisation, who works with the browser's session."""
        annotator = cls(url)
        client = annotator.client
        client.get("/user/signup/")
        form = {
            "email": email,
            "password": "password-123",
            "allow_newsletters": "false",
            "csrfmiddlewaretoken": client.cookies["csrftoken"],
        }
        answer = client.post("/user/signup/", data=form, headers={"Referer": url})
        if answer.status_code not in (200, 302):
            raise AssertionError(f"sign-up answered {answer.status_code}")
        client.headers.update({"X-CSRFToken": client.cookies["csrftoken"], "Referer": url})
        return annotator

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """An API call that must succeed."""
        answer = self.client.request(method, path, json=body)
        if answer.is_error:
            raise AssertionError(f"{method} {path} answered {answer.status_code}: {answer.text[:500]}")
        return answer.json() if answer.content else None

    def read(self, path: str) -> Any:
        """A GET that people would repeat: with SQLite, Label Studio answers 500 when two of them write at once."""
        for _ in range(5):
            answer = self.client.get(path)
            if answer.status_code != 500:
                break
            time.sleep(0.2)
        return self.call("GET", path) if answer.is_error else answer.json()

    def create_project(self, title: str, labels: Sequence[str], texts: Sequence[str] = ()) -> int:
        """A project with tasks."""
        made = self.call("POST", "/api/projects/", {"title": title, "label_config": label_config(labels)})
        project_id = int(made["id"])
        self.import_texts(project_id, texts)
        return project_id

    def import_texts(self, project_id: int, texts: Sequence[str]) -> None:
        """Add tasks."""
        if texts:
            self.call("POST", f"/api/projects/{project_id}/import", [{"text": text} for text in texts])

    def next(self, project_id: int) -> Served:
        """Press "Label all tasks" or "Next"."""
        began = time.perf_counter()
        task = self.read(f"/api/projects/{project_id}/next")
        seconds = time.perf_counter() - began
        prediction = (task["predictions"] or [{}])[-1]
        result = prediction.get("result") or []
        return Served(
            task_id=task["id"],
            text=task["data"]["text"],
            version=prediction.get("model_version"),
            score=prediction.get("score"),
            label=result[0]["value"]["choices"][0] if result else None,
            seconds=seconds,
        )

    def submit(self, task_id: int, label: str) -> float:
        """Press Submit. Returns its seconds."""
        began = time.perf_counter()
        self.call("POST", f"/api/tasks/{task_id}/annotations/", {"result": choice(label)})
        return time.perf_counter() - began

    def skip(self, task_id: int) -> None:
        """Press Skip."""
        self.call("POST", f"/api/tasks/{task_id}/annotations/", {"result": [], "was_cancelled": True})

    def open(self, project_id: int, task_id: int) -> dict[str, Any]:
        """Open one task from the Data Manager."""
        task: dict[str, Any] = self.call("GET", f"/api/tasks/{task_id}/?project={project_id}")
        return task

    def task_ids(self, project_id: int) -> list[int]:
        """All tasks of a project."""
        path = f"/api/tasks?project={project_id}&include=id,data&page_size=20000"
        return [task["id"] for task in self.call("GET", path)["tasks"]]


class Truth:
    """What Label Studio's own SQLite database says."""

    def __init__(self, data_dir: Path) -> None:
        (path,) = data_dir.glob("*.sqlite3")
        self._uri = f"file:{path}?mode=ro"

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query."""
        for _ in range(200):
            connection = sqlite3.connect(self._uri, uri=True, timeout=5)
            try:
                return connection.execute(sql, values).fetchall()
            except sqlite3.OperationalError:
                time.sleep(0.01)
            finally:
                connection.close()
        raise AssertionError("Label Studio's database stays locked")

    def version(self, project_id: int) -> str | None:
        """The project's model version."""
        return self.ask("SELECT model_version FROM project WHERE id = ?", project_id)[0][0]

    def queue(self, project_id: int, user_id: int) -> tuple[str | None, dict[int, float]]:
        """The current version, and the scores of its predictions on tasks that this user may be served."""
        rows = self.ask(
            """
            SELECT p.model_version, pr.task_id, pr.score
            FROM project p
            LEFT JOIN prediction pr ON pr.project_id = p.id AND pr.model_version = p.model_version
            LEFT JOIN task t ON t.id = pr.task_id
            WHERE p.id = ? AND (t.id IS NULL OR (
                t.is_labeled = 0
                AND NOT EXISTS (SELECT 1 FROM tasks_tasklock l WHERE l.task_id = t.id AND l.user_id <> ?
                                AND l.expire_at > strftime('%Y-%m-%d %H:%M:%f', 'now'))))
            """,
            project_id,
            user_id,
        )
        scores = {task_id: score for _, task_id, score in rows if task_id is not None}
        return (rows[0][0] if rows else self.version(project_id)), scores

    def predictions(self, project_id: int) -> dict[str, int]:
        """How many predictions each version has."""
        sql = "SELECT model_version, COUNT(*) FROM prediction WHERE project_id = ? GROUP BY 1"
        return dict(self.ask(sql, project_id))  # type: ignore[arg-type]

    def user_id(self, email: str) -> int:
        """The number of a user."""
        return int(self.ask("SELECT id FROM htx_user WHERE email = ?", email)[0][0])

    def miscounted(self) -> tuple[int, int]:
        """Of how many annotated tasks Label Studio has the number of annotations wrong, and how many there are."""
        sql = """
            SELECT total(t.total_annotations <> c.n), count(*) FROM task t
            JOIN (SELECT task_id, total(was_cancelled = 0) n FROM task_completion GROUP BY 1) c ON c.task_id = t.id
        """
        wrong, annotated = self.ask(sql)[0]
        return int(wrong), int(annotated)

    def labels(self, project_id: int) -> int:
        """How many annotations that were not skipped there are."""
        sql = "SELECT COUNT(*) FROM task_completion WHERE project_id = ? AND was_cancelled = 0"
        return int(self.ask(sql, project_id)[0][0])


def is_lowest(task_id: int, before: tuple[str | None, dict[int, float]], after: tuple[str | None, dict[int, float]]):
    """Whether the served task had the lowest score of the current version, before or (a switch in between) after."""
    return any(task_id in scores and scores[task_id] <= min(scores.values()) + 1e-12 for _, scores in (before, after))


# Of a wait, how exactly its end is seen.
LOOKS_SHARE = 0.02
SECONDS_BETWEEN_LOOKS = 0.3


def until(condition: Callable[[], Any], what: str | Callable[[], str], seconds: float = 60.0) -> Any:
    """Ask again and again until it is so, less often the longer it takes: to ask costs whoever is asked, too.

    what: what is waited for; a function is asked when it has not come.
    """
    began = time.monotonic()
    while True:
        found = condition()
        if found:
            return found
        waited = time.monotonic() - began
        if waited > seconds:
            raise AssertionError(f"not within {seconds:.0f} s: {what if isinstance(what, str) else what()}")
        time.sleep(min(SECONDS_BETWEEN_LOOKS, 0.02 + LOOKS_SHARE * waited))


def version_number(name: str | None) -> int:
    """12 of al-12-k3f7a; -1 for anything else."""
    match = re.fullmatch(r"al-(\d+)(?:-[a-z2-7]+)?", name or "")
    return int(match[1]) if match else -1
