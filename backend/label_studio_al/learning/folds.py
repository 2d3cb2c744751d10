"""Parts of the labelled tasks that take turns at being held out."""

from __future__ import annotations

import numpy as np

from label_studio_al.learning import draws
from label_studio_al.learning.types import Array


def folds(y: Array, keys: Array, n_folds: int, seed: int) -> Array:
    """The fold of each example; folds, and each label's shares of them, differ by at most one.

    y: shape (n_examples,), label names; keys: shape (n_examples,). Returns shape (n_examples,), from 0 to n_folds - 1.
    """
    order = draws.shuffled(keys, seed, "folds")
    order = order[np.argsort(y[order], kind="stable")]
    fold_of = np.empty(len(y), dtype=int)
    fold_of[order] = np.arange(len(y)) % n_folds
    return fold_of
