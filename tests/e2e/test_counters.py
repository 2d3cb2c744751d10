"""What Label Studio counts, and what there is."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from label_studio_al.cli.local import LocalLabelStudio
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.studio.transport import bounded_client
from tests.e2e.conftest import LOGIN
from tests.support.studio import Annotator, choice

pytestmark = pytest.mark.e2e


@pytest.fixture
def studio(label_studio: LocalLabelStudio) -> Iterator[Studio]:
    with bounded_client() as client:
        yield Studio(Api(label_studio.url, LOGIN.token, client))


def test_labels_are_found_whatever_a_task_s_counter_says(
    admin: Annotator, label_studio: LocalLabelStudio, studio: Studio
) -> None:
    project_id = admin.create_project("counters", ["A", "B"], [f"text {n}" for n in range(6)])
    labelled, skipped, cleared, uncounted, *open_tasks = admin.task_ids(project_id)
    for task_id in (labelled, cleared, uncounted):
        admin.submit(task_id, "A")
    admin.skip(skipped)
    [gone] = studio.tasks.answers(project_id, [cleared])[cleared].annotations
    studio.tasks.delete_annotation(gone.id)
    # As an import of predictions writes it that has counted before the Submit.
    (path,) = label_studio.data_dir.glob("*.sqlite3")
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        connection.execute("UPDATE task SET total_annotations = 0 WHERE id = ?", [uncounted])

    task_ids = [labelled, skipped, cleared, uncounted, *open_tasks]
    found = studio.tasks.answers(project_id, [*task_ids, 999_999])
    assert {task_id: len(one.annotations) for task_id, one in found.items()} == {
        **dict.fromkeys(task_ids, 0),
        **dict.fromkeys([labelled, skipped, uncounted], 1),
    }
    assert studio.tasks.answers(project_id).keys() == {labelled, skipped, uncounted}
    assert studio.tasks.unanswered(project_id, task_ids) == {cleared, *open_tasks}
    project = studio.projects.get(project_id)
    assert (project.n_tasks, project.n_annotations) == (6, 3)
    [label] = found[uncounted].annotations
    assert studio.tasks.annotation(label.id) == label
    assert studio.tasks.annotation(gone.id) is None
    assert project.told_at is not None
    assert project.told_at[:10] == label.updated_at[:10]

    # Nobody's label gets a second one beside it.
    common = {"model_version": "auto-1", "score": 0.5, "result": choice("B")}
    studio.predictions.push(project_id, [{"task": task_id, **common} for task_id in task_ids])
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        connection.execute("UPDATE task SET total_annotations = 0 WHERE id = ?", [uncounted])
    studio.tasks.label_from_predictions(project_id, task_ids, "auto-1")
    after = studio.tasks.answers(project_id, task_ids)
    assert {task_id: len(one.annotations) for task_id, one in after.items()} == dict.fromkeys(task_ids, 1)
    assert after[uncounted].annotations == (label,)
    assert studio.projects.get(project_id).n_annotations == 6
