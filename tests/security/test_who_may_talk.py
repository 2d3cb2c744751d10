"""Who may talk to us: names under which we are called, and what is taken before it is known who sends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.web import create_app
from label_studio_al.web.parts import SELDOM_SECONDS, Parts
from tests.support.clock import FakeClock

SECRET = "a secret that only tests know"
EVERYWHERE = "0.0.0.0"
PROTECTED = {"basic_auth_user": "annotators", "basic_auth_pass": "a password"}


@pytest.fixture
def make_client(tmp_path: Path, store: Store, signer: Signer) -> Callable[..., FlaskClient]:
    """A client of a backend that listens on the given address, with the given settings."""

    def make(host: str, **given: Any) -> FlaskClient:
        settings = read_settings(model_dir=tmp_path, **given)
        return create_app(Parts(settings, store, signer), [SECRET], host=host).test_client()

    return make


def status_of(client: FlaskClient, host: str, path: str = "/status") -> int:
    return client.get(path, headers={"Host": host}).status_code


@pytest.mark.parametrize("listens", ["127.0.0.1", EVERYWHERE, "::", "10.0.0.7", "al.internal"])
@pytest.mark.parametrize(
    "name",
    ["evil.example", "evil.example:9090", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::1", "@", "a b"],
)
def test_without_credentials_foreign_names_are_refused_wherever_we_listen(
    make_client: Callable[..., FlaskClient], listens: str, name: str
) -> None:
    client = make_client(listens)
    assert status_of(client, name) == 403
    assert client.post("/projects/3.17/pause", headers={"Host": name}).status_code == 403
    assert client.post("/setup", json={}, headers={"Host": name}).status_code == 403


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("localhost:9090", {}),
        ("127.0.0.1:9090", {}),
        ("[::1]:9090", {}),
        ("host.docker.internal:9090", {}),
        ("backend.internal:9090", {"backend_url": "http://backend.internal:9090"}),
        ("BACKEND.internal", {"backend_url": "http://backend.internal:9090"}),
        ("one.internal", {"allowed_hosts": "one.internal, 10.0.0.9"}),
        ("10.0.0.9:9090", {"allowed_hosts": "one.internal, 10.0.0.9"}),
    ],
)
def test_own_names_are_answered_wherever_we_listen(
    make_client: Callable[..., FlaskClient], name: str, given: dict[str, str]
) -> None:
    assert status_of(make_client(EVERYWHERE, **given), name) == 200


def test_the_address_that_is_listened_on_is_a_name_of_ours(make_client: Callable[..., FlaskClient]) -> None:
    assert status_of(make_client("10.0.0.7"), "10.0.0.7:9090") == 200


def test_with_credentials_every_name_is_answered_unless_names_are_listed(
    make_client: Callable[..., FlaskClient],
) -> None:
    auth = ("annotators", "a password")
    headers = {"Host": "some.name"}
    assert make_client(EVERYWHERE, **PROTECTED).get("/status", auth=auth, headers=headers).status_code == 200
    listed = make_client(EVERYWHERE, **PROTECTED, allowed_hosts="other.name")
    assert listed.get("/status", auth=auth, headers=headers).status_code == 403


def test_health_answers_under_every_name(make_client: Callable[..., FlaskClient]) -> None:
    """Probes of orchestrators call by address; it tells nothing."""
    assert status_of(make_client(EVERYWHERE), "10.1.2.3:9090", "/health") == 200


def test_webhooks_of_unknown_projects_write_a_line_a_minute(
    make_client: Callable[..., FlaskClient], payload: Callable[[str], dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    client, event = make_client("127.0.0.1"), payload("annotation_created")
    clock = client.application.extensions["parts"].clock = FakeClock()

    def tell(n: int) -> list[str]:
        caplog.clear()
        for number in range(n):
            event["project"]["id"] = 1000 + number
            assert client.post("/webhook", json=event).get_json()["status"] == "ignored"
        return [one.getMessage() for one in caplog.records if "never set up here" in one.getMessage()]

    assert len(tell(300)) == 1
    clock.advance(SELDOM_SECONDS)
    (line,) = tell(1)
    assert "299 more" in line


def test_made_up_projects_take_no_room_from_those_that_label_studio_confirms(
    make_client: Callable[..., FlaskClient], payload: Callable[[str], dict[str, Any]], store: Store
) -> None:
    client = make_client(
        "127.0.0.1", max_projects=2, label_studio_url="http://label-studio.internal", label_studio_api_key="a token"
    )
    clock = client.application.extensions["parts"].clock = FakeClock()

    def set_up(key: str) -> int:
        clock.advance(1.0)
        return client.post("/setup", json={**payload("setup"), "project": key}).status_code

    assert set_up("1.1") == 200
    store.projects.sync_config("1.1", payload("setup")["schema"], "a title")
    assert [set_up(f"{number}.9") for number in range(100, 150)] == [200] * 50
    assert set_up("2.1") == 200
    store.projects.sync_config("2.1", payload("setup")["schema"], "another title")
    # No more of them are kept than real ones may be, the newest.
    assert sorted(store.projects.keys()) == ["1.1", "149.9", "2.1"]
    assert set_up("3.1") == 429
    assert set_up("1.1") == 200
