"""Servers on loopback that give files, and a network in which names lead to them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpcore

Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Asked:
    """A request that came."""

    path: str
    headers: dict[str, str]


@dataclass
class FileServer:
    """A server that remembers what it was asked. answers: by path, without the query; others are 404."""

    answers: dict[str, Answer | Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        """Its address on loopback."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def file_server() -> Iterator[FileServer]:
    """A server of one's own."""
    made = FileServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.asked.append(Asked(self.path, {name.lower(): value for name, value in self.headers.items()}))
            answer = made.answers.get(self.path.partition("?")[0], (404, {}, b"none"))
            if callable(answer):
                with suppress(OSError):
                    answer(self)
                self.close_connection = True
                return
            status, headers, content = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815 - the name that the library asks for

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def without_end(piece: bytes, pause_seconds: float = 0.0) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer that never ends."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "image/png")
        request.end_headers()
        while True:
            request.wfile.write(piece)
            request.wfile.flush()
            time.sleep(pause_seconds)

    return answer


@dataclass
class Names:
    """A resolver: the addresses of each name, one list a time until the last."""

    addresses: dict[str, list[list[str]]]
    asked: list[str] = field(default_factory=list)

    def __call__(self, name: str) -> list[str]:
        """The addresses of a name."""
        self.asked.append(name)
        known = self.addresses.get(name)
        if known is None:
            raise OSError("unknown name")
        return known.pop(0) if len(known) > 1 else known[0]


class OneServer(httpcore.NetworkBackend):
    """A network in which all addresses are one server's, but for those that nobody answers."""

    def __init__(self, server: FileServer, dead: tuple[str, ...] = ()) -> None:
        self._server = server
        self._dead = dead
        self.connected: list[tuple[str, int]] = []

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any) -> Any:
        """A connection."""
        self.connected.append((host, port))
        if host in self._dead:
            raise httpcore.ConnectError("nobody answers")
        return httpcore.SyncBackend().connect_tcp("127.0.0.1", self._server.port, timeout, *args, **kwargs)
