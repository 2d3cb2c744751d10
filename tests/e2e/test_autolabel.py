"""Automatic labels in a real Label Studio 1.23.2: set, killed on the way, corrected, watched, taken back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from label_studio_al.turns.due import IDLE_SECONDS
from tests.support.backend_process import BackendProcess
from tests.support.bench import ANIMALS, MACHINES, truth
from tests.support.studio import Annotator, Truth, choice, until

pytestmark = pytest.mark.e2e

TEXTS = [f"{text} number {n}" for n in range(20) for pair in zip(ANIMALS, MACHINES, strict=True) for text in pair]
GOAL = ("--max-error", "0.2", "--delta", "0.1")
N_LABELS = 40
ROWS = "SELECT id, task_id, result, completed_by_id, updated_by_id, was_cancelled FROM task_completion"


@pytest.fixture
def project(admin: Annotator, backend: BackendProcess, truth_: Truth) -> int:
    """Two hundred tasks; forty labels, more than half of them of tasks drawn at random, are learnt."""
    project_id = admin.create_project("automatic labels", ["animal", "machine"], TEXTS)
    settings = ("audit_share=0.6", "retrain_growth=0.5", "verify_share=0.02", "window=25")
    backend.connect(project_id, *(part for setting in settings for part in ("--set", setting)))
    for _ in range(N_LABELS):
        served = admin.next(project_id)
        admin.submit(served.task_id, truth(served.text))
    admin.call("POST", f"/api/ml/{admin.call('GET', f'/api/ml/?project={project_id}')[0]['id']}/train", {})
    learnt_all(backend, project_id, N_LABELS)
    return project_id


@pytest.fixture(name="truth_")
def truth_of_label_studio(truth: Truth) -> Truth:
    return truth


def learnt_all(backend: BackendProcess, project_id: int, n_labels: int) -> None:
    def look() -> bool:
        version = backend.project(project_id).get("version") or {}
        return version.get("n_labels") == n_labels and version["is_switched"]

    until(look, f"{n_labels} labels are learnt: {json.dumps(backend.project(project_id))[:800]}", seconds=120)


def annotations(truth: Truth, project_id: int) -> set[tuple[Any, ...]]:
    return set(truth.ask(f"{ROWS} WHERE project_id = ?", project_id))


def autolabel(backend: BackendProcess, project_id: int, *arguments: str) -> dict[str, Any]:
    done = backend.run("autolabel", "--project", str(project_id), *GOAL, "--json", *arguments)
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def kill_when(backend: BackendProcess, project_id: int, is_time: Any) -> None:
    """`autolabel --apply`, and `kill -9` once it is time."""
    command = [sys.executable, "-m", "label_studio_al", "autolabel", "--project", str(project_id)]
    process = subprocess.Popen(
        [*command, *GOAL, "--apply", "--yes"],
        env=backend.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: is_time() or process.poll() is not None, "something was sent", seconds=120)
    finally:
        process.kill()
        process.wait()


def test_labels_are_set_once_though_killed_told_from_peoples_checked_and_taken_back(
    admin: Annotator, backend: BackendProcess, truth_: Truth, project: int
) -> None:
    before = annotations(truth_, project)
    plan = autolabel(backend, project)
    assert annotations(truth_, project) == before
    n_automatic = plan["n_selected"] - plan["n_checks"]
    assert n_automatic > 100, plan

    kill_when(backend, project, lambda: any(name.startswith("auto-") for name in truth_.predictions(project)))
    time.sleep(1)
    done = autolabel(backend, project, "--apply", "--yes")
    assert done["tasks"] == {"labelled": n_automatic, "check": plan["n_checks"]}
    set_now = annotations(truth_, project) - before
    assert len(set_now) == len({task_id for _, task_id, *_ in set_now}) == n_automatic
    assert {updated_by for *_, updated_by, _ in set_now} == {None}
    assert before <= annotations(truth_, project)

    # Nobody's label: not learnt, not counted; the queue goes on with what was held back, without a label.
    state = until(
        lambda: (found := backend.project(project))["automation"]["n_labels"] == n_automatic and found,
        "the webhooks tell of automatic labels",
    )
    assert (state["n_annotations"], state["version"]["n_labels"]) == (N_LABELS, N_LABELS)
    assert state["automation"]["is_alarm"] is False
    # A task opened between a version's publication and Label Studio's switch to it has the new version's prediction.
    served = until(
        lambda: (task := admin.next(project)).label is None and task.version == truth_.version(project) and task,
        "what was held back comes first, with the project's version",
    )
    admin.submit(served.task_id, truth(served.text))

    # The tab shows exactly the automatic labels.
    tabs = admin.call("GET", f"/api/dm/views?project={project}")
    (tab,) = [tab for tab in tabs if tab["data"]["title"] == "Labelled automatically"]
    assert admin.call("GET", f"/api/tasks?view={tab['id']}&project={project}&page_size=1")["total"] == n_automatic

    # A person corrects one.
    (corrected, task_id, *_), *_ = sorted(set_now)
    text = admin.call("GET", f"/api/tasks/{task_id}/?project={project}")["data"]["text"]
    other = "machine" if truth(text) == "animal" else "animal"
    admin.call("PATCH", f"/api/annotations/{corrected}/", {"result": choice(other)})
    until(lambda: backend.project(project)["n_annotations"] == N_LABELS + 2, "the check and the correction are heard")

    def look() -> Any:
        found = backend.project(project)["automation"]["runs"][0]["verification"]
        return found and found["n_corrected"] and found

    watched = until(look, "the correction counts against the promise")
    assert (watched["n_checked"], watched["n_wrong"], watched["is_alarm"]) == (1, 0, False)

    people = {row for row in annotations(truth_, project) if row[0] == corrected or row[4] is not None}
    undone = autolabel(backend, project, "--undo", "--yes")
    assert (undone["tasks"]["removed"], undone["tasks"]["kept"]) == (n_automatic - 1, 1)
    assert annotations(truth_, project) == people
    assert before <= people
    until(
        lambda: not any(name.startswith("auto-") for name in truth_.predictions(project)),
        "their predictions are deleted",
        seconds=IDLE_SECONDS + 120,
    )
    until(
        lambda: (
            (version := backend.project(project)["version"])["is_switched"]
            and truth_.version(project) == version["name"]
        ),
        "the end of the deletion, with the project on its version",
    )
