"""Secrets of this process, and every text without them: the one place that all errors, pages and log lines go through.

A secret is registered where it is read, created or received (`know`). Any text that may contain one, because a library
or a stranger wrote it, goes through `hide`.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from threading import Lock
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "***"
# Shorter ones would be found by chance in any text.
SECRET_AT_LEAST = 6

# What looks like a secret, wherever it comes from: tokens, passwords in addresses, headers.
_SUSPECTS = (
    (re.compile(r"eyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*"), HIDDEN),
    (re.compile(r"\b[0-9a-f]{40,}\b"), HIDDEN),
    (
        re.compile(r"(?i)\b(authorization|cookie|set-cookie|x-[\w-]*secret)(['\"]?\s*[:=]\s*)[^\n,}]+"),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(token|bearer|basic)\s+[\w.~+/=-]{16,}"), rf"\1 {HIDDEN}"),
    # `password=x` and `"token": "x"`; in a sentence ("... secret: run ...") words follow.
    (
        re.compile(r"""(?i)\b(\w*(?:token|password|secret|api_key))(['"]?\s*[:=]\s*)(?:'[^']*'|"[^"]*")"""),
        rf"\1\2{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(\w*(?:token|password|secret|api_key))=[^\s'\",&}]+"), rf"\1={HIDDEN}"),
    (re.compile(r"://[^/\s:@]+:[^/\s@]+@"), f"://{HIDDEN}@"),
)


class _Secrets:
    """Texts that are hidden, as one pattern; safe to use from several threads."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = Lock()

    def know(self, secret: str) -> None:
        """Hide it from now on, as it is and as libraries write it."""
        if len(secret) < SECRET_AT_LEAST:
            return
        with self._lock:
            if secret in self._known:
                return
            self._known |= _written(secret)
            # The longest first: one may be a part of another.
            longest_first = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def hide(self, text: str) -> str:
        """The text without them."""
        pattern = self._pattern
        return text if pattern is None else pattern.sub(HIDDEN, text)


_secrets = _Secrets()


def know(*secrets: str | None) -> None:
    """Hide these from now on, wherever they occur. Those with less than 6 characters are not looked for."""
    for secret in secrets:
        if secret:
            _secrets.know(secret)


def know_login(user: str, password: str) -> None:
    """Hide a password, also as basic auth sends it."""
    know(password)
    for encoding in ("utf-8", "latin-1"):
        know(b64encode(f"{user}:{password}".encode(encoding, "replace")).decode())


def know_address(address: str) -> None:
    """Hide the password that an address may carry, as it stands there and as it is meant."""
    # To the last @: who forgets to quote a password has its signs in the address.
    found = re.search(r"://[^/\s:@]*:(.+)@", address, re.DOTALL)
    if found is not None:
        know(found[1], unquote(found[1]))


def hide(text: str) -> str:
    """The text without secrets of this process, and without what looks like one."""
    text = _secrets.hide(text)
    for suspect, instead in _SUSPECTS:
        text = suspect.sub(instead, text)
    return text


def _written(secret: str) -> set[str]:
    """A secret as it stands in texts: plain, escaped as Python and JSON do, and quoted as in addresses."""
    # A variable that is not UTF-8 is read with halves of surrogate pairs.
    raw = secret.encode("utf-8", "surrogatepass")
    forms = {secret, ascii(secret)[1:-1], repr(secret)[1:-1], repr(raw)[2:-1], json.dumps(secret)[1:-1]}
    return forms | {quote(raw), quote(raw, safe=""), quote_plus(raw)}
