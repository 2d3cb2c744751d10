"""A model as a Pipeline of scikit-learn's own parts, which does not need this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter, itemgetter, methodcaller
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import VarianceThreshold
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer

from label_studio_al.exporting.forms import form_of
from label_studio_al.learners.encoders import WordLlamaEncoder
from label_studio_al.learning.classifier import Linear
from label_studio_al.learning.coding import Learned
from label_studio_al.learning.deferred import IMAGE, TEXT, Deferred, Kind
from label_studio_al.learning.features import Features
from label_studio_al.learning.layouts import Encoder
from label_studio_al.learning.model import QuestionModel
from label_studio_al.learning.terms import MAX_TEXT_CHARACTERS
from label_studio_al.learning.texts import READ_AS
from label_studio_al.learning.tfidf import Tfidf
from label_studio_al.learning.tokens import NORMALISING, TOKEN
from label_studio_al.learning.topics import Topics
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import NotExportable

# Embeds texts or images, and pickles.
Embeds = Callable[[Any], Any]
NO_ENCODERS: Mapping[Kind, Embeds] = MappingProxyType({})
# The step that embeds images, as `set_params` names it.
IMAGES_STEP = "features__images__embeddings__func"


def as_pipeline(features: Features, classifier: Learned, encoders: Mapping[Kind, Embeds] = NO_ENCODERS) -> Pipeline:
    """The same model: `predict` and `predict_proba` of texts, of images, or of pairs of both. Raises NotExportable.

    What the classifier gives no weight is left out. Every part is a class of scikit-learn or a function of Python's
    own library; with embeddings also `tokenizers`, of the encoder. Nothing is fitted: the trained weights are set.
    encoders: in place of those that fill in embeddings later, of what is `looked_at`.
    """
    form, weights = form_of(classifier), _weights(features, classifier)
    sees = looked_at(features, classifier)
    steps, kept = list[tuple[str, Any]](), list[Array]()
    if sees.texts:
        found, kept = _text_parts(features, weights, encoders)
        steps = [*_TEXTS, ("features", FeatureUnion(found))]
    if sees.images:
        kept.append(weights.deferred[IMAGE])
        parts, images = list[tuple[str, Any]](), _embedding(encoders[IMAGE])
        if sees.texts:
            parts.append(("texts", Pipeline([("said", _each(itemgetter(0))), *steps])))
            images.insert(0, ("shown", _each(itemgetter(1))))
        parts.append(("images", Pipeline(images)))
        steps = [("features", FeatureUnion(parts))]
    return Pipeline([*steps, ("classifier", form.estimator(classifier, np.vstack(kept)))])


@dataclass(frozen=True)
class Sight:
    """What a model looks at. encoders: those that it looks through of embeddings that are filled in later, by name."""

    texts: bool
    images: bool
    encoders: tuple[Deferred, ...]


def looked_at(features: Features, classifier: Learned) -> Sight:
    """What has weights. Raises NotExportable."""
    weights = _weights(features, classifier)
    encoders = tuple(one for one in features.deferred if weights.deferred[one.kind].any())
    images = any(one.kind == IMAGE for one in encoders)
    texts = not images or any(one.any() for one in (weights.terms, weights.topics, weights.meaning))
    return Sight(texts or len(encoders) > 1, images, encoders)


def _text_parts(
    features: Features, weights: _Weights, encoders: Mapping[Kind, Embeds]
) -> tuple[list[tuple[str, Any]], list[Array]]:
    """What is made of texts, and the weights of its columns."""
    tfidf = features.tfidf.words
    known = np.array(list(tfidf.terms.values()))
    of_terms, of_topics, of_meaning = weights.terms[known], weights.topics, weights.meaning
    of_encoder = weights.deferred.get(TEXT, np.zeros(0))
    parts, kept = list[tuple[str, Any]](), list[Array]()
    if of_topics.any():
        both = FeatureUnion([("words", "passthrough"), ("topics", _topics(features.topics, known))])
        parts.append(("lexical", Pipeline([("tfidf", _tfidf(tfidf)), ("both", both)])))
        kept += [of_terms, of_topics]
    elif of_terms.any() or not (of_meaning.any() or of_encoder.any()):
        parts.append(("lexical", _tfidf(tfidf)))
        kept.append(of_terms)
    if of_meaning.any():
        parts.append(("meaning", _meaning(features.encoder)))
        kept.append(of_meaning)
    if of_encoder.any():
        steps = [(f"sign {place}", _each(methodcaller("replace", *change))) for place, change in enumerate(READ_AS)]
        parts.append(("encoder", Pipeline([*steps, *_embedding(encoders[TEXT])])))
        kept.append(of_encoder)
    return parts, kept


def has_embeddings(model: QuestionModel) -> bool:
    """Whether the model looks at embeddings of words, so that its pipeline needs the encoder's package."""
    return bool(_weights(model.features, model.classifier).meaning.any())


