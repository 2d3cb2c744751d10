"""The embeddings of a project that are filled in while turns go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from label_studio_al.learning.deferred import IMAGE, Deferred, DeferredRows
from label_studio_al.learning.features import TextRows
from label_studio_al.learning.types import Array
from label_studio_al.pool.embeddings import EmbeddingFile
from label_studio_al.pool.thumbnails import Thumbnails

# From so many tasks on, drawn at random, the others need not be waited for.
ENOUGH = 10_000


class DeferredPool:
    """Looks up embeddings of a pool's rows. Nothing is encoded here."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Deferred, EmbeddingFile] = {}
        self._rows: DeferredRows | None = None
        self._unseen: Array = np.zeros(0, dtype=np.uint64)
        self._is_unseen: Array = np.zeros(0, dtype=bool)

    def excuse(self, contents: Sequence[int]) -> bool:
        """Contents that need no embedding of their image from the next look on; whether they are other ones."""
        before, self._unseen = self._unseen, np.unique(np.array(contents, dtype=np.uint64))
        return not np.array_equal(before, self._unseen)

    def look_up(self, used: tuple[Deferred, ...], contents: Array) -> bool:
        """Find the embeddings of the rows, whose contents these are; whether any came or went, or is needed no more."""
        before, were_unseen = self._rows, self._is_unseen
        if not used:
            self._rows = None
            return before is not None
        self._is_unseen = np.isin(contents, self._unseen)
        files = [self._file(one) for one in used]
        self._rows = DeferredRows.of(used, contents, files)
        are_needed = np.array_equal(were_unseen, self._is_unseen)
        return before is None or not are_needed or not _are_equal(before, self._rows)

    def fill_in(self, rows: TextRows) -> TextRows:
        """The pool's rows with their embeddings, as of the last look."""
        if self._rows is None:
            return rows
        return rows.with_deferred(self._rows)

    def those_there(self, rows: Array) -> Array:
        """Those of the rows that have all embeddings that they need."""
        if self._rows is None:
            return rows
        parts = zip(self._rows.deferred, self._rows[rows].parts, strict=True)
        are_there = [(places >= 0) | (self._is_unseen[rows] & (one.kind == IMAGE)) for one, (_, places) in parts]
        return np.asarray(rows[np.all(are_there, axis=0)])

    def has(self, deferred: Deferred, contents: Array) -> Array:
        """Which contents have such an embedding. Returns shape (n_contents,), bool."""
        return np.asarray(self._file(deferred).places(contents) >= 0)

    def is_enough(self, deferred: Deferred, contents: Array, needed: Array) -> bool:
        """Whether a model may look at such embeddings: all needed ones are there, and enough of the others."""
        has = self.has(deferred, contents)
        return bool(has.sum() >= min(len(has), ENOUGH) and self.has(deferred, needed).all())

    def keep_only(self, contents: Array) -> None:
        """Let nothing be left of all other contents: embeddings, whichever encoder they are of, and thumbnails.

        Raises FeaturesNotStored.
        """
        for one in self._files.values():
            one.catch_up()
            one.keep_only(contents)
        Thumbnails(self._folder).keep_only(contents)

    def _file(self, deferred: Deferred) -> EmbeddingFile:
        if deferred not in self._files:
            self._files[deferred] = EmbeddingFile(self._folder, deferred)
        found = self._files[deferred]
        found.catch_up()
        return found


def _are_equal(before: DeferredRows, now: DeferredRows) -> bool:
    pairs = zip(before.parts, now.parts, strict=False)
    return len(before.parts) == len(now.parts) and all(np.array_equal(one[1], other[1]) for one, other in pairs)
