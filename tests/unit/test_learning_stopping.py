"""Agreement against scikit-learn; advice by its cases; the forecast against curves that are known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from label_studio_al.learning.evaluation import Outcome, proportion
from label_studio_al.learning.stopping import (
    FORECAST_OUTCOMES,
    STOP_AUDITS,
    agreement,
    learning_curve,
    next_labels,
    when_to_stop,
)
from label_studio_al.runtime.errors import InvalidRequest

ENOUGH = {"Spam": 40, "Ham": 60}
FOUND = {"Spam": 0.6, "Ham": 0.9}

# Agreement


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from("ABC")), min_size=1, max_size=50))
def test_agreement_is_cohens_kappa(pairs: list[tuple[str, str]]) -> None:
    before, now = (np.array(column) for column in zip(*pairs, strict=True))
    kappa = agreement(before, now)
    assert -1 <= kappa <= 1
    assert kappa == pytest.approx(agreement(now, before))
    if len({*before, *now}) > 1:
        assert kappa == pytest.approx(cohen_kappa_score(before, now))
    else:
        assert kappa == 0


def test_two_constants_agree_by_chance_alone() -> None:
    assert agreement(np.array(["A", "A"]), np.array(["A", "A"])) == 0
    assert agreement(np.array(["A", "A"]), np.array(["B", "B"])) == 0


def test_agreement_by_hand() -> None:
    # 35 of 50 tasks agree; by chance .5 * .6 + .5 * .4 = .5 would.
    before = np.repeat(["A", "A", "B", "B"], [20, 5, 10, 15])
    now = np.repeat(["A", "B", "A", "B"], [20, 5, 10, 15])
    assert agreement(before, now) == pytest.approx((0.7 - 0.5) / (1 - 0.5))


def test_predictions_of_other_tasks_cannot_be_compared() -> None:
    with pytest.raises(InvalidRequest, match="same tasks"):
        agreement(np.array(["A"]), np.array(["A", "B"]))
    with pytest.raises(InvalidRequest, match="at least 1 task"):
        agreement(np.array([], dtype=str), np.array([], dtype=str))


# Advice


def test_three_agreements_in_a_row_stop() -> None:
    advice = when_to_stop([0.5, 0.99, 0.995, 1.0], ENOUGH, FOUND, STOP_AUDITS)
    assert advice.stop is True
    assert advice.reason == "Stop: the last versions predict the same for nearly every task (kappa 0.99, 0.99, 1.00)."


@pytest.mark.parametrize("kappas", [[0.99, 0.99, 0.98], [0.989, 1.0, 1.0], [1.0, 1.0, 1.0, 0.5]])
def test_one_disagreement_among_three_keeps_labelling(kappas: list[float]) -> None:
    assert when_to_stop(kappas, ENOUGH, FOUND, STOP_AUDITS).stop is False


def test_reason_gives_the_figures_and_the_rule() -> None:
    assert when_to_stop([0.94, 0.95, 0.9899], ENOUGH, FOUND, STOP_AUDITS).reason == (
        "Keep labelling: the last versions still differ (kappa 0.94, 0.95, 0.98, 1 = no difference); "
        "stopping is advised at 0.99 or more in 3 comparisons in a row."
    )


@pytest.mark.parametrize("kappas", [[], [1.0], [1.0, 1.0]])
def test_fewer_than_three_comparisons_cannot_tell(kappas: list[float]) -> None:
    advice = when_to_stop(kappas, ENOUGH, FOUND, STOP_AUDITS)
    assert advice.stop is None
    assert advice.reason.startswith(f"Cannot tell yet: {len(kappas)} of 3 comparisons")


def test_label_without_an_example_keeps_labelling() -> None:
    advice = when_to_stop([1.0, 1.0, 1.0], {**ENOUGH, "Scam": 0}, FOUND, STOP_AUDITS)
    assert advice.stop is False
    assert "no example yet of 'Scam'" in advice.reason


@pytest.mark.parametrize("n_ham", [19, 1_000])
def test_label_with_few_examples_keeps_labelling(n_ham: int) -> None:
    advice = when_to_stop([1.0, 1.0, 1.0], {"ham": n_ham, "spam": 9}, {"ham": 1.0, "spam": 1.0}, STOP_AUDITS)
    assert advice.stop is False
    assert "each label needs 10 labelled tasks; there are fewer of 'spam' (9)" in advice.reason


@pytest.mark.parametrize(("recall", "shown"), [(0.0, "0 %"), (None, "0 %"), (0.249, "24 %")])
def test_label_that_is_hardly_ever_found_keeps_labelling(recall: float | None, shown: str) -> None:
    counts, found = {"toxic": 60, "threat": 12}, {"toxic": 0.9, "threat": recall}
    advice = when_to_stop([1.0, 1.0, 1.0], counts, found, STOP_AUDITS)
    assert advice.stop is False
    assert f"they find fewer of 'threat' ({shown})" in advice.reason
    assert "'toxic'" not in advice.reason


def test_without_audits_agreement_is_no_stop() -> None:
    advice = when_to_stop([1.0, 1.0, 1.0], ENOUGH, FOUND, STOP_AUDITS - 1)
    assert advice.stop is None
    assert "only 19 of 20 tasks asked at random are labelled" in advice.reason
    assert when_to_stop([1.0, 1.0, 1.0], ENOUGH, FOUND, STOP_AUDITS).stop is True


def test_what_is_not_known_speaks_against_stopping() -> None:
    assert when_to_stop([1.0, 1.0, 1.0], ENOUGH).stop is False


def test_only_some_of_many_labels_are_named() -> None:
    reason = when_to_stop([], dict.fromkeys("ABCDE", 1)).reason
    assert reason.endswith("there are fewer of 'A' (1), 'B' (1), 'C' (1) and more.")


# Curve and forecast

Curve = Callable[[int], float]


def figueroa(n: int) -> float:
    return 0.87 - 1.2 / math.sqrt(n)


def slow(n: int) -> float:
    return 0.95 - 0.9 * math.exp(-0.2 * math.log(n))


def flat(n: int) -> float:
    return 0.9


def audits(hits: Sequence[bool], n_labels: Sequence[int], is_audit: bool = True) -> list[Outcome]:
    return [Outcome("A", "A" if hit else "B", 0.8, n, is_audit) for hit, n in zip(hits, n_labels, strict=True)]


def drawn(curve: Curve, n_labels: Sequence[int], seed: int) -> list[Outcome]:
    """One audit outcome for each number of labels, right as often as the curve says."""
    chance = np.random.default_rng(seed).random(len(n_labels))
    return audits([bool(c < curve(n)) for c, n in zip(chance, n_labels, strict=True)], n_labels)


def test_curve_has_a_point_for_each_doubling() -> None:
    points = learning_curve(audits([True, False, True, True, True], [20, 30, 40, 60, 62]))
    assert [(point.n_labels, point.n) for point in points] == [(25.0, 2), (54.0, 3)]
    assert [point.accuracy for point in points] == [proportion(1, 2), proportion(3, 3)]


def test_curve_leaves_out_what_the_strategy_asked() -> None:
    assert learning_curve(audits([True], [20], is_audit=False)) == ()
    assert learning_curve([]) == ()


@pytest.mark.parametrize("curve", [figueroa, slow, flat])
@pytest.mark.parametrize("n_labels_now", [200, 500])
def test_forecast_holds_the_truth_at_least_as_often_as_it_says(curve: Curve, n_labels_now: int) -> None:
    truth = curve(n_labels_now + 100) - curve(n_labels_now)
    told = held = 0
    for seed in range(20):
        gain = next_labels(drawn(curve, range(20, n_labels_now, 5), seed), n_labels_now).gain
        if gain is not None:
            told += 1
            held += gain.low <= truth <= gain.high
    assert told >= 5
    assert held >= 0.9 * told


def test_forecast_is_repeatable_and_blind_to_order_and_names() -> None:
    outcomes = drawn(figueroa, range(20, 500, 5), seed=0)
    renamed = [Outcome("X", "X" if o.is_correct else "Y", 0.1, o.n_labels, True) for o in reversed(outcomes)]
    assert next_labels(outcomes, 500) == next_labels(renamed, 500)


def test_forecast_reads_as_a_sentence() -> None:
    forecast = next_labels(drawn(figueroa, range(20, 500, 2), seed=0), 500)
    assert forecast.gain is not None
    assert forecast.reason == (
        f"100 more labels would bring about {100 * forecast.gain.value:.1f} points of accuracy "
        f"({100 * forecast.gain.low:.1f} to {100 * forecast.gain.high:.1f})."
    )


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ([], ": 0 tasks asked at random are too few"),
        (audits([True] * (FORECAST_OUTCOMES - 1), range(20, 49)), ": 29 tasks asked at random are too few"),
        (audits([True] * 50, [100] * 50), "too few versions"),
        (audits([True] * 40 + [False] * 40, range(20, 100)), "has fallen with more labels"),
        (audits([False] * 20 + [True, False] * 10, range(20, 60)), "points of accuracy are possible"),
        (audits([True] * 500, range(20, 520), is_audit=False), ": 0 tasks asked at random are too few"),
    ],
)
def test_forecast_says_why_it_cannot_tell(outcomes: list[Outcome], reason: str) -> None:
    forecast = next_labels(outcomes, n_labels_now=60)
    assert forecast.gain is None
    assert forecast.reason.startswith("Cannot tell yet what 100 more labels would bring: ")
    assert reason in forecast.reason


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 10_000)), max_size=80),
    st.integers(0, 20_000),
)
@settings(deadline=None, max_examples=40)
def test_forecast_of_any_outcomes_is_a_number_or_a_reason(pairs: list[tuple[bool, int]], n_labels_now: int) -> None:
    forecast = next_labels(audits([hit for hit, _ in pairs], [n for _, n in pairs]), n_labels_now)
    assert "NaN" not in json.dumps(asdict(forecast))
    assert forecast.reason
    if forecast.gain is not None:
        assert 0 <= forecast.gain.low <= forecast.gain.value <= forecast.gain.high <= 1


def test_forecast_bears_labels_that_were_deleted() -> None:
    gain = next_labels(drawn(flat, range(20, 500, 2), seed=0), n_labels_now=0).gain
    assert gain is None or gain.high <= 1


@pytest.mark.parametrize("hit", [True, False])
def test_always_right_and_always_wrong_models_are_forecast_to_gain_little(hit: bool) -> None:
    gain = next_labels(audits([hit] * 400, range(100, 500)), 500).gain
    assert gain is not None
    assert gain.low == 0
    assert gain.high < 0.05
