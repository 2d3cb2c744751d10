"""Ask what would change the model most, or lower its error most, averaged over the answers it expects."""

from __future__ import annotations

import numpy as np
from joblib import Parallel, delayed
from scipy.linalg import cho_factor, cho_solve
from scipy.special import softmax

from label_studio_al.learning import draws
from label_studio_al.learning.classifier import REGULARISATION_C
from label_studio_al.learning.rows import Matrix, inner, squared_norms
from label_studio_al.learning.strategies.query import Query, highest
from label_studio_al.learning.strategies.uncertainty import margin
from label_studio_al.learning.types import Array

N_CANDIDATES = 500
N_EVALUATED = 500
MAX_LABELLED = 1_000
# Bounds the time with many labels: every candidate is tried with every label, and changes every label's probability.
MAX_TRIES = 200_000
MIN_CANDIDATES = 50
# Of the squared weights beside the loss.
PENALTY = 1 / REGULARISATION_C
N_BLOCKS = 16
N_STEPS = 30


def expected_gradient_length(proba: Array, norms: Array) -> Array:
    """Length of the step that a label would make the model take, averaged over the labels as probable.

    proba: shape (n_tasks, n_labels), rows sum to 1. norms: squared length of each task's features, shape (n_tasks,).
    Returns shape (n_tasks,), 0 or more: 0 = certain; below the square root of 2 for features of unit length. Exact
    for softmax regression with an intercept: label c has the gradient (p - e_c) x.
    Source: Settles and Craven 2008, section 3.3.
    """
    squared = (proba**2).sum(axis=1, keepdims=True) - 2 * proba + 1
    return np.asarray((proba * np.sqrt(np.maximum(squared, 0))).sum(axis=1) * np.sqrt(norms + 1))


def expected_error_reduction(query: Query) -> Array:
    """The tasks whose labels would leave the least entropy in the pool, averaged over the labels as probable.

    Returns min(n, n_tasks) indices, best first. What is approximate:
    - only the 500 tasks of the highest margin (fewer with more than 20 labels) are tried, the others follow by margin;
    - the entropy is taken over 500 tasks;
    - the model is not trained again: the loss of the labelled tasks is taken as quadratic around where it is, each
      label's logit on its own; only the new task's loss is exact. At most 1,000 labelled tasks count, all alike, and
      the intercept is one more feature.
    Candidates are tried side by side under `joblib.parallel_config`. Source: Roy and McCallum 2001 (log loss).
    """
    X, proba, keys, seed = query.X, query.beliefs.wide, query.keys, query.seed
    n_candidates = max(MIN_CANDIDATES, min(N_CANDIDATES, MAX_TRIES // proba.shape[1] ** 2))
    by_margin = highest(margin(proba), keys, max(query.n, n_candidates), seed)
    candidates, rest = by_margin[:n_candidates], by_margin[n_candidates:]
    evaluated = draws.first(keys, N_EVALUATED, seed, "evaluated")
    known = draws.first(query.labelled.keys, MAX_LABELLED, seed, "labelled")
    labelled = query.labelled.X[known], query.beliefs_labelled.wide[known]
    covariances, variances = posterior(X[candidates], X[evaluated], *labelled)
    logits = np.log(np.maximum(proba[evaluated], np.finfo(proba.dtype).tiny))
    blocks = np.array_split(np.arange(len(candidates)), min(N_BLOCKS, len(candidates)))
    entropies = Parallel()(
        delayed(expected_entropies)(logits, covariances[:, :, block], proba[candidates[block]], variances[block])
        for block in blocks
    )
    order = highest(-np.concatenate(entropies), keys[candidates], len(candidates), seed)
    return np.concatenate([candidates[order], rest])[: query.n]


def posterior(
    X: Matrix, X_evaluated: Matrix, X_labelled: Matrix, proba_labelled: Array, penalty: float = PENALTY
) -> tuple[Array, Array]:
    """How the logits of other tasks go along with that of each candidate, given the labelled tasks (Laplace).

    Shapes: X (n_candidates, n_features), X_evaluated (n_evaluated, n_features), X_labelled (n_labelled, n_features),
    proba_labelled (n_labelled, n_labels). Returns the covariances, shape (n_labels, n_evaluated, n_candidates), single
    precision, and the candidates' own variances, shape (n_candidates, n_labels).
    """
    n_labels = proba_labelled.shape[1]
    among = inner(X_labelled, X_labelled) + 1.0
    to_candidates, to_evaluated = inner(X_labelled, X) + 1.0, inner(X_labelled, X_evaluated) + 1.0
    direct, own = inner(X_evaluated, X) + 1.0, squared_norms(X) + 1.0
    covariances = np.empty((n_labels, *direct.shape), dtype=np.float32)
    variances = np.empty((len(own), n_labels))
    # Two labels share one logit, so each of them makes half of the way.
    unit = penalty * (2 if n_labels == 2 else 1)
    for label, p in enumerate(proba_labelled.T):
        root = np.sqrt(np.maximum(p * (1 - p), 0))[:, None]
        factor = cho_factor(root * among * root.T + penalty * np.eye(len(p)), lower=True)
        solved = root * cho_solve(factor, root * to_candidates)
        covariances[label] = (direct - to_evaluated.T @ solved) / unit
        variances[:, label] = np.maximum(own - (to_candidates * solved).sum(axis=0), 0) / unit
    return covariances, variances


def surprise(proba: Array, variances: Array) -> Array:
    """What pulls at each logit of a task once its label is known: 1 or 0, less the probability after that.

    proba, variances: shapes (n_tasks, n_labels). Returns shape (n_tasks, n_labels given, n_labels): the minimum of the
    label's loss and of the quadratic that holds the logits, by steps that never overshoot (Böhning 1992).
    """
    logits, held = np.log(np.maximum(proba, np.finfo(proba.dtype).tiny))[:, None, :], variances[:, None, :]
    given = np.eye(proba.shape[1])
    pulls = np.zeros((*proba.shape, proba.shape[1]))
    for _ in range(N_STEPS):
        pulls += (given - softmax(logits + held * pulls, axis=2) - pulls) / (1 + held / 2)
    return pulls


def expected_entropies(logits: Array, covariances: Array, proba: Array, variances: Array) -> Array:
    """Mean entropy after each candidate's label is known, averaged over its labels as probable.

    logits: shape (n_evaluated, n_labels). covariances, variances: see `posterior`. proba: shape (n_candidates,
    n_labels). Returns shape (n_candidates,), in nats.
    """
    pulls = surprise(proba, variances)
    entropies = np.empty(len(proba))
    for candidate in range(len(proba)):
        # Shape (label given, task evaluated, label of which the logit moves).
        moved = logits + pulls[candidate][:, None, :] * covariances[:, :, candidate].T
        moved -= moved.max(axis=2, keepdims=True)
        weights = np.exp(moved)
        total = weights.sum(axis=2)
        after = np.log(total) - (weights * moved).sum(axis=2) / total
        entropies[candidate] = proba[candidate] @ after.mean(axis=1)
    return entropies
