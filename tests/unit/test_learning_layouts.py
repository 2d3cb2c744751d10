"""Which columns the texts of a task become: of one, of two that are compared, of two of which one is chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_al.learning.comparison import COMPARED, COMPARISON, TEXTS, DifferingWords
from label_studio_al.learning.features import Features
from label_studio_al.learning.layouts import BOTH, EMBEDDINGS, TFIDF, WHOLE, Encoder, Layout
from label_studio_al.learning.preference import PREFERENCE
from label_studio_al.learning.sides import Sides
from label_studio_al.learning.texts import SEPARATOR, joined, parts_of, readable
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest

PAIRS = [
    ("a man plays a guitar", "a man plays no guitar"),
    ("a dog runs", "the dog is running fast"),
    ("children sing", "children sing"),
    ("", "nobody is there"),
    ("two cats sleep in the sun", ""),
]
SIDES = Sides(0, 1, 2)
ASKED = Sides(2, 1, 3)


class Lengths:
    """Embeddings of two dimensions."""

    name = "lengths"
    n_dimensions = 2

    def encode(self, texts: Sequence[str]) -> Array:
        rows = [[1.0, len(text) / 40] if text else [0.0, 0.0] for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), self.n_dimensions)


def fitted(layout: Layout, encoder: Encoder | None = None, pairs: Sequence[tuple[str, ...]] = PAIRS) -> Features:
    return Features.fit(list(map(joined, pairs)), encoder, len(pairs), layout)


def dense(features: Features, *pairs: tuple[str, ...]) -> Array:
    terms, rest = features.transform(list(map(joined, pairs))).views
    return np.hstack([terms.toarray(), rest])


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_texts_are_joined_and_parted_again(texts: list[str]) -> None:
    assert parts_of(joined(texts), len(texts)) == [text.replace(SEPARATOR, "\n") for text in texts]


def test_texts_that_are_missing_are_empty_and_the_rest_is_one() -> None:
    assert parts_of("one", 3) == ["one", "", ""]
    assert parts_of(joined(["one", "two", "three"]), 2) == ["one", joined(["two", "three"])]
    assert readable(joined(["one", "two"])) == "one\n\ntwo"


@pytest.mark.parametrize("encoder", [None, Lengths()])
@pytest.mark.parametrize("layout", [WHOLE, COMPARED, SIDES, ASKED])
def test_columns_are_as_many_as_said_and_chosen_ones_exist(layout: Layout, encoder: Encoder | None) -> None:
    features = fitted(layout, encoder)
    rows = features.transform(list(map(joined, PAIRS)))
    assert rows.embedding.shape == (len(PAIRS), features.n_dense)
    assert features.transform([]).shape == (0, rows.shape[1])
    of_sides = {} if layout in (WHOLE, COMPARED) else features.choices(of_sides=True)
    for columns in [*features.choices().values(), *of_sides.values()]:
        assert (np.diff(columns) > 0).all()
        assert columns[-1] < rows.shape[1]
    assert np.isfinite(dense(features, *PAIRS)).all()


def test_default_sees_all_of_two_texts_and_others_a_part() -> None:
    features = fitted(COMPARED, Lengths())
    choices = features.choices()
    assert list(choices) == [BOTH, TEXTS, COMPARISON, TFIDF, EMBEDDINGS]
    for one, other in ((TEXTS, COMPARISON), (TFIDF, EMBEDDINGS)):
        assert np.array_equal(np.union1d(choices[one], choices[other]), choices[BOTH])
        assert not np.intersect1d(choices[one], choices[other]).size


def test_comparison_sees_nothing_of_what_both_texts_say() -> None:
    """The same change in other words: only the words that changed may differ."""
    pairs = [("a cat sleeps", "a cat runs"), ("two birds sleeps", "two birds runs")]
    features = fitted(COMPARED, None, pairs)
    one, other = dense(features, *pairs)[:, features.choices()[COMPARISON]]
    assert np.allclose(one, other)
    whole = dense(features, *pairs)[:, features.choices()[TEXTS]]
    assert not np.allclose(*whole)


def test_words_that_differ_know_their_text() -> None:
    assert DifferingWords.words_in(joined(["the cat sat", "the cat ran far"])) == ["-sat", "+ran", "+far"]
    assert DifferingWords.words_in(joined(["the cat", "cat the"])) == []


def test_same_texts_share_everything() -> None:
    features = fitted(COMPARED, Lengths())
    same, other = features.transform([joined(["a dog", "a dog"]), joined(["a dog", "a cat and more"])]).embedding
    # Distances, cosine, then figures: of words, pairs, each side, the same words, lengths.
    assert same[2:4].tolist() == [0, 0]
    assert same[5:].tolist() == [1, 1, 1, 1, 1, 0]
    assert other[5:].tolist() == pytest.approx([1 / 5, 0, 1 / 2, 1 / 4, 0, np.log(3 / 5)])


@pytest.mark.parametrize("encoder", [None, Lengths()])
@pytest.mark.parametrize("layout", [SIDES, ASKED])
def test_differences_are_negated_where_the_sides_are_swapped(layout: Sides, encoder: Encoder | None) -> None:
    texts = [(*pair, "a man runs")[: layout.n_texts] for pair in PAIRS]
    features = fitted(layout, encoder, texts)
    columns = features.choices(of_sides=True)[BOTH if encoder else TFIDF]
    places = list(range(layout.n_texts))
    places[layout.left], places[layout.right] = layout.right, layout.left
    found, turned = dense(features, *texts), dense(features, *[tuple(one[place] for place in places) for one in texts])
    assert np.abs(found[:, columns]).max() > 0
    assert np.allclose(found[:, columns], -turned[:, columns], atol=1e-6)


def test_differences_of_other_texts_know_what_a_side_shares_with_them() -> None:
    features = fitted(ASKED, Lengths(), [("where is the cat", "no idea", "the cat is here")])
    columns = features.choices(of_sides=True)[TFIDF]
    (row,) = dense(features, ("where is the cat", "no idea", "the cat is here"))[:, columns]
    # The left side is the third text.
    assert row[-2:].tolist() == pytest.approx([np.log(5 / 3), 3 / 4])


def test_model_of_sides_is_odd_however_often_each_side_was_chosen() -> None:
    features = fitted(SIDES, Lengths())
    X = features.transform(list(map(joined, PAIRS * 4)))
    y = np.array(["left"] * 15 + ["right"] * 5)
    model = PREFERENCE.fit(X, y, features.choices(of_sides=True)[BOTH], 1.0, {})
    turned = features.transform([joined(pair[::-1]) for pair in PAIRS * 4])
    assert np.allclose(model.predict_proba(X)[:, 0], model.predict_proba(turned)[:, 1], atol=1e-6)


@pytest.mark.parametrize("layout", [WHOLE, COMPARED])
def test_texts_without_sides_cannot_answer_which(layout: Layout) -> None:
    with pytest.raises(InvalidRequest, match="tasks must show two"):
        fitted(layout).choices(of_sides=True)


def test_terms_that_no_text_has_are_forgotten_in_every_part() -> None:
    for layout in (COMPARED, SIDES):
        terms = fitted(layout).tfidf
        column = terms.words.terms["guitar"]
        extra = [terms.words.n_terms + terms.differing.terms["+no"]] if layout is COMPARED else []
        without = terms.without([column, *extra])
        assert without.n_terms == terms.n_terms
        assert "guitar" not in without.words.terms
        text = [joined(["guitar", "no"])]
        assert without.transform(text).nnz == terms.transform(text).nnz - 2
