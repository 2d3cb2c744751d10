"""The Flask app."""

from __future__ import annotations

import logging
import time

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from backend.clock import Clock
from backend.database import UNAVAILABLE, UNSTORABLE
from backend.errors import BackendError, DatabaseUnavailable, InvalidRequest
from backend.jobs import JobClient
from backend.settings import Settings
from backend.store import Signer, Store
from backend.web.guard import Guard
from backend.web.parts import Parts, parts
from backend.web.protocol import protocol
from backend.web.status import status

RETRY_AFTER_SECONDS = 5

log = logging.getLogger(__name__)


def create_app(
    settings: Settings, store: Store, jobs: JobClient, signer: Signer, webhook_secret: str, clock: Clock | None = None
) -> Flask:
    """The app, wired from its parts. It never trains and never calls Label Studio."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions["parts"] = Parts(settings, store, jobs, signer, clock or Clock())
    app.before_request(Guard(settings, webhook_secret).check)
    app.register_blueprint(protocol)
    app.register_blueprint(status)
    app.register_error_handler(BackendError, _answer_error)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.register_error_handler(RecursionError, _answer_too_deep)
    for kind in UNAVAILABLE:
        app.register_error_handler(kind, _answer_unavailable)
    for other in UNSTORABLE:
        app.register_error_handler(other, _answer_unstorable)
    app.register_error_handler(Exception, _answer_unexpected)

    @app.before_request
    def _start() -> None:
        request.environ["al.began"] = time.perf_counter()

    @app.after_request
    def _log(response: Response) -> Response:
        milliseconds = 1000 * (time.perf_counter() - request.environ.get("al.began", time.perf_counter()))
        log.debug("%s %s %s %.1f ms", request.method, request.path, response.status_code, milliseconds)
        return response

    return app


def _answer_error(exc: BackendError) -> Response:
    log.log(logging.ERROR if exc.status >= 500 else logging.WARNING, "%s: %s", request.path, exc)
    return _say(exc)


def _say(exc: BackendError) -> Response:
    sentence = str(exc)
    response = jsonify(error=sentence)
    # Label Studio shows an admin the status line only, so the sentence stands there too: one ASCII line.
    line = " ".join(sentence.encode("ascii", "replace").decode().split())
    response.status = f"{exc.status} {line[:300]}"
    if exc.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="label-studio-al"'
    return response


def _answer_unavailable(exc: Exception) -> Response:
    parts().note_outage(exc)
    # Why it does not answer (its address, its user) is nothing for callers.
    response = _say(DatabaseUnavailable(f"the database does not answer: try again in {RETRY_AFTER_SECONDS} s"))
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _answer_unstorable(_exc: Exception) -> Response:
    # An event that came with it is lost; what it told can still be asked for.
    parts().miss()
    return _answer_error(InvalidRequest("a text holds characters, or a number has digits, that no database takes"))


def _answer_http_error(exc: HTTPException) -> Response:
    response = jsonify(error=exc.description or exc.name)
    response.status_code = exc.code or 500
    if exc.response is None and exc.code == 405:
        response.headers["Allow"] = ", ".join(sorted(getattr(exc, "valid_methods", None) or []))
    return response


def _answer_too_deep(_exc: RecursionError) -> Response:
    return _answer_error(InvalidRequest("the JSON is nested too deeply"))


def _answer_unexpected(exc: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=exc)
    response = jsonify(error="internal error: the log of the backend says more")
    response.status_code = 500
    return response
