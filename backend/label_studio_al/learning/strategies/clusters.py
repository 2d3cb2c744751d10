"""Groups of similar tasks, found on a sample: time and memory grow with the number of tasks, not with its square."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning import draws
from label_studio_al.learning.rows import Matrix, inner_blocks, squared_norms, views_of
from label_studio_al.learning.types import Array

MAX_FITTED = 10_000
N_ITERATIONS = 10
# A sparse view of more columns is brought down to its main directions.
MAX_SPARSE_COLUMNS = 256
N_DIRECTIONS = 32


def compact(X: Matrix, others: Matrix, keys: Array, seed: int) -> tuple[Array, Array]:
    """The rows of X and of others, short and dense. Wide sparse views are projected on X's main directions.

    keys: of X, whose directions are those of 10,000 tasks at most.
    """
    pairs = zip(views_of(X), views_of(others), strict=True)
    parts = [_compact_view(view, other, keys, seed) for view, other in pairs]
    return np.hstack([part for part, _ in parts]), np.hstack([part for _, part in parts])


def _compact_view(view: Any, other: Any, keys: Array, seed: int) -> tuple[Array, Array]:
    if not sp.issparse(view):
        return np.asarray(view), np.asarray(other)
    if view.shape[1] <= MAX_SPARSE_COLUMNS or not view.nnz:
        return view[:, :MAX_SPARSE_COLUMNS].toarray(), other[:, :MAX_SPARSE_COLUMNS].toarray()
    # Not at the top: scikit-learn weighs 100 MB, and the web process, which knows all strategies, does without.
    from sklearn.utils.extmath import randomized_range_finder

    sample = view[draws.first(keys, MAX_FITTED, seed, "directions")]
    size = min(N_DIRECTIONS, sample.shape[0])
    # Halko et al. 2011, with one power iteration.
    directions = randomized_range_finder(sample.T, size=size, n_iter=1, random_state=seed)
    return np.asarray(view @ directions), np.asarray(other @ directions)


def k_means_centres(rows: Array, n_clusters: int, seed: int) -> Array:
    """Centres of groups of similar rows: Lloyd's k-means from a k-means++ start.

    rows: shape (n_rows, n_dims), at least 1, in an order that their tasks' keys decide. Returns shape
    (min(n_clusters, n_rows), n_dims); rows that are alike can leave centres alike.
    Source: Arthur and Vassilvitskii 2007.
    """
    norms = squared_norms(rows)
    start = int(np.random.default_rng(seed).integers(len(rows)))

    def distances(row: int) -> Array:
        return np.asarray(norms + norms[row] - 2 * (rows @ rows[row]))

    centres = rows[spread(distances, start, min(n_clusters, len(rows)), np.arange(len(rows)), seed)]
    for _ in range(N_ITERATIONS):
        of, _ = nearest(rows, centres)
        members = sp.csr_matrix((np.ones(len(rows), rows.dtype), (of, np.arange(len(rows)))), (len(centres), len(rows)))
        sizes = np.bincount(of, minlength=len(centres))
        has_rows = sizes > 0
        centres[has_rows] = (members @ rows)[has_rows] / sizes[has_rows, None].astype(rows.dtype)
    return centres


def nearest(X: Matrix, others: Matrix) -> tuple[Array, Array]:
    """Which of a few other rows is nearest to each row, and the squared distance to it. Returns shapes (n_tasks,)."""
    which, distances = np.zeros(X.shape[0], dtype=np.int64), squared_norms(X)
    norms = squared_norms(others)
    for block, products in inner_blocks(X, others):
        nearness = norms - 2 * products
        which[block] = nearness.argmin(axis=1)
        distances[block] += nearness.min(axis=1)
    return which, np.maximum(distances, 0)


def spread(distances_from: Callable[[int], Array], first: int, n: int, order: Array, seed: int) -> Array:
    """n tasks far from each other, the next drawn with a chance that is its squared distance from those before.

    distances_from: squared distances of all tasks from one. order: all tasks, in the order in which the draw looks
    at them. Returns shape (n,), distinct, n at most the number of tasks. Source: Arthur and Vassilvitskii 2007
    (k-means++).
    """
    random = np.random.default_rng(seed)
    chosen = [first]
    is_free = np.ones(len(order), dtype=bool)
    distances = np.full(len(order), np.inf)
    while len(chosen) < n:
        distances = np.minimum(distances, distances_from(chosen[-1]))
        is_free[chosen[-1]] = False
        chances = np.cumsum(np.where(is_free, np.maximum(distances, 0), 0)[order], dtype=np.float64)
        if chances[-1] <= 0:
            chances = np.cumsum(is_free[order], dtype=np.float64)
        chosen.append(int(order[np.searchsorted(chances, (1 - random.random()) * chances[-1])]))
    return np.array(chosen[:n], dtype=np.int64)
