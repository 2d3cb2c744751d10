"""Two texts of which it is asked how they relate: whether one follows from the other, or says the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log1p

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning.layouts import BOTH, EMBEDDINGS, TFIDF, WHOLE, Fitted, columns
from label_studio_al.learning.rows import unit_rows
from label_studio_al.learning.terms import words_of
from label_studio_al.learning.texts import parts_of
from label_studio_al.learning.tfidf import Tfidf
from label_studio_al.learning.types import Array

# The choice of the texts as one, without their comparison, and of the comparison alone.
TEXTS, COMPARISON = "texts", "comparison"
_N_FIGURES = 6


class DifferingWords(Tfidf):
    """TF-IDF of the words that only one of two texts has: "-word" of the first, "+word" of the second."""

    @staticmethod
    def words_in(text: str) -> list[str]:
        """Those of the first text, then those of the second."""
        first, second = map(words_of, parts_of(text, 2))
        in_first, in_second = set(first), set(second)
        lost = [f"-{word}" for word in first if word not in in_second]
        return lost + [f"+{word}" for word in second if word not in in_first]


@dataclass(frozen=True)
class PairTerms:
    """The terms of both texts as one, then the words in which they differ."""

    words: Tfidf
    differing: Tfidf

    @property
    def n_terms(self) -> int:
        """As of Tfidf."""
        return self.words.n_terms + self.differing.n_terms

    def transform(self, texts: Sequence[str]) -> sp.csr_matrix:
        """As of Tfidf, for each of the two."""
        return sp.hstack([self.words.transform(texts), self.differing.transform(texts)], format="csr")

    def without(self, columns: Sequence[int]) -> PairTerms:
        """As of Tfidf."""
        n_words = self.words.n_terms
        of_words = [column for column in columns if column < n_words]
        of_differing = [column - n_words for column in columns if column >= n_words]
        return PairTerms(self.words.without(of_words), self.differing.without(of_differing))


@dataclass(frozen=True)
class Compared:
    """Two texts, and how they differ.

    Dense columns: the embedding of both as one; then |a - b| of their embeddings, of unit length, and their cosine;
    then how much they share. Source of |a - b|: Conneau et al. 2017.
    """

    def read(self, texts: Sequence[str]) -> Sequence[str]:
        """All of it."""
        return texts

    def fit(self, texts: Sequence[str]) -> PairTerms:
        """As of the contract."""
        return PairTerms(Tfidf.fit(texts), DifferingWords.fit(texts))

    def n_dense(self, fitted: Fitted) -> int:
        """As of the contract."""
        return _N_FIGURES + (2 * fitted.n_dimensions + 1 if fitted.n_dimensions else 0)

    def dense(self, texts: Sequence[str], fitted: Fitted) -> Array:
        """As of the contract."""
        pairs = [parts_of(text, 2) for text in texts]
        figures = np.array([_shared(*pair) for pair in pairs], dtype=np.float32).reshape(len(texts), _N_FIGURES)
        if fitted.encoder is None:
            return figures
        first, second = (fitted.encode([pair[side] for pair in pairs]) for side in (0, 1))
        cosine = np.einsum("ij,ij->i", first, second)[:, None]
        return np.hstack([WHOLE.dense(texts, fitted), unit_rows(np.abs(first - second)), cosine, figures])

    def choices(self, fitted: Fitted) -> dict[str, Array]:
        """All; the texts as one, or their comparison, alone; words, or embeddings, alone."""
        whole = WHOLE.choices(fitted)
        end = fitted.n_lexical + self.n_dense(fitted)
        figures = (end - _N_FIGURES, end)
        differing = (fitted.n_words, fitted.terms.n_terms)
        found = {
            BOTH: np.arange(end),
            TEXTS: next(iter(whole.values())),
            COMPARISON: columns(differing, (fitted.n_lexical + fitted.n_dimensions, end)),
        }
        if fitted.encoder is None:
            return found
        meaning = columns((fitted.n_lexical, figures[0]))
        return found | {TFIDF: columns((0, fitted.n_lexical), figures), EMBEDDINGS: meaning}

    def choices_of_sides(self, fitted: Fitted) -> dict[str, Array]:
        """As of the contract."""
        return WHOLE.choices_of_sides(fitted)


COMPARED = Compared()


def _shared(first: str, second: str) -> tuple[float, ...]:
    """How much two texts share.

    Of all their words the share that both have, and of all word pairs; of the words of each the share that the other
    has; whether they are the same words; the logarithm of how much longer the first is.
    """
    words = words_of(first), words_of(second)
    one, other = set(words[0]), set(words[1])
    pairs = set(pairwise(words[0])), set(pairwise(words[1]))
    n_shared = len(one & other)
    return (
        n_shared / max(1, len(one | other)),
        len(pairs[0] & pairs[1]) / max(1, len(pairs[0] | pairs[1])),
        n_shared / max(1, len(one)),
        n_shared / max(1, len(other)),
        float(words[0] == words[1]),
        log1p(len(words[0])) - log1p(len(words[1])),
    )
