"""Tasks and their annotations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx

from label_studio_al.labeling import Annotation, ListedTaskPayload, Task, read_annotation, read_payload
from label_studio_al.runtime.errors import InvalidRequest, StudioRefused
from label_studio_al.studio.api import Answer, Part, TooLarge

TASKS_A_PAGE = 1_000
# Their ids stand in the address.
TASKS_A_REQUEST = 100
# Texts of a megabyte are asked for in smaller pages.
PAGE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class ListedTask:
    """A task of a listing. changed_at: Label Studio's time of the last change of its data or annotations, ISO 8601."""

    task: Task
    changed_at: str


@dataclass(frozen=True)
class Answers:
    """All annotations of a task. has_draft: whether somebody has begun to change or add one."""

    task_id: int
    annotations: tuple[Annotation, ...]
    has_draft: bool


class Tasks(Part):
    """The tasks of all projects."""

    def pages(
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
            wanted = [task_filter("id", "greater", after, "Number")]
            if changed_after is not None:
                wanted.append(task_filter("updated_at", "greater", changed_after, "Datetime"))
            if among is not None:
                wanted.append(task_filter("id", "in_list", list(among), "Number"))
            try:
                answer = self.list(project_id, size, ["tasks:id"], wanted)
            except TooLarge:
                if size == 1:
                    raise
                size = max(1, size // 8)
                continue
            with self._api.understanding():
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

    def some(self, project_id: int, task_ids: Sequence[int]) -> list[Task]:
        """Those of the tasks that the project has."""
        chunks = (task_ids[first : first + TASKS_A_REQUEST] for first in range(0, len(task_ids), TASKS_A_REQUEST))
        return [one.task for some in chunks for page in self.pages(project_id, among=some) for one in page]

    def newest_change(self, project_id: int) -> str | None:
        """Label Studio's time of the newest change of a task or its annotations; None without tasks."""
        answer = self.list(project_id, 1, ["-tasks:updated_at"], [])
        with self._api.understanding():
            return max((_listed_task(item).changed_at for item in answer.content["tasks"]), default=None)

    def add(self, project_id: int, tasks: Sequence[dict[str, Any]]) -> None:
        """Add tasks to a project."""
        self._api.json("POST", f"api/projects/{project_id}/import", list(tasks))

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
            except TooLarge:
                # Their texts come along.
                if size == 1:
                    raise
                size = max(1, size // 8)
            else:
                done += size
        return found

    def unanswered(self, project_id: int, task_ids: Sequence[int]) -> set[int]:
        """Those of the tasks that exist and that nobody has answered or skipped."""
        return {task_id for task_id, one in self.answers(project_id, task_ids).items() if not one.annotations}

    def annotation(self, annotation_id: int) -> Annotation | None:
        """One annotation; None if there is none of that number."""
        try:
            found = self._api.json("GET", f"api/annotations/{annotation_id}/")
        except StudioRefused as exc:
            if exc.code != httpx.codes.NOT_FOUND:
                raise
            return None
        with self._api.understanding():
            return read_annotation(found)

    def delete_annotation(self, annotation_id: int) -> None:
        """Delete one annotation, if it is there."""
        try:
            self._api.json("DELETE", f"api/annotations/{annotation_id}/")
        except StudioRefused as exc:
            if exc.code != httpx.codes.NOT_FOUND:
                raise

    def label_from_predictions(self, project_id: int, task_ids: Sequence[int], version: str) -> None:
        """Make annotations of a version's predictions on tasks that nobody has answered (about 1 ms each).

        Whether nobody has is looked at inside of the same call. Repeating it makes none twice.
        """
        body = {**_selected(task_ids, _UNANSWERED), "model_version": version}
        self._api.json("POST", f"api/dm/actions?id=predictions_to_annotations&project={project_id}", body)

    def clear(self, project_id: int, task_ids: Sequence[int], unchanged_since: str) -> None:
        """Delete all annotations of tasks that have one, where nothing has changed after a time of Label Studio's.

        Whoever submits or corrects an annotation changes its task (measured on 1.23.2); that, too, is looked at
        inside of the same call. About thirty times as fast as one by one.
        """
        filters = [
            task_filter("updated_at", "less_or_equal", unchanged_since, "Datetime"),
            task_filter("total_annotations", "equal", 1, "Number"),
        ]
        path = f"api/dm/actions?id=delete_tasks_annotations&project={project_id}"
        self._api.json("POST", path, _selected(task_ids, filters))

    def list(self, project_id: int, n: int, ordering: list[str], filters: list[dict[str, Any]]) -> Answer:
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
        return self._api.ask("GET", f"api/tasks?{wanted}")

    def _answers(self, project_id: int, wanted: Sequence[tuple[str, str]]) -> dict[int, Answers]:
        exported = self._api.json(
            "GET", f"api/projects/{project_id}/export?{urlencode([('exportType', 'JSON'), *wanted])}"
        )
        with self._api.understanding():
            return {int(task["id"]): _answers(task) for task in exported}


def task_filter(name: str, operator: str, value: Any, kind: str) -> dict[str, Any]:
    """A condition of the Data Manager on tasks."""
    return {"filter": f"filter:tasks:{name}", "operator": operator, "value": value, "type": kind}


# By the annotations themselves: their number on the task may be too low (measured on 1.23.2).
_UNANSWERED = [task_filter("annotators", "empty", True, "List")]


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
    told = read_payload(ListedTaskPayload, item, "task")
    return ListedTask(Task(told.id, told.data), told.updated_at)
