"""Sentence embeddings of an ONNX model: a transformer and its tokenizer."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from label_studio_al.learners.encoders.base import Rows, TextEncoder
from label_studio_al.learners.encoders.onnx_model import BATCH, OnnxModel, Recipe
from label_studio_al.learners.encoders.places import BadModel, Published, folder_of, published
from label_studio_al.learning.types import Array

_TOKENIZER = "tokenizer.json"
_SENTENCES = ("sentence_embedding", "text_embeds")
_TOKENS = ("last_hidden_state", "token_embeddings")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
MOST_TOKENS = 512
# Far more than any tokenizer's average: what lies behind is cut off as text, which costs nothing.
_CHARACTERS_OF_A_TOKEN = 32


class OnnxTextEncoder(TextEncoder):
    """Mean or first token, whichever the folder says; texts of like length in a batch, so that little is padding.

    name: `fastembed:MODEL`, where MODEL is a folder or a name. Raises BadModel, and ImportError without the packages.
    """

    is_slow = True

    def __init__(self, name: str, models: Path | None = None, n_threads: int = 1) -> None:
        tokenizers = importlib.import_module("tokenizers")
        self._loaded_from = models, n_threads
        model = name.partition(":")[2]
        self._model = OnnxModel(name, folder_of(model, models), [_TOKENIZER], n_threads)
        self._rows = Rows(name)
        config = self._model.settings("config.json")
        unknown = [one.name for one in self._model.inputs if one.name not in _INPUTS]
        if unknown or not self._model.inputs:
            raise BadModel(f"whose model takes {', '.join(unknown) or 'nothing'}: it must take {', '.join(_INPUTS)}")
        output = self._model.output([*_SENTENCES, *_TOKENS])
        self._output = output.name
        pooling = "none" if len(output.shape) == 2 else self._pooling(published(model))
        if pooling is None:
            raise BadModel("whose 1_Pooling/config.json asks for another pooling than mean or cls")
        self._pooled_by = pooling
        self._pool = _POOLINGS[pooling]
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(self._model.folder / _TOKENIZER))
        except Exception as exc:
            # The package raises nothing more special.
            raise BadModel(f"whose {_TOKENIZER} cannot be read") from exc
        padding = self._tokenizer.padding or {}
        self._padding = int(config.get("pad_token_id") or padding.get("pad_id") or 0)
        self._most = self._most_tokens(config)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._most)
        n_dimensions = self._batch([self._tokens("a text")]).shape[1]
        self._check_dimensions(n_dimensions, config)
        super().__init__(name, n_dimensions)

    @property
    def recipe(self) -> Recipe:
        """How texts are embedded, for those who do it without this package."""
        settings = {
            "inputs": [one.name for one in self._model.inputs],
            "output": self._output,
            "pooling": self._pooled_by,
            "padding": self._padding,
            "most_tokens": self._most,
            "most_characters": self._most * _CHARACTERS_OF_A_TOKEN,
        }
        return self._model.recipe([_TOKENIZER], settings)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        load, arguments = super().__reduce__()
        return load, (*arguments, *self._loaded_from)

    def _encode(self, texts: Sequence[str]) -> Array:
        rows = np.zeros((len(texts), self.n_dimensions), dtype=np.float32)
        # One by one: in batches the tokenizer takes all CPUs.
        tokens = {place: self._tokens(text) for place, text in enumerate(texts) if text.strip()}
        shortest_first = sorted(tokens, key=lambda place: len(tokens[place].ids))
        for first in range(0, len(shortest_first), BATCH):
            places = shortest_first[first : first + BATCH]
            rows[places] = self._rows.unit(self._batch([tokens[place] for place in places]))
        return rows

    def _identity(self) -> Iterable[bytes]:
        return [self._model.fingerprint.encode()]

    def _tokens(self, text: str) -> Any:
        return self._tokenizer.encode(text.strip()[: self._most * _CHARACTERS_OF_A_TOKEN])

    def _batch(self, found: Sequence[Any]) -> Array:
        """Embeddings of tokenized texts, of any length."""
        tokens: dict[str, Array] = {
            name: np.zeros((len(found), max(len(one.ids) for one in found)), np.int64) for name in _INPUTS
        }
        tokens["input_ids"][:] = self._padding
        for row, one in enumerate(found):
            tokens["input_ids"][row, : len(one.ids)] = one.ids
            tokens["token_type_ids"][row, : len(one.ids)] = one.type_ids
            tokens["attention_mask"][row, : len(one.ids)] = 1
        asked = {one.name: tokens[one.name] for one in self._model.inputs}
        return self._pool(self._model.run(self._output, asked), tokens["attention_mask"])

    def _pooling(self, known: Published | None) -> str | None:
        said = self._model.settings("1_Pooling/config.json")
        if not said:
            return (known.pooling if known else None) or "mean"
        modes = [mode for mode, is_on in said.items() if mode.startswith("pooling_mode_") and is_on is True]
        modes = modes or [str(said.get("pooling_mode"))]
        return _NAMES_OF_POOLINGS.get(modes[0]) if len(modes) == 1 else None

    def _most_tokens(self, config: dict[str, Any]) -> int:
        truncation = self._tokenizer.truncation or {}
        said = [
            self._model.settings("sentence_bert_config.json").get("max_seq_length") or truncation.get("max_length"),
            self._model.settings("tokenizer_config.json").get("model_max_length"),
            config.get("max_position_embeddings"),
        ]
        # Of some tokenizers it is 10**30, which stands for none.
        return int(min([MOST_TOKENS, *(one for one in said if isinstance(one, (int, float)) and one > 0)]))

    def _check_dimensions(self, n_dimensions: int, config: dict[str, Any]) -> None:
        said = config.get("hidden_size")
        if self._output in _TOKENS and isinstance(said, int) and said != n_dimensions:
            raise BadModel(f"whose model gives {n_dimensions} dimensions, not {said} as its config.json says")


def _mean(rows: Array, mask: Array) -> Array:
    # What a model makes of padding may be no number.
    kept = np.where(mask[:, :, None] > 0, rows, np.float32(0.0))
    return np.asarray(kept.sum(axis=1) / np.maximum(mask.sum(axis=1, keepdims=True), 1).astype(np.float32))


def _first(rows: Array, _mask: Array) -> Array:
    return np.asarray(rows[:, 0])


_POOLINGS: dict[str, Callable[[Array, Array], Array]] = {"mean": _mean, "cls": _first, "none": lambda rows, _mask: rows}
_NAMES_OF_POOLINGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "mean": "mean",
    "cls": "cls",
}
