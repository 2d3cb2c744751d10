"""Who may come in."""

from __future__ import annotations

import hmac

from flask import request

from backend.errors import Unauthorized
from backend.settings import Settings
from backend.studio import WEBHOOK_HEADER


class Guard:
    """Checks each request: basic auth where it is configured, the secret header on webhooks."""

    def __init__(self, settings: Settings, webhook_secret: str) -> None:
        self._user = settings.basic_auth_user or ""
        self._password = settings.basic_auth_pass.get_secret_value() if settings.basic_auth_pass else ""
        self._is_protected = settings.is_protected
        # Label Studio sends its own webhooks without any credentials, so the header can only be demanded
        # where an operator asked for protection.
        self._demands_secret = settings.is_protected or settings.webhook_secret is not None
        self._secret = webhook_secret

    def check(self) -> None:
        """Raises Unauthorized."""
        if request.path == "/health":
            return
        if request.path == "/webhook" and (WEBHOOK_HEADER in request.headers or self._demands_secret):
            if _is_same(request.headers.get(WEBHOOK_HEADER, ""), self._secret):
                return
            # "Start training" comes from Label Studio's ML API, which sends basic auth instead.
            if not (self._is_protected and request.authorization):
                raise Unauthorized(
                    f"a webhook must carry the header {WEBHOOK_HEADER} with this backend's secret: "
                    "run label-studio-al connect"
                )
        if self._is_protected:
            given = request.authorization
            # Both comparisons are always made, in constant time.
            is_user = _is_same((given.username if given else None) or "", self._user)
            is_password = _is_same((given.password if given else None) or "", self._password)
            if not (is_user and is_password):
                raise Unauthorized("the configured user and password are needed (basic auth)")


def _is_same(given: str, expected: str) -> bool:
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())
