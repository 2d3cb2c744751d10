"""Which requests are let in."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from werkzeug.datastructures import Authorization, Headers

from label_studio_al.runtime.errors import Forbidden, Unauthorized
from label_studio_al.runtime.settings import Settings
from label_studio_al.studio import WEBHOOK_HEADER, project_of_secret

# Names under which a container reaches its host's loopback.
_LOOPBACK_NAMES = ("localhost", "host.docker.internal", "gateway.docker.internal")
_READING = ("GET", "HEAD", "OPTIONS")


class Guard:
    """Checks each request: by which name it calls, basic auth, the secret header on webhooks, no foreign web pages.

    All of it from the headers, before a body is read.
    """

    def __init__(self, settings: Settings, webhook_keys: Sequence[str], host: str) -> None:
        """webhook_keys: what projects' webhook secrets may be made from. host: the address that is listened on."""
        self._user, self._password = settings.login or ("", "")
        self._is_protected = settings.is_protected
        # Label Studio sends its own webhooks without any credentials, so the header can only be demanded
        # where an operator asked for protection.
        self._demands_secret = settings.is_protected or settings.webhook_secret is not None
        self._keys = webhook_keys
        named = (urlsplit(settings.backend_url or "").hostname, host, *settings.host_names)
        self._names = {*_LOOPBACK_NAMES, *(one.lower() for one in named if one)}
        # A browser sends no credentials of ours under a name that somebody else has pointed at us.
        self._checks_host = not settings.is_protected or bool(settings.host_names)

    def check(self, path: str, method: str, headers: Headers) -> str | None:
        """The project whose webhook secret came along, if one did. Raises Unauthorized, Forbidden."""
        if path == "/health":
            return None
        self._check_page(method, headers)
        if path == "/webhook" and (WEBHOOK_HEADER in headers or self._demands_secret):
            project_key = project_of_secret(headers.get(WEBHOOK_HEADER, ""), self._keys)
            if project_key is not None:
                return project_key
            # "Start training" comes from Label Studio's ML API, which sends basic auth instead.
            if not (self._is_protected and "Authorization" in headers):
                raise Unauthorized(
                    f"a webhook must carry the header {WEBHOOK_HEADER} with the project's secret: "
                    "run label-studio-al connect"
                )
        if self._is_protected:
            sent = Authorization.from_header(headers.get("Authorization"))
            # Both comparisons are always made, in constant time.
            is_user = _is_same((sent.username if sent else None) or "", self._user)
            is_password = _is_same((sent.password if sent else None) or "", self._password)
            if not (is_user and is_password):
                raise Unauthorized("the configured user and password are needed (basic auth)")
        return None

    def _check_page(self, method: str, headers: Headers) -> None:
        """A web page that somebody visits must not reach us through their browser."""
        host = _host_name(headers.get("Host", ""))
        if self._checks_host and not (host in self._names or _is_loopback(host)):
            raise Forbidden(
                "this backend is not called by that name: give it in AL_BACKEND_URL or AL_ALLOWED_HOSTS, or set "
                "BASIC_AUTH_USER and BASIC_AUTH_PASS"
            )
        origin = headers.get("Origin")
        is_foreign = origin is not None and _place(origin) != headers.get("Host")
        if method not in _READING and (is_foreign or headers.get("Sec-Fetch-Site") == "cross-site"):
            raise Forbidden("requests of other web pages are refused")


def _place(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _host_name(sent: str) -> str:
    try:
        return urlsplit(f"//{sent}").hostname or ""
    except ValueError:
        return ""


def _is_same(given: str, expected: str) -> bool:
    return bool(expected) and hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
