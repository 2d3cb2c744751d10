"""A Label Studio that is hostile or sick costs a worker neither its memory nor its time, and puts nothing to sleep."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import jwt
import pytest

from label_studio_al.runtime.computing import Computing
from label_studio_al.runtime.errors import StudioError, StudioUnreachable
from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.studio.api import Api
from label_studio_al.studio.circuit import RETRY_AFTER_AT_MOST
from label_studio_al.studio.client import Studio
from label_studio_al.studio.transport import (
    AnswerTooLarge,
    AnswerTooSlow,
    Bounded,
    Limits,
    bounded_client,
    ending_after,
)
from label_studio_al.turns.loop import Loop
from label_studio_al.turns.means import Means
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.background import AtOnce
from tests.support.bench import Bench
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import TOKEN, URL, FakeLabelStudio

# Long enough for a connection on a busy machine, and short beside what the servers here would take.
SECONDS = 1.0
MEGABYTE = 1024 * 1024
PROJECT = {"created_at": "2026-11-23T00:00:00Z", "label_config": "<View/>"}


@dataclass
class Hostile:
    """A server on loopback that answers each connection's first request with bytes that a test writes."""

    answer: Callable[[socket.socket], None] = field(default=lambda _: None)
    requests: list[bytes] = field(default_factory=list)
    url: str = ""

    def serve(self, connection: socket.socket) -> None:
        """Read a request's head, and answer."""
        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and (piece := connection.recv(65_536)):
                head += piece
            self.requests.append(head)
            self.answer(connection)


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    made = Hostile()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made.url = f"http://127.0.0.1:{listening.getsockname()[1]}"

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=made.serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield made
        listening.shutdown(socket.SHUT_RDWR)


