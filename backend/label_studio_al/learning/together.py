"""What several models say of the same tasks, in one pass over the features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from label_studio_al.learning.beliefs import Measure
from label_studio_al.learning.classifier import Linear
from label_studio_al.learning.coding import Learned
from label_studio_al.learning.rows import Matrix, Weights, product
from label_studio_al.learning.types import Array

# Sums of a row in one pass. With more of them, the sums take the time, not the pass.
MAX_SUMS = 64


def measured(models: Sequence[Learned], X: Matrix, measure: Measure) -> list[Array]:
    """What a measure says of each task by each of the models, see `Beliefs.measured`. Each of shape (n_tasks,)."""
    found: list[Array] = []
    for group in _groups(models):
        linear = [one for one in group if isinstance(one, Linear)]
        found += _in_one_pass(linear, X, measure) if len(linear) > 1 else [group[0].measured(X, measure)]
    return found


def _groups(models: Sequence[Learned]) -> Iterator[list[Learned]]:
    """The models in their order, those together that share a pass."""
    group: list[Learned] = []
    n_sums = 0
    for one in models:
        own = one.weights.shape[1] if isinstance(one, Linear) else MAX_SUMS
        if group and n_sums + own > MAX_SUMS:
            yield group
            group, n_sums = [], 0
        group.append(one)
        n_sums += own
    if group:
        yield group


def _in_one_pass(models: Sequence[Linear], X: Matrix, measure: Measure) -> list[Array]:
    weights = [one.of_columns for one in models]
    ends = np.cumsum([one.n_outputs for one in weights])

    def values(sums: Array) -> Array:
        parts = np.split(sums, ends[:-1], axis=1)
        return np.column_stack([one.value(part, measure) for one, part in zip(models, parts, strict=True)])

    return list(product(X, Weights.beside(weights), values).T)
