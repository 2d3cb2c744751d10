"""A model of spans as files of numbers, and the module that reads them, which needs NumPy alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import scipy.sparse as sp

from label_studio_al.exporting import span_model
from label_studio_al.exporting.span_model import ABOUT, ARRAYS, TOKENIZER
from label_studio_al.learners.encoders import WordLlamaEncoder
from label_studio_al.learning.model import QuestionModel
from label_studio_al.learning.passages import Marking
from label_studio_al.learning.sequences.classifier import SpanClassifier
from label_studio_al.learning.sequences.pool_words import PoolWords, Words
from label_studio_al.learning.sequences.rows import MarkedWords
from label_studio_al.learning.sequences.units import ASCII_TOKEN, MOST_TOKENS, SENTENCE_ENDS, any_script
from label_studio_al.learning.sequences.windows import products
from label_studio_al.learning.sequences.words import N_COLUMNS, SURFACES
from label_studio_al.learning.spans import spans_of
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import NotExportable

MODULE = "span_model.py"
# Of single precision a file keeps.
_KEPT = np.float32


def write_spans(folder: Path, model: QuestionModel) -> None:
    """Write model, word vectors if it has them, and the module. Raises NotExportable."""
    classifier = cast(SpanClassifier, model.classifier)
    pool = _marked_words(model).pool
    fitted = classifier.model
    about = {
        "labels": list(fitted.labels),
        "words": pool.folded,
        "bias": float(fitted.bias),
        "ascii": ASCII_TOKEN.pattern,
        "any_script": any_script().pattern,
        "most": MOST_TOKENS,
        "sentence_ends": "".join(sorted(SENTENCE_ENDS)),
    }
    way = fitted.weights.transitions
    arrays = {"enter": way.enter, "leave": way.leave, "stay": way.stay}
    distances, found = _weights(classifier, pool)
    arrays |= found
    if pool.vectors is not None:
        encoder = pool.vectors.encoder
        if not isinstance(encoder, WordLlamaEncoder):
            raise NotExportable(
                f"the model looks at word vectors of {encoder.name}; only those of wordllama can be written to files: "
                "set AL_ENCODER to wordllama or none, and export the next version"
            )
        encoder.tokenizer.save(str(folder / TOKENIZER))
        arrays |= {"vector_mean": pool.vectors.mean, "directions": pool.vectors.directions}
    kept = {name: values.astype(_KEPT) if values.dtype.kind == "f" else values for name, values in arrays.items()}
    if pool.vectors is not None:
        kept["token_vectors"] = np.asarray(cast(WordLlamaEncoder, pool.vectors.encoder).vectors)
    np.savez_compressed(folder / ARRAYS, **cast(Any, kept))
    (folder / ABOUT).write_text(json.dumps(about | {"distances": distances}, ensure_ascii=False), encoding="utf-8")
    shutil.copyfile(str(span_model.__file__), folder / MODULE)


def has_vectors(model: QuestionModel) -> bool:
    """Whether it looks at word vectors, so that its module needs the encoder's package."""
    return _marked_words(model).pool.vectors is not None


def compared_texts(model: QuestionModel, texts: Sequence[str]) -> list[str]:
    """What spans are marked in, of tasks' texts."""
    marking = _marked_words(model).marking
    return [passage.text for text in texts for passage in marking.passages(text)]


def largest_difference(folder: Path, model: QuestionModel, texts: Sequence[str]) -> float:
    """By how much probabilities of the files differ from ours at most. Raises NotExportable where spans do."""
    classifier = cast(SpanClassifier, model.classifier)
    whole = replace(_marked_words(model), marking=Marking())
    rows = model.features.transform_whole(texts).with_sequences({classifier.marks: whole.sequences(texts)})
    ours, theirs = classifier.believe(rows), span_model.SpanModel.load(folder)
    difference = 0.0
    for text, answer, parts, sure in zip(texts, ours.answers, ours.parts, ours.proba[:, 0, 1], strict=True):
        found, confidence = theirs.read(text)
        if [span[:3] for span in found] != list(spans_of(answer)):
            raise NotExportable("the exported model marks other spans than this one: it is not kept")
        gaps = [abs(confidence - sure), *(abs(span[3] - part) for span, part in zip(found, parts, strict=True))]
        difference = max(difference, float(max(gaps)))
    return difference


def _marked_words(model: QuestionModel) -> MarkedWords:
    return model.features.words[cast(SpanClassifier, model.classifier).marks]


def _weights(classifier: SpanClassifier, pool: PoolWords) -> tuple[list[int], dict[str, Array]]:
    """The distances at which words count, and what each part of a word's features adds there."""
    fitted = classifier.model
    n_vectors = 0 if pool.vectors is None else pool.vectors.directions.shape[1]

    def added(words: Words) -> tuple[list[int], Array, Array]:
        found = products(fitted.views.tables(words, pool.usage), fitted.weights.outputs)
        distances = sorted(found)
        of_words = np.stack([found[distance] for distance in distances], axis=1)
        return distances, of_words[:-1], of_words[-1]

    def words(place: Array, columns: Sequence[Array | None] = (None,) * len(SURFACES)) -> Words:
        return Words(
            tuple(_surface(len(place), own) for own in columns), place, np.zeros((len(place), n_vectors), np.float32)
        )

    # The last row is of words that the pool does not have.
    every = np.arange(len(pool.usage))
    distances, of_places, beyond = added(words(every))
    unknown = of_places[-1]
    found = {"words": of_places, "beyond": beyond}
    for kind, columns in enumerate(fitted.views.columns):
        here = [columns if one == kind else None for one in range(len(SURFACES))]
        alone = added(words(np.full(len(columns), every[-1]), here))[1]
        found |= {f"columns_{kind}": columns.astype(np.int64), f"surface_{kind}": alone - unknown}
    if n_vectors:
        one_each = words(np.full(n_vectors, every[-1]))
        alone = added(replace(one_each, vectors=np.eye(n_vectors, dtype=np.float32)))[1]
        found["of_vectors"] = alone - unknown
    return distances, found


def _surface(n_words: int, columns: Array | None) -> sp.csr_matrix:
    """Words of which each has one feature, or none has any."""
    if columns is None:
        return sp.csr_matrix((n_words, N_COLUMNS), dtype=np.float32)
    ends = np.arange(n_words + 1)
    return sp.csr_matrix((np.ones(n_words, np.float32), columns, ends), shape=(n_words, N_COLUMNS))
