"""The texts that a task shows, as one text."""

from __future__ import annotations

from collections.abc import Iterable

# Unicode's paragraph separator: no word, and rare in texts.
SEPARATOR = "\u2029"
# Its line separator parts the lines of a dialogue, and a word joiner what is said from who says it.
_LINES, _SAID = "\u2028", "\u2060"
# What people read instead.
READ_AS = ((_SAID, ""), (_LINES, "\n"), (SEPARATOR, "\n\n"))
# Of a line no more is read.
MAX_LINE_CHARACTERS = 1 << 19


def joined(texts: Iterable[str]) -> str:
    """One text of several, as `parts_of` takes it apart."""
    return SEPARATOR.join(text.replace(SEPARATOR, "\n") for text in texts)


def begin_of(parts: list[str], place: int) -> int:
    """Where one of the texts that `parts_of` gave begins in the text of the task."""
    return sum(len(part) + len(SEPARATOR) for part in parts[:place])


def parts_of(text: str, n: int) -> list[str]:
    """The n texts of a task; empty ones where it has fewer, and the rest in the last one where it has more."""
    found = text.split(SEPARATOR, n - 1)
    return found + [""] * (n - len(found))


def dialogue(said: Iterable[tuple[str, str]]) -> str:
    """Who says what, as one text that `said_in` takes apart. said: of each line the speaker and the words."""
    return _LINES.join(
        f"{speaker.replace(_LINES, ' ').replace(_SAID, '')}{_SAID}{words[:MAX_LINE_CHARACTERS].replace(_LINES, ' ')}"
        for speaker, words in said
    )


def said_in(text: str) -> list[tuple[int, str]]:
    """Of each line of a dialogue where its words begin in the text, and these."""
    found, begin = [], 0
    for line in text.split(_LINES):
        words = line.partition(_SAID)[2]
        found.append((begin + len(line) - len(words), words))
        begin += len(line) + len(_LINES)
    return found


def readable(text: str) -> str:
    """The texts of a task as people read them, a blank line between them."""
    for sign, read in READ_AS:
        text = text.replace(sign, read)
    return text
