"""Loads encoders by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from label_studio_al.learners.encoders.base import ImageEncoder, TextEncoder
from label_studio_al.learners.encoders.installed import (
    InstalledImageEncoder,
    InstalledTextEncoder,
    installed_names,
    made,
)
from label_studio_al.learners.encoders.places import BadModel
from label_studio_al.learners.encoders.static import (
    MODEL2VEC,
    SENTENCE_TRANSFORMERS,
    WORDLLAMA,
    ModelEncoder,
    WordLlamaEncoder,
    load_model2vec,
    load_sentence_transformers,
)
from label_studio_al.learning.deferred import IMAGE, TEXT
from label_studio_al.runtime.errors import EncoderFailed, InvalidSettings

AUTO = "auto"
NONE = "none"
FASTEMBED = "fastembed"
ONNX = "onnx"
_PACKAGES: dict[str, Callable[[str], Any]] = {
    SENTENCE_TRANSFORMERS: load_sentence_transformers,
    MODEL2VEC: load_model2vec,
}
# What ONNX models need is an extra of ours; the others' is called like themselves.
_OF_EXTRA = {"onnxruntime": FASTEMBED, "tokenizers": FASTEMBED, "PIL": FASTEMBED}
_MADE = TypeVar("_MADE")


def load_encoder(name: str, models: Path | None = None, n_threads: int = 1) -> TextEncoder:
    """The encoder of texts of that name, which is loaded once: `wordllama`, `fastembed:MODEL`,
    `sentence-transformers:MODEL`, `model2vec:MODEL` (a folder or a name), or an installed package's.

    models: folder of models that were fetched; None for the Hugging Face cache. n_threads: CPU threads of an ONNX
    model. Raises InvalidSettings with a sentence if it cannot be loaded.
    """
    # What is not of ONNX takes no more than a name.
    return _load_text(name, models, n_threads) if name.startswith(f"{FASTEMBED}:") else _load_text(name)


def load_image_encoder(name: str, models: Path | None = None, n_threads: int = 1) -> ImageEncoder:
    """The encoder of images of that name, which is loaded once: `fastembed:MODEL` (a folder or a name),
    `onnx:FOLDER`, or an installed package's. Otherwise as `load_encoder`.
    """
    return _load_image(name, models, n_threads)


@cache
def _load_text(name: str, models: Path | None = None, n_threads: int = 1) -> TextEncoder:
    return _loaded("AL_ENCODER", name, lambda: _text(name, models, n_threads))


@cache
def _load_image(name: str, models: Path | None, n_threads: int) -> ImageEncoder:
    return _loaded("AL_IMAGE_ENCODER", name, lambda: _image(name, models, n_threads))


def check_name(name: str) -> None:
    """Raises InvalidSettings for what names no encoder of texts; loads none."""
    kind, colon, model = name.partition(":")
    is_known = kind in (FASTEMBED, *_PACKAGES) and model if colon else name == WORDLLAMA or name in installed_names()
    if not is_known:
        known = [AUTO, NONE, WORDLLAMA, f"{FASTEMBED}:MODEL", *(f"{kind}:MODEL" for kind in _PACKAGES)]
        raise InvalidSettings(f"AL_ENCODER must be one of {', '.join([*known, *installed_names()])}, not {name[:60]!r}")


def _text(name: str, models: Path | None, n_threads: int) -> TextEncoder:
    check_name(name)
    kind, _, model = name.partition(":")
    if name == WORDLLAMA:
        return WordLlamaEncoder()
    if kind == FASTEMBED:
        from label_studio_al.learners.encoders.onnx_texts import OnnxTextEncoder

        return OnnxTextEncoder(name, models, n_threads)
    if kind in _PACKAGES:
        return ModelEncoder(name, _PACKAGES[kind](model))
    found = made(name, TEXT)
    assert found, name
    return InstalledTextEncoder(name, *found)


def _image(name: str, models: Path | None, n_threads: int) -> ImageEncoder:
    kind, _, model = name.partition(":")
    if kind in (FASTEMBED, ONNX) and model:
        from label_studio_al.learners.encoders.onnx_images import OnnxImageEncoder

        return OnnxImageEncoder(name, models, n_threads)
    found = made(name, IMAGE) if name else None
    if found is None:
        known = ", ".join([NONE, f"{FASTEMBED}:MODEL", f"{ONNX}:FOLDER", *installed_names()])
        raise InvalidSettings(f"AL_IMAGE_ENCODER must be one of {known}, not {name[:60]!r}")
    return InstalledImageEncoder(name, *found)


def _loaded(setting: str, name: str, load: Callable[[], _MADE]) -> _MADE:
    try:
        return load()
    except InvalidSettings:
        raise
    except BadModel as exc:
        raise InvalidSettings(f"{setting} is {name!r}, {exc}") from exc
    except EncoderFailed as exc:
        raise InvalidSettings(f"{setting} is {name!r}: {exc}") from exc
    except ImportError as exc:
        extra = _OF_EXTRA.get(str(exc.name))
        how = f"install the extra {extra}" if extra else "install it"
        raise InvalidSettings(f"{setting} is {name!r}, which needs the package {exc.name}: {how}") from exc
    except Exception as exc:
        raise InvalidSettings(f"{setting} is {name!r}, which cannot be loaded: {type(exc).__name__}") from exc
