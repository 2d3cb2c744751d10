"""When to stop labelling, and what more labels would bring."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from label_studio_al.learning.evaluation import Estimate, Outcome, proportion
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest

# Chosen on replays (benchmarks.stopping): with a mean of 0.99 of the three, or 0.98 each, it stopped at 93 % of full
# macro-F1 where three of four labels were rare; found in cross-validation was 3 to 6 % of one of these.
STOP_KAPPA = 0.99
STOP_COMPARISONS = 3
STOP_EXAMPLES_PER_LABEL = 10
STOP_RECALL = 0.25
STOP_AUDITS = 20
LABELS_NAMED = 3

FORECAST_OUTCOMES = 30
# An interval of more points of accuracy than this tells an admin nothing.
FORECAST_WIDTH = 0.10
# Exponents c of the learning curve. Down to 0.1 only, as fitted to finished curves, intervals were far too narrow.
SPEEDS = (-0.5, 1.5)


def agreement(before: Array, now: Array) -> float:
    """Cohen's kappa of two versions' predicted labels: 1 = the same, 0 = no more than by chance.

    before, now: shape (n_tasks,), label names for the same tasks. Versions that both say one label of every task agree
    by chance alone: 0, where the formula has no value.
    """
    before, now = np.asarray(before), np.asarray(now)
    if before.shape != now.shape or before.ndim != 1:
        raise InvalidRequest(f"need two lists of labels of the same tasks, have shapes {before.shape} and {now.shape}")
    if not len(before):
        raise InvalidRequest("need at least 1 task to compare two versions, have none")
    names, places = np.unique(np.concatenate([before, now]), return_inverse=True)
    shares = [np.bincount(part, minlength=len(names)) / len(before) for part in np.split(places, 2)]
    observed, by_chance = float(np.mean(before == now)), float(shares[0] @ shares[1])
    return 0.0 if len(names) < 2 else (observed - by_chance) / (1.0 - by_chance)


@dataclass(frozen=True)
class Advice:
    """Whether to stop labelling: True, False, or None = cannot tell yet; and why, for the project's admin."""

    stop: bool | None
    reason: str


def when_to_stop(
    kappas: Sequence[float],
    n_examples: Mapping[str, int],
    recall: Mapping[str, float | None] = MappingProxyType({}),
    n_audits: int = 0,
) -> Advice:
    """Stop when successive versions agreed on the pool three times in a row, and every label is known and found.

    kappas: agreement of each version with the one before, newest last. n_examples: of every label of the project, how
    many tasks people gave it; recall: in cross-validation, None where it was not tested. n_audits: tasks that were
    asked at random, predicted and labelled. What is not known speaks against stopping. Versions also agree where none
    of them ever predicts a label: hence the conditions on each label.
    Source: Bloodgood and Vijay-Shanker 2009 (agreement).
    """
    if missing := [label for label, n in n_examples.items() if n == 0]:
        return Advice(
            False, f"Keep labelling: no example yet of {_names(missing)}; the model never predicts such a label."
        )
    if few := [f"{label!r} ({n})" for label, n in n_examples.items() if n < STOP_EXAMPLES_PER_LABEL]:
        reason = f"each label needs {STOP_EXAMPLES_PER_LABEL} labelled tasks; there are fewer of {_listed(few)}."
        return Advice(False, f"Keep labelling: {reason}")
    shares = {label: recall.get(label) or 0.0 for label in n_examples}
    # Rounded down: 0.249 must not read as 25 %.
    if unfound := [f"{label!r} ({math.floor(100 * n)} %)" for label, n in shares.items() if n < STOP_RECALL]:
        rule = f"models that had not seen them must find {100 * STOP_RECALL:.0f} % of each label's tasks"
        return Advice(False, f"Keep labelling: {rule} (cross-validation); they find fewer of {_listed(unfound)}.")
    return _by_agreement(kappas, n_audits)


