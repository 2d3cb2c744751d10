"""The pool's own topics: latent semantic analysis of its TF-IDF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from sklearn.utils.extmath import randomized_svd

from backend.learning.rows import unit_rows
from backend.learning.types import Array

N_TOPICS = 200
# Rarer terms and further texts change the topics little and cost memory and time.
MAX_TERMS = 20_000
MAX_FITTED = 20_000


@dataclass(frozen=True)
class Topics:
    """Directions in which the pool's texts differ most: words that occur together share one.

    terms: shape (n_used_terms,), the TF-IDF columns that count. components: shape (n_used_terms, n_topics), float32.
    With few labels a classifier learns from topics what it cannot learn from single words: they carry a label over
    to texts that share no word with the labelled ones. Source: Deerwester et al. 1990.
    """

    terms: Array
    components: Array

    def transform(self, X: sp.csr_matrix) -> Array:
        """Rows of unit length (zero where no term counts). X: TF-IDF rows. Returns shape (n_texts, n_topics)."""
        return unit_rows(np.asarray(X[:, self.terms] @ self.components))


def fit_topics(X: sp.csr_matrix, seed: int = 0) -> Topics:
    """Find the topics of a pool. X: TF-IDF rows, shape (n_texts, n_terms); fewer texts or terms give fewer topics."""
    fitted = X
    if X.shape[0] > MAX_FITTED:
        chosen = np.random.default_rng(seed).choice(X.shape[0], MAX_FITTED, replace=False)
        fitted = X[np.sort(chosen)]
    n_texts_of = np.bincount(fitted.indices, minlength=X.shape[1])
    frequent = np.argsort(-n_texts_of, kind="stable")[:MAX_TERMS]
    terms = np.sort(frequent[n_texts_of[frequent] > 0])
    n_topics = min(N_TOPICS, min(fitted.shape[0], len(terms)) - 1)
    if n_topics < 1:
        return Topics(terms[:0], np.zeros((0, 0), dtype=np.float32))
    _, _, directions = randomized_svd(fitted[:, terms], n_topics, n_iter=3, random_state=seed)
    return Topics(terms, np.ascontiguousarray(directions.T, dtype=np.float32))
