"""A model as a Pipeline of scikit-learn's own parts, which does not need this package."""

from __future__ import annotations

from functools import partial
from operator import attrgetter, itemgetter
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
from label_studio_al.learning.features import Features
from label_studio_al.learning.layouts import Encoder
from label_studio_al.learning.model import QuestionModel
from label_studio_al.learning.terms import MAX_TEXT_CHARACTERS
from label_studio_al.learning.tfidf import Tfidf
from label_studio_al.learning.tokens import NORMALISING, TOKEN
from label_studio_al.learning.topics import Topics
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import NotExportable


def as_pipeline(features: Features, classifier: Learned) -> Pipeline:
    """The same model: `predict` and `predict_proba` of texts. Raises NotExportable.

    What the classifier gives no weight is left out. Every part is a class of scikit-learn or a function of Python's
    own library; with embeddings also `tokenizers`, of the encoder. Nothing is fitted: the trained weights are set.
    """
    form = form_of(classifier)
    tfidf = features.tfidf.words
    known = np.array(list(tfidf.terms.values()))
    of_terms, of_topics, of_meaning = _weights(features, classifier)
    of_terms = of_terms[known]
    parts, kept = list[tuple[str, Any]](), list[Array]()
    if of_topics.any():
        both = FeatureUnion([("words", "passthrough"), ("topics", _topics(features.topics, known))])
        parts.append(("lexical", Pipeline([("tfidf", _tfidf(tfidf)), ("both", both)])))
        kept += [of_terms, of_topics]
    elif of_terms.any() or not of_meaning.any():
        parts.append(("lexical", _tfidf(tfidf)))
        kept.append(of_terms)
    if of_meaning.any():
        parts.append(("meaning", _meaning(features.encoder)))
        kept.append(of_meaning)
    return Pipeline(
        [
            ("beginnings", FunctionTransformer(partial(map, itemgetter(slice(MAX_TEXT_CHARACTERS))))),
            ("texts", FunctionTransformer(list)),
            ("features", FeatureUnion(parts)),
            ("classifier", form.estimator(classifier, np.vstack(kept))),
        ]
    )


def has_embeddings(model: QuestionModel) -> bool:
    """Whether the model looks at embeddings, so that its pipeline needs the encoder's package."""
    return bool(_weights(model.features, model.classifier)[2].any())


def _weights(features: Features, classifier: Learned) -> list[Array]:
    """The weights of all terms, topics and the embedding; each of shape (n_columns, n_outputs).

    Raises NotExportable where there are others.
    """
    linear = cast(Linear, classifier)
    weights = np.zeros((linear.n_features, linear.weights.shape[1]), dtype=np.float32)
    weights[linear.columns] = linear.weights
    n_terms = features.tfidf.n_terms
    n_lexical = n_terms + features.topics.n_topics
    ends = [features.tfidf.words.n_terms, n_terms, n_lexical, n_lexical + features.n_dimensions]
    of_terms, comparing, of_topics, of_meaning, also_comparing = np.split(weights, ends)
    if comparing.any() or also_comparing.any():
        raise NotExportable("the model compares the texts of a task, which no part of scikit-learn does")
    return [of_terms, of_topics, of_meaning]


def _tfidf(tfidf: Tfidf) -> Pipeline:
    """From texts to the TF-IDF of known terms."""
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), lowercase=False, token_pattern=TOKEN, sublinear_tf=True, dtype=np.float32
    )
    vectorizer.vocabulary_ = {term: column for column, term in enumerate(tfidf.terms)}
    vectorizer.fixed_vocabulary_ = False
    # Forgotten terms leave gaps in the columns, which scikit-learn does not know.
    vectorizer.idf_ = tfidf.idf[list(tfidf.terms.values())]
    steps = [(name, FunctionTransformer(partial(map, change))) for name, change in NORMALISING.items()]
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
            ("numbers", FunctionTransformer(partial(map, attrgetter("ids")))),
            ("counts", counts),
            ("vectors", vectors),
            ("unit", Normalizer()),
        ]
    )