def sends(*pieces: bytes, forever: bytes = b"", pause_seconds: float = 0.0) -> Callable[[socket.socket], None]:
    """Sends the pieces, then one again and again, until the other side goes away."""

    def answer(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
        while forever:
            connection.sendall(forever)
            time.sleep(pause_seconds)

    return answer


def packed(content: bytes, encoding: str, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Encoding: {encoding}\r\n"
    # It answers a connection's first request only.
    return f"{head}Connection: close\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


_clients: list[httpx.Client] = []


def studio_at(url: str, token: str = TOKEN, limits: Limits | None = None) -> Studio:
    client = bounded_client(limits or Limits(seconds=SECONDS, n_bytes=MEGABYTE))
    _clients.append(client)
    return Studio(Api(url, token, client, FakeClock()))


@pytest.fixture(autouse=True)
def _close_clients() -> Iterator[None]:
    yield
    while _clients:
        _clients.pop().close()


def personal_token() -> str:
    return jwt.encode({"token_type": "refresh", "exp": time.time() + 3600}, "k" * 32, algorithm="HS256")


# -- answers that outgrow the memory -------------------------


def peak_bytes(act: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("token", [TOKEN, personal_token()], ids=["legacy token", "token refresh"])
@pytest.mark.parametrize(
    ("encoding", "layers", "said"),
    [("gzip", 1, "more than 1048576 bytes"), ("gzip, gzip", 2, "packed as 'gzip, gzip', which nobody asked for")],
)
def test_packed_answer_is_not_unpacked_beyond_what_is_taken(
    hostile: Hostile, token: str, encoding: str, layers: int, said: str
) -> None:
    content = b" " * (64 * MEGABYTE)
    for _ in range(layers):
        content = gzip.compress(content)
    hostile.answer = sends(packed(content, encoding))
    studio = studio_at(hostile.url, token, Limits(n_bytes=MEGABYTE))

    def ask() -> None:
        with pytest.raises(StudioUnreachable, match=said):
            studio.projects.get(1)

    assert peak_bytes(ask) < 20 * MEGABYTE


def test_what_is_packed_as_asked_is_read(hostile: Hostile) -> None:
    content = json.dumps(PROJECT).encode()
    hostile.answer = sends(packed(gzip.compress(content), "gzip"))
    assert studio_at(hostile.url).projects.get(1).label_config == "<View/>"
    assert b"Accept-Encoding: gzip\r\n" in hostile.requests[0]


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (gzip.compress(json.dumps(PROJECT).encode())[:-10], "gzip"),
        (b"no gzip at all", "gzip"),
        (json.dumps(PROJECT).encode(), "br"),
        (json.dumps(PROJECT).encode(), "x" * 10_000),
    ],
    ids=["cut short", "not packed", "not asked for", "unknown"],
)
def test_answer_that_cannot_be_unpacked_is_an_error_of_label_studio(
    hostile: Hostile, content: bytes, encoding: str
) -> None:
    hostile.answer = sends(packed(content, encoding))
    with pytest.raises(StudioUnreachable, match="its answer") as caught:
        studio_at(hostile.url).projects.get(1)
    assert len(str(caught.value)) < 300


def test_what_follows_a_packed_answer_is_not_read(hostile: Hostile) -> None:
    content = gzip.compress(json.dumps(PROJECT).encode())
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000000000000\r\n\r\n"
    hostile.answer = sends(head, content, forever=b"x" * 65_536)
    assert studio_at(hostile.url).projects.get(1).label_config == "<View/>"


def test_answer_of_too_many_values_is_not_made_objects_of() -> None:
    answer = httpx.MockTransport(lambda _: httpx.Response(200, content=b"[" + b"{}," * 1000 + b"{}]"))
    few, more = (Bounded(answer, Limits(n_values=n)) for n in (1000, 3000))
    with httpx.Client(transport=few) as client, pytest.raises(AnswerTooLarge, match="more than 1000 values"):
        client.get(URL)
    with httpx.Client(transport=more) as client:
        assert len(client.get(URL).json()) == 1001


# -- answers without an end ----------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n"
DRIPS = {
    "status line": sends(forever=b"H", pause_seconds=0.01),
    "headers": sends(HEAD, forever=b"X-A: b\r\n", pause_seconds=0.01),
    "a header": sends(HEAD, b"X-A: ", forever=b"b", pause_seconds=0.01),
    "answers before the answer": sends(forever=b"HTTP/1.1 100 Continue\r\n\r\n", pause_seconds=0.01),
    "body": sends(HEAD, b"\r\n", forever=b" ", pause_seconds=0.01),
    "chunks": sends(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", forever=b"1\r\n \r\n", pause_seconds=0.01
    ),
    "packed nothing": sends(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000000\r\n\r\n",
        gzip.compress(b"")[:10],
        # An empty stored block.
        forever=b"\x00\x00\x00\xff\xff",
        pause_seconds=0.01,
    ),
}


@pytest.mark.parametrize("token", [TOKEN, personal_token()], ids=["legacy token", "token refresh"])
@pytest.mark.parametrize("drip", DRIPS)
def test_dripping_answer_ends_at_its_deadline_and_is_not_asked_for_again(
    hostile: Hostile, drip: str, token: str
) -> None:
    hostile.answer = DRIPS[drip]
    with pytest.raises(StudioUnreachable, match="did not come to the end of its answer in 1 s"):
        studio_at(hostile.url, token).projects.get(1)
    assert len(hostile.requests) <= 1


def test_server_that_does_not_read_what_it_is_sent_is_not_waited_for_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        studio = studio_at(f"http://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(StudioUnreachable, match="did not come to the end of its answer"):
            studio.tasks.add(1, [{"text": "x" * 32 * MEGABYTE}])


def test_exchanges_of_one_call_have_one_end_together(hostile: Hostile) -> None:
    with bounded_client() as client, ending_after(0.0), pytest.raises(AnswerTooSlow):
        client.get(hostile.url)
    assert hostile.requests == []


def test_pages_that_do_not_move_on_are_not_read_for_ever() -> None:
    item = {
        "id": 7,
        "data": {},
        "updated_at": "2026-11-23T00:00:00Z",
        "total_annotations": 0,
        "cancelled_annotations": 0,
    }
    page = httpx.MockTransport(lambda _: httpx.Response(200, json={"tasks": [item] * 2000}))
    studio = Studio(Api(URL, TOKEN, httpx.Client(transport=page), FakeClock()))
    with pytest.raises(StudioUnreachable, match="not understood"):
        list(studio.tasks.pages(1))


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5000, "NaN"])
def test_numbers_without_end_are_an_error_of_label_studio(number: str) -> None:
    body = f'{{"created_at": "2026-11-23T00:00:00Z", "task_number": {number}}}'.encode()
    answer = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    studio = Studio(Api(URL, TOKEN, httpx.Client(transport=answer), FakeClock()))
    with pytest.raises(StudioUnreachable, match="not understood"):
        studio.projects.get(1)


