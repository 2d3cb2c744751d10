"""Texts as tokens, words and punctuation, with their places in the text; long texts in units."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from label_studio_al.learning.passages import Passage
from label_studio_al.learning.tokens import MARKS, TOKEN
from label_studio_al.learning.types import Array

# Of a longer text's units; its sentences are mostly shorter.
MOST_TOKENS = 128
ASCII_TOKEN = re.compile(r"\w+|[^\w\s]")
# The full stops, question and exclamation marks of many scripts.
SENTENCE_ENDS = frozenset(".!?\u2026\u3002\uff01\uff1f\uff61\u0964\u0965\u061f\u06d4\u1362")


@cache
def any_script() -> re.Pattern[str]:
    """Tokens of texts that are not ASCII alone."""
    return re.compile(rf"{TOKEN}|\S[{MARKS}\u200d\ufe00-\ufe0f]*")


def offsets(text: str) -> list[tuple[int, int]]:
    """Where the tokens of a text begin and end, in code points: the project's words, and other signs one by one."""
    pattern = ASCII_TOKEN if text.isascii() else any_script()
    return [match.span() for match in pattern.finditer(text)]


class Vocabulary(dict[str, int]):
    """Words by the order of their first occurrence; `vocabulary[word]` adds a word that is new.

    base: words that are known already, and stay as they are; numbers go on after them.
    """

    def __init__(self, base: Vocabulary | None = None) -> None:
        super().__init__()
        self._base = base
        self._n_base = 0 if base is None else len(base)
        self.added: list[str] = []

    def __missing__(self, word: str) -> int:
        known = None if self._base is None else self._base.get(word)
        if known is None:
            known = self._n_base + len(self.added)
            self.added.append(word)
        self[word] = known
        return known


@dataclass(frozen=True)
class Units:
    """The tokens of texts one after the other, and which of them belong together.

    words: shape (n_tokens,), numbers of a vocabulary. starts, ends: shape (n_tokens,), positions (see
    learning.passages). lengths: shape (n_units,), tokens of each. text_of: shape (n_units,), which text a unit is of.
    sizes: shape (n_texts,), the position where each ends; a text without tokens has no unit.
    """

    words: Array
    starts: Array
    ends: Array
    lengths: Array
    text_of: Array
    sizes: Array

    @classmethod
    def of(cls, texts: Sequence[Sequence[Passage]], vocabulary: Vocabulary) -> Units:
        """Cut the passages of each text: one unit each, or several of at most `MOST_TOKENS` tokens."""
        words, places, lengths, text_of = [], [], [], []
        for number, passage in ((number, passage) for number, text in enumerate(texts) for passage in text):
            text = passage.text
            found = offsets(text)
            if not found:
                continue
            at, positions = np.array(found, dtype=np.int32), passage.positions
            places.append(at + passage.first if isinstance(positions, range) else np.array(positions, np.int32)[at])
            words.append(np.array([vocabulary[text[start:end]] for start, end in found], dtype=np.int32))
            own = [len(found)] if len(found) <= MOST_TOKENS else _cut(text, found)
            lengths += own
            text_of += [number] * len(own)
        at = np.concatenate([np.zeros((0, 2), np.int32), *places])
        return cls(
            np.concatenate([np.zeros(0, np.int32), *words]),
            at[:, 0],
            at[:, 1],
            np.array(lengths, dtype=np.int64),
            np.array(text_of, dtype=np.int64),
            np.array([text[-1].positions[-1] if text else 0 for text in texts], dtype=np.int64),
        )

    @property
    def n_texts(self) -> int:
        """With those that have no unit."""
        return len(self.sizes)

    @property
    def text_of_token(self) -> Array:
        """Which text each token is of. Returns shape (n_tokens,)."""
        return np.repeat(self.text_of, self.lengths)

    def __getitem__(self, texts: Any) -> Units:
        """Those of some texts (indices, a mask or a slice)."""
        chosen = np.arange(self.n_texts)[texts]
        first_unit = np.searchsorted(self.text_of, np.arange(self.n_texts + 1))
        units, text_of = _ranges(first_unit[chosen], first_unit[chosen + 1])
        return self._of(units, text_of, self.sizes[chosen])

    def beginnings(self, most: int) -> Units:
        """Of each text only the units that begin within its first positions. most: how many these are."""
        ends = np.cumsum(self.lengths)
        widths = self.ends[ends - 1] - self.starts[ends - self.lengths]
        before = np.cumsum(widths) - widths
        units = np.flatnonzero(before - before[np.searchsorted(self.text_of, self.text_of)] < most)
        return self._of(units, self.text_of[units], self.sizes)

    def _of(self, units: Array, text_of: Array, sizes: Array) -> Units:
        ends = np.concatenate([[0], np.cumsum(self.lengths)])
        tokens, _ = _ranges(ends[units], ends[units + 1])
        return Units(self.words[tokens], self.starts[tokens], self.ends[tokens], self.lengths[units], text_of, sizes)

    def followed_by(self, more: Sequence[Units]) -> Units:
        """These texts, then others."""
        parts = [self, *more]
        firsts = np.cumsum([0, *(part.n_texts for part in parts[:-1])])
        text_of = np.concatenate([first + part.text_of for first, part in zip(firsts, parts, strict=True)])
        joined = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(self)
            if field.name != "text_of"
        }
        return Units(**joined, text_of=text_of)

    def by_text(self, values: Array) -> Array:
        """Sums of the units' values. values: shape (n_units,). Returns shape (n_texts,)."""
        return np.bincount(self.text_of, weights=values, minlength=self.n_texts)


def _ranges(firsts: Array, stops: Array) -> tuple[Array, Array]:
    """The numbers from each first to its stop, one range after the other, and which range each is of."""
    counts = stops - firsts
    of = np.repeat(np.arange(len(counts)), counts)
    return np.arange(len(of)) + np.repeat(firsts - np.cumsum(counts) + counts, counts), of


def _cut(text: str, found: Sequence[tuple[int, int]]) -> list[int]:
    """Numbers of tokens of a long text's units: up to a line's end, else a sentence's end, else as many as may be."""
    # The better of a cut's places, the higher; of equals the last.
    ranks = [
        2 * ("\n" in text[end:after] or "\r" in text[end:after]) or int(text[end - 1] in SENTENCE_ENDS)
        for (_, end), (after, _) in pairwise(found)
    ]
    lengths, first = [], 0
    while len(found) - first > MOST_TOKENS:
        window = ranks[first : first + MOST_TOKENS]
        best = max(window)
        size = MOST_TOKENS - window[::-1].index(best) if best else MOST_TOKENS
        lengths.append(size)
        first += size
    return [*lengths, len(found) - first]
