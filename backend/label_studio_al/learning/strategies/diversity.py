"""Ask what differs from everything asked before: no model needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from label_studio_al.learning import draws
from label_studio_al.learning.rows import Matrix, dense_row, squared_norms
from label_studio_al.learning.strategies.clusters import MAX_FITTED, compact, k_means_centres, nearest
from label_studio_al.learning.strategies.query import Query
from label_studio_al.learning.types import Array

MAX_CLUSTERS = 500
MAX_COMPARED = 500
N_NEIGHBOURS = 20


def k_center(Z: Matrix, Z_labelled: Matrix, keys: Array, n: int, seed: int) -> Array:
    """The task farthest from everything labelled or chosen, again and again: the pool is covered in few balls.

    Z: shape (n_tasks, n_dims), Z_labelled: shape (n_labelled, n_dims). Returns min(n, n_tasks) indices in the order
    of choice, ties in the tasks' random order. Exact for the greedy algorithm, which is at most 2 times the optimal
    radius. Source: Sener and Savarese 2018 (CoreSet); Gonzalez 1985.
    """
    tie_break = draws.hashes(keys, seed, "ties")
    n_tasks, norms = Z.shape[0], squared_norms(Z)
    distances = nearest(Z, Z_labelled)[1] if Z_labelled.shape[0] else np.full(n_tasks, np.inf)
    chosen = np.zeros(min(n, n_tasks), dtype=np.int64)
    for place in range(len(chosen)):
        farthest = np.flatnonzero(distances == distances.max())
        task = farthest[tie_break[farthest].argmin()]
        chosen[place] = task
        distances = np.minimum(distances, np.maximum(norms + norms[task] - 2 * (Z @ dense_row(Z, task)), 0))
        distances[chosen[: place + 1]] = -1  # below every other, even a copy
    return chosen


def k_means(query: Query) -> Array:
    """The task nearest to each k-means centre, where the centre's cluster has no label; largest cluster first.

    Returns min(n, n_tasks) indices in the order of choice. Approximate: centres are fitted on 10,000 tasks, 500 at
    most; wide sparse features are projected first.
    Source: Zhdanov 2019, with TypiClust's way of passing over what is labelled.
    """

    def nearest_to_centre(rows: Array) -> Array:
        return np.argsort(squared_norms(rows - rows.mean(axis=0)), kind="stable")

    return _by_cluster(query, nearest_to_centre)


def typiclust(query: Query) -> Array:
    """The most typical task of each cluster without a label, largest cluster first.

    There are as many clusters as labelled and
    wanted tasks. Typical: nearest on average to its 20 nearest neighbours in the cluster. Returns min(n, n_tasks)
    indices in the order of choice. Approximate: centres are fitted on 10,000 tasks, 500 at most; neighbours are
    looked for in 500 tasks of the cluster; wide sparse features are projected first.
    Source: Hacohen et al. 2022 (TypiClust).
    """
    return _by_cluster(query, most_typical)


def most_typical(rows: Array) -> Array:
    """Indices of a cluster's rows, most typical first; beyond 500 rows, those looked at first.

    rows: shape (n_rows, n_dims). Source: Hacohen et al. 2022, equation 4.
    """
    compared = rows[:MAX_COMPARED]
    n_neighbours = min(N_NEIGHBOURS, len(compared) // 2)
    if not n_neighbours:
        return np.arange(len(rows))
    norms = squared_norms(compared)
    distances = np.sqrt(np.maximum(norms[:, None] + norms - 2 * (compared @ compared.T), 0))
    np.fill_diagonal(distances, np.inf)
    mean = np.partition(distances, n_neighbours - 1, axis=1)[:, :n_neighbours].mean(axis=1)
    return np.concatenate([np.argsort(mean, kind="stable"), np.arange(len(compared), len(rows))])


def _by_cluster(query: Query, best_first: Callable[[Array], Array]) -> Array:
    """One task a cluster, clusters without a label first, then the larger one.

    One batch is chosen, then three times as many as are chosen already: few clusterings make a long window, and a
    shorter window is its beginning. best_first: from a cluster's rows to their order.
    """
    seed = query.seed
    rows, labelled = compact(query.Z, query.Z_labelled, query.keys, seed)
    order, n = draws.shuffled(query.keys, seed, "clusters"), min(query.n, len(rows))
    chosen = np.zeros(0, dtype=np.int64)
    while len(chosen) < n:
        covered = np.vstack([labelled, rows[chosen]])
        step = min(max(query.batch, 3 * len(chosen)), len(rows) - len(chosen))
        sample = np.vstack([rows[order[:MAX_FITTED]], labelled])
        centres = k_means_centres(sample, min(len(covered) + step, MAX_CLUSTERS), seed)
        n_covered = np.bincount(nearest(covered, centres)[0], minlength=len(centres))
        free = order[~np.isin(order, chosen)]
        cluster_of = nearest(rows[free], centres)[0]
        in_order = _best_of_each(rows, free, cluster_of, best_first)
        picks = _take_turns(in_order, cluster_of, n_covered, min(step, n - len(chosen)))
        chosen = np.concatenate([chosen, picks])
    return chosen


def _best_of_each(
    rows: Array, free: Array, cluster_of: Array, best_first: Callable[[Array], Array]
) -> Callable[[int], Iterator[int]]:
    """Gives a cluster's free tasks, the best first."""

    def in_order(cluster: int) -> Iterator[int]:
        members = free[cluster_of == cluster]
        return iter(members[best_first(rows[members])].tolist())

    return in_order


def _take_turns(in_order: Callable[[int], Iterator[int]], cluster_of: Array, n_covered: Array, n: int) -> Array:
    """n of the free tasks: each from the cluster that has the fewest covered tasks, then the most free ones."""
    n_covered, n_free = n_covered.copy(), np.bincount(cluster_of, minlength=len(n_covered))
    sizes, queues, picks = n_free.copy(), dict[int, Iterator[int]](), []
    for _ in range(n):
        open_ones = np.flatnonzero(n_free)
        cluster = int(open_ones[np.lexsort((-sizes[open_ones], n_covered[open_ones]))[0]])
        if cluster not in queues:
            queues[cluster] = in_order(cluster)
        picks.append(next(queues[cluster]))
        n_covered[cluster] += 1
        n_free[cluster] -= 1
    return np.array(picks, dtype=np.int64)
