"""Tasks with the labels that people gave them, as training and measuring take them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from label_studio_al.learning.coding import ONE_LABEL, Coding, decided
from label_studio_al.learning.rows import Matrix, Rows
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest


@dataclass(frozen=True)
class Labelled:
    """Labelled tasks, in the order in which they were labelled.

    X: shape (n_tasks, n_features). y: shape (n_tasks,), answers as texts. keys: shape (n_tasks,), what tells the tasks
    apart wherever they lie (see draws). coding: what answers are. Raises InvalidRequest where the three do not fit
    together.
    """

    X: Matrix
    y: Array
    keys: Array
    coding: Coding = ONE_LABEL

    def __post_init__(self) -> None:
        if not self.X.shape[0] == len(self.y) == len(self.keys):
            came = f"{len(self.y)} labels and {len(self.keys)} keys for {self.X.shape[0]} tasks"
            raise InvalidRequest(f"every labelled task needs one label and one key, have {came}")

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, places: Any) -> Labelled:
        """Some of the tasks (indices, a mask or a slice)."""
        return Labelled(self.X[places], self.y[places], self.keys[places], self.coding)

    @property
    def classes(self) -> Array:
        """The classes that occur, sorted."""
        return self.coding.classes(self.y)

    @property
    def truth(self) -> Array:
        """Which of `classes` each answer is."""
        return decided(self.coding).encode(self.y, self.classes)

    @property
    def is_trainable(self) -> bool:
        """Whether there are different answers to tell apart."""
        return len(np.unique(self.y)) > 1

    def computed(self) -> Labelled:
        """The same with features that are computed once, not whenever they are looked at, nor on another machine."""
        return replace(self, X=Rows(self.X.views)) if isinstance(self.X, Rows) else self
