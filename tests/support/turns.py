"""What tests of turns share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from label_studio_al.labeling import version_number
from label_studio_al.runtime.settings import Settings, read_settings
from tests.support.bench import Bench, truth
from tests.support.fake_label_studio import TOKEN, URL, FakeProject
from tests.support.versions import asked

# Calls of Label Studio in a turn.
READS = [
    ("GET", r"/api/projects/\d+"),
    ("GET", r"/api/tasks"),
    ("GET", r"/api/projects/\d+/export"),
    ("GET", r"/api/projects/\d+/model-versions"),
    ("GET", r"/api/ml"),
]


WRITES = [
    ("POST", r"/api/predictions"),
    ("PATCH", r"/api/ml/\d+"),
    ("PATCH", r"/api/projects/\d+"),
    ("DELETE", r"/api/projects/\d+/model-versions"),
]


def settings_in(folder: Path) -> Settings:
    """Of a worker with a token and without an encoder."""
    return read_settings(model_dir=folder, label_studio_url=URL, label_studio_api_key=TOKEN, encoder="none")


class Killed(BaseException):
    """The process ends at this line."""


def state_of(bench: Bench, project: FakeProject) -> dict[str, Any]:
    """What must be equal after every way to get there; the version's number may differ."""
    row, version = bench.store.projects.get(project.key), bench.version(project)
    ours = [item for item in project.predictions.values() if version_number(item["model_version"], "") is not None]
    return {
        "learnt": asked(version).trained_on,
        "labels": asked(version).labels,
        "ranked_by": version.ranked_by,
        "has_model": version.has_model,
        "queue": project.queue(),
        "scores": sorted(project.pushed(version.name).items()),
        "window": sorted(bench.store.windows.informativeness(version.id)),
        "versions": len({item["model_version"] for item in ours}),
        "points to ours": project.model_version == version.name,
        "titles": {one["title"] == version.name for one in bench.fake.connections.values()},
        "sampling": project.sampling,
        "shows predictions": project.show_collab_predictions,
        "foreign": sorted(str(item["model_version"]) for item in project.predictions.values() if item not in ours),
        "flags": (
            row.is_switched,
            row.stale_versions,
            row.is_arranged,
            row.error,
            row.retry_at,
            version.revision < row.wanted_revision,
        ),
        "tasks": bench.store.tasks.ids(project.key),
    }


def shown(project: FakeProject) -> list[dict[str, Any]]:
    """The predictions that annotators see: those of the project's version."""
    return [item for item in project.predictions.values() if item["model_version"] == project.model_version]


def prepared(bench: Bench) -> FakeProject:
    """A project whose first turn has something to do at every call: labels, older versions of ours, a foreign one."""
    project = bench.add()
    for task_id in list(project.tasks)[:6]:
        bench.fake.annotate(project.id, task_id, truth(project.tasks[task_id]["data"]["text"]))
    for task_id in list(project.tasks)[:3]:
        for number in range(1, 7):
            bench.fake.add_prediction(project.id, task_id, f"al-{number}", 0.5)
    bench.fake.add_prediction(project.id, next(iter(project.tasks)), "gpt", 0.5)
    bench.clock.advance(60)
    return project
