"""/train, /job_status, /versions and /delete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from label_studio_al.store import Signer, Store
from tests.support.protocol import KEY, TEXTS, assert_sentence, hear, labels, project, publish


def test_train_wants_a_training(connected: FlaskClient, store: Store) -> None:
    answer = connected.post("/train", json={"project": KEY})
    assert answer.status_code == 201
    assert answer.get_json() == {"status": "queued", "job": f"{KEY}:0"}
    assert project(store).wanted_revision == project(store).revision


@pytest.mark.parametrize("job", [None, 5, "", "x", f"{KEY}", f"{KEY}:", f"{KEY}:x", ":1", f"{KEY}:-1", f"{KEY}:1:2"])
def test_job_that_nobody_gave_is_refused(connected: FlaskClient, job: object) -> None:
    assert_sentence(connected.post("/job_status", json={"job": job}), 400)


@pytest.mark.parametrize("number", ["\u00b2", "9" * 5_000, "\u0663"], ids=["superscript", "long", "other digits"])
def test_job_number_that_is_no_number_is_refused(connected: FlaskClient, number: str) -> None:
    assert connected.post("/job_status", json={"job": f"{KEY}:{number}"}).status_code in (200, 400)


def test_job_of_an_unknown_project_is_404(client: FlaskClient) -> None:
    assert_sentence(client.post("/job_status", json={"job": "1.1:0"}), 404)
    assert_sentence(client.post("/train", json={"project": "1.1"}), 404)


def test_versions_names_the_current_one(connected: FlaskClient, store: Store, signer: Signer) -> None:
    assert connected.get(f"/versions?project={KEY}").get_json() == {"versions": ["al-0"]}
    publish(store, signer, number=3)
    assert connected.get(f"/versions?project={KEY}").get_json() == {"versions": ["al-3"]}
    assert connected.get("/versions", json={"project": KEY}).get_json() == {"versions": ["al-3"]}
    assert connected.get("/versions").get_json() == {"versions": ["al-3"]}
    assert_sentence(connected.get("/versions?project=1.1"), 404)
    assert_sentence(connected.get("/versions?project=x"), 400)


def test_disconnected_project_keeps_its_labels(
    connected: FlaskClient, store: Store, payload: Callable[[str], Any]
) -> None:
    hear(connected, payload("annotation_created"))
    assert connected.post("/delete", json={"project": KEY}).status_code == 200
    assert labels(store) == {1: "A"}


def test_duplicated_project_shares_nothing(connected: FlaskClient, store: Store) -> None:
    answer = connected.post("/duplicate_model", json={"project_src": KEY, "project_dst": "9.1795394190"})
    assert answer.status_code == 200
    assert [one.key for one in store.projects.all()] == [KEY]


def test_version_that_is_replaced_during_a_request_gives_way_to_the_next(
    connected: FlaskClient, store: Store, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, signer, trained_on=TEXTS, number=1)
    load = store.versions.artifact

    def replaced(version_id: int) -> Any:
        monkeypatch.undo()
        publish(store, signer, trained_on=TEXTS, number=2)
        return load(version_id)

    monkeypatch.setattr(store.versions, "artifact", replaced)
    body = {"project": KEY, "tasks": [{"id": 1, "data": {"text": TEXTS["A"][0]}}]}
    [answer] = connected.post("/predict", json=body).get_json()["results"]
    assert answer["model_version"] == "al-2"
    assert answer["result"][0]["value"]["choices"] == ["A"]
