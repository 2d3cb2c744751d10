"""The example of docs/proxy.md: run by nginx as it stands there, in front of a backend with the page's settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from label_studio_al.studio import WEBHOOK_HEADER, webhook_secret
from tests.security.test_behind_a_proxy import Page
from tests.support.backend_process import BackendProcess
from tests.support.nginx import client, environment, find_nginx, serve_example

OUTSIDE = environment()["AL_BACKEND_URL"]
LOGIN = (environment()["BASIC_AUTH_USER"], environment()["BASIC_AUTH_PASS"])
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nginx")


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """Where nginx listens, with a backend behind it."""
    find_nginx()
    backend = BackendProcess(folder / "backend", NOBODY, None, **environment())
    backend.start("--no-worker")
    try:
        with serve_example(folder, backend.port) as listening:
            yield listening
    finally:
        backend.stop()


@pytest.fixture
def http(folder: Path, port: int) -> Iterator[httpx.Client]:
    """Somebody outside, who has the password."""
    with client(folder, port, auth=LOGIN) as opened:
        yield opened


@pytest.fixture
def key(http: httpx.Client, payload: Callable[[str], dict[str, Any]]) -> str:
    """A project that Label Studio has set up at AL_BACKEND_URL."""
    assert http.post(f"{OUTSIDE}/setup", json=payload("setup")).status_code == 200
    return str(payload("setup")["project"])


def page(http: httpx.Client, address: str) -> httpx.Response:
    return http.get(address, headers={"Accept": "text/html"}).raise_for_status()


def test_every_link_of_the_pages_leads_somewhere(http: httpx.Client, key: str) -> None:
    for address in (f"{OUTSIDE}/", f"{OUTSIDE}/projects/{key}"):
        shown = Page(page(http, address).text)
        assert shown.astray == []
        links = [urljoin(address, link) for link in shown.own if link not in shown.forms]
        assert len(links) > 4
        assert {link: http.get(link).status_code for link in links} == dict.fromkeys(links, 200)


def test_buttons_work_with_the_cookie_of_this_place_only(http: httpx.Client, key: str) -> None:
    address = f"{OUTSIDE}/projects/{key}"
    for action, next_one in (("pause", "resume"), ("resume", "pause")):
        answer = page(http, address)
        shown = Page(answer.text)
        (form,) = (form for form in shown.forms if form.endswith(f"/{action}"))
        assert "; Secure" in answer.headers["Set-Cookie"]
        assert "; Path=/active-learning" in answer.headers["Set-Cookie"]
        # As browsers send it.
        headers = {"Accept": "text/html", "Origin": "https://labels.example.org", "Sec-Fetch-Site": "same-origin"}
        data = {"token": shown.token}
        foreign = http.post(urljoin(address, form), data=data, headers=headers | {"Origin": "https://evil.example"})
        assert foreign.status_code == 403
        done = http.post(urljoin(address, form), data=data, headers=headers)
        assert done.status_code == 303
        after = page(http, urljoin(address, done.headers["Location"]))
        assert [one for one in Page(after.text).forms if one.endswith(f"/{next_one}")]


def test_what_a_client_says_of_itself_does_not_get_through(http: httpx.Client) -> None:
    sent = {"Proto": "http", "Host": "evil.example", "Prefix": "/evil", "For": "127.0.0.1"}
    headers = {f"X-Forwarded-{name}": value for name, value in sent.items()}
    assert http.get(f"{OUTSIDE}/openapi.json", headers=headers).json()["servers"] == [{"url": OUTSIDE}]


def test_webhooks_and_large_bodies_come_through(
    folder: Path, port: int, http: httpx.Client, key: str, payload: Callable[[str], dict[str, Any]]
) -> None:
    event = payload("annotation_created")
    secret = webhook_secret((folder / "backend" / "webhook.key").read_text(), key)
    with client(folder, port) as nobody:
        assert nobody.post(f"{OUTSIDE}/webhook", json=event).status_code == 401
        assert nobody.post(f"{OUTSIDE}/webhook", json=event, headers={WEBHOOK_HEADER: secret}).status_code == 201
    tasks = [{"id": 1, "data": {"text": "word " * 1_600_000}}]
    answer = http.post(f"{OUTSIDE}/predict", json={**payload("predict"), "project": key, "tasks": tasks})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["results"]) == 1
