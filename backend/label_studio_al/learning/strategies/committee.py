"""Ask what the members of a committee disagree on: query by committee (Seung et al. 1992)."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import numpy as np
from joblib import Parallel, delayed
from scipy.special import entr

from label_studio_al.learning import draws
from label_studio_al.learning.coding import Learned
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.strategies.uncertainty import entropy
from label_studio_al.learning.types import Array

# The probability of at most 0, 1, 2 ... with a mean of 1; nobody draws more often than 18 times.
_POISSON = np.cumsum(np.exp(-1) / np.array([factorial(times) for times in range(18)]))


def fit_committee(
    fit: Callable[[Matrix, Array], Learned], labelled: Labelled, n_members: int, seed: int
) -> list[Learned]:
    """Classifiers that each saw another draw, with replacement, of the labelled tasks.

    How often a member sees a task is drawn for each task on its own, so a further label changes nothing for the others.
    Every member sees one example of every label at least, so all know the same labels. Members are trained side by
    side under `joblib.parallel_config`. Source: Abe and Mamitsuka 1998 (query by bagging); Oza and Russell 2001 (the
    bootstrap's counts as independent draws from Poisson's distribution of mean 1).
    """
    of = [draws.uniforms(labelled.keys, seed, "committee", member) for member in range(n_members)]
    known, truth = labelled.computed(), labelled.truth
    return list(Parallel()(delayed(_fit_drawn)(fit, known, _draw(truth, uniforms)) for uniforms in of))


def _fit_drawn(fit: Callable[[Matrix, Array], Learned], labelled: Labelled, draw: Array) -> Learned:
    drawn = labelled[draw]
    return fit(drawn.X, drawn.y)


def _draw(truth: Array, uniforms: Array) -> Array:
    """Indices of the labelled tasks, each as often as it was drawn. uniforms: shape (n_labelled,), in [0, 1)."""
    counts = np.searchsorted(_POISSON, uniforms, side="right")
    for decision in truth.T:
        for column in np.unique(decision):
            own = np.flatnonzero(decision == column)
            if not counts[own].any():
                counts[own[uniforms[own].argmax()]] = 1
    return np.repeat(np.arange(len(truth)), counts)


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
