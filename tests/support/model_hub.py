"""A small Hugging Face Hub on loopback, with one model."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGE_FILES = (".onnx",)


@dataclass
class Hub:
    """What it offers and was asked. corrupt: names of files that it sends with other bytes than it says."""

    repository: str
    commit: str
    files: dict[str, bytes]
    corrupt: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def tree(self) -> list[dict[str, object]]:
        """The files as the Hub's API lists them: of large ones the SHA-256, of others Git's checksum."""
        return [_entry(path, content) for path, content in self.files.items()]


def _entry(path: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": git_sha1(content)}
    if is_large(path):
        entry["lfs"] = {"oid": checksum(path, content), "size": len(content), "pointerSize": 1}
    return entry


def is_large(path: str) -> bool:
    return path.endswith(LARGE_FILES)


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def checksum(path: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if is_large(path) else git_sha1(content)


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a folder, as a model's repository."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """While inside, it listens at `hub.url`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer(has_body=True)

        def do_HEAD(self) -> None:
            self._answer(has_body=False)

        def _answer(self, *, has_body: bool) -> None:
            path = unquote(urlsplit(self.path).path).strip("/")
            hub.asked.append(f"{self.command} {path}")
            about = f"api/models/{hub.repository}"
            if path.startswith(f"{about}/tree/"):
                return self._send(200, json.dumps(hub.tree()).encode(), {}, has_body)
            if path in (about, f"{about}/revision/main", f"{about}/revision/{hub.commit}"):
                siblings = [{"rfilename": name} for name in hub.files]
                answer = {"id": hub.repository, "sha": hub.commit, "siblings": siblings, "private": False}
                return self._send(200, json.dumps(answer).encode(), {}, has_body)
            name = path.removeprefix(f"{hub.repository}/resolve/{hub.commit}/")
            if name != path and name in hub.files:
                content = hub.files[name]
                headers = {"ETag": f'"{checksum(name, content)}"', "X-Repo-Commit": hub.commit}
                return self._send(200, content[::-1] if name in hub.corrupt else content, headers, has_body)
            return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, has_body)

        def _send(self, status: int, body: bytes, headers: dict[str, str], has_body: bool) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if has_body:
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
