"""Projects: their settings, and how their queues are ordered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import urlencode

from label_studio_al.labeling import project_key, utc_text
from label_studio_al.studio.api import Part

PROJECTS_A_PAGE = 100
SAMPLING = "Uncertainty sampling"
UNSORTED = "Sequential sampling"
# Of a project; both are counted when they are asked for.
_COUNTED = ("total_annotations_number", "skipped_annotations_number")


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


class Projects(Part):
    """The projects that the user sees."""

    def user(self) -> str:
        """The email of the token's user."""
        found = self._api.json("GET", "api/current-user/whoami")
        with self._api.understanding():
            return str(found["email"])

    def get(self, project_id: int) -> StudioProject:
        """The project's settings."""
        answer = self._api.ask("GET", f"api/projects/{project_id}/", None)
        found = answer.content
        with self._api.understanding():
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
            answer = self._api.json("GET", f"api/projects/counts/?{urlencode(wanted)}")
            with self._api.understanding():
                for item in answer["results"]:
                    n_annotations = sum(int(item[name] or 0) for name in _COUNTED)
                    found[int(item["id"])] = int(item["task_number"] or 0), n_annotations
        return found

    def create(self, title: str, label_config: str) -> StudioProject:
        """Make a project."""
        made = self._api.json("POST", "api/projects/", {"title": title, "label_config": label_config})
        with self._api.understanding():
            project_id = int(made["id"])
        return self.get(project_id)

    def find(self, title: str) -> StudioProject | None:
        """The oldest project of that title."""
        ids: list[int] = []
        page = 1
        while True:
            answer = self._api.json("GET", f"api/projects/?page={page}&page_size={PROJECTS_A_PAGE}")
            with self._api.understanding():
                ids += [int(one["id"]) for one in answer["results"] if one["title"] == title]
                if not answer["next"]:
                    return self.get(min(ids)) if ids else None
            page += 1

    def has_any(self) -> bool:
        """Whether the user sees any project."""
        answer = self._api.json("GET", "api/projects/?page=1&page_size=1")
        with self._api.understanding():
            return bool(answer["results"])

    def point_to(self, project_id: int, version: str) -> None:
        """Order the project's queue by a version's predictions; refused if there are none."""
        self._api.json("PATCH", f"api/projects/{project_id}/", {"model_version": version})

    def arrange(self, project_id: int) -> None:
        """Make the project's queue follow the scores and show predictions to annotators."""
        self.set_queue(project_id, SAMPLING, True)

    def set_queue(self, project_id: int, sampling: str | None, shows_predictions: bool) -> None:
        """How the project's queue is ordered, and whether annotators see predictions."""
        wanted = {"sampling": sampling, "show_collab_predictions": shows_predictions}
        self._api.json("PATCH", f"api/projects/{project_id}/", wanted)

    def unarrange(self, project_id: int) -> None:
        """Have the queue no longer follow the scores, if it does."""
        if self.get(project_id).sampling == SAMPLING:
            self._api.json("PATCH", f"api/projects/{project_id}/", {"sampling": UNSORTED})


def _text(moment: float | None) -> str | None:
    return None if moment is None else utc_text(datetime.fromtimestamp(moment, timezone.utc))
