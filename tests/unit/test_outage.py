"""A PostgreSQL that goes away and comes back: nothing crashes, nothing stays missed."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.web import create_app
from label_studio_al.web.parts import REST_SECONDS, Parts
from tests.support.clock import FakeClock
from tests.support.columns import set_columns
from tests.support.postgres import Postgres

ROOT = Path(__file__).parents[2]
KEY = "2.1795394190"
OUTAGE_SECONDS = 12.0
RETURN_SECONDS = 20.0


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server of the test's own, which it may stop."""
    own = Postgres()
    yield own
    own.close()


@pytest.fixture
def url(server: Postgres) -> str:
    return server.create()


@pytest.fixture
def own_store(url: str) -> Iterator[Store]:
    opened = Store(url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def client(own_store: Store, tmp_path: Path, signer: Signer) -> FlaskClient:
    app = create_app(Parts(read_settings(model_dir=tmp_path), own_store, signer, FakeClock()), ["secret"])
    return app.test_client()


def test_web_goes_on_from_memory_and_asks_for_what_it_missed(
    server: Postgres,
    own_store: Store,
    client: FlaskClient,
    payload: Callable[[str], dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert client.post("/setup", json=payload("setup")).status_code == 200
    predicted = client.post("/predict", json=payload("predict"))
    assert predicted.status_code == 200
    set_columns(own_store, KEY, sync_wanted=False)

    caplog.set_level(logging.INFO)
    caplog.clear()
    server.stop()
    event = client.post("/webhook", json=payload("annotation_created"))
    assert (event.status_code, event.headers["Retry-After"]) == (503, "5")
    assert "the database does not answer" in event.get_json()["error"]
    assert client.get("/health").status_code == 200
    assert client.post("/setup", json=payload("setup")).get_json() == {"model_version": "al-0"}
    assert client.post("/predict", json=payload("predict")).get_json() == predicted.get_json()
    changed = {**payload("setup"), "extra_params": {"seed": 5}}
    assert client.post("/setup", json=changed).status_code == 503
    unknown = {**payload("setup"), "project": "9.9"}
    assert client.post("/setup", json=unknown).status_code == 503
    told = [record for record in caplog.records if record.name.startswith("label_studio_al") and record.levelno >= 30]
    assert [record.getMessage().partition(" (")[0] for record in told] == ["the database does not answer"]
    assert all(record.exc_info is None for record in told)

    server.start()
    assert client.post("/webhook", json=payload("annotation_created")).status_code == 503, "it is left alone a moment"
    here = client.application.extensions["parts"]
    here.clock.advance(REST_SECONDS)
    assert client.post("/webhook", json=payload("annotation_created")).status_code == 201
    assert own_store.projects.get(KEY).sync_wanted


def test_web_asks_for_what_it_missed_without_another_request(
    server: Postgres, own_store: Store, client: FlaskClient, payload: Callable[[str], dict[str, Any]]
) -> None:
    assert client.post("/setup", json=payload("setup")).status_code == 200
    set_columns(own_store, KEY, sync_wanted=False)
    server.stop()
    assert client.post("/webhook", json=payload("annotation_created")).status_code == 503
    server.start()
    here = client.application.extensions["parts"]
    here.clock.advance(REST_SECONDS)
    is_over = threading.Event()
    thread = threading.Thread(target=here.keep_up, args=[is_over])
    thread.start()
    wait_for(lambda: own_store.projects.get(KEY).sync_wanted, RETURN_SECONDS)
    is_over.set()
    thread.join()


@pytest.mark.parametrize("text", ["a\0b", "half \ud800 a pair"])
def test_characters_that_a_database_refuses_are_no_server_error(
    own_store: Store, client: FlaskClient, payload: Callable[[str], dict[str, Any]], text: str
) -> None:
    setup = payload("setup")
    assert client.post("/setup", json={**setup, "schema": setup["schema"] + text}).status_code in (400, 422)
    assert client.post("/setup", json={**setup, "extra_params": {text: text}}).status_code in (400, 422)
    assert client.post("/setup", json=setup).status_code == 200
    set_columns(own_store, KEY, sync_wanted=False)
    event = payload("annotation_created")
    event["project"]["label_config"] = setup["schema"] + text
    assert client.post("/webhook", json=event).status_code < 500
    event = payload("annotation_created")
    event["task"]["data"]["text"] = text
    assert client.post("/webhook", json=event).status_code == 201
    if "\0" in text:
        # The event that could not be written down is made up for.
        client.application.extensions["parts"].catch_up()
        assert own_store.projects.get(KEY).sync_wanted


def wait_for(is_so: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def test_worker_survives_an_outage(server: Postgres, own_store: Store, url: str, tmp_path: Path) -> None:
    """Without Label Studio: what it has to do is told by the store alone."""
    config = '<View><Text name="t" value="$text"/><Choices name="c" toName="t"><Choice value="A"/></Choices></View>'
    own_store.projects.register("1.1", config, {}, time.time())
    environment = {**os.environ, "MODEL_DIR": str(tmp_path), "DATABASE_URL": url, "AL_ENCODER": "none"}
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "label_studio_al", "worker"], cwd=ROOT, env=environment, stderr=log
        )
    try:
        wait_for(lambda: own_store.projects.get("1.1").seen_revision >= 0, 60)
        set_columns(own_store, "1.1", sync_wanted=False)
        server.stop()
        time.sleep(OUTAGE_SECONDS)
        server.start()
        wait_for(lambda: own_store.projects.get("1.1").sync_wanted, RETURN_SECONDS)
        own_store.projects.want_training("1.1", time.time())
        revision = own_store.projects.get("1.1").revision
        wait_for(lambda: own_store.projects.get("1.1").seen_revision >= revision, RETURN_SECONDS)
        assert worker.poll() is None
    finally:
        worker.terminate()
        worker.wait(40)
    text = (tmp_path / "log").read_text()
    assert "Traceback" not in text
    assert text.count("the database does not answer") == 1
