"""Restores a request as it was before the proxies in front of this backend passed it on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from werkzeug.middleware.proxy_fix import ProxyFix

from label_studio_al.runtime.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Proxies:
    """WSGI middleware: the app sees the host, scheme and sub-path that were asked for outside.

    Of the headers X-Forwarded-*, only the values that AL_TRUSTED_PROXIES proxies have added count. The sub-path is what
    they say, otherwise AL_BACKEND_URL's. Requests may come with it or without: some proxies take it away.
    """

    def __init__(self, app: WSGIApplication, settings: Settings) -> None:
        n = settings.trusted_proxies
        self._app = app
        self._believe = ProxyFix(_nothing, x_for=n, x_proto=n, x_host=n, x_prefix=n)
        self._sub_path = _sub_path(urlsplit(settings.backend_url or "").path)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer as if there were no proxy."""
        self.restore(environ)
        return self._app(environ, start_response)

    def restore(self, environ: WSGIEnvironment) -> None:
        """Change a request's environment to what it was outside. Wants PATH_INFO and the headers."""
        self._believe(environ, _nothing)
        prefix = _sub_path(environ.get("SCRIPT_NAME", "")) or self._sub_path
        environ["SCRIPT_NAME"] = prefix
        path = environ["PATH_INFO"]
        if path == prefix or path.startswith(f"{prefix}/"):
            environ["PATH_INFO"] = path[len(prefix) :] or "/"


def _sub_path(given: str) -> str:
    """ "/a/b", without a slash at its end, as WSGI has it; "" for none."""
    # Browsers take "/\\" and "/\t/" for "//", the beginning of another host.
    parts = [part for part in re.split(r"[/\\\x00-\x1f]+", unquote(given, encoding="latin-1")) if part]
    return "".join(f"/{part}" for part in parts)


def _nothing(*_: Any) -> Any:
    return ()
