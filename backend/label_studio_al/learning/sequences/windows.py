"""Tokens as rows of features: those of the word itself and of its neighbours, held once for each word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning.sequences.packing import Packing
from label_studio_al.learning.types import Array


@dataclass(frozen=True)
class Table:
    """Features of words, which count for the tokens at some distances from the word.

    rows: shape (n_words + 1, n_features), sparse (CSR) or dense; the last row is of what lies beyond a unit's ends.
    distances: 0 is the token itself, -1 the one before.
    """

    rows: Any
    distances: tuple[int, ...]

    @property
    def n_weights(self) -> int:
        """For one output."""
        return int(self.rows.shape[1]) * len(self.distances)

    def of(self, words: Array) -> Table:
        """Some words only, renumbered; the last row stays the last."""
        return Table(self.rows[np.append(words, self.rows.shape[0] - 1)], self.distances)


class Windows:
    """Packed tokens as rows of features, of which only products are ever made.

    A token has each table's features once for each distance. words: shape (n_tokens,), in reading order, rows of the
    tables.
    """

    def __init__(self, tables: Sequence[Table], words: Array, packing: Packing) -> None:
        self.tables = tables
        self.packing = packing
        n_words = int(tables[0].rows.shape[0]) - 1
        tokens = np.arange(len(words) + 1)
        self._at = {
            distance: _shifted(words, packing, distance, n_words)
            for distance in sorted({one for table in tables for one in table.distances})
        }
        self._by_word = {
            distance: sp.csc_matrix((np.ones(len(at)), at, tokens), shape=(n_words + 1, len(at)))
            for distance, at in self._at.items()
        }

    @property
    def n_weights(self) -> int:
        """For one output."""
        return sum(table.n_weights for table in self.tables)

    def product(self, weights: Array) -> Array:
        """Weighted sums of the features. weights: shape (n_weights, n_outputs). Returns shape (n_tokens, n_outputs)."""
        found = np.zeros((len(self.packing), weights.shape[1]))
        for distance, of_words in products(self.tables, weights).items():
            found += of_words[self._at[distance]]
        return found

    def gradient(self, pull: Array) -> Array:
        """Sums of each feature, weighted. pull: shape (n_tokens, n_outputs). Returns shape (n_weights, n_outputs)."""
        by_word = {distance: tokens @ pull for distance, tokens in self._by_word.items()}
        parts = []
        for table in self.tables:
            side_by_side = np.hstack([by_word[distance] for distance in table.distances])
            parts.append(np.asarray(table.rows.T @ side_by_side).reshape(-1, pull.shape[1]))
        return np.concatenate(parts)


def products(tables: Sequence[Table], weights: Array) -> dict[int, Array]:
    """What each word adds to the tokens at each distance. Arrays of shape (n_words + 1, n_outputs)."""
    found: dict[int, Array] = {}
    first = 0
    for table in tables:
        own = weights[first : first + table.n_weights].reshape(table.rows.shape[1], -1)
        first += table.n_weights
        sums = np.asarray(table.rows @ own).reshape(table.rows.shape[0], len(table.distances), -1)
        for nth, distance in enumerate(table.distances):
            found[distance] = found[distance] + sums[:, nth] if distance in found else sums[:, nth]
    return found


def gathered(of_words: Mapping[int, Array], words: Array, packing: Packing) -> Array:
    """Sums of what `products` gave, for each packed token. Returns shape (n_tokens, n_outputs)."""
    first, *more = of_words.items()
    found = first[1][_shifted(words, packing, first[0], len(first[1]) - 1)]
    for distance, values in more:
        found += values[_shifted(words, packing, distance, len(values) - 1)]
    return np.asarray(found)


def _shifted(words: Array, packing: Packing, distance: int, beyond: int) -> Array:
    """The word at a distance from each packed token."""
    there = packing.position + distance
    is_inside = (there >= 0) & (there < packing.lengths[packing.sequence])
    found = np.full(len(words), beyond)
    found[is_inside] = words[np.flatnonzero(is_inside) + distance]
    return np.asarray(found[packing.order])
