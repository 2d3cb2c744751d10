"""Tasks that show images, whose embeddings are filled in later, perhaps beside texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from label_studio_al.learning.deferred import IMAGES
from label_studio_al.learning.layouts import WHOLE, Fitted, Layout, Terms
from label_studio_al.learning.texts import joined, parts_of
from label_studio_al.learning.types import Array

# Of an address that tells no file's name.
UNNAMED = "image"
# Label Studio's parameters that hold a path: of its local files, and of what was uploaded (1.23.2).
_PATHS = ("d", "filepath")


@dataclass(frozen=True)
class WithImages:
    """Texts as another layout has them, without the addresses of images.

    are_images: of each part of a task, whether it is an image. base: of the texts.
    """

    are_images: tuple[bool, ...]
    base: Layout = WHOLE

    @property
    def has_texts(self) -> bool:
        """Whether there are any."""
        return not all(self.are_images)

    def addresses(self, text: str) -> list[str]:
        """The images that a task has."""
        parts = zip(parts_of(text, len(self.are_images)), self.are_images, strict=True)
        return [part for part, is_image in parts if is_image and part]

    def named(self, text: str) -> str:
        """A task's texts for people: images by the names of their files."""
        parts = zip(parts_of(text, len(self.are_images)), self.are_images, strict=True)
        found = [file_name(part) if is_image and part else part for part, is_image in parts]
        return joined(found) if len(found) > 1 else "".join(found)

    def read(self, texts: Sequence[str]) -> Sequence[str]:
        """All but the addresses of images."""
        return [self._texts_of(text) for text in texts]

    def _texts_of(self, text: str) -> str:
        parts = zip(parts_of(text, len(self.are_images)), self.are_images, strict=True)
        texts = [part for part, is_image in parts if not is_image]
        return joined(texts) if len(texts) > 1 else "".join(texts)

    def fit(self, texts: Sequence[str]) -> Terms:
        """As of the texts' layout."""
        return self.base.fit(texts)

    def n_dense(self, fitted: Fitted) -> int:
        """As of the texts' layout; none without texts."""
        return self.base.n_dense(fitted) if self.has_texts else 0

    def dense(self, texts: Sequence[str], fitted: Fitted) -> Array:
        """As of the contract."""
        return self.base.dense(texts, fitted) if self.has_texts else np.zeros((len(texts), 0), dtype=np.float32)

    def choices(self, fitted: Fitted) -> dict[str, Array]:
        """Those of the texts."""
        return self.base.choices(fitted) if self.has_texts else {IMAGES: np.zeros(0, dtype=np.int64)}

    def choices_of_sides(self, fitted: Fitted) -> dict[str, Array]:
        """As of the texts' layout."""
        return self.base.choices_of_sides(fitted)


def file_name(address: str) -> str:
    """The name of an image's file; nothing else of its address, which may hold a signature or a password."""
    try:
        found = urlsplit(address)
        path = found.path
        if path.rstrip("/").endswith(("/local-files", "/uploaded")):
            given = parse_qs(found.query)
            path = next((given[name][0] for name in _PATHS if name in given), path)
    except ValueError:
        return UNNAMED
    name = unquote(path).rpartition("/")[2]
    return UNNAMED if found.scheme == "data" or "." not in name else name
