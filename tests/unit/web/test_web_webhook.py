"""/webhook."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from label_studio_al.questions import parse_config
from label_studio_al.store import Store
from tests.support.columns import set_columns
from tests.support.protocol import KEY, assert_sentence, config, hear, labels, project


def test_annotation_created_is_stored_with_its_task(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    before = project(store)
    hear(connected, payload("annotation_created"))

    assert labels(store) == {1: "A"}
    assert [(one.task_id, one.was_cancelled) for one in store.annotations.all(KEY)] == [(2001, False)]
    assert [(one.task_id, one.data) for one in store.tasks.changes(KEY, (-1, -1), 9)] == [(2001, {"text": "hello 0"})]
    assert project(store).revision == before.revision + 1


def test_annotation_updated_replaces_the_label(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    hear(connected, payload("annotation_created"))
    hear(connected, payload("annotation_updated"))
    assert labels(store) == {1: "B"}


def test_annotation_events_in_the_wrong_order_keep_the_newer_label(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    hear(connected, payload("annotation_updated"))
    hear(connected, payload("annotation_created"))
    assert labels(store) == {1: "B"}


def test_event_heard_twice_changes_nothing(connected: FlaskClient, store: Store, payload: Callable[[str], Any]) -> None:
    for _ in range(3):
        hear(connected, payload("annotations_created"))
    assert labels(store) == {3: "A", 4: "A", 5: "A"}


def test_skipped_annotation_is_stored_as_skipped(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    hear(connected, payload("annotation_created_skipped"))
    assert [(one.id, one.task_id, one.was_cancelled) for one in store.annotations.all(KEY)] == [(2, 2002, True)]


def test_bulk_annotations_are_stored(connected: FlaskClient, store: Store, payload: Callable[[str], Any]) -> None:
    hear(connected, payload("annotations_created"))
    assert [(one.id, one.task_id) for one in store.annotations.all(KEY)] == [(3, 2003), (4, 2004), (5, 2005)]


def test_annotations_deleted_are_forgotten_for_good(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    hear(connected, payload("annotation_created"))
    hear(connected, payload("annotations_created"))
    hear(connected, payload("annotations_deleted"))
    assert labels(store) == {3: "A", 4: "A", 5: "A"}
    hear(connected, payload("annotations_deleted_bulk"))
    assert labels(store) == {5: "A"}

    # Late events must not revive them.
    hear(connected, payload("annotation_created"))
    hear(connected, payload("annotations_created"))
    assert labels(store) == {5: "A"}


def test_deletion_heard_before_the_creation_wins(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    hear(connected, payload("annotations_deleted"))
    hear(connected, payload("annotation_created"))
    assert labels(store) == {}


def test_tasks_created_are_stored(connected: FlaskClient, store: Store, payload: Callable[[str], Any]) -> None:
    body = payload("tasks_created")
    hear(connected, body)
    assert store.tasks.ids(KEY) == sorted(one["id"] for one in body["tasks"])


def test_tasks_created_with_annotations_ask_for_a_sync(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    set_columns(store, KEY, sync_wanted=False)
    hear(connected, payload("tasks_created"))
    assert not project(store).sync_wanted

    hear(connected, payload("tasks_created_with_annotations"))
    assert 2022 in store.tasks.ids(KEY)
    assert project(store).sync_wanted


def test_tasks_deleted_go_with_their_annotations(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    hear(connected, payload("tasks_created"))
    hear(connected, payload("annotation_created"))
    hear(connected, {**payload("tasks_deleted"), "tasks": [{"id": 2001}]})
    assert 2001 not in store.tasks.ids(KEY)
    assert labels(store) == {}

    n_known = store.tasks.counts(KEY)["tasks"]
    hear(connected, payload("tasks_deleted"))
    hear(connected, payload("tasks_deleted_bulk"))
    assert store.tasks.counts(KEY)["tasks"] == n_known


def test_changed_config_is_stored(connected: FlaskClient, store: Store, payload: Callable[[str], Any]) -> None:
    hear(connected, payload("project_updated"))
    assert parse_config(project(store).label_config).question.labels == ("A", "B", "C")


def test_start_training_is_a_job_that_can_be_asked_about(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    job = hear(connected, payload("start_training")).get_json()["job"]

    assert project(store).wanted_revision == project(store).revision
    assert connected.post("/job_status", json={"job": job}).get_json()["job_status"] == "queued"

    store.projects.begin_turn(KEY)
    assert connected.post("/job_status", json={"job": job}).get_json()["job_status"] == "started"

    set_columns(store, KEY, wanted_revision=-1)
    assert connected.post("/job_status", json={"job": job}).get_json()["job_status"] == "finished"

    set_columns(store, KEY, error="Label Studio does not answer")
    answer = connected.post("/job_status", json={"job": job}).get_json()
    assert (answer["job_status"], answer["error"]) == ("failed", "Label Studio does not answer")


def test_annotation_of_a_deleted_user_is_stored(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    body = payload("annotation_created")
    body["annotation"] |= {"completed_by": None, "updated_by": None}
    hear(connected, body)
    assert labels(store) == {1: "A"}


def test_annotation_without_its_task_is_stored(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    body = payload("annotation_created")
    del body["task"]
    hear(connected, body)
    assert labels(store) == {1: "A"}


@pytest.mark.parametrize("action", ["LABEL_LINK_CREATED", "DRAFT_CREATED", "", "x" * 10_000, "\ud800", "a\nb"])
def test_unknown_action_is_ignored(connected: FlaskClient, store: Store, action: str) -> None:
    before = project(store)
    answer = connected.post("/webhook", json={"action": action, "project": {"id": 2}})
    assert answer.status_code // 100 == 2
    assert project(store) == before


@pytest.mark.parametrize(
    "name",
    [
        "annotation_created",
        "annotations_deleted",
        "tasks_created",
        "tasks_deleted_bulk",
        "project_updated",
        "start_training",
    ],
)
def test_event_of_a_project_that_is_not_connected_is_ignored(
    client: FlaskClient, store: Store, payload: Callable[[str], Any], name: str
) -> None:
    answer = client.post("/webhook", json=payload(name))
    assert answer.status_code // 100 == 2
    assert answer.get_json()["status"] == "ignored"
    assert store.projects.all() == []
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM tasks").scalar_one() == 0


def test_project_created_anew_under_the_same_number_is_not_the_old_one(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    body = payload("annotation_created")
    body["project"]["created_at"] = "2027-01-01T00:00:00.000000Z"
    assert hear(connected, body, 200).get_json()["status"] == "ignored"
    assert labels(store) == {}


def test_webhook_never_keeps_the_projects_token(
    connected: FlaskClient,
    store: Store,
    payload: Callable[[str], Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = payload("project_updated")
    body["project"] |= {"token": "TOKENTOKEN", "task_data_password": "TASKPASS"}
    with caplog.at_level(logging.DEBUG):
        hear(connected, body)
        hear(connected, {**body, "project": {**body["project"], "id": "x"}}, 400)
    assert "TOKENTOKEN" not in caplog.text
    assert "TASKPASS" not in caplog.text
    store.close()
    for file in tmp_path.glob("state.sqlite*"):
        assert b"TOKENTOKEN" not in file.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"action": None},
        {"action": 5},
        {"action": ["ANNOTATION_CREATED"]},
        {"project": None},
        {"project": []},
        {"project": {}},
        {"project": {"id": 2}},
        {"project": {"id": "2", "created_at": "2026-11-23T00:36:30.339138Z"}},
        {"project": {"id": 2, "created_at": "yesterday"}},
        {"project": {"id": 2, "created_at": None}},
        {"project": {"id": 2, "created_at": "0001-01-01T00:00:00"}},
        {"annotation": None},
        {"annotation": "A"},
        {"annotation": [None]},
        {"annotation": {}},
        {"annotation": {"id": 1}},
        {"annotation": {"id": "1", "task": 1}},
        {"annotation": {"id": True, "task": 1}},
        {"annotation": {"id": -1, "task": 1}},
        {"annotation": {"id": 2**63, "task": 1}},
        {"annotation": {"id": 1, "task": 1.5}},
        {"annotation": {"id": 1, "task": 1, "result": "A"}},
        {"annotation": {"id": 1, "task": 1, "result": {}}},
        {"task": "text"},
        {"task": {"id": 1}},
        {"task": {"id": 1, "data": None}},
        {"task": {"id": None, "data": {}}},
        {"action": "ANNOTATIONS_DELETED", "annotations": None},
        {"action": "ANNOTATIONS_DELETED", "annotations": [1]},
        {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": "x"}]},
        {"action": "TASKS_CREATED", "tasks": [{"id": 1}]},
        {"action": "TASKS_CREATED", "tasks": "all"},
        {"action": "TASKS_DELETED", "tasks": [{}]},
    ],
    ids=str,
)
def test_broken_webhook_is_refused_with_a_sentence_and_stores_nothing(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any], change: dict[str, Any]
) -> None:
    before = project(store)
    answer = connected.post("/webhook", json={**payload("annotation_created"), **change})

    assert len(assert_sentence(answer, 400)) < 300
    assert project(store) == before
    assert store.tasks.counts(KEY) == {"tasks": 0, "annotations": 0}


def test_odd_results_are_stored_and_teach_nothing(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    odd: list[Any] = [
        None,
        [],
        [None, 5, "A"],
        [{}],
        [{"from_name": "topic"}],
        [{"from_name": "topic", "value": None}],
        [{"from_name": "topic", "value": {"choices": None}}],
        [{"from_name": "topic", "value": {"choices": []}}],
        [{"from_name": "topic", "value": {"choices": ["A", "B"]}}],
        [{"from_name": "topic", "value": {"choices": [["A"]]}}],
        [{"from_name": "topic", "value": {"choices": ["Z"]}}],
        [{"from_name": "topic", "value": {"choices": ["\ud800"]}}],
        [{"from_name": "other", "value": {"choices": ["A"]}}],
    ]
    for n, result in enumerate(odd):
        body = payload("annotation_created")
        body["annotation"] |= {"id": 100 + n, "result": result}
        hear(connected, body)
    assert list(labels(store).values()) == [None] * len(odd)


def test_torn_characters_in_a_text_are_stored_and_read_back(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    body = payload("tasks_created")
    body["tasks"][0]["data"] = {"text": "a \ud800 b", "\udfff": "\x00"}
    hear(connected, body)
    kept = {one.task_id: one.data for one in store.tasks.changes(KEY, (-1, -1), 9)}
    assert kept[2001] == {"text": "a \ud800 b", "\udfff": "\x00"}


@pytest.mark.parametrize(
    "change",
    [
        {"project": {"label_config": config("A", "\ud800")}},
        {"annotation": {"updated_at": "\ud800"}},
        {"annotation": {"updated_at": "x" * 100_000}},
        {"annotation": {"updated_at": {"a": ["\ud800"]}}},
    ],
    ids=["label_config", "updated_at", "long updated_at", "updated_at an object"],
)
def test_torn_characters_elsewhere_are_no_internal_error(
    connected: FlaskClient, payload: Callable[[str], Any], change: dict[str, Any]
) -> None:
    body = payload("annotation_created")
    for name, fields in change.items():
        body[name] |= fields
    answer = connected.post("/webhook", json=body)
    assert answer.status_code < 500, answer.text


def test_numbers_that_are_not_finite_are_stored_and_answered(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    body = payload("tasks_created")
    body["tasks"][0]["data"] = {"text": "cat", "weight": float("nan"), "size": float("-inf")}
    hear(connected, body)
    hear(connected, body)
    assert {one.task_id for one in store.tasks.changes(KEY, (-1, -1), 9_999)} == {one["id"] for one in body["tasks"]}


def test_five_thousand_items_in_one_webhook(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    body = payload("annotations_created")
    pattern = body["annotation"][0]
    body["annotation"] = [{**pattern, "id": 10_000 + n, "task": 50_000 + n} for n in range(5_000)]
    body["task"] = [{"id": 50_000 + n, "data": {"text": f"t {n}"}} for n in range(5_000)]
    hear(connected, body)
    assert store.tasks.counts(KEY) == {"tasks": 5_000, "annotations": 5_000}

    hear(connected, {**payload("tasks_deleted"), "tasks": [{"id": 50_000 + n} for n in range(5_000)]})
    assert store.tasks.counts(KEY) == {"tasks": 0, "annotations": 0}
