"""The description of the routes is true."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.web import create_app
from label_studio_al.web.openapi import PATHS, SCHEMAS
from label_studio_al.web.parts import Parts

PAYLOADS = sorted((Path(__file__).parents[1] / "payloads").glob("*.json"))


@pytest.fixture
def app(tmp_path: Path, store: Store, signer: Signer) -> Flask:
    return create_app(Parts(read_settings(model_dir=tmp_path), store, signer), ["secret"])


def path_of(name: str) -> str:
    return {"setup": "/setup", "predict": "/predict", "predict_tab": "/predict"}.get(name, "/webhook")


def check_answer(answer: TestResponse, path: str, method: str) -> None:
    responses = PATHS[path][method]["responses"]
    found = responses.get(str(answer.status_code)) or responses.get(f"{answer.status_code // 100}XX")
    assert found, f"{method} {path} answered {answer.status_code}, which is not described"
    schema = found["content"][answer.mimetype]["schema"]
    jsonschema.validate(answer.get_json() if answer.is_json else answer.text, schema)


def test_every_route_and_method_is_described(app: Flask) -> None:
    routes = {
        (rule.rule.replace("<path:", "{").replace("<", "{").replace(">", "}"), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint != "static"
    }
    assert routes == {(path, method) for path, operations in PATHS.items() for method in operations}


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_recorded_requests_and_their_answers_are_as_described(
    app: Flask, path: Path, payload: Callable[[str], dict[str, Any]]
) -> None:
    client, body, route = app.test_client(), json.loads(path.read_text(encoding="utf-8")), path_of(path.stem)
    assert client.post("/setup", json=payload("setup")).status_code == 200
    schema = PATHS[route]["post"]["requestBody"]["content"]["application/json"]["schema"]
    jsonschema.validate(body, {**schema, "components": {"schemas": SCHEMAS}})
    answer = client.post(route, json=body)
    check_answer(answer, route, "post")


@pytest.mark.parametrize("path", sorted(PATHS))
def test_answers_and_errors_are_as_described(app: Flask, path: str) -> None:
    for method in PATHS[path]:
        answer = app.test_client().open(path, method=method.upper(), json={} if method == "post" else None)
        check_answer(answer, path, method)


def test_description_is_valid_openapi(app: Flask) -> None:
    described = app.test_client().get("/openapi.json").get_json()
    assert described["openapi"].startswith("3.1")
    for operations in described["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                for content in response["content"].values():
                    jsonschema.Draft202012Validator.check_schema(content["schema"])
