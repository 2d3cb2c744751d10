"""Errors as callers see them."""

from __future__ import annotations

import logging

from flask import Response, jsonify, request

from label_studio_al.runtime.errors import BackendError
from label_studio_al.web.parts import parts

RETRY_AFTER_SECONDS = 5

log = logging.getLogger(__name__)


def answer_error(exc: BackendError) -> Response:
    """The error as `say` has it, and a line in the log."""
    is_refusal = exc.status in (401, 403)
    if not is_refusal or parts().may_say_refusal():
        log.log(logging.ERROR if exc.status >= 500 else logging.WARNING, "%s: %s", request.path[:100], exc)
    return say(exc)


def say(exc: BackendError) -> Response:
    """The error as JSON, its sentence in the status line, too."""
    sentence = str(exc)
    response = jsonify(error=sentence)
    # Label Studio shows an admin the status line only, so the sentence stands there too: one ASCII line.
    line = " ".join(sentence.encode("ascii", "replace").decode().split())
    response.status = f"{exc.status} {line[:300]}"
    if exc.status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="label-studio-al"'
    if exc.status in (429, 503):
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response
