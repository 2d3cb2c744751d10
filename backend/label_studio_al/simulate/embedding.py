"""Embeddings of a whole data set, made before the runs and kept in the folder of the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from label_studio_al.learning.deferred import IMAGE, TEXT, Deferred, Kind
from label_studio_al.learning.draws import text_hashes
from label_studio_al.learning.features import Features, TextRows
from label_studio_al.learning.images import WithImages
from label_studio_al.learning.layouts import Encoder
from label_studio_al.learning.rows import blocks
from label_studio_al.learning.texts import readable
from label_studio_al.pool.embeddings import EmbeddingFile
from label_studio_al.pool.pictures import decode
from label_studio_al.runtime.errors import InvalidRequest

TEXTS_AT_ONCE = 64


def open_image(folder: Path, path: str) -> Any:
    """An image that a data file names, from the folder in which that lies. Raises ImageUnusable, InvalidRequest."""
    if path.startswith("/data/") or "://" in path:
        raise InvalidRequest(
            f"the image {path[:80]!r} lies in Label Studio or elsewhere: put the images beside the file, and name "
            "them by their paths from there"
        )
    try:
        return decode((folder / path).read_bytes())
    except (OSError, ValueError) as exc:
        raise InvalidRequest(
            f"the image {path[:80]!r} cannot be read: {getattr(exc, 'strerror', None) or exc}"
        ) from exc


def no_report(_done: int, _total: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Encoders:
    """What a model looks through. fast: of texts and words. texts, images: those that are filled in later in a project.

    image_of: opens the image that a row of the data names; raises BackendError.
    """

    fast: Encoder | None = None
    texts: Any = None
    images: Any = None
    image_of: Callable[[str], Any] | None = None

    @property
    def names(self) -> list[str]:
        """Of all that are used, with what tells their weights apart."""
        slow = [f"{one.name} {one.fingerprint}" for one in (self.texts, self.images) if one is not None]
        return [*([] if self.fast is None else [self.fast.name]), *slow]

    def of(self, features: Features) -> Iterator[tuple[Kind, Any]]:
        """The slow ones that see something of such tasks."""
        layout = features.layout
        if self.texts is not None and (not isinstance(layout, WithImages) or layout.has_texts):
            yield TEXT, self.texts
        if isinstance(layout, WithImages):
            if self.images is None:
                raise InvalidRequest("the data has images: name an encoder for them with --image-encoder")
            yield IMAGE, self.images


@dataclass(frozen=True)
class Filling:
    """Fills in embeddings. folder: where they are kept. report: is told how many of how many are there."""

    encoders: Encoders = field(default_factory=Encoders)
    folder: Path = Path()
    report: Callable[[int, int], None] = no_report

    def fill_in(self, features: Features, texts: Sequence[str], rows: TextRows) -> tuple[Features, TextRows]:
        """The rows of the texts with their embeddings, and the features that have them. Raises BackendError."""
        deferred, files = [], []
        for kind, encoder in self.encoders.of(features):
            one = Deferred(kind, encoder.name, encoder.fingerprint, encoder.n_dimensions)
            file = EmbeddingFile(self.folder, one)
            self._embed(kind, encoder, file, (features, texts))
            deferred.append(one)
            files.append(file)
        if not deferred:
            return features, rows
        features = replace(features, deferred=tuple(deferred))
        return features, features.filled_in(rows, texts, files)

    def _embed(self, kind: Kind, encoder: Any, file: EmbeddingFile, of: tuple[Features, Sequence[str]]) -> None:
        features, texts = of
        missing = [text for text, place in zip(texts, file.places(text_hashes(texts)), strict=True) if place < 0]
        missing = sorted(set(missing))
        with file.filling() as is_mine:
            if not is_mine:
                raise InvalidRequest(f"another replay writes to {self.folder} at this moment")
            self._append(kind, encoder, file, (features.layout, missing))

    def _append(self, kind: Kind, encoder: Any, file: EmbeddingFile, of: tuple[Any, Sequence[str]]) -> None:
        layout, missing = of
        for block in blocks(len(missing), TEXTS_AT_ONCE):
            some = missing[block]
            if kind == TEXT:
                found = encoder.encode([readable(text) for text in layout.read(some)])
            else:
                found = encoder.encode([self._image(layout, text) for text in some])
            file.append(text_hashes(some), found)
            self.report(block.start + len(some), len(missing))

    def _image(self, layout: Any, text: str) -> Any:
        addresses = layout.addresses(text)
        if not addresses or self.encoders.image_of is None:
            raise InvalidRequest(f"every row must name an image, not {text[:60]!r}")
        return self.encoders.image_of(addresses[0])


NOTHING = Filling()
