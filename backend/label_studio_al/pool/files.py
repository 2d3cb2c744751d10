"""A pool's features on this machine's disk: append-only files, mapped into memory."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning.features import Features, TextRows
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import FeaturesNotStored
from label_studio_al.runtime.memory import map_file

# What a row of the log says of its task.
HAS_FEATURES = 1
WITHOUT_TEXT = 2
DELETED = 3
# The features of a task that was deleted or changed since were overwritten.
ERASED = 4

_FORMAT = 2
_MANIFEST = "manifest.json"
_TOPICS = "topics"
_TYPES: dict[str, np.dtype[Any]] = {
    "tasks": np.dtype("<i8"),
    "states": np.dtype("i1"),
    "contents": np.dtype("<u8"),
    "counts": np.dtype("<i4"),
    "columns": np.dtype("<i4"),
    "values": np.dtype("<f4"),
    "scales": np.dtype("<f4"),
    "embedding": np.dtype("<f4"),
}
_READ_AT_ONCE = 1 << 24
# Another process of this machine may still be writing what is younger.
_OLD_SECONDS = 86_400.0

# Time of the last change, size and inode of a file; None without one.
_Stamp = tuple[int, int, int] | None

log = logging.getLogger(__name__)


def folder_of(folder: Path, project_key: str, artifact: bytes) -> Path:
    """Where the files of these stored features lie. folder: where those of all features do."""
    # Named for their content: the ids of a database that was made anew begin again.
    return folder / project_key / hashlib.sha256(artifact).hexdigest()[:16]


def with_mapped_topics(features: Features, folder: Path) -> Features:
    """The same features, whose topics are mapped from the file in this folder, if there is one that holds the same.

    So all processes of a machine share its pages. Nothing is written.
    """
    components = features.topics.components
    try:
        mapped = map_file(folder / _TOPICS, components.dtype, components.shape)
    except (OSError, ValueError):
        return features
    if not np.array_equal(mapped, components):
        return features
    return replace(features, topics=replace(features.topics, components=mapped))


def with_shared_topics(features: Features, folder: Path) -> Features:
    """The same, once the topics are written there. Where they cannot be, they stay in this process's memory."""
    mapped = with_mapped_topics(features, folder)
    if mapped is not features or not features.topics.components.size or folder.is_symlink():
        return mapped
    try:
        _write_topics(folder / _TOPICS, features.topics.components)
    except OSError as exc:
        log.debug("topics are not shared: %s", exc)
        return features
    return with_mapped_topics(features, folder)


