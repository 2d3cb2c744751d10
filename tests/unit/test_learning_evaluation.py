"""Measures against scikit-learn, tables and hand calculation; the audit estimate against a known truth."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from label_studio_al.learning.beliefs import Beliefs, one_decision
from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.evaluation import (
    CALIBRATION_OUTCOMES,
    Confusion,
    Outcome,
    audit_outcomes,
    cross_validate,
    evaluate,
    hold_out,
    proportion,
    random_baseline,
)
from label_studio_al.learning.rows import Matrix, Rows
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest
from tests.support.queries import labelled

PAIRS = st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from("ABCD")), min_size=1, max_size=60)


def outcomes_of(pairs: list[tuple[str, str]], probability: float = 0.8) -> list[Outcome]:
    return [Outcome(true, predicted, probability, n_labels=10, is_audit=True) for true, predicted in pairs]


# Evaluation


@given(pairs=PAIRS)
@settings(deadline=None, max_examples=40)
def test_figures_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    true, predicted = zip(*pairs, strict=True)
    evaluation = evaluate(outcomes_of(pairs), "ABCD")
    assert evaluation.n == len(pairs)
    assert evaluation.accuracy is not None
    assert evaluation.macro_f1 is not None
    assert evaluation.accuracy.value == pytest.approx(accuracy_score(true, predicted))
    assert evaluation.macro_f1.value == pytest.approx(f1_score(true, predicted, average="macro", zero_division=0))
    for quality in evaluation.labels:
        label = [quality.label]
        precision = precision_score(true, predicted, labels=label, average="macro", zero_division=np.nan)
        recall = recall_score(true, predicted, labels=label, average="macro", zero_division=np.nan)
        assert (math.nan if quality.precision is None else quality.precision) == pytest.approx(precision, nan_ok=True)
        assert (math.nan if quality.recall is None else quality.recall) == pytest.approx(recall, nan_ok=True)
        assert quality.n_true == true.count(quality.label)
        assert quality.n_predicted == predicted.count(quality.label)


@given(pairs=PAIRS)
@settings(deadline=None)
def test_intervals_hold_their_value_and_lie_between_0_and_1(pairs: list[tuple[str, str]]) -> None:
    evaluation = evaluate(outcomes_of(pairs), "ABCD")
    for estimate in (evaluation.accuracy, evaluation.macro_f1):
        assert estimate is not None
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@given(pairs=PAIRS, data=st.data())
@settings(deadline=None)
def test_order_of_outcomes_changes_nothing(pairs: list[tuple[str, str]], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(pairs))
    assert evaluate(outcomes_of(shuffled), "ABCD") == evaluate(outcomes_of(pairs), "ABCD")


@given(pairs=PAIRS, names=st.permutations("ABCD"))
@settings(deadline=None)
def test_renamed_labels_keep_their_figures(pairs: list[tuple[str, str]], names: list[str]) -> None:
    renamed = dict(zip("ABCD", names, strict=True))
    before = evaluate(outcomes_of(pairs), "ABCD")
    after = evaluate(outcomes_of([(renamed[true], renamed[predicted]) for true, predicted in pairs]), names)
    assert after.accuracy == before.accuracy
    assert before.macro_f1 is not None
    assert after.macro_f1 is not None
    assert after.macro_f1.value == pytest.approx(before.macro_f1.value)
    # The labels meet other random numbers.
    assert after.macro_f1.low == pytest.approx(before.macro_f1.low, abs=0.12)
    assert after.macro_f1.high == pytest.approx(before.macro_f1.high, abs=0.12)
    for ours, theirs in zip(before.labels, after.labels, strict=True):
        assert (renamed[ours.label], ours.precision, ours.recall) == (theirs.label, theirs.precision, theirs.recall)
    pairs_of = {(renamed[pair.true], renamed[pair.predicted], pair.count) for pair in before.confusions}
    assert pairs_of == {(pair.true, pair.predicted, pair.count) for pair in after.confusions}


def test_confusions_come_most_frequent_first_without_the_hits() -> None:
    evaluation = evaluate(outcomes_of([("A", "A")] * 9 + [("A", "B")] + [("C", "A")] * 3 + [("B", "A")]), "ABC")
    assert evaluation.confusions == (Confusion("C", "A", 3), Confusion("A", "B", 1), Confusion("B", "A", 1))


def test_labels_that_never_occur_have_no_figures() -> None:
    met, unmet = evaluate(outcomes_of([("A", "A")]), ["A", "B"]).labels
    assert (met.precision, met.recall) == (1, 1)
    assert (unmet.n_true, unmet.n_predicted, unmet.precision, unmet.recall) == (0, 0, None, None)


def test_label_that_is_never_predicted_has_recall_0_and_no_precision() -> None:
    _, unpredicted = evaluate(outcomes_of([("A", "A"), ("B", "A")]), ["A", "B"]).labels
    assert (unpredicted.precision, unpredicted.recall) == (None, 0)


def test_labels_that_the_project_no_longer_has_come_last() -> None:
    evaluation = evaluate(outcomes_of([("Old", "B"), ("Gone", "A")]), ["B", "A"])
    assert [quality.label for quality in evaluation.labels] == ["B", "A", "Gone", "Old"]


def test_nothing_measured_gives_no_figures() -> None:
    evaluation = evaluate([], ["A"])
    assert evaluation.n == 0
    assert (evaluation.accuracy, evaluation.macro_f1, evaluation.calibration_error) == (None, None, None)
    assert "NaN" not in json.dumps(asdict(evaluation))


def test_one_label_only_is_measured() -> None:
    evaluation = evaluate(outcomes_of([("A", "A")] * 5), ["A"])
    assert evaluation.macro_f1 is not None
    assert evaluation.macro_f1.value == evaluation.macro_f1.high == 1
    assert evaluation.macro_f1.low < 0.9


def test_twenty_right_answers_do_not_prove_perfection() -> None:
    evaluation = evaluate(outcomes_of([("A", "A"), ("B", "B")] * 10), ["A", "B"])
    assert evaluation.accuracy is not None
    assert evaluation.macro_f1 is not None
    assert evaluation.accuracy.low == pytest.approx(0.8389, abs=1e-4)
    assert evaluation.macro_f1.low < 0.93


def test_same_seed_gives_the_same_interval() -> None:
    outcomes = outcomes_of([("A", "A"), ("B", "A"), ("B", "B")] * 7)
    assert evaluate(outcomes, "AB", seed=1) == evaluate(outcomes, "AB", seed=1)
    assert evaluate(outcomes, "AB", seed=1).macro_f1 != evaluate(outcomes, "AB", seed=2).macro_f1


@pytest.mark.parametrize(
    ("n_hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_is_that_of_newcombe_1998_table_1(n_hits: int, n: int, low: float, high: float) -> None:
    estimate = proportion(n_hits, n)
    assert (round(estimate.low, 4), round(estimate.high, 4)) == (low, high)


@given(n=st.integers(1, 500), data=st.data())
def test_wilson_interval_is_that_of_the_formula(n: int, data: st.DataObject) -> None:
    n_hits, z = data.draw(st.integers(0, n)), 1.959963984540054
    share = n_hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    estimate = proportion(n_hits, n)
    assert estimate.low == pytest.approx(centre - half, abs=1e-9)
    assert estimate.high == pytest.approx(centre + half, abs=1e-9)


def test_macro_f1_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    cells = [("A", "A"), ("A", "B"), ("B", "A"), ("B", "B")]
    shares = [0.60, 0.10, 0.05, 0.25]
    truth = (2 * 0.60 / (0.70 + 0.65) + 2 * 0.25 / (0.30 + 0.35)) / 2
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        counts = draw.multinomial(60, shares)
        pairs = [pair for pair, count in zip(cells, counts, strict=True) for _ in range(count)]
        estimate = evaluate(outcomes_of(pairs), "AB").macro_f1
        assert estimate is not None
        held += estimate.low <= truth <= estimate.high
    assert 0.90 <= held / 200 <= 0.99


# Calibration


def test_calibration_error_of_one_probability_is_its_distance_from_the_share_of_hits() -> None:
    outcomes = outcomes_of([("A", "A")] * 60 + [("A", "B")] * 40, probability=0.9)
    assert evaluate(outcomes, "AB").calibration_error == pytest.approx(0.3)


def test_calibration_error_averages_over_bins() -> None:
    sure = outcomes_of([("A", "A")] * 70 + [("A", "B")] * 30, probability=0.9)
    unsure = outcomes_of([("A", "A")] * 60 + [("A", "B")] * 40, probability=0.5)
    assert evaluate(sure + unsure, "AB").calibration_error == pytest.approx((0.2 + 0.1) / 2)


def test_calibrated_probabilities_have_hardly_an_error() -> None:
    draw = np.random.default_rng(0)
    probability = draw.uniform(0.5, 1, 3000)
    hit = draw.random(3000) < probability
    outcomes = [Outcome("A", "A" if h else "B", p, 10, True) for h, p in zip(hit, probability, strict=True)]
    error = evaluate(outcomes, "AB").calibration_error
    assert error is not None
    assert error < 0.02


def test_few_outcomes_tell_nothing_about_calibration() -> None:
    assert evaluate(outcomes_of([("A", "A")] * (CALIBRATION_OUTCOMES - 1)), "A").calibration_error is None


@pytest.mark.parametrize("probability", [math.nan, -0.1, 1.1])
def test_probability_out_of_range_is_refused(probability: float) -> None:
    with pytest.raises(InvalidRequest, match="between 0 and 1"):
        Outcome("A", "A", probability, 10, is_audit=True)


def test_rounding_above_1_is_no_error() -> None:
    assert Outcome("A", "A", 1.0000001, 10, is_audit=True).is_correct


def test_version_of_fewer_labels_than_none_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="0 labels or more, not -1"):
        Outcome("A", "A", 0.5, -1, is_audit=True)


# Audit


def test_audit_takes_random_tasks_of_versions_with_half_of_todays_labels() -> None:
    kept, young, chosen = (
        Outcome("A", "A", 0.9, n_labels, is_audit) for n_labels, is_audit in [(50, True), (49, True), (100, False)]
    )
    assert audit_outcomes([kept, young, chosen], n_labels_now=100) == [kept]


def run_loop(seed: int, n_tasks: int = 400, n_turns: int = 20) -> tuple[list[Outcome], dict[int, float]]:
    """Label a synthetic pool: each turn 2 tasks at random, then the 8 most uncertain.

    The model gets a task right where its skill, which grows with labels, beats the task's difficulty. Returns the
    outcomes, and each version's true accuracy on the tasks that were unlabelled when it was current.
    """
    draw = np.random.default_rng(seed)
    difficulty = draw.random(n_tasks)
    unlabelled = np.ones(n_tasks, dtype=bool)
    outcomes, truth = [], {}
    for n_labels in range(10, 10 * (n_turns + 1), 10):
        skill = 0.95 - 1.5 * n_labels**-0.5
        is_right = difficulty + draw.normal(0, 0.1, n_tasks) < skill
        truth[n_labels] = float(is_right[unlabelled].mean())
        by_chance = draw.choice(np.flatnonzero(unlabelled), 2, replace=False)
        unlabelled[by_chance] = False
        uncertainty = np.where(unlabelled, -np.abs(difficulty - skill), -np.inf)
        chosen = np.argsort(uncertainty)[-8:]
        unlabelled[chosen] = False
        for tasks, is_audit in ((by_chance, True), (chosen, False)):
            outcomes += [Outcome("A", "A" if is_right[task] else "B", 0.8, n_labels, is_audit) for task in tasks]
    return outcomes, truth


def test_audit_is_unbiased_where_the_strategys_own_tasks_are_not() -> None:
    audit_errors, chosen_errors = [], []
    for seed in range(400):
        outcomes, truth = run_loop(seed)
        recent = {n_labels: accuracy for n_labels, accuracy in truth.items() if n_labels >= 100}
        expected = np.mean(list(recent.values()))
        audit = evaluate(audit_outcomes(outcomes, n_labels_now=200), "AB").accuracy
        assert audit is not None
        audit_errors.append(audit.value - expected)
        chosen = [outcome.is_correct for outcome in outcomes if not outcome.is_audit and outcome.n_labels in recent]
        chosen_errors.append(np.mean(chosen) - expected)
    monte_carlo_error = np.std(audit_errors) / math.sqrt(len(audit_errors))
    assert monte_carlo_error < 0.006
    assert abs(np.mean(audit_errors)) < 3 * monte_carlo_error
    assert np.mean(chosen_errors) < -0.1


# Cross-validation


@dataclass(frozen=True)
class Nearest:
    """Predicts the label of the nearest mean: a classifier small enough to check by eye."""

    classes: Array
    means: Array

    def predict_proba(self, X: Matrix) -> Array:
        distance = np.linalg.norm(np.asarray(X)[:, None, :] - self.means[None], axis=2)
        return np.asarray(np.exp(-distance) / np.exp(-distance).sum(axis=1, keepdims=True))

    def believe(self, X: Matrix) -> Beliefs:
        return one_decision(self.predict_proba(X), self.classes)


def fit_nearest(X: Matrix, y: Array) -> Nearest:
    classes = np.unique(y)
    return Nearest(classes, np.array([np.asarray(X)[y == label].mean(axis=0) for label in classes]))


def blobs(numbers: dict[str, int], seed: int = 0) -> tuple[Array, Array]:
    """Points around a centre for each label, and their labels."""
    draw = np.random.default_rng(seed)
    centres = np.eye(len(numbers)) * 10
    X = np.concatenate(
        [draw.normal(centre, 1, (n, len(numbers))) for centre, n in zip(centres, numbers.values(), strict=True)]
    )
    return X, np.repeat(list(numbers), list(numbers.values()))


def test_every_example_is_held_out_once() -> None:
    X, y = blobs({"A": 11, "B": 7, "C": 3})
    evaluation = cross_validate(fit_nearest, labelled(X, y), seed=0)
    assert evaluation.accuracy is not None
    assert (evaluation.n, evaluation.accuracy.value) == (21, 1)
    assert [quality.n_true for quality in evaluation.labels] == [11, 7, 3]


@given(numbers=st.lists(st.integers(1, 12), min_size=1, max_size=5), n_folds=st.integers(2, 7), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=60)
def test_labels_are_spread_evenly_over_folds(numbers: list[int], n_folds: int, seed: int) -> None:
    X, y = blobs(dict(zip("ABCDE", numbers, strict=False)))
    trained: list[Counter[str]] = []

    def fit(X: Matrix, y: Array) -> Nearest:
        trained.append(Counter(y.tolist()))
        return fit_nearest(X, y)

    evaluation = cross_validate(fit, labelled(X, y), seed, n_folds)
    assert evaluation.n == (len(y) if len(y) > 1 else 0)
    for counts in trained:
        held_out = [total - counts[label] for label, total in Counter(y.tolist()).items()]
        for label_held_out, total in zip(held_out, Counter(y.tolist()).values(), strict=True):
            assert abs(label_held_out - total / min(n_folds, len(y))) < 1
        assert abs(sum(held_out) - len(y) / min(n_folds, len(y))) < 1


def test_label_with_one_example_is_missed_not_an_error() -> None:
    X, y = blobs({"A": 10, "B": 10, "Rare": 1})
    *_, rare = cross_validate(fit_nearest, labelled(X, y), seed=0).labels
    assert (rare.n_true, rare.recall) == (1, 0)


def test_fold_that_trains_on_one_label_predicts_it() -> None:
    X, y = blobs({"A": 6, "B": 1})
    evaluation = cross_validate(fit_classifier, labelled(sp.csr_matrix(X), y), seed=0)
    assert evaluation.n == 7
    assert Confusion("B", "A", 1) in evaluation.confusions


def test_sparse_dense_and_views_give_the_same() -> None:
    X, y = blobs({"A": 12, "B": 9, "C": 5})
    X = X + np.random.default_rng(1).normal(0, 6, X.shape)
    sparse = sp.csr_matrix(X)

    def fit(X: Matrix, y: Array) -> Nearest:
        return Dense(*vars(fit_nearest(dense(X), y)).values())

    class Dense(Nearest):
        def predict_proba(self, X: Matrix) -> Array:
            return super().predict_proba(dense(X))

    def dense(X: Matrix) -> Array:
        return np.hstack([dense(view) for view in X.views]) if isinstance(X, Rows) else sp.csr_matrix(X).toarray()

    expected = cross_validate(fit, labelled(X, y), seed=3)
    assert expected.confusions
    assert cross_validate(fit, labelled(sparse, y), seed=3) == expected
    assert cross_validate(fit, labelled(Rows((sparse[:, :1], X[:, 1:])), y), seed=3) == expected


def test_folds_in_threads_give_the_same() -> None:
    X, y = blobs({"A": 12, "B": 9})
    expected = cross_validate(fit_nearest, labelled(X, y), seed=3)
    with joblib.parallel_config("threading", n_jobs=2):
        assert cross_validate(fit_nearest, labelled(X, y), seed=3) == expected


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_to_hold_out_gives_no_figures(n: int) -> None:
    evaluation = cross_validate(fit_nearest, labelled(np.ones((n, 2)), np.array(["A"] * n, dtype=str)), seed=0)
    assert (evaluation.n, evaluation.accuracy) == (0, None)


def test_missing_labels_and_single_folds_are_refused() -> None:
    X, y = blobs({"A": 6, "B": 6})
    with pytest.raises(InvalidRequest, match="one label and one key, have 11 labels and 11 keys for 12 tasks"):
        cross_validate(fit_nearest, labelled(X, y[1:]), seed=0)
    with pytest.raises(InvalidRequest, match="at least 2 folds, not 1"):
        cross_validate(fit_nearest, labelled(X, y), seed=0, n_folds=1)


# -- suspects and the random baseline ---------------------------------------


def two_groups(n: int, seed: int = 0) -> tuple[Array, Array]:
    """n examples of two labels that a line divides."""
    random = np.random.default_rng(seed)
    y = np.array(["A", "B"])[np.arange(n) % 2]
    return random.normal(size=(n, 2)) + np.where(y == "A", 4.0, -4.0)[:, None], y


def test_slips_are_found_and_nothing_else() -> None:
    X, y = two_groups(100)
    assert hold_out(fit_classifier, labelled(X, y), seed=0).suspects(10) == []
    y[[6, 51]] = ["B", "A"]
    found = hold_out(fit_classifier, labelled(X, y), seed=0).suspects(10)
    assert {one.example for one in found} == {6, 51}
    assert all(one.predicted != one.label and one.probability > one.label_probability for one in found)
    assert len(hold_out(fit_classifier, labelled(X, y), seed=0).suspects(1)) == 1


def test_few_labels_suspect_nobody() -> None:
    X, y = two_groups(30)
    y[6] = "B"
    assert hold_out(fit_classifier, labelled(X, y), seed=0).suspects(10) == []


def test_random_baseline_grows_to_the_truth_of_its_labels() -> None:
    X, y = two_groups(100)
    points = random_baseline(fit_classifier, labelled(X, y), seed=0)
    assert [point.n_labels for point in points] == [10, 20, 40, 80]
    assert all(point.accuracy.value > 0.95 and point.n == 100 for point in points)
    assert random_baseline(fit_classifier, labelled(X, y), seed=0) == points
    assert random_baseline(fit_classifier, labelled(*two_groups(20)), seed=0) == ()
    assert random_baseline(fit_classifier, labelled(X, np.array(["A"] * 100)), seed=0) == ()
