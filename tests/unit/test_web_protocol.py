"""The ML backend protocol through a real Flask client and a real store."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings, strategies
from werkzeug.test import TestResponse

from label_studio_al.labeling import parse_config, read_project_key
from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.features import Features
from label_studio_al.learning.learner import Tuning
from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import NewVersion, Project, Signer, Store, Turn, features_kind, model_kind
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.clock import FakeClock
from tests.support.columns import set_columns

# The recorded requests come from this project.
KEY = "2.1795394190"
SECRET = "a secret that only tests know"


def config(*labels: str) -> str:
    choices = "".join(f'<Choice value="{label}"/>' for label in labels)
    return f'<View><Text name="text" value="$text"/><Choices name="topic" toName="text">{choices}</Choices></View>'


TWO = config("A", "B")
TEXTS = {"A": ["the cat sleeps", "a cat purrs", "the cat"], "B": ["an engine roars", "the engine stops", "engine oil"]}


@pytest.fixture
def app(tmp_path: Path, store: Store, signer: Signer, clock: FakeClock) -> Flask:
    settings = read_settings(model_dir=tmp_path, max_body_bytes=50_000_000)
    return create_app(Parts(settings, store, signer, clock), [SECRET])


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def connected(client: FlaskClient, payload: Callable[[str], dict[str, Any]]) -> FlaskClient:
    """A client whose project is set up."""
    assert client.post("/setup", json=payload("setup")).status_code == 200
    return client


@pytest.fixture(autouse=True)
def _no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here may open a connection: texts are never fetched, Label Studio is never asked."""

    def refuse(_socket: socket.socket, address: object) -> None:
        raise AssertionError(f"the web edge connects to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def project(store: Store) -> Project:
    return store.projects.get(KEY)


def publish(
    store: Store,
    signer: Signer,
    *,
    labels: tuple[str, ...] = ("A", "B"),
    trained_on: dict[str, list[str]] | None = None,
    window: list[tuple[int, float]] | None = None,
    ranked_by: str = "margin",
    number: int = 1,
    key: str = KEY,
) -> int:
    """A version with a model (or without one, where `trained_on` is None)."""
    artifact = features_id = None
    if trained_on is not None:
        pairs = [(text, label) for label, texts in trained_on.items() for text in texts]
        features, rows = Features.fit_transform([text for text, _ in pairs], None)
        classifier = fit_classifier(rows, np.array([label for _, label in pairs]))
        artifact = signer.dump((classifier, ranked_by, Tuning("tfidf")), model_kind(key, number, 1_800_000_000.0))
        features_id = store.features.save(key, "text", signer.dump(features, features_kind(key, 0.0)), 0.0)
    new = NewVersion(
        number=number,
        created_at=1_800_000_000.0,
        revision=0,
        ranked_by=ranked_by if trained_on is not None else "coverage",
        labels=labels,
        trained_on=dict(enumerate(trained_on or {})),
        features_id=features_id,
        artifact=artifact,
        window=window or [],
    )
    return store.versions.publish(key, new, is_switched=True).id


def task(task_id: object, text: object = "the cat") -> dict[str, Any]:
    return {"id": task_id, "data": {"text": text}}


def ask(client: FlaskClient, tasks: list[Any], **more: Any) -> list[dict[str, Any]]:
    answer = client.post("/predict", json={"tasks": tasks, "project": KEY, **more})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.get_json()["results"]
    assert len(results) == len(tasks)
    for one in results:
        assert 0 <= one["score"] <= 1
    return results


def labels_of(results: list[dict[str, Any]]) -> list[str | None]:
    return [one["result"][0]["value"]["choices"][0] if one["result"] else None for one in results]


def assert_sentence(answer: TestResponse, status: int) -> str:
    """An error in JSON with one sentence for the caller and no inside of ours."""
    assert answer.status_code == status, answer.text
    sentence: str = answer.get_json()["error"]
    assert sentence
    assert "Traceback" not in answer.text
    return sentence


# -- health and what other pages say ----------------------------------------


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


# -- setup ------------------------------------------------------------------


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
        TWO.replace("<Choices", '<Choices choice="multiple"'),
        TWO.replace("<View>", '<View><Image name="image" value="$image"/>').replace('toName="text"', 'toName="image"'),
        TWO.replace("</View>", '<Rating name="stars" toName="text"/></View>'),
        TWO.replace('value="$text"', 'value="$text" valueType="url"'),
        '<!DOCTYPE x [<!ENTITY a "b">]>' + TWO,
        "<View>" * 3_000,
        TWO + " " * 200_001,
        config("A", "\ud800"),
        TWO.replace('toName="text"', 'toName="elsewhere"'),
        TWO.replace('toName="text"', ""),
        TWO.replace('name="topic"', ""),
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
    assert answer.get_json() == {"status": "ok", "control": "topic", "labels": ["A", "B"]}


# -- predict ----------------------------------------------------------------


def test_predict_before_the_first_version_is_empty_and_last(
    connected: FlaskClient, payload: Callable[[str], Any]
) -> None:
    for name, n_tasks in (("predict", 1), ("predict_tab", 2)):
        answer = connected.post("/predict", json=payload(name))
        assert answer.get_json() == {"results": [{"model_version": "al-0", "score": 1.0, "result": []}] * n_tasks}


def test_cold_start_gives_the_windows_scores_and_one_outside(
    connected: FlaskClient, store: Store, signer: Signer
) -> None:
    publish(store, signer, window=[(5, 1.0), (6, 0.75)])

    results = ask(connected, [task(6), task(5), task(7)])

    assert [one["score"] for one in results] == [0.25, 0.0, 1.0]
    assert labels_of(results) == [None, None, None]
    assert {one["model_version"] for one in results} == {"al-1"}


def test_model_with_a_cold_start_order_gives_labels_and_the_windows_scores(
    connected: FlaskClient, store: Store, signer: Signer
) -> None:
    publish(store, signer, trained_on=TEXTS, ranked_by="coverage", window=[(5, 0.5)])

    results = ask(connected, [task(5), task(6, "engine")])

    assert [one["score"] for one in results] == [0.5, 1.0]
    assert labels_of(results) == ["A", "B"]


def test_predict_answers_each_task_in_order(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on=TEXTS)
    texts = ["the cat", "engine", "a cat purrs", "engine oil", "cat"]

    results = ask(connected, [task(n, text) for n, text in enumerate(texts)])

    assert labels_of(results) == ["A", "B", "A", "B", "A"]
    for one in results:
        item = one["result"][0]
        assert (item["from_name"], item["to_name"], item["type"]) == ("topic", "text", "choices")
        assert 0.5 <= item["score"] <= 1
    # One task alone is answered as among others, but for the last bit of a sum: NumPy 2.2 (Python 3.10) adds otherwise.
    for n, text in enumerate(texts):
        assert ask(connected, [task(n, text)]) == [results[n] | {"score": pytest.approx(results[n]["score"], abs=1e-6)}]


def test_undecided_task_has_the_lowest_score(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on=TEXTS)
    sure, corrupt = ask(connected, [task(1, "cat cat purrs"), task(2, "the cat an engine")])
    assert corrupt["score"] < sure["score"]


@pytest.mark.parametrize("order", [("A", "B", "C"), ("C", "B", "A"), ("B", "C", "A")])
def test_label_names_do_not_depend_on_the_configs_order(
    client: FlaskClient, store: Store, signer: Signer, order: tuple[str, ...]
) -> None:
    client.post("/setup", json={"project": KEY, "schema": config(*order)})
    trained_on = {**TEXTS, "C": ["a rose blooms", "the rose", "rose and leaf"]}
    publish(store, signer, labels=order, trained_on={label: trained_on[label] for label in order})

    results = ask(client, [task(1, "cat"), task(2, "engine"), task(3, "rose")])

    assert labels_of(results) == ["A", "B", "C"]


def test_label_that_left_the_config_is_never_predicted(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on={**TEXTS, "C": ["a rose blooms", "the rose"]}, labels=("A", "B", "C"))

    for label_config, offered in ((TWO, {"A", "B"}), (config("X", "C"), {"C"}), (config("X", "Y"), {None})):
        results = ask(connected, [task(1, "rose"), task(2, "cat"), task(3, "engine")], label_config=label_config)
        assert set(labels_of(results)) <= offered


def test_predict_uses_the_requests_config_names(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on=TEXTS)
    renamed = TWO.replace('name="topic"', 'name="subject"').replace('"$text"', '"$body"')

    results = ask(connected, [{"id": 1, "data": {"body": "cat", "text": "engine"}}], label_config=renamed)

    assert labels_of(results) == ["A"]
    assert results[0]["result"][0]["from_name"] == "subject"


BROKEN_TASKS: list[Any] = [
    {"id": 1, "data": {"other": "x"}},
    {"id": 2, "data": None},
    {"id": 3},
    {"id": 4, "data": []},
    {"id": 5, "data": {"text": None}},
    {"id": 6, "data": {"text": ["a", {"b": "c"}]}},
    {"id": 7, "data": {"text": True}},
    "a text",
    None,
    17,
    [],
]


@pytest.mark.parametrize("with_model", [False, True])
def test_task_without_a_text_gets_an_empty_answer_and_the_rest_theirs(
    connected: FlaskClient, store: Store, signer: Signer, with_model: bool
) -> None:
    publish(store, signer, trained_on=TEXTS if with_model else None, window=[(10, 0.5), (1, 0.9)])

    results = ask(connected, [task(10, "cat"), *BROKEN_TASKS, task(10, "cat")])

    assert results[0] == results[-1]
    assert (results[0]["score"] < 1.0, labels_of(results)[0]) == (True, "A" if with_model else None)
    assert all(one["result"] == [] and one["score"] == 1.0 for one in results[1:-1])


@pytest.mark.parametrize("ranked_by", ["margin", "coverage"])
@pytest.mark.parametrize(
    "odd_id", [None, "7", 7.0, True, -1, 2**70, {"a": 1}, [1], float("nan")], ids=lambda value: str(value)[:20]
)
def test_task_with_an_odd_id_is_answered(
    connected: FlaskClient, store: Store, signer: Signer, ranked_by: str, odd_id: object
) -> None:
    publish(store, signer, trained_on=TEXTS, ranked_by=ranked_by, window=[(10, 0.5)])

    results = ask(connected, [task(10), task(odd_id), {"data": {"text": "cat"}}])

    assert labels_of(results) == ["A", "A", "A"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\U0001f600\U0001f680",
        "md",
        "http://169.254.169.254/",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "/etc/passwd",
        "data:text/plain;base64,YQ==",
        "x " * 500_000,
        "x" * 1_000_000,
        "\x00\x01",
        "\ud800",
        "a\udfff b",
        "<script>alert(1)</script>",
        "'; DROP TABLE tasks; --",
        5,
        -1.5,
        float("nan"),
        float("inf"),
    ],
    ids=lambda text: str(text)[:20].encode("ascii", "backslashreplace").decode(),
)
def test_odd_text_is_answered_and_never_fetched(
    connected: FlaskClient, store: Store, signer: Signer, text: object
) -> None:
    publish(store, signer, trained_on=TEXTS)

    results = ask(connected, [task(1, text), task(2, "cat")])

    assert labels_of(results)[0] in ("A", "B")
    assert labels_of(results)[1] == "A"


