"""How Label Studio is talked to: what is repeated, what is left alone, what is never sent or taken."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_al.runtime.errors import StudioError, StudioRefused, StudioUnreachable
from label_studio_al.studio.api import TRIES, Api
from label_studio_al.studio.circuit import FAILURES_ALLOWED, OPEN_SECONDS, RETRY_AFTER_AT_MOST, Circuit
from label_studio_al.studio.client import Studio
from label_studio_al.studio.transport import Bounded, Limits, bounded_client
from tests.support.bench import TWO
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import CLOSED, TOKEN, URL, FakeLabelStudio

PREDICTION = {"task": 1, "result": [], "score": 0.5, "model_version": "al-1"}


@pytest.fixture
def fake() -> FakeLabelStudio:
    fake = FakeLabelStudio()
    fake.add_project(TWO, ["a text", "another"])
    return fake


@pytest.fixture
def studio(fake: FakeLabelStudio, clock: FakeClock) -> Studio:
    return Studio(Api(URL, TOKEN, fake.client(), clock))


def pushed(studio: Studio, fake: FakeLabelStudio) -> None:
    task_id = next(iter(fake.projects[1].tasks))
    studio.predictions.push(1, [{**PREDICTION, "task": task_id}])


# -- repeating ---------------------------------------------


@pytest.mark.parametrize("how", [500, 503, CLOSED], ids=str)
def test_reading_is_repeated_within_two_seconds(
    studio: Studio, fake: FakeLabelStudio, clock: FakeClock, how: int | str
) -> None:
    fake.fail("GET", "/api/projects/1", how, times=TRIES - 1)
    began = clock.now()
    assert studio.projects.get(1).id == 1
    assert clock.now() - began <= 2


@pytest.mark.parametrize("how", [500, 503, 429, CLOSED], ids=str)
def test_predictions_that_may_have_arrived_are_not_sent_again(
    studio: Studio, fake: FakeLabelStudio, how: int | str
) -> None:
    fake.fail("POST", "/api/projects/1/import/predictions", how, takes_effect=True)
    with pytest.raises(StudioUnreachable):
        pushed(studio, fake)
    assert len(fake.projects[1].predictions) == 1
    assert fake.names().count("POST /api/projects/1/import/predictions") == 1


@pytest.mark.parametrize("how", [500, 503, 429, CLOSED], ids=str)
def test_a_single_prediction_that_may_have_arrived_is_not_sent_again(
    studio: Studio, fake: FakeLabelStudio, how: int | str
) -> None:
    task_id = next(iter(fake.projects[1].tasks))
    fake.fail("POST", "/api/predictions", how, takes_effect=True)
    with pytest.raises(StudioUnreachable):
        studio.predictions.push_one(1, task_id, PREDICTION)
    assert len(fake.projects[1].predictions) == 1


def test_a_prediction_for_a_task_that_is_gone_is_refused(studio: Studio, fake: FakeLabelStudio) -> None:
    with pytest.raises(StudioRefused, match="does not exist"):
        studio.predictions.push_one(1, 10**9, PREDICTION)


def test_predicted_tasks_are_those_of_exactly_that_version(studio: Studio, fake: FakeLabelStudio) -> None:
    first, second, third = [one["id"] for one in fake.add_tasks(1, [{"text": "a"}] * 3)["tasks"]]
    fake.add_prediction(1, first, "al-1", 0.5)
    fake.add_prediction(1, first, "al-12", 0.5)
    fake.add_prediction(1, second, "al-12", 0.5)
    fake.add_prediction(1, third, "al-1", 0.5)

    assert studio.predictions.tasks(1, [first, second], "al-1") == {first}
    assert studio.predictions.tasks(1, [first, second, third], "al-12") == {first, second}
    assert studio.predictions.tasks(1, [], "al-1") == set()


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_is_not_repeated(studio: Studio, fake: FakeLabelStudio, status: int) -> None:
    fake.fail("GET", "/api/projects/1", status)
    with pytest.raises(StudioRefused):
        studio.projects.get(1)
    assert len(fake.calls) == 1


# -- leaving alone ----------------------------------------


def test_label_studio_that_does_not_answer_is_left_alone_then_probed_then_used_again(
    studio: Studio, fake: FakeLabelStudio, clock: FakeClock
) -> None:
    fake.fail("*", ".*", CLOSED)
    for _ in range(FAILURES_ALLOWED):
        with pytest.raises(StudioUnreachable):
            studio.projects.get(1)
    fake.calls.clear()
    with pytest.raises(StudioUnreachable, match="since") as caught:
        studio.projects.get(1)
    assert fake.calls == []
    assert caught.value.retry_after is not None

    clock.advance(caught.value.retry_after)
    fake.mend()
    assert studio.projects.get(1).id == 1
    assert studio.projects.get(1).id == 1


def test_only_one_of_many_probes(clock: FakeClock) -> None:
    circuit = Circuit(clock)
    for _ in range(FAILURES_ALLOWED):
        with pytest.raises(StudioUnreachable), circuit.call():
            raise StudioUnreachable("no answer")
    clock.advance(OPEN_SECONDS)
    with circuit.call():
        for _ in range(3):
            with pytest.raises(StudioUnreachable), circuit.call():
                pytest.fail("a second probe was let through")
    with circuit.call():
        pass


@pytest.mark.parametrize("seconds", [-86_400.0, 86_400.0])
def test_setting_the_clock_neither_keeps_label_studio_alone_nor_calls_it_early(
    clock: FakeClock, seconds: float
) -> None:
    circuit = Circuit(clock)
    for _ in range(FAILURES_ALLOWED):
        with pytest.raises(StudioUnreachable), circuit.call():
            raise StudioUnreachable("no answer")
    clock.put(seconds)
    clock.advance(OPEN_SECONDS - 1)
    with pytest.raises(StudioUnreachable), circuit.call():
        pytest.fail("a call was let through")
    clock.advance(1)
    with circuit.call():
        pass


def test_date_of_retry_after_is_meant_by_the_clock_of_who_says_it(clock: FakeClock) -> None:
    def busy(_: httpx.Request) -> httpx.Response:
        headers = {"Retry-After": "Fri, 15 Jan 2027 08:01:40 GMT", "Date": "Fri, 15 Jan 2027 08:01:20 GMT"}
        return httpx.Response(429, headers=headers, json={"detail": "busy"})

    clock.put(-86_400)
    studio = Studio(Api(URL, TOKEN, httpx.Client(transport=httpx.MockTransport(busy)), clock))
    with pytest.raises(StudioUnreachable) as caught:
        studio.projects.get(1)
    assert caught.value.retry_after == 20.0


def test_a_probe_that_fails_opens_the_circuit_again(clock: FakeClock) -> None:
    circuit = Circuit(clock)
    for _ in range(FAILURES_ALLOWED):
        with pytest.raises(StudioUnreachable), circuit.call():
            raise StudioUnreachable("no answer")
    for _ in range(10):
        clock.advance(10)
        with pytest.raises(StudioUnreachable, match="still none"), circuit.call():
            raise StudioUnreachable("still none")
        with pytest.raises(StudioUnreachable), circuit.call():
            pytest.fail("a call was let through")


def test_refusals_are_answers(studio: Studio, fake: FakeLabelStudio) -> None:
    fake.fail("GET", "/api/projects/1", 403)
    for _ in range(3 * FAILURES_ALLOWED):
        with pytest.raises(StudioRefused):
            studio.projects.get(1)
    assert len(fake.calls) == 3 * FAILURES_ALLOWED


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("77", 77.0), ("Fri, 15 Jan 2027 08:01:40 GMT", 100.0), ("99999", RETRY_AFTER_AT_MOST), ("soon", None)],
)
def test_retry_after_is_honoured_by_all_projects(clock: FakeClock, header: str, seconds: float | None) -> None:
    calls = []

    def busy(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.path)
        return httpx.Response(429, headers={"Retry-After": header}, json={"detail": "busy"})

    # 2027-01-15 08:00:00 UTC.
    clock.advance(1_800_000_000 - clock.now())
    studio = Studio(Api(URL, TOKEN, httpx.Client(transport=httpx.MockTransport(busy)), clock))
    with pytest.raises(StudioUnreachable):
        studio.projects.get(1)
    n_calls = len(calls)
    if seconds is None:
        assert n_calls == TRIES
        return
    assert n_calls == 1
    clock.advance(seconds - 1)
    with pytest.raises(StudioUnreachable):
        studio.projects.get(2)
    assert len(calls) == 1
    clock.advance(1)
    with pytest.raises(StudioUnreachable):
        studio.projects.get(2)
    assert len(calls) == 2


# -- tokens ------------------------------------------------


def refused(body: dict[str, Any], token: str = TOKEN) -> str:
    answer = httpx.MockTransport(lambda _: httpx.Response(401, json=body))
    with pytest.raises(StudioRefused) as caught:
        Studio(Api(URL, token, httpx.Client(transport=answer), FakeClock())).projects.get(1)
    assert token not in str(caught.value)
    return str(caught.value)


def test_legacy_token_where_they_are_switched_off_is_said_in_plain_words() -> None:
    # The detail that release 1.23.2 gives.
    detail = "Authentication token no longer valid: legacy token authentication has been disabled for this organization"
    assert "is a legacy token, and this Label Studio has legacy tokens switched off" in refused({"detail": detail})


def test_wrong_token_is_said_in_plain_words() -> None:
    assert "not one that it knows" in refused({"detail": "Invalid token."})


def personal_token(seconds: float = 3600.0) -> str:
    return jwt.encode({"token_type": "refresh", "exp": time.time() + seconds}, "k" * 32, algorithm="HS256")


def test_personal_access_token_that_was_revoked_is_said_in_plain_words() -> None:
    assert "personal access token: it has expired or was revoked" in refused({"detail": "no"}, personal_token())


def test_personal_access_token_that_has_expired_is_said_in_plain_words() -> None:
    with pytest.raises(StudioRefused, match="has expired or was revoked"):
        Studio(Api(URL, personal_token(-10)))


# The SDK's own use of pydantic.
@pytest.mark.filterwarnings("ignore:The `parse_obj` method")
def test_access_token_is_fetched_anew_when_it_is_refused() -> None:
    given_out: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/sub/api/token/refresh/":
            exp = time.time() + 300 + len(given_out)
            given_out.append(jwt.encode({"token_type": "access", "exp": exp}, "k" * 32, algorithm="HS256"))
            return httpx.Response(200, json={"access": given_out[-1]})
        if request.headers["Authorization"] != "Bearer " + given_out[-1] or len(given_out) < 2:
            return httpx.Response(401, json={"detail": "revoked"})
        return httpx.Response(200, json={"created_at": "2026-11-23T00:00:00Z", "label_config": "<View/>"})

    transport = httpx.MockTransport(answer)
    studio = Studio(Api(f"{URL}/sub", personal_token(), httpx.Client(transport=transport), FakeClock()))
    assert studio.projects.get(1).label_config == "<View/>"
    assert studio.projects.get(1).label_config == "<View/>"
    assert len(given_out) == 2


# -- answers -----------------------------------------------


@dataclass
class Peer:
    """A server on loopback whose answer a test writes byte by byte."""

    answer: Callable[[BaseHTTPRequestHandler], None] = field(default=lambda _: None)
    heard: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.heard.append(dict(self.headers))
            made.answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """The client went away."""

    server = Server(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def head(handler: BaseHTTPRequestHandler, n_bytes: int, status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(n_bytes))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()


def test_half_an_answer_is_no_answer(peer: Peer) -> None:
    def half(handler: BaseHTTPRequestHandler) -> None:
        head(handler, 1000)
        handler.wfile.write(b'{"created_at": ')

    peer.answer = half
    with pytest.raises(StudioUnreachable, match="does not answer"):
        Studio(Api(peer.url, TOKEN, clock=FakeClock())).projects.get(1)
    assert len(peer.heard) == TRIES


def test_endless_answer_is_not_taken_into_memory(peer: Peer) -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        head(handler, 10**9)
        while True:
            handler.wfile.write(b" " * 65_536)

    peer.answer = flood
    client = bounded_client(Limits(n_bytes=200_000))
    with pytest.raises(StudioUnreachable, match="more than 200000 bytes"):
        Studio(Api(peer.url, TOKEN, client, FakeClock())).projects.get(1)
    assert len(peer.heard) == 1


def test_silent_server_is_not_waited_for_for_ever(peer: Peer) -> None:
    is_over = threading.Event()
    peer.answer = lambda _: (is_over.wait(10), None)[1]
    client = httpx.Client(timeout=0.2)
    with pytest.raises(StudioUnreachable, match="does not answer"):
        Studio(Api(peer.url, TOKEN, client, FakeClock())).projects.get(1)
    is_over.set()


def test_heavy_tasks_are_asked_for_in_smaller_pages(fake: FakeLabelStudio, clock: FakeClock) -> None:
    project = fake.add_project(TWO, ["x" * 200_000 for _ in range(1200)])
    sizes: list[int] = []

    def measure(request: httpx.Request) -> httpx.Response:
        response = fake.handle(request)
        sizes.append(len(response.content))
        return response

    studio = Studio(Api(URL, TOKEN, httpx.Client(transport=httpx.MockTransport(measure)), clock))
    found = [one.task.id for page in studio.tasks.pages(project.id) for one in page]
    assert found == sorted(project.tasks)
    # The first page told how heavy they are.
    assert max(sizes[1:]) < 20_000_000


def test_page_that_is_too_large_is_asked_for_in_parts(fake: FakeLabelStudio, clock: FakeClock) -> None:
    project = fake.add_project(TWO, ["x" * 1000 for _ in range(300)])
    transport = Bounded(httpx.MockTransport(fake.handle), Limits(n_bytes=100_000))
    studio = Studio(Api(URL, TOKEN, httpx.Client(transport=transport), clock))
    found = [one.task.id for page in studio.tasks.pages(project.id) for one in page]
    assert found == sorted(project.tasks)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CALLS: list[Callable[[Studio], object]] = [
    lambda studio: studio.projects.get(1),
    lambda studio: list(studio.tasks.pages(1)),
    lambda studio: studio.tasks.newest_change(1),
    lambda studio: studio.tasks.annotations(1),
    lambda studio: studio.predictions.versions(1),
    lambda studio: studio.connections.all(1),
    lambda studio: studio.connections.connect(1, "http://localhost:9090", None),
    lambda studio: studio.webhooks.replace(1, "http://localhost:9090", "secret"),
    lambda studio: studio.disconnect(1, "http://localhost:9090", []),
    lambda studio: studio.tabs.add(1),
    lambda studio: studio.projects.find("texts"),
]


@pytest.mark.parametrize("call", CALLS)
@given(content=st.one_of(JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=40)))
def test_answer_that_is_not_understood_is_an_error_of_label_studio(
    call: Callable[[Studio], object], content: bytes
) -> None:
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=content)))
    with suppress(StudioError):
        call(Studio(Api(URL, TOKEN, client, FakeClock())))


# -- connecting --------------------------------------------


def test_backend_that_moved_takes_its_lost_connection_over(studio: Studio, fake: FakeLabelStudio) -> None:
    old = fake.connect(1, "http://localhost:9191", title="al-7")
    fake.connections[old]["state"] = "DI"
    made = studio.connections.connect(1, "http://localhost:9090", None)
    assert (made.id, made.url, made.title) == (old, "http://localhost:9090", "al-7")
    assert len(fake.connections) == 1


def test_connection_of_another_backend_is_left_alone(studio: Studio, fake: FakeLabelStudio) -> None:
    fake.connect(1, "http://localhost:9191", title="al-7")
    foreign = fake.connect(1, "http://localhost:9292", title="somebody's model")
    fake.connections[foreign]["state"] = "DI"
    studio.connections.connect(1, "http://localhost:9090", None)
    assert len(fake.connections) == 3


def test_a_request_that_label_studio_ran_twice_leaves_one_connection_and_one_webhook(
    studio: Studio, fake: FakeLabelStudio
) -> None:
    url = "http://localhost:9090"
    fake.when("POST", "/api/webhooks", lambda: studio.webhooks.replace(1, url, "secret"))
    fake.when("POST", "/api/ml", lambda: fake.connect(1, url) and None)
    studio.webhooks.replace(1, url, "secret")
    made = studio.connections.connect(1, url, None)
    assert list(fake.connections) == [made.id]
    assert len(fake.webhooks) == 1


def test_disconnecting_removes_connection_and_webhook(studio: Studio, fake: FakeLabelStudio) -> None:
    studio.webhooks.replace(1, "http://localhost:9090", "secret")
    studio.connections.connect(1, "http://localhost:9090", None)
    studio.disconnect(1, "http://localhost:9090", [])
    assert (fake.connections, fake.webhooks) == ({}, {})
    studio.disconnect(1, "http://localhost:9090", [])
