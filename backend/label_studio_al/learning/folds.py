"""Parts of the labelled tasks that take turns at being held out."""

from __future__ import annotations

import numpy as np

from label_studio_al.learning import draws
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.types import Array


def folds(labelled: Labelled, n_folds: int, seed: int) -> Array:
    """The fold of each task, from 0 to n_folds - 1; folds, and each label's shares of them, differ by at most one.

    Returns shape (n_tasks,).
    """
    order = draws.shuffled(labelled.keys, seed, "folds")
    order = order[np.argsort(labelled.coding.strata(labelled.y)[order], kind="stable")]
    fold_of = np.empty(len(labelled), dtype=int)
    fold_of[order] = np.arange(len(labelled)) % n_folds
    return fold_of
