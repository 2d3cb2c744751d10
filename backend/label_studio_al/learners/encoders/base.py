"""What encoders have in common."""

from __future__ import annotations

import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from joblib import Parallel, delayed

from label_studio_al.learning.rows import unit_rows
from label_studio_al.learning.terms import MAX_TEXT_CHARACTERS
from label_studio_al.learning.types import Array

if TYPE_CHECKING:
    from PIL.Image import Image

# At once, and on one worker of a cluster: the tokenizer's answer weighs 10 kB a text of 240 characters.
TEXTS_AT_ONCE = 500
_FINGERPRINT_DIGITS = 16
_READ_BYTES = 1 << 20

log = logging.getLogger(__name__)


class ImageEncoder(Protocol):
    """Turns images into pretrained embeddings. fingerprint: as of `TextEncoder`."""

    name: str
    n_dimensions: int

    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    def encode(self, images: Sequence[Image]) -> Array:
        """Rows of unit length, zero where they are no numbers. Returns shape (n_images, n_dimensions), float32."""
        ...


class TextEncoder(ABC):
    """Turns texts into pretrained embeddings. Pickles as its name: weights lie in their own files, not in artifacts.

    is_slow: whether it takes milliseconds a text, so that only background work may wait for it.
    """

    is_slow: bool

    def __init__(self, name: str, n_dimensions: int) -> None:
        self.name = name
        self.n_dimensions = n_dimensions

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that are others where the name or the weights are; see `fingerprint_of`."""
        return fingerprint_of(self.name, self._identity())

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        from label_studio_al.learners.encoders.loading import load_encoder

        return load_encoder, (self.name,)

    def encode(self, texts: Sequence[str]) -> Array:
        """Rows of unit length, zero for an empty text. Returns shape (n_texts, n_dimensions), float32.

        Part by part, which `joblib.parallel_config` may spread over machines: each loads the weights by name, once.
        """
        parts = [
            [text[:MAX_TEXT_CHARACTERS] for text in texts[first : first + TEXTS_AT_ONCE]]
            for first in range(0, len(texts), TEXTS_AT_ONCE)
        ]
        # joblib takes half a millisecond, which is as much as a single text.
        is_one = len(parts) < 2
        rows = map(self._encode, parts) if is_one else Parallel()(delayed(self._encode)(part) for part in parts)
        return np.vstack([np.zeros((0, self.n_dimensions), dtype=np.float32), *rows])

    @abstractmethod
    def _encode(self, texts: Sequence[str]) -> Array:
        """The rows of a part of the texts."""

    @abstractmethod
    def _identity(self) -> Iterable[bytes]:
        """What the weights are known by, in a fixed order."""


class Rows:
    """Makes rows of what a model gave: those that are not numbers are taken as empty, which is said once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._is_said = False

    def unit(self, rows: Array) -> Array:
        """Rows of unit length, zero where one is NaN or infinite. rows: shape (n, n_dimensions)."""
        rows = np.asarray(rows, dtype=np.float32)
        is_number = np.isfinite(rows).all(axis=1, keepdims=True)
        if not is_number.all():
            if not self._is_said:
                broken, n = int((~is_number).sum()), len(rows)
                log.warning("%s gave %d of %d embeddings that are not numbers: taken as empty", self._name, broken, n)
                self._is_said = True
            rows = np.where(is_number, rows, np.float32(0.0))
        return unit_rows(rows)


def fingerprint_of(name: str, parts: Iterable[bytes]) -> str:
    """The first 16 hexadecimal digits of a SHA-256 over a name and what its weights are known by."""
    digest = hashlib.sha256(name.encode() + b"\0")
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:_FINGERPRINT_DIGITS]


def contents(files: Iterable[Path]) -> Iterable[bytes]:
    """Names, sizes and bytes of files, piece by piece. Raises OSError."""
    for path in files:
        yield f"{path.name}\0{path.stat().st_size}\0".encode()
        with path.open("rb") as file:
            while part := file.read(_READ_BYTES):
                yield part


def release_of(package: str) -> bytes:
    """A package's name and release, empty where it is not known."""
    try:
        return f"{package} {version(package)}".encode()
    except PackageNotFoundError:
        return package.encode()
