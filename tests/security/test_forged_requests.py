"""Requests that a page of somebody else has a browser send: no button is pressed, nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.build import KEY
from tests.support.clock import FakeClock
from tests.support.status_page import HTML, PAGE, fill, get, token_of

BUTTONS = ("retrain", "pause", "resume", "settings")
# What a form of another page can send without asking the browser's leave (CORS).
FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain")


@pytest.fixture
def project(store: Store) -> Store:
    return fill(store)


@pytest.fixture
def open_browser(tmp_path: Path, project: Store, signer: Signer) -> Callable[..., FlaskClient]:
    """Somebody's browser, with cookies of its own, at one backend that has no credentials."""
    studio = {"label_studio_url": "http://label-studio.test", "label_studio_api_key": "KEY"}  # pragma: allowlist secret
    settings = read_settings(model_dir=tmp_path, **studio)
    return create_app(Parts(settings, project, signer, FakeClock()), []).test_client


@pytest.fixture
def client(open_browser: Callable[..., FlaskClient]) -> FlaskClient:
    return open_browser()


@pytest.mark.parametrize("action", BUTTONS)
def test_only_forms_of_our_own_page_are_taken(client: FlaskClient, project: Store, action: str) -> None:
    before = project.projects.get(KEY)
    get(client)
    assert client.get(f"{PAGE}/{action}", headers=HTML).status_code == 405
    assert client.post(f"{PAGE}/{action}", headers=HTML).status_code == 403
    assert client.post(f"{PAGE}/{action}", data={"token": "made up"}, headers=HTML).status_code == 403
    assert client.post(f"{PAGE}/{action}?token={token_of(client)}", headers=HTML).status_code == 403
    assert project.projects.get(KEY) == before


def test_token_is_of_use_in_its_own_browser_only(
    client: FlaskClient, open_browser: Callable[..., FlaskClient], project: Store
) -> None:
    sent = {"token": token_of(client)}
    other = open_browser()
    get(other)
    assert other.post(f"{PAGE}/pause", data=sent, headers=HTML).status_code == 403
    without_cookies = open_browser(use_cookies=False)
    assert without_cookies.post(f"{PAGE}/pause", data=sent, headers=HTML).status_code == 403
    for foreign in ({"Origin": "http://evil.test"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert client.post(f"{PAGE}/pause", data=sent, headers={**HTML, **foreign}).status_code == 403
    assert not project.projects.get(KEY).is_paused


def test_token_of_another_key_or_day_is_of_no_use(
    client: FlaskClient, tmp_path: Path, project: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_key = create_app(Parts(read_settings(model_dir=tmp_path), project, Signer("another key")), []).test_client()
    sent = {"token": token_of(other_key)}
    cookie = other_key.get_cookie("al_page", path="/")
    assert cookie
    client.set_cookie("al_page", cookie.value)
    assert client.post(f"{PAGE}/pause", data=sent, headers=HTML).status_code == 403
    sent = {"token": token_of(client)}
    monkeypatch.setattr("label_studio_al.web.tokens.TOKEN_SECONDS", -1)
    assert client.post(f"{PAGE}/pause", data=sent, headers=HTML).status_code == 403
    monkeypatch.undo()
    assert client.post(f"{PAGE}/pause", data=sent, headers=HTML).status_code == 303
    assert project.projects.get(KEY).is_paused


def test_cookie_is_strict(client: FlaskClient) -> None:
    cookie = client.get(PAGE, headers=HTML).headers["Set-Cookie"]
    assert "SameSite=Strict" in cookie
    assert "HttpOnly" in cookie


def test_link_puts_no_words_on_the_page(client: FlaskClient) -> None:
    assert "Send us money" not in get(client, f"{PAGE}?done=Send us money")


def test_no_route_takes_what_a_form_of_another_page_can_send(
    client: FlaskClient, project: Store, payload: Callable[[str], dict[str, Any]]
) -> None:
    before = project.projects.all()
    body = client.application.json.dumps({**payload("setup"), "job": f"{KEY}:0", "config": "<View/>"})
    rules = [rule for rule in client.application.url_map.iter_rules() if "POST" in (rule.methods or ())]
    assert len(rules) > len(BUTTONS)
    for rule in rules:
        path = rule.rule.replace("<key>", KEY)
        for content_type in FORM_TYPES:
            answer = client.post(path, data=body, content_type=content_type)
            assert answer.status_code == (403 if rule.endpoint.startswith("page.") else 415), (path, content_type)
    assert project.projects.all() == before
