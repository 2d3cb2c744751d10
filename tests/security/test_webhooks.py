"""Webhooks: each project has a secret of its own, and old ones are replaced."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.studio import WEBHOOK_HEADER, project_of_secret, webhook_secret
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.turns.syncing import Sync
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from label_studio_al.wiring import webhook_keys
from tests.support.bench import Bench
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import TOKEN, URL, FakeLabelStudio

KEY, OLD_KEY = "what only we know", "what we knew only"  # pragma: allowlist secret
MINE, THEIRS = "2.1795394190", "3.1795394190"
BACKEND_URL = "http://backend.internal:9090"


@pytest.mark.parametrize("key", [KEY, OLD_KEY])
def test_secret_names_its_project_and_opens_no_other(key: str) -> None:
    secret = webhook_secret(key, MINE)
    assert project_of_secret(secret, [KEY, OLD_KEY]) == MINE
    assert key not in secret
    forged = secret.replace(MINE, THEIRS)
    for wrong in (
        forged,
        secret[:-1],
        secret + "0",
        secret.upper() + " ",
        key,
        "",
        ":",
        f"{MINE}:",
        f"{MINE}:é",
        f"é:{secret}",
    ):
        assert project_of_secret(wrong, [KEY, OLD_KEY]) is None
    assert project_of_secret(secret, []) is None
    assert project_of_secret(secret, ["another key of ours"]) is None


@pytest.fixture
def make_client(tmp_path: Path, store: Store, signer: Signer) -> Callable[..., FlaskClient]:
    """A client of a backend with the given settings; both projects are set up."""
    for key in (MINE, THEIRS):
        store.projects.register(key, "<View/>", None, 0.0)

    def make(**given: Any) -> FlaskClient:
        settings = read_settings(model_dir=tmp_path, **given)
        return create_app(Parts(settings, store, signer), [KEY]).test_client()

    return make


@pytest.mark.parametrize("given", [{}, {"webhook_secret": KEY}], ids=["open", "demanded"])
def test_one_project_s_secret_forges_nothing_of_another_s(
    make_client: Callable[..., FlaskClient],
    store: Store,
    payload: Callable[[str], dict[str, Any]],
    given: dict[str, str],
) -> None:
    client, event = make_client(**given), payload("annotation_created")
    other = deepcopy(event)
    other["project"]["id"] = 3
    mine = {WEBHOOK_HEADER: webhook_secret(KEY, MINE)}
    answer = client.post("/webhook", json=other, headers=mine)
    assert answer.status_code == 403
    assert "secret" in answer.get_json()["error"]
    assert store.annotations.all(THEIRS) == []
    assert client.post("/webhook", json=event, headers=mine).status_code == 201
    assert [one.task_id for one in store.annotations.all(MINE)] == [event["task"]["id"]]


def test_key_that_label_studio_has_shown_opens_nothing_after_an_upgrade(tmp_path: Path) -> None:
    shown = "0" * 64
    (tmp_path / "webhook.secret").write_text(shown)
    keys = webhook_keys(Settings(model_dir=tmp_path))
    assert shown not in keys
    assert project_of_secret(shown, keys) is None
    assert webhook_keys(Settings(model_dir=tmp_path)) == keys


def test_worker_makes_no_key_of_its_own(tmp_path: Path) -> None:
    settings = Settings(model_dir=tmp_path)
    assert webhook_keys(settings, create=False) == []
    made = webhook_keys(settings)
    assert webhook_keys(settings, create=False) == made


@pytest.fixture
def bench(tmp_path: Path, store: Store, signer: Signer, clock: FakeClock) -> Bench:
    """A loop beside a Label Studio that does not exist."""
    return Bench(FakeLabelStudio(), store, signer, clock, Settings(model_dir=tmp_path, encoder="none"))


def studio_of(bench: Bench) -> Studio:
    return Studio(Api(URL, TOKEN, bench.fake.client(), bench.clock))


def webhook_to(bench: Bench, url: str, headers: dict[str, str]) -> None:
    """A connected project with a webhook to this address, as an earlier release made it."""
    project = bench.add()
    bench.fake.connections.clear()
    bench.fake.webhooks.clear()
    studio_of(bench).webhooks.replace(project.id, url, "the one that all projects had")
    (hook,) = bench.fake.webhooks.values()
    hook["headers"] = headers
    bench.fake.connect(project.id, BACKEND_URL)


def sync(bench: Bench, keys: list[str]) -> str:
    (project,) = bench.fake.projects.values()
    made = Sync(bench.store, studio_of(bench), bench.clock, BACKEND_URL, lambda: keys)
    while not made.run(project.key, bench.clock.elapsed() + 60.0):
        pass
    return project.key


@pytest.mark.parametrize("value", ["the one that all projects had", webhook_secret(OLD_KEY, MINE)])
def test_first_turn_after_an_upgrade_replaces_the_webhook(bench: Bench, value: str) -> None:
    webhook_to(bench, BACKEND_URL, {WEBHOOK_HEADER: value})
    key = sync(bench, [KEY, OLD_KEY])
    (hook,) = bench.fake.webhooks.values()
    assert hook["headers"] == {WEBHOOK_HEADER: webhook_secret(KEY, key)}


@pytest.mark.parametrize(
    ("url", "headers", "keys"),
    [
        ("http://other.example", {WEBHOOK_HEADER: "of another backend"}, [KEY]),
        (BACKEND_URL, {}, [KEY]),
        (BACKEND_URL, {WEBHOOK_HEADER: "the one that all projects had"}, []),
    ],
    ids=["to another backend", "made by hand", "no key is known"],
)
def test_other_webhooks_are_left_alone(bench: Bench, url: str, headers: dict[str, str], keys: list[str]) -> None:
    webhook_to(bench, url, headers)
    sync(bench, keys)
    assert (f"{url}/webhook", headers) in [(one["url"], one["headers"]) for one in bench.fake.webhooks.values()]
