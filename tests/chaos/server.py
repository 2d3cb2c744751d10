"""The small Label Studio of the unit tests behind real HTTP, with faults between it and the backend."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from tests.support.fake_label_studio import FakeLabelStudio

# What can become of an API call.
API_FAULTS = (
    "slow",
    "401",
    "403",
    "404",
    "429",
    "500",
    "503",
    "broken JSON",
    "half an answer",
    "closed before",
    "closed after",
    "down",
)
# What can become of a webhook.
WEBHOOK_FAULTS = ("dropped", "doubled", "delayed", "reordered")
# How long an import of predictions counts the tasks' annotations.
COUNTING_SECONDS = (0.02, 0.2)


@dataclass
class Weather:
    """Which faults there are now. A call fails with the probability `share`."""

    random: random.Random
    api: str | None = None
    webhook: str | None = None
    share: float = 0.5

    def api_fault(self) -> str | None:
        """What happens to the next API call."""
        return self.api if self.api and (self.api == "down" or self.random.random() < self.share) else None

    def webhook_fault(self) -> str | None:
        """What happens to the next webhook."""
        return self.webhook if self.webhook and self.random.random() < self.share else None


class StudioServer:
    """Serves a FakeLabelStudio on a loopback port. `lock` must be held by whoever changes it."""

    def __init__(self, fake: FakeLabelStudio, weather: Weather) -> None:
        self.fake = fake
        self.weather = weather
        self.lock = threading.Lock()
        fake.while_counting = self._let_others_in
        studio = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def handle_any(self) -> None:
                studio._answer(self)

            do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                # The backend was killed while it listened.
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Answers during the block."""
        self._thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()

    def _let_others_in(self) -> None:
        """Others are answered while an import counts."""
        self.lock.release()
        try:
            time.sleep(self.weather.random.uniform(*COUNTING_SECONDS))
        finally:
            self.lock.acquire()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        fault = self.weather.api_fault()
        if fault in ("closed before", "down"):
            handler.close_connection = True
            return
        if fault == "slow":
            time.sleep(self.weather.random.uniform(0.2, 1.5))
        if fault is not None and fault.isdecimal():
            headers = {"Retry-After": str(self.weather.random.randint(1, 3))} if fault == "429" else {}
            self._send(handler, int(fault), b'{"detail": "a fault"}', headers)
            return
        request = httpx.Request(handler.command, self.url + handler.path, headers=dict(handler.headers), content=body)
        with self.lock:
            response = self.fake.handle(request)
        if fault == "closed after":
            handler.close_connection = True
        elif fault == "half an answer":
            handler.close_connection = True
            self._send(handler, response.status_code, response.content[: len(response.content) // 2], {}, response)
        elif fault == "broken JSON":
            self._send(handler, 200, b'{"id": 1, "tas', {})
        else:
            self._send(handler, response.status_code, response.content, {})

    def _send(
        self,
        handler: BaseHTTPRequestHandler,
        status: int,
        content: bytes,
        headers: dict[str, str],
        whole: httpx.Response | None = None,
    ) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content if whole is None else whole.content)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)
