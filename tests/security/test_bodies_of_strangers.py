"""`serve` itself, while many connections send large bodies slowly: the folder for temporary files stays small."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from label_studio_al.studio import WEBHOOK_HEADER, webhook_secret
from tests.support.backend_process import BackendProcess

LOGIN = {"BASIC_AUTH_USER": "label-studio", "BASIC_AUTH_PASS": "known to tests only"}
MEGABYTE = 1024 * 1024
MAX_BODY = 4 * MEGABYTE
# No more: who has been silent for 30 s is sent away, also on a slow machine.
N_CONNECTIONS = 16
PATIENCE = 60.0

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are looked at in /proc")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., BackendProcess]]:
    """Starts web processes."""
    with ExitStack() as stack:

        def started(**variables: str) -> BackendProcess:
            variables = {"AL_MAX_BODY_BYTES": str(MAX_BODY), "TMPDIR": str(tmp_path / "temporary"), **variables}
            (tmp_path / "temporary").mkdir()
            backend = BackendProcess(tmp_path / "backend", "http://127.0.0.1:9", None, **variables)
            stack.callback(backend.stop)
            return backend.start("--no-worker")

        yield started


def bytes_kept(backend: BackendProcess) -> int:
    """What the backend's processes have in temporary files: these have no name."""
    assert backend.process is not None
    total = 0
    for process in psutil.Process(backend.process.pid).children(recursive=True):
        for entry in os.scandir(f"/proc/{process.pid}/fd"):
            try:
                about = os.stat(entry.path)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(about.st_mode) and about.st_nlink == 0:
                total += about.st_size
    return total


def begin(backend: BackendProcess, headers: dict[str, str]) -> socket.socket:
    """A POST of the largest body that is taken, all of it sent but its last megabyte."""
    connection = socket.socket()
    # So that what was sent was received by the backend, and does not lie between.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
    connection.settimeout(PATIENCE)
    connection.connect(("127.0.0.1", backend.port))
    given = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(MAX_BODY), **headers}
    lines = ["POST /predict HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    connection.sendall("\r\n".join(lines).encode())
    for _ in range(MAX_BODY // MEGABYTE - 1):
        connection.sendall(b" " * MEGABYTE)
    return connection


def end(connection: socket.socket) -> bytes:
    """Send the last megabyte. Gives the answer's first line."""
    with connection:
        connection.sendall(b" " * MEGABYTE)
        return connection.recv(65_536).split(b"\r\n", 1)[0]


def tell(backend: BackendProcess, event: dict[str, Any], key: str) -> int:
    """A webhook with the project's secret."""
    secret = webhook_secret((backend.folder / "webhook.key").read_text(), key)
    return httpx.post(
        f"{backend.url}/webhook", json=event, headers={WEBHOOK_HEADER: secret}, timeout=PATIENCE
    ).status_code


def test_bodies_of_strangers_take_no_room_and_signed_webhooks_arrive(
    start: Callable[..., BackendProcess], payload: Callable[[str], dict[str, Any]]
) -> None:
    backend, event, key = start(**LOGIN), payload("annotation_created"), payload("setup")["project"]
    login = (LOGIN["BASIC_AUTH_USER"], LOGIN["BASIC_AUTH_PASS"])
    httpx.post(f"{backend.url}/setup", json=payload("setup"), auth=login).raise_for_status()
    before, waiting = bytes_kept(backend), []
    for n in range(N_CONNECTIONS):
        waiting.append(begin(backend, {"Authorization": "Basic bm9ib2R5Om5vYm9keQ=="} if n % 2 else {}))
        assert bytes_kept(backend) == before
    assert tell(backend, event, key) == 201
    assert {end(connection)[:12] for connection in waiting} == {b"HTTP/1.1 401"}
    assert bytes_kept(backend) == before


def test_bodies_of_everybody_take_the_room_of_one_and_signed_webhooks_arrive(
    start: Callable[..., BackendProcess], payload: Callable[[str], dict[str, Any]]
) -> None:
    """Without credentials nobody is a stranger."""
    backend, event, key = start(), payload("annotation_created"), payload("setup")["project"]
    httpx.post(f"{backend.url}/setup", json=payload("setup")).raise_for_status()
    before, waiting = bytes_kept(backend), []
    for _ in range(N_CONNECTIONS):
        waiting.append(begin(backend, {}))
        assert bytes_kept(backend) - before <= MAX_BODY
    assert bytes_kept(backend) > before, "one of them is kept"
    assert tell(backend, event, key) == 201
    answers = [end(connection)[:12] for connection in waiting]
    # The first has the room, and nothing but spaces in it.
    assert (answers[0], set(answers[1:])) == (b"HTTP/1.1 400", {b"HTTP/1.1 503"})
    assert tell(backend, event, key) == 201
