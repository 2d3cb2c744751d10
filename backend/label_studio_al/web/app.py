"""The Flask app."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from label_studio_al.runtime import logs
from label_studio_al.runtime.database import UNAVAILABLE, UNSTORABLE
from label_studio_al.runtime.errors import BackendError, DatabaseUnavailable, InvalidRequest
from label_studio_al.runtime.redaction import hide
from label_studio_al.web.answers import RETRY_AFTER_SECONDS, answer_error, say
from label_studio_al.web.gate import Gate
from label_studio_al.web.guard import Guard
from label_studio_al.web.metrics import metrics
from label_studio_al.web.openapi import openapi
from label_studio_al.web.page import page
from label_studio_al.web.parts import Parts, parts
from label_studio_al.web.protocol import protocol
from label_studio_al.web.proxies import Proxies
from label_studio_al.web.status import status

# For browsers: nothing of ours is to be framed, guessed, cached or run elsewhere.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    # To our own pages only: with none at all, browsers send our forms without an origin, as if foreign.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# By endpoint. Static files are asked for again, and answered 304 unless they changed.
CACHED = {"static": "no-cache", "page.thumbnail": "private, max-age=300"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)


def create_app(here: Parts, webhook_keys: Sequence[str], *, host: str = "127.0.0.1") -> Flask:
    """The app, wired from its parts. It never trains and never calls Label Studio.

    webhook_keys: what projects' webhook secrets may be made from. host: the address that is listened on.
    """
    app, settings = Flask(__name__), here.settings
    app.extensions["parts"] = here
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]
    guard = app.extensions["guard"] = Guard(settings, webhook_keys, host)

    def note_shed(path: str) -> None:
        here.counts.add("label_studio_al_requests_shed_total")
        if path == "/webhook":
            here.miss()

    gate = app.extensions["gate"] = Gate(app.wsgi_app, settings.web_queue, settings.max_body_bytes, note_shed)
    proxies = app.extensions["proxies"] = Proxies(gate, settings)
    app.wsgi_app = _named(proxies)  # type: ignore[method-assign, assignment]
    app.register_blueprint(protocol)
    app.register_blueprint(status)
    app.register_blueprint(metrics)
    app.register_blueprint(page)
    app.register_blueprint(openapi)
    app.register_error_handler(BackendError, answer_error)
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
        request.environ["al.webhook_of"] = guard.check(request.path, request.method, request.headers)
        request.environ["al.is_let_in"] = True

    @app.after_request
    def _log(response: Response) -> Response:
        response.headers.update(SECURITY_HEADERS)
        if request.endpoint in CACHED and response.status_code < 400:
            response.headers["Cache-Control"] = CACHED[request.endpoint]
        if request.path == "/webhook" and 400 <= response.status_code < 500 and request.environ.get("al.is_let_in"):
            # An event that is not understood is lost; what it told can still be asked for.
            here.miss()
        seconds = time.perf_counter() - request.environ.get("al.began", time.perf_counter())
        log.debug("%s %s %s %.1f ms", request.method, request.path, response.status_code, 1000 * seconds)
        # By the rule, not the path: whoever calls must not make rows.
        route = request.url_rule.rule if request.url_rule else "none"
        here.counts.add("label_studio_al_requests_total", route=route, status=f"{response.status_code // 100}xx")
        here.counts.observe("label_studio_al_request_seconds", seconds, route=route)
        return response

    return app


def _named(app: WSGIApplication) -> WSGIApplication:
    """Gives each request a name, the caller's if it sent one: in its answer and in all log lines about it."""

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        sent = environ.get("HTTP_X_REQUEST_ID", "")
        name = sent if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, [*headers, ("X-Request-ID", name)], exc_info)

        with logs.context(request=name):
            return app(environ, start)

    return call


def _answer_unavailable(exc: Exception) -> Response:
    parts().note_outage(exc)
    # Why it does not answer (its address, its user) is nothing for callers.
    return say(DatabaseUnavailable(f"the database does not answer: try again in {RETRY_AFTER_SECONDS} s"))


def _answer_unstorable(_exc: Exception) -> Response:
    return answer_error(InvalidRequest("a text holds characters, or a number has digits, that no database takes"))


def _answer_http_error(exc: HTTPException) -> Response:
    response = jsonify(error=hide(exc.description or exc.name))
    response.status_code = exc.code or 500
    if exc.response is None and exc.code == 405:
        response.headers["Allow"] = ", ".join(sorted(getattr(exc, "valid_methods", None) or []))
    return response


def _answer_too_deep(_exc: RecursionError) -> Response:
    return answer_error(InvalidRequest("the JSON is nested too deeply"))


def _answer_unexpected(exc: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=exc)
    response = jsonify(error="internal error: the log of the backend says more")
    response.status_code = 500
    return response
