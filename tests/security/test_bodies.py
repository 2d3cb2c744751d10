"""Bodies: none of unknown senders is kept, and all that are kept together have a bound."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import waitress
from waitress import wasyncore

from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.studio import WEBHOOK_HEADER, webhook_secret
from label_studio_al.web import create_app
from label_studio_al.web.intake import LARGEST_ELSEWHERE, SMALL_BYTES, Intake
from label_studio_al.web.parts import Parts

KEY = "what only we know"  # pragma: allowlist secret
LOGIN = ("annotators", "a password")
MAX_BODY = 4 * 1024 * 1024
PATIENCE = 20.0


class Served:
    """A backend in a thread."""

    def __init__(self, app: Any, dispatchers: dict[int, Any], server: Any) -> None:
        self.port = server.effective_port
        self.url = f"http://127.0.0.1:{self.port}"
        Intake(app.extensions["guard"], app.extensions["proxies"], MAX_BODY).attach(dispatchers)

    def begin(self, path: str, n_bytes: int, headers: dict[str, str]) -> socket.socket:
        """Headers of a POST, and no body yet."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {n_bytes}"]
        lines += [f"{name}: {value}" for name, value in {"Content-Type": "application/json", **headers}.items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An entry for each temporary file that a body went to."""
    files: list[str] = []
    made = tempfile.TemporaryFile

    def counted(*arguments: Any, **options: Any) -> Any:
        files.append("kept")
        return made(*arguments, **options)

    monkeypatch.setattr(tempfile, "TemporaryFile", counted)
    return files


@pytest.fixture
def serve(tmp_path: Path, store: Store, signer: Signer) -> Iterator[Callable[..., Served]]:
    """Starts backends with the given settings."""
    is_over = threading.Event()
    threads: list[threading.Thread] = []

    def run(server: Any, dispatchers: dict[int, Any]) -> None:
        while not is_over.is_set():
            wasyncore.loop(timeout=0.05, map=dispatchers, count=1)
        server.task_dispatcher.shutdown()
        for one in list(dispatchers.values()):
            one.close()

    def start(**given: Any) -> Served:
        settings = read_settings(model_dir=tmp_path, max_body_bytes=MAX_BODY, **given)
        app, dispatchers = create_app(Parts(settings, store, signer), [KEY]), dict[int, Any]()
        server = waitress.create_server(
            app,
            map=dispatchers,
            host="127.0.0.1",
            port=0,
            threads=2,
            max_request_body_size=MAX_BODY + 1,
            clear_untrusted_proxy_headers=not settings.trusted_proxies,
        )
        served = Served(app, dispatchers, server)
        threads.append(threading.Thread(target=run, args=(server, dispatchers), daemon=True))
        threads[-1].start()
        return served

    yield start
    is_over.set()
    for thread in threads:
        thread.join(PATIENCE)


def protected() -> dict[str, Any]:
    return {"basic_auth_user": LOGIN[0], "basic_auth_pass": LOGIN[1]}


@pytest.mark.parametrize("path", ["/predict", "/webhook", "/setup", "/unknown"])
def test_body_of_an_unknown_sender_is_not_kept(serve: Callable[..., Served], kept: list[str], path: str) -> None:
    served = serve(**protected())
    with httpx.Client(base_url=served.url, timeout=PATIENCE) as client:
        for _ in range(2):
            # Over the same connection: what was thrown away is not taken for another request.
            answer = client.post(path, content=b" " * (LARGEST_ELSEWHERE - 1))
            assert answer.status_code == 401
            assert answer.json()["error"]
    assert kept == []
    with httpx.Client(base_url=served.url, auth=LOGIN, timeout=PATIENCE) as client:
        client.post("/predict", content=b" " * (LARGEST_ELSEWHERE - 1))
    assert kept, "a known sender's is"


def test_behind_a_proxy_bodies_are_judged_as_the_app_judges_them(serve: Callable[..., Served], kept: list[str]) -> None:
    served = serve(trusted_proxies=1, backend_url="https://labels.example.org/active-learning")
    with httpx.Client(base_url=f"{served.url}/active-learning", timeout=PATIENCE) as client:
        foreign = {"X-Forwarded-Host": "evil.example", "Host": "localhost"}
        assert client.post("/predict", content=b" " * MAX_BODY, headers=foreign).status_code == 403
        assert kept == []
        ours = {"X-Forwarded-Host": "labels.example.org", "Host": "backend"}
        # As large as this route takes, and no more than others take.
        assert client.post("/predict", content=b" " * MAX_BODY, headers=ours).status_code == 415
        assert client.post("/setup", content=b" " * (LARGEST_ELSEWHERE + 1), headers=ours).status_code == 413
    assert kept


def test_body_that_smuggles_a_request_stays_a_body(serve: Callable[..., Served]) -> None:
    served = serve(**protected())
    inner = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with served.begin("/setup", len(inner), {"Connection": "close"}) as connection:
        connection.sendall(inner)
        answer = b""
        while piece := connection.recv(65_536):
            answer += piece
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"401" in answer.split(b"\r\n", 1)[0]


def test_many_large_bodies_at_once_are_kept_up_to_the_bound_and_webhooks_still_come_in(
    serve: Callable[..., Served], payload: Callable[[str], dict[str, Any]]
) -> None:
    served = serve()
    half = MAX_BODY // 2
    waiting = [served.begin("/predict", half, {}) for _ in range(8)]
    answers = []
    for connection in waiting[2:]:
        connection.sendall(b" " * half)
        answers.append(connection.recv(65_536).split(b"\r\n", 1)[0])
    assert all(b"503" in answer for answer in answers), answers
    headers = {WEBHOOK_HEADER: webhook_secret(KEY, "2.1795394190")}
    small = payload("annotation_created")
    assert len(json.dumps(small)) < SMALL_BYTES
    assert httpx.post(f"{served.url}/webhook", json=small, headers=headers, timeout=PATIENCE).status_code == 200
    for connection in waiting[:2]:
        connection.sendall(b" " * half)
        assert b" 400 " in connection.recv(65_536).split(b"\r\n", 1)[0]
    for connection in waiting:
        connection.close()
    # All room is given back.
    assert httpx.post(f"{served.url}/predict", content=b" " * MAX_BODY, timeout=PATIENCE).status_code != 503


def test_room_of_a_broken_connection_is_given_back(serve: Callable[..., Served]) -> None:
    served = serve()
    served.begin("/predict", MAX_BODY, {}).close()
    with httpx.Client(base_url=served.url, timeout=PATIENCE) as client:
        while client.post("/predict", content=b" " * MAX_BODY).status_code == 503:
            pass


def test_routes_that_need_no_large_body_take_none(serve: Callable[..., Served]) -> None:
    served, n_bytes = serve(), LARGEST_ELSEWHERE + 1
    with served.begin("/setup", n_bytes, {}) as connection:
        assert b" 413 " in connection.recv(65_536).split(b"\r\n", 1)[0]
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as connection:
        connection.sendall(b"POST /setup HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(f"{n_bytes:x}\r\n".encode() + b" " * n_bytes)
        assert b" 413 " in connection.recv(65_536).split(b"\r\n", 1)[0]
