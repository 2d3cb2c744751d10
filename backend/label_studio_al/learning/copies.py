"""Tasks with the same text: only one of them is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from label_studio_al.learning import draws
from label_studio_al.learning.types import Array


@dataclass(frozen=True)
class Copies:
    """The tasks whose text other tasks have, too.

    rows: shape (n_copies,), indices of these tasks, ascending. texts: shape (n_copies,), the number of each one's text,
    from 0 on.
    """

    rows: Array
    texts: Array

    @classmethod
    def among(cls, contents: Array, rows: Array) -> Copies:
        """contents: shape (n_tasks,), see draws.text_hashes. rows: indices of the tasks that count."""
        rows = np.sort(rows)
        found = contents[rows]
        in_order = np.sort(found)
        repeated = np.unique(in_order[1:][in_order[1:] == in_order[:-1]])
        if not len(repeated):
            return cls(rows[:0], np.zeros(0, dtype=np.int64))
        places = np.minimum(np.searchsorted(repeated, found), len(repeated) - 1)
        is_copy = repeated[places] == found
        return cls(rows[is_copy], places[is_copy])

    def texts_of(self, rows: Array) -> Array:
        """The number of the text that each of these tasks shares with others, -1 for none. Returns shape (n_rows,)."""
        if not len(self.rows):
            return np.full(len(rows), -1)
        places = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[places] == rows, self.texts[places], -1)

    def followers(self, keys: Array, pool: Array, asked: Array, seed: int) -> Array:
        """The tasks of the pool that ask nothing new: of a text that was asked all, of any other text all but one.

        keys: shape (n_tasks,); pool, asked: indices. Returns indices, in random order.
        """
        if not len(self.rows):
            return self.rows
        is_open, was_asked = (_mask(rows, len(keys))[self.rows] for rows in (pool, asked))
        is_known = _mask(self.texts[was_asked], int(self.texts.max()) + 1)
        rows, texts = self.rows[is_open], self.texts[is_open]
        order = draws.shuffled(keys[rows], seed, "copies")
        rows, texts = rows[order], texts[order]
        follows = np.ones(len(rows), dtype=bool)
        follows[np.unique(texts, return_index=True)[1]] = False
        return np.asarray(rows[follows | is_known[texts]])


def _mask(places: Array, n: int) -> Array:
    mask = np.zeros(n, dtype=bool)
    mask[places] = True
    return mask
