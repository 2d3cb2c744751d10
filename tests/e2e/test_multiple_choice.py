"""Multiple choice in a real Label Studio: sets of labels, perhaps none, from the first label to the queue's order."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e.conftest import LOGIN
from tests.support.backend_process import BackendProcess
from tests.support.studio import Annotator, Truth, is_lowest, until
from tests.support.topics import CONFIG, LABELS, texts
from tests.support.topics import truth as labels_of

pytestmark = pytest.mark.e2e

N_TASKS, N_LABELS = 120, 60
# As people read a task: a program that labels without a pause empties the queue.
READING_SECONDS = 0.5


def result_of(labels: list[str]) -> list[dict[str, Any]]:
    """As the page writes it: nothing ticked is an empty result."""
    item = {"from_name": "topic", "to_name": "text", "type": "choices", "value": {"choices": labels}}
    return [item] if labels else []


def labels_in(result: list[dict[str, Any]]) -> list[str]:
    return [label for item in result for label in item["value"]["choices"]]


def test_sixty_sets_are_labelled_in_order_and_none_is_lost(
    admin: Annotator, backend: BackendProcess, truth: Truth
) -> None:
    made = admin.call("POST", "/api/projects/", {"title": "multiple choice", "label_config": CONFIG})
    project_id = int(made["id"])
    admin.import_texts(project_id, texts(N_TASKS))
    backend.connect(project_id, "--set", "window=25")
    me = truth.user_id(LOGIN.email)
    said, filled_in = {}, []
    for _ in range(N_LABELS):
        time.sleep(READING_SECONDS)
        before = truth.queue(project_id, me)
        task = admin.read(f"/api/projects/{project_id}/next")
        served = admin.next(project_id)
        assert served.task_id == task["id"]
        assert is_lowest(served, before, truth.queue(project_id, me))
        said[task["id"]] = labels_of(task["data"]["text"])
        filled_in.append(labels_in(task["predictions"][-1]["result"]))
        admin.call("POST", f"/api/tasks/{task['id']}/annotations/", {"result": result_of(said[task["id"]])})
    until(lambda: backend.is_at_rest(project_id, N_LABELS), "all labels are trained on")

    assert truth.labels(project_id) == N_LABELS == len(said)
    for task_id, labels in said.items():
        (annotation,) = admin.open(project_id, task_id)["annotations"]
        assert labels_in(annotation["result"]) == labels
    state = backend.project(project_id)
    assert state["labels"] == {label: sum(label in labels for labels in said.values()) for label in LABELS}
    assert N_LABELS - state["version"]["n_labels"] < state["next_turn"]["need"]
    assert state["unread"] == []
    assert [] in said.values()
    assert any(len(labels) > 1 for labels in filled_in)
    assert state["quality"]["cross_validation"]["micro_f1"]["value"] > 0.6
    # What it says of texts that it has not seen, and Label Studio takes.
    until(lambda: len(truth.queue(project_id, me)[1]) > 10, "the window is pushed")
    task = admin.read(f"/api/projects/{project_id}/next")
    assert set(labels_in(task["predictions"][-1]["result"])) <= set(LABELS)
