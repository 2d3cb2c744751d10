"""Secrets that are created on first use."""

from __future__ import annotations

import logging
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from label_studio_al.runtime.errors import InvalidSettings
from label_studio_al.runtime.redaction import know

log = logging.getLogger(__name__)


def read_or_create_secret(path: Path, n_bytes: int = 32, *, at_least: int = 1) -> str:
    """The secret in the file, created on first use with 2 hex digits a byte, for the owner only (mode 0600).

    at_least: characters that it must have. Raises InvalidSettings if something else than a secret is there, or if
    none can be kept there: an empty one would protect nothing, and a new one in its place would hide the loss.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = _read_secret(path, at_least)
        if kept is not None:
            return kept
        _create_secret(path, secrets.token_hex(n_bytes))
        created = _read_secret(path, at_least)
    except OSError as exc:
        raise InvalidSettings(f"{path} cannot be read or made: {exc.strerror or type(exc).__name__}") from exc
    if created is None:
        raise InvalidSettings(f"{path} is gone as soon as it is made")
    return created


def _create_secret(path: Path, secret: str) -> None:
    # Written whole under another name and then linked: of several processes that start at once one wins, and a kill
    # leaves no empty secret behind.
    descriptor, written = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(written, path)
    finally:
        Path(written).unlink(missing_ok=True)


def _read_secret(path: Path, at_least: int) -> str | None:
    """None where nothing is. Raises InvalidSettings, OSError."""
    if not os.path.lexists(path):
        return None
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise InvalidSettings(f"{path} must be a file, it is a link to a file that is not there: {_ADVICE}") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no file"
        raise InvalidSettings(f"{path} must be a file, it is {kind}: {_ADVICE}")
    if mode & 0o077:
        log.warning("%s could be read by others: now by its owner only", path)
        # Secrets that are mounted read-only have the mode that their owner gave them.
        with suppress(OSError):
            path.chmod(0o600)
    try:
        secret = path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        raise InvalidSettings(f"{path} must hold ASCII characters only: {_ADVICE}") from None
    if not secret:
        raise InvalidSettings(f"{path} must hold a secret, it is empty: {_ADVICE}")
    if len(secret) < at_least:
        raise InvalidSettings(f"{path} must hold {at_least} characters or more, it holds {len(secret)}: {_ADVICE}")
    know(secret)
    return secret


_ADVICE = "put the secret back, or remove what is there and a new one is made"
