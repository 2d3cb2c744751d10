"""What Label Studio says of an annotation beside its answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from label_studio_al.cli.local import LocalLabelStudio
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.studio.transport import bounded_client
from tests.e2e.conftest import LOGIN
from tests.support.studio import Annotator

pytestmark = pytest.mark.e2e

SPANS = (
    '<View><Labels name="label" toName="text"><Label value="PER"/><Label value="ORG"/></Labels>'
    '<Relations><Relation value="of"/></Relations><Text name="text" value="$text"/></View>'
)


@pytest.fixture
def studio(label_studio: LocalLabelStudio) -> Iterator[Studio]:
    with bounded_client() as client:
        yield Studio(Api(label_studio.url, LOGIN.token, client))


def span(item_id: str, start: int, end: int, label: str, **more: Any) -> dict[str, Any]:
    """An item as the labelling page sends it."""
    value = {"start": start, "end": end, "labels": [label]}
    return {"id": item_id, "from_name": "label", "to_name": "text", "type": "labels", "value": value} | more


RESULT = [
    span("aB3-xY9_kQ", 0, 4, "PER"),
    span("Zk81mN0pLw", 14, 18, "ORG", parentID="aB3-xY9_kQ"),
    {
        "from_id": "aB3-xY9_kQ",
        "to_id": "Zk81mN0pLw",
        "type": "relation",
        "direction": "right",
        "labels": ["of"],
    },
]


def test_exports_and_single_annotations_say_how_long_they_took_and_what_is_related(
    admin: Annotator, studio: Studio
) -> None:
    project_id = int(admin.call("POST", "/api/projects/", {"title": "spans", "label_config": SPANS})["id"])
    admin.import_texts(project_id, ["Anna works at Acme."])
    [task_id] = admin.task_ids(project_id)
    path = f"/api/tasks/{task_id}/annotations/?project={project_id}"
    first = admin.call("POST", path, {"result": RESULT, "lead_time": 7.25, "ground_truth": True})["id"]

    [exported] = studio.tasks.annotations(project_id)
    assert studio.tasks.answers(project_id, [task_id])[task_id].annotations == (exported,)
    assert studio.tasks.annotation(first) == exported
    assert (exported.lead_time, exported.ground_truth, exported.completed_by) == (7.25, True, 1)
    assert exported.item_details == [
        {"id": "aB3-xY9_kQ"},
        {"id": "Zk81mN0pLw", "parentID": "aB3-xY9_kQ"},
        {"from_id": "aB3-xY9_kQ", "to_id": "Zk81mN0pLw", "direction": "right", "labels": ["of"]},
    ]

    # The mark goes from one to the other, and only the task's time tells of it.
    newest = studio.tasks.newest_change(project_id)
    admin.call("POST", path, {"result": RESULT, "lead_time": -3, "ground_truth": True})
    before, after = studio.tasks.annotations(project_id)
    assert (before.ground_truth, after.ground_truth) == (False, True)
    assert (before.updated_at, after.lead_time) == (exported.updated_at, None)
    assert (studio.tasks.newest_change(project_id) or "") > (newest or "")
