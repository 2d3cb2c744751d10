"""Cold start: which tasks to ask before the model knows every label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from label_studio_al.learning import draws
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.strategies.clusters import MAX_FITTED, k_means_centres, nearest
from label_studio_al.learning.strategies.diversity import MAX_COMPARED, most_typical
from label_studio_al.learning.types import Array


@dataclass(frozen=True)
class Coverage:
    """Groups of similar tasks: what TypiClust chooses from, made once and kept while people label.

    groups: shape (n_tasks,), the group of each task. ranks: shape (n_tasks,), place in its group, 0 = most typical.
    centres: shape (n_groups, n_dims).
    """

    groups: Array
    ranks: Array
    centres: Array

    def order(self, pool: Array, labelled: Array) -> Array:
        """The pool's tasks, most needed first: groups with the fewest labels, then the larger group.

        pool, labelled: row indices. Each group gives its most typical tasks first, and the groups take turns.
        Returns the indices in `pool`, reordered. Source: Hacohen et al. 2022 (TypiClust).
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
        return np.asarray(pool[np.lexsort((own, -sizes[own], place + n_labels[own]))])

    def extended(self, Z: Array, keys: Array, seed: int) -> Coverage:
        """With more tasks, each at the end of its nearest group. Z: shape (n_more, n_dims). keys: shape (n_more,)."""
        n_known = len(self.groups)
        groups = np.concatenate([self.groups, nearest(Z, self.centres)[0]])
        arrival = np.concatenate([np.arange(n_known), n_known + draws.shuffled(keys, seed, "groups")])
        order = arrival[np.argsort(groups[arrival], kind="stable")]
        places = np.arange(len(groups)) - np.searchsorted(groups[order], groups[order])
        ranks = np.empty_like(groups)
        ranks[order] = places
        return Coverage(groups, np.concatenate([self.ranks, ranks[len(self.ranks) :]]), self.centres)


def cover(Z: Matrix, keys: Array, n_groups: int, seed: int) -> Coverage:
    """Group similar tasks. Fewer groups come out where tasks are alike.

    Z: shape (n_tasks, n_dims), dense. keys: shape (n_tasks,). Centres are fitted on 10,000 tasks at most.
    """
    groups: Array = np.zeros(Z.shape[0], dtype=np.int64)
    ranks = groups.copy()
    centres = np.zeros((0, Z.shape[1]), dtype=np.float32)
    if Z.shape[0]:
        # Each number of groups starts elsewhere: from the same start the smaller groups would lie inside the larger
        # ones, and those that are left without labels would be the least typical of all.
        order = draws.shuffled(keys, seed, "groups", n_groups)
        centres = k_means_centres(Z[order[:MAX_FITTED]], n_groups, seed + n_groups)
        used, groups = np.unique(nearest(Z, centres)[0], return_inverse=True)
        centres = centres[used]
        grouped = order[np.argsort(groups[order], kind="stable")]
        for members in np.split(grouped, np.cumsum(np.bincount(groups))[:-1]):
            looked_at = members[:MAX_COMPARED]
            ranks[looked_at[most_typical(Z[looked_at])]] = np.arange(len(looked_at))
            ranks[members[MAX_COMPARED:]] = np.arange(len(looked_at), len(members))
    return Coverage(groups, ranks, centres)
