"""Behind a proxy: what it says is believed where it is trusted, and links, buttons and cookies fit the outside."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from label_studio_al.web.tokens import COOKIE

SECRET = "a secret that only tests know"  # pragma: allowlist secret
OUTSIDE = "https://labels.example.org/active-learning"
FORWARDED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "labels.example.org",
    "X-Forwarded-Prefix": "/active-learning",
}


class Page(HTMLParser):
    """What a page leads to: links, files, forms; and the token of its forms."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.forms: list[str] = []
        self.token = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [values[name] or "" for name in ("href", "src") if name in values]
        if tag == "form":
            self.forms.append(values["action"] or "")
        if values.get("name") == "token":
            self.token = values["value"] or ""

    @property
    def own(self) -> list[str]:
        """Addresses on our own host."""
        found = [address for address in self.addresses + self.forms if address.startswith("/")]
        assert found
        return found

    @property
    def astray(self) -> list[str]:
        """Those that are not under the sub-path."""
        return [address for address in self.own if not address.startswith("/active-learning/")]


@pytest.fixture
def make_client(
    tmp_path: Path, store: Store, signer: Signer, payload: Callable[[str], dict[str, Any]]
) -> Callable[..., FlaskClient]:
    """A client of a backend that knows a project, with the given settings."""
    store.projects.register(payload("setup")["project"], payload("setup")["schema"], None, 0.0)

    def make(**given: Any) -> FlaskClient:
        app = create_app(Parts(read_settings(model_dir=tmp_path, **given), store, signer), [SECRET])
        return app.test_client(use_cookies=False)

    return make


@pytest.fixture
def key(payload: Callable[[str], dict[str, Any]]) -> str:
    return str(payload("setup")["project"])


def get(client: FlaskClient, path: str, headers: dict[str, str], host: str = "127.0.0.1:9090") -> TestResponse:
    return client.get(path, headers={"Accept": "text/html", "Host": host, **headers})


