"""Ask what the model is unsure of: measures of a probability matrix, high = ask first, in [0, 1]."""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from label_studio_al.learning.types import Array


def margin(proba: Array) -> Array:
    """How close the two most probable labels are: 0 = far apart, 1 = a tie.

    proba: shape (n_tasks, n_labels), rows sum to 1. Returns shape (n_tasks,).
    With one label there is nothing to ask: all 0.
    Source: Scheffer et al. 2001; Settles 2009, section 3.1.
    """
    if proba.shape[1] < 2:
        return np.zeros(len(proba))
    # Label by label: a partition of many short rows takes ten times as long.
    best, second = np.array(proba[:, 0]), np.zeros(len(proba), proba.dtype)
    for column in proba.T[1:]:
        second = np.maximum(second, np.minimum(best, column))
        best = np.maximum(best, column)
    return np.asarray(1.0 - (best - second))


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
