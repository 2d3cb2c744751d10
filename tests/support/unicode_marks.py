"""Writes the combining marks of this Python's Unicode as the ranges that learning/tokens.py holds.

`python -m tests.support.unicode_marks`, with the newest Python that the project supports.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator

LINE = 108
# They choose a shape of the character before them, and are no part of a word's spelling.
SELECTOR = "VARIATION SELECTOR-"


def is_mark(character: str) -> bool:
    """Whether it belongs to the character before it, in any word."""
    return unicodedata.category(character) in ("Mn", "Mc") and not unicodedata.name(character).startswith(SELECTOR)


def is_assigned(character: str) -> bool:
    return unicodedata.category(character) != "Cn"


def ranges() -> list[tuple[int, int]]:
    """First and last of each run of marks; a run goes on where nothing else lies between two."""
    found: list[tuple[int, int]] = []
    is_open = False
    for code in range(sys.maxunicode + 1):
        if is_mark(chr(code)):
            found.append((found.pop()[0] if is_open else code, code))
            is_open = True
        elif is_assigned(chr(code)):
            is_open = False
    return found


def lines() -> Iterator[str]:
    """The ranges as they stand in a character class, in lines of source text."""
    line = ""
    for first, last in ranges():
        one = escaped(first) if first == last else f"{escaped(first)}-{escaped(last)}"
        if len(line + one) > LINE:
            yield f'    r"{line}"'
            line = ""
        line += one
    yield f'    r"{line}"'


def escaped(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


if __name__ == "__main__":
    print("\n".join(lines()))
