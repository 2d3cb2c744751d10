"""Sequences of different lengths, side by side and without padding: first every first token, then every second …"""

from __future__ import annotations

import numpy as np

from label_studio_al.learning.types import Array


class Packing:
    """Where the tokens of sequences lie, the longest first, so that those that go on are always the first of a step.

    order: shape (n_tokens,), the token, in reading order, of each packed row. place: the packed row of each token.
    steps: of each position in a sequence, its rows. before: of each row from the second position on, the row of the
    token before it. lengths: shape (n_sequences,), some may be 0.
    """

    def __init__(self, lengths: Array) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        by_length = np.argsort(-self.lengths, kind="stable")
        rank = np.empty_like(by_length)
        rank[by_length] = np.arange(len(by_length))
        longest = int(self.lengths.max(initial=0))
        are_longer = np.cumsum(np.bincount(self.lengths, minlength=longest + 1)[::-1])[::-1]
        sizes = are_longer[1:]
        self.ends = np.concatenate([[0], np.cumsum(sizes)])
        self.steps = [slice(int(first), int(last)) for first, last in zip(self.ends[:-1], self.ends[1:], strict=True)]
        self.sequence = np.repeat(np.arange(len(self.lengths)), self.lengths)
        self.position = np.arange(len(self.sequence)) - np.repeat(np.cumsum(self.lengths) - self.lengths, self.lengths)
        self.place = self.ends[self.position] + rank[self.sequence]
        self.order = np.empty_like(self.place)
        self.order[self.place] = np.arange(len(self.place))
        after = np.arange(self.n_first, len(self.place))
        self.before = after - np.repeat(sizes[:-1], sizes[1:]) if longest > 1 else after

    def __len__(self) -> int:
        return len(self.place)

    @property
    def n_first(self) -> int:
        """How many rows are the first of their sequence."""
        return int(self.ends[1]) if len(self.ends) > 1 else 0

    def sums(self, values: Array) -> Array:
        """The sum over each sequence. values: shape (n_tokens,), packed. Returns shape (n_sequences,)."""
        return np.bincount(self.sequence[self.order], weights=values, minlength=len(self.lengths))
