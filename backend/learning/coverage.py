"""Cold start: which tasks to ask before the model knows every label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from backend.learning.types import Array

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


def cover(Z: Array, n_groups: int, seed: int) -> Coverage:
    """Group similar tasks. Z: shape (n_tasks, n_dims), dense. Fewer groups come out where tasks are alike."""
    n_tasks = len(Z)
    # Equal tasks have equal signatures: rows of 456 columns are too wide to be sorted.
    directions = np.random.default_rng(seed).standard_normal((Z.shape[1], 2))
    _, kinds = np.unique(np.round(Z @ directions, 4), axis=0, return_inverse=True)
    kinds = kinds.ravel()
    if n_tasks == 0 or kinds.max() < n_groups:
        return Coverage(kinds, _ranks(kinds, np.zeros(n_tasks)))
    sample = Z
    if n_tasks > MAX_FITTED:
        chosen = np.random.default_rng(seed).choice(n_tasks, MAX_FITTED, replace=False)
        sample = Z[np.sort(chosen)]
    kmeans = MiniBatchKMeans(n_groups, random_state=seed, n_init=3, batch_size=2048).fit(sample)
    distances = kmeans.transform(Z)
    groups = distances.argmin(axis=1)
    return Coverage(groups, _ranks(groups, distances[np.arange(n_tasks), groups]))


def _ranks(groups: Array, distances: Array) -> Array:
    """The place of each task in its group, nearest first."""
    order = np.lexsort((distances, groups))
    first = np.searchsorted(groups[order], groups)
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[order] = np.arange(len(groups))
    return ranks - first
