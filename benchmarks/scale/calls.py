"""A kept HTTP connection to a server on this machine: light enough for a hundred of them in one process."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit


class CallFailedError(Exception):
    """A call got no answer, or not the one that was wanted."""


class Connection:
    """One connection, for one thread. It is opened anew after a failure."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None, timeout: float = 120.0) -> None:
        parts = urlsplit(url)
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout)

    def send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of the answer. Raises CallFailedError."""
        try:
            self._connection.request(method, path, body, self._headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as exc:
            self._connection.close()
            raise CallFailedError(f"{method} {path}: {type(exc).__name__}") from exc

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON. Raises CallFailedError unless it is a 2xx."""
        status, content = self.send(method, path, None if body is None else json.dumps(body).encode())
        if not 200 <= status < 300:
            raise CallFailedError(f"{method} {path} answered {status}: {content[:300]!r}")
        return json.loads(content) if content else None

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()
