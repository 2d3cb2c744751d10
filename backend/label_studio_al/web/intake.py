"""Which bodies waitress keeps while they arrive: none from unknown senders, and no more than fit.

waitress receives a whole body, into the temporary folder if it is large, before the app sees the request. The headers
are enough to decide whether to keep it. A refused body is received and discarded, so that the connection stays usable
and the sender can read why.
"""

from __future__ import annotations

import io
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.receiver import ChunkedReceiver, FixedStreamReceiver
from waitress.server import BaseWSGIServer
from waitress.task import WSGITask
from waitress.utilities import RequestEntityTooLarge
from werkzeug.datastructures import EnvironHeaders

from label_studio_al.runtime.errors import BackendError
from label_studio_al.web.gate import NO_ROOM
from label_studio_al.web.guard import Guard
from label_studio_al.web.proxies import Proxies

# Smaller bodies stay in memory, and are not counted: a webhook of one label always finds room.
SMALL_BYTES = 64 * 1024
# Whole tabs are predicted by one request, and bulk changes are told by one webhook.
LARGE_ROUTES = ("/predict", "/webhook")
LARGEST_ELSEWHERE = 1024 * 1024


class Intake:
    """The room for bodies that are being received or worked on: so many bytes together, but one alone always fits."""

    def __init__(self, guard: Guard, proxies: Proxies, max_body_bytes: int) -> None:
        self._guard = guard
        self._proxies = proxies
        self._max_body_bytes = max_body_bytes
        self._n_bytes = 0
        self._lock = threading.Lock()

    def attach(self, dispatchers: dict[int, Any]) -> None:
        """Have waitress's servers among these keep bodies as this says."""
        channel = type("Channel", (_Channel,), {"parser_class": partial(_Parser, self)})
        for one in dispatchers.values():
            if isinstance(one, BaseWSGIServer):
                one.channel_class = channel

    def largest(self, path: str) -> int:
        """The size of the largest body that a route takes."""
        return self._max_body_bytes if path in LARGE_ROUTES else min(self._max_body_bytes, LARGEST_ELSEWHERE)

    def look(self, path: str, method: str, headers: dict[str, str]) -> tuple[str, bool]:
        """The route that a request is for, and whether the app would let it in from who sends it.

        headers: as WSGI names them, without HTTP_.
        """
        environ = {"PATH_INFO": path, **{f"HTTP_{name}": value for name, value in headers.items()}}
        self._proxies.restore(environ)
        route = environ["PATH_INFO"]
        try:
            self._guard.check(route, method, EnvironHeaders(environ))
        except (BackendError, ValueError):
            return route, False
        return route, True

    def take(self, n_bytes: int) -> bool:
        """Whether there is room, which is then taken until `give_back`."""
        with self._lock:
            has_room = not self._n_bytes or self._n_bytes + n_bytes <= self._max_body_bytes
            self._n_bytes += n_bytes if has_room else 0
        return has_room

    def give_back(self, n_bytes: int) -> None:
        """Let others have the room."""
        with self._lock:
            self._n_bytes -= n_bytes


class _Parser(HTTPRequestParser):  # type: ignore[misc]
    """One request. has_room: whether its body was kept, if it may come in."""

    has_room = True
    error: Any = None

    def __init__(self, intake: Intake, adj: Any) -> None:
        super().__init__(adj)
        self._intake = intake
        self._route = ""
        self._give_back: Callable[[], object] = lambda: None

    def parse_header(self, header_plus: bytes) -> None:
        """Read the headers, and decide what becomes of the body."""
        super().parse_header(header_plus)
        if self.body_rcv is None:
            return
        self._route, is_let_in = self._intake.look(self.path, self.command, self.headers)
        if not is_let_in:
            self._throw_away()
            return
        # A body that comes in chunks does not say how large it is.
        largest = self._intake.largest(self._route)
        n_bytes = largest if self.chunked else self.content_length
        if SMALL_BYTES < n_bytes <= largest:
            self.has_room = self._intake.take(n_bytes)
            if self.has_room:
                # Also where the connection breaks and nobody closes the request.
                self._give_back = weakref.finalize(self, self._intake.give_back, n_bytes)
            else:
                self._throw_away()

    def received(self, data: bytes) -> int:
        """Take in what has come."""
        consumed: int = super().received(data)
        n_bytes, largest = max(self.content_length, self.body_bytes_received), self._intake.largest(self._route)
        if self.body_rcv is not None and self.error is None and n_bytes > largest:
            self.error = RequestEntityTooLarge(f"exceeds {largest} bytes")
            self.completed = True
        return consumed

    def close(self) -> None:
        """Let go of the body."""
        super().close()
        self._give_back()

    def _throw_away(self) -> None:
        nowhere = _Nowhere()
        self.body_rcv = ChunkedReceiver(nowhere) if self.chunked else FixedStreamReceiver(self.content_length, nowhere)
        if not self.chunked:
            # Whatever the app thinks of the request, it has no body.
            self.headers["CONTENT_LENGTH"] = "0"


class _Nowhere:
    """A buffer of waitress's that keeps nothing."""

    def __len__(self) -> int:
        return 0

    def append(self, _piece: bytes) -> None:
        """Forget it."""

    def getfile(self) -> io.BytesIO:
        """What was kept: nothing."""
        return io.BytesIO()

    def close(self) -> None:
        """Nothing is open."""


class _Task(WSGITask):  # type: ignore[misc]
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[NO_ROOM] = not self.request.has_room
        return environ


class _Channel(HTTPChannel):  # type: ignore[misc]
    task_class = _Task
