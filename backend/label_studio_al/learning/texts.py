"""The texts that a task shows, as one text."""

from __future__ import annotations

from collections.abc import Iterable

# Unicode's paragraph separator: no word, and rare in texts.
SEPARATOR = "\u2029"


def joined(texts: Iterable[str]) -> str:
    """One text of several, as `parts_of` takes it apart."""
    return SEPARATOR.join(text.replace(SEPARATOR, "\n") for text in texts)


def parts_of(text: str, n: int) -> list[str]:
    """The n texts of a task; empty ones where it has fewer, and the rest in the last one where it has more."""
    found = text.split(SEPARATOR, n - 1)
    return found + [""] * (n - len(found))


def readable(text: str) -> str:
    """The texts of a task as people read them, a blank line between them."""
    return text.replace(SEPARATOR, "\n\n")
