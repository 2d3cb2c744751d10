"""Ask what the members of a committee disagree on: query by committee (Seung et al. 1992)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from joblib import Parallel, delayed
from scipy.special import entr

from backend.learning.classifier import Classifier
from backend.learning.rows import Matrix, Rows
from backend.learning.strategies.uncertainty import entropy
from backend.learning.types import Array


def fit_committee(
    fit: Callable[[Matrix, Array], Classifier], X_labelled: Matrix, y: Array, n_members: int, seed: int
) -> list[Classifier]:
    """Classifiers that each saw another draw, with replacement, of the labelled tasks.

    Every member sees one example of every label at least, so all know the same labels. Members are trained side by
    side under `joblib.parallel_config`. Source: Breiman 1996 (bagging); Abe and Mamitsuka 1998.
    """
    random = np.random.default_rng(seed)
    draws = [_draw(y, random) for _ in range(n_members)]
    # Rows that are worked out when they are looked at know how, which is much to send to another machine.
    X = Rows(X_labelled.views) if isinstance(X_labelled, Rows) else X_labelled
    return list(Parallel()(delayed(_fit_drawn)(fit, X, y, draw) for draw in draws))


def _fit_drawn(fit: Callable[[Matrix, Array], Classifier], X: Matrix, y: Array, draw: Array) -> Classifier:
    return fit(X[draw], y[draw])


def _draw(y: Array, random: np.random.Generator) -> Array:
    """As many indices as there are labelled tasks, one of each label first."""
    each = [random.choice(np.flatnonzero(y == label)) for label in np.unique(y)]
    return np.sort(np.concatenate([np.array(each, dtype=np.int64), random.integers(len(y), size=len(y) - len(each))]))


def vote_entropy(probas: Array) -> Array:
    """How the members' votes are spread over the labels: 0 = all the same, 1 = as many labels as can be.

    probas: shape (n_members, n_tasks, n_labels), rows sum to 1. Returns shape (n_tasks,), in [0, 1].
    Source: Engelson and Dagan 1996; Settles 2009, section 3.2.
    """
    n_members, n_tasks, n_labels = probas.shape
    shares = np.zeros((n_tasks, n_labels))
    for votes in probas.argmax(axis=2):
        shares[np.arange(n_tasks), votes] += 1 / n_members
    return _over_maximum(entr(shares).sum(axis=1), n_members, n_labels)


def consensus_entropy(probas: Array) -> Array:
    """Entropy of the members' mean probabilities over its maximum, 1 = uniform.

    probas: shape (n_members, n_tasks, n_labels), rows sum to 1. Returns shape (n_tasks,), in [0, 1].
    Source: McCallum and Nigam 1998; Settles 2009, section 3.2.
    """
    return entropy(probas.mean(axis=0))


def kl_divergence(probas: Array) -> Array:
    """How far the members are from their mean on average: Kullback-Leibler divergence over its maximum.

    probas: shape (n_members, n_tasks, n_labels), rows sum to 1. Returns shape (n_tasks,), in [0, 1]; 0 = all agree.
    The same as entropy of the mean less mean of the entropies. Source: McCallum and Nigam 1998.
    """
    n_members, _, n_labels = probas.shape
    spread = entr(probas.mean(axis=0)).sum(axis=1)
    for proba in probas:
        spread -= entr(proba).sum(axis=1) / n_members
    return _over_maximum(spread, n_members, n_labels)


def _over_maximum(values: Array, n_members: int, n_labels: int) -> Array:
    n_votes = min(n_members, n_labels)
    return np.clip(values / np.log(n_votes), 0.0, 1.0) if n_votes > 1 else np.zeros(len(values))
