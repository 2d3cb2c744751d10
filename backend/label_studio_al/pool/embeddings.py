"""Embeddings of a project's contents on this machine's disk: an append-only file, mapped into memory."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from label_studio_al.learning.deferred import Deferred
from label_studio_al.learning.rows import blocks
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import FeaturesNotStored
from label_studio_al.runtime.memory import map_file

_CHECKED_AT_ONCE = 4_096


class EmbeddingFile:
    """Embeddings by content (see learning.deferred.Vectors); the last one of a content counts.

    One process appends at a time, others read what is complete: a record has its own checksum, and what a kill or a
    full disk left of one is cut off before the next is written. Records that contradict their checksum are as if they
    were not there, and so are made again.
    """

    def __init__(self, folder: Path, deferred: Deferred) -> None:
        """folder: that of the project's embeddings."""
        self._path = folder / f"{deferred.kind}-{deferred.fingerprint}-{deferred.n_dimensions}"
        self._type = np.dtype([("content", "<u8"), ("checksum", "<u4"), ("vector", "<f4", (deferred.n_dimensions,))])
        self._records: Array = np.zeros(0, dtype=self._type)
        self._inode = -1
        self._contents: Array = np.zeros(0, dtype=np.uint64)
        self._places: Array = np.zeros(0, dtype=np.int64)
        self.catch_up()

    def __len__(self) -> int:
        """How many contents have an embedding."""
        return len(self._contents)

    @property
    def matrix(self) -> Array:
        """Shape (n_records, n_dimensions), float32, on disk."""
        return np.asarray(self._records["vector"])

    def places(self, contents: Array) -> Array:
        """As of the contract."""
        wanted = np.asarray(contents, dtype=np.uint64)
        if not len(self._contents):
            return np.full(len(wanted), -1, dtype=np.int64)
        found = np.minimum(np.searchsorted(self._contents, wanted), len(self._contents) - 1)
        places = self._places[found]
        # Another process may have overwritten it since.
        is_there = (self._contents[found] == wanted) & (self._records["checksum"][places] != 0)
        return np.where(is_there, places, -1)

    def catch_up(self) -> bool:
        """Take over what was appended since. Returns whether there was anything."""
        try:
            status = self._path.stat()
        except OSError:
            status = None
        n_records = 0 if status is None else status.st_size // self._type.itemsize
        inode = -1 if status is None else status.st_ino
        if (inode, n_records) == (self._inode, len(self._records)):
            return False
        is_longer = inode == self._inode and n_records > len(self._records)
        n_known = len(self._records) if is_longer else 0
        self._records = map_file(self._path, self._type, (n_records,)) if n_records else self._records[:0]
        self._inode = inode
        whole = [n_known + block.start + _whole(self._records[n_known:][block]) for block in self._blocks(n_known)]
        places = np.concatenate([self._places[: len(self._places) * is_longer], *whole]).astype(np.int64)
        contents = np.asarray(self._records["content"][places])
        order = np.lexsort((places, contents))
        contents, places = contents[order], places[order]
        is_last = np.append(contents[1:] != contents[:-1], True)[: len(contents)]
        self._contents, self._places = contents[is_last], places[is_last]
        return True

    def _blocks(self, n_known: int) -> Iterator[slice]:
        yield from blocks(len(self._records) - n_known, _CHECKED_AT_ONCE)

    @contextmanager
    def filling(self) -> Iterator[bool]:
        """Holds the file for appending; gives False while another process does."""
        import fcntl  # Here, because Windows has none: the package must still be importable there.

        with self._saying_where():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True
        finally:
            os.close(descriptor)

    def append(self, contents: Sequence[int] | Array, vectors: Array) -> None:
        """Add embeddings; only within `filling`. Raises FeaturesNotStored, and then nothing is added.

        vectors: shape (n_contents, n_dimensions), float32.
        """
        records = np.zeros(len(vectors), dtype=self._type)
        records["content"], records["vector"] = contents, vectors
        records["checksum"] = [_checksum(record) for record in records]
        with self._saying_where(), self._path.open("ab") as file:
            size = file.seek(0, os.SEEK_END)
            whole = size - size % self._type.itemsize
            if whole < size:
                file.truncate(whole)
            try:
                file.write(records.tobytes())
                file.flush()
            except OSError:
                with suppress(OSError):
                    file.truncate(whole)
                raise
        self.catch_up()

    def keep_only(self, contents: Array) -> None:
        """Overwrite the embeddings of all other contents. Raises FeaturesNotStored."""
        gone = np.flatnonzero(~np.isin(self._records["content"], np.asarray(contents, dtype=np.uint64)))
        gone = gone[self._records["checksum"][gone] != 0]
        if not len(gone):
            return
        with self._saying_where(), self._path.open("r+b") as file:
            for record in gone.tolist():
                file.seek(record * self._type.itemsize)
                file.write(bytes(self._type.itemsize))

    @contextmanager
    def _saying_where(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            folder = self._path.parent.parent
            raise FeaturesNotStored(f"embeddings cannot be written to {folder}: {exc.strerror or exc}") from exc


def _checksum(record: Any) -> int:
    """Never 0, which is that of an overwritten record."""
    content = int(record["content"]).to_bytes(8, "little")
    return zlib.crc32(record["vector"].tobytes(), zlib.crc32(content)) or 1


def _whole(records: Array) -> Array:
    """The places of records that are as they were written."""
    return np.flatnonzero(np.array([record["checksum"] == _checksum(record) for record in records], dtype=bool))
