"""How the words of a pool occur in it: what unlabelled texts tell of a word, learnt once for each pool."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning import draws
from label_studio_al.learning.layouts import Encoder
from label_studio_al.learning.passages import Passage
from label_studio_al.learning.rows import blocks, csr, unit_rows
from label_studio_al.learning.sequences.units import Units, Vocabulary
from label_studio_al.learning.sequences.words import SURFACES, folded, surface
from label_studio_al.learning.terms import MAX_TEXT_CHARACTERS
from label_studio_al.learning.types import Array

# Neighbours that are told apart: the most frequent words, and the ends of units.
N_NEIGHBOURS = 300
N_CONTEXTS = 50
N_VECTORS = 50
# Texts of the pool that tell how models of it should decide.
MOST_KEPT = 400
# What is drawn.
_POOL, _TOLD = "halves of a pool", "told by a half"
# Words whose vectors tell the directions in which words differ.
MOST_FITTED = 20_000
# Whose vectors are held in all their dimensions.
WORDS_AT_ONCE = 10_000
# Source of the power: Levy et al. 2015, context distribution smoothing.
SMOOTHING = 0.75
# Words seen as often as this are as good as known.
_COUNTS = ((0, 0), (1, 1), (2, 4))


@dataclass(frozen=True)
class Vectors:
    """Static word vectors in few dimensions: those in which the pool's words differ most.

    mean: shape (n_dimensions,). directions: shape (n_dimensions, n_kept).
    """

    encoder: Encoder
    mean: Array
    directions: Array

    @classmethod
    def fit(cls, encoder: Encoder, words: Sequence[str]) -> Vectors:
        """words: the pool's, the most frequent first."""
        rows = encoder.encode(list(words[:MOST_FITTED])).astype(np.float64)
        mean = rows.mean(axis=0) if len(rows) else np.zeros(encoder.n_dimensions)
        centred = rows - mean
        mix = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :N_VECTORS]
        # Products with columns in reverse are slow.
        return cls(encoder, mean, np.ascontiguousarray(mix))

    def of(self, words: Sequence[str]) -> Array:
        """Rows of unit length. Returns shape (n_words, n_kept), float32."""
        found = np.zeros((len(words), self.directions.shape[1]), dtype=np.float32)
        for part in blocks(len(words), WORDS_AT_ONCE):
            found[part] = (self.encoder.encode(list(words[part])) - self.mean) @ self.directions
        return unit_rows(found)


@dataclass(frozen=True)
class Words:
    """Features of words that do not depend on labels.

    surfaces: of each kind of `SURFACES`, shape (n_words, N_COLUMNS), CSR. place: shape (n_words,), the row of each word
    in the pool's statistics. vectors: shape (n_words, n_vectors), float32, no columns without an encoder.
    """

    surfaces: tuple[sp.csr_matrix, ...]
    place: Array
    vectors: Array

    def some(self, words: Array) -> Words:
        """Those of some words. words: shape (n_some,), places."""
        return Words(tuple(kind[words] for kind in self.surfaces), self.place[words], self.vectors[words])

    def beside(self, other: Words) -> Words:
        """These and then others."""
        surfaces = tuple(sp.vstack(pair, format="csr") for pair in zip(self.surfaces, other.surfaces, strict=True))
        places = np.concatenate([self.place, other.place])
        return Words(surfaces, places, np.vstack([self.vectors, other.vectors]))


@dataclass(frozen=True)
class Usage:
    """How words without their case are used; the last row is of words that are not.

    habits: shape (n_words + 1, n_habits), float32: how often in capitals, at the beginning of a unit, at all.
    neighbours: shape (n_words + 1, n_neighbours), CSR: roots of their shares. contexts: shape (n_words + 1,
    n_contexts), float32, rows of unit length: alike for words with like neighbours.
    """

    habits: Array
    neighbours: sp.csr_matrix
    contexts: Array

    def __len__(self) -> int:
        return len(self.habits)

    def some(self, rows: Array) -> Usage:
        """Some of the rows."""
        return Usage(self.habits[rows], self.neighbours[rows], self.contexts[rows])

    def above(self, other: Usage) -> Usage:
        """The rows of both."""
        return Usage(
            np.vstack([self.habits, other.habits]),
            sp.vstack([self.neighbours, other.neighbours], format="csr"),
            np.vstack([self.contexts, other.contexts]),
        )


