"""The results of checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

OK, WARNING, FAILURE, SKIPPED = "ok", "warning", "failure", "skipped"


@dataclass(frozen=True)
class Finding:
    """What was found, in a sentence that names what to change. repair: changes it, where a program may."""

    state: str
    sentence: str
    repair: Callable[[], object] | None = None


def ok(sentence: str) -> Finding:
    """All is as it must be."""
    return Finding(OK, sentence)


def warning(sentence: str, repair: Callable[[], object] | None = None) -> Finding:
    """It works, but not as well as it could, or not for long."""
    return Finding(WARNING, sentence, repair)


def failure(sentence: str, repair: Callable[[], object] | None = None) -> Finding:
    """It does not work."""
    return Finding(FAILURE, sentence, repair)


def skipped(sentence: str) -> Finding:
    """It cannot be looked at."""
    return Finding(SKIPPED, sentence)
