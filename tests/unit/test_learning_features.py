"""Words, topics and meaning, side by side."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.extmath import randomized_svd

from label_studio_al.learning import topics
from label_studio_al.learning.features import MAX_FITTED, Features, sample
from label_studio_al.learning.layouts import BOTH, EMBEDDINGS, TFIDF
from label_studio_al.learning.rows import Rows, unit_rows
from label_studio_al.learning.tfidf import Tfidf
from label_studio_al.learning.topics import N_TOPICS, fit_topics
from label_studio_al.learning.types import Array

TEXTS = ["red apple pie", "green apple", "blue plum pie", "a green plum", "red plum cake", ""]


class Lengths:
    """An encoder that knows how long a text is, and nothing else."""

    name = "lengths"
    n_dimensions = 2

    def encode(self, texts: Sequence[str]) -> Array:
        return unit_rows(np.array([[len(text), bool(text)] for text in texts], dtype=np.float32).reshape(-1, 2))


def dense(X: Rows) -> Array:
    sparse, compact = X.views
    return np.hstack([sparse.toarray(), compact])


@pytest.mark.parametrize("encoder", [None, Lengths()])
def test_fitted_rows_are_those_of_transform(encoder: Lengths | None) -> None:
    features, X = Features.fit_transform(TEXTS, encoder)
    np.testing.assert_allclose(dense(features.transform(TEXTS)), dense(X), atol=1e-6)
    assert X.shape == (len(TEXTS), dense(X).shape[1])


def test_parts_have_unit_length_or_none() -> None:
    features, X = Features.fit_transform(TEXTS, Lengths())
    n_topics = features.topics.components.shape[1]
    for part in (X.views[0].toarray(), X.views[1][:, :n_topics], X.views[1][:, n_topics:]):
        lengths = np.linalg.norm(part, axis=1)
        assert np.all(np.isclose(lengths, 1, atol=1e-5) | (lengths == 0))


def test_choices_name_the_columns_that_they_use() -> None:
    features, X = Features.fit_transform(TEXTS, Lengths())
    choices = features.choices()
    assert list(choices) == [BOTH, TFIDF, EMBEDDINGS]
    assert choices[BOTH].tolist() == list(range(X.shape[1]))
    assert choices[EMBEDDINGS].tolist() == list(range(X.shape[1]))[-2:]
    assert sorted([*choices[TFIDF], *choices[EMBEDDINGS]]) == choices[BOTH].tolist()


def test_without_an_encoder_there_is_one_choice() -> None:
    features, X = Features.fit_transform(TEXTS, None)
    assert {name: columns.tolist() for name, columns in features.choices().items()} == {TFIDF: list(range(X.shape[1]))}


@given(st.lists(st.text(max_size=30), max_size=8), st.lists(st.text(max_size=30), max_size=4))
@settings(max_examples=30)
def test_any_texts_give_finite_rows(fitted: list[str], others: list[str]) -> None:
    features, X = Features.fit_transform(fitted, Lengths())
    assert len(X) == len(fitted)
    assert features.transform(others).shape == (len(others), X.shape[1])
    assert np.isfinite(dense(X)).all()


def test_topics_bring_together_words_that_occur_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "N_TOPICS", 2)
    texts = ["cat purr", "cat fur", "purr fur", "bond stock", "stock fund", "bond fund"] * 20
    tfidf = Tfidf.fit(texts)
    rows = fit_topics(tfidf.transform(texts)).transform(tfidf.transform(["cat", "fur", "fund"]))
    # No word is shared; the topic is.
    assert rows[0] @ rows[1] > 2 * abs(rows[0] @ rows[2])


def test_topics_are_few_where_texts_are_few() -> None:
    X = Tfidf.fit(TEXTS).transform(TEXTS)
    assert fit_topics(X).components.shape[1] == len(TEXTS) - 1 < N_TOPICS
    assert fit_topics(X[:1]).transform(X).shape == (len(TEXTS), 0)


def test_features_are_the_same_each_time_and_after_storing() -> None:
    first, X = Features.fit_transform(TEXTS, None)
    second, again = Features.fit_transform(TEXTS, None)
    assert np.array_equal(dense(X), dense(again))
    assert np.array_equal(dense(pickle.loads(pickle.dumps(first)).transform(TEXTS)), dense(second.transform(TEXTS)))


def test_topics_span_what_scikit_learns_singular_vectors_span() -> None:
    draw = np.random.default_rng(0)
    groups = [[f"{group}{word}" for word in "abcdefghij"] for group in ("cat", "car", "tax", "sea", "oak")]
    texts = [" ".join(draw.choice(groups[place % 5], 8)) for place in range(600)]
    X = Tfidf.fit(texts).transform(texts)
    found = fit_topics(X)
    components = found.components
    np.testing.assert_allclose(components.T @ components, np.eye(components.shape[1]), atol=1e-4)
    _, _, expected = randomized_svd(X[:, found.terms], components.shape[1], n_iter=7, random_state=0)
    kept, best = (float(np.linalg.norm(X[:, found.terms] @ one) ** 2) for one in (components, expected.T))
    assert kept > 0.99 * best


def test_features_of_a_large_pool_are_fitted_on_a_sample() -> None:
    keys = np.arange(200_000)
    chosen = sample(keys)
    assert len(chosen) == len(set(chosen.tolist())) == MAX_FITTED
    assert np.all(np.diff(chosen) > 0)
    assert sorted(keys[::-1][sample(keys[::-1])]) == chosen.tolist()
    assert sample(np.arange(10)).tolist() == list(range(10))
