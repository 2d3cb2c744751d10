"""A model as files, and what these answer beside the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from label_studio_al.exporting.card import Compared
from label_studio_al.exporting.encoders import ExportedEncoder, embeds, module_in, write_module
from label_studio_al.exporting.forms import form_of
from label_studio_al.exporting.pipeline import IMAGES_STEP, as_pipeline, looked_at
from label_studio_al.exporting.span_files import compared_texts, largest_difference, write_spans
from label_studio_al.learning.deferred import IMAGE, DeferredRows
from label_studio_al.learning.draws import text_hashes
from label_studio_al.learning.model import QuestionModel
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import NotExportable

PIPELINE = "model.joblib"
COMPARED_TEXTS = 200
# Where a slow encoder makes the embeddings anew, some seconds are enough.
COMPARED_ENCODED = 50
# Ours computes in single precision.
LARGEST_DIFFERENCE = 1e-4


def write_model(folder: Path, model: QuestionModel, encoders: Sequence[ExportedEncoder]) -> None:
    """Write model and module; encoders: those that it looks through. Raises NotExportable."""
    if form_of(model.classifier).marks_spans:
        write_spans(folder, model)
        return
    if encoders:
        write_module(folder)
    with module_in(folder, encoders) as module:
        made = {one.kind: embeds(module, one) for one in encoders}
        joblib.dump(as_pipeline(model.features, model.classifier, made), folder / PIPELINE, compress=3)


def compared(folder: Path, model: QuestionModel, texts: Sequence[str], encoders: Sequence[ExportedEncoder]) -> Compared:
    """What the written files say beside the model. Raises NotExportable if they differ much."""
    if form_of(model.classifier).marks_spans:
        some = compared_texts(model, texts)[:COMPARED_TEXTS]
        return _accepted(len(some), largest_difference(folder, model, some))
    with module_in(folder, encoders) as module:
        pipeline = joblib.load(folder / PIPELINE)
        for one in encoders:
            if one.kind == IMAGE:
                _accepted(0, one.difference(embeds(module, one)))
        return compare(pipeline, model, texts[: COMPARED_ENCODED if encoders else COMPARED_TEXTS])


def compare(pipeline: Any, model: QuestionModel, texts: Sequence[str]) -> Compared:
    """The pipeline's probabilities with the model's. Raises NotExportable if they differ much.

    Images lie elsewhere: their embeddings are those that the model has.
    """
    if not texts:
        return Compared(0, 0.0)
    sees, read = looked_at(model.features, model.classifier), list(model.features.layout.read(texts))
    given: list[Any] = read
    if sees.images:
        pipeline.set_params(**{IMAGES_STEP: lambda contents: _known(model, contents)})
        given = list(zip(read, texts, strict=True)) if sees.texts else list(texts)
    found = form_of(model.classifier).wide(pipeline.predict_proba(given))
    return _accepted(len(texts), float(np.abs(found - model.believe(texts).wide).max()))


def _known(model: QuestionModel, contents: Sequence[str]) -> Array:
    """The embeddings of images that were filled in, by the contents of tasks."""
    pairs = zip(model.features.deferred, model.vectors, strict=True)
    deferred, vectors = zip(*(pair for pair in pairs if pair[0].kind == IMAGE), strict=True)
    return DeferredRows.of(deferred, text_hashes(contents), vectors).dense()


def _accepted(n_texts: int, difference: float) -> Compared:
    """Raises NotExportable if numbers differ much."""
    if difference > LARGEST_DIFFERENCE:
        raise NotExportable(f"the exported model answers otherwise than this one, by {difference:.1e}: it is not kept")
    return Compared(n_texts, difference)
