"""Texts as numbers: words, the pool's topics, and general meaning, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from backend.learning.rows import Rows
from backend.learning.tfidf import Tfidf
from backend.learning.topics import Topics, fit_topics
from backend.learning.types import Array

BOTH = "both"
TFIDF = "tfidf"
EMBEDDINGS = "embeddings"


class Encoder(Protocol):
    """Turns texts into sentence embeddings that were learnt elsewhere. Must pickle by reference, not by content."""

    name: str
    n_dimensions: int

    def encode(self, texts: Sequence[str]) -> Array:
        """Rows of unit length, zero for an empty text. Returns shape (n_texts, n_dimensions), float32."""
        ...


@dataclass(frozen=True)
class Features:
    """What turns a project's texts into rows; fitted once on a pool, then applied to each text once.

    A row has two views: sparse TF-IDF, and a dense one that holds topics and (with an encoder) an embedding. Each of
    the three parts has unit length, so none outweighs the others.
    """

    tfidf: Tfidf
    topics: Topics
    encoder: Encoder | None
    n_fitted: int

    @classmethod
    def fit_transform(cls, texts: Sequence[str], encoder: Encoder | None) -> tuple[Features, Rows]:
        """Learn terms and topics of `texts` (any number, also none); gives their rows too."""
        tfidf, sparse = Tfidf.fit_transform(texts)
        features = cls(tfidf, fit_topics(sparse), encoder, len(texts))
        return features, features._beside(sparse, texts)

    def transform(self, texts: Sequence[str]) -> Rows:
        """Rows of new texts. Returns Rows of shape (n_texts, n_columns), float32."""
        return self._beside(self.tfidf.transform(texts), texts)

    def choices(self) -> dict[str, Array]:
        """Which columns a classifier may use, by the name of the choice: all, words and topics, or embeddings."""
        n_lexical = self.tfidf.n_terms + self.topics.components.shape[1]
        lexical = np.arange(n_lexical)
        if self.encoder is None:
            return {TFIDF: lexical}
        everything = np.arange(n_lexical + self.encoder.n_dimensions)
        return {BOTH: everything, TFIDF: lexical, EMBEDDINGS: everything[n_lexical:]}

    def _beside(self, sparse: Array, texts: Sequence[str]) -> Rows:
        topics = self.topics.transform(sparse)
        dense = topics if self.encoder is None else np.hstack([topics, self.encoder.encode(texts)])
        return Rows((sparse, dense.astype(np.float32, copy=False)))
