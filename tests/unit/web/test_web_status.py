"""/status."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store, Turn
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.columns import set_columns
from tests.support.protocol import KEY, SECRET, TEXTS, hear, publish


def test_status_of_a_new_project(connected: FlaskClient) -> None:
    found = connected.get("/status").get_json()["projects"][0]
    assert (found["project"], found["key"], found["version"], found["error"]) == (2, KEY, None, None)
    assert (found["n_tasks"], found["n_annotations"]) == (0, 0)
    assert found["settings"] == {"strategy": "margin"}


def test_status_shows_version_turns_and_error(
    connected: FlaskClient, store: Store, signer: Signer, payload: Callable[[str], Any]
) -> None:
    hear(connected, payload("tasks_created"))
    publish(store, signer, trained_on=TEXTS, number=4)
    store.turns.record(KEY, Turn(1_800_000_000.0, 0.25, "published al-4", 4, 6, {"train": 0.1}))
    set_columns(store, KEY, n_tasks=3, error="Label Studio does not answer", retry_at=1_800_000_010.0)

    found = connected.get("/status").get_json()["projects"][0]

    assert found["n_tasks"] == 3
    assert (found["version"]["name"], found["version"]["has_model"]) == ("al-4", True)
    assert found["turns"][0]["outcome"] == "published al-4"
    assert found["error"] == "Label Studio does not answer"
    assert datetime.fromisoformat(found["retry_at"]).timestamp() == 1_800_000_010


def test_status_says_what_a_missing_token_means(client: FlaskClient) -> None:
    assert "LABEL_STUDIO_API_KEY" in client.get("/status").get_json()["problems"][0]


def test_status_tells_no_secrets(tmp_path: Path, store: Store, signer: Signer) -> None:
    settings = read_settings(
        model_dir=tmp_path,
        label_studio_url="http://ls.test",
        label_studio_api_key="KEYKEY",
        signing_key="SIGNSIGNSIGNSIGN",
    )
    text = create_app(Parts(settings, store, signer), [SECRET]).test_client().get("/status").text
    for secret in ("KEYKEY", "SIGNSIGNSIGNSIGN", SECRET):
        assert secret not in text


def test_status_survives_a_version_that_is_replaced_meanwhile(
    connected: FlaskClient, store: Store, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, signer, number=1)
    stale = store.projects.all()
    publish(store, signer, number=2)
    monkeypatch.setattr(store.projects, "all", lambda: stale)
    assert connected.get("/status").status_code == 200
