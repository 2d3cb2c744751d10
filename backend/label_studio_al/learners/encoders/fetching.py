"""Downloads published models from the Hugging Face Hub, for those who ask for it."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from label_studio_al.learners.encoders.onnx_model import refuse_int8
from label_studio_al.learners.encoders.places import MODEL_FILES, BadModel, Published, published
from label_studio_al.runtime.errors import InvalidRequest, ModelNotFetched

_FILES = [
    *(f"{file}{data}" for file in MODEL_FILES for data in ("", "_data", ".data")),
    "tokenizer.json",
    "tokenizer_config.json",
    "config.json",
    "sentence_bert_config.json",
    "preprocessor_config.json",
    "1_Pooling/config.json",
]
_NOT_FOUND = ("RepositoryNotFoundError", "RevisionNotFoundError", "GatedRepoError")
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Fetched:
    """name: as AL_ENCODER takes it behind `fastembed:`, with the revision if it is not pinned here."""

    name: str
    folder: Path
    n_bytes: int


def fetch_encoder(name: str, models: Path | None = None, *, progress: bool = True) -> Fetched:
    """Download a published model: `OWNER/NAME`, or `OWNER/NAME@REVISION` for a commit of one's own choice.

    models: the folder for it, None for the Hugging Face cache; what is there already is only checked. progress: bars
    on standard error. Each file is compared with the checksum that the Hub has for its revision, and the ONNX file of a
    model that is pinned here with ours. Raises InvalidRequest, and ModelNotFetched with a sentence.
    """
    wanted = published(name)
    if wanted is None:
        raise InvalidRequest(f"a model to fetch must be called OWNER/NAME or OWNER/NAME@REVISION, not {name[:80]!r}")
    if importlib.util.find_spec("huggingface_hub") is None:
        raise ModelNotFetched("fetching needs the package huggingface_hub: install the extra fastembed")
    folder = _download(name, wanted, models, progress)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        _check(path, path.relative_to(folder).as_posix(), wanted)
    found = [folder / file for file in MODEL_FILES if (folder / file) in files]
    if not found:
        raise ModelNotFetched(f"{name} has no {' or '.join(MODEL_FILES)}: it has no ONNX model that is usable here")
    try:
        refuse_int8(found[0])
    except BadModel as exc:
        raise ModelNotFetched(f"{name}, {exc}") from exc
    pinned = name if wanted.sha256 else f"{name.partition('@')[0]}@{folder.name}"
    return Fetched(pinned, folder, sum(path.stat().st_size for path in files))


def _download(name: str, wanted: Published, models: Path | None, progress: bool) -> Path:
    hub, utils = importlib.import_module("huggingface_hub"), importlib.import_module("huggingface_hub.utils")
    were_off = utils.are_progress_bars_disabled()
    if not progress:
        utils.disable_progress_bars()
    try:
        return Path(
            hub.snapshot_download(
                wanted.repository,
                revision=wanted.revision,
                cache_dir=models,
                allow_patterns=_FILES,
                # Read here: the package reads it when it is imported, which may have been earlier.
                endpoint=os.environ.get("HF_ENDPOINT"),
                max_workers=2,
            )
        )
    except Exception as exc:
        # Of the Hub's package, of its HTTP library and of the system: they differ between releases.
        kind = type(exc).__name__
        why = "there is none, or it needs a login (HF_TOKEN)" if kind in _NOT_FOUND else "the Hub does not answer"
        raise ModelNotFetched(
            f"{name} cannot be fetched ({wanted.repository} at {wanted.revision[:12]}): {why} ({kind})"
        ) from exc
    finally:
        if not were_off:
            utils.enable_progress_bars()


def _check(path: Path, name: str, wanted: Published) -> None:
    """Compare a file with its checksums. Raises ModelNotFetched, and removes what is wrong."""
    # In the cache a file's name is its checksum: SHA-256 of large files, Git's of small ones.
    expected = {len(path.resolve().name): path.resolve().name} if path.is_symlink() else {}
    if wanted.sha256 and name in MODEL_FILES:
        expected[64] = wanted.sha256
    found = {64: _sha256(path), 40: _git_sha1(path)}
    if any(expected.get(length, checksum) != checksum for length, checksum in found.items()):
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise ModelNotFetched(f"{name} of {wanted.repository} came with another checksum than it must have: removed")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for part in _parts(path):
        digest.update(part)
    return digest.hexdigest()


def _git_sha1(path: Path) -> str:
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    for part in _parts(path):
        digest.update(part)
    return digest.hexdigest()


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            yield part
