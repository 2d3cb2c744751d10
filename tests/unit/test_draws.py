"""Random draws of tasks: fair, independent of each other, and the same wherever a task lies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from label_studio_al.learning import draws

N_SEEDS = 2_000
# A false alarm in a thousand runs; and seeds are fixed, so a run is like another.
LEVEL = 1e-3


@given(keys=st.lists(st.integers(0, 2**63 - 1), unique=True, max_size=40), seed=st.integers(0, 2**32 - 1))
def test_distinct_keys_have_distinct_numbers_in_range(keys: list[int], seed: int) -> None:
    found = draws.hashes(np.array(keys, dtype=np.int64), seed, "purpose")
    assert len(set(found.tolist())) == len(keys)
    uniforms = draws.uniforms(np.array(keys, dtype=np.int64), seed, "purpose")
    assert ((uniforms >= 0) & (uniforms < 1)).all()


@given(n=st.integers(0, 60), seed=st.integers(0, 99), data=st.data())
def test_order_follows_the_keys_not_their_places(n: int, seed: int, data: st.DataObject) -> None:
    keys = np.arange(100, 100 + n)
    moved = np.array(data.draw(st.permutations(range(n))), dtype=np.int64)
    order = keys[draws.shuffled(keys, seed, "purpose")].tolist()
    assert keys[moved][draws.shuffled(keys[moved], seed, "purpose")].tolist() == order
    size = data.draw(st.integers(0, 70))
    assert keys[moved][draws.first(keys[moved], size, seed, "purpose")].tolist() == order[:size]


def test_who_leaves_or_joins_changes_nothing_for_the_others() -> None:
    keys = np.arange(1_000)
    order = keys[draws.shuffled(keys, 3, "purpose")]
    some = keys[::3]
    assert some[draws.shuffled(some, 3, "purpose")].tolist() == [key for key in order.tolist() if key % 3 == 0]


@pytest.mark.parametrize(
    "keys",
    [np.arange(50_000), np.arange(50_000) * 2**32, draws.text_hashes(list(map(str, range(50_000))))],
)
def test_consecutive_keys_draw_uniformly_and_independently(keys: np.ndarray) -> None:
    for seed in range(3):
        found = draws.uniforms(keys, seed, "purpose")
        assert kstest(found, "uniform").pvalue > LEVEL
        # Each key with the next one: 64 cells, all as full.
        cells = np.histogram2d(found[:-1], found[1:], bins=8, range=[[0, 1], [0, 1]])[0]
        assert chisquare(cells.ravel()).pvalue > LEVEL


def test_purposes_seeds_and_times_are_independent() -> None:
    keys = np.arange(50_000)
    base = draws.uniforms(keys, 0, "audit")
    for other in (
        draws.uniforms(keys, 1, "audit"),
        draws.uniforms(keys, 0, "ties"),
        draws.uniforms(keys, 0, "audit", 1),
    ):
        cells = np.histogram2d(base, other, bins=8, range=[[0, 1], [0, 1]])[0]
        assert chisquare(cells.ravel()).pvalue > LEVEL


def test_every_task_and_every_pair_is_drawn_equally_often() -> None:
    n, size = 24, 6
    keys = np.arange(7_000, 7_000 + n)
    is_drawn = np.zeros((N_SEEDS, n))
    for seed in range(N_SEEDS):
        is_drawn[seed, draws.first(keys, size, seed, "purpose")] = 1
    share = size / n
    spread = np.sqrt(N_SEEDS * share * (1 - share))
    assert np.abs(is_drawn.sum(axis=0) - N_SEEDS * share).max() < 4 * spread
    together = (is_drawn.T @ is_drawn)[np.triu_indices(n, 1)]
    both = share * (size - 1) / (n - 1)
    assert np.abs(together - N_SEEDS * both).max() < 4.5 * np.sqrt(N_SEEDS * both * (1 - both))


def test_copies_of_a_text_have_keys_of_their_own_and_a_text_has_the_same_everywhere() -> None:
    texts = ["one", "two", "one", "", "one", "two", "ünï \ud800"]
    contents = draws.text_hashes(texts)
    assert len(set(contents.tolist())) == 4
    keys = draws.text_keys(contents)
    assert len(set(keys.tolist())) == len(texts)
    order = np.array([4, 5, 6, 0, 2, 3, 1])
    assert sorted(draws.text_keys(contents[order]).tolist()) == sorted(keys.tolist())
    assert draws.text_keys(draws.text_hashes([])).tolist() == []