def test_ten_thousand_tasks_in_one_request(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on=TEXTS)
    texts = ["the cat" if n % 3 else "an engine" for n in range(10_000)]

    results = ask(connected, [task(n, text) for n, text in enumerate(texts)])

    assert labels_of(results) == ["A" if n % 3 else "B" for n in range(10_000)]


class SlowClock(FakeClock):
    """Each look at it costs half a minute."""

    def elapsed(self) -> float:
        self.advance(30.0)
        return super().elapsed()


def test_predictions_that_would_come_too_late_are_given_up_with_a_sentence(
    tmp_path: Path, store: Store, signer: Signer, payload: Callable[[str], Any]
) -> None:
    app = create_app(Parts(read_settings(model_dir=tmp_path), store, signer, SlowClock()), [SECRET])
    client = app.test_client()
    client.post("/setup", json=payload("setup"))
    publish(store, signer, trained_on=TEXTS)
    assert len(ask(client, [task(1)])) == 1
    answer = client.post("/predict", json={"project": KEY, "tasks": [task(number) for number in range(10_000)]})
    assert "ask for fewer at once" in assert_sentence(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0


def test_predict_without_tasks_answers_none(connected: FlaskClient) -> None:
    assert ask(connected, []) == []


def test_predict_writes_nothing(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on=TEXTS)
    before = project(store)
    ask(connected, [task(1), task(2)])
    assert project(store) == before
    assert store.tasks.counts(KEY) == {"tasks": 0, "annotations": 0}


def test_new_version_is_served_at_once(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on=TEXTS)
    assert labels_of(ask(connected, [task(1, "cat")])) == ["A"]

    publish(store, signer, trained_on={"A": TEXTS["B"], "B": TEXTS["A"]}, number=2)

    results = ask(connected, [task(1, "cat")])
    assert (labels_of(results), results[0]["model_version"]) == (["B"], "al-2")


def test_projects_are_answered_by_their_own_model(connected: FlaskClient, store: Store, signer: Signer) -> None:
    other = "3.1795394190"
    connected.post("/setup", json={"project": other, "schema": TWO})
    publish(store, signer, trained_on=TEXTS)
    publish(store, signer, trained_on={"A": TEXTS["B"], "B": TEXTS["A"]}, key=other)

    assert labels_of(ask(connected, [task(1, "cat")])) == ["A"]
    answer = connected.post("/predict", json={"project": other, "tasks": [task(1, "cat")]})
    assert labels_of(answer.get_json()["results"]) == ["B"]


def test_torn_model_gives_empty_answers_and_asks_for_a_training(
    connected: FlaskClient, store: Store, signer: Signer
) -> None:
    version_id = publish(store, signer, trained_on=TEXTS, window=[(1, 0.5)])
    for damage in ("substr(artifact, 1, length(artifact) / 2)", "x''", "x'00'", "zeroblob(500)"):
        set_columns(store, KEY, wanted_revision=-1)
        with store._engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE versions SET artifact = {damage} WHERE id = {version_id}")

        results = ask(connected, [task(1), task(2)])

        assert labels_of(results) == [None, None]
        assert [one["score"] for one in results] == [0.5, 1.0]
        assert project(store).wanted_revision == project(store).revision


def test_model_of_another_key_is_not_loaded(connected: FlaskClient, store: Store) -> None:
    publish(store, Signer("another key"), trained_on=TEXTS)
    assert labels_of(ask(connected, [task(1)])) == [None]
    assert project(store).wanted_revision == project(store).revision


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"project": KEY}, 400),
        ({"project": KEY, "tasks": None}, 400),
        ({"project": KEY, "tasks": {"id": 1}}, 400),
        ({"project": KEY, "tasks": "all"}, 400),
        ({"project": "1.1", "tasks": []}, 404),
        ({"project": KEY, "tasks": [], "label_config": "<View/>"}, 422),
    ],
    ids=str,
)
def test_broken_predict_is_refused(connected: FlaskClient, body: dict[str, Any], status: int) -> None:
    assert_sentence(connected.post("/predict", json=body), status)


# -- webhook ----------------------------------------------------------------


def hear(client: FlaskClient, body: Any, status: int = 201) -> TestResponse:
    answer = client.post("/webhook", json=body)
    assert answer.status_code == status, answer.text
    return answer


def labels(store: Store) -> dict[int, str | None]:
    """What the store knows of each annotation."""
    question = parse_config(TWO)
    return {one.id: question.label_of(one.result) for one in store.annotations.all(KEY)}


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
    assert parse_config(project(store).label_config).labels == ("A", "B", "C")


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


# -- train, job_status, versions, delete ------------------------------------


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


# -- status -----------------------------------------------------------------


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


# -- bodies -----------------------------------------------------------------

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
    max_examples=60,
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


@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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
