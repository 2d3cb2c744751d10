"""More requests, or larger bodies, than can be worked on at once are sent away at once."""

from __future__ import annotations

import threading
from collections.abc import Callable

from flask import Flask, request
from flask.testing import FlaskClient

from label_studio_al.web.gate import Gate


def make(max_waiting: int = 2, max_body_bytes: int = 1000) -> tuple[Gate, FlaskClient, list[str]]:
    app, shed = Flask(__name__), list[str]()

    @app.route("/health")
    @app.route("/webhook", methods=["POST"])
    def answer() -> str:
        return f"{len(request.data)} bytes"

    gate = Gate(app.wsgi_app, max_waiting, max_body_bytes, shed.append)
    app.wsgi_app = gate  # type: ignore[method-assign, assignment]
    return gate, app.test_client(), shed


def test_requests_beyond_the_queue_are_sent_away_and_told() -> None:
    gate, client, shed = make()
    gate.n_waiting = lambda: 2
    assert client.post("/webhook", data=b"x").status_code == 200
    gate.n_waiting = lambda: 3
    answer = client.post("/webhook", data=b"x")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert "error" in answer.get_json()
    assert shed == ["/webhook"]


def test_health_is_always_answered() -> None:
    gate, client, shed = make()
    gate.n_waiting = lambda: 1000
    assert client.get("/health").status_code == 200
    assert shed == []


def test_bodies_are_bounded_together_and_freed_again() -> None:
    inside, go_on = threading.Event(), threading.Event()
    gate, client, shed = make()
    app = gate._app

    def slow(environ: dict[str, object], start_response: Callable[..., object]) -> object:
        if environ.get("HTTP_X_SLOW"):
            inside.set()
            go_on.wait(10)
        return app(environ, start_response)  # type: ignore[arg-type]

    gate._app = slow  # type: ignore[assignment]
    thread = threading.Thread(target=lambda: client.post("/webhook", data=b"x" * 900, headers={"X-Slow": "1"}))
    thread.start()
    inside.wait(10)
    other = client.application.test_client()
    assert other.post("/webhook", data=b"x" * 101).status_code == 503
    assert other.post("/webhook", data=b"x" * 100).status_code == 200
    go_on.set()
    thread.join()
    assert other.post("/webhook", data=b"x" * 1000).status_code == 200
    assert shed == ["/webhook"]
