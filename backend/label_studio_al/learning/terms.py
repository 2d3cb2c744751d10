"""In how many texts each word and each word pair occurs, counted as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice, pairwise
from typing import Any

import numpy as np

from label_studio_al.learning.tokens import tokens_of
from label_studio_al.learning.types import Array

MAX_TEXT_CHARACTERS = 20_000
# Most word pairs never come again: terms met once are forgotten whenever so many terms are counted.
MAX_COUNTED = 500_000
# Words that are counted at a time.
_WORDS_AT_ONCE = 200_000
# A pair is one number: that of its first word in the upper bits, that of its second word in these.
_BITS = 31


def words_of(text: str) -> list[Any]:
    """The words of a text, see `tokens_of`; only its first 20,000 characters count."""
    return tokens_of(text[:MAX_TEXT_CHARACTERS])


def terms_of(words: Sequence[str]) -> Iterator[str]:
    """The words of a text, then its pairs of neighbours."""
    return chain(words, map(" ".join, pairwise(words)))


class TermCounts:
    """In how many texts each term occurs.

    A pair becomes a string only if it is asked for: most occur once, and strings that come and go leave holes in
    Python's memory that are never given back.
    """

    def __init__(self, texts: Sequence[str], words_in: Callable[[str], list[str]] = words_of) -> None:
        """Count the terms of texts, any number of them. words_in: the words of a text."""
        none: Array = np.zeros(0, dtype=np.int64)
        self._number_of: dict[str, int] = {}
        self._n_texts_of_word = self._pairs = self._n_texts_of_pair = none
        numbers: list[int] = []
        lengths: list[int] = []
        for text in texts:
            words = words_in(text)
            numbers.extend(self._number_of.setdefault(word, len(self._number_of)) for word in words)
            lengths.append(len(words))
            if len(numbers) >= _WORDS_AT_ONCE:
                self._add(numbers, lengths)
                numbers, lengths = [], []
        self._add(numbers, lengths)

    def most_frequent(self, size: int, least: int) -> dict[str, int]:
        """The `size` terms that occur in most texts, at least in so many, and in how many each does. Ties: by term."""
        counts = np.concatenate([self._n_texts_of_word, self._n_texts_of_pair])
        if len(counts) > size:
            least = max(least, int(np.partition(counts, -size)[-size]))
        names = list(self._number_of)
        n_words = len(names)
        found = [
            (-n_texts, names[place] if place < n_words else self._pair(place - n_words, names))
            for place, n_texts in _pairs_of(np.flatnonzero(counts >= least), counts)
        ]
        return {term: -n_texts for n_texts, term in islice(sorted(found), size)}

    def _pair(self, place: int, names: Sequence[str]) -> str:
        first, second = divmod(int(self._pairs[place]), 1 << _BITS)
        return f"{names[first]} {names[second]}"

    def _add(self, numbers: Sequence[int], lengths: Sequence[int]) -> None:
        """Count more texts: the numbers of their words one after the other, and how many words each text has."""
        words = np.array(numbers, dtype=np.int64)
        texts = np.repeat(np.arange(len(lengths)), lengths)
        n_texts_of_word = np.zeros(len(self._number_of), dtype=np.int64)
        n_texts_of_word[: len(self._n_texts_of_word)] = self._n_texts_of_word
        known, n_texts = _n_texts_of(words, texts)
        n_texts_of_word[known] += n_texts
        self._n_texts_of_word = n_texts_of_word
        is_pair = texts[1:] == texts[:-1]
        pairs, n_texts = _n_texts_of(((words[:-1] << _BITS) | words[1:])[is_pair], texts[1:][is_pair])
        self._pairs, place = np.unique(np.concatenate([self._pairs, pairs]), return_inverse=True)
        before = np.concatenate([self._n_texts_of_pair, n_texts])
        self._n_texts_of_pair = np.bincount(place, before, len(self._pairs)).astype(np.int64)
        if len(self._number_of) + len(self._pairs) > MAX_COUNTED:
            self._forget_single()

    def _forget_single(self) -> None:
        """Forget what occurs in one text. A pair's words occur wherever it does, so a pair that is kept has them."""
        is_kept = self._n_texts_of_word > 1
        renumbered = np.cumsum(is_kept) - 1
        self._number_of = {
            word: number
            for number, word in enumerate(word for word, number in self._number_of.items() if is_kept[number])
        }
        self._n_texts_of_word = self._n_texts_of_word[is_kept]
        is_kept = self._n_texts_of_pair > 1
        first, second = np.divmod(self._pairs[is_kept], 1 << _BITS)
        self._pairs = (renumbered[first] << _BITS) | renumbered[second]
        self._n_texts_of_pair = self._n_texts_of_pair[is_kept]


def _n_texts_of(terms: Array, texts: Array) -> tuple[Array, Array]:
    """The terms, each once and ascending, and in how many texts each occurs. terms, texts: shape (n_occurrences,)."""
    known, place = np.unique(terms, return_inverse=True)
    n_texts = int(texts[-1]) + 1 if len(texts) else 1
    return known, np.bincount(np.unique(place * n_texts + texts) // n_texts, minlength=len(known))


def _pairs_of(places: Array, counts: Array) -> Iterator[tuple[int, int]]:
    return zip(places.tolist(), counts[places].tolist(), strict=True)