@dataclass(frozen=True)
class PoolWords:
    """A pool's words.

    vocabulary: words as they are written. folded: the row of each word without its case in `usage`. halves: their usage
    in the first half of the texts, then that in the other half. some: beginnings of a few of the texts.
    """

    vocabulary: Vocabulary
    folded: dict[str, int]
    usage: Usage
    halves: Usage
    vectors: Vectors | None
    some: Units

    @classmethod
    def fit(cls, texts: Sequence[Sequence[Passage]], encoder: Encoder | None = None) -> PoolWords:
        """Learn how words occur in texts, any number. encoder: of words; without one there are no vectors."""
        vocabulary = Vocabulary()
        units = Units.of(texts, vocabulary)
        places: dict[str, int] = {}
        fold = np.array([places.setdefault(folded(word), len(places)) for word in vocabulary.added], dtype=np.int32)
        counting = _Counting.of(units, fold, vocabulary.added, len(places))
        half = _halves(units, len(vocabulary), _POOL)
        first, other = (counting.usage(units[np.flatnonzero(half == which)]) for which in (0, 1))
        by_count = np.argsort(-np.bincount(units.words, minlength=len(vocabulary)), kind="stable")
        often = [vocabulary.added[word] for word in by_count[:MOST_FITTED].tolist()]
        vectors = None if encoder is None else Vectors.fit(encoder, often)
        kept = np.unique(np.linspace(0, max(0, len(texts) - 1), MOST_KEPT, dtype=np.int64))[: len(texts)]
        some = units[kept].beginnings(MAX_TEXT_CHARACTERS)
        return cls(vocabulary, places, counting.usage(units), first.above(other), vectors, some)

    def told(self, words: Words, parts: Array) -> tuple[Words, Usage]:
        """Words whose usage is told by one of the parts that `told_by` names. parts: shape (n_words,), ascending."""
        is_half = parts > 0
        of_half = words.place[is_half] + len(self.usage) * (parts[is_half] - 1)
        usage = self.usage.some(words.place[~is_half]).above(self.halves.some(of_half))
        return replace(words, place=np.arange(len(parts))), usage

    def told_by(self, units: Units) -> Array:
        """What is to tell of the words of labelled texts: the pool, 0, or the half that a text is not in, 1 or 2.

        What a text tells of its own words would be learnt from as if others had told it, and nothing of words that the
        pool does not have. Source: Lample et al. 2016, who leave out every second word that occurs once. Returns shape
        (n_texts,).
        """
        other, is_half = 2 - _halves(units, len(self.vocabulary), _POOL), _halves(units, len(self.vocabulary), _TOLD)
        return np.asarray(other * is_half)

    def without(self, gone: Collection[int]) -> PoolWords:
        """The same without the names of some words: what is known of others stays. gone: their numbers."""
        vocabulary = Vocabulary()
        for number, word in enumerate(self.vocabulary.added):
            # No text has such a word.
            vocabulary[f"\0{number}" if number in gone else word]
        kept = {folded(word) for number, word in enumerate(self.vocabulary.added) if number not in gone}
        return replace(
            self, vocabulary=vocabulary, folded={word: row for word, row in self.folded.items() if word in kept}
        )

    @cached_property
    def known(self) -> Words:
        """Features of all words of the pool."""
        return self.describe(self.vocabulary.added)

    def describe(self, words: Sequence[str]) -> Words:
        """Features of any words."""
        beyond = len(self.usage) - 1
        place = np.array([self.folded.get(folded(word), beyond) for word in words], dtype=np.int64)
        vectors = np.zeros((len(words), 0), np.float32) if self.vectors is None else self.vectors.of(words)
        return Words(tuple(surface(words, kind) for kind in SURFACES), place, vectors)


def _halves(units: Units, n_known: int, purpose: str) -> Array:
    """Texts drawn in two halves, 0 and 1, by their words that the pool has. Returns shape (n_texts,)."""
    found = np.zeros(units.n_texts, dtype=np.uint64)
    is_known = units.words < n_known
    np.bitwise_xor.at(found, units.text_of_token[is_known], draws.hashes(units.words[is_known], 0, purpose))
    return (found & np.uint64(1)).astype(np.int64)


