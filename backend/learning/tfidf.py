"""Texts as numbers: TF-IDF over words and word pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfVectorizer

MAX_TEXT_CHARACTERS = 20_000
MAX_TERMS = 200_000
# From this size on a term that occurs in a single text only costs memory.
LARGE_POOL = 1_000
_NO_TERMS = "empty"


class Tfidf:
    """TF-IDF of words and word pairs, fitted once on a pool of texts.

    Only the first 20,000 characters of a text count. Texts without any known term get an all-zero row.
    """

    def __init__(self, vectorizer: TfidfVectorizer, n_fitted: int) -> None:
        self._vectorizer = vectorizer
        self.n_fitted = n_fitted

    @classmethod
    def fit(cls, texts: Sequence[str]) -> Tfidf:
        """Learn the terms of `texts` (any number, also none)."""
        return cls.fit_transform(texts)[0]

    @classmethod
    def fit_transform(cls, texts: Sequence[str]) -> tuple[Tfidf, sp.csr_matrix]:
        """The features, and the rows of `texts` in one pass. Rows: shape (n_texts, n_terms), as `transform` gives."""
        vectorizer = TfidfVectorizer(
            ngram_range=(1, 2),
            token_pattern=r"(?u)\b\w+\b",
            sublinear_tf=True,
            min_df=2 if len(texts) >= LARGE_POOL else 1,
            max_features=MAX_TERMS,
            dtype=np.float32,
        )
        try:
            rows = vectorizer.fit_transform(_shortened(texts))
        except ValueError:
            # No word in any text (none yet, or only punctuation): scikit-learn refuses an empty vocabulary.
            vectorizer.set_params(min_df=1).fit([_NO_TERMS])
            features = cls(vectorizer, len(texts))
            return features, features.transform(texts)
        return cls(vectorizer, len(texts)), _sorted(rows)

    def transform(self, texts: Sequence[str]) -> sp.csr_matrix:
        """Rows of unit length. Returns shape (n_texts, n_terms), float32."""
        if not texts:
            return sp.csr_matrix((0, self.n_terms), dtype=np.float32)
        return _sorted(self._vectorizer.transform(_shortened(texts)))

    @property
    def n_terms(self) -> int:
        """Columns of every matrix that `transform` gives."""
        return len(self._vectorizer.vocabulary_)


def _sorted(rows: Any) -> sp.csr_matrix:
    """One order of summation however the rows came about: same texts, same numbers to the last bit."""
    matrix = sp.csr_matrix(rows)
    matrix.sort_indices()
    return matrix


def _shortened(texts: Sequence[str]) -> list[str]:
    return [text[:MAX_TEXT_CHARACTERS] for text in texts]
