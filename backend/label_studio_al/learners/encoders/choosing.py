"""Which encoders a setting asks for: a static one, which turns use at once, and a slow one for the background."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path

from label_studio_al.learners.encoders.base import TextEncoder
from label_studio_al.learners.encoders.loading import AUTO, FASTEMBED, NONE, check_name, load_encoder
from label_studio_al.learners.encoders.places import kept_folder, published
from label_studio_al.learners.encoders.static import MODEL2VEC, WORDLLAMA
from label_studio_al.runtime.errors import InvalidSettings

RECOMMENDED = "sentence-transformers/all-MiniLM-L6-v2"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """static: loaded; None without embeddings, or where wordllama has no wheel. slow: a name for `load_encoder`."""

    static: TextEncoder | None
    slow: str | None


def choose_encoders(setting: str, models: Path | None = None) -> Choice:
    """What a value of AL_ENCODER asks for; only the static encoder is loaded.

    models: as of `load_encoder`. Raises InvalidSettings for what names no encoder, or a static one that cannot be
    loaded.
    """
    return Choice(find_encoder(setting), slow_encoder(setting, models))


def find_encoder(setting: str) -> TextEncoder | None:
    """The static encoder of a value of AL_ENCODER. Raises InvalidSettings."""
    if setting == NONE:
        return None
    if setting.startswith(f"{MODEL2VEC}:"):
        return load_encoder(setting)
    if setting != AUTO:
        check_name(setting)
    try:
        return load_encoder(WORDLLAMA)
    except InvalidSettings:
        log.warning("wordllama is not installed here: features are TF-IDF only")
        return None


def slow_encoder(setting: str, models: Path | None = None) -> str | None:
    """The name of the slow encoder of a value of AL_ENCODER, if there is one. Imports and loads nothing."""
    if setting == AUTO:
        return f"{FASTEMBED}:{RECOMMENDED}" if _has_recommended(models) else None
    return None if setting in (NONE, WORDLLAMA) or setting.startswith(f"{MODEL2VEC}:") else setting


def _has_recommended(models: Path | None) -> bool:
    wanted = published(RECOMMENDED)
    return (
        wanted is not None
        and importlib.util.find_spec("onnxruntime") is not None
        and kept_folder(wanted, models) is not None
    )
