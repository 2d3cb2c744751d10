"""The pool's own topics: latent semantic analysis of its TF-IDF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning.rows import unit_rows
from label_studio_al.learning.types import Array

N_TOPICS = 200
# Rarer terms change the topics little and cost memory and time.
MAX_TERMS = 20_000
# Directions beyond those that are kept make these more exact.
N_SPARE = 10
N_ITERATIONS = 4


@dataclass(frozen=True)
class Topics:
    """Directions in which the pool's texts differ most: words that occur together share one.

    terms: shape (n_used_terms,), the TF-IDF columns that count. components: shape (n_used_terms, n_topics), float32.
    With few labels a classifier learns from topics what it cannot learn from single words: they carry a label over
    to texts that share no word with the labelled ones. Source: Deerwester et al. 1990.
    """

    terms: Array
    components: Array

    @property
    def n_topics(self) -> int:
        """Columns of what `transform` gives."""
        return int(self.components.shape[1])

    def transform(self, X: sp.csr_matrix) -> Array:
        """Rows of unit length (zero where no term counts). X: TF-IDF rows. Returns shape (n_texts, n_topics)."""
        return unit_rows(self._projected(X))

    def scales(self, X: sp.csr_matrix) -> Array:
        """What makes each text's topics a row of unit length. X: TF-IDF rows. Returns shape (n_texts,), float32."""
        lengths = np.linalg.norm(self._projected(X), axis=1)
        return np.asarray(np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0), dtype=np.float32)

    def of_terms(self, weights: Array) -> Array:
        """Weights of topics as weights of `terms`: so that a product with them needs no text's topics.

        weights: shape (n_topics, n_outputs). Returns shape (n_used_terms, n_outputs); what a text's product with it
        gives is to be scaled by `scales`.
        """
        return np.asarray(self.components @ weights)

    def _projected(self, X: sp.csr_matrix) -> Array:
        return np.asarray(X[:, self.terms] @ self.components)


def fit_topics(X: sp.csr_matrix, seed: int = 0) -> Topics:
    """Find the topics of a pool. X: TF-IDF rows, shape (n_texts, n_terms); fewer texts or terms give fewer topics.

    The right singular vectors of X in its frequent terms, by subspace iteration from a random start.
    Source: Halko et al. 2011.
    """
    n_texts_of = np.bincount(X.indices, minlength=X.shape[1])
    frequent = np.argsort(-n_texts_of, kind="stable")[:MAX_TERMS]
    terms = np.sort(frequent[n_texts_of[frequent] > 0])
    n_topics = min(N_TOPICS, min(X.shape[0], len(terms)) - 1)
    if n_topics < 1:
        return Topics(terms[:0], np.zeros((0, 0), dtype=np.float32))
    used = X[:, terms]
    by_term = used.T.tocsr()
    n_directions = min(n_topics + N_SPARE, *used.shape)
    directions = np.random.default_rng(seed).standard_normal((len(terms), n_directions), dtype=np.float32)
    for _ in range(N_ITERATIONS):
        directions = _orthonormal(np.asarray(by_term @ _orthonormal(np.asarray(used @ directions))))
    return Topics(terms, np.ascontiguousarray(directions[:, :n_topics]))


def _orthonormal(columns: Array) -> Array:
    """Directions of unit length that span the same space, longest first. By the Gram matrix, which is small."""
    squares, mix = np.linalg.eigh((columns.T @ columns).astype(np.float64))
    lengths = np.sqrt(np.maximum(squares, np.finfo(np.float32).eps * max(squares[-1], 0.0)))
    mixed = mix[:, ::-1] / np.where(lengths > 0, lengths, 1)[::-1]
    return np.asarray(columns @ mixed.astype(np.float32))
