"""Bodies that are no requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings, strategies

from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.protocol import KEY, SECRET, TEXTS, TWO, assert_sentence, project, publish

POSTS = ["/setup", "/predict", "/webhook", "/train", "/job_status", "/validate", "/delete", "/duplicate_model"]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", [b"", b"{", b"not json", b"\xff\xfe", b"\x00", b'{"a": 1', b"<html>"], ids=repr)
def test_body_that_is_not_json_is_refused(client: FlaskClient, path: str, body: bytes) -> None:
    assert_sentence(client.post(path, data=body, content_type="application/json"), 400)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", ["null", "[]", "1", '"text"', "true", "NaN"])
def test_body_that_is_no_object_is_refused(client: FlaskClient, path: str, body: str) -> None:
    assert_sentence(client.post(path, data=body, content_type="application/json"), 400)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data"])
def test_wrong_content_type_is_415(client: FlaskClient, path: str, content_type: str) -> None:
    assert_sentence(client.post(path, data=b"{}", content_type=content_type), 415)


@pytest.mark.parametrize("path", POSTS)
def test_body_over_the_limit_is_413(tmp_path: Path, store: Store, signer: Signer, path: str) -> None:
    client = create_app(Parts(read_settings(model_dir=tmp_path, max_body_bytes=2048), store, signer), [SECRET])
    answer = client.test_client().post(path, json={"a": "x" * 2048})
    assert_sentence(answer, 413)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("opening", ["[", '{"a":', '{"tasks":[{"data":'], ids=["list", "object", "tasks"])
def test_deep_nesting_is_refused(client: FlaskClient, path: str, opening: str) -> None:
    closing = "".join({"[": "]", "{": "}"}[one] for one in reversed(opening) if one in "[{")
    body = opening * 100_000 + "1" + closing * 100_000
    assert_sentence(client.post(path, data=body, content_type="application/json"), 400)


@pytest.mark.parametrize("depth", [100, 500, 800, 900, 950, 1_000, 1_500, 5_000])
def test_nested_task_data_is_stored_or_refused(
    connected: FlaskClient, payload: Callable[[str], Any], depth: int
) -> None:
    body = json.dumps({**payload("tasks_created"), "tasks": [{"id": 1, "data": {"deep": "HERE"}}]})
    nested = body.replace('"HERE"', "[" * depth + "]" * depth)
    answer = connected.post("/webhook", data=nested, content_type="application/json")
    assert answer.status_code in (201, 400), answer.text


JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(strategies.characters(codec=None), max_size=20)
    | strategies.sampled_from([KEY, TWO, "A", "ANNOTATION_CREATED", "2026-11-23T00:36:30Z", 2, 2001]),
    lambda inner: (
        strategies.lists(inner, max_size=4) | strategies.dictionaries(strategies.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


FIELDS = [
    "action",
    "project",
    "schema",
    "extra_params",
    "tasks",
    "label_config",
    "annotation",
    "annotations",
    "task",
    "job",
    "config",
    "project_src",
    "project_dst",
]


ACTIONS = ["ANNOTATION_CREATED", "ANNOTATIONS_DELETED", "TASKS_CREATED", "TASKS_DELETED", "PROJECT_UPDATED"]


THINGS = strategies.fixed_dictionaries(
    {},
    optional={
        "id": strategies.integers(0, 2**64) | JSON,
        "data": strategies.dictionaries(strategies.sampled_from(["text", "x"]), JSON, max_size=2) | JSON,
        "task": strategies.integers(0, 5) | JSON,
        "result": JSON,
        "updated_at": JSON,
        "total_annotations": JSON,
    },
)


PROJECTS = strategies.fixed_dictionaries(
    {"id": strategies.just(2) | JSON, "created_at": strategies.just("2026-11-23T00:36:30.339138Z") | JSON},
    optional={"label_config": strategies.just(TWO) | JSON},
)


BODIES = JSON | strategies.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(FIELDS, JSON),
        "action": strategies.sampled_from([*ACTIONS, "START_TRAINING"]) | JSON,
        "project": strategies.just(KEY) | PROJECTS | JSON,
        "schema": strategies.just(TWO) | JSON,
        "tasks": strategies.lists(THINGS | JSON, max_size=3),
        "annotation": THINGS | strategies.lists(THINGS, max_size=3),
        "annotations": strategies.lists(THINGS, max_size=3),
        "task": THINGS | strategies.lists(THINGS, max_size=3),
        "job": strategies.builds(lambda number: f"{KEY}:{number}", strategies.text(max_size=4)) | JSON,
        "label_config": strategies.just(TWO) | JSON,
    },
)


@pytest.mark.parametrize("path", POSTS)
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=BODIES)
def test_no_body_makes_an_internal_error(
    connected: FlaskClient, store: Store, signer: Signer, path: str, body: Any
) -> None:
    if project(store).version_id is None:
        publish(store, signer, trained_on=TEXTS, ranked_by="coverage", window=[(1, 0.5)])
    answer = connected.post(path, data=json.dumps(body), content_type="application/json")
    assert answer.status_code < 500, answer.text
    assert "Traceback" not in answer.text
    assert answer.is_json


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=strategies.binary(max_size=200), content_type=strategies.sampled_from(["application/json", "text/plain"]))
def test_no_bytes_make_an_internal_error(client: FlaskClient, body: bytes, content_type: str) -> None:
    for path in POSTS:
        answer = client.post(path, data=body, content_type=content_type)
        assert 400 <= answer.status_code < 500, answer.text


def test_inside_errors_are_not_told(
    connected: FlaskClient, monkeypatch: pytest.MonkeyPatch, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_key: str) -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr(store.projects, "get", fail)
    answer = connected.post("/predict", json={"project": KEY, "tasks": []})
    assert "the inside" not in assert_sentence(answer, 500)
    assert "the inside" in caplog.text
