"""Tasks with the labels that people gave them, as training and measuring take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from label_studio_al.learning.rows import Matrix, Rows
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest


@dataclass(frozen=True)
class Labelled:
    """Labelled tasks, in the order in which they were labelled.

    X: shape (n_tasks, n_features). y: shape (n_tasks,), label names. keys: shape (n_tasks,), what tells the tasks apart
    wherever they lie (see draws). Raises InvalidRequest where the three do not fit together.
    """

    X: Matrix
    y: Array
    keys: Array

    def __post_init__(self) -> None:
        if not self.X.shape[0] == len(self.y) == len(self.keys):
            came = f"{len(self.y)} labels and {len(self.keys)} keys for {self.X.shape[0]} tasks"
            raise InvalidRequest(f"every labelled task needs one label and one key, have {came}")

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, places: Any) -> Labelled:
        """Some of the tasks (indices, a mask or a slice)."""
        return Labelled(self.X[places], self.y[places], self.keys[places])

    @property
    def labels(self) -> Array:
        """The label names that occur, sorted."""
        return np.unique(self.y)

    def computed(self) -> Labelled:
        """The same with features that are computed once, not whenever they are looked at, nor on another machine."""
        return Labelled(Rows(self.X.views), self.y, self.keys) if isinstance(self.X, Rows) else self
