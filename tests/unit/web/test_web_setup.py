"""Health, /setup and /validate."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from label_studio_al.labeling import read_project_key
from label_studio_al.store import Signer, Store
from tests.support.clock import FakeClock
from tests.support.columns import set_columns
from tests.support.protocol import KEY, TWO, assert_sentence, config, project, publish

DYNAMIC = '<View><Text name="text" value="$text"/><Choices name="topic" toName="text" value="$options"/></View>'


def test_health_is_up(client: FlaskClient) -> None:
    assert client.get("/health").get_json()["status"] == "UP"


def test_root_is_up(client: FlaskClient) -> None:
    assert client.get("/").get_json() == {"status": "UP"}


def test_unknown_page_is_404_in_json(client: FlaskClient) -> None:
    assert_sentence(client.get("/nothing"), 404)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/predict"), ("DELETE", "/setup"), ("PUT", "/webhook"), ("POST", "/health")]
)
def test_wrong_method_is_405_and_says_which_is_allowed(client: FlaskClient, method: str, path: str) -> None:
    answer = client.open(path, method=method)
    assert_sentence(answer, 405)
    assert answer.headers["Allow"]


def test_setup_makes_a_project_known(client: FlaskClient, store: Store, payload: Callable[[str], Any]) -> None:
    answer = client.post("/setup", json=payload("setup"))

    assert answer.status_code == 200
    assert answer.get_json() == {"model_version": "al-0"}
    assert (project(store).label_config, project(store).extra_params) == (TWO, {"strategy": "margin"})


def test_setup_names_the_current_version(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, number=7)
    assert connected.post("/setup", json={"project": KEY, "schema": TWO}).get_json() == {"model_version": "al-7"}


def test_setup_without_extra_params_keeps_the_settings(connected: FlaskClient, store: Store) -> None:
    for body in ({"extra_params": None}, {}):
        assert connected.post("/setup", json={"project": KEY, "schema": TWO, **body}).status_code == 200
    assert project(store).extra_params == {"strategy": "margin"}


def test_setup_with_changed_settings_or_config_is_news(connected: FlaskClient, store: Store) -> None:
    before = project(store)
    connected.post("/setup", json={"project": KEY, "schema": TWO, "extra_params": {"window": 7}})
    assert project(store).extra_params == {"window": 7}
    assert project(store).revision == before.revision + 1

    connected.post("/setup", json={"project": KEY, "schema": config("A", "B", "C")})
    assert project(store).label_config == config("A", "B", "C")
    assert project(store).revision == before.revision + 2


def test_setup_whose_choices_come_from_the_tasks_waits_for_them(
    client: FlaskClient, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"project": KEY, "schema": DYNAMIC, "extra_params": None}
    with caplog.at_level(logging.INFO):
        assert client.post("/setup", json=body).get_json() == {"model_version": "al-0"}
    assert "the label config waits for tasks: topic, because its choices come from the tasks" in caplog.text
    assert_sentence(client.post("/setup", json=body | {"extra_params": {"window": -1}}), 422)

    set_columns(store, KEY, offers=json.dumps({"options": ["A", "B"]}))
    assert client.post("/setup", json=body).status_code == 200
    (control,) = client.get("/status").get_json()["projects"][0]["controls"]
    assert (control["learned"], control["labels"]) == (True, ["A", "B"])

    set_columns(store, KEY, offers=json.dumps({"options": "the tasks offer different choices"}))
    assert "the tasks offer different choices" in assert_sentence(client.post("/setup", json=body), 422)
    (control,) = client.get("/status").get_json()["projects"][0]["controls"]
    assert control["reason"] == "the tasks offer different choices"


def test_task_opened_in_a_quiet_project_has_label_studio_asked(
    connected: FlaskClient, store: Store, clock: FakeClock
) -> None:
    set_columns(store, KEY, synced_at=clock.now(), sync_wanted=False)
    connected.post("/setup", json={"project": KEY, "schema": TWO})
    assert not project(store).sync_wanted

    set_columns(store, KEY, synced_at=clock.now() - 301)
    before = project(store)
    connected.post("/setup", json={"project": KEY, "schema": TWO})
    assert project(store) == replace(before, sync_wanted=True)


@pytest.mark.parametrize("seconds", [-86_400.0, 86_400.0])
def test_worker_whose_clock_goes_otherwise_is_asked_for_no_more_syncs(
    connected: FlaskClient, store: Store, clock: FakeClock, seconds: float
) -> None:
    n_wanted = 0
    for _ in range(10):
        set_columns(store, KEY, synced_at=clock.now() + seconds, sync_wanted=False)
        connected.post("/setup", json={"project": KEY, "schema": TWO})
        n_wanted += project(store).sync_wanted
        clock.advance(100)
    assert n_wanted == 4


def test_setup_again_is_no_news(connected: FlaskClient, store: Store, payload: Callable[[str], Any]) -> None:
    before = project(store)
    connected.post("/setup", json=payload("setup"))
    assert project(store) == before


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"strategy": "best"}, "strategy: input should be 'auto'"),
        ({"windw": 5}, "unknown extra param 'windw': use one of strategy"),
        ({"window": 1}, "window: input should be greater than or equal to 5, not"),
        ([1], "extra params must be a JSON object, not list"),
        ("{}", "extra params must be a JSON object, not str"),
        ({"f\u00f6n\u00e9\n\u2603": 1}, "unknown extra param 'f"),
    ],
    ids=str,
)
def test_wrong_settings_are_said_in_the_status_line(
    client: FlaskClient, store: Store, params: object, sentence: str
) -> None:
    answer = client.post("/setup", json={"project": KEY, "schema": TWO, "extra_params": params})

    assert sentence in assert_sentence(answer, 422)
    assert sentence in answer.status
    assert answer.status.isascii()
    assert answer.status.isprintable()
    assert store.projects.find(KEY) is None


def test_settings_that_are_not_finite_are_refused(client: FlaskClient) -> None:
    for value in ("NaN", "Infinity", "-Infinity"):
        for name in ("retrain_growth", "window", "seed"):
            body = f'{{"project": "{KEY}", "schema": {json.dumps(TWO)}, "extra_params": {{"{name}": {value}}}}}'
            assert_sentence(client.post("/setup", data=body, content_type="application/json"), 422)


@pytest.mark.parametrize(
    "schema",
    [
        "",
        "<View/>",
        "<View",
        "plain text",
        "<View></Wrong>",
        config("A"),
        TWO.replace("<Choices", '<Choices choice="several"'),
        TWO.replace("<View>", '<View><Audio name="sound" value="$sound"/>').replace('toName="text"', 'toName="sound"'),
        TWO.replace('value="$text"', 'value="$text" valueType="url"'),
        '<!DOCTYPE x [<!ENTITY a "b">]>' + TWO,
        "<View>" * 3_000,
        TWO + " " * 200_001,
        config("A", "\ud800"),
        TWO.replace('toName="text"', 'toName="elsewhere"'),
        TWO.replace('toName="text"', ""),
        TWO.replace('name="topic"', ""),
        TWO.replace('name="topic"', 'name="text"'),
        config("A", "B", ""),
        TWO.replace('name="topic"', 'name="topic" allownested="true"'),
    ],
    ids=lambda schema: str(schema[:40]).encode("ascii", "replace").decode(),
)
def test_config_that_cannot_be_learnt_is_refused_with_its_reason(client: FlaskClient, schema: str) -> None:
    answer = client.post("/setup", json={"project": KEY, "schema": schema})

    sentence = assert_sentence(answer, 422)
    assert "\n" not in sentence
    assert "label config" in sentence or "<" in sentence or "choices" in sentence or "text" in sentence
    assert answer.status.isascii()
    assert answer.status.isprintable()
    assert_sentence(client.post("/validate", json={"config": schema}), 422)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"project": KEY},
        {"project": KEY, "schema": None},
        {"project": KEY, "schema": 5},
        {"project": None, "schema": TWO},
        {"project": "3", "schema": TWO},
        {"project": 3, "schema": TWO},
        {"project": f"{KEY}\n", "schema": TWO},
        {"project": "9" * 30 + ".1", "schema": TWO},
        {"project": "../../etc/passwd", "schema": TWO},
    ],
    ids=str,
)
def test_broken_setup_is_refused(client: FlaskClient, store: Store, body: dict[str, Any]) -> None:
    assert_sentence(client.post("/setup", json=body), 400)
    assert store.projects.all() == []


def test_project_identity_takes_ascii_digits_only() -> None:
    with pytest.raises(Exception, match="project must look like"):
        read_project_key("\u0663.\u0661\u0667")


def test_validate_names_the_labels(client: FlaskClient) -> None:
    answer = client.post("/validate", json={"config": TWO})
    found = answer.get_json()
    assert found.items() >= {"status": "ok", "control": "topic", "labels": ["A", "B"]}.items()
    assert [(one["name"], one["learned"]) for one in found["controls"]] == [("topic", True)]
