"""Secrets that are made on first use."""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)


def read_or_create_secret(path: Path, n_bytes: int = 32) -> str:
    """The secret in the file, created on first use with 2 hex digits a byte, for the owner only (mode 0600)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = _read_secret(path)
    if kept:
        return kept
    # Written whole under another name and then linked: of several processes that start at once one wins, and a kill
    # leaves no empty secret behind.
    descriptor, written = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(n_bytes))
        file.flush()
        os.fsync(file.fileno())
    try:
        if path.exists() and not _read_secret(path):
            os.replace(written, path)
        else:
            with suppress(FileExistsError):
                os.link(written, path)
    finally:
        Path(written).unlink(missing_ok=True)
    return _read_secret(path)


def _read_secret(path: Path) -> str:
    try:
        if path.stat().st_mode & 0o077:
            log.warning("%s could be read by others: now by its owner only", path)
            path.chmod(0o600)
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
