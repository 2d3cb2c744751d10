"""Texts that spans are marked in: where in the text of a task they are, and what positions in them mean."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from label_studio_al.learning.spans import Span
from label_studio_al.learning.texts import MAX_LINE_CHARACTERS, begin_of, parts_of, said_in

# In a text of several lines, positions in each of them begin at a multiple of this: it has two units a character.
LINE = 2 * MAX_LINE_CHARACTERS
# Characters behind it take two units of UTF-16.
_LAST_OF_ONE_UNIT = 0xFFFF


@dataclass(frozen=True)
class Passage:
    """A piece of text that no span reaches out of.

    first: the position of its first character. in_utf16: whether positions count UTF-16 units, not code points.
    """

    text: str
    first: int = 0
    in_utf16: bool = False

    @property
    def positions(self) -> Sequence[int]:
        """Where each character stands, and the end."""
        if self._counts_characters:
            return range(self.first, self.first + len(self.text) + 1)
        widths = (2 if ord(character) > _LAST_OF_ONE_UNIT else 1 for character in self.text)
        return list(accumulate(widths, initial=self.first))

    def index(self, position: int) -> int:
        """The character at a position; the nearest one within the passage."""
        if self._counts_characters:
            return min(max(0, position - self.first), len(self.text))
        return min(bisect_left(self.positions, position), len(self.text))

    @property
    def _counts_characters(self) -> bool:
        return not self.in_utf16 or self.text.isascii()


@dataclass(frozen=True)
class Marking:
    """Which of a task's texts spans are marked in. place: of n texts that are joined to one (see learning.texts).

    in_lines: whether it has lines as `dialogue` makes them.
    """

    place: int = 0
    n: int = 1
    in_lines: bool = False

    def passages(self, text: str) -> list[Passage]:
        """The passages of a task's text."""
        return [passage for _, passage in self._located(text)]

    def located(self, text: str, spans: Iterable[Span]) -> list[Span]:
        """Spans in code points of a task's text, as far as they lie in it."""
        located = self._located(text) or [(0, Passage(""))]
        firsts = [passage.first for _, passage in located]

        def place(position: int) -> int:
            begin, passage = located[max(0, bisect_right(firsts, position) - 1)]
            return begin + passage.index(position)

        found = [(place(start), place(end), label) for start, end, label in spans]
        return [span for span in found if span[0] < span[1]]

    def _located(self, text: str) -> list[tuple[int, Passage]]:
        """The passages, and where each begins in the task's text."""
        parts = [text] if self.n == 1 else parts_of(text, self.n)
        begin, own = begin_of(parts, self.place), parts[self.place]
        if not self.in_lines:
            return [(begin, Passage(own))]
        lines = enumerate(said_in(own))
        return [
            (begin + first, Passage(words, number * LINE, in_utf16=True)) for number, (first, words) in lines if words
        ]


def position_in_line(line: int, offset: int) -> int:
    """A position in a text of several lines. line: from 0; offset: in UTF-16 units."""
    return line * LINE + offset


def line_and_offset(position: int) -> tuple[int, int]:
    """The line that a position is in, and how far behind its beginning."""
    return divmod(position, LINE)
