"""How the words of a pool occur in it: what unlabelled texts tell of a word, learnt once for each pool."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning.layouts import Encoder
from label_studio_al.learning.passages import Passage
from label_studio_al.learning.rows import blocks, csr, unit_rows
from label_studio_al.learning.sequences.units import Units, Vocabulary
from label_studio_al.learning.sequences.words import SURFACES, folded, surface
from label_studio_al.learning.types import Array

# Neighbours that are told apart: the most frequent words, and the ends of units.
N_NEIGHBOURS = 300
N_CONTEXTS = 50
N_VECTORS = 50
# Texts of the pool that tell how models of it should decide.
MOST_KEPT = 400
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
        return cls(encoder, mean, mix)

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
class PoolWords:
    """A pool's words.

    vocabulary: words as they are written. folded: the row of each word without its case in what follows; the last row
    is of words that the pool does not have. habits: shape (n_folded + 1, n_habits), float32: how often in capitals, at
    the beginning of a unit, at all. neighbours: shape (n_folded + 1, n_neighbours), CSR: roots of their shares.
    contexts: shape (n_folded + 1, n_contexts), float32, rows of unit length: alike for words with like neighbours.
    is_rare: shape (n_folded + 1,), bool, which occur once. some: a few of the texts.
    """

    vocabulary: Vocabulary
    folded: dict[str, int]
    habits: Array
    neighbours: sp.csr_matrix
    contexts: Array
    vectors: Vectors | None
    is_rare: Array
    some: Units

    @classmethod
    def fit(cls, texts: Sequence[Sequence[Passage]], encoder: Encoder | None = None) -> PoolWords:
        """Learn how words occur in texts, any number. encoder: of words; without one there are no vectors."""
        vocabulary = Vocabulary()
        units = Units.of(texts, vocabulary)
        places: dict[str, int] = {}
        fold = np.array([places.setdefault(folded(word), len(places)) for word in vocabulary.added], dtype=np.int32)
        counts = _Counts.of(units, fold, vocabulary.added, len(places))
        by_count = np.argsort(-np.bincount(units.words, minlength=len(vocabulary)), kind="stable")
        often = [vocabulary.added[word] for word in by_count[:MOST_FITTED].tolist()]
        vectors = None if encoder is None else Vectors.fit(encoder, often)
        some = units[np.unique(np.linspace(0, max(0, len(texts) - 1), MOST_KEPT, dtype=np.int64))[: len(texts)]]
        is_rare = np.bincount(fold[units.words], minlength=len(places) + 1) == 1
        return cls(vocabulary, places, counts.habits, counts.neighbours, counts.contexts, vectors, is_rare, some)

    def half_unknown(self, words: Words) -> Words:
        """The same, but half of the words that occur once as words that the pool does not have.

        What is known of such a word is known of where it stands: a model that learns from it alone knows little of
        words that the pool does not have. Source: Lample et al. 2016, who do so with vectors.
        """
        is_left_out = self.is_rare[words.place] & (words.place % 2 == 1)
        return replace(words, place=np.where(is_left_out, len(self.habits) - 1, words.place))

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
        beyond = len(self.habits) - 1
        place = np.array([self.folded.get(folded(word), beyond) for word in words], dtype=np.int64)
        vectors = np.zeros((len(words), 0), np.float32) if self.vectors is None else self.vectors.of(words)
        return Words(tuple(surface(words, kind) for kind in SURFACES), place, vectors)


@dataclass(frozen=True)
class _Counts:
    """What is counted of a pool. All rows are of words without their case; the last is of any other word."""

    habits: Array
    neighbours: sp.csr_matrix
    contexts: Array

    @classmethod
    def of(cls, units: Units, fold: Array, written: Sequence[str], n_folded: int) -> _Counts:
        """fold: shape (n_words,), the row of each word as it is written."""
        words = fold[units.words] if len(units.words) else np.zeros(0, np.int32)
        ends = np.cumsum(units.lengths)
        is_first, is_last = np.zeros((2, len(words)), dtype=bool)
        is_first[ends - units.lengths] = True
        is_last[ends - 1] = True
        counts = np.bincount(words, minlength=n_folded + 1)
        habits = _habits(units.words, words, is_first, written, counts)
        together = _together(words, is_first, is_last, counts)
        shares = together.multiply(1 / np.maximum(counts, 1)[:, None]).tocsr().astype(np.float32).sqrt()
        return cls(habits, shares, _contexts(together))


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


def _together(words: Array, is_first: Array, is_last: Array, counts: Array) -> sp.csr_matrix:
    """How often each word stands behind and before each frequent one. Returns shape (n_words, n_columns)."""
    often = np.argsort(-counts, kind="stable")[:N_NEIGHBOURS]
    n_columns = len(often) + 1
    column = np.full(len(counts), -1, dtype=np.int32)
    column[often] = np.arange(len(often))
    sides = []
    for is_end, step in ((is_first, 1), (is_last, -1)):
        neighbour = np.where(is_end, len(often), column[np.roll(words, step)] if len(words) else 0)
        is_kept = neighbour >= 0
        pair = words[is_kept].astype(np.int64) * n_columns + neighbour[is_kept]
        found, n = np.unique(pair, return_counts=True)
        ends = np.searchsorted(found, np.arange(len(counts) + 1) * n_columns)
        sides.append(csr(n.astype(np.float64), (found % n_columns).astype(np.int32), ends, n_columns))
    return sp.hstack(sides, format="csr")


def _contexts(together: sp.csr_matrix) -> Array:
    """Words in few dimensions: singular vectors of how much likelier each neighbour is than by chance.

    Source: Levy and Goldberg 2014, positive pointwise mutual information; Levy et al. 2015 for the root of the values.
    """
    of_word, of_neighbour = (np.asarray(together.sum(axis=axis)).ravel() for axis in (1, 0))
    expected = of_neighbour**SMOOTHING
    rows = np.repeat(np.arange(together.shape[0]), np.diff(together.indptr))
    chance = of_word[rows] * expected[together.indices] / max(expected.sum(), 1)
    gain = np.log(np.maximum(together.data / chance, 1)) if len(rows) else together.data
    positive = csr(gain, together.indices, together.indptr, together.shape[1])
    squares, mix = np.linalg.eigh((positive.T @ positive).toarray())
    kept = np.flatnonzero(squares > 1e-9 * max(squares[-1], 1e-9))[::-1][:N_CONTEXTS]
    return unit_rows(np.asarray(positive @ (mix[:, kept] / squares[kept] ** 0.25), dtype=np.float32))
