"""Encoders of other packages: the entry points `label_studio_al.encoders`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

import numpy as np

from label_studio_al.learners.encoders.base import Rows, TextEncoder, fingerprint_of, release_of
from label_studio_al.learners.encoders.places import BadModel
from label_studio_al.learning.deferred import TEXT
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import EncoderFailed

if TYPE_CHECKING:
    from PIL.Image import Image

GROUP = "label_studio_al.encoders"


def installed_names() -> list[str]:
    """Names of encoders that installed packages offer."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def made(name: str, kind: str) -> tuple[Any, bytes] | None:
    """What the factory of that name makes, and its package's release; None where no package offers the name.

    kind: of the content that is to be encoded. Raises BadModel.
    """
    point = next(iter(entry_points(group=GROUP, name=name)), None)
    if point is None:
        return None
    try:
        model = point.load()()
    except Exception as exc:
        # It is somebody else's code.
        raise BadModel(f"whose factory {point.value} fails: {type(exc).__name__}: {str(exc)[:200]}") from exc
    n_dimensions = getattr(model, "n_dimensions", None)
    if not callable(getattr(model, "encode", None)) or not isinstance(n_dimensions, int) or n_dimensions < 1:
        raise BadModel(f"whose factory {point.value} must give an object with name, n_dimensions and encode(list)")
    is_for = getattr(model, "kind", TEXT)
    if is_for != kind:
        raise BadModel(f"which encodes content of the kind {is_for!r}, not {kind!r}")
    return model, _release(point)


class InstalledTextEncoder(TextEncoder):
    """Somebody's encoder of texts, known by its package's release."""

    is_slow = True

    def __init__(self, name: str, model: Any, release: bytes) -> None:
        self._encodes = _Encodes(name, model)
        self._release = release
        super().__init__(name, model.n_dimensions)

    def _encode(self, texts: Sequence[str]) -> Array:
        rows = np.zeros((len(texts), self.n_dimensions), dtype=np.float32)
        filled = [place for place, text in enumerate(texts) if text.strip()]
        if filled:
            rows[filled] = self._encodes.rows([texts[place] for place in filled])
        return rows

    def _identity(self) -> Iterable[bytes]:
        return [self._release]


class InstalledImageEncoder:
    """Somebody's encoder of images, known by its package's release."""

    def __init__(self, name: str, model: Any, release: bytes) -> None:
        self.name = name
        self.n_dimensions: int = model.n_dimensions
        self.fingerprint = fingerprint_of(name, [release])
        self._encodes = _Encodes(name, model)

    def encode(self, images: Sequence[Image]) -> Array:
        """As of the contract."""
        return self._encodes.rows(images) if images else np.zeros((0, self.n_dimensions), dtype=np.float32)


class _Encodes:
    """Calls `encode`, and checks what it gives."""

    def __init__(self, name: str, model: Any) -> None:
        self._name = name
        self._model = model
        self._rows = Rows(name)

    def rows(self, content: Sequence[Any]) -> Array:
        """Raises EncoderFailed if it fails or gives rows of another shape."""
        expected = len(content), self._model.n_dimensions
        try:
            rows = np.asarray(self._model.encode(list(content)), dtype=np.float32)
        except Exception as exc:
            # Its message may quote what it was given.
            raise EncoderFailed(f"the encoder {self._name} fails: {type(exc).__name__}") from exc
        if rows.shape != expected:
            raise EncoderFailed(f"the encoder {self._name} must give rows of shape {expected}, not {rows.shape}")
        return self._rows.unit(rows)


def _release(point: EntryPoint) -> bytes:
    return release_of(point.dist.name) if point.dist is not None else point.value.encode()
