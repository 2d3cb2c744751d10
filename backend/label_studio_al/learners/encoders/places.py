"""Where the files of ONNX models lie: folders of one's own, and models of the Hugging Face Hub that were fetched."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MAIN = "main"
# The first that a folder has is taken: float32 first, or what fastembed's own conversions are called.
MODEL_FILES = ("model.onnx", "onnx/model.onnx", "model_optimized.onnx")
_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?", re.ASCII)


class BadModel(Exception):
    """A model cannot be used; the message is the end of a sentence that begins with the setting and its value."""


@dataclass(frozen=True)
class Published:
    """A model of the Hub. revision: a commit, or a branch. sha256: of its ONNX file, where it is pinned here.

    pooling: how rows of tokens become one, where the repository does not say so.
    """

    repository: str
    revision: str = MAIN
    sha256: str | None = None
    pooling: str | None = None


# fastembed's names for repositories that are called otherwise: those with the ONNX file.
_PUBLISHED = {
    "sentence-transformers/all-MiniLM-L6-v2": Published(
        "qdrant/all-MiniLM-L6-v2-onnx",
        "5f1b8cd78bc4fb444dd171e59b18f3a3af89a079",  # pragma: allowlist secret
        "bbd7b466f6d58e646fdc2bd5fd67b2f5e93c0b687011bd4548c420f7bd46f0c5",  # pragma: allowlist secret
        "mean",
    ),
    "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2": Published(
        "qdrant/paraphrase-multilingual-MiniLM-L12-v2-onnx-Q", pooling="mean"
    ),
    "sentence-transformers/paraphrase-multilingual-mpnet-base-v2": Published(
        "xenova/paraphrase-multilingual-mpnet-base-v2", pooling="mean"
    ),
    "intfloat/multilingual-e5-large": Published("qdrant/multilingual-e5-large-onnx", pooling="mean"),
    "jinaai/jina-embeddings-v2-small-en": Published("xenova/jina-embeddings-v2-small-en", pooling="mean"),
    "jinaai/jina-embeddings-v2-base-en": Published("xenova/jina-embeddings-v2-base-en", pooling="mean"),
    "thenlper/gte-large": Published("qdrant/gte-large-onnx", pooling="mean"),
    "BAAI/bge-small-en-v1.5": Published("qdrant/bge-small-en-v1.5-onnx-q", pooling="cls"),
    "BAAI/bge-base-en-v1.5": Published("qdrant/bge-base-en-v1.5-onnx-q", pooling="cls"),
    "BAAI/bge-large-en-v1.5": Published("qdrant/bge-large-en-v1.5-onnx", pooling="cls"),
    "BAAI/bge-small-zh-v1.5": Published("Qdrant/bge-small-zh-v1.5", pooling="cls"),
}
KNOWN = tuple(_PUBLISHED)


def published(model: str) -> Published | None:
    """The model that `OWNER/NAME` or `OWNER/NAME@REVISION` means; None where that is no name."""
    found = _NAME.fullmatch(model)
    if found is None:
        return None
    known = _PUBLISHED.get(found["name"], Published(found["name"]))
    if found["revision"] in (None, known.revision):
        return known
    return Published(known.repository, found["revision"], pooling=known.pooling)


def folder_of(model: str, models: Path | None) -> Path:
    """The folder of a model that is given as a folder or by its name. Never downloads.

    models: the folder of fetched ones, None for the Hub's own cache. Raises BadModel.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise BadModel("which is no folder")
    wanted = published(model)
    if wanted is None or model.startswith("."):
        raise BadModel("which is no folder, and no name of a model (OWNER/NAME)")
    kept = kept_folder(wanted, models)
    if kept is None:
        raise BadModel(f"whose files are not here: label-studio-al encoders --fetch {model} downloads them")
    return kept


def kept_folder(wanted: Published, models: Path | None) -> Path | None:
    """Where a fetched model's files lie; None where they do not."""
    kept = (models or hub_cache()) / f"models--{wanted.repository.replace('/', '--')}"
    named = kept / "refs" / wanted.revision
    try:
        revision = named.read_text(encoding="ascii").strip() if named.is_file() else wanted.revision
    except (OSError, ValueError):
        return None
    folder = kept / "snapshots" / revision
    return folder if any((folder / file).is_file() for file in MODEL_FILES) else None


def kept_commit(repository: str) -> bytes:
    """The commit of a repository's main branch in the Hub's own cache; empty where it is not there."""
    try:
        return (hub_cache() / f"models--{repository.replace('/', '--')}" / "refs" / MAIN).read_bytes()
    except OSError:
        return b""


def hub_cache() -> Path:
    """The cache of the package huggingface_hub, which is not imported for that."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.environ.get("HF_HOME") or Path(cache, "huggingface")).expanduser() / "hub"
