"""Two texts of which one is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log1p

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning.layouts import WHOLE, Fitted, both_kinds, columns
from label_studio_al.learning.terms import words_of
from label_studio_al.learning.texts import parts_of
from label_studio_al.learning.tfidf import Tfidf
from label_studio_al.learning.types import Array

_N_FIGURES = 2


@dataclass(frozen=True)
class SideTerms:
    """The terms of all texts as one, then the same terms of the left text less those of the right one."""

    words: Tfidf
    sides: Sides

    @property
    def n_terms(self) -> int:
        """As of Tfidf."""
        return 2 * self.words.n_terms

    def transform(self, texts: Sequence[str]) -> sp.csr_matrix:
        """As of Tfidf; a difference has a length of its own."""
        left, right, _ = self.sides.of(texts)
        difference = sp.csr_matrix(self.words.transform(left) - self.words.transform(right))
        difference.eliminate_zeros()
        return sp.hstack([self.words.transform(texts), difference], format="csr")

    def without(self, columns: Sequence[int]) -> SideTerms:
        """As of Tfidf: a term that no text has differs nowhere either."""
        n_words = self.words.n_terms
        return SideTerms(self.words.without([column for column in columns if column < n_words]), self.sides)


@dataclass(frozen=True)
class Sides:
    """Two of a task's texts, of which one is chosen, perhaps in view of the others.

    Dense columns: the embedding of all as one; then, each of the left text less that of the right one: topics, the
    embedding with its cosine to that of the other texts, the logarithm of the length, the share of words that the other
    texts have. left, right: places of the two among the task's n_texts texts.
    """

    left: int
    right: int
    n_texts: int

    def of(self, texts: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
        """The left text of each task, the right one, and all others as one."""
        parts = [parts_of(text, self.n_texts) for text in texts]
        others = [place for place in range(self.n_texts) if place not in (self.left, self.right)]
        context = ["\n".join(one[place] for place in others) for one in parts]
        return [one[self.left] for one in parts], [one[self.right] for one in parts], context

    def read(self, texts: Sequence[str]) -> Sequence[str]:
        """All of it."""
        return texts

    def fit(self, texts: Sequence[str]) -> SideTerms:
        """As of the contract."""
        return SideTerms(Tfidf.fit(texts), self)

    def n_dense(self, fitted: Fitted) -> int:
        """As of the contract."""
        n_embedding = fitted.n_dimensions
        return _N_FIGURES + fitted.n_topics + (2 * n_embedding + 1 if n_embedding else 0)

    def dense(self, texts: Sequence[str], fitted: Fitted) -> Array:
        """As of the contract."""
        left, right, context = self.of(texts)
        words = fitted.terms.words
        topics = fitted.topics.transform(words.transform(left)) - fitted.topics.transform(words.transform(right))
        figures = [_figures(*one) for one in zip(left, right, context, strict=True)]
        found = [topics, np.array(figures, dtype=np.float32).reshape(len(texts), _N_FIGURES)]
        if fitted.encoder is not None:
            difference = fitted.encode(left) - fitted.encode(right)
            cosine = np.einsum("ij,ij->i", difference, fitted.encode(context))[:, None]
            found = [WHOLE.dense(texts, fitted), *found, difference, cosine]
        return np.hstack(found)

    def choices(self, fitted: Fitted) -> dict[str, Array]:
        """The texts as one."""
        return WHOLE.choices(fitted)

    def choices_of_sides(self, fitted: Fitted) -> dict[str, Array]:
        """All differences; those of words, topics and lengths, or of embeddings."""
        first = fitted.n_lexical + fitted.n_dimensions
        middle, end = first + fitted.n_topics + _N_FIGURES, fitted.n_lexical + self.n_dense(fitted)
        lexical = columns((fitted.n_words, fitted.terms.n_terms), (first, middle))
        return both_kinds(lexical, columns((middle, end)))


def _figures(left: str, right: str, context: str) -> tuple[float, float]:
    """How much longer the left text is, and how much more of its words the other texts have."""
    known = set(words_of(context))
    lengths, shares = [], []
    for words in map(words_of, (left, right)):
        lengths.append(log1p(len(words)))
        shares.append(len(known.intersection(words)) / max(1, len(set(words))))
    return lengths[0] - lengths[1], shares[0] - shares[1]
