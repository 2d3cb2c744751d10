"""Which tasks a model may label on its own, so that its error rate stays below a bound with a stated probability.

The proof, for one model and one question asked. S: the audited tasks and the pool, n and N tasks. The audited ones are
a uniformly random part of S, and the model saw none of their labels. Thresholds on the confidence are fixed by S alone.
Above threshold t lie M_t tasks of S, K_t of them wrong; of the m_t audited ones, k_t are. Whatever m_t is, k_t is
hypergeometric: m_t draws from M_t tasks, K_t of them wrong. So P(k_t <= what was seen) under K_t = b_t + 1 is a p-value
of "more than b_t are wrong". Thresholds are tested from a start on downwards, until one is not rejected (fixed-sequence
testing: among all hypotheses only the first true one that is met can do harm, with probability delta at most). Start
and b_t are fixed by S and n. What is rejected leaves at most max_error of the pool's tasks above t wrong: the bound is
on the true share of wrong labels in this very pool, not on an expectation.

Sources: Angelopoulos et al. 2021 (Learn then Test, fixed-sequence testing); Geifman and El-Yaniv 2017 (selective
guaranteed risk), who both bound the expectation by binomial tests. Assumed: audits are drawn uniformly from the tasks
that nobody had labelled, people do not choose which of them to skip, and what people say is the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammainccinv
from scipy.stats import binom, hypergeom

from label_studio_al.learning.predictions import Predictions
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest

MAX_ERROR = 0.02
DELTA = 0.05
# Asking again whether it is possible now, with more audits, is another chance to be wrong: the chances sum to delta.
FIRST_LOOK = 0.7
# Models here are wrong half as often as they say (measured on three text sets): where testing begins rests on it, the
# proof does not.
DOUBT = 0.5
# What most projects can bear: one error among the audits above a threshold that lets four tasks in five through.
PLANNED_WRONG, PLANNED_SHARE = 1, 0.8
# Before any audit a model is taken to be wrong on one task in fifty, as if 10 had been looked at.
PRIOR_WRONG, PRIOR_RIGHT = 0.2, 9.8
# How much more often than allowed the model might be wrong: what a watch bets on.
SUSPICIONS = (1.5, 2.0, 4.0, 8.0, 16.0)
# Thresholds that are tried: more would only move them by less than a hundredth of the tasks.
N_THRESHOLDS = 100


@dataclass(frozen=True)
class Goal:
    """The guarantee: at most `max_error` of the automatic labels are wrong, except with a probability of `delta`.

    look: how often this was tested, including this time. per_label: whether it must hold for each label separately,
    with its own threshold; all guarantees together then fail with probability `delta`.
    Raises InvalidRequest.
    """

    max_error: float = MAX_ERROR
    delta: float = DELTA
    look: int = 1
    per_label: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.max_error < 1:
            why = "only people reach 0" if self.max_error == 0 else "an error rate of 1 promises nothing"
            hint = f" ({why})" if self.max_error in (0, 1) else ""
            raise InvalidRequest(f"the error rate must lie between 0 and 1, not be {self.max_error}{hint}")
        if not 0 < self.delta < 1:
            raise InvalidRequest(
                f"delta, the probability of a broken promise, must lie between 0 and 1, not be {self.delta}"
            )
        if self.look < 1:
            raise InvalidRequest(f"the first look has the number 1, not {self.look}")

    @property
    def level(self) -> float:
        """The probability of a broken promise that this look may use: 0.7 of delta, then 0.3 of the one before."""
        return float(self.delta * FIRST_LOOK * (1 - FIRST_LOOK) ** (self.look - 1))


@dataclass(frozen=True)
class Shortage:
    """How many more audit labels would probably (with probability 1/2) allow a share of the pool to be automated."""

    n_more: int
    share: float


@dataclass(frozen=True)
class Group:
    """What is promised of the tasks that are predicted one label; of all tasks if `label` is None.

    threshold: confidence from which on tasks are labelled automatically, None if none can be. n_pool: open tasks.
    n_selected: of them, labelled automatically. n_audited: audited tasks. n_checked, n_wrong: of them, from the
    threshold on (all without one), and how many of these the model had wrong. shortage: None where nothing is missing,
    or more audit labels would hardly help.
    """

    label: str | None
    threshold: float | None
    n_pool: int
    n_selected: int
    n_audited: int
    n_checked: int
    n_wrong: int
    shortage: Shortage | None


@dataclass(frozen=True)
class Guarantee:
    """The largest set of pool tasks that can be promised. is_selected: shape (n_pool,); most_wrong: tasks among them.

    groups: one for all tasks, or one a label in alphabetical order. is_look: whether the audit labels had a say; where
    there are so few that nothing could be promised whatever they say, asking costs nothing (see Goal.look).
    """

    goal: Goal
    is_selected: Array
    groups: tuple[Group, ...]
    is_look: bool

    @property
    def n_selected(self) -> int:
        """How many tasks would be labelled automatically."""
        return int(self.is_selected.sum())

    @property
    def share(self) -> float:
        """Which share of the pool would be labelled automatically, 0 of an empty one."""
        return self.n_selected / max(1, len(self.is_selected))

    @property
    def most_wrong(self) -> int:
        """How many of them are wrong at most, with probability 1 - delta."""
        return sum(_allowed(self.goal.max_error, group.n_selected) for group in self.groups)

    def sentence(self) -> str:
        """The guarantee, or why there is none and what would help, for an admin."""
        goal, n_audited = self.goal, sum(group.n_audited for group in self.groups)
        if not len(self.is_selected):
            return "there is no task left to label"
        if not n_audited:
            return "nothing is known of the model's errors: no audit label that it was not trained on"
        if self.n_selected:
            return (
                f"of {self.n_selected} automatic labels at most {self.most_wrong} are wrong ({goal.max_error:.2%}), "
                f"with a probability of {1 - goal.delta:.2%}"
            )
        shortages = [group.shortage for group in self.groups if group.shortage is not None]
        found = f"not possible with {n_audited} audit labels"
        if not shortages and not any(group.n_wrong for group in self.groups):
            return (
                f"{found}, none of them wrong: {len(self.is_selected)} tasks are too few to prove {goal.max_error:.2%}"
            )
        if not shortages:
            return f"{found}: the model is wrong too often, also where it is sure; label more for it to learn from"
        nearest = min(shortages, key=lambda shortage: shortage.n_more)
        return f"{found}: about {nearest.n_more} more would probably allow {nearest.share:.0%} of the pool"


def guarantee(audit: Predictions, is_right: Array, pool: Predictions, goal: Goal) -> Guarantee:
    """The pool tasks that may be labelled automatically, chosen by a threshold on the confidence.

    audit: the model's answers on the audited tasks, pool: on the tasks that nobody has labelled; of one and the same
    model, trained without any label of an audited task. is_right: shape (n_audit,), whether people said the same. The
    order of tasks does not count. Raises InvalidRequest where shapes differ.
    """
    is_right = np.asarray(is_right, dtype=bool)
    if is_right.shape != audit.labels.shape:
        raise InvalidRequest(f"need to know of each audited task whether it is right, have {len(is_right)} answers")
    names: list[str | None] = [None]
    if goal.per_label:
        names = [str(name) for name in np.unique(np.concatenate([audit.labels, pool.labels]))]
    is_selected = np.zeros(len(pool.labels), dtype=bool)
    groups, is_look = [], False
    for name in names:
        ours, theirs = (
            np.ones(len(one.labels), dtype=bool) if name is None else one.labels == name for one in (audit, pool)
        )
        ladder = _ladder(audit.confidence[ours], ~is_right[ours], pool.confidence[theirs], goal, len(names))
        is_look |= ladder.start is not None
        groups.append(_group(name, ladder, pool.confidence[theirs]))
        if groups[-1].threshold is not None:
            is_selected |= theirs & (pool.confidence >= groups[-1].threshold)
    return Guarantee(goal, is_selected, tuple(groups), is_look)


def curve(
    audit: Predictions, is_right: Array, pool: Predictions, goal: Goal, max_errors: Sequence[float]
) -> list[tuple[float, float]]:
    """Which share of the pool could be automated at each error rate: pairs of (error rate, share).

    Each guarantee would hold if that rate had been chosen beforehand: choosing one by the curve is another look.
    """
    rates = [replace(goal, max_error=rate) for rate in max_errors]
    return [(one.max_error, guarantee(audit, is_right, pool, one).share) for one in rates]


# -- thresholds -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ladder:
    """Thresholds, the highest first, and what is known above each. All arrays: shape (n_thresholds,).

    size: tasks of S, checked: audited tasks, wrong: of them. allowed: how many wrong ones of S are tested for.
    start: the place where testing begins, None where it cannot succeed.
    """

    thresholds: Array
    size: Array
    checked: Array
    wrong: Array
    allowed: Array
    start: int | None
    n_audited: int
    n_all: int
    max_error: float
    level: float

    def highest(self) -> int | None:
        """The place of the lowest threshold that can be promised."""
        if self.start is None:
            return None
        p_values = hypergeom.cdf(self.wrong, self.size, self.allowed + 1, self.checked)
        found = None
        for place in range(self.start, len(self.size)):
            if p_values[place] > self.level:
                break
            # At most `allowed` of S are wrong; that may be too many if by chance much of this part was audited.
            n_open = int(self.size[place] - self.checked[place])
            if n_open and self.allowed[place] <= _allowed(self.max_error, n_open):
                found = place
        return found


def _ladder(audit: Array, is_wrong: Array, pool: Array, goal: Goal, n_groups: int) -> _Ladder:
    """audit, pool: confidences. n_groups: promises that share delta."""
    everything = np.sort(np.concatenate([audit, pool]))[::-1]
    n_all, n_audited = len(everything), len(audit)
    # By S alone, and equal confidences stay together.
    places = np.unique(np.ceil(np.linspace(0, 1, N_THRESHOLDS + 1)[1:] * n_all).astype(int)) - 1
    thresholds = np.unique(everything[places[places >= 0]])[::-1]
    size = np.searchsorted(-everything, -thresholds, side="right")
    order = np.argsort(-audit, kind="stable")
    checked = np.searchsorted(-audit[order], -thresholds, side="right")
    wrong = np.concatenate([[0], np.cumsum(is_wrong[order])])[checked]
    expected = n_audited * size / max(1, n_all)
    spread = np.sqrt(expected * (1 - size / max(1, n_all)))
    most_checked = np.minimum(np.ceil(expected + spread), np.minimum(n_audited, size))
    allowed = np.array([_allowed(goal.max_error, int(n)) for n in size - most_checked], dtype=int)
    # A start that fails because by chance few tasks above it were audited would be the end of it.
    least_checked = np.maximum(np.floor(expected - 2 * spread), 0).astype(int)
    doubt = DOUBT * np.cumsum(1 - everything)[size - 1] / size if n_all else np.zeros(0)
    level = goal.level / n_groups
    start = _start(size, least_checked, allowed, doubt, level) if n_all else None
    return _Ladder(thresholds, size, checked, wrong, allowed, start, n_audited, n_all, goal.max_error, level)


def _start(size: Array, checked: Array, allowed: Array, doubt: Array, level: float) -> int | None:
    """Where testing begins: where the expected number of automatic labels is largest, were each tested alone.

    checked: how many audited tasks may be expected above each threshold; doubt: how often the model is probably wrong
    there. None if even without any error nothing could be rejected.
    """
    bearable = hypergeom.ppf(level, size, allowed + 1, checked) - 1
    odds = np.where(bearable >= 0, binom.cdf(np.maximum(bearable, 0), checked, doubt), 0.0)
    return int(np.argmax(odds * size)) if (odds > 0).any() else None


def _group(label: str | None, ladder: _Ladder, pool: Array) -> Group:
    place = ladder.highest()
    if place is None:
        n_wrong = int(ladder.wrong[-1]) if len(ladder.wrong) else 0
        return Group(
            label, None, len(pool), 0, ladder.n_audited, ladder.n_audited, n_wrong, _shortage(ladder, len(pool))
        )
    threshold = float(ladder.thresholds[place])
    n_selected = int((pool >= threshold).sum())
    checked, wrong = int(ladder.checked[place]), int(ladder.wrong[place])
    return Group(label, threshold, len(pool), n_selected, ladder.n_audited, checked, wrong, None)


def _allowed(max_error: float, n_tasks: int) -> int:
    """How many of so many tasks may be wrong."""
    # 0.29 * 100 is 28.999999999999996.
    return int(np.floor(max_error * n_tasks + 1e-9))


# -- how many more --------------------------------------------------------------------------------------------


def _shortage(ladder: _Ladder, n_pool: int) -> Shortage | None:
    """The fewest more audit labels with which some threshold passes with probability 1/2, by the errors so far."""
    if not len(ladder.size):
        return None
    share = ladder.size / ladder.n_all
    error = (ladder.wrong + PRIOR_WRONG) / (ladder.checked + PRIOR_WRONG + PRIOR_RIGHT)
    # If this was a look, the next one may err less.
    level = ladder.level if ladder.start is None else ladder.level * (1 - FIRST_LOOK)
    # One row for each number of audits, one column for each threshold.
    n_more = np.unique(np.geomspace(1, max(1, n_pool // 2), 60).astype(int))
    more = np.round(n_more[:, None] * share).astype(int)
    bearable = binom.ppf(level, ladder.checked + more, ladder.max_error) - 1 - ladder.wrong
    is_likely = (bearable >= 0) & (binom.cdf(np.maximum(bearable, 0), more, error) >= 0.5)
    enough = np.flatnonzero(is_likely.any(axis=1))
    if not len(enough):
        return None
    return Shortage(int(n_more[enough[0]]), float(share[is_likely[enough[0]]].max()))


def n_audits_needed(goal: Goal) -> int:
    """How many audit labels a first plan should rest on: one error among them may then be borne.

    For 4 of 5 tasks of a large pool, at this look's level.
    """
    # Poisson's, which needs a little more than the binomial distribution.
    checked = gammainccinv(PLANNED_WRONG + 1, goal.level) / goal.max_error
    return int(np.ceil(checked / PLANNED_SHARE))


# -- afterwards -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watch:
    """What people's checks of automatic labels say. evidence: against the promise, an e-value: 1 = none.

    is_alarm: whether it was ever above 1 / false_alarm.
    """

    n_checked: int
    n_wrong: int
    evidence: float
    is_alarm: bool


def watch(is_wrong: Sequence[bool], n_selected: int, max_error: float, false_alarm: float) -> Watch:
    """Whether checks contradict the promise that at most `max_error` of n_selected labels are wrong.

    is_wrong: of tasks drawn at random without replacement from the n_selected, in the order in which they were drawn.
    May be asked after every check: if the promise holds, there is ever an alarm with probability `false_alarm` at most.
    Source: Waudby-Smith and Ramdas 2020 (betting without replacement), with a mixture of likelihood ratios; Ville 1939.
    Raises InvalidRequest.
    """
    Goal(max_error)
    if not 0 < false_alarm < 1:
        raise InvalidRequest(f"the rate of false alarms must lie between 0 and 1, not be {false_alarm}")
    seen = np.asarray(is_wrong, dtype=bool)
    if len(seen) > n_selected:
        raise InvalidRequest(f"no more than the {n_selected} automatic labels can be checked, not {len(seen)}")
    n_wrong = int(seen.sum())
    most_wrong = _allowed(max_error, n_selected)
    if n_wrong > most_wrong:
        return Watch(len(seen), n_wrong, float("inf"), is_alarm=True)
    # The probability that the next one is wrong, were as many wrong as the promise allows.
    left = n_selected - np.arange(len(seen))
    expected = np.clip((most_wrong - np.cumsum(seen) + seen) / left, 0.0, 1.0)
    evidence = _evidence(seen, expected)
    return Watch(len(seen), n_wrong, float(evidence[-1]), bool((evidence >= 1 / false_alarm).any()))


def _evidence(is_wrong: Array, expected: Array) -> Array:
    """Mean likelihood ratio of every suspicion after 0, 1, 2 ... checks. Returns shape (n_checks + 1,)."""
    ratios = np.ones((len(SUSPICIONS), len(is_wrong) + 1))
    for place, times in enumerate(SUSPICIONS):
        suspected = np.minimum(times * expected, (1 + expected) / 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(is_wrong, suspected / expected, (1 - suspected) / (1 - expected))
        ratios[place, 1:] = np.where((expected > 0) & (expected < 1), ratio, 1.0)
    return np.asarray(np.cumprod(ratios, axis=1).mean(axis=0))