# -- answers that lead elsewhere -----------------------------


@pytest.mark.parametrize("token", [TOKEN, personal_token()], ids=["legacy token", "token refresh"])
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_token_follows_no_redirect_to_another_host(hostile: Hostile, token: str, status: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        elsewhere = f"http://127.0.0.1:{other.getsockname()[1]}/"
        hostile.answer = sends(f"HTTP/1.1 {status}\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n".encode())
        with pytest.raises(StudioError):
            studio_at(hostile.url, token).projects.get(1)
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()
    assert hostile.requests


# -- how long it wants to be left alone ----------------------

LATE = "Fri, 15 Jan 9999 08:00:00 GMT"
RETRY_AFTER: dict[str, float | None] = {
    "1e309": RETRY_AFTER_AT_MOST,
    "inf": RETRY_AFTER_AT_MOST,
    "99999999": RETRY_AFTER_AT_MOST,
    "9" * 5000: RETRY_AFTER_AT_MOST,
    LATE: RETRY_AFTER_AT_MOST,
    "-1e309": 0.0,
    "-5": 0.0,
    "Mon, 01 Jan 0001 00:00:00 GMT": 0.0,
    "nan": None,
    "": None,
    "soon": None,
    "Fri, 15 Jan 99999 08:00:00 GMT": None,
    "Fri, 99 Jan 2027 08:00:00 +9999": None,
    "\xb2": None,
}


@pytest.mark.parametrize("header", RETRY_AFTER, ids=lambda header: ascii(header[:30]))
def test_nobody_is_put_to_sleep_for_years(header: str) -> None:
    headers = [(b"Retry-After", header.encode("latin-1"))]
    answer = httpx.MockTransport(lambda _: httpx.Response(429, headers=headers, json={"detail": "busy"}))
    studio = Studio(Api(URL, TOKEN, httpx.Client(transport=answer), FakeClock()))
    with pytest.raises(StudioUnreachable) as caught:
        studio.projects.get(1)
    assert caught.value.retry_after == RETRY_AFTER[header]


@pytest.mark.parametrize("header", ["1e309", "99999999", "nan", LATE])
def test_status_is_answered_and_the_project_goes_on(
    tmp_path: Path, store: Store, signer: Signer, clock: FakeClock, header: str
) -> None:
    bench = Bench(FakeLabelStudio(), store, signer, clock, read_settings(model_dir=tmp_path))
    project = bench.add()
    busy = httpx.Response(429, headers={"Retry-After": header}, json={"detail": "busy"})
    is_busy = True
    transport = httpx.MockTransport(lambda request: busy if is_busy else bench.fake.handle(request))
    studio = Studio(Api(URL, TOKEN, httpx.Client(transport=transport), clock))
    loop = Loop(Means(store, studio, signer, bench.settings, clock, Computing(1), AtOnce()))
    loop.take_turn(project.key)
    client = create_app(Parts(bench.settings, store, signer, clock), []).test_client()
    (shown,) = client.get("/status").get_json()["projects"]
    assert "answered 429: busy" in shown["error"]
    is_busy = False
    clock.advance(RETRY_AFTER_AT_MOST)
    loop.take_turn(project.key)
    assert store.projects.get(project.key).error is None
