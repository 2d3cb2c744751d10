"""Which tasks to ask next.

Every measure is a pure function of a probability matrix and points in one direction: informativeness,
high = ask first, in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import entr

from backend.learning.types import Array

Measure = Callable[[Array], Array]


def margin(proba: Array) -> Array:
    """How close the two most probable labels are: 0 = far apart, 1 = a tie.

    proba: shape (n_tasks, n_labels), rows sum to 1. Returns shape (n_tasks,).
    With one label there is nothing to ask: all 0.
    Source: Scheffer et al. 2001; Settles 2009, section 3.1.
    """
    if proba.shape[1] < 2:
        return np.zeros(len(proba))
    top_two = np.partition(proba, -2, axis=1)[:, -2:]
    return np.asarray(1.0 - np.abs(top_two[:, 1] - top_two[:, 0]))


def least_confidence(proba: Array) -> Array:
    """How improbable the most probable label is, scaled so that a uniform row gives 1.

    proba: shape (n_tasks, n_labels), rows sum to 1. Returns shape (n_tasks,). Source: Lewis and Gale 1994.
    """
    n_labels = proba.shape[1]
    if n_labels < 2:
        return np.zeros(len(proba))
    return np.asarray((1.0 - proba.max(axis=1)) * n_labels / (n_labels - 1))


def entropy(proba: Array) -> Array:
    """How spread the probabilities are: Shannon's entropy over its maximum, 1 = uniform.

    proba: shape (n_tasks, n_labels), rows sum to 1. Returns shape (n_tasks,). Source: Shannon 1948; Settles 2009.
    """
    n_labels = proba.shape[1]
    if n_labels < 2:
        return np.zeros(len(proba))
    return np.asarray(np.clip(entr(proba).sum(axis=1) / np.log(n_labels), 0.0, 1.0))


MEASURES: dict[str, Measure] = {
    "margin": margin,
    "least_confidence": least_confidence,
    "entropy": entropy,
}


def highest(informativeness: Array, n: int, seed: int) -> Array:
    """Indices of the n most informative tasks, highest first; ties in an order drawn with the seed.

    informativeness: shape (n_tasks,). Returns shape (min(n, n_tasks),).
    """
    n_tasks = len(informativeness)
    if n_tasks > n > 0:
        least = np.partition(informativeness, n_tasks - n)[n_tasks - n]
        candidates = np.flatnonzero(informativeness >= least)
    else:
        candidates = np.arange(n_tasks)
    tie_break = np.random.default_rng(seed).permutation(len(candidates))
    order = np.lexsort((tie_break, -informativeness[candidates]))
    return np.asarray(candidates[order[:n]])


def by_position(positions: Array) -> Array:
    """Informativeness of tasks that have only a place in an order: 1 for the first, falling with the place.

    positions: whole numbers from 0. Returns values in (0, 1], strictly falling, so that later places can always
    be added below.
    """
    return np.asarray(1.0 / (1.0 + positions / 100.0))