@dataclass(frozen=True)
class _Weights:
    """Of all terms, of topics, of the embedding, and of those that are filled in later; (n_columns, n_outputs) each."""

    terms: Array
    topics: Array
    meaning: Array
    deferred: Mapping[Kind, Array]


def _weights(features: Features, classifier: Learned) -> _Weights:
    """Raises NotExportable where there are others."""
    linear = cast(Linear, classifier)
    weights = np.zeros((linear.n_features, linear.weights.shape[1]), dtype=np.float32)
    weights[linear.columns] = linear.weights
    n_terms = features.tfidf.n_terms
    n_lexical = n_terms + features.topics.n_topics
    n_layout = n_lexical + features.n_dense
    n_meaning = n_lexical + min(features.n_dimensions, features.n_dense)
    ends = [features.tfidf.words.n_terms, n_terms, n_lexical, n_meaning, n_layout]
    of_terms, comparing, of_topics, of_meaning, also_comparing, filled_in = np.split(weights, ends)
    if comparing.any() or also_comparing.any():
        raise NotExportable("the model compares the texts of a task, which no part of scikit-learn does")
    behind = np.cumsum([one.n_dimensions for one in features.deferred])
    deferred = zip(features.deferred, np.split(filled_in, behind[:-1]), strict=False)
    return _Weights(of_terms, of_topics, of_meaning, {one.kind: own for one, own in deferred})


def _each(change: Callable[[Any], Any]) -> FunctionTransformer:
    return FunctionTransformer(partial(map, change))


def _embedding(embeds: Embeds) -> list[tuple[str, Any]]:
    return [("listed", FunctionTransformer(list)), ("embeddings", FunctionTransformer(embeds))]


_TEXTS = (("beginnings", _each(itemgetter(slice(MAX_TEXT_CHARACTERS)))), ("texts", FunctionTransformer(list)))


def _tfidf(tfidf: Tfidf) -> Pipeline:
    """From texts to the TF-IDF of known terms."""
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), lowercase=False, token_pattern=TOKEN, sublinear_tf=True, dtype=np.float32
    )
    vectorizer.vocabulary_ = {term: column for column, term in enumerate(tfidf.terms)}
    vectorizer.fixed_vocabulary_ = False
    # Forgotten terms leave gaps in the columns, which scikit-learn does not know.
    vectorizer.idf_ = tfidf.idf[list(tfidf.terms.values())]
    steps = [(name, _each(change)) for name, change in NORMALISING.items()]
    return Pipeline([*steps, ("terms", vectorizer)])


def _topics(topics: Topics, known: Array) -> Pipeline:
    """From the TF-IDF of known terms to topics of unit length."""
    is_used = np.isin(known, topics.terms)
    terms = VarianceThreshold()
    terms.variances_ = is_used.astype(np.float64)
    directions = TruncatedSVD(topics.n_topics)
    directions.components_ = topics.components[np.isin(topics.terms, known)].T
    return Pipeline([("terms", terms), ("directions", directions), ("unit", Normalizer())])


def _meaning(encoder: Encoder | None) -> Pipeline:
    """From texts to the mean of their tokens' vectors, of unit length."""
    if not isinstance(encoder, WordLlamaEncoder):
        name = "none" if encoder is None else encoder.name
        raise NotExportable(
            f"the model looks at embeddings of {name}; only wordllama's can be written as parts of scikit-learn: "
            "let it learn from words and topics (connect --set features=tfidf), and export the next version"
        )
    n_tokens, n_dimensions = encoder.vectors.shape
    counts = CountVectorizer(analyzer=iter, dtype=np.float32)
    counts.vocabulary_ = {token: token for token in range(n_tokens)}
    counts.fixed_vocabulary_ = True
    vectors = TruncatedSVD(n_dimensions)
    vectors.components_ = np.asarray(encoder.vectors, dtype=np.float32).T
    return Pipeline(
        [
            ("tokens", FunctionTransformer(encoder.tokenizer.encode_batch_fast, kw_args={"add_special_tokens": False})),
            ("numbers", _each(attrgetter("ids"))),
            ("counts", counts),
            ("vectors", vectors),
            ("unit", Normalizer()),
        ]
    )
