"""The loop as people meet it, in a real Label Studio 1.23.2."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import httpx
import pytest

from label_studio_al.cli.local import LocalLabelStudio
from label_studio_al.turns.due import IDLE_SECONDS
from tests.e2e.conftest import LOGIN
from tests.support.backend_process import BackendProcess
from tests.support.examples import GOLD, LABELS, TEXTS
from tests.support.studio import (
    Annotator,
    Served,
    Truth,
    choice,
    is_lowest,
    label_config,
    until,
    version_number,
)

pytestmark = pytest.mark.e2e

SETTINGS = {"retrain_growth": 0, "window": 25}
SET = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
# Between two labels where people label beside each other: who is faster than that has seen nothing of the task.
READING_SECONDS = 0.5


@pytest.fixture
def project(admin: Annotator, backend: BackendProcess, request: pytest.FixtureRequest) -> int:
    """A project with the example tasks, connected; every label makes a turn due."""
    project_id = admin.create_project(request.node.name[:50], LABELS, TEXTS)
    backend.connect(project_id, *SET)
    return project_id


@pytest.fixture(scope="module")
def labelled_project(admin: Annotator, backend: BackendProcess) -> int:
    """A project of which eight labels are learnt, for tests that label nothing in it."""
    project_id = admin.create_project("eight labels", LABELS, TEXTS)
    backend.connect(project_id, *SET)
    label_some(admin, project_id, 8)
    trained_on(backend, project_id, 8)
    return project_id


def label_some(
    annotator: Annotator,
    project_id: int,
    n: int,
    reading_seconds: float = 0.0,
    asks: AbstractContextManager[Any] | None = None,
) -> list[Served]:
    """asks: held while asking for a task, by people who are not to be given the same one."""
    served = []
    for _ in range(n):
        with asks or nullcontext():
            task = annotator.next(project_id)
        time.sleep(reading_seconds)
        annotator.submit(task.task_id, GOLD[task.text])
        served.append(task)
    return served


def trained_on(backend: BackendProcess, project_id: int, n_labels: int) -> dict:
    """The state once a published version knows that many labels."""

    def look() -> dict | None:
        state = backend.project(project_id)
        version = state.get("version")
        is_there = version and version["n_labels"] == n_labels and version["is_switched"] and not state["error"]
        return state if is_there else None

    return until(look, lambda: f"{n_labels} labels are learnt: {json.dumps(backend.project(project_id))[:1500]}")


def test_every_served_task_has_the_lowest_score(admin: Annotator, truth: Truth, project: int) -> None:
    me = truth.user_id(LOGIN.email)
    versions, n_served = set(), 0
    # Twenty tasks, and as many more as it takes a slow machine to make five versions.
    while n_served < 20 or (len(versions) < 5 and n_served < 120):
        n_served += 1
        before = truth.queue(project, me)
        served = admin.next(project)
        after = truth.queue(project, me)
        assert is_lowest(served.task_id, before, after), (served, before, after)
        versions.add(served.version)
        # Without a pause a program labels four tasks a second, and empties the queue before the next version is pushed.
        time.sleep(READING_SECONDS)
        admin.submit(served.task_id, GOLD[served.text])
    assert len(versions) > 4
    assert None not in versions


def test_no_label_is_lost_or_miscounted_that_is_submitted_beside_pushes(
    admin: Annotator,
    colleague: Annotator,
    backend: BackendProcess,
    label_studio: LocalLabelStudio,
    truth: Truth,
    project: int,
) -> None:
    before = truth.miscounted()[0]
    # Who asks at the same moment may be given the same task, since Label Studio looks for a lock before it takes one;
    # and two who submit the same task at the same moment are miscounted without any backend.
    asks = threading.Lock()
    with ThreadPoolExecutor() as pool:
        served = list(pool.map(lambda one: label_some(one, project, 12, READING_SECONDS, asks), (admin, colleague)))

    assert truth.labels(project) == 24
    assert len({task.task_id for some in served for task in some}) == 24
    trained_on(backend, project, 24)
    assert backend.project(project)["n_annotations"] == 24
    assert truth.miscounted()[0] == before
    # Who writes beside others waits for a turn: see al_settings.py.
    assert "database is locked" not in label_studio.log_path.read_text(encoding="utf-8", errors="replace")


def test_the_rest_of_the_window_follows_one_prediction_a_task(
    backend: BackendProcess, truth: Truth, labelled_project: int
) -> None:
    project = labelled_project
    state = backend.project(project)
    name, size = state["version"]["name"], state["window"]["size"]
    until(lambda: truth.predictions(project)[name] == size, "all of the window is there", 300)
    sql = "SELECT max(n) FROM (SELECT count(*) n FROM prediction WHERE project_id = ? GROUP BY task_id, model_version)"
    assert truth.ask(sql, project) == [(1,)]


def test_two_annotators_get_different_tasks_in_the_promised_order(
    admin: Annotator, colleague: Annotator, truth: Truth, project: int
) -> None:
    people = {
        admin: truth.user_id(LOGIN.email),
        colleague: truth.user_id("colleague@example.com"),
    }
    wrong: list[object] = []
    seen: list[int] = []
    turn = threading.Lock()

    def work(annotator: Annotator) -> None:
        for _ in range(10):
            with turn:  # so that the lock of the other one does not come between the look and the call
                before = truth.queue(project, people[annotator])
                served = annotator.next(project)
                after = truth.queue(project, people[annotator])
            seen.append(served.task_id)
            if not is_lowest(served.task_id, before, after):
                wrong.append((served, before, after))
            time.sleep(READING_SECONDS)
            annotator.submit(served.task_id, GOLD[served.text])

    threads = [threading.Thread(target=work, args=[annotator]) for annotator in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(seen) == len(set(seen)) == 20


def test_a_label_is_learnt_and_the_next_task_comes_with_its_models_suggestion(
    admin: Annotator, backend: BackendProcess, truth: Truth, labelled_project: int
) -> None:
    version = backend.project(labelled_project)["version"]["name"]
    served = admin.next(labelled_project)
    assert served.version == version == truth.version(labelled_project)
    assert served.label in LABELS


def test_a_task_outside_of_the_window_gets_a_prediction_of_the_current_version_when_opened(
    admin: Annotator, truth: Truth, labelled_project: int
) -> None:
    project = labelled_project
    sql = "SELECT id FROM task WHERE project_id = ? AND id NOT IN (SELECT task_id FROM prediction WHERE project_id = ?)"
    (outside, *_) = truth.ask(sql, project, project)
    opened = admin.open(project, outside[0])
    assert [prediction["model_version"] for prediction in opened["predictions"]] == [truth.version(project)]
    assert opened["predictions"][0]["result"][0]["value"]["choices"][0] in LABELS


def test_old_predictions_are_pruned_and_foreign_ones_stay(
    admin: Annotator, backend: BackendProcess, truth: Truth, project: int
) -> None:
    theirs = [{"task": admin.task_ids(project)[0], "result": choice("Praise"), "model_version": "my own model"}]
    admin.call("POST", f"/api/projects/{project}/import/predictions", theirs)
    label_some(admin, project, 4)
    for n_labels in range(5, 8):
        label_some(admin, project, 1)
        trained_on(backend, project, n_labels)
    newest = version_number(truth.version(project))
    assert newest > 2
    assert 1 in map(version_number, truth.predictions(project)), "nobody waits for a deletion while people label"

    kept = {truth.version(project), "my own model"}
    until(lambda: set(truth.predictions(project)) == kept, "the deletion", seconds=IDLE_SECONDS + 60)
    until(lambda: backend.project(project)["version"]["is_switched"], "the end of the deletion")
    assert version_number(truth.version(project)) == newest
    assert admin.next(project).version == truth.version(project)


def test_a_corrected_and_a_deleted_annotation_are_learnt_and_a_skipped_task_teaches_nothing(
    admin: Annotator, backend: BackendProcess, truth: Truth, project: int
) -> None:
    label_some(admin, project, 6)
    before = trained_on(backend, project, 6)["version"]
    (annotation, *others) = [
        row[0] for row in truth.ask("SELECT id FROM task_completion WHERE project_id = ? ORDER BY id", project)
    ]
    old = json.loads(truth.ask("SELECT result FROM task_completion WHERE id = ?", annotation)[0][0])
    new = next(label for label in LABELS if label != old[0]["value"]["choices"][0])
    admin.call("PATCH", f"/api/annotations/{annotation}/", {"result": choice(new)})
    until(
        lambda: backend.project(project)["version"]["labels"][new] == before["labels"][new] + 1,
        "the correction is learnt",
    )
    admin.call("DELETE", f"/api/annotations/{others[0]}/")
    trained_on(backend, project, 5)
    admin.skip(admin.next(project).task_id)
    label_some(admin, project, 1)
    assert trained_on(backend, project, 6)["n_annotations"] == 7


def test_imported_tasks_join_and_deleted_tasks_leave(
    admin: Annotator, backend: BackendProcess, truth: Truth, project: int
) -> None:
    label_some(admin, project, 6)
    trained_on(backend, project, 6)
    admin.import_texts(project, [f"a new message about invoice number {n}" for n in range(30)])
    until(lambda: backend.project(project)["n_tasks"] == len(TEXTS) + 30, "the new tasks are known")
    _, scores = truth.queue(project, 1)
    soonest = min(scores, key=scores.__getitem__)
    admin.call("DELETE", f"/api/tasks/{soonest}/")
    until(lambda: backend.project(project)["n_tasks"] == len(TEXTS) + 29, "the deleted task is gone")
    assert label_some(admin, project, 3)
    trained_on(backend, project, 9)


def test_status_says_how_good_the_model_is(admin: Annotator, backend: BackendProcess, project: int) -> None:
    backend.connect(project, *SET, "--set", "audit_share=1")
    label_some(admin, project, 6)
    trained_on(backend, project, 6)
    label_some(admin, project, 5)
    trained_on(backend, project, 11)

    def audited() -> dict | None:
        quality = backend.project(project)["quality"]
        return quality if quality and quality["audit"]["n"] >= 4 else None

    quality = until(audited, "the audit is counted")
    accuracy = quality["audit"]["accuracy"]
    assert 0 <= accuracy["low"] <= accuracy["value"] <= accuracy["high"] <= 1
    assert quality["cross_validation"]["n"] == quality["n_labels"]
    assert quality["stop"]["stop"] is not True
    assert quality["stop"]["reason"]
    assert quality["forecast"]["gain"] is None
    assert quality["forecast"]["reason"]


def test_start_training_trains(admin: Annotator, truth: Truth, labelled_project: int) -> None:
    project = labelled_project
    before = truth.version(project)
    (connection,) = admin.call("GET", f"/api/ml/?project={project}")
    admin.call("POST", f"/api/ml/{connection['id']}/train", {})
    until(lambda: version_number(truth.version(project)) > version_number(before), "a new version is switched to")


def test_a_changed_label_config_is_followed(
    admin: Annotator, backend: BackendProcess, truth: Truth, project: int
) -> None:
    label_some(admin, project, 12)
    n_billing = trained_on(backend, project, 12)["version"]["labels"]["Billing"]
    assert n_billing, "the example has billing messages among the first twelve"
    added = [*LABELS, "Other"]
    admin.call("PATCH", f"/api/projects/{project}/", {"label_config": label_config(added)})
    until(lambda: list(backend.project(project)["version"]["labels"]) == added, "the added label is known")
    # Label Studio refuses to remove a label that annotations use, unless they go first.
    sql = "SELECT id FROM task_completion WHERE project_id = ? AND result LIKE '%Billing%'"
    for (annotation,) in truth.ask(sql, project):
        admin.call("DELETE", f"/api/annotations/{annotation}/")
    trained_on(backend, project, 12 - n_billing)
    renamed = ["Invoices" if label == "Billing" else label for label in added]
    admin.call("PATCH", f"/api/projects/{project}/", {"label_config": label_config(renamed)})
    until(lambda: list(backend.project(project)["version"]["labels"]) == renamed, "the renamed label is known")
    trained_on(backend, project, 12 - n_billing)
    removed = [label for label in renamed if label not in ("Invoices", "Other")]
    admin.call("PATCH", f"/api/projects/{project}/", {"label_config": label_config(removed)})
    until(lambda: list(backend.project(project)["version"]["labels"]) == removed, "the removed labels are gone")
    assert admin.next(project).label in (*removed, None)


def test_the_backend_goes_on_after_a_restart_and_a_kill(
    admin: Annotator, make_backend: Callable[..., BackendProcess], truth: Truth
) -> None:
    backend = make_backend()
    project = admin.create_project("restarts", LABELS, TEXTS)
    backend.connect(project, *SET)
    label_some(admin, project, 6)
    trained_on(backend, project, 6)
    backend.stop()
    served = admin.next(project)
    admin.submit(served.task_id, GOLD[served.text])  # its webhook is lost
    backend.start()
    trained_on(backend, project, 7)
    label_some(admin, project, 2)
    backend.kill()
    backend.start()
    trained_on(backend, project, 9)
    assert admin.next(project).version == truth.version(project)


def test_connecting_twice_changes_nothing(
    admin: Annotator, backend: BackendProcess, truth: Truth, labelled_project: int
) -> None:
    project = labelled_project
    version = truth.version(project)
    backend.connect(project)
    assert truth.version(project) == version
    assert len(admin.call("GET", f"/api/ml/?project={project}")) == 1
    assert len(admin.call("GET", f"/api/webhooks/?project={project}")) == 1
    titles = [tab["data"].get("title") for tab in admin.call("GET", f"/api/dm/views?project={project}")]
    assert titles.count("Most informative first") == 1
    assert backend.project(project)["settings"] == SETTINGS


def test_the_webhook_made_by_connect_is_limited_and_carries_the_secret(admin: Annotator, labelled_project: int) -> None:
    (hook,) = admin.call("GET", f"/api/webhooks/?project={labelled_project}")
    assert not hook["send_for_all_actions"]
    assert "PROJECT_UPDATED" in hook["actions"]
    assert "X-Label-Studio-AL-Secret" in hook["headers"]


def test_pasting_the_url_into_the_model_page_is_enough(admin: Annotator, backend: BackendProcess, truth: Truth) -> None:
    project_id = admin.create_project("pasted", LABELS, TEXTS)
    admin.call("POST", "/api/ml/", {"url": backend.url, "project": project_id, "title": "pasted by hand"})
    trained_on(backend, project_id, 0)
    label_some(admin, project_id, 6)
    trained_on(backend, project_id, 6)
    assert admin.call("GET", f"/api/projects/{project_id}/")["sampling"] == "Uncertainty sampling"
    assert admin.next(project_id).version == truth.version(project_id)


def test_without_a_token_the_model_learns_and_the_status_says_what_is_missing(
    admin: Annotator, make_backend: Callable[..., BackendProcess]
) -> None:
    backend = make_backend(token=None)
    project_id = admin.create_project("no token", LABELS, list(GOLD)[:60])
    admin.call("POST", "/api/ml/", {"url": backend.url, "project": project_id, "title": "no token"})
    label_some(admin, project_id, 8)
    until(lambda: (backend.project(project_id)["version"] or {}).get("n_labels") == 8, "8 labels are learnt")
    (problem,) = backend.status()["problems"]
    assert "LABEL_STUDIO_API_KEY" in problem
    opened = admin.open(project_id, admin.task_ids(project_id)[-1])
    assert opened["predictions"][0]["model_version"] == backend.project(project_id)["version"]["name"]


def test_wrong_extra_params_are_refused_in_a_sentence_that_the_admin_sees(
    admin: Annotator, backend: BackendProcess
) -> None:
    project_id = admin.create_project("wrong params", LABELS, ["one"])
    connection = {"url": backend.url, "project": project_id, "title": "x", "extra_params": {"strategy": "magic"}}
    answer = admin.client.post("/api/ml/", json=connection)
    assert answer.status_code == 400
    assert "strategy: input should be 'auto'" in answer.text.replace("\\", "")


def test_an_unsupported_label_config_is_refused_in_a_sentence(admin: Annotator, backend: BackendProcess) -> None:
    config = '<View><Text name="t" value="$text"/><TextArea name="a" toName="t"/></View>'
    made = admin.call("POST", "/api/projects/", {"title": "free text", "label_config": config})
    answer = admin.client.post("/api/ml/", json={"url": backend.url, "project": made["id"], "title": "x"})
    assert answer.status_code == 400
    assert "no model for <TextArea> is built in" in answer.text
    done = backend.run("connect", "--project", str(made["id"]))
    assert done.exit_code == 1
    assert "no model for <TextArea> is built in" in done.stderr
    assert "Traceback" not in done.stderr


def test_retrieve_predictions_works_for_a_whole_tab(admin: Annotator, truth: Truth, labelled_project: int) -> None:
    project = labelled_project
    version = truth.version(project)
    selected = {"selectedItems": {"all": True, "excluded": []}}
    admin.call("POST", f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}", selected)
    tasks = truth.ask(
        "SELECT COUNT(DISTINCT task_id) FROM prediction WHERE project_id = ? AND model_version = ?", project, version
    )
    assert tasks == [(len(TEXTS),)]


def test_two_projects_never_see_each_other(
    admin: Annotator, backend: BackendProcess, truth: Truth, project: int
) -> None:
    other_labels = ["Ham", "Spam"]
    other = admin.create_project("other", other_labels, [f"win money now {n}" for n in range(40)])
    backend.connect(other)
    for n in range(6):
        served = admin.next(project)
        admin.submit(served.task_id, GOLD[served.text])
        theirs = admin.next(other)
        admin.submit(theirs.task_id, other_labels[n % 2])
    trained_on(backend, project, 6)
    trained_on(backend, other, 6)
    for project_id, labels in ((project, LABELS), (other, other_labels)):
        assert admin.next(project_id).label in labels
        rows = truth.ask("SELECT result FROM prediction WHERE project_id = ?", project_id)
        given = {item["value"]["choices"][0] for (result,) in rows for item in json.loads(result)}
        assert given <= set(labels)
    assert set(backend.project(other)["version"]["labels"]) == set(other_labels)


def test_bulk_labels_are_learnt_in_few_turns(
    admin: Annotator, backend: BackendProcess, truth: Truth, project: int
) -> None:
    label_some(admin, project, 6)
    trained_on(backend, project, 6)
    ids = admin.task_ids(project)[:100]
    predictions = [
        {"task": task, "result": choice(LABELS[n % 5]), "model_version": "bulk"} for n, task in enumerate(ids)
    ]
    admin.call("POST", f"/api/projects/{project}/import/predictions", predictions)
    n_turns = len(backend.project(project)["turns"])
    body = {"selectedItems": {"all": False, "included": ids}, "model_version": "bulk"}
    admin.call("POST", f"/api/dm/actions?id=predictions_to_annotations&project={project}", body)
    n_labelled = truth.ask("SELECT COUNT(DISTINCT task_id) FROM task_completion WHERE project_id = ?", project)[0][0]
    trained_on(backend, project, n_labelled)
    assert len(backend.project(project)["turns"]) - n_turns <= 2


def test_basic_auth_is_used_both_ways(
    admin: Annotator, make_backend: Callable[..., BackendProcess], truth: Truth
) -> None:
    backend = make_backend(BASIC_AUTH_USER="studio", BASIC_AUTH_PASS="pass-word")
    assert httpx.get(f"{backend.url}/status").status_code == 401
    project_id = admin.create_project("basic auth", LABELS, TEXTS)
    backend.connect(project_id)
    label_some(admin, project_id, 6)
    trained_on(backend, project_id, 6)
    assert admin.next(project_id).version == truth.version(project_id)
    assert "pass-word" not in backend.log()


def test_no_secret_is_ever_logged(
    admin: Annotator, backend: BackendProcess, truth: Truth, labelled_project: int
) -> None:
    project = labelled_project
    log = backend.log()
    (hook,) = admin.call("GET", f"/api/webhooks/?project={project}")
    ((token,),) = truth.ask("SELECT token FROM project WHERE id = ?", project)
    for secret in (LOGIN.token, token, *hook["headers"].values()):
        assert secret not in log
    assert not any(text in log for text in GOLD)
