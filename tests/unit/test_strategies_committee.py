"""Query by committee against scikit-activeml, by hand, and by what must not change it."""

from __future__ import annotations

import math
from collections import Counter

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson
from skactiveml.pool import average_kl_divergence
from skactiveml.pool import vote_entropy as other_vote_entropy

from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.strategies import Measure
from label_studio_al.learning.strategies.committee import consensus_entropy, fit_committee, kl_divergence, vote_entropy
from label_studio_al.learning.types import Array
from tests.support.queries import features, labelled, probabilities

MEASURES = {"vote_entropy": vote_entropy, "consensus_entropy": consensus_entropy, "kl_divergence": kl_divergence}
measures = pytest.mark.parametrize("measure", MEASURES.values(), ids=list(MEASURES))


def members(n_members: int, n_tasks: int, n_labels: int, seed: int = 0) -> Array:
    return probabilities(n_members * n_tasks, n_labels, seed).reshape(n_members, n_tasks, n_labels)


def test_vote_entropy_agrees_with_scikit_activeml() -> None:
    for n_members, n_labels in ((5, 3), (3, 6), (2, 2)):
        probas = members(n_members, 100, n_labels)
        other = other_vote_entropy(probas.argmax(axis=2).T, np.arange(n_labels))
        np.testing.assert_allclose(vote_entropy(probas), other / np.log(min(n_members, n_labels)), atol=1e-12)


def test_kl_divergence_agrees_with_scikit_activeml() -> None:
    for n_members, n_labels in ((5, 3), (3, 6), (2, 2)):
        probas = members(n_members, 100, n_labels)
        other = average_kl_divergence(probas.copy()) / np.log(min(n_members, n_labels))
        np.testing.assert_allclose(kl_divergence(probas), other, atol=1e-5)


def test_measures_give_the_values_worked_out_by_hand() -> None:
    # Two members, two labels; each task a column: contradict, half contradict, agree.
    probas = np.array([[[1.0, 0.0], [1.0, 0.0], [0.75, 0.25]], [[0.0, 1.0], [0.5, 0.5], [0.75, 0.25]]])
    three_quarters = 2 - 0.75 * math.log2(3)
    assert vote_entropy(probas) == pytest.approx([1, 0, 0])
    assert consensus_entropy(probas) == pytest.approx([1, three_quarters, three_quarters])
    assert kl_divergence(probas) == pytest.approx([1, three_quarters - 0.5, 0])


@measures
def test_one_member_or_one_label_cannot_disagree(measure: Measure) -> None:
    assert measure(members(5, 4, 1)).tolist() == [0] * 4
    if measure is not consensus_entropy:
        assert measure(members(1, 4, 3)).tolist() == [0] * 4


@measures
@given(shape=st.tuples(st.integers(1, 6), st.integers(0, 8), st.integers(1, 6)), seed=st.integers(0, 99))
def test_informativeness_lies_between_0_and_1_in_any_order(
    measure: Measure, shape: tuple[int, int, int], seed: int
) -> None:
    probas = members(*shape, seed)
    values = measure(probas)
    assert values.shape == (shape[1],)
    assert ((values >= 0) & (values <= 1)).all()
    random = np.random.default_rng(seed)
    voters, tasks, labels = (random.permutation(size) for size in shape)
    np.testing.assert_allclose(measure(probas[voters][:, :, labels]), values, atol=1e-12)
    np.testing.assert_allclose(measure(probas[:, tasks]), values[tasks], atol=1e-12)


def test_every_member_sees_every_label() -> None:
    X, _ = features(40)
    y = np.array(["rare"] + ["common"] * 38 + ["odd"])
    seen = []

    def fit(X: Matrix, y: Array) -> object:
        seen.append(sorted(y))
        return fit_classifier(X, y)

    committee = fit_committee(fit, labelled(sp.csr_matrix(X), y), 20, seed=0)
    assert all(list(member.classes) == ["common", "odd", "rare"] for member in committee)
    assert np.mean([len(labels) for labels in seen]) == pytest.approx(40, abs=5)
    assert len({tuple(labels) for labels in seen}) > 1


def test_members_draw_as_the_bootstrap_does_each_task_on_its_own() -> None:
    y, keys = np.array(["a", "b"] * 200), np.arange(400)
    seen: list[Counter[int]] = []

    def fit(X: Matrix, y: Array) -> object:
        seen.append(Counter(np.asarray(X).ravel().astype(int).tolist()))
        return fit_classifier(np.zeros((len(y), 1)), y)

    fit_committee(fit, labelled(keys[:, None].astype(float), y), 50, seed=0)
    times = np.array([[one[key] for key in keys.tolist()] for one in seen])
    shares = np.bincount(times.ravel(), minlength=4)[:4] / times.size
    np.testing.assert_allclose(shares, poisson.pmf(np.arange(4), 1), atol=0.01)
    before, seen[:] = seen[:], []
    fit_committee(fit, labelled(keys[:300, None].astype(float), y[:300]), 50, seed=0)
    assert [{key: n for key, n in one.items() if key < 300} for one in before] == seen


def test_committee_repeats_by_the_seed_alone_or_side_by_side() -> None:
    X, y = features(30)
    X = sp.csr_matrix(X)
    one = fit_committee(fit_classifier, labelled(X, y), 4, seed=3)
    with joblib.parallel_config(backend="threading", n_jobs=2):
        other = fit_committee(fit_classifier, labelled(X, y), 4, seed=3)
    third = fit_committee(fit_classifier, labelled(X, y), 4, seed=4)
    for a, b, c in zip(one, other, third, strict=True):
        assert np.array_equal(a.believe(X).proba, b.believe(X).proba)
        assert not np.array_equal(a.believe(X).proba, c.believe(X).proba)
