"""Automatic labels: what may be promised of them, and whether checks contradict it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from label_studio_al.learning.guarantee import (
    Goal,
    Guarantee,
    curve,
    guarantee,
    n_audits_needed,
    watch,
)
from label_studio_al.learning.predictions import Predictions
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest


def promise(
    confidence: Array, is_wrong: Array, is_audited: Array, goal: Goal, labels: Array | None = None
) -> Guarantee:
    """What is promised of the tasks that were not audited. All shapes (n_tasks,)."""
    names = np.full(len(confidence), "spam") if labels is None else labels
    everything = Predictions(names, confidence)
    return guarantee(everything.of(is_audited), ~is_wrong[is_audited], everything.of(~is_audited), goal)


def drawn(n: int, n_tasks: int, seed: int) -> Array:
    """Which tasks are audited: n of them, at random."""
    is_audited = np.zeros(n_tasks, dtype=bool)
    is_audited[np.random.default_rng(seed).choice(n_tasks, n, replace=False)] = True
    return is_audited


def is_broken(found: Guarantee, is_wrong: Array, is_audited: Array) -> bool:
    n_wrong = int(is_wrong[~is_audited][found.is_selected].sum())
    return n_wrong > found.goal.max_error * found.n_selected + 1e-9


def model(n_tasks: int, seed: int, error: float) -> tuple[Array, Array]:
    """A model that is wrong so often in all, and less often where it is sure: confidence and whether it is wrong."""
    random = np.random.default_rng(seed)
    confidence = random.beta(6, 1, n_tasks)
    doubt = 1 - confidence
    return confidence, random.random(n_tasks) < np.minimum(1, error * doubt / doubt.mean())


# -- the proof ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_error", [0.25, 0.4])
def test_over_all_audits_that_can_be_drawn_few_promises_are_broken(max_error: float) -> None:
    # Every audit of 5 out of 10 tasks, for models of all kinds: no sampling noise, the bound must hold exactly.
    goal = Goal(max_error, delta=0.4)
    random = np.random.default_rng(0)
    audits = [np.isin(np.arange(10), audited) for audited in combinations(range(10), 5)]
    n_promised, worst = 0, 0.0
    for n_wrong in range(1, 6):
        confidence = np.sort(random.random(10))
        # Wrong where it is the least sure, and anywhere.
        for is_wrong in (np.arange(10) < n_wrong, random.permutation(10) < n_wrong):
            found = [promise(confidence, is_wrong, is_audited, goal) for is_audited in audits]
            n_promised += sum(one.n_selected > 0 for one in found)
            broken = [is_broken(one, is_wrong, is_audited) for one, is_audited in zip(found, audits, strict=True)]
            worst = max(worst, float(np.mean(broken)))
    assert worst <= goal.level
    assert n_promised > 50


@pytest.mark.parametrize("per_label", [False, True])
@pytest.mark.parametrize(("max_error", "error"), [(0.05, 0.055), (0.1, 0.105), (0.1, 0.2)])
def test_promise_is_seldom_broken_by_a_model_that_is_slightly_too_bad(
    max_error: float, error: float, per_label: bool
) -> None:
    n_runs, n_tasks = 100, 1_000
    labels = np.where(np.arange(n_tasks) % 3 == 0, "ham", "spam")
    goal = Goal(max_error, delta=0.2, per_label=per_label)
    n_broken = n_careless = 0
    for seed in range(n_runs):
        confidence, is_wrong = model(n_tasks, seed, error)
        is_audited = drawn(150, n_tasks, seed)
        n_broken += is_broken(promise(confidence, is_wrong, is_audited, goal, labels), is_wrong, is_audited)
        # Who takes the audit's share of errors for the truth breaks it far more often: the test can fail.
        seems_good = is_wrong[is_audited].mean() <= max_error
        n_careless += bool(seems_good and is_wrong[~is_audited].mean() > max_error)
    assert n_broken <= binom.ppf(0.999, n_runs, goal.level)
    if error < 1.2 * max_error:
        assert n_careless > binom.ppf(0.999, n_runs, goal.level)


def test_good_model_is_let_through_as_far_as_the_bound_allows() -> None:
    confidence, is_wrong = model(5_000, 1, 0.015)
    confidence **= 0.1
    is_audited = drawn(300, 5_000, 1)
    found = promise(confidence, is_wrong, is_audited, Goal())
    assert found.share > 0.9
    assert found.most_wrong == int(0.02 * found.n_selected)
    assert is_wrong[~is_audited][found.is_selected].sum() <= found.most_wrong
    assert found.groups[0].n_checked <= found.groups[0].n_audited == 300
    selected = confidence[~is_audited][found.is_selected]
    assert selected.min() >= found.groups[0].threshold > confidence[~is_audited][~found.is_selected].max()


# -- invariance -----------------------------------------------------------------------------------------------


def test_order_of_tasks_does_not_count() -> None:
    confidence, is_wrong = model(2_000, 2, 0.03)
    is_audited = drawn(250, 2_000, 2)
    order = np.random.default_rng(3).permutation(2_000)
    found = promise(confidence, is_wrong, is_audited, Goal(0.05))
    again = promise(confidence[order], is_wrong[order], is_audited[order], Goal(0.05))
    assert found.groups == again.groups
    assert found.n_selected > 0


def test_only_the_order_of_confidences_counts_where_the_start_is_the_same() -> None:
    confidence, is_wrong = model(2_000, 2, 0.01)
    is_audited = drawn(250, 2_000, 2)
    found = promise(confidence, is_wrong, is_audited, Goal(0.05))
    again = promise(confidence**1.001, is_wrong, is_audited, Goal(0.05))
    assert (found.is_selected == again.is_selected).all()


def test_another_wrong_audit_never_lets_more_tasks_through() -> None:
    for seed in range(20):
        confidence, is_wrong = model(1_500, seed, 0.02)
        is_audited = drawn(200, 1_500, seed)
        before = promise(confidence, is_wrong, is_audited, Goal(0.05)).n_selected
        more = is_wrong.copy()
        more[np.flatnonzero(is_audited & ~is_wrong)[: 1 + seed]] = True
        assert promise(confidence, more, is_audited, Goal(0.05)).n_selected <= before


def test_stricter_promises_let_no_more_through() -> None:
    confidence, is_wrong = model(3_000, 4, 0.01)
    is_audited = drawn(400, 3_000, 4)
    everything = Predictions(np.full(3_000, "spam"), confidence)
    audit, pool = everything.of(is_audited), everything.of(~is_audited)
    points = curve(audit, ~is_wrong[is_audited], pool, Goal(), [0.005, 0.02, 0.05, 0.1])
    assert [rate for rate, _ in points] == [0.005, 0.02, 0.05, 0.1]
    shares = [share for _, share in points]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] > 0.9
    by_delta = [promise(confidence, is_wrong, is_audited, Goal(delta=delta)).n_selected for delta in (1e-6, 0.05, 0.5)]
    assert by_delta == sorted(by_delta)


def test_equal_confidences_go_together() -> None:
    confidence = np.full(1_000, 0.9)
    is_audited = drawn(300, 1_000, 0)
    found = promise(confidence, np.zeros(1_000, dtype=bool), is_audited, Goal())
    assert found.n_selected == 700


# -- looks and shortage ---------------------------------------------------------------------------------------


def test_chances_of_all_looks_sum_to_delta() -> None:
    levels = [Goal(delta=0.1, look=look).level for look in range(1, 60)]
    assert sum(levels) == pytest.approx(0.1)
    assert levels[:2] == [pytest.approx(0.07), pytest.approx(0.021)]


def test_later_looks_need_more_audit_labels() -> None:
    confidence, is_wrong = np.linspace(0.5, 1, 5_000), np.zeros(5_000, dtype=bool)

    def least(look: int) -> int:
        goal = Goal(look=look)
        return next(n for n in range(100, 600, 4) if promise(confidence, is_wrong, drawn(n, 5_000, n), goal).n_selected)

    assert 160 <= least(1) < least(2) < least(3) <= 420


def test_too_few_audits_are_no_look() -> None:
    confidence, is_wrong = model(3_000, 0, 0.001)
    assert not promise(confidence, is_wrong, drawn(40, 3_000, 0), Goal()).is_look
    assert promise(confidence, is_wrong, drawn(300, 3_000, 0), Goal()).is_look


@pytest.mark.parametrize("max_error", [0.01, 0.02, 0.05, 0.1])
def test_needed_audits_bear_one_error_by_clopper_and_pearson(max_error: float) -> None:
    goal = Goal(max_error)
    n_checked = int(0.8 * n_audits_needed(goal))
    interval = binomtest(1, n_checked, alternative="less").proportion_ci(1 - goal.level, "exact")
    assert 0.92 * max_error < interval.high < 1.01 * max_error


def test_docs_say_how_many_audits_are_needed() -> None:
    lines = (Path(__file__).parents[2] / "docs" / "autolabel.md").read_text(encoding="utf-8").splitlines()
    rows = [
        [int(cell.strip(" %")) for cell in line.split("|")[1:-1]] for line in lines if line[:3].strip("| ").isdigit()
    ]
    assert [percent for percent, _, _ in rows] == [1, 2, 5, 10]
    for percent, *numbers in rows:
        for n_wrong, n_checked in enumerate(numbers):
            odds = binom.cdf(n_wrong, [n_checked - 1, n_checked], percent / 100)
            assert odds[1] <= Goal(percent / 100).level < odds[0]


def test_shortage_is_about_what_is_needed() -> None:
    n_enough, n_runs = 0, 40
    for seed in range(n_runs):
        confidence, is_wrong = model(4_000, seed, 0.004)
        first = drawn(100, 4_000, seed)
        shortage = promise(confidence, is_wrong, first, Goal()).groups[0].shortage
        assert shortage is not None
        more = np.random.default_rng((seed, 1)).choice(np.flatnonzero(~first), shortage.n_more, replace=False)
        is_audited = first.copy()
        is_audited[more] = True
        n_enough += promise(confidence, is_wrong, is_audited, Goal()).n_selected > 0
    assert 0.4 * n_runs <= n_enough <= 0.95 * n_runs


# -- per label ------------------------------------------------------------------------------------------------


def test_each_label_gets_its_own_threshold_and_bad_ones_stay_with_people() -> None:
    n_tasks = 4_000
    labels = np.where(np.arange(n_tasks) % 2 == 0, "good", "bad")
    confidence = np.random.default_rng(5).uniform(0.8, 1, n_tasks)
    is_wrong = (labels == "bad") & (np.random.default_rng(6).random(n_tasks) < 0.3)
    is_audited = drawn(400, n_tasks, 5)
    found = promise(confidence, is_wrong, is_audited, Goal(0.05, per_label=True), labels)
    bad, good = found.groups
    assert (bad.label, good.label) == ("bad", "good")
    assert bad.n_selected == 0
    assert bad.threshold is None
    assert good.n_selected > 0.9 * good.n_pool
    assert (labels[~is_audited][found.is_selected] == "good").all()


def test_labels_share_delta() -> None:
    # 80 audits without an error suffice for one label at 5 %, not for one of twenty that share delta.
    n_tasks = 4_000
    confidence, is_wrong = np.linspace(0.9, 1, n_tasks), np.zeros(n_tasks, dtype=bool)
    is_audited = drawn(80, n_tasks, 0)
    labels = np.array(["often"] * n_tasks, dtype=object)
    assert promise(confidence, is_wrong, is_audited, Goal(0.05, per_label=True), labels).n_selected > 0
    labels[np.flatnonzero(~is_audited)[:19]] = [f"rare {n}" for n in range(19)]
    assert promise(confidence, is_wrong, is_audited, Goal(0.05, per_label=True), labels).n_selected == 0


# -- bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"max_error": 0}, "between 0 and 1, not be 0 \\(only people reach 0\\)"),
        ({"max_error": 1}, "not be 1 \\(an error rate of 1 promises nothing\\)"),
        ({"max_error": float("nan")}, "between 0 and 1, not be nan"),
        ({"delta": 0}, "delta, the probability of a broken promise, must lie between 0 and 1, not be 0"),
        ({"delta": 1.5}, "not be 1.5"),
        ({"look": 0}, "the first look has the number 1, not 0"),
    ],
)
def test_impossible_goal_is_refused(change: dict[str, float], sentence: str) -> None:
    with pytest.raises(InvalidRequest, match=sentence):
        Goal(**change)  # type: ignore[arg-type]


def test_torn_predictions_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="need a label and a confidence of each task"):
        Predictions(np.array(["a"]), np.array([0.5, 0.6]))
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidRequest, match="a confidence lies between 0 and 1"):
            Predictions(np.array(["a"]), np.array([wrong]))
    one = Predictions(np.array(["a"]), np.array([0.5]))
    with pytest.raises(InvalidRequest, match="need to know of each audited task whether it is right, have 2"):
        guarantee(one, np.array([True, False]), one, Goal())


def test_every_hopeless_case_has_a_sentence() -> None:
    n_tasks, nothing = 1_000, np.zeros(1_000, dtype=bool)
    confidence = np.linspace(0.5, 1, n_tasks)
    cases = {
        "no audit label that it was not trained on": (nothing, nothing),
        "there is no task left to label": (nothing, ~nothing),
        "the model is wrong too often, also where it is sure": (~nothing, drawn(300, n_tasks, 0)),
        "not possible with 40 audit labels: about": (nothing, drawn(40, n_tasks, 0)),
    }
    for sentence, (is_wrong, is_audited) in cases.items():
        found = promise(confidence, is_wrong, is_audited, Goal())
        assert sentence in found.sentence()
        assert found.n_selected == found.most_wrong == 0
        assert found.share == 0
    few = promise(confidence[:50], nothing[:50], drawn(10, 50, 0), Goal())
    assert (
        few.sentence() == "not possible with 10 audit labels, none of them wrong: 40 tasks are too few to prove 2.00%"
    )
    found = promise(confidence, nothing, drawn(300, n_tasks, 0), Goal())
    assert found.sentence() == ("of 700 automatic labels at most 14 are wrong (2.00%), with a probability of 95.00%")
    assert promise(np.zeros(0), nothing[:0], nothing[:0], Goal(per_label=True)).groups == ()


# -- the watch ------------------------------------------------------------------------------------------------


def test_evidence_is_1_on_average_where_the_promise_holds_exactly() -> None:
    # 3 of 10 wrong, as promised at most: over all orders of 6 checks the mean of an e-value is 1.
    values = []
    for wrong in combinations(range(10), 3):
        checks = [place in wrong for place in range(6)]
        values.append(watch(checks, 10, 0.3, 0.01).evidence)
    assert np.mean(values) == pytest.approx(1)


def test_false_alarms_are_rare_however_often_one_looks() -> None:
    n_runs, n_tasks = 400, 1_000
    is_wrong = np.arange(n_tasks) < 20
    n_alarms = 0
    for seed in range(n_runs):
        checks = np.random.default_rng(seed).permutation(is_wrong)[:300]
        n_alarms += watch(checks.tolist(), n_tasks, 0.02, 0.1).is_alarm
    assert 0 < n_alarms <= binom.ppf(0.999, n_runs, 0.1)


def test_broken_promise_is_found() -> None:
    is_wrong = np.arange(1_000) < 200
    found = [
        watch(np.random.default_rng(seed).permutation(is_wrong)[:100].tolist(), 1_000, 0.02, 0.01).is_alarm
        for seed in range(50)
    ]
    assert np.mean(found) > 0.9


def test_alarm_stays() -> None:
    assert watch([True] * 4, 1_000, 0.02, 0.01).is_alarm
    later = watch([True] * 4 + [False] * 400, 1_000, 0.02, 0.01)
    assert later.is_alarm
    assert later.evidence < 100


def test_more_wrong_than_promised_is_certain() -> None:
    found = watch([True, True], 60, 0.02, 0.01)
    assert found.is_alarm
    assert found.evidence == float("inf")


def test_without_checks_there_is_no_evidence() -> None:
    assert watch([], 100, 0.02, 0.01).evidence == 1
    assert not watch([], 0, 0.02, 0.01).is_alarm


def test_watch_refuses_what_cannot_be() -> None:
    with pytest.raises(InvalidRequest, match="no more than the 2 automatic labels can be checked, not 3"):
        watch([False] * 3, 2, 0.5, 0.01)
    with pytest.raises(InvalidRequest, match="false alarms must lie between 0 and 1, not be 0"):
        watch([], 2, 0.5, 0)
    with pytest.raises(InvalidRequest, match="error rate must lie"):
        watch([], 2, 0, 0.1)
