"""Embeddings that are filled in later: by an encoder that is too slow for a turn, one task after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from label_studio_al.learning.layouts import BOTH, EMBEDDINGS, Fitted, Layout
from label_studio_al.learning.types import Array

TEXT: Literal["text"] = "text"
IMAGE: Literal["image"] = "image"
Kind = Literal["text", "image"]
# The choices of the fast encoder in place of the slow one, and of images alone.
STATIC, IMAGES = "static", "images"


@dataclass(frozen=True)
class Deferred:
    """Columns that an encoder fills in. kind: what of a task it looks at. fingerprint: of its name and weights."""

    kind: Kind
    encoder: str
    fingerprint: str
    n_dimensions: int


class Vectors(Protocol):
    """Embeddings by content, of those contents that are there so far. matrix: shape (n_vectors, n_dimensions)."""

    @property
    def matrix(self) -> Array: ...  # noqa: D102

    def places(self, contents: Array) -> Array:
        """Where the embedding of each content lies in the matrix, -1 where it is not there.

        contents: shape (n,), see draws.text_hashes. Returns shape (n,).
        """


@dataclass(frozen=True)
class DeferredRows:
    """Embeddings of tasks that lie elsewhere, in another order. All parts have a row for each task.

    deferred: what each part is. parts: of each encoder its embeddings, shape (n_vectors, n_dimensions), and of each
    task its place among them, shape (n_tasks,), -1 where there is none: such rows are zero.
    """

    deferred: tuple[Deferred, ...]
    parts: tuple[tuple[Array, Array], ...]

    @classmethod
    def of(cls, deferred: Sequence[Deferred], contents: Array, vectors: Sequence[Vectors]) -> DeferredRows:
        """Those of tasks with these contents."""
        # Places first: there may be more by the time that the matrix is looked at.
        places = [one.places(contents) for one in vectors]
        return cls(tuple(deferred), tuple((one.matrix, own) for one, own in zip(vectors, places, strict=True)))

    def __len__(self) -> int:
        return len(self.parts[0][1])

    @property
    def has_texts(self) -> bool:
        """Whether the embedding of a task's text is among them."""
        return any(one.kind == TEXT for one in self.deferred)

    @property
    def n_dimensions(self) -> int:
        """Of all parts."""
        return sum(int(matrix.shape[1]) for matrix, _ in self.parts)

    def __getitem__(self, tasks: Any) -> DeferredRows:
        return DeferredRows(self.deferred, tuple((matrix, places[tasks]) for matrix, places in self.parts))

    @property
    def is_there(self) -> Array:
        """Which tasks have all of their embeddings. Returns shape (n_tasks,)."""
        return np.asarray(np.all([places >= 0 for _, places in self.parts], axis=0))

    def dense(self) -> Array:
        """Returns shape (n_tasks, n_dimensions), float32."""
        return np.hstack([_gathered(*part) for part in self.parts])


def _gathered(matrix: Array, places: Array) -> Array:
    if not len(matrix):
        return np.zeros((len(places), matrix.shape[1]), dtype=np.float32)
    found = np.asarray(matrix[np.maximum(places, 0)], dtype=np.float32)
    found[places < 0] = 0.0
    return found


def with_deferred(
    choices: Mapping[str, Array], layout: Layout, fitted: Fitted, deferred: Sequence[Deferred]
) -> dict[str, Array]:
    """Choices of columns, the default first, with the deferred ones behind those of the layout.

    The embedding of a task's text takes the place of the fast encoder's, which stays a choice of its own; images stand
    beside what is known of texts.
    """
    end = fitted.n_lexical + layout.n_dense(fitted)
    found = dict(choices)
    for one in deferred:
        own, end = np.arange(end, end + one.n_dimensions), end + one.n_dimensions
        default = next(iter(found))
        before = found.pop(default)
        if one.kind == TEXT:
            fast = np.arange(fitted.n_lexical, fitted.n_lexical + fitted.n_dimensions)
            found.pop(EMBEDDINGS, None)
            both = {BOTH: np.concatenate([np.setdiff1d(before, fast), own])}
            found = both | found | {(STATIC if default == BOTH else default): before, EMBEDDINGS: own}
        elif len(before):
            found = {BOTH: np.concatenate([before, own]), "texts": before, **found, IMAGES: own}
        else:
            found = {IMAGES: own}
    return found
