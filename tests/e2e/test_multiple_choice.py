"""Multiple choice in a real Label Studio: sets of labels, perhaps none, through its API and on its page."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import Browser

from label_studio_al.cli.local import LocalLabelStudio
from label_studio_al.learning.coding import text_of
from label_studio_al.questions import parse_config
from label_studio_al.runtime.settings import Settings
from label_studio_al.store import Store
from tests.e2e.conftest import LOGIN
from tests.support.backend_process import BackendProcess
from tests.support.labelling_page import LabellingPage
from tests.support.studio import Annotator, Truth, choices, is_lowest, until
from tests.support.topics import CONFIG, LABELS, texts
from tests.support.topics import truth as labels_of

pytestmark = pytest.mark.e2e

N_TASKS, N_LABELS = 80, 30
# As people read a task: a program that labels without a pause empties the queue.
READING_SECONDS = 0.5
# On the page: tasks with which a model is trained before, and those that are labelled.
N_BEFORE, N_ON_PAGE = 60, 9


def labels_in(result: list[dict[str, Any]]) -> list[str]:
    return [label for item in result for label in item["value"]["choices"]]


def test_sets_are_labelled_in_order_and_none_is_lost(admin: Annotator, backend: BackendProcess, truth: Truth) -> None:
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
        assert is_lowest(task["id"], before, truth.queue(project_id, me))
        said[task["id"]] = labels_of(task["data"]["text"])
        filled_in.append(labels_in(task["predictions"][-1]["result"]))
        admin.call("POST", f"/api/tasks/{task['id']}/annotations/", {"result": choices(said[task["id"]])})
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


def test_boxes_are_ticked_as_predicted_and_what_is_changed_arrives(
    browser: Browser, label_studio: LocalLabelStudio, admin: Annotator, backend: BackendProcess, truth: Truth
) -> None:
    made = admin.call("POST", "/api/projects/", {"title": "boxes in a browser", "label_config": CONFIG})
    project_id = int(made["id"])
    said_before = [
        {"data": {"text": text}, "annotations": [{"result": choices(labels_of(text))}]} for text in texts(N_BEFORE)
    ]
    admin.call("POST", f"/api/projects/{project_id}/import", said_before)
    open_texts = [f"{words} word{n}" for n in range(4) for words in ("nothing", "cat engine", "engine roars")]
    admin.import_texts(project_id, open_texts)
    backend.connect(project_id, "--set", "window=25")
    me = truth.user_id(LOGIN.email)
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(120_000)
    stream = LabellingPage(context.new_page(), label_studio.url)
    stream.log_in(LOGIN)
    said: dict[int, list[str]] = {}
    changes = set()
    before = truth.queue(project_id, me)
    shown = stream.label_all_tasks(project_id)
    for n_labels in range(N_BEFORE, N_BEFORE + N_ON_PAGE):
        served = shown.served
        assert is_lowest(served.task_id, before, truth.queue(project_id, me))
        assert served.version is not None
        assert shown.chosen == shown.predicted
        change, labels = changed(shown.predicted, changes)
        changes.add(change)
        said[served.task_id] = labels
        stream.tick(labels, shown)
        until(lambda n=n_labels: backend.is_at_rest(project_id, n), f"{n_labels} labels are trained on")
        version, scores = truth.queue(project_id, me)
        before = version, {task_id: score for task_id, score in scores.items() if task_id != served.task_id}
        shown = stream.submit()
    context.close()
    until(lambda: backend.is_at_rest(project_id, N_BEFORE + N_ON_PAGE), "all labels are trained on")

    assert stream.errors == []
    assert changes == {"two ticked", "one of two unticked", "none left", "as predicted"}
    assert len(said) == N_ON_PAGE == truth.labels(project_id) - N_BEFORE
    in_label_studio = {task_id: admin.open(project_id, task_id)["annotations"] for task_id in said}
    assert {task_id: [labels_in(one["result"]) for one in found] for task_id, found in in_label_studio.items()} == {
        task_id: [labels] for task_id, labels in said.items()
    }
    with closing(Store(Settings(model_dir=backend.folder).store_url)) as store:
        (key,) = store.projects.keys(project_id)
        stored = store.annotations.all(key, list(said))
    question = parse_config(CONFIG).question
    heard = [(one.task_id, question.read(one.result).answer) for one in stored]
    assert sorted(heard) == sorted((task_id, text_of(labels)) for task_id, labels in said.items())


def changed(predicted: list[str], before: set[str]) -> tuple[str, list[str]]:
    """What an annotator does with boxes that are ticked already, each change once, and what is ticked afterwards."""
    if not predicted and "two ticked" not in before:
        return "two ticked", ["animal", "loud"]
    if len(predicted) == 2 and "one of two unticked" not in before:
        return "one of two unticked", predicted[1:]
    if len(predicted) == 2 and "none left" not in before:
        return "none left", []
    return "as predicted", predicted