@dataclass(frozen=True)
class _Counting:
    """How the usage of words is counted in texts of a pool.

    fold: shape (n_words,), the row of each word as it is written. often: rows of the words that are told apart as
    neighbours. mix: what makes contexts of gains.
    """

    fold: Array
    written: Sequence[str]
    n_folded: int
    often: Array
    mix: Array

    @classmethod
    def of(cls, units: Units, fold: Array, written: Sequence[str], n_folded: int) -> _Counting:
        """As all texts of the pool have it."""
        counts = np.bincount(fold[units.words], minlength=n_folded + 1)
        often = np.argsort(-counts[:-1], kind="stable")[:N_NEIGHBOURS]
        unmixed = cls(fold, written, n_folded, often, np.zeros((0, 0)))
        return replace(unmixed, mix=_mix(_gains(unmixed._together(units))))

    def usage(self, units: Units) -> Usage:
        """That in some of the texts."""
        words = self.fold[units.words]
        counts = np.bincount(words, minlength=self.n_folded + 1)
        habits = _habits(units.words, words, _are_first(units), self.written, counts)
        together = self._together(units)
        shares = together.multiply(1 / np.maximum(counts, 1)[:, None]).tocsr().astype(np.float32).sqrt()
        return Usage(habits, shares, unit_rows(np.asarray(_gains(together) @ self.mix, dtype=np.float32)))

    def _together(self, units: Units) -> sp.csr_matrix:
        """How often each word stands behind and before each frequent one. Returns shape (n_words, n_columns)."""
        words, n_columns = self.fold[units.words], len(self.often) + 1
        is_last = np.append(_are_first(units)[1:], True)[: len(words)]
        column = np.full(self.n_folded + 1, -1, dtype=np.int32)
        column[self.often] = np.arange(len(self.often))
        sides = []
        for is_end, step in ((_are_first(units), 1), (is_last, -1)):
            neighbour = np.where(is_end, len(self.often), column[np.roll(words, step)] if len(words) else 0)
            is_kept = neighbour >= 0
            pair = words[is_kept].astype(np.int64) * n_columns + neighbour[is_kept]
            found, n = np.unique(pair, return_counts=True)
            ends = np.searchsorted(found, np.arange(self.n_folded + 2) * n_columns)
            sides.append(csr(n.astype(np.float64), (found % n_columns).astype(np.int32), ends, n_columns))
        return sp.hstack(sides, format="csr")


def _are_first(units: Units) -> Array:
    """Which tokens begin a unit. Returns shape (n_tokens,), bool."""
    found = np.zeros(len(units.words), dtype=bool)
    found[np.cumsum(units.lengths) - units.lengths] = True
    return found


def _habits(written_at: Array, words: Array, is_first: Array, written: Sequence[str], counts: Array) -> Array:
    """Shares of a word's occurrences, as if it occurred once more with none of them, and how often it occurs."""
    capitals = np.array([len(word) > 1 and word.isupper() for word in written], dtype=bool)
    capital = np.array([word[:1].isupper() for word in written], dtype=bool) & ~capitals
    small = np.array([word[:1].islower() for word in written], dtype=bool)
    within = ~is_first
    n_within = np.bincount(words[within], minlength=len(counts))
    columns = [
        np.bincount(words[within & capital[written_at]], minlength=len(counts)) / (n_within + 1),
        np.bincount(words[capitals[written_at]], minlength=len(counts)) / (counts + 1),
        np.bincount(words[within & small[written_at]], minlength=len(counts)) / (n_within + 1),
        np.bincount(words[is_first], minlength=len(counts)) / (counts + 1),
        np.log1p(counts) / 5,
        *[(counts >= least) & (counts <= most) for least, most in _COUNTS],
    ]
    return np.column_stack(columns).astype(np.float32)


def _gains(together: sp.csr_matrix) -> sp.csr_matrix:
    """How much likelier each neighbour is than by chance, where it is likelier: logarithms.

    Source: Levy and Goldberg 2014, positive pointwise mutual information.
    """
    of_word, of_neighbour = (np.asarray(together.sum(axis=axis)).ravel() for axis in (1, 0))
    expected = of_neighbour**SMOOTHING
    rows = np.repeat(np.arange(together.shape[0]), np.diff(together.indptr))
    chance = of_word[rows] * expected[together.indices] / max(expected.sum(), 1)
    gain = np.log(np.maximum(together.data / chance, 1)) if len(rows) else together.data
    return csr(gain, together.indices, together.indptr, together.shape[1])


def _mix(gains: sp.csr_matrix) -> Array:
    """What makes few columns of gains: singular vectors. Source: Levy et al. 2015 for the root of the values."""
    squares, mix = np.linalg.eigh((gains.T @ gains).toarray())
    kept = np.flatnonzero(squares > 1e-9 * max(squares[-1], 1e-9))[::-1][:N_CONTEXTS]
    return np.asarray(mix[:, kept] / squares[kept] ** 0.25)
