"""Tasks that show images, whose embeddings are filled in later, perhaps beside texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from label_studio_al.learning.deferred import IMAGES
from label_studio_al.learning.layouts import WHOLE, Fitted, Layout, Terms
from label_studio_al.learning.texts import joined, parts_of
from label_studio_al.learning.types import Array


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
