"""Which encoders there are, without loading one."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from label_studio_al.learners.encoders.installed import installed_names
from label_studio_al.learners.encoders.loading import FASTEMBED
from label_studio_al.learners.encoders.places import KNOWN, MODEL_FILES, hub_cache, kept_folder, published
from label_studio_al.learners.encoders.static import WORDLLAMA


@dataclass(frozen=True)
class Listed:
    """An encoder that a setting may name. is_here: whether its package and its files are."""

    name: str
    is_here: bool


def list_encoders(models: Path | None = None) -> list[Listed]:
    """wordllama, the published models that have a name here, what else was fetched, and what packages offer.

    models: folder of models that were fetched; None for the Hugging Face cache.
    """
    runs = importlib.util.find_spec("onnxruntime") is not None
    wanted = {name: published(name) for name in KNOWN}
    found = [
        Listed(f"{FASTEMBED}:{name}", runs and one is not None and kept_folder(one, models) is not None)
        for name, one in wanted.items()
    ]
    repositories = {one.repository for one in wanted.values() if one is not None}
    others = [
        Listed(f"{FASTEMBED}:{name}@{revision}", runs)
        for name, revision in _fetched(models)
        if name not in repositories
    ]
    wordllama = Listed(WORDLLAMA, importlib.util.find_spec(WORDLLAMA) is not None)
    return [wordllama, *found, *others, *(Listed(name, True) for name in installed_names())]


def _fetched(models: Path | None) -> list[tuple[str, str]]:
    """Repository and commit of each ONNX model in the folder."""
    folders = sorted((models or hub_cache()).glob("models--*--*/snapshots/*"))
    kept = [folder for folder in folders if any((folder / file).is_file() for file in MODEL_FILES)]
    return [(folder.parents[1].name.removeprefix("models--").replace("--", "/", 1), folder.name) for folder in kept]
