"""Cold start: groups of similar tasks take turns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_studio_al.learning import coverage
from label_studio_al.learning.coverage import Coverage
from label_studio_al.learning.tfidf import Tfidf
from label_studio_al.learning.types import Array

NO_CENTRES = np.zeros((0, 2))
TOPICS = ("match goal team coach", "bank stock price market", "rocket orbit moon star", "bread cheese salad soup")


def rows(*places: int) -> Array:
    return np.array(places, dtype=np.int64)


def cover(Z: Array, n_groups: int, seed: int) -> Coverage:
    """Tasks are numbered by their places."""
    return coverage.cover(Z, np.arange(len(Z)), n_groups, seed)


def features_of(texts: list[str]) -> Array:
    return Tfidf.fit(texts).transform(texts).toarray()


def topics(n_each: int) -> tuple[Array, Array]:
    """Texts of four topics that share no word, and the topic of each."""
    draw = np.random.default_rng(0)
    of = np.arange(len(TOPICS)).repeat(n_each)
    return features_of([" ".join(draw.permutation(TOPICS[topic].split())) for topic in of]), of


# -- order ----------------------------------------------------------------------------------------------------


def test_groups_take_turns_most_typical_first_larger_group_first() -> None:
    #       tasks:      0  1  2  3  4  5
    groups = Coverage(rows(0, 0, 1, 1, 1, 2), rows(1, 0, 2, 0, 1, 0), NO_CENTRES)
    assert groups.order(np.arange(6), rows()).tolist() == [3, 1, 5, 4, 0, 2]


def test_labelled_groups_come_last() -> None:
    groups = Coverage(rows(0, 0, 0, 1, 1, 2), rows(0, 1, 2, 0, 1, 0), NO_CENTRES)
    # Group 0 has two labels, group 1 one, group 2 none.
    assert groups.order(rows(2, 4, 5), rows(0, 1, 3)).tolist() == [5, 4, 2]


def test_group_that_others_have_overtaken_takes_its_turn_again() -> None:
    groups = Coverage(rows(0, 0, 0, 1, 1, 1), rows(0, 1, 2, 0, 1, 2), NO_CENTRES)
    # One label in group 0: group 1 gives one first, then they take turns.
    assert groups.order(rows(1, 2, 3, 4, 5), rows(0)).tolist() == [3, 1, 4, 2, 5]


@given(
    groups=st.lists(st.integers(0, 4), min_size=1, max_size=30),
    data=st.data(),
)
def test_order_has_every_task_of_the_pool_once_and_evens_out_the_groups(groups: list[int], data: st.DataObject) -> None:
    n = len(groups)
    of = np.array(groups, dtype=np.int64)
    ranks = np.array([sum(of[:place] == of[place]) for place in range(n)], dtype=np.int64)
    labelled = np.array(data.draw(st.lists(st.integers(0, n - 1), unique=True)), dtype=np.int64)
    pool = np.setdiff1d(np.arange(n), labelled)
    ordered = Coverage(of, ranks, NO_CENTRES).order(pool, labelled)
    assert sorted(ordered.tolist()) == pool.tolist()
    asked = np.bincount(of[labelled], minlength=5)
    left = np.bincount(of[pool], minlength=5)
    for task in ordered:
        # Nobody is asked again while a group with fewer labels still has a task.
        assert asked[of[task]] == asked[left > 0].min()
        asked[of[task]] += 1
        left[of[task]] -= 1


def test_empty_pool_has_an_empty_order() -> None:
    assert Coverage(rows(0, 1), rows(0, 0), NO_CENTRES).order(rows(), rows(0, 1)).tolist() == []
    assert Coverage(rows(), rows(), NO_CENTRES).order(rows(), rows()).tolist() == []


# -- cover ----------------------------------------------------------------------------------------------------


def test_no_tasks_have_no_groups() -> None:
    covered = cover(np.zeros((0, 7), dtype=np.float32), 5, 0)
    assert covered.groups.shape == covered.ranks.shape == (0,)


@pytest.mark.parametrize("n_each", [30, 100])
def test_topics_become_groups(n_each: int) -> None:
    X, topic = topics(n_each)
    # With this seed k-means starts in each topic, as it does with about half of all.
    covered = cover(X, 4, 3)
    assert len(set(covered.groups.tolist())) == 4
    assert all(len(set(covered.groups[topic == one].tolist())) == 1 for one in range(4))


def test_first_turns_meet_every_topic() -> None:
    X, topic = topics(25)
    first = cover(X, 8, 0).order(np.arange(100), rows())[:8]
    assert set(topic[first].tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "texts",
    [
        ["the same"] * 50,
        [" ".join(f"word{place}" for place in range(60))] * 50,
        [""] * 50,
        ["🙂"] * 5,
        ["the same"],
        [" ".join(f"word{place}" for place in range(60))],
    ],
    ids=["short", "long", "empty", "emoji", "one short", "one long"],
)
def test_equal_texts_are_one_group(texts: list[str]) -> None:
    covered = cover(features_of(texts), 20, 0)
    assert set(covered.groups.tolist()) == {0}
    assert sorted(covered.ranks.tolist()) == list(range(len(texts)))


def test_texts_without_any_known_term_are_one_group() -> None:
    covered = cover(np.zeros((50, 100), dtype=np.float32), 20, 0)
    assert set(covered.groups.tolist()) == {0}


def test_pool_smaller_than_the_groups_gives_each_task_its_own() -> None:
    X, _ = topics(1)
    covered = cover(X, 20, 0)
    assert sorted(covered.groups.tolist()) == [0, 1, 2, 3]
    assert covered.ranks.tolist() == [0, 0, 0, 0]


def test_small_pool_of_long_texts_gives_each_task_its_own() -> None:
    texts = [" ".join(f"word{place}x{word}" for word in range(60)) for place in range(10)]
    assert sorted(cover(features_of(texts), 20, 0).groups.tolist()) == list(range(10))


def test_equal_tasks_of_a_small_pool_of_long_texts_share_a_group() -> None:
    one, other = (" ".join(f"{name}{place}" for place in range(60)) for name in ("word", "term"))
    covered = cover(features_of([one] * 9 + [other]), 20, 0)
    assert len(set(covered.groups.tolist())) == 2
    assert 9 in covered.order(np.arange(10), rows())[:2].tolist()


@given(
    texts=st.lists(st.lists(st.sampled_from("abcdefghij"), min_size=0, max_size=9).map(" ".join), max_size=40),
    n_groups=st.integers(1, 12),
    seed=st.integers(0, 100),
)
@settings(max_examples=40)
def test_ranks_count_each_group_from_0(texts: list[str], n_groups: int, seed: int) -> None:
    covered = cover(features_of(texts), n_groups, seed)
    assert len(covered.groups) == len(covered.ranks) == len(texts)
    for group in set(covered.groups.tolist()):
        ranks = sorted(covered.ranks[covered.groups == group].tolist())
        assert ranks == list(range(len(ranks)))
    assert len(set(covered.groups.tolist())) <= n_groups or len(texts) <= n_groups


def test_same_seed_gives_the_same_groups() -> None:
    X, _ = topics(25)
    first, second = cover(X, 10, 7), cover(X, 10, 7)
    assert np.array_equal(first.groups, second.groups)
    assert np.array_equal(first.ranks, second.ranks)
