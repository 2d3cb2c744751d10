"""Every strategy by its name: what all of them promise, and what they say to bad input."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.rows import Rows
from label_studio_al.learning.strategies import MEASURES, STRATEGIES, Query, Strategy, pick
from label_studio_al.runtime.errors import InvalidRequest
from tests.support.queries import features, make_query

NAMES = [
    "random",
    "least_confidence",
    "margin",
    "entropy",
    "k_center",
    "k_means",
    "typiclust",
    "vote_entropy",
    "consensus_entropy",
    "kl_divergence",
    "expected_gradient_length",
    "expected_error_reduction",
    "cluster_margin",
    "badge",
    "contrastive",
    "density_weighted_margin",
]
strategies = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
by_model = pytest.mark.parametrize(
    "strategy", [pytest.param(one, id=one.name) for one in STRATEGIES.values() if one.needs_model]
)


def check(strategy: Strategy, query: Query) -> None:
    """What a ranking always is."""
    ranking = strategy.choose(query)
    assert len(ranking.tasks) == len(set(ranking.tasks.tolist())) == min(query.n, query.n_tasks)
    assert set(ranking.tasks.tolist()) <= set(range(query.n_tasks))
    assert ranking.informativeness.shape == ranking.tasks.shape
    assert np.isfinite(ranking.informativeness).all()
    assert ((ranking.informativeness >= 0) & (ranking.informativeness <= 1)).all()
    assert (np.diff(ranking.informativeness) <= 0).all()


def test_all_are_there_by_their_names() -> None:
    assert list(STRATEGIES) == NAMES
    assert all(pick(name).name == name for name in NAMES)


def test_unknown_name_is_answered_with_all_that_exist() -> None:
    with pytest.raises(InvalidRequest, match="not 'best'") as raised:
        pick("best")
    assert all(name in str(raised.value) for name in NAMES)


@strategies
def test_strategy_says_in_a_sentence_what_it_is_and_whence(strategy: Strategy) -> None:
    assert re.fullmatch(r"[A-Z][^.]+\.", strategy.summary)
    assert re.search(r"\d{4}", strategy.source)


def test_measures_are_those_of_probabilities_alone() -> None:
    assert set(MEASURES) == {"least_confidence", "margin", "entropy"}
    query = make_query()
    for name, measure in MEASURES.items():
        ranking = pick(name).choose(query)
        np.testing.assert_array_equal(measure(query.beliefs.wide)[ranking.tasks], ranking.informativeness)


@strategies
@given(
    n_tasks=st.integers(0, 25),
    n_labelled=st.integers(6, 14),
    n=st.integers(0, 30),
    batch=st.integers(1, 12),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=12)
def test_ranking_is_distinct_in_range_and_never_rises(
    strategy: Strategy, n_tasks: int, n_labelled: int, n: int, batch: int, seed: int
) -> None:
    check(strategy, make_query(n_tasks, n_labelled, seed, n=n, batch=batch))


@strategies
def test_same_seed_gives_exactly_the_same(strategy: Strategy) -> None:
    one, other = strategy.choose(make_query(seed=4)), strategy.choose(make_query(seed=4))
    assert one.tasks.tolist() == other.tasks.tolist()
    assert one.informativeness.tolist() == other.informativeness.tolist()


@strategies
def test_order_of_the_pool_does_not_matter(strategy: Strategy) -> None:
    query = make_query(200)
    order = np.random.default_rng(0).permutation(200)
    moved = make_query(200, X=query.X[order], Z=query.Z[order], keys=query.keys[order])
    assert order[strategy.choose(moved).tasks].tolist() == strategy.choose(query).tasks.tolist()


@strategies
def test_names_of_the_labels_do_not_matter(strategy: Strategy) -> None:
    """Renamed so that their columns come in another order."""
    query = make_query(200)
    renamed = make_query(200, y=np.array([{"a": "z", "b": "y", "c": "x"}[label] for label in query.labelled.y]))
    assert strategy.choose(renamed).tasks.tolist() == strategy.choose(query).tasks.tolist()


@strategies
def test_form_of_the_features_does_not_matter(strategy: Strategy) -> None:
    query = make_query(200)
    expected = strategy.choose(query)
    for form in (sp.csr_matrix, lambda Z: Rows((sp.csr_matrix(Z[:, :9]), Z[:, 9:]))):
        ranking = strategy.choose(make_query(200, Z=form(query.Z), Z_labelled=form(query.Z_labelled)))
        assert ranking.tasks.tolist() == expected.tasks.tolist()
        np.testing.assert_allclose(ranking.informativeness, expected.informativeness, rtol=1e-5)


@strategies
def test_shorter_window_is_the_beginning_of_a_longer_one(strategy: Strategy) -> None:
    longest = strategy.choose(make_query(150, n=60)).tasks.tolist()
    for n in (1, 4, 7, 59):
        assert strategy.choose(make_query(150, n=n)).tasks.tolist() == longest[:n]


@strategies
def test_labels_without_example_and_labels_with_one(strategy: Strategy) -> None:
    """The config may have more labels than the classifier has met: it knows two here, one of them by one example."""
    y = np.array(["rare"] + ["common"] * 11)
    check(strategy, make_query(y=y))


@strategies
def test_more_labels_than_examples_of_each(strategy: Strategy) -> None:
    check(strategy, make_query(y=np.array([f"label {place}" for place in range(12)])))


@strategies
def test_tasks_that_are_all_alike_or_empty(strategy: Strategy) -> None:
    X, y = features(8)
    X[:] = X[0]
    for rows in (X, np.zeros_like(X)):
        pool = {"X": sp.csr_matrix(rows), "Z": rows, "X_labelled": sp.csr_matrix(rows), "Z_labelled": rows}
        check(strategy, make_query(8, **pool, y=y, classifier=fit_classifier(sp.csr_matrix(features(8)[0]), y)))


@strategies
def test_nothing_wanted_or_nothing_there(strategy: Strategy) -> None:
    query = make_query()
    check(strategy, make_query(n=0))
    check(strategy, make_query(X=query.X[:0], Z=query.Z[:0], keys=query.keys[:0]))


@by_model
@pytest.mark.parametrize(("y", "came"), [([], "none"), (["only"] * 4, "'only'")])
def test_without_a_model_the_answer_is_a_sentence(strategy: Strategy, y: list[str], came: str) -> None:
    query = make_query()
    n = len(y)
    alone = make_query(
        y=np.array(y, dtype=str),
        X_labelled=query.labelled.X[:n],
        Z_labelled=query.Z_labelled[:n],
        keys_labelled=query.labelled.keys[:n],
        classifier=None,
    )
    with pytest.raises(InvalidRequest, match=f"^{strategy.name} needs a model .* have {came}$"):
        strategy.choose(alone)


@pytest.mark.parametrize("name", ["random", "k_center", "k_means", "typiclust"])
def test_without_labels_coverage_still_chooses(name: str) -> None:
    query = make_query()
    nothing = {"X_labelled": query.X[:0], "Z_labelled": query.Z[:0], "keys_labelled": query.keys[:0]}
    check(pick(name), make_query(y=np.zeros(0, dtype=str), **nothing))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("field", ["X", "Z", "X_labelled", "Z_labelled"])
def test_features_that_are_no_numbers_are_refused(field: str, value: float) -> None:
    query = make_query()
    broken = (query.labelled.X if field == "X_labelled" else getattr(query, field)).copy()
    if sp.issparse(broken):
        broken.data[3] = value
    else:
        broken[3, 0] = value
    with pytest.raises(InvalidRequest, match=r"^features must be finite numbers, have NaN, infinity"):
        make_query(**{field: broken}, classifier=query.classifier)


def test_broken_view_beside_a_good_one_is_refused() -> None:
    query = make_query()
    broken = np.full((60, 2), np.nan)
    views = {"Z": Rows((query.Z, broken)), "Z_labelled": Rows((query.Z_labelled, broken[:12]))}
    with pytest.raises(InvalidRequest, match="finite"):
        make_query(**views)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n": -1}, "have n=-1, batch=4"),
        ({"batch": 0}, "have n=10, batch=0"),
        ({"Z": features(59)[0]}, "have 59 of 60 tasks and 12 of 12 labelled ones"),
        ({"Z": features(60, n_columns=30)[0]}, "have 30 and 24 columns"),
        ({"keys": np.arange(59)}, "one key, have 59 for 60"),
        ({"keys_labelled": np.arange(11)}, "have 12 labels and 11 keys for 12 tasks"),
        ({"Z_labelled": features(5)[0]}, "have 60 of 60 tasks and 5 of 12 labelled ones"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        make_query(**changed)