def _by_agreement(kappas: Sequence[float], n_audits: int) -> Advice:
    rule = f"stopping is advised at {STOP_KAPPA} or more in {STOP_COMPARISONS} comparisons in a row."
    if len(kappas) < STOP_COMPARISONS:
        return Advice(
            None, f"Cannot tell yet: {len(kappas)} of {STOP_COMPARISONS} comparisons of versions are made; {rule}"
        )
    last = kappas[-STOP_COMPARISONS:]
    # Rounded down: 0.989 must not read as 0.99.
    shown = ", ".join(f"{math.floor(kappa * 100 + 1e-9) / 100:.2f}" for kappa in last)
    if any(kappa < STOP_KAPPA for kappa in last):
        reason = f"the last versions still differ (kappa {shown}, 1 = no difference); {rule}"
        return Advice(False, f"Keep labelling: {reason}")
    if n_audits < STOP_AUDITS:
        reason = (
            f"{n_audits} of {STOP_AUDITS} tasks asked at random are labelled (`audit_share` sets how many are asked)."
        )
        return Advice(None, f"Cannot tell yet: the last versions agree (kappa {shown}), but only {reason}")
    return Advice(True, f"Stop: the last versions predict the same for nearly every task (kappa {shown}).")


def _names(labels: Sequence[str]) -> str:
    return _listed([repr(label) for label in labels])


