"""Tabs of the Data Manager."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from label_studio_al.labeling import RUN_PREFIX
from label_studio_al.studio.api import Part
from label_studio_al.studio.tasks import task_filter

TAB_TITLE = "Most informative first"
AUTOMATIC_TAB_TITLE = "Labelled automatically"
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


@dataclass(frozen=True)
class _Tab:
    """columns: shown beside the task's number and data."""

    title: str
    ordering: list[str]
    filters: list[dict[str, Any]]
    columns: Sequence[str]


class Tabs(Part):
    """The tabs of all projects."""

    def add(self, project_id: int) -> None:
        """Add the Data Manager tab "Most informative first", unless it is there."""
        unlabelled = [task_filter("total_annotations", "equal", 0, "Number")]
        columns = ("predictions_score", "predictions_results", "predictions_model_versions")
        self._add(project_id, _Tab(TAB_TITLE, ["tasks:predictions_score"], unlabelled, columns))

    def add_automatic(self, project_id: int) -> None:
        """Add the Data Manager tab "Labelled automatically", unless it is there."""
        # By the predictions: looking into the annotations takes Label Studio 30 times as long (measured on 1.23.2).
        labelled = [
            task_filter("predictions_model_versions", "contains", [RUN_PREFIX], "List"),
            task_filter("total_annotations", "greater", 0, "Number"),
        ]
        columns = ("annotations_results", "updated_by", "updated_at", "predictions_model_versions")
        self._add(project_id, _Tab(AUTOMATIC_TAB_TITLE, ["tasks:id"], labelled, columns))

    def remove(self, project_id: int) -> None:
        """Remove both."""
        titles = (TAB_TITLE, AUTOMATIC_TAB_TITLE)
        tabs = self._api.json("GET", f"api/dm/views?project={project_id}")
        with self._api.understanding():
            ids = [int(tab["id"]) for tab in tabs if (tab.get("data") or {}).get("title") in titles]
        for tab_id in ids:
            self._api.json("DELETE", f"api/dm/views/{tab_id}/")

    def _add(
        self,
        project_id: int,
        tab: _Tab,
    ) -> None:
        tabs = self._api.json("GET", f"api/dm/views?project={project_id}")
        with self._api.understanding():
            if any(isinstance(one.get("data"), dict) and one["data"].get("title") == tab.title for one in tabs):
                return
        shown = {"conjunction": "and", "items": tab.filters}
        if not tabs:
            # The first stored tab takes the place of the default one, which must not vanish.
            self._api.json("POST", "api/dm/views/", {"project": project_id, "data": {"title": "Default"}})
        hidden = [f"tasks:{name}" for name in _COLUMNS if name not in tab.columns]
        data = {
            "title": tab.title,
            "ordering": tab.ordering,
            "filters": shown,
            # In the table, and beside the task that is labelled.
            "hiddenColumns": {"explore": hidden, "labeling": hidden},
        }
        self._api.json("POST", "api/dm/views/", {"project": project_id, "data": data})
