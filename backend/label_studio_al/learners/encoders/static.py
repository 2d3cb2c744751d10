"""Encoders that are Python packages: wordllama, model2vec and sentence-transformers."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from label_studio_al.learners.encoders.base import Rows, TextEncoder, contents, release_of
from label_studio_al.learners.encoders.places import kept_commit
from label_studio_al.learning.rows import unit_rows
from label_studio_al.learning.types import Array
from label_studio_al.runtime.memory import map_file

MODEL2VEC = "model2vec"
SENTENCE_TRANSFORMERS = "sentence-transformers"
WORDLLAMA = "wordllama"
_TOKENIZER = Path("tokenizers", "l2_supercat_tokenizer_config.json")
_WEIGHTS = Path("weights", "l2_supercat_256.safetensors")


class WordLlamaEncoder(TextEncoder):
    """The mean of a text's token vectors, 256 dimensions; the weights come with the package `wordllama`.

    tokenizer: of the package `tokenizers`. vectors: shape (n_tokens, n_dimensions), float16, by a token's number; they
    stay in the package's file, whose pages all processes of a machine share. Its own code would load 70 MB instead.
    Computed as one sparse product: tokenizing is most of the work.
    """

    is_slow = False

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

    def _identity(self) -> Iterable[bytes]:
        return [release_of(WORDLLAMA)]


def _map_tensor(path: Path, name: str) -> Array:
    """A tensor of a safetensors file, which begins with the size of its JSON header; read-only, on disk."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        found = json.loads(file.read(size))[name]
    if found["dtype"] != "F16":
        raise ValueError(f"{name} of {path.name} must be F16, not {found['dtype']}")
    return map_file(path, "<f2", tuple(found["shape"]), 8 + size + found["data_offsets"][0])


class ModelEncoder(TextEncoder):
    """A model of sentence-transformers or model2vec, from a local folder or by its name.

    Known by the folder's files; by its name, by the package's release and the commit in the Hub's cache.
    """

    def __init__(self, name: str, model: Any) -> None:
        self._model = model
        self._rows = Rows(name)
        self._kind, _, self._place = name.partition(":")
        self.is_slow = self._kind == SENTENCE_TRANSFORMERS
        super().__init__(name, int(np.asarray(model.encode(["text"])).shape[1]))

    def _encode(self, texts: Sequence[str]) -> Array:
        return self._rows.unit(self._model.encode(texts)) * np.array(
            [[bool(text.strip())] for text in texts], dtype=np.float32
        )

    def _identity(self) -> Iterable[bytes]:
        folder = Path(self._place)
        if not folder.is_dir():
            # sentence-transformers' own models may be named without their owner.
            names = self._place, f"{SENTENCE_TRANSFORMERS}/{self._place}"
            return [release_of(self._kind), *map(kept_commit, names)]
        return contents(sorted(path for path in folder.rglob("*") if path.is_file()))


def load_sentence_transformers(model: str) -> Any:
    """The model of that name or folder. Raises ImportError, and whatever the package does."""
    return importlib.import_module("sentence_transformers").SentenceTransformer(model)


def load_model2vec(model: str) -> Any:
    """The model of that name or folder. Raises ImportError, and whatever the package does."""
    return importlib.import_module("model2vec").StaticModel.from_pretrained(model)
