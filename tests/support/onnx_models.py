"""Tiny ONNX models in folders, as encoders are given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "text", "good", "bad", "film", "broken")
N_DIMENSIONS = 4
MOST_TOKENS = 16
_OPSET = [helper.make_opsetid("", 17)]


def vectors(seed: int = 0) -> np.ndarray:
    """A vector for each of `WORDS`; those of padding and of "broken" are no numbers."""
    found = np.random.default_rng(seed).normal(size=(len(WORDS), N_DIMENSIONS)).astype(np.float32)
    found[[0, WORDS.index("broken")]] = np.nan
    return found


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def text_folder(folder: Path, table: np.ndarray | None = None, *, file: str = "model.onnx") -> Path:
    """A model that looks each token up in a table, and a tokenizer that splits at blanks."""
    folder.mkdir(parents=True, exist_ok=True)
    table = vectors() if table is None else table
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"])
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    shape: list[Any] = ["n", "t", table.shape[1]]
    save(
        folder / file,
        [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])],
        inputs,
        [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, shape)],
        {"table": table},
    )
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    # As published ones often have it; it must not lengthen every text.
    tokenizer.enable_padding(length=MOST_TOKENS)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "config.json", {"hidden_size": table.shape[1], "max_position_embeddings": MOST_TOKENS})
    return folder


def image_folder(folder: Path, preprocessor: Mapping[str, Any], side: int = 8) -> Path:
    """A model that gives the mean of each channel, as a grid of one."""
    folder.mkdir(parents=True, exist_ok=True)
    save(
        folder / "model.onnx",
        [helper.make_node("GlobalAveragePool", ["pixel_values"], ["features"])],
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["n", 3, side, side])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3, 1, 1])],
    )
    write_json(folder / "preprocessor_config.json", preprocessor)
    return folder


def save(
    path: Path, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], constants: Mapping[str, Any] = {}
) -> None:
    """Write a model of these nodes."""
    kept = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=_OPSET, ir_version=9), str(path))