def _listed(items: Sequence[str]) -> str:
    return ", ".join(items[:LABELS_NAMED]) + (" and more" if len(items) > LABELS_NAMED else "")


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy of the versions between one doubling of labels and the next. n_labels: their mean number."""

    n_labels: float
    accuracy: Estimate
    n: int


def learning_curve(outcomes: Sequence[Outcome]) -> tuple[CurvePoint, ...]:
    """Accuracy on audit outcomes against the number of labels trained on: a point for 1, 2-3, 4-7, 8-15 ... labels."""
    n_labels, n_correct, n = _by_n_labels(outcomes, bins_per_doubling=1)
    return tuple(
        CurvePoint(float(place), proportion(int(hits), int(count)), int(count))
        for place, hits, count in zip(n_labels, n_correct, n, strict=True)
    )


def _by_n_labels(outcomes: Sequence[Outcome], bins_per_doubling: int) -> tuple[Array, Array, Array]:
    """Audit outcomes in geometric bins, ascending: mean number of labels trained on, number correct, number."""
    bins = defaultdict[int, list[Outcome]](list)
    for outcome in outcomes:
        if outcome.is_audit:
            # A model that no label has trained stands where the first does: the scale has no zero.
            bins[math.floor(bins_per_doubling * math.log2(max(1, outcome.n_labels)))].append(outcome)
    parts = [bins[place] for place in sorted(bins)]
    n = np.array([len(part) for part in parts])
    n_labels = np.array([sum(max(1, outcome.n_labels) for outcome in part) for part in parts]) / np.maximum(n, 1)
    return n_labels, np.array([sum(outcome.is_correct for outcome in part) for part in parts]), n


@dataclass(frozen=True)
class Forecast:
    """What the next labels would bring. gain: added accuracy, 0.01 = one point; None = cannot tell yet."""

    n_more: int
    gain: Estimate | None
    reason: str


def next_labels(outcomes: Sequence[Outcome], n_labels_now: int, n_more: int = 100) -> Forecast:
    """The rise in accuracy that n_more labels would bring, from the audit outcomes so far.

    Fits accuracy(n) = a - b n^-c, rising or flat, by Bernoulli likelihood over a grid of curves: the value is the
    median, the interval the shortest that holds 95 % of the likelihood. Deterministic. In simulation it held the truth
    in 93 to 100 % of cases on power laws, flat curves and the random-choice curves of four text sets. A curve that
    turns flat at once can escape it (65 %).
    Cannot tell where outcomes are few or of one age, accuracy has fallen, or the interval is over 10 points.
    Source: Figueroa et al. 2012 (the curve); Gelman et al. 2013, chapter 3 (the grid).
    """
    n_labels, n_correct, n = _by_n_labels(outcomes, bins_per_doubling=8)
    if n.sum() < FORECAST_OUTCOMES:
        reason = f"{n.sum():.0f} tasks asked at random are too few; {FORECAST_OUTCOMES} are needed."
    elif n_labels[-1] < 2 * n_labels[0]:
        reason = "the tasks asked at random are of too few versions; the labels must have doubled since the first."
    elif _is_falling(n_labels, n_correct, n):
        reason = "accuracy on tasks asked at random has fallen with more labels."
    else:
        gain = _gain(n_labels, n_correct, n, max(n_labels_now, 1), n_more)
        if gain.high - gain.low <= FORECAST_WIDTH:
            return Forecast(n_more, gain, _forecast_sentence(gain, n_more))
        reason = f"between {100 * gain.low:.0f} and {100 * gain.high:.0f} points of accuracy are possible."
    return Forecast(n_more, None, f"Cannot tell yet what {n_more} more labels would bring: {reason}")


def _forecast_sentence(gain: Estimate, n_more: int) -> str:
    return (
        f"{n_more} more labels would bring about {100 * gain.value:.1f} points of accuracy"
        f" ({100 * gain.low:.1f} to {100 * gain.high:.1f})."
    )


def _is_falling(n_labels: Array, n_correct: Array, n: Array) -> bool:
    """Whether accuracy falls with the logarithm of labels, beyond chance (two standard errors)."""
    accuracy = n_correct.sum() / n.sum()
    x = np.log(n_labels) - np.average(np.log(n_labels), weights=n)
    trend, variance = x @ n_correct, accuracy * (1 - accuracy) * (n @ x**2)
    return bool(trend < -2 * math.sqrt(variance) - 1e-9)


def _gain(n_labels: Array, n_correct: Array, n: Array, n_labels_now: int, n_more: int) -> Estimate:
    """Median and shortest 95 % interval of accuracy(n_labels_now + n_more) - accuracy(n_labels_now).

    A curve is its accuracy at the last outcomes (0 to 1), the share of that reached at the first (0 to 1) and its
    speed c, each equally likely beforehand. The second grid covers what the first left likely.
    """
    bounds = [(0.0, 1.0), (0.0, 1.0), SPEEDS]
    for _ in range(2):
        axes = [np.linspace(low, high, size) for (low, high), size in zip(bounds, (41, 31, 12), strict=True)]
        curves = np.stack([values.ravel() for values in np.meshgrid(*axes, indexing="ij")])
        accuracy = np.clip(_accuracy(curves, n_labels, n_labels), 1e-6, 1 - 1e-6)
        log_likelihood = np.log(accuracy) @ n_correct + np.log1p(-accuracy) @ (n - n_correct)
        weights = np.exp(log_likelihood - log_likelihood.max())
        bounds = [_around(values[weights > 1e-4], axis) for values, axis in zip(curves, axes, strict=True)]
    now, then = np.clip(_accuracy(curves, np.array([n_labels_now, n_labels_now + n_more]), n_labels), 0, 1).T
    return _shortest_interval(then - now, weights)


def _accuracy(curves: Array, at: Array, n_labels: Array) -> Array:
    """Accuracy at some numbers of labels. curves: shape (3, n_curves). Returns shape (n_curves, len(at))."""
    last, share, c = curves[:, :, None]
    c = np.where(c == 0, 1e-9, c)
    missing = np.expm1(-c * np.log(at / n_labels[-1])) / np.expm1(-c * np.log(n_labels[0] / n_labels[-1]))
    return np.asarray(last * (1 - (1 - share) * missing))


def _around(likely: Array, axis: Array) -> tuple[float, float]:
    """The likely part of an axis and one step more on either side."""
    step = axis[1] - axis[0]
    return max(likely.min() - step, axis[0]), min(likely.max() + step, axis[-1])


def _shortest_interval(values: Array, weights: Array) -> Estimate:
    """Weighted median, and the shortest interval with 95 % of the weight."""
    order = np.argsort(values)
    values, below = values[order], np.cumsum(weights[order]) / weights.sum()
    ends = np.minimum(np.searchsorted(below, below - weights[order] / weights.sum() + 0.95), len(values) - 1)
    fits = below - weights[order] / weights.sum() <= 0.05
    start = int(np.argmin(np.where(fits, values[ends] - values, np.inf)))
    return Estimate(*(float(values[at]) for at in (np.searchsorted(below, 0.5), start, ends[start])))
