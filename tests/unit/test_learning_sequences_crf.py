"""The conditional random field, against every tagging of short sequences one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from label_studio_al.learning.sequences.crf import Problem, Weights, fit, log_likelihood, output_pull, tag_scores
from label_studio_al.learning.sequences.lattice import Lattice, Transitions, n_tags, n_weights
from label_studio_al.learning.sequences.packing import Packing
from label_studio_al.learning.sequences.windows import Table, Windows

some = settings(max_examples=40, deadline=None, derandomize=True)
cases = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 3), st.lists(st.integers(0, 4), min_size=1, max_size=4))


def is_allowed(before: int, here: int, n: int) -> bool:
    return here <= n or before in (here, here - n)


def taggings(length: int, n: int) -> list[tuple[int, ...]]:
    every = product(range(n_tags(n)), repeat=length)
    return [one for one in every if all(is_allowed(a, b, n) for a, b in zip((0, *one), one, strict=False))]


def weight(scores: np.ndarray, way: Transitions, tags: tuple[int, ...]) -> float:
    """The score of one tagging, from the meaning of the weights alone."""
    n, total = way.n_classes, 0.0
    for row, before, here in zip(scores, (0, *tags), tags, strict=False):
        total += row[here]
        if here > n:
            total += way.stay[before - 1]
        else:
            total += way.enter[min(before, 1), here] + (way.leave[before - 1] if before else 0.0)
    return total


def lattice_of(case: tuple[int, int, list[int]], size: float = 2.0) -> tuple[Lattice, list[np.ndarray]]:
    seed, n, lengths = case
    random = np.random.default_rng(seed)
    packing = Packing(np.array(lengths))
    scores = random.normal(0, size, (sum(lengths), n_tags(n)))
    way = Transitions.of(random.normal(0, size, n_weights(n)), n)
    return Lattice(scores[packing.order], way, packing), np.split(scores, np.cumsum(lengths)[:-1])


def spans_of(tags: tuple[int, ...], n: int) -> set[tuple[int, int, int]]:
    found = []
    for place, tag in enumerate(tags):
        if 0 < tag <= n:
            found.append([place, place, tag - 1])
        elif tag:
            found[-1][1] = place
    return {tuple(one) for one in found}


@some
@given(cases)
def test_sums_and_marginals_are_those_of_all_taggings(case: tuple[int, int, list[int]]) -> None:
    lattice, scores = lattice_of(case)
    n, marginals = case[1], lattice.marginals[lattice.packing.place]
    first = 0
    for log_sum, own in zip(lattice.log_sums, scores, strict=True):
        every = taggings(len(own), n)
        logs = np.array([weight(own, lattice.transitions, tags) for tags in every])
        assert log_sum == pytest.approx(np.logaddexp.reduce(logs))
        wanted = np.zeros(own.shape)
        for tags, share in zip(every, np.exp(logs - log_sum), strict=True):
            wanted[np.arange(len(own)), list(tags)] += share
        np.testing.assert_allclose(marginals[first : first + len(own)], wanted, atol=1e-9)
        first += len(own)


@some
@given(cases)
def test_best_tagging_is_the_best_of_all(case: tuple[int, int, list[int]]) -> None:
    lattice, scores = lattice_of(case)
    tags = lattice.best()
    logs, first = lattice.path_logs(tags), 0
    for log, own in zip(logs, scores, strict=True):
        found = tuple(tags[lattice.packing.place[first : first + len(own)]].tolist())
        every = {one: weight(own, lattice.transitions, one) for one in taggings(len(own), case[1])}
        assert found == max(every, key=every.__getitem__)
        assert log == pytest.approx(every[found] - np.logaddexp.reduce(list(every.values())))
        first += len(own)


@some
@given(cases)
def test_probability_of_a_span_is_that_of_the_taggings_that_have_it(case: tuple[int, int, list[int]]) -> None:
    lattice, scores = lattice_of(case)
    for sequence, own in enumerate(scores):
        every = taggings(len(own), case[1])
        logs = np.array([weight(own, lattice.transitions, tags) for tags in every])
        shares = np.exp(logs - np.logaddexp.reduce(logs))
        wanted: dict[tuple[int, int, int], float] = {}
        for tags, share in zip(every, shares, strict=True):
            for span in spans_of(tags, case[1]):
                wanted[span] = wanted.get(span, 0.0) + share
        if wanted:
            firsts, lasts, classes = np.array(list(wanted)).T
            found = np.exp(lattice.span_logs(np.full(len(firsts), sequence), firsts, lasts, classes))
            np.testing.assert_allclose(found, list(wanted.values()), atol=1e-9)


@some
@given(cases)
def test_expected_weights_are_averages_over_all_taggings(case: tuple[int, int, list[int]]) -> None:
    lattice, scores = lattice_of(case)
    wanted = np.zeros(n_weights(case[1]))
    for own in scores:
        every = taggings(len(own), case[1])
        logs = np.array([weight(own, lattice.transitions, tags) for tags in every])
        packing = Packing(np.array([len(own)]))
        for tags, share in zip(every, np.exp(logs - np.logaddexp.reduce(logs)), strict=True):
            wanted += share * lattice.transitions.counted(np.array(tags, dtype=np.int64), packing)
    np.testing.assert_allclose(lattice.expected, wanted, atol=1e-9)


def test_bias_against_no_entity_lowers_its_score() -> None:
    random, packing = np.random.default_rng(0), Packing(np.array([30, 20]))
    scores, way = random.normal(0, 1, (50, 5)), Transitions.of(np.zeros(n_weights(2)), 2)
    lattice = Lattice(scores, way, packing)
    plain, biased = lattice.best(), lattice.best(bias=1.0)
    assert (biased == 0).sum() < (plain == 0).sum()
    np.testing.assert_array_equal(biased, Lattice(scores - np.eye(1, 5), way, packing).best())


def test_scores_far_apart_neither_overflow_nor_vanish() -> None:
    packing = Packing(np.array([200]))
    scores = np.where(np.random.default_rng(0).random((200, 5)) < 0.5, 4_000.0, -4_000.0)
    lattice = Lattice(scores, Transitions.of(np.zeros(n_weights(2)), 2), packing)
    assert np.isfinite(lattice.log_sums).all()
    np.testing.assert_allclose(lattice.marginals.sum(axis=1), 1)


def windows_of(lengths: list[int], seed: int = 0) -> Windows:
    """Sparse and dense features of seven words."""
    random = np.random.default_rng(seed)
    tables = [
        Table(sp.csr_matrix(random.random((8, 5)) < 0.4, dtype=float), (-1, 0, 2)),
        Table(random.normal(size=(8, 3)), (0,)),
    ]
    return Windows(tables, random.integers(7, size=sum(lengths)), Packing(np.array(lengths)))


def test_windows_see_neighbours_of_the_same_unit_only() -> None:
    rows = sp.csr_matrix(np.diag([1.0, 10.0, 100.0]))
    windows = Windows([Table(rows, (-1, 0))], np.array([0, 1, 1]), Packing(np.array([2, 1])))
    found = windows.product(np.array([[0.1], [1], [0.1], [1], [0.1], [1]]))[windows.packing.place]
    assert found[:, 0].tolist() == pytest.approx([0.1 * 100 + 1, 0.1 * 1 + 10, 0.1 * 100 + 10])


@pytest.mark.parametrize("lengths", [[3, 0, 5, 1], [1], [0], []])
@pytest.mark.parametrize("n", [1, 3])
def test_slope_is_the_derivative_of_the_loss(lengths: list[int], n: int) -> None:
    random = np.random.default_rng(1)
    windows = windows_of(lengths)
    tags = random.integers(1 + n, size=sum(lengths))
    problem = Problem(windows, tags, n, 0.3)
    at = random.normal(size=problem.n_weights)
    slope = problem.loss(at)[1]
    steps = 1e-5 * np.eye(len(at))
    measured = [(problem.loss(at + step)[0] - problem.loss(at - step)[0]) / 2e-5 for step in steps]
    np.testing.assert_allclose(slope, measured, atol=1e-5)


def test_likelihood_of_given_tags_is_what_the_loss_sums() -> None:
    windows, tags = windows_of([3, 0, 5]), np.array([0, 1, 3, 2, 4, 4, 0, 1])
    problem = Problem(windows, tags, 2, 0.0)
    at = np.random.default_rng(2).normal(size=problem.n_weights)
    logs = log_likelihood(problem.weights(at), windows, tags)
    assert logs.shape == (3,)
    assert logs[1] == 0
    assert -logs.sum() == pytest.approx(problem.loss(at)[0])


def test_pull_on_outputs_is_the_transposed_of_scores() -> None:
    outputs, pull = np.random.default_rng(0).normal(size=(6, 5)), np.random.default_rng(1).normal(size=(6, 7))
    assert (tag_scores(outputs) * pull).sum() == pytest.approx((outputs * output_pull(pull)).sum())


def learnt(tags: list[int], n: int) -> Weights:
    windows = Windows([Table(sp.identity(4, format="csr"), (0,))], np.array([0, 1, 2, 0, 2]), Packing(np.array([3, 2])))
    return fit(windows, np.array(tags), n, 0.01)


def test_fit_learns_what_it_was_told() -> None:
    windows = Windows([Table(sp.identity(4, format="csr"), (0,))], np.array([0, 1, 2, 0, 2]), Packing(np.array([3, 2])))
    weights = learnt([0, 1, 3, 0, 2], 2)
    assert weights.lattice(windows).best()[windows.packing.place].tolist() == [0, 1, 3, 0, 2]


@pytest.mark.parametrize(("tags", "n"), [([0] * 5, 1), ([1] * 5, 1), ([1, 2, 2, 1, 2], 1), ([0] * 5, 3)])
def test_only_empty_answers_and_only_entities_can_be_learnt(tags: list[int], n: int) -> None:
    windows = Windows([Table(sp.identity(4, format="csr"), (0,))], np.array([0, 1, 2, 0, 2]), Packing(np.array([3, 2])))
    assert learnt(tags, n).lattice(windows).best()[windows.packing.place].tolist() == tags


def test_fit_is_the_same_again() -> None:
    windows, tags = windows_of([4, 6, 5]), np.array([0, 1, 3, 0, 2, 4, 4, 0, 0, 1, 0, 0, 2, 0, 0])
    first, again = fit(windows, tags, 2), fit(windows, tags, 2)
    np.testing.assert_array_equal(first.outputs, again.outputs)


def test_no_token_at_all_is_fitted_and_read() -> None:
    windows = windows_of([0, 0])
    weights = fit(windows, np.zeros(0, dtype=np.int64), 2)
    lattice = weights.lattice(windows)
    assert lattice.best().shape == (0,)
    assert lattice.log_sums.tolist() == [0, 0]
    assert lattice.marginals.shape == (0, 5)
