"""A linear-chain conditional random field over tokens' features, fitted by L-BFGS.

A tag's score is made of few outputs of a token: that it is in a span at all, that the span has begun before, and
each class. So classes learn together what spans look like, and there are half as many weights as of tags. Source:
Lafferty et al. 2001; Sutton and McCallum 2012, section 5, for likelihood and gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from label_studio_al.learning.descent import Rules, lowest
from label_studio_al.learning.sequences.lattice import Lattice, Transitions, n_tags, n_weights
from label_studio_al.learning.sequences.windows import Windows
from label_studio_al.learning.types import Array

RULES = Rules(most_steps=40, n_remembered=6, least_fall=1e-5, least_slope=1e-3)


@dataclass(frozen=True)
class Weights:
    """What a field has learnt. outputs: shape (n_features, 2 + n_classes): in a span, inside it, each class."""

    outputs: Array
    transitions: Transitions

    @property
    def n_classes(self) -> int:
        """Of spans."""
        return self.transitions.n_classes

    def scores(self, windows: Windows) -> Array:
        """The score of each tag of each token. Returns shape (n_tokens, n_tags), packed."""
        return tag_scores(windows.product(self.outputs))

    def lattice(self, windows: Windows) -> Lattice:
        """All taggings of the sequences."""
        return Lattice(self.scores(windows), self.transitions, windows.packing)


def tag_scores(outputs: Array) -> Array:
    """Outputs as scores of tags: O is 0. outputs: shape (n_tokens, 2 + n_classes). Returns shape (n_tokens, n_tags)."""
    n = outputs.shape[1] - 2
    found = np.zeros((len(outputs), n_tags(n)))
    found[:, 1 : 1 + n] = outputs[:, :1] + outputs[:, 2:]
    found[:, 1 + n :] = found[:, 1 : 1 + n] + outputs[:, 1:2]
    return found


def output_pull(pull: Array) -> Array:
    """Derivatives by the scores of tags as derivatives by outputs: the transposed of `tag_scores`."""
    n = pull.shape[1] // 2
    begins, inside = pull[:, 1 : 1 + n], pull[:, 1 + n :]
    by_class = begins + inside
    return np.column_stack([by_class.sum(axis=1), inside.sum(axis=1), by_class])


def fit(windows: Windows, tags: Array, n_classes: int, penalty: float = 1.0) -> Weights:
    """The weights of the most probable taggings, with Gaussian weights beforehand.

    tags: shape (n_tokens,), in reading order, allowed ones. penalty: of half the squared weights, beside the negative
    log-likelihood.
    """
    problem = Problem(windows, tags, n_classes, penalty)
    return problem.weights(lowest(problem.loss, np.zeros(problem.n_weights), RULES))


class Problem:
    """What is fitted, see `fit`."""

    def __init__(self, windows: Windows, tags: Array, n_classes: int, penalty: float) -> None:
        self._windows = windows
        self._n_classes = n_classes
        self._penalty = penalty
        self._tags = tags[windows.packing.order]
        self._of_features = windows.n_weights * (2 + n_classes)
        self._counted = Transitions.of(np.zeros(n_weights(n_classes)), n_classes).counted(self._tags, windows.packing)

    @property
    def n_weights(self) -> int:
        """Of features and transitions."""
        return self._of_features + n_weights(self._n_classes)

    def weights(self, flat: Array) -> Weights:
        """From one row of numbers."""
        outputs = flat[: self._of_features].reshape(-1, 2 + self._n_classes)
        return Weights(outputs, Transitions.of(flat[self._of_features :], self._n_classes))

    def flat(self, weights: Weights) -> Array:
        """As one row of numbers."""
        return np.concatenate([weights.outputs.ravel(), weights.transitions.flat])

    def loss(self, flat: Array) -> tuple[float, Array]:
        """Negative log-likelihood with the penalty, and its derivative by each weight."""
        weights = self.weights(flat)
        lattice = weights.lattice(self._windows)
        rows = np.arange(len(self._tags))
        given = lattice.scores[rows, self._tags].sum() + self._counted @ weights.transitions.flat
        pull = lattice.marginals.copy()
        pull[rows, self._tags] -= 1
        by_outputs = self._windows.gradient(output_pull(pull))
        slope = np.concatenate([by_outputs.ravel(), lattice.expected - self._counted])
        loss = lattice.log_sums.sum() - given + self._penalty / 2 * (flat @ flat)
        return float(loss), slope + self._penalty * flat


def log_likelihood(weights: Weights, windows: Windows, tags: Array) -> Array:
    """Logarithm of the probability of each sequence's tags, in reading order. Returns shape (n_sequences,)."""
    return weights.lattice(windows).path_logs(tags[windows.packing.order])
