"""Ask what the model is unsure of and what differs, at once."""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from label_studio_al.learning import draws
from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.rows import Matrix, dense_row, inner_blocks, squared_norms, weighted_sum
from label_studio_al.learning.strategies.clusters import compact, k_means_centres, nearest, spread
from label_studio_al.learning.strategies.query import Query, highest, in_turns
from label_studio_al.learning.strategies.uncertainty import margin
from label_studio_al.learning.types import Array

MIN_CANDIDATES = 100
CANDIDATES_A_TASK = 20
N_NEIGHBOURS = 10


def cluster_margin(query: Query) -> Array:
    """Uncertain tasks of many kinds: the most uncertain ones, taken in turns from clusters, smallest cluster first.

    Returns min(n, n_tasks) indices, batch after batch. Each batch is chosen among the 20 times as many tasks of the
    highest margin that are left, 100 at least, in as many k-means clusters as the batch has tasks. Several questions
    choose in turns: the one that is least sure of all would choose alone otherwise, and the others learn little.
    Source: Citovsky et al. 2021, who cluster the whole pool once and agglomeratively.
    """
    return in_turns([_cluster_margin(values, query) for values in query.measured_each(margin)], query.n)


def _cluster_margin(values: Array, query: Query) -> Array:
    """As `cluster_margin` for one question. values: shape (n_tasks,), the uncertainty of each task."""
    n, batch, seed = query.n, query.batch, query.seed
    n_candidates = max(MIN_CANDIDATES, CANDIDATES_A_TASK * batch)
    uncertain = highest(values, query.keys, n + n_candidates, seed)
    looked_at, looked_at_keys = query.Z[uncertain], query.keys[uncertain]
    chosen: Array = np.zeros(0, dtype=np.int64)
    left: Array = np.arange(len(uncertain))
    while len(chosen) < n and len(left):
        candidates = left[:n_candidates]
        order = draws.shuffled(looked_at_keys[candidates], seed, "clusters")
        in_order = candidates[order]
        rows, _ = compact(looked_at[in_order], looked_at[:0], looked_at_keys[in_order], seed)
        cluster_of = np.empty(len(candidates), dtype=np.int64)
        cluster_of[order] = nearest(rows, k_means_centres(rows, batch, seed))[0]
        picks = candidates[_in_turns(cluster_of)[:batch]]
        chosen = np.concatenate([chosen, picks])
        left = left[~np.isin(left, picks)]
    return np.asarray(uncertain[chosen[:n]])


def _in_turns(cluster_of: Array) -> Array:
    """Places of all, the first of each cluster before the second of any, smaller clusters first in each turn."""
    grouped = np.argsort(cluster_of, kind="stable")
    own = cluster_of[grouped]
    turn = np.arange(len(own)) - np.searchsorted(own, own)
    return np.asarray(grouped[np.lexsort((own, np.bincount(cluster_of)[own], turn))])


def gradient_errors(beliefs: Beliefs) -> Array:
    """What pulls at the weights, if the model's answer were right. Returns shape (n_tasks, n_decisions * n_classes)."""
    errors = beliefs.proba - np.eye(beliefs.proba.shape[2])[beliefs.decided]
    return np.asarray(errors.reshape(len(beliefs), errors.shape[1] * errors.shape[2]))


def badge(errors: Array, X: Matrix, keys: Array, n: int, seed: int) -> Array:
    """Tasks whose gradients, if the model's answer were right, are long and point apart: a k-means++ draw.

    errors: of `gradient_errors`. X: shape (n_tasks, n_features), the features that the model sees. Returns
    min(n, n_tasks) indices in the order of the draw. Exact: a decision's gradient is the product of (p - e) and x, so
    inner products of gradients are products of inner products, and no gradient is ever built.
    Source: Ash et al. 2020 (BADGE).
    """
    n_tasks = len(errors)
    if not n_tasks:
        return np.zeros(0, dtype=np.int64)
    norms = squared_norms(errors) * squared_norms(X)

    def distances(task: int) -> Array:
        return np.asarray(norms + norms[task] - 2 * (errors @ errors[task]) * (X @ dense_row(X, task)))

    first = int(highest(norms, keys, 1, seed)[0])
    return spread(distances, first, min(n, n_tasks), draws.shuffled(keys, seed, "gradients"), seed)


def contrastive(proba: Array, Z: Matrix, proba_labelled: Array, Z_labelled: Matrix) -> Array:
    """How much the model's answer differs from its answers on the most similar labelled tasks.

    proba, proba_labelled: shapes (n_tasks, n_labels) and (n_labelled, n_labels), rows sum to 1. Z, Z_labelled:
    shapes (n_tasks, n_dims) and (n_labelled, n_dims), at least 1 labelled. Returns shape (n_tasks,): mean
    Kullback-Leibler divergence of the 10 nearest from the task, in nats, 0 or more.
    Source: Margatina et al. 2021 (CAL).
    """
    n_neighbours = min(N_NEIGHBOURS, len(proba_labelled))
    norms = squared_norms(Z_labelled)
    mean, certainty = np.empty_like(proba), np.empty(len(proba))
    negentropy = -entr(proba_labelled).sum(axis=1)
    for block, products in inner_blocks(Z, Z_labelled):
        neighbours = np.argpartition(norms - 2 * products, n_neighbours - 1, axis=1)[:, :n_neighbours]
        mean[block] = proba_labelled[neighbours].mean(axis=1)
        certainty[block] = negentropy[neighbours].mean(axis=1)
    logs = np.log(np.maximum(proba, np.finfo(proba.dtype).tiny))
    return np.asarray(np.maximum(certainty - (mean * logs).sum(axis=1), 0))


def density(Z: Matrix) -> Array:
    """How similar a task is to the whole pool: times margin it asks what is uncertain, and no outlier.

    Z: shape (n_tasks, n_dims). Returns shape (n_tasks,), in [0, 1]. Similarity is the mean cosine to all tasks (0 where
    negative), exact: that is the product with the mean direction.
    Source: Settles and Craven 2008 (information density).
    """
    lengths = np.sqrt(squared_norms(Z))
    scale = np.where(lengths > 0, 1 / np.where(lengths > 0, lengths, 1), 0).astype(np.float32)
    return np.clip(scale * (Z @ (weighted_sum(scale, Z) / np.float32(max(1, len(scale))))), 0, 1)
