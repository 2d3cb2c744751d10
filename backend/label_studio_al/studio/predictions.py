"""Predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from label_studio_al.studio.api import Api, Part
from label_studio_al.studio.tasks import TASKS_A_PAGE, TASKS_A_REQUEST, Tasks, task_filter


class Predictions(Part):
    """The predictions of all projects."""

    def __init__(self, api: Api, tasks: Tasks) -> None:
        super().__init__(api)
        self._tasks = tasks

    def push(self, project_id: int, predictions: Sequence[dict[str, Any]]) -> None:
        """Import predictions, each with its `task` (about 1.4 ms each on Label Studio's side).

        Label Studio counts the annotations of all tasks of the project meanwhile, and then writes what it counted: the
        count of a task that is labelled in between is wrong from then on (measured on 1.23.2).
        """
        if predictions:
            self._api.json("POST", f"api/projects/{project_id}/import/predictions", list(predictions))

    def push_one(self, project_id: int, task_id: int, prediction: dict[str, Any]) -> None:
        """Add one prediction (70 ms), which counts no annotations. The task's time of change becomes now.

        Sent twice it is there twice (measured on 1.23.2).
        """
        self._api.json("POST", "api/predictions/", {**prediction, "task": task_id, "project": project_id})

    def tasks(self, project_id: int, task_ids: Sequence[int], version: str) -> set[int]:
        """Those of the tasks that have a prediction of a version."""
        found: set[int] = set()
        for first in range(0, len(task_ids), TASKS_A_REQUEST):
            wanted = [
                task_filter("id", "in_list", list(task_ids[first : first + TASKS_A_REQUEST]), "Number"),
                # Lets through longer names, too.
                task_filter("predictions_model_versions", "contains", [version], "List"),
            ]
            answer = self._tasks.list(project_id, TASKS_A_PAGE, ["tasks:id"], wanted)
            with self._api.understanding():
                found |= {int(item["id"]) for item in answer.content["tasks"]}
        return {task_id for task_id in found if version in self._versions_of(task_id)}

    def versions(self, project_id: int) -> dict[str, int]:
        """How many predictions each model version of a project has."""
        found = self._api.json("GET", f"api/projects/{project_id}/model-versions/")
        with self._api.understanding():
            return {str(name): int(n) for name, n in found.items()}

    def delete(self, project_id: int, version: str) -> None:
        """Delete a version's predictions, about 5 ms each, while the connection's title is NOT the current version.

        Whatever version it is given, Label Studio empties project.model_version if a connection's title equals it,
        and the queue is random from then on (Project.should_none_model_version, measured on 1.23.2).
        """
        self._api.json("DELETE", f"api/projects/{project_id}/model-versions/", {"model_version": version})

    def _versions_of(self, task_id: int) -> set[str]:
        """The versions of a task's predictions."""
        found = self._api.json("GET", f"api/predictions/?task={task_id}")
        with self._api.understanding():
            return {str(one["model_version"]) for one in found}
