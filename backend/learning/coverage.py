"""Cold start: which tasks to ask before the model knows every label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils.extmath import randomized_svd

from backend.learning.types import Array

N_COMPONENTS = 32
MAX_FITTED = 20_000


@dataclass(frozen=True)
class Coverage:
    """Groups of similar tasks.

    groups: shape (n_tasks,), the group of each task. ranks: shape (n_tasks,), place in its group, 0 = most typical.
    """

    groups: Array
    ranks: Array

    def order(self, pool: Array, labelled: Array) -> Array:
        """The pool's tasks, most needed first: groups with the fewest labels, then the larger group.

        pool, labelled: row indices. Each group gives its most typical tasks first, and the groups take turns.
        Returns the indices in `pool`, reordered. Source: Hacohen et al. 2022 (TypiClust), without its density estimate.
        """
        n_groups = int(self.groups.max()) + 1 if len(self.groups) else 0
        n_labels = np.bincount(self.groups[labelled], minlength=n_groups)
        sizes = np.bincount(self.groups, minlength=n_groups)
        own = self.groups[pool]
        typical = np.lexsort((self.ranks[pool], own))
        sorted_groups = own[typical]
        first_of_group = np.searchsorted(sorted_groups, np.arange(n_groups))
        place = np.empty(len(pool), dtype=np.int64)
        place[typical] = np.arange(len(pool)) - first_of_group[sorted_groups]
        return np.asarray(pool[np.lexsort((-sizes[own], place + n_labels[own]))])


def cover(X: sp.csr_matrix, n_groups: int, seed: int) -> Coverage:
    """Group similar tasks. X: shape (n_tasks, n_features). Fewer groups come out where tasks are alike."""
    n_tasks, n_features = X.shape
    if n_tasks == 0:
        return Coverage(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    is_small = n_tasks <= n_groups or n_features <= N_COMPONENTS
    dense = X.toarray() if is_small else _reduced(X, seed)
    unique, inverse = np.unique(dense, axis=0, return_inverse=True)
    n_groups = min(n_groups, len(unique))
    if len(unique) == n_groups:
        return Coverage(inverse.ravel(), _ranks(inverse.ravel(), np.zeros(n_tasks)))
    kmeans = MiniBatchKMeans(n_groups, random_state=seed, n_init=3, batch_size=2048)
    kmeans.fit(dense if n_tasks <= MAX_FITTED else _sample(dense, seed))
    distances = kmeans.transform(dense)
    groups = distances.argmin(axis=1)
    return Coverage(groups, _ranks(groups, distances[np.arange(n_tasks), groups]))


def _ranks(groups: Array, distances: Array) -> Array:
    """The place of each task in its group, nearest first."""
    order = np.lexsort((distances, groups))
    first = np.searchsorted(groups[order], groups)
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[order] = np.arange(len(groups))
    return ranks - first


def _reduced(X: sp.csr_matrix, seed: int) -> Array:
    """The rows' directions in the space of the largest singular vectors (latent semantic analysis)."""
    fitted = X if X.shape[0] <= MAX_FITTED else _sample(X, seed)
    _, _, vectors = randomized_svd(fitted, min(N_COMPONENTS, min(fitted.shape) - 1), n_iter=2, random_state=seed)
    reduced = X @ vectors.T
    norms = np.linalg.norm(reduced, axis=1, keepdims=True)
    return np.asarray(reduced / np.maximum(norms, 1e-12))


def _sample(rows: Any, seed: int) -> Any:
    chosen = np.random.default_rng(seed).choice(rows.shape[0], MAX_FITTED, replace=False)
    return rows[np.sort(chosen)]
