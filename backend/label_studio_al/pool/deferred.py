"""The embeddings of a project that are filled in while turns go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from label_studio_al.learning.deferred import TEXT, Deferred, DeferredRows
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
        self._used: tuple[Deferred, ...] = ()
        self._rows: DeferredRows | None = None

    def look_up(self, used: tuple[Deferred, ...], contents: Array) -> bool:
        """Find the embeddings of the rows, whose contents these are; whether any came or went."""
        before, self._used = self._rows, used
        if not used:
            self._rows = None
            return before is not None
        files = [self._file(one) for one in used]
        self._rows = DeferredRows.of(contents, files)
        return before is None or not _are_equal(before, self._rows)

    def fill_in(self, rows: TextRows) -> TextRows:
        """The pool's rows with their embeddings, as of the last look."""
        if self._rows is None:
            return rows
        return rows.with_deferred(self._rows, any(one.kind == TEXT for one in self._used))

    def those_there(self, rows: Array) -> Array:
        """Those of the rows that have all embeddings."""
        return rows if self._rows is None else rows[self._rows[rows].is_there]

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
    pairs = list(zip(before.parts, now.parts, strict=False))
    return len(before.parts) == len(now.parts) and all(
        len(one[1]) == len(other[1]) and np.array_equal(one[1], other[1]) for one, other in pairs
    )
