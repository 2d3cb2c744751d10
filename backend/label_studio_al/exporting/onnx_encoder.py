"""What the model beside this file sees texts or images with: an ONNX model, which is known by its checksums.

It needs NumPy and ONNX Runtime, for texts also tokenizers, for images also Pillow.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Folders in which files are looked for, too; to be added to before a model is loaded.
PLACES: list[Path] = []
# As the model was trained with: sums differ in their last digits otherwise.
BATCH = 8
MOST_CHARACTERS = 20_000
LONGEST = 512
_ORIENTATION = 274
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


class OnnxEncoder:
    """A model's session.

    about: name, fingerprint, checksums of its files (SHA-256, the model's own first), their folder, and how it is used.
    This is all that is kept where it is pickled: the files are found, and their checksums compared, when it is loaded.
    """

    def __init__(self, about: dict[str, Any]) -> None:
        self.__setstate__(about)

    def __getstate__(self) -> dict[str, Any]:
        return self.about

    def __setstate__(self, about: dict[str, Any]) -> None:
        self.about = about
        self.folder = _found(about)
        self._settings: dict[str, Any] = about["settings"]
        # Else it reports its use to its maker.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        runtime = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = str(self.folder / next(iter(about["files"])))
        self._session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def _run(self, inputs: dict[str, Any]) -> Any:
        return np.asarray(self._session.run([self._settings["output"]], inputs)[0], dtype=np.float32)


class OnnxTexts(OnnxEncoder):
    """Sentence embeddings: called with texts, it gives rows of length 1, zero for an empty text."""

    def __setstate__(self, about: dict[str, Any]) -> None:
        super().__setstate__(about)
        tokenizer = importlib.import_module("tokenizers").Tokenizer
        self._tokenizer = tokenizer.from_file(str(self.folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._settings["most_tokens"])

    def __call__(self, texts: Sequence[str]) -> Any:
        """Returns shape (n_texts, n_dimensions), float32."""
        rows = np.zeros((len(texts), self.about["n_dimensions"]), dtype=np.float32)
        tokens = {place: self._tokens(text) for place, text in enumerate(texts) if text[:MOST_CHARACTERS].strip()}
        shortest_first = sorted(tokens, key=lambda place: len(tokens[place].ids))
        for first in range(0, len(shortest_first), BATCH):
            places = shortest_first[first : first + BATCH]
            rows[places] = self._batch([tokens[place] for place in places])
        return _unit(rows)

    def _tokens(self, text: str) -> Any:
        return self._tokenizer.encode(text[:MOST_CHARACTERS].strip()[: self._settings["most_characters"]])

    def _batch(self, found: Sequence[Any]) -> Any:
        shape = len(found), max(len(one.ids) for one in found)
        given = {name: np.zeros(shape, np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
        given["input_ids"][:] = self._settings["padding"]
        for row, one in enumerate(found):
            given["input_ids"][row, : len(one.ids)] = one.ids
            given["token_type_ids"][row, : len(one.ids)] = one.type_ids
            given["attention_mask"][row, : len(one.ids)] = 1
        rows = self._run({name: given[name] for name in self._settings["inputs"]})
        if self._settings["pooling"] == "cls":
            return rows[:, 0]
        if self._settings["pooling"] == "none":
            return rows
        mask = given["attention_mask"]
        kept = np.where(mask[:, :, None] > 0, rows, np.float32(0.0))
        return kept.sum(axis=1) / np.maximum(mask.sum(axis=1, keepdims=True), 1).astype(np.float32)


class OnnxImages(OnnxEncoder):
    """Embeddings of images: called with paths or images of Pillow, it gives rows of length 1.

    For several images as one, give a list of them: the mean of their embeddings is taken.
    """

    def __call__(self, images: Sequence[Any]) -> Any:
        """Returns shape (n_images, n_dimensions), float32."""
        rows = [self._row(one if isinstance(one, (list, tuple)) else [one]) for one in images]
        return np.array(rows, dtype=np.float32).reshape(len(images), self.about["n_dimensions"])

    def _row(self, images: Sequence[Any]) -> Any:
        pixels = np.stack([self._pixels(decoded(one)) for one in images])
        is_last = self._settings["is_channels_last"]
        found = self._run({self._settings["input"]: pixels if is_last else pixels.transpose(0, 3, 1, 2).copy()})
        if found.ndim == 4:
            found = found.mean(axis=(1, 2) if is_last else (2, 3))
        rows = found.mean(axis=1) if found.ndim == 3 else found.reshape(len(images), -1)
        return _unit(_unit(rows).sum(axis=0, keepdims=True))[0]

    def _pixels(self, image: Any) -> Any:
        """Resized, cut and normalised: shape (height, width, 3), float32."""
        own = self._settings
        if own["size"] is not None:
            image = image.resize(tuple(own["size"])[::-1], own["resample"])
        elif own["edge"] is not None:
            shorter, longest = min(image.size), min(image.size) * own["longest_of_shorter"]
            if max(image.size) > longest:
                image = _middle(image, min(image.height, longest), min(image.width, longest))
            by = own["edge"] / shorter
            image = image.resize((int(image.width * by + 0.5), int(image.height * by + 0.5)), own["resample"])
        if own["crop"] is not None:
            image = _middle(image, *own["crop"])
        mean, deviation = (np.array(own[name], dtype=np.float32) for name in ("mean", "deviation"))
        return (np.asarray(image, dtype=np.float32) * np.float32(own["scale"]) - mean) / deviation


def decoded(given: Any) -> Any:
    """An image of Pillow, or one in a file: RGB, upright, at most 512 pixels a side, what is transparent on white."""
    image = given if hasattr(given, "resize") else importlib.import_module("PIL.Image").open(given)
    if image.format == "JPEG":
        image.draft(None, (2 * LONGEST, 2 * LONGEST))
    image.load()
    # Of a TIFF that Pillow has turned upright it is gone by now.
    orientation = image.getexif().get(_ORIENTATION, 1)
    small = _plain(image).reduce(max(1, max(image.size) // (2 * LONGEST)))
    small.thumbnail((LONGEST, LONGEST))
    if small.mode == "RGBA":
        behind = small.copy()
        behind.paste("white", (0, 0, *small.size))
        behind.alpha_composite(small)
        small = behind
    small = small.convert("RGB")
    turn = _TURNS.get(orientation)
    return small if turn is None else small.transpose(importlib.import_module("PIL.Image").Transpose[turn])


def _plain(image: Any) -> Any:
    """In a mode whose pixels can be averaged."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if values.dtype.itemsize == 2:
            shares = (values >> 8).astype(np.uint8)
        else:
            low, high = image.getextrema()
            with np.errstate(all="ignore"):
                shares = (np.nan_to_num((values.astype(np.float64) - low) / (high - low)).clip(0, 1) * 255).astype("u1")
        return importlib.import_module("PIL.Image").fromarray(shares)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert({"P": "RGB", "1": "L"}.get(image.mode, image.mode))


def _middle(image: Any, height: int, width: int) -> Any:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _unit(rows: Any) -> Any:
    """Rows of length 1; of what is no number, or zero, zero."""
    rows = np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, np.float32(0.0))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def _found(about: dict[str, Any]) -> Path:
    """The first folder that has its files. Raises FileNotFoundError, and ValueError if they are other ones."""
    files, own = about["files"], about["folder"]
    named = os.environ.get(own.upper())
    places = [*([Path(named)] if named else []), Path(__file__).with_name(own), *PLACES]
    having = [place for place in places if all((place / name).is_file() for name in files)]
    for place in having:
        if all(sha256_of(place / name) == checksum for name, checksum in files.items()):
            return place
    if having:
        said = ", ".join(f"{name} {checksum}" for name, checksum in files.items())
        raise ValueError(f"{having[0]} has another encoder than {about['name']}: SHA-256 must be {said}")
    raise FileNotFoundError(
        f"the model needs the encoder {about['name']}: put {', '.join(files)} into the folder {own} beside "
        f"{Path(__file__).name}, or name their folder in the environment variable {own.upper()}"
    )


def sha256_of(path: Path) -> str:
    """The checksum of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
