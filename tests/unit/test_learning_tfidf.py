"""Texts as numbers, also the texts that nobody expects."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from label_studio_al.learning.terms import MAX_TEXT_CHARACTERS, TermCounts, terms_of, words_of
from label_studio_al.learning.tfidf import LARGE_POOL, Tfidf
from label_studio_al.learning.tokens import TOKEN


def dense(features: Tfidf, *texts: str) -> np.ndarray:
    return np.asarray(features.transform(texts).todense())


def test_rows_have_unit_length_and_one_column_a_term() -> None:
    features = Tfidf.fit(["red apple", "green apple pie"])
    X = features.transform(["red apple", "green pie"])
    # red, apple, green, pie, "red apple", "green apple", "apple pie"
    assert X.shape == (2, features.n_terms) == (2, 7)
    assert X.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(X.todense(), axis=1), 1.0, rtol=1e-6)


def test_same_text_gives_the_same_row() -> None:
    features = Tfidf.fit(["red apple", "green apple pie"])
    first, second = dense(features, "green apple", "Green APPLE!")
    assert np.array_equal(first, second)


def test_row_does_not_depend_on_the_texts_beside_it() -> None:
    features = Tfidf.fit(["red apple", "green apple pie"])
    alone = dense(features, "apple pie")
    assert np.array_equal(dense(features, "red", "apple pie", "green")[1:2], alone)


@pytest.mark.parametrize(
    "texts", [[], [""], ["", "  \n", ""], ["🙂", "🎉🎉 🚀"], ["!?", "..."], ["🙂"] * (LARGE_POOL + 1)]
)
def test_pool_without_a_word_gives_empty_rows(texts: list[str]) -> None:
    features = Tfidf.fit(texts)
    X = features.transform([*texts, "words come later"])
    assert X.shape == (len(texts) + 1, features.n_terms)
    assert X.nnz == 0


def test_empty_texts_among_others_give_empty_rows() -> None:
    features = Tfidf.fit(["", "red apple", "🙂"])
    assert [row.any() for row in dense(features, "", "red apple", "🙂", "unknown")] == [False, True, False, False]


def test_one_text_is_enough() -> None:
    features = Tfidf.fit(["red apple"])
    assert dense(features, "red apple").any()


def test_no_texts_give_no_rows() -> None:
    features = Tfidf.fit(["red apple"])
    assert features.transform([]).shape == (0, features.n_terms)


def test_only_the_beginning_of_a_huge_text_counts() -> None:
    beginning = "red apple " * (MAX_TEXT_CHARACTERS // 10)
    megabyte = beginning + "green pie " * 100_000
    assert len(megabyte) > 1_000_000
    features = Tfidf.fit([megabyte, "blue plum"])
    assert features.n_terms == Tfidf.fit([beginning, "blue plum"]).n_terms
    first, second = dense(features, megabyte, beginning)
    assert np.array_equal(first, second)


def test_megabyte_without_a_space_is_one_term() -> None:
    features = Tfidf.fit(["x" * 1_000_000])
    assert features.n_terms == 1


def test_large_pool_keeps_only_terms_that_occur_twice() -> None:
    texts = ["common"] * (LARGE_POOL - 1) + ["common single"]
    assert Tfidf.fit(texts[1:]).n_terms == 3
    assert Tfidf.fit(texts).n_terms == 1


@pytest.mark.parametrize("text", ["熊猫", "привет мир", "été", "मौसम", "3 14", "x"])
def test_words_of_any_script_count(text: str) -> None:
    assert dense(Tfidf.fit([text]), text).any()


@given(st.lists(st.text(max_size=40), max_size=8))
@settings(max_examples=60)
def test_any_texts_give_finite_rows(texts: list[str]) -> None:
    features = Tfidf.fit(texts)
    X = features.transform(texts)
    assert X.shape == (len(texts), features.n_terms)
    lengths = np.linalg.norm(np.asarray(X.todense()), axis=1)
    assert all(np.isclose(length, 0) or np.isclose(length, 1, atol=1e-5) for length in lengths)


def test_stored_features_give_the_same_rows() -> None:
    features = Tfidf.fit(["red apple", "green apple pie"])
    again = pickle.loads(pickle.dumps(features))
    assert np.array_equal(dense(again, "apple pie"), dense(features, "apple pie"))


@pytest.mark.parametrize("n", [3, LARGE_POOL + 200])
def test_numbers_are_those_of_scikit_learn(n: int) -> None:
    """Below and above the size from which terms of a single text are left out."""
    draw = np.random.default_rng(n)
    words = ["Apple", "pie", "PLUM", "über", "naïve", "it's", "a", "42", "日本語", "x_y", "\U0001f600", "", "co-op"]
    texts = [" ".join(draw.choice(words, draw.integers(0, 12))) for _ in range(n)]
    reference = TfidfVectorizer(
        ngram_range=(1, 2),
        token_pattern=TOKEN,
        sublinear_tf=True,
        min_df=2 if n >= LARGE_POOL else 1,
        dtype=np.float32,
    )
    expected = reference.fit_transform(texts).toarray()
    features = Tfidf.fit(texts)
    assert features.n_terms == expected.shape[1]
    np.testing.assert_allclose(features.transform(texts).toarray(), expected, atol=1e-6)
    unseen = ["plum and pie", "nothing of this", "APPLE apple apple PIE"]
    np.testing.assert_allclose(features.transform(unseen).toarray(), reference.transform(unseen).toarray(), atol=1e-6)


def counted_one_by_one(texts: list[str]) -> Counter[str]:
    return Counter(term for text in texts for term in set(terms_of(words_of(text))))


@pytest.mark.parametrize("words_at_once", [1, 5, 1_000])
@given(texts=st.lists(st.text("ab c", max_size=12), max_size=12))
@settings(max_examples=60)
def test_terms_are_counted_as_one_by_one(words_at_once: int, texts: list[str]) -> None:
    """Whatever part of the texts is counted at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("label_studio_al.learning.terms._WORDS_AT_ONCE", words_at_once)
        found = TermCounts(texts).most_frequent(1_000, 1)
    assert found == counted_one_by_one(texts)


@given(texts=st.lists(st.text("abc ", max_size=12), max_size=30), size=st.integers(1, 5))
@settings(max_examples=60)
def test_most_frequent_terms_come_first_and_ties_by_term(texts: list[str], size: int) -> None:
    expected = sorted(counted_one_by_one(texts).items(), key=lambda one: (-one[1], one[0]))[:size]
    assert list(TermCounts(texts).most_frequent(size, 1).items()) == expected


@given(texts=st.lists(st.text("abcdef ", max_size=12), max_size=40))
@settings(max_examples=60)
def test_terms_that_stay_after_others_are_forgotten_are_terms_of_the_texts(texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("label_studio_al.learning.terms._WORDS_AT_ONCE", 6)
        patch.setattr("label_studio_al.learning.terms.MAX_COUNTED", 8)
        found = TermCounts(texts).most_frequent(1_000, 1)
    expected = counted_one_by_one(texts)
    assert all(n_texts <= expected[term] for term, n_texts in found.items())


def test_counting_forgets_only_what_came_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("label_studio_al.learning.terms.MAX_COUNTED", 50)
    texts = [f"often rare{place} unique{place}" for place in range(LARGE_POOL)]
    features = Tfidf.fit(texts)
    assert features.transform(["often"]).nnz == 1
    assert features.n_terms == 1
