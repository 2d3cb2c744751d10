"""Requests that nobody would send on purpose: every answer is a planned one.

AL_FUZZ_REQUESTS=20000 .venv/bin/python -m pytest tests/fuzz        the long run: `make fuzz`
"""

from __future__ import annotations

import json
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from label_studio_al.web.openapi import PATHS
from tests.support.backend_process import BackendProcess

N_REQUESTS = int(os.environ.get("AL_FUZZ_REQUESTS", "1500"))
USER, PASSWORD, SECRET, KEY = "label-studio", "a password of ours", "a webhook secret of ours", "a signing key of ours"
TOKEN = "0123456789abcdef0123456789abcdef01234567"
PAYLOADS = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parents[1] / "payloads").glob("*.json"))
}
# What Label Studio sends of its own secrets.
THEIRS = {
    str(value)
    for body in PAYLOADS.values()
    for of in (body, body.get("project") if isinstance(body.get("project"), dict) else {})
    for name, value in of.items()
    if name in ("token", "task_data_login", "task_data_password", "access_token") and value
}
SECRETS = (PASSWORD, SECRET, KEY, TOKEN, *THEIRS)
ANSWER_SECONDS = 5.0
MEMORY_MB = 50.0
ROUTES = [(method.upper(), path) for path, operations in PATHS.items() for method in operations]
untimed = settings(max_examples=max(1, N_REQUESTS // 4), deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackendProcess]:
    """A real backend. Its Label Studio does not exist."""
    made = BackendProcess(
        tmp_path_factory.mktemp("fuzz"),
        "http://127.0.0.1:9",
        TOKEN,
        BASIC_AUTH_USER=USER,
        BASIC_AUTH_PASS=PASSWORD,
        AL_WEBHOOK_SECRET=SECRET,
        AL_SIGNING_KEY=KEY,
        AL_ENCODER="none",
        AL_MAX_BODY_BYTES="1000000",
    )
    yield made.start()
    made.stop()


@pytest.fixture(scope="module")
def send(backend: BackendProcess) -> Iterator[Callable[..., httpx.Response]]:
    """Sends a request as somebody who may come in, and judges the answer."""
    with httpx.Client(base_url=backend.url, auth=(USER, PASSWORD), timeout=ANSWER_SECONDS) as client:

        def sent(method: str, path: str, **what: Any) -> httpx.Response:
            response = client.request(method, path, **what)
            judge(response)
            return response

        yield sent


def judge(response: httpx.Response) -> None:
    """A planned answer: no server error, JSON, no secret, no traceback."""
    assert response.status_code < 500 or response.status_code == 503, response.text[:500]
    if response.status_code == 503:
        assert "Retry-After" in response.headers
    for secret in SECRETS:
        assert secret not in response.text
    assert "Traceback" not in response.text
    if response.status_code >= 400 and response.headers["Content-Type"] == "application/json":
        assert response.json()["error"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
WEIRD = st.sampled_from(
    [
        "",
        "\0",
        "\ud800",
        "9" * 5000,
        -1,
        2**63,
        2**70,
        1e308,
        float("nan"),
        [],
        {},
        None,
        True,
        "x" * 10_000,
        "../..",
        "<x/>",
    ]
)


def test_anything_to_every_route(send: Callable[..., httpx.Response]) -> None:
    @untimed
    @given(route=st.sampled_from(ROUTES), body=JSON, method=st.sampled_from(["", "", "GET", "POST", "PUT", "DELETE"]))
    def request(route: tuple[str, str], body: Any, method: str) -> None:
        content = json.dumps(body).encode("utf-8", "surrogatepass")
        send(method or route[0], route[1], content=content, headers={"Content-Type": "application/json"})

    request()


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A recorded request, changed in some places."""
    name = draw(st.sampled_from(sorted(PAYLOADS)))
    body: Any = json.loads(json.dumps(PAYLOADS[name]))
    for _ in range(draw(st.integers(1, 4))):
        place: Any = body
        while isinstance(place, (dict, list)) and place and draw(st.booleans()):
            keys = sorted(place, key=str) if isinstance(place, dict) else range(len(place))
            key = draw(st.sampled_from(list(keys)))
            if not isinstance(place[key], (dict, list)) or draw(st.booleans()):
                what = draw(st.sampled_from(["drop", "weird", "any", "wrap"]))
                if what == "drop":
                    del place[key]
                else:
                    place[key] = draw({"weird": WEIRD, "any": JSON, "wrap": st.just([place[key]])}[what])
                break
            place = place[key]
    content = json.dumps(body).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0 and content:
        at = draw(st.integers(0, len(content) - 1))
        content = content[:at] + draw(st.binary(max_size=3)) + content[at + draw(st.integers(0, 3)) :]
    path = {"setup": "/setup", "predict": "/predict", "predict_tab": "/predict"}.get(name, "/webhook")
    return path, content


def test_recorded_requests_with_changes(send: Callable[..., httpx.Response]) -> None:
    send("POST", "/setup", json=PAYLOADS["setup"])

    @untimed
    @given(mutated())
    def request(made: tuple[str, bytes]) -> None:
        send("POST", made[0], content=made[1], headers={"Content-Type": "application/json"})

    request()


def test_what_the_description_promises(backend: BackendProcess, send: Callable[..., httpx.Response]) -> None:
    schema = schemathesis.openapi.from_dict(send("GET", "/openapi.json").json())

    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(untimed, max_examples=max(1, N_REQUESTS // 2 // len(ROUTES)))
        @given(operation.as_strategy())
        def request(case: schemathesis.Case) -> None:
            made = case.as_transport_kwargs(base_url=backend.url)
            what: dict[str, Any] = {"headers": {"Content-Type": "application/json"}}
            if made.get("json") is not None:
                what["content"] = json.dumps(made["json"]).encode("utf-8", "surrogatepass")
            elif isinstance(made.get("data"), dict):
                # A form of the status page.
                form = urlencode(made["data"], doseq=True, errors="surrogatepass")
                what = {"content": form.encode(), "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
            elif made.get("data") is not None:
                what["content"] = made["data"]
            send(made["method"], made["url"].removeprefix(backend.url), params=made.get("params"), **what)

        request()


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"action": ' + b"9" * 100_000 + b"}",
        b'{"action": "\xff\xfe"}',
        b'{"action": NaN, "action": Infinity}',
        b"\xef\xbb\xbf{}",
        b"x" * 1_000_001,
    ],
    ids=["lists", "objects", "digits", "not UTF-8", "NaN twice", "mark", "too large"],
)
@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook", "/validate"])
def test_bodies_that_break_parsers(send: Callable[..., httpx.Response], path: str, body: bytes) -> None:
    response = send("POST", path, content=body, headers={"Content-Type": "application/json"})
    assert 400 <= response.status_code < 500


def test_bytes_that_are_no_http(backend: BackendProcess, send: Callable[..., httpx.Response]) -> None:
    rng = random.Random(0)
    lines = [
        b"GET http://127.0.0.1:9/status HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET //127.0.0.1:9/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \xff\xfe\r\n\r\n",
        *[rng.randbytes(200) + b"\r\n\r\n" for _ in range(20)],
    ]
    for line in lines:
        with socket.create_connection(("127.0.0.1", backend.port), timeout=ANSWER_SECONDS) as connection:
            answer = b""
            # Whoever is refused early may find the connection closed: what was answered until then counts.
            with suppress(OSError):
                connection.sendall(line)
                connection.shutdown(socket.SHUT_WR)
            try:
                while piece := connection.recv(65_536):
                    answer += piece
            except ConnectionResetError:
                pass
        status = answer.split(b" ", 2)[1:2]
        assert not status or status[0] < b"500" or status[0] in (b"501", b"503", b"505"), answer[:200]
        assert not any(secret.encode() in answer for secret in SECRETS)
    assert send("GET", "/health").status_code == 200


def test_slow_clients_hold_nobody_up(backend: BackendProcess, send: Callable[..., httpx.Response]) -> None:
    slow = [socket.create_connection(("127.0.0.1", backend.port)) for _ in range(60)]
    for place, connection in enumerate(slow):
        connection.sendall(
            b"POST /webhook HTTP/1.1\r\nHost: x\r\n" + (b"Content-Length: 9\r\n\r\n{" if place % 2 else b"X-")
        )
    began = time.monotonic()
    assert all(send("GET", "/status").status_code == 200 for _ in range(20))
    assert time.monotonic() - began < ANSWER_SECONDS
    for connection in slow:
        connection.close()


def test_memory_stays_and_the_log_holds_no_secrets(
    backend: BackendProcess, send: Callable[..., httpx.Response]
) -> None:
    """Last: after all that, the same again must cost no memory."""
    assert backend.process is not None
    web = next(
        child for child in psutil.Process(backend.process.pid).children() if "--web-only" in " ".join(child.cmdline())
    )
    rng = random.Random(1)

    def load(n: int) -> float:
        for _ in range(n):
            name = rng.choice(sorted(PAYLOADS))
            path = {"setup": "/setup", "predict": "/predict", "predict_tab": "/predict"}.get(name, "/webhook")
            body = {**PAYLOADS[name], f"extra {rng.random()}": rng.random()}
            send("POST", path, json=body)
        return float(web.memory_info().rss) / 1e6

    before = load(max(200, N_REQUESTS // 4))
    after = load(max(200, N_REQUESTS // 4))
    assert after - before < MEMORY_MB
    written = backend.log()
    assert not [secret for secret in SECRETS if secret in written]
    assert "Traceback" not in written