def test_without_trusted_proxies_forwarded_headers_are_ignored(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(backend_url="http://labels.example.org")
    assert get(client, "/", FORWARDED, host="evil.example").status_code == 403
    page = get(client, "/", {**FORWARDED, "X-Forwarded-Host": "evil.example"})
    assert page.status_code == 200
    assert "active-learning/" not in page.text
    assert client.get("/openapi.json", headers=FORWARDED).json["servers"] == [{"url": "http://localhost"}]


def test_without_trusted_proxies_no_origin_is_ours_by_a_header(
    make_client: Callable[..., FlaskClient], key: str
) -> None:
    headers = {**FORWARDED, "Origin": "https://labels.example.org"}
    answer = make_client().post(f"/projects/{key}/pause", headers=headers)
    assert answer.status_code == 403
    assert answer.json == {"error": "requests of other web pages are refused"}


@pytest.mark.parametrize(
    ("name", "given", "status"),
    [
        ("evil.example", {}, 403),
        ("", {}, 200),  # none was sent: the proxy called us by our own name
        ("localhost", {}, 200),
        ("labels.example.org", {}, 403),
        ("labels.example.org", {"backend_url": OUTSIDE}, 200),
        ("labels.example.org:8443", {"backend_url": OUTSIDE}, 200),
        ("LABELS.example.org", {"allowed_hosts": "labels.example.org"}, 200),
        # What the client itself sent stands before what the proxy has added.
        ("localhost, evil.example", {}, 403),
        ("evil.example, localhost", {}, 200),
        ("localhost, evil.example", {"trusted_proxies": 2}, 200),
        ("localhost, evil.example, localhost", {"trusted_proxies": 2}, 403),
    ],
)
def test_with_trusted_proxies_the_name_outside_is_judged(
    make_client: Callable[..., FlaskClient], name: str, given: dict[str, Any], status: int
) -> None:
    client = make_client(**{"trusted_proxies": 1, **given})
    assert get(client, "/status", {"X-Forwarded-Host": name}).status_code == status


def test_names_that_are_listed_are_demanded_of_the_outside_with_credentials_too(
    make_client: Callable[..., FlaskClient],
) -> None:
    login: dict[str, Any] = {"basic_auth_user": "annotators", "basic_auth_pass": "a password"}
    client = make_client(**login, trusted_proxies=1, allowed_hosts="labels.example.org")
    for name, status in (("labels.example.org", 200), ("evil.example", 403)):
        headers = {"Host": "backend:9090", "X-Forwarded-Host": name}
        answer = client.get("/status", headers=headers, auth=("annotators", "a password"))
        assert answer.status_code == status


# What a proxy makes of https://labels.example.org/active-learning/...: the path, what it says, and our settings.
TAKES_AWAY, LEAVES = "", "/active-learning"
WAYS = {
    "takes the sub-path away and says so": (TAKES_AWAY, FORWARDED, {}),
    "takes it away with a slash at its end": (TAKES_AWAY, {**FORWARDED, "X-Forwarded-Prefix": "/active-learning/"}, {}),
    "takes it away and says nothing": (TAKES_AWAY, {**FORWARDED, "X-Forwarded-Prefix": ""}, {"backend_url": OUTSIDE}),
    "leaves it": (LEAVES, {**FORWARDED, "X-Forwarded-Prefix": ""}, {"backend_url": OUTSIDE}),
    "leaves it and says so": (LEAVES, FORWARDED, {}),
    "is not where Label Studio calls": (TAKES_AWAY, FORWARDED, {"backend_url": "http://backend.internal:9090"}),
}


@pytest.mark.parametrize("way", WAYS)
def test_links_buttons_and_cookie_fit_the_outside(
    make_client: Callable[..., FlaskClient], store: Store, key: str, way: str
) -> None:
    before, headers, given = WAYS[way]
    client = make_client(trusted_proxies=1, **{"allowed_hosts": "labels.example.org", **given})
    overview = Page(get(client, f"{before}/", headers).text)
    assert overview.astray == []
    assert f"/active-learning/projects/{key}" in overview.addresses

    answer = get(client, f"{before}/projects/{key}", headers)
    page = Page(answer.text)
    assert page.astray == []
    assert f"/active-learning/projects/{key}/pause" in page.forms
    (cookie,) = answer.headers.getlist("Set-Cookie")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/active-learning"} <= set(cookie.split("; "))

    sent = {**headers, "Origin": "https://labels.example.org", "Cookie": cookie.split(";")[0]}
    path = f"{before}/projects/{key}/pause"
    refused = client.post(path, data={"token": page.token}, headers={**sent, "Origin": "https://evil.example"})
    assert refused.status_code == 403
    done = client.post(path, data={"token": page.token}, headers={**sent, "Host": "127.0.0.1:9090"})
    assert (done.status_code, done.headers["Location"]) == (303, f"/active-learning/projects/{key}?done=pause")
    assert store.projects.get(key).is_paused


def test_sub_path_without_a_proxy_is_a_place_like_any_other(make_client: Callable[..., FlaskClient], key: str) -> None:
    client = make_client(backend_url="http://localhost:9090/active-learning")
    for path in (f"/projects/{key}", f"/active-learning/projects/{key}"):
        answer = get(client, path, {})
        assert Page(answer.text).astray == []
        (cookie,) = answer.headers.getlist("Set-Cookie")
        assert cookie.startswith(f"{COOKIE}=")
        assert "Path=/active-learning" in cookie
        assert "Secure" not in cookie
    assert client.get("/active-learning").status_code == 200
    assert client.get("/active-learning/health").json["status"] == "UP"
    assert client.get("/active-learning-too/health").status_code == 404
    assert client.get("/active-learning/active-learning/health").status_code == 404


@pytest.mark.parametrize(
    "prefix",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/%09/evil.example",
        "javascript:",
    ],
)
def test_sub_path_leads_to_no_other_host(make_client: Callable[..., FlaskClient], prefix: str) -> None:
    page = Page(get(make_client(trusted_proxies=1), "/", {"X-Forwarded-Prefix": prefix}).text)
    led = [address for address in page.addresses if not address.startswith("#")]
    assert led
    assert [address for address in led if not re.match(r"/[^/\\\x00-\x20]", address)] == []
