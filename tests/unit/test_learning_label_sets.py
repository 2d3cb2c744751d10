"""Logistic regressions of several labels against scikit-learn's, and what they do with odd labels."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from label_studio_al.learning.beliefs import Beliefs, Measure
from label_studio_al.learning.classifier import REGULARISATION_C
from label_studio_al.learning.coding import LABEL_SETS, text_of
from label_studio_al.learning.evaluation import Outcome, hold_out
from label_studio_al.learning.label_sets import ABSENT_PRESENT, fit_sets
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.learner import Tuning, fit_as, train, tune
from label_studio_al.learning.rows import Rows
from label_studio_al.learning.set_evaluation import evaluate_sets
from label_studio_al.learning.strategies import MEASURES, STRATEGIES, margin
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest
from tests.support.queries import make_query

NAMES = np.array(["a", "b", "c"])


def data(n: int = 400, seed: int = 0, noise: float = 0.7) -> tuple[Array, Array]:
    """Rows of which each of three labels has a column of its own, beside five of noise; about a third have each."""
    random = np.random.default_rng(seed)
    has = (random.random((n, 3)) < [0.5, 0.3, 0.15]).astype(np.int8)
    X = np.hstack([has + random.normal(0, noise, (n, 3)), random.normal(0, 1, (n, 5))])
    return X.astype(np.float32), has


def texts_of(has: Array) -> Array:
    return np.array([text_of(NAMES[row.astype(bool)].tolist()) for row in has], dtype=str)


def labelled(X: Array, has: Array) -> Labelled:
    return Labelled(X, texts_of(has), np.arange(len(has)), LABEL_SETS)


def test_probabilities_are_scikit_learns_one_vs_rest() -> None:
    """With more than 100 labels each, balancing fades: without it the two are the same."""
    X, has = data(20_000)
    ours = fit_sets(X, has, NAMES).believe(X[:500]).proba[:, :, 1]
    theirs = OneVsRestClassifier(LogisticRegression(C=REGULARISATION_C)).fit(X, has).predict_proba(X[:500])
    np.testing.assert_allclose(ours, theirs, atol=0.01)


def test_sparse_dense_and_views_give_the_same() -> None:
    X, has = data(120)
    expected = fit_sets(X, has, NAMES).believe(X).proba
    for form in (sp.csr_matrix(X), Rows((sp.csr_matrix(X[:, :4]), X[:, 4:]))):
        np.testing.assert_allclose(fit_sets(form, has, NAMES).believe(form).proba, expected, atol=1e-3)


def test_label_that_all_or_none_have_is_as_probable_as_its_share() -> None:
    X, has = data(100)
    has[:, 1], has[:, 2] = 1, 0
    proba = fit_sets(X, has, NAMES).believe(X).proba[:, :, 1]
    assert np.ptp(proba[:, 1]) < 1e-6
    assert proba[0, 1] > 0.99
    assert proba[0, 2] < 0.01
    assert np.ptp(proba[:, 0]) > 0.5


def test_one_set_for_all_texts_is_a_sentence() -> None:
    X, has = data(20)
    with pytest.raises(InvalidRequest, match="a label that some texts have and others have not"):
        fit_sets(X, np.ones_like(has), NAMES)


def test_thresholds_that_cross_validation_chose_are_used_and_kept() -> None:
    X, has = data(400, noise=2.0)
    every = {"all": np.arange(8)}
    tuning = tune(labelled(X, has), every, "auto", 0)
    assert set(tuning.thresholds) == set(NAMES.tolist())
    model = pickle.loads(pickle.dumps(train(labelled(X, has), every, tuning)))
    fresh, truth = data(2_000, seed=1, noise=2.0)
    predicted = LABEL_SETS.decide(model.believe(fresh)).labels
    plain = LABEL_SETS.decide(train(labelled(X, has), every, Tuning("all")).believe(fresh)).labels
    said = texts_of(truth)
    assert LABEL_SETS.scores(said, predicted)["micro_f1"] > LABEL_SETS.scores(said, plain)["micro_f1"] + 0.02


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_what_is_measured_is_what_all_decisions_say(measure: Measure) -> None:
    """Of a pool only the decision that is closest to its threshold is measured."""
    X, has = data(400)
    cuts = np.array([0.35, 0.5, 0.6])
    model = replace(fit_sets(X, has, NAMES), temperature=1.7, thresholds=cuts)
    beliefs = model.believe(X)
    np.testing.assert_allclose(model.measured(X, measure), beliefs.measured(measure), atol=1e-6)
    each = np.stack([measure(decision) for decision in beliefs.centred.proba.swapaxes(0, 1)])
    np.testing.assert_allclose(model.measured(X, measure), each.max(axis=0), atol=1e-6)
    assert len(np.unique(each.argmax(axis=0))) == 3


def test_slips_in_one_label_of_a_set_are_found() -> None:
    X, has = data(300, noise=0.05)
    wrong = has.copy()
    wrong[[5, 77], [0, 2]] ^= 1
    fit = fit_as({"all": np.arange(8)}, Tuning("all"), LABEL_SETS)
    found = hold_out(fit, labelled(X, wrong), seed=0).suspects(10)
    assert {one.example for one in found} == {5, 77}
    assert {one.example: one.predicted for one in found} == {5: texts_of(has)[5], 77: texts_of(has)[77]}


@pytest.mark.parametrize(
    "strategy", [one for one in STRATEGIES.values() if not one.needs_one_decision], ids=lambda one: one.name
)
def test_every_other_strategy_chooses_tasks_of_label_sets(strategy: object) -> None:
    X, has = data(90)
    known, pool = X[:30], X[30:]
    fit = fit_as({"all": np.arange(8)}, Tuning("all"), LABEL_SETS)
    y = texts_of(has[:30])
    given = {"X": pool, "Z": pool, "X_labelled": known, "Z_labelled": known, "y": y, "keys": np.arange(60)}
    query = make_query(**given, coding=LABEL_SETS, fit=fit, classifier=fit(known, y), n=10)
    found = strategy.choose(query)
    assert len(set(found.tasks.tolist())) == 10
    assert (np.diff(found.informativeness) <= 0).all()


def test_strategy_for_one_decision_refuses_with_a_sentence() -> None:
    X, has = data(40)
    fit = fit_as({"all": np.arange(8)}, Tuning("all"), LABEL_SETS)
    y = texts_of(has)
    given = {"X": X, "Z": X, "X_labelled": X, "Z_labelled": X, "y": y, "keys": np.arange(40)}
    query = make_query(**given, coding=LABEL_SETS, fit=fit, classifier=fit(X, y))
    with pytest.raises(InvalidRequest, match=r"^expected_error_reduction works where a task has one label"):
        STRATEGIES["expected_error_reduction"].choose(query)


def test_what_lies_at_its_threshold_is_the_most_uncertain() -> None:
    present = np.array([[0.2001, 0.9], [0.5, 0.9], [0.05, 0.9]])
    proba = np.stack([1 - present, present], axis=2)
    centred = Beliefs(proba, ABSENT_PRESENT, NAMES[:2], np.array([0.2, 0.5])).centred
    assert centred.proba[0, 0].tolist() == pytest.approx([0.5, 0.5], abs=0.001)
    np.testing.assert_allclose(centred.proba[:, 1, 1], 0.9)
    assert int(centred.measured(margin).argmax()) == 0
    assert (centred.decided[:, 0] == [1, 1, 0]).all()
    np.testing.assert_allclose(centred.proba.sum(axis=2), 1)


@pytest.mark.parametrize("n_right", [1, 7, 50])
def test_few_right_sets_do_not_say_that_there_is_no_error(n_right: int) -> None:
    outcomes = [
        Outcome(label=said, predicted=said, probability=0.9, is_audit=True, n_labels=10)
        for said in [text_of(["a"]), text_of(["a", "b"])] * n_right
    ]
    found = evaluate_sets(outcomes, ["a", "b"])
    for estimate in (found.micro_f1, found.macro_f1):
        assert estimate is not None
        assert (estimate.value, estimate.high) == (1.0, 1.0)
        # The more answers without an error, the nearer to none.
        assert 1 - 4 / n_right < estimate.low < 1 - 0.1 / n_right
