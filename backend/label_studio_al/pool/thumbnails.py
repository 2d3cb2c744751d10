"""Small pictures of what a project's tasks show, on this machine's disk: a file for each content."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import FeaturesNotStored

_NAME = re.compile(r"([0-9a-f]{16})\.jpg")


class Thumbnails:
    """JPEGs by content (see learning.draws.text_hashes); the last one of a content counts.

    They come and go with the embeddings beside which they lie.
    """

    def __init__(self, folder: Path) -> None:
        """folder: that of the project's embeddings."""
        self._folder = folder / "thumbnails"

    def read(self, content: int) -> bytes | None:
        """That of a content; None if there is none."""
        try:
            return self._path(content).read_bytes() or None
        except OSError:
            return None

    def has(self, content: int) -> bool:
        """Whether there is one of a content."""
        try:
            return self._path(content).stat().st_size > 0
        except OSError:
            return False

    def add(self, contents: Array, pictures: Sequence[bytes]) -> None:
        """Keep pictures, if the project's folder is there. Raises FeaturesNotStored.

        contents: shape (n_pictures,).
        """
        with self._saying_where():
            self._folder.mkdir(exist_ok=True)
            for content, picture in zip(contents.tolist(), pictures, strict=True):
                _write(self._path(content), picture)

    def remove(self, contents: Array) -> None:
        """Remove those of contents. Raises FeaturesNotStored."""
        with self._saying_where():
            for content in contents.tolist():
                self._path(content).unlink(missing_ok=True)

    def remove_all(self) -> None:
        """Remove every one. Raises FeaturesNotStored."""
        with self._saying_where(), suppress(FileNotFoundError):
            shutil.rmtree(self._folder)

    def keep_only(self, contents: Array) -> None:
        """Remove those of all other contents. Raises FeaturesNotStored."""
        names: list[str] = []
        with self._saying_where(), suppress(FileNotFoundError):
            names = os.listdir(self._folder)
        there = np.array([int(found[1], 16) for found in map(_NAME.fullmatch, names) if found], dtype=np.uint64)
        self.remove(np.setdiff1d(there, np.asarray(contents, dtype=np.uint64)))

    def _path(self, content: int) -> Path:
        return self._folder / f"{content:016x}.jpg"

    @contextmanager
    def _saying_where(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            folder = self._folder.parent.parent
            raise FeaturesNotStored(f"thumbnails cannot be written to {folder}: {exc.strerror or exc}") from exc


def _write(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    try:
        # Not through a link.
        with path.open("xb") as file:
            file.write(content)
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise
