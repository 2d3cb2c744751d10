"""Spans in code points as tags of tokens, and back."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from label_studio_al.learning.sequences.units import Units
from label_studio_al.learning.types import Array

BEYOND = "does not lie within the text"
UNKNOWN = "its class is none of those asked for"
BLANK = "holds no word"
WITHIN = "lies within another span"
ACROSS = "overlaps another span"
WIDENED = "cuts a word: widened to whole words"


class Span(NamedTuple):
    """Part of a text. start, end: in code points, end exclusive."""

    start: int
    end: int
    label: str


class Change(NamedTuple):
    """A span that is learnt otherwise than it was marked. became: None if it is left out."""

    text: int
    span: Span
    why: str
    became: Span | None


@dataclass(frozen=True)
class Encoded:
    """Tags, shape (n_tokens,), in reading order, and what was not learnt as it was marked."""

    tags: Array
    changes: tuple[Change, ...]


def encode(answers: Sequence[Sequence[Span]], units: Units, place_of: Mapping[str, int]) -> Encoded:
    """The tags of marked spans; blanks at a span's ends are left out silently.

    answers: of each text, in any order. place_of: the number of each class. Of spans that overlap the longest stays, of
    equals the first. A span that runs across units begins in each anew.
    """
    tags = np.zeros(len(units.words), dtype=np.int64)
    changes: list[Change] = []
    firsts = np.searchsorted(units.text_of_token, np.arange(len(answers) + 1))
    for text, spans in enumerate(answers):
        if spans:
            part = slice(int(firsts[text]), int(firsts[text + 1]))
            own = _Text(text, int(units.sizes[text]), units.starts[part], units.ends[part], tags[part])
            for span in sorted(spans, key=lambda one: (one[0] - one[1], one[0])):
                change = own.mark(Span(*span), place_of)
                if change is not None:
                    changes.append(change)
    n = len(place_of)
    begins = np.cumsum(units.lengths) - units.lengths
    tags[begins] -= np.where(tags[begins] > n, n, 0)
    return Encoded(tags, tuple(changes))


class _Text:
    """Tokens of one text; `tags` is written to."""

    def __init__(self, number: int, size: int, starts: Array, ends: Array, tags: Array) -> None:
        self._number, self._size = number, size
        self._starts, self._ends, self._tags = starts.tolist(), ends.tolist(), tags

    def mark(self, span: Span, place_of: Mapping[str, int]) -> Change | None:
        """Tag the span's tokens, if no other has them; what was changed."""
        out = Change(self._number, span, BEYOND, None)
        if not 0 <= span.start < span.end <= self._size:
            return out
        if span.label not in place_of:
            return out._replace(why=UNKNOWN)
        first = bisect_right(self._ends, span.start)
        last = bisect_left(self._starts, span.end)
        if first >= last:
            return out._replace(why=BLANK)
        taken = self._tags[first:last] > 0
        if taken.any():
            return out._replace(why=WITHIN if taken.all() else ACROSS)
        begin = 1 + place_of[span.label]
        self._tags[first:last] = begin + len(place_of)
        self._tags[first] = begin
        whole = Span(self._starts[first], self._ends[last - 1], span.label)
        is_cut = whole.start < span.start or whole.end > span.end
        return out._replace(why=WIDENED, became=whole) if is_cut else None


@dataclass(frozen=True)
class TokenSpans:
    """Spans as tokens. units: shape (n_spans,), where each lies; firsts, lasts: positions in the unit; classes."""

    units: Array
    firsts: Array
    lasts: Array
    classes: Array

    @classmethod
    def joined(cls, parts: Sequence[TokenSpans]) -> TokenSpans:
        """One part after the other."""
        none = np.zeros((4, 0), dtype=np.int64)
        return cls(*np.concatenate([none, *[(one.units, one.firsts, one.lasts, one.classes) for one in parts]], axis=1))

    def in_text(self, units: Units) -> tuple[Array, Array, Array]:
        """The text of each span, its start and its end. Each of shape (n_spans,)."""
        begin = (np.cumsum(units.lengths) - units.lengths)[self.units]
        return units.text_of[self.units], units.starts[begin + self.firsts], units.ends[begin + self.lasts]


def decode(tags: Array, lengths: Array, n_classes: int) -> TokenSpans:
    """The spans of tags. tags: shape (n_tokens,), in reading order, allowed. lengths: shape (n_units,)."""
    firsts = np.flatnonzero((tags > 0) & (tags <= n_classes))
    stops = np.append(np.flatnonzero(tags <= n_classes), len(tags))
    lasts = stops[np.searchsorted(stops, firsts, side="right")] - 1 if len(firsts) else firsts
    unit = np.searchsorted(np.cumsum(lengths), firsts, side="right")
    begin = (np.cumsum(lengths) - lengths)[unit]
    return TokenSpans(unit, firsts - begin, lasts - begin, tags[firsts] - 1)
