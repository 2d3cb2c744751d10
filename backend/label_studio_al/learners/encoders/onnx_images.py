"""Embeddings of images by an ONNX model and its preprocessor_config.json."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from label_studio_al.learners.encoders.base import Rows
from label_studio_al.learners.encoders.onnx_model import BATCH, OnnxModel, Recipe
from label_studio_al.learners.encoders.places import BadModel, folder_of
from label_studio_al.learning.types import Array

if TYPE_CHECKING:
    from PIL.Image import Image

_PREPROCESSOR = "preprocessor_config.json"
_OUTPUTS = ("image_embeds", "pooler_output", "embedding", "last_hidden_state")
_BYTE = 1 / 255
_MOST_PIXELS = 2048 * 2048
# Of a strip only the middle is resized: what is longer than that is cut off afterwards anyway.
_LONGEST = 4
# From this edge on, ConvNeXt's preprocessing stretches to the square instead of cutting the middle out.
_STRETCHED_FROM = 384
_CONVNEXT_SHARE = 224 / 256


@dataclass(frozen=True)
class Preparation:
    """How an image becomes a model's input, as a preprocessor_config.json of transformers says.

    edge: of the shorter side after resizing; None where both sides are given by size. size, crop: height and width;
    None for none. resample: Pillow's filter. mean, deviation: by channel.
    """

    edge: int | None
    size: tuple[int, int] | None
    crop: tuple[int, int] | None
    resample: int
    scale: float
    mean: Array
    deviation: Array

    @classmethod
    def read(cls, said: dict[str, Any]) -> Preparation:
        """Raises BadModel."""
        try:
            edge, size, crop = _sizes(said)
            is_normalized = bool(said.get("do_normalize", True))
            deviation = _channels(said.get("image_std", [0.5] * 3) if is_normalized else [1.0] * 3)
            if not deviation.all():
                raise ValueError("a deviation of 0")
            return cls(
                edge,
                size,
                crop,
                int(said.get("resample", 3)),
                float(said.get("rescale_factor", _BYTE)) if said.get("do_rescale", True) else 1.0,
                _channels(said.get("image_mean", [0.5] * 3) if is_normalized else [0.0] * 3),
                deviation,
            )
        except (AttributeError, TypeError, ValueError, KeyError, ZeroDivisionError, OverflowError) as exc:
            raise BadModel(f"whose {_PREPROCESSOR} does not say how images are resized and normalised") from exc

    def pixels(self, image: Image) -> Array:
        """Shape (height, width, 3), float32."""
        image = image if image.mode == "RGB" else image.convert("RGB")
        width, height = image.size
        if self.size is not None:
            image = image.resize(self.size[::-1], self.resample)
        elif self.edge is not None:
            shorter, longer = min(width, height), max(width, height)
            if longer > _LONGEST * shorter:
                image = _middle(image, min(height, _LONGEST * shorter), min(width, _LONGEST * shorter))
            by = self.edge / shorter
            image = image.resize((int(image.width * by + 0.5), int(image.height * by + 0.5)), self.resample)
        if self.crop is not None:
            image = _middle(image, *self.crop)
        return (np.asarray(image, dtype=np.float32) * np.float32(self.scale) - self.mean) / self.deviation


def _sizes(said: dict[str, Any]) -> tuple[int | None, tuple[int, int] | None, tuple[int, int] | None]:
    """The shorter side after resizing, or both sides, and what is cut out of the middle; images of one size come out.

    Raises ValueError, KeyError or TypeError.
    """
    edge, size, crop = _said_sizes(said)
    sides = [*(crop or ()), *(size or ()), edge or 1]
    if (crop is None and size is None) or min(sides) < 1 or max(sides) ** 2 > _MOST_PIXELS:
        raise ValueError(f"sides of {sides}")
    return edge, size, crop


def _said_sizes(said: dict[str, Any]) -> tuple[int | None, tuple[int, int] | None, tuple[int, int] | None]:
    given = said["size"]
    crop = _sides(said.get("crop_size", given)) if said.get("do_center_crop") else None
    if not said.get("do_resize", True):
        return None, None, crop
    edge = given if isinstance(given, int) else given.get("shortest_edge")
    if edge is None:
        return None, _sides(given), crop
    if "ConvNext" in str(said.get("image_processor_type") or said.get("feature_extractor_type")):
        if edge >= _STRETCHED_FROM:
            return None, (edge, edge), None
        return int(edge / float(said.get("crop_pct") or _CONVNEXT_SHARE)), None, (edge, edge)
    return (None, (edge, edge), None) if crop is None else (edge, None, crop)


def _sides(given: Any) -> tuple[int, int]:
    """Height and width of `224`, `{"height": 224, "width": 224}` or `{"shortest_edge": 224}`."""
    if isinstance(given, int):
        return given, given
    if "shortest_edge" in given:
        return int(given["shortest_edge"]), int(given["shortest_edge"])
    return int(given["height"]), int(given["width"])


def _channels(given: Any) -> Array:
    found = np.asarray(given, dtype=np.float32)
    if found.shape != (3,) or not np.isfinite(found).all():
        raise ValueError(f"{given} is not one number a channel")
    return found


def _middle(image: Image, height: int, width: int) -> Image:
    """The middle of an image; black where it is smaller."""
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


class OnnxImageEncoder:
    """Any model that gives a vector an image, or a grid or a list of them, whose mean is taken.

    name: `onnx:FOLDER` or `fastembed:MODEL`, where MODEL is a folder or a name. Raises BadModel, and ImportError
    without the packages.
    """

    def __init__(self, name: str, models: Path | None = None, n_threads: int = 1) -> None:
        self.name = name
        self._rows = Rows(name)
        self._model = OnnxModel(name, folder_of(name.partition(":")[2], models), [_PREPROCESSOR], n_threads)
        self._preparation = Preparation.read(self._model.settings(_PREPROCESSOR))
        self._output = self._model.output(_OUTPUTS).name
        inputs = self._model.inputs
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise BadModel("whose model takes no images: it must have one input of 4 dimensions")
        self._input: str = inputs[0].name
        self._is_channels_last = inputs[0].shape[3] == 3 and inputs[0].shape[1] != 3
        gray = importlib.import_module("PIL.Image").new("RGB", (64, 64), (128, 128, 128))
        self.n_dimensions: int = self._batch([gray]).shape[1]

    @property
    def fingerprint(self) -> str:
        """As of `TextEncoder`."""
        return self._model.fingerprint

    @property
    def recipe(self) -> Recipe:
        """How images are embedded, for those who do it without this package."""
        own = self._preparation
        settings = {
            "input": self._input,
            "output": self._output,
            "is_channels_last": self._is_channels_last,
            "edge": own.edge,
            "size": own.size,
            "crop": own.crop,
            "resample": own.resample,
            "scale": own.scale,
            "mean": own.mean.tolist(),
            "deviation": own.deviation.tolist(),
            "longest_of_shorter": _LONGEST,
        }
        return self._model.recipe([], settings)

    def encode(self, images: Sequence[Image]) -> Array:
        """As of the contract. images: decoded, any mode and size."""
        parts = [self._rows.unit(self._batch(images[first : first + BATCH])) for first in range(0, len(images), BATCH)]
        return np.vstack([np.zeros((0, self.n_dimensions), dtype=np.float32), *parts])

    def _batch(self, images: Sequence[Image]) -> Array:
        pixels = np.stack([self._preparation.pixels(image) for image in images])
        if not self._is_channels_last:
            pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        found = self._model.run(self._output, {self._input: pixels})
        if found.ndim == 4:
            return np.asarray(found.mean(axis=(1, 2) if self._is_channels_last else (2, 3)))
        return np.asarray(found.mean(axis=1)) if found.ndim == 3 else found.reshape(len(images), -1)