def _write_topics(path: Path, components: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Other processes may write the same.
    written = path.with_name(f"{_TOPICS}.{os.getpid()}")
    try:
        written.write_bytes(np.ascontiguousarray(components).data)
        os.replace(written, path)
    finally:
        written.unlink(missing_ok=True)


class FeatureFiles:
    """The changes of a project's tasks, in the order in which they arrived, as rows of features.

    tasks: shape (n_rows,), the task of each row; states: shape (n_rows,), HAS_FEATURES, WITHOUT_TEXT or DELETED; the
    last row of a task counts. contents: shape (n_rows,), see draws.text_hashes. position: (revision, task id) of the
    newest change that the rows hold.

    A manifest, replaced atomically after each append, has the valid length of the files and their checksums. Data that
    a kill or a full disk left after it is overwritten; files that contradict it are rebuilt.
    """

    _sizes: dict[str, int]
    _checksums: dict[str, int]
    position: tuple[int, int]

    def __init__(self, folder: Path, features: Features) -> None:
        """Open the files of this folder, or begin them."""
        self._folder = folder
        self._features = features
        self._hold_nothing()
        self._seen: _Stamp = None
        self._seen_data: list[_Stamp] = []
        if not self._read_manifest(verify=True):
            self._clear()
        self._map()

    def catch_up(self) -> bool:
        """Take over what another process on this machine has added since. Returns whether there was anything.

        Files that somebody else has changed while they were mapped are verified, and begun anew if they are corrupt.
        """
        is_grown = self._stamp(_MANIFEST) != self._seen
        if not is_grown and self._stamps() == self._seen_data:
            return False
        if not self._read_manifest(verify=not is_grown):
            self._clear()
        self._map()
        return True

    def begin_anew(self) -> None:
        """Forget all rows. Topics stay where they are."""
        self._clear()
        self._map()

    def append(
        self,
        tasks: Sequence[int],
        states: Sequence[int],
        contents: Sequence[int] | Array,
        rows: TextRows,
        position: tuple[int, int],
    ) -> None:
        """Add rows; rows of tasks without features are empty. Raises FeaturesNotStored, and then nothing is added."""
        values = {
            "tasks": np.asarray(tasks),
            "states": np.asarray(states),
            "contents": np.asarray(contents),
            "counts": np.diff(rows.terms.indptr),
            "columns": rows.terms.indices,
            "values": rows.terms.data,
            "scales": rows.scales,
            "embedding": rows.embedding.ravel(),
        }
        with self._saying_where():
            self._folder.mkdir(parents=True, exist_ok=True)
            sizes, checksums = dict(self._sizes), dict(self._checksums)
            for name, dtype in _TYPES.items():
                content = np.ascontiguousarray(values[name], dtype=dtype).tobytes()
                with self._open(name) as file:
                    if file.seek(0, os.SEEK_END) < sizes[name]:
                        raise OSError(f"{name} was shortened by somebody else")
                    file.truncate(sizes[name])
                    file.seek(sizes[name])
                    file.write(content)
                sizes[name] += len(content)
                checksums[name] = zlib.crc32(content, checksums[name])
            self._write_manifest({"sizes": sizes, "checksums": checksums, "position": list(position)})
        self._sizes, self._checksums, self.position = sizes, checksums, position
        self._note()
        self._map()

    def erase(self, rows: Array) -> None:
        """Overwrite the features of rows that count no more. Raises FeaturesNotStored.

        A kill in between leaves files that contradict their manifest, and so are made anew. Reads the files once: a
        second and a half for a million rows.
        """
        ends = self.rows.terms.indptr
        n_dimensions = self.rows.embedding.shape[1]
        n_bytes = {"values": 4, "columns": 4, "embedding": 4 * n_dimensions, "scales": 4, "contents": 8, "states": 1}
        with self._saying_where():
            for name, width in n_bytes.items():
                with self._open(name) as file:
                    for row in rows.tolist():
                        first, last = (ends[row], ends[row + 1]) if name in ("values", "columns") else (row, row + 1)
                        file.seek(int(first) * width)
                        file.write(bytes([ERASED]) if name == "states" else bytes(int(last - first) * width))
            sizes = self._sizes
            checksums = {name: self._checksum(name, sizes[name]) for name in _TYPES}
            self._write_manifest({"sizes": sizes, "checksums": checksums, "position": list(self.position)})
        self._checksums = checksums
        self._note()
        self._map()

    def move(self, folder: Path) -> None:
        """Keep the files under another name."""
        with self._saying_where():
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(self._folder, folder)
        self._folder = folder
        self._note()

    def remove(self) -> None:
        """Delete the files. Arrays that are mapped stay readable."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def remove_older_siblings(self) -> None:
        """Delete what other features of the project left here: a killed process, or another label config."""
        for other in self._folder.parent.glob("*"):
            with suppress(OSError):
                if other != self._folder and time.time() - other.stat().st_mtime > _OLD_SECONDS:
                    shutil.rmtree(other)

    # -- inside -----------------------------------------------------------------------------------------------

    def _hold_nothing(self) -> None:
        self._sizes = dict.fromkeys(_TYPES, 0)
        self._checksums = dict.fromkeys(_TYPES, 0)
        self.position = (-1, -1)

    def _clear(self) -> None:
        """Delete the rows' files. What another process has mapped of them stays readable there."""
        self._hold_nothing()
        if self._folder.is_symlink():
            # What it leads to is not ours.
            with suppress(OSError):
                self._folder.unlink()
            return
        for name in (_MANIFEST, *_TYPES):
            with suppress(OSError):
                (self._folder / name).unlink(missing_ok=True)

    def _map(self) -> None:
        self.tasks, self.states, self.contents = map(self._array, ("tasks", "states", "contents"))
        ends = np.zeros(len(self.tasks) + 1, dtype=np.int32)
        np.cumsum(self._array("counts"), out=ends[1:])
        terms = sp.csr_matrix(
            (self._array("values"), self._array("columns"), ends),
            shape=(len(self.tasks), self._features.tfidf.n_terms),
            copy=False,
        )
        embedding = self._array("embedding").reshape(len(self.tasks), self._features.n_dense)
        self.rows = TextRows(terms, self._features.topics, self._array("scales"), embedding)

    def _array(self, name: str) -> Array:
        length = self._sizes[name] // _TYPES[name].itemsize
        if not length:
            return np.zeros(0, dtype=_TYPES[name])
        return map_file(self._folder / name, _TYPES[name], (length,))

    def _note(self) -> None:
        """Remember the files as they are now, which is as they should be."""
        self._seen, self._seen_data = self._stamp(_MANIFEST), self._stamps()

    def _stamps(self) -> list[_Stamp]:
        return [self._stamp(name) for name in _TYPES]

    def _stamp(self, name: str) -> _Stamp:
        """Changes whenever a file is written; None without one."""
        try:
            found = (self._folder / name).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read_manifest(self, *, verify: bool) -> bool:
        """Whether the files are there, and (if verified, which reads them all) as the manifest says."""
        try:
            self._note()
            kept = json.loads((self._folder / _MANIFEST).read_text(encoding="ascii"))
            if kept["format"] != _FORMAT:
                return False
            for name in _TYPES if verify else ():
                if self._checksum(name, kept["sizes"][name]) != kept["checksums"][name]:
                    log.warning("the feature file %s is corrupt: the features are made again", self._folder / name)
                    return False
            self._sizes, self._checksums = kept["sizes"], kept["checksums"]
            revision, task_id = kept["position"]
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError) as exc:
            log.warning("the feature files %s cannot be read (%s): they are made again", self._folder, exc)
            return False
        self.position = (revision, task_id)
        return True

    def _checksum(self, name: str, size: int) -> int:
        """Of the first `size` bytes; -1 if there are fewer."""
        checksum, left = 0, size
        with (self._folder / name).open("rb") as file:
            while left:
                content = file.read(min(left, _READ_AT_ONCE))
                if not content:
                    return -1
                checksum, left = zlib.crc32(content, checksum), left - len(content)
        return checksum

    def _write_manifest(self, content: dict[str, Any]) -> None:
        written = self._folder / (_MANIFEST + ".new")
        written.write_text(json.dumps({"format": _FORMAT, **content}), encoding="ascii")
        os.replace(written, self._folder / _MANIFEST)

    def _open(self, name: str) -> Any:
        path = self._folder / name
        return path.open("r+b" if path.exists() else "w+b")

    @contextmanager
    def _saying_where(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise FeaturesNotStored(
                f"features cannot be written to {self._folder.parent.parent}: {exc.strerror or exc}"
            ) from exc
