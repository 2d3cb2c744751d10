"""Refuses requests that could not be answered in time, instead of letting them wait forever."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

RETRY_AFTER_SECONDS = 1
# In a request's environment: whether its body was thrown away because too many bytes of others were there.
NO_ROOM = "al.no_room"

log = logging.getLogger(__name__)


class Gate:
    """WSGI middleware: as many waiting requests, and as many bytes of bodies at once, as the limits allow.

    n_waiting: how many requests wait for a thread now. on_shed: told the path of each request that is sent away.
    /health always passes: it costs nothing, and Label Studio asks for it before every task.
    """

    def __init__(
        self, app: WSGIApplication, max_waiting: int, max_body_bytes: int, on_shed: Callable[[str], None]
    ) -> None:
        self.n_waiting: Callable[[], int] = lambda: 0
        self._app = app
        self._max_waiting = max_waiting
        self._max_body_bytes = max_body_bytes
        self._on_shed = on_shed
        self._body_bytes = 0
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer, or send away."""
        path = environ.get("PATH_INFO", "")
        if path == "/health":
            return self._app(environ, start_response)
        if environ.get(NO_ROOM) or self.n_waiting() > self._max_waiting:
            return self._shed(path, start_response)
        with self._taking(int(environ.get("CONTENT_LENGTH") or 0)) as has_room:
            if not has_room:
                return self._shed(path, start_response)
            return self._app(environ, start_response)

    @contextmanager
    def _taking(self, n_bytes: int) -> Iterator[bool]:
        with self._lock:
            # One alone may be as large as it may be.
            has_room = not self._body_bytes or self._body_bytes + n_bytes <= self._max_body_bytes
            taken = n_bytes if has_room else 0
            self._body_bytes += taken
        try:
            yield has_room
        finally:
            with self._lock:
                self._body_bytes -= taken

    def _shed(self, path: str, start_response: StartResponse) -> Iterable[bytes]:
        self._on_shed(path)
        body = json.dumps({"error": "more requests came than can be answered: try again in a second"}).encode()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Retry-After", str(RETRY_AFTER_SECONDS)),
        ]
        start_response("503 more requests came than can be answered", headers)
        return [body]
