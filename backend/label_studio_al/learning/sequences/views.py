"""Which features tokens have: what words look like, how the pool uses them, what they mean; theirs and neighbours'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning.sequences.pool_words import Usage, Words
from label_studio_al.learning.sequences.windows import Table
from label_studio_al.learning.sequences.words import among
from label_studio_al.learning.types import Array

WIDE, NEAR, OWN = (-2, -1, 0, 1, 2), (-1, 0, 1), (0,)
# Of each of `SURFACES`: the word, its form, its ends.
_DISTANCES = (WIDE, NEAR, OWN)
# The larger, the less a view's weights are held back.
VECTOR_SIZE = 2.0
# Weights of one fit: of more labels or words, rare features are left out. Some fifteen arrays of this size are kept.
MOST_WEIGHTS = 1_500_000


@dataclass(frozen=True)
class Views:
    """The columns that labels were seen for. columns: of each of `SURFACES`, ascending."""

    columns: tuple[Array, ...]

    @classmethod
    def of(cls, words: Words, counts: Array, n_outputs: int) -> Views:
        """All features of the words that are trained on, the most frequent if these are too many.

        words: distinct. counts: shape (n_words,), how often each occurs.
        """
        found = [_counted(rows, counts) for rows in words.surfaces]
        most = MOST_WEIGHTS // n_outputs
        sizes = np.concatenate(
            [np.full(len(columns), len(_DISTANCES[kind])) for kind, (columns, _) in enumerate(found)]
        )
        order = np.argsort(-np.concatenate([n for _, n in found]), kind="stable")
        is_kept = np.zeros(len(order), dtype=bool)
        is_kept[order] = np.cumsum(sizes[order]) <= most
        parts = np.split(is_kept, np.cumsum([len(columns) for columns, _ in found])[:-1])
        return cls(tuple(columns[part] for (columns, _), part in zip(found, parts, strict=True)))

    def tables(self, words: Words, usage: Usage) -> list[Table]:
        """Features of words, last those of what lies beyond a unit's ends."""
        n_words = len(words.place)
        surfaces = [
            Table(_with_end(among(rows, columns)), distances)
            for rows, columns, distances in zip(words.surfaces, self.columns, _DISTANCES, strict=True)
        ]
        dense = [np.ones((n_words, 1)), usage.habits[words.place], usage.contexts[words.place]]
        dense.append(VECTOR_SIZE * words.vectors)
        near = np.hstack(dense)
        neighbours = sp.vstack(
            [usage.neighbours[words.place], sp.csr_matrix((1, usage.neighbours.shape[1]))], format="csr"
        )
        return [*surfaces, Table(neighbours, OWN), Table(np.vstack([near, np.zeros((1, near.shape[1]))]), NEAR)]


def _counted(rows: sp.csr_matrix, counts: Array) -> tuple[Array, Array]:
    """The columns that occur, and in how many tokens."""
    n_tokens = np.repeat(counts, np.diff(rows.indptr))
    columns, place = np.unique(rows.indices, return_inverse=True)
    return columns, np.bincount(place, weights=n_tokens, minlength=len(columns))


def _with_end(rows: sp.csr_matrix) -> Any:
    """A last column and row for what lies beyond the ends."""
    end = sp.csr_matrix(([1.0], ([0], [rows.shape[1]])), shape=(1, rows.shape[1] + 1))
    wide = sp.csr_matrix((rows.data, rows.indices, rows.indptr), shape=(rows.shape[0], rows.shape[1] + 1))
    return sp.vstack([wide, end], format="csr").astype(np.float64)
