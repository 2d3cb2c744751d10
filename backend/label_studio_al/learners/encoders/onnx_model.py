"""An ONNX model in a folder, and what is beside it."""

from __future__ import annotations

import importlib
import json
import mmap
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from label_studio_al.learners.encoders.base import contents, fingerprint_of
from label_studio_al.learners.encoders.places import MODEL_FILES, BadModel
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import EncoderFailed

# More at once is not faster on one thread, and takes more memory.
BATCH = 8
EXTRA = "fastembed"
_SETTINGS_BYTES = 1 << 20
# Operators whose scale is that of all rows of a batch, or of int8: an embedding would depend on the texts beside it.
_INT8_OPERATORS = (b"DynamicQuantize", b"MatMulInteger", b"ConvInteger", b"QLinear", b"QAttention", b"QGemm")
_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")


@dataclass(frozen=True)
class Recipe:
    """All that it takes to embed as an encoder does. files: below the folder, the model's own first.

    settings: how its input is made and its output read, as JSON takes it.
    """

    folder: Path
    files: tuple[str, ...]
    settings: Mapping[str, Any]


class OnnxModel:
    """A float model that is run on one CPU thread, or as many as are asked for.

    inputs, outputs: names in the model's order, with their types and dimensions. fingerprint: see `fingerprint_of`;
    of all files that the embeddings depend on. Raises BadModel, and ImportError without ONNX Runtime.
    """

    def __init__(self, name: str, folder: Path, beside: Sequence[str], n_threads: int = 1) -> None:
        self._name = name
        runtime = import_runtime()
        self.folder = folder
        path = next((folder / file for file in MODEL_FILES if (folder / file).is_file()), None)
        if path is None:
            raise BadModel(f"whose folder has no {' or '.join(MODEL_FILES)}")
        missing = [file for file in beside if not (folder / file).is_file()]
        if missing:
            raise BadModel(f"whose folder has no {missing[0]}")
        refuse_int8(path)
        weights = sorted(one for one in path.parent.glob(f"{path.name}*") if one.is_file())
        settings = sorted({*folder.glob("*.json"), *folder.glob("1_Pooling/*.json")})
        self.fingerprint = fingerprint_of(name, contents([*weights, *settings]))
        self._weights = weights
        options = runtime.SessionOptions()
        options.intra_op_num_threads = n_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as exc:
            # One class of its own for each of a dozen reasons, with a message that names files and nodes.
            raise BadModel(f"whose {path.name} ONNX Runtime cannot read: {type(exc).__name__}") from exc
        self.inputs: list[Any] = self._session.get_inputs()
        self.outputs: list[Any] = [one for one in self._session.get_outputs() if one.type in _FLOATS]
        if not self.outputs:
            raise BadModel(f"whose {path.name} gives no numbers")

    def output(self, preferred: Sequence[str]) -> Any:
        """The first of the preferred outputs that there is, else the model's first."""
        named = {one.name: one for one in self.outputs}
        return next((named[name] for name in preferred if name in named), self.outputs[0])

    def run(self, output: str, inputs: dict[str, Array]) -> Array:
        """One output for a batch, float32. Raises EncoderFailed."""
        try:
            [found] = self._session.run([output], inputs)
        except Exception as exc:
            raise EncoderFailed(f"the encoder {self._name} does not run: {type(exc).__name__}") from exc
        return np.asarray(found, dtype=np.float32)

    def recipe(self, beside: Sequence[str], settings: Mapping[str, Any]) -> Recipe:
        """Of this model. beside: names of other files that are needed."""
        weights = [path.relative_to(self.folder).as_posix() for path in self._weights]
        return Recipe(self.folder, (*weights, *beside), settings)

    def settings(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder; empty where there is none. Raises BadModel if it is no JSON object."""
        path = self.folder / name
        if not path.is_file():
            return {}
        try:
            if path.stat().st_size > _SETTINGS_BYTES:
                raise ValueError("too large")
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as exc:
            raise BadModel(f"whose {name} is no JSON") from exc
        if not isinstance(found, dict):
            raise BadModel(f"whose {name} must be a JSON object")
        return found


def import_runtime() -> Any:
    """ONNX Runtime, without the reports about its use that it sends to its maker from its import on."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")


def refuse_int8(path: Path) -> None:
    """Raises BadModel for a model with int8 operators."""
    if not path.stat().st_size:
        raise BadModel(f"whose {path.name} is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = next((one for one in _INT8_OPERATORS if content.find(one) >= 0), None)
    if found is not None:
        raise BadModel(
            f"which is quantised to int8 ({found.decode()}): the same text would get another embedding beside other "
            "texts; use its float32 file"
        )
