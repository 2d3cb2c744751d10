"""Encoders of an exported model, which embed where this package is not."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as release_of
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from label_studio_al.exporting import onnx_encoder
from label_studio_al.learners.encoders import load_encoder, load_image_encoder
from label_studio_al.learners.encoders.places import published
from label_studio_al.learning.deferred import IMAGE, TEXT, Deferred, Kind
from label_studio_al.learning.rows import unit_rows
from label_studio_al.pool.pictures import decode
from label_studio_al.runtime.errors import InvalidSettings, NotExportable

MODULE = Path(onnx_encoder.__file__).name
_NAME = Path(MODULE).stem
_CLASSES = {TEXT: "OnnxTexts", IMAGE: "OnnxImages"}
FOLDERS = {TEXT: "text_encoder", IMAGE: "image_encoder"}
_PACKAGES = {TEXT: "tokenizers", IMAGE: "pillow"}
# What encoders are compared on, where a project's own images lie elsewhere: sizes and colours of made ones.
_MADE_IMAGES = ((64, 48), (640, 480), (300, 900), (1600, 1100))


@dataclass(frozen=True)
class ExportedEncoder:
    """An ONNX encoder. about: as of `onnx_encoder.OnnxEncoder`. folder: where its files lie here."""

    kind: Kind
    about: Mapping[str, Any]
    folder: Path
    encoder: Any

    @property
    def packages(self) -> tuple[str, ...]:
        """What it needs beside NumPy."""
        return "onnxruntime", _PACKAGES[self.kind]

    @property
    def source(self) -> str | None:
        """How it is had from the Hub, as a command; None of a folder of one's own."""
        wanted = published(self.encoder.name.partition(":")[2])
        is_folder = Path(self.encoder.name.partition(":")[2]).expanduser().is_dir()
        if wanted is None or is_folder:
            return None
        files = " ".join(self.about["files"])
        return f"hf download {wanted.repository} {files} --revision {self.folder.name} --local-dir {FOLDERS[self.kind]}"

    def copy_to(self, folder: Path) -> None:
        """Its files, as its module finds them. Raises OSError."""
        for name in self.about["files"]:
            target = folder / FOLDERS[self.kind] / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / name, target)

    def difference(self, embeds: Any) -> float:
        """By how much its numbers of some made images differ at most from those of `embeds`."""
        from PIL import Image

        made = [Image.linear_gradient("L").resize(size).convert("RGB") for size in _MADE_IMAGES]
        ours = self.encoder.encode([_small(one) for one in made])
        return float(np.abs(unit_rows(ours) - embeds(made)).max())


def exported_encoders(deferred: Sequence[Deferred], models: Path | None) -> list[ExportedEncoder]:
    """Those that filled in the embeddings. models: folder of fetched ones. Raises NotExportable."""
    return [_exported(one, models) for one in deferred]


def _exported(deferred: Deferred, models: Path | None) -> ExportedEncoder:
    what = "connect --set features=tfidf makes it learn from words alone; export the next version"
    if deferred.kind == IMAGE:
        what = "set AL_IMAGE_ENCODER to a folder with an ONNX model, and export the next version"
    load = load_encoder if deferred.kind == TEXT else load_image_encoder
    try:
        encoder: Any = load(deferred.encoder, models)
    except InvalidSettings as exc:
        raise NotExportable(f"the model looks at embeddings whose encoder cannot be loaded: {exc}") from exc
    if not hasattr(encoder, "recipe"):
        raise NotExportable(
            f"the model looks at embeddings of {deferred.encoder}; only those of ONNX models can be exported: {what}"
        )
    if encoder.fingerprint != deferred.fingerprint:
        raise NotExportable(
            f"the weights of {deferred.encoder} have changed since the model was trained ({deferred.fingerprint} then, "
            f"{encoder.fingerprint} now): wait for the next version"
        )
    recipe = encoder.recipe
    place = Path(deferred.encoder.partition(":")[2]).expanduser()
    about = {
        "name": place.resolve().name if place.is_dir() else deferred.encoder.partition(":")[2],
        "fingerprint": deferred.fingerprint,
        "n_dimensions": deferred.n_dimensions,
        "folder": FOLDERS[deferred.kind],
        "files": {name: onnx_encoder.sha256_of(recipe.folder / name) for name in recipe.files},
        "settings": dict(recipe.settings),
    }
    return ExportedEncoder(deferred.kind, about, recipe.folder, encoder)


@contextmanager
def module_in(folder: Path, encoders: Sequence[ExportedEncoder]) -> Iterator[ModuleType]:
    """The module in an exported folder, under the name by which the model's file knows it, finding these encoders.

    Without encoders there is none.
    """
    if not encoders:
        yield onnx_encoder
        return
    spec = importlib.util.spec_from_file_location(_NAME, folder / MODULE)
    assert spec is not None
    assert spec.loader is not None
    before, module = sys.modules.get(_NAME), importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module
    try:
        spec.loader.exec_module(module)
        module.PLACES.extend(one.folder for one in encoders)
        yield module
    finally:
        del sys.modules[_NAME]
        if before is not None:
            sys.modules[_NAME] = before


def embeds(module: ModuleType, encoder: ExportedEncoder) -> Any:
    """The encoder as the module has it."""
    return getattr(module, _CLASSES[encoder.kind])(dict(encoder.about))


def write_module(folder: Path) -> None:
    """Copy the module."""
    shutil.copyfile(str(onnx_encoder.__file__), folder / MODULE)


def releases(encoders: Sequence[ExportedEncoder]) -> dict[str, str]:
    """The packages that they need."""
    return {name: release_of(name) for one in encoders for name in one.packages}


def _small(image: Any) -> Any:
    from io import BytesIO

    file = BytesIO()
    image.save(file, "PNG")
    return decode(file.getvalue())
