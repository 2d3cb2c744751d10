"""Forms that only our own pages can send.

Same-origin checks (guard.py) alone would be weaker: if Label Studio shares our host, as in docs/proxy.md, its pages
have our origin, and show HTML that people have imported, which may contain a form.
"""

from __future__ import annotations

import hmac
import secrets

from flask import Response, g, request
from itsdangerous import BadSignature, URLSafeTimedSerializer

from label_studio_al.runtime.errors import Forbidden
from label_studio_al.web.parts import parts

FIELD = "token"
COOKIE = "al_page"
TOKEN_SECONDS = 24 * 3600


def form_token() -> str:
    """What a form of ours must carry: signed, and of use only with the cookie of the browser that got the page."""
    return _serializer().dumps(_visit())


def keep_visit(response: Response) -> Response:
    """Give the browser its cookie."""
    if "visit" in g:
        response.set_cookie(
            COOKIE,
            g.visit,
            path=request.script_root or "/",
            httponly=True,
            samesite="Strict",
            secure=request.is_secure,
            max_age=TOKEN_SECONDS,
        )
    return response


def check_token() -> None:
    """Raises Forbidden unless the request is a form of a page that this browser got here."""
    try:
        visit = _serializer().loads(request.form.get(FIELD, ""), max_age=TOKEN_SECONDS)
    except BadSignature:
        visit = ""
    cookie = request.cookies.get(COOKIE, "")
    if not cookie or not isinstance(visit, str) or not hmac.compare_digest(visit.encode(), cookie.encode()):
        raise Forbidden("only the buttons of the status page do this, for a day and with cookies: load the page again")


def _visit() -> str:
    if "visit" not in g:
        g.visit = request.cookies.get(COOKIE) or secrets.token_urlsafe(16)
    return str(g.visit)


def _serializer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(parts().signer.key_for("forms"))
