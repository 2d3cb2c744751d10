"""Sentence encoders: pretrained language models, loaded by name, once per process."""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed

from label_studio_al.learning.layouts import Encoder
from label_studio_al.learning.rows import unit_rows
from label_studio_al.learning.terms import MAX_TEXT_CHARACTERS
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidSettings
from label_studio_al.runtime.memory import map_file

NONE = "none"
WORDLLAMA = "wordllama"
_TOKENIZER = Path("tokenizers", "l2_supercat_tokenizer_config.json")
_WEIGHTS = Path("weights", "l2_supercat_256.safetensors")
# At once, and on one worker of a cluster: the tokenizer's answer weighs 10 kB a text of 240 characters.
TEXTS_AT_ONCE = 500

log = logging.getLogger(__name__)


class _Named(ABC):
    """Pickles as its name: weights lie in their own files, not in our artifacts."""

    def __init__(self, name: str, n_dimensions: int) -> None:
        self.name = name
        self.n_dimensions = n_dimensions

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return load_encoder, (self.name,)

    def encode(self, texts: Sequence[str]) -> Array:
        """Rows of unit length, zero for an empty text. Returns shape (n_texts, n_dimensions), float32.

        Part by part, which `joblib.parallel_config` may spread over machines: each loads the weights by name, once.
        """
        parts = [
            [text[:MAX_TEXT_CHARACTERS] for text in texts[first : first + TEXTS_AT_ONCE]]
            for first in range(0, len(texts), TEXTS_AT_ONCE)
        ]
        # joblib takes half a millisecond, which is as much as a single text.
        is_one = len(parts) < 2
        rows = map(self._encode, parts) if is_one else Parallel()(delayed(self._encode)(part) for part in parts)
        return np.vstack([np.zeros((0, self.n_dimensions), dtype=np.float32), *rows])

    @abstractmethod
    def _encode(self, texts: Sequence[str]) -> Array:
        """The rows of a part of the texts."""


class WordLlamaEncoder(_Named):
    """The mean of a text's token vectors, 256 dimensions; the weights come with the package `wordllama`.

    tokenizer: of the package `tokenizers`. vectors: shape (n_tokens, n_dimensions), float16, by a token's number; they
    stay in the package's file, whose pages all processes of a machine share. Its own code would load 70 MB instead.
    Computed as one sparse product: tokenizing is most of the work.
    """

    def __init__(self) -> None:
        found = importlib.util.find_spec(WORDLLAMA)
        if found is None or found.origin is None:
            raise ModuleNotFoundError(f"no package {WORDLLAMA}", name=WORDLLAMA)
        folder = Path(found.origin).parent
        self.tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(str(folder / _TOKENIZER))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.vectors = _map_tensor(folder / _WEIGHTS, "embedding.weight")
        super().__init__(WORDLLAMA, self.vectors.shape[1])

    def _encode(self, texts: Sequence[str]) -> Array:
        found = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        tokens = [np.asarray(one.ids, dtype=np.int32) for one in found]
        ends = np.cumsum([0, *map(len, tokens)])
        known, columns = np.unique(np.concatenate([*tokens, np.zeros(0, dtype=np.int32)]), return_inverse=True)
        counts = sp.csr_matrix((np.ones(len(columns), dtype=np.float32), columns, ends), shape=(len(texts), len(known)))
        return unit_rows(np.asarray(counts @ self.vectors[known].astype(np.float32)))


def _map_tensor(path: Path, name: str) -> Array:
    """A tensor of a safetensors file, which begins with the size of its JSON header; read-only, on disk."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        found = json.loads(file.read(size))[name]
    if found["dtype"] != "F16":
        raise ValueError(f"{name} of {path.name} must be F16, not {found['dtype']}")
    return map_file(path, "<f2", tuple(found["shape"]), 8 + size + found["data_offsets"][0])


class ModelEncoder(_Named):
    """A model of sentence-transformers or model2vec, from a local folder or by its name."""

    def __init__(self, name: str, model: Any) -> None:
        self._model = model
        super().__init__(name, int(np.asarray(model.encode(["text"])).shape[1]))

    def _encode(self, texts: Sequence[str]) -> Array:
        rows = np.asarray(self._model.encode(texts), dtype=np.float32)
        if not np.isfinite(rows).all():
            broken = int((~np.isfinite(rows).all(axis=1)).sum())
            log.warning(
                "%s gave %d of %d embeddings that are not numbers: taken as empty", self.name, broken, len(rows)
            )
            rows = np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, 0.0)
        return unit_rows(rows * np.array([[bool(text.strip())] for text in texts]))


def _sentence_transformers(model: str) -> Any:
    return importlib.import_module("sentence_transformers").SentenceTransformer(model)


def _model2vec(model: str) -> Any:
    return importlib.import_module("model2vec").StaticModel.from_pretrained(model)


_LOADERS: dict[str, Callable[[str], Any]] = {
    "sentence-transformers": _sentence_transformers,
    "model2vec": _model2vec,
}


@cache
def load_encoder(name: str) -> Encoder:
    """The encoder of that name: `wordllama`, `sentence-transformers:MODEL` or `model2vec:MODEL` (a folder or a name).

    Raises InvalidSettings with a sentence if it cannot be loaded.
    """
    kind, _, model = name.partition(":")
    try:
        if name == WORDLLAMA:
            return WordLlamaEncoder()
        if kind in _LOADERS and model:
            return ModelEncoder(name, _LOADERS[kind](model))
    except ImportError as exc:
        raise InvalidSettings(f"AL_ENCODER is {name!r}, which needs the package {exc.name}: install it") from exc
    except Exception as exc:
        raise InvalidSettings(f"AL_ENCODER is {name!r}, which cannot be loaded: {type(exc).__name__}") from exc
    known = ", ".join([NONE, WORDLLAMA, *(f"{kind}:MODEL" for kind in _LOADERS)])
    raise InvalidSettings(f"AL_ENCODER must be one of {known}, not {name[:60]!r}")


def find_encoder(name: str) -> Encoder | None:
    """The encoder of that name; None for `none`, or for `wordllama` where the package has no wheel."""
    if name == NONE:
        return None
    try:
        return load_encoder(name)
    except InvalidSettings:
        if name != WORDLLAMA:
            raise
        log.warning("wordllama is not installed here: features are TF-IDF only")
        return None
