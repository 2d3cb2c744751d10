"""How good the model is, measured on tasks that it was not trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from scipy.stats import binomtest

from label_studio_al.learning import draws
from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.coding import ONE_LABEL, Coding, Learned
from label_studio_al.learning.contradictions import Suspect
from label_studio_al.learning.folds import folds
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest

N_RESAMPLES = 1000
# Below this, chance alone makes a calibrated model look more than 5 points off.
CALIBRATION_OUTCOMES = 100
CALIBRATION_BINS = 5
# Models of fewer labels contradict people too lightly.
SUSPECT_EXAMPLES = 40
# Fewer labels drawn at random make an interval that tells nothing.
BASELINE_EXAMPLES = 30
BASELINE_FROM = 10
BASELINE_SHARE = 0.8
BASELINE_DRAWS = 5


@dataclass(frozen=True)
class Outcome:
    """What the version current at the time predicted for a task that it was not trained on, and what people said.

    probability: of the predicted label. n_labels: how many labels the version was trained on.
    is_audit: asked at random, not by the strategy.
    """

    label: str
    predicted: str
    probability: float
    n_labels: int
    is_audit: bool

    def __post_init__(self) -> None:
        if not 0 <= round(self.probability, 6) <= 1:
            raise InvalidRequest(f"the probability of a prediction lies between 0 and 1, not {self.probability}")
        if self.n_labels < 0:
            raise InvalidRequest(f"a version was trained on 0 labels or more, not {self.n_labels}")

    @property
    def is_correct(self) -> bool:
        """Whether the prediction was what people said."""
        return self.predicted == self.label


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval: low <= value <= high."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LabelQuality:
    """How well one label is found. None where nothing was counted: never predicted, or never true."""

    label: str
    n_true: int
    n_predicted: int
    precision: float | None
    recall: float | None


@dataclass(frozen=True)
class Confusion:
    """How many tasks of one label were taken for another."""

    true: str
    predicted: str
    count: int


@dataclass(frozen=True)
class Evaluation:
    """The quality of predictions. None where there are too few outcomes to tell.

    labels: those of the project, in its order, then any other that occurs. confusions: most frequent first.
    calibration_error: how far probabilities are from the share that is right, on average, 0 = not at all.
    """

    n: int
    accuracy: Estimate | None
    macro_f1: Estimate | None
    labels: tuple[LabelQuality, ...]
    confusions: tuple[Confusion, ...]
    calibration_error: float | None

    @property
    def recall(self) -> Mapping[str, float | None]:
        """Of each group of labels that must be found before labelling may stop (see `Coding.group`)."""
        return {one.label: one.recall for one in self.labels}


def evaluate(outcomes: Sequence[Outcome], labels: Sequence[str], seed: int = 0) -> Evaluation:
    """The quality of the predictions among the outcomes. labels: the project's label names."""
    cells = Counter((outcome.label, outcome.predicted) for outcome in outcomes)
    n_correct = sum(outcome.is_correct for outcome in outcomes)
    names = dict.fromkeys([*labels, *sorted({name for cell in cells for name in cell})])
    confusions = [Confusion(*cell, count) for cell, count in cells.items() if cell[0] != cell[1]]
    return Evaluation(
        n=len(outcomes),
        accuracy=proportion(n_correct, len(outcomes)) if outcomes else None,
        macro_f1=_macro_f1(cells, seed) if outcomes else None,
        labels=tuple(_label_qualities(names, cells)),
        confusions=tuple(sorted(confusions, key=lambda pair: (-pair.count, pair.true, pair.predicted))),
        calibration_error=calibration_error(outcomes) if len(outcomes) >= CALIBRATION_OUTCOMES else None,
    )


def audit_outcomes(outcomes: Sequence[Outcome], n_labels_now: int) -> list[Outcome]:
    """The outcomes that tell how good the present model is on tasks that nobody has labelled yet.

    They were asked at random, and predicted by versions with at least half of today's labels, not by early
    models. Each is a uniform draw from the tasks unlabelled at that moment, so their accuracy is, without bias,
    that of these versions on these pools. This holds only if the random tasks are drawn before, or regardless
    of, what the strategy takes from the same pool. The strategy's own tasks are harder and say nothing about the rest.
    """
    return [outcome for outcome in outcomes if outcome.is_audit and 2 * outcome.n_labels >= n_labels_now]


def proportion(n_hits: int, n: int) -> Estimate:
    """The share of hits with Wilson's interval. Source: Wilson 1927; Newcombe 1998, method 3. n: at least 1."""
    share = n_hits / n
    interval = binomtest(n_hits, n).proportion_ci(method="wilson")
    # Rounding puts 0 of n and n of n a hair inside their own interval's end.
    return Estimate(share, min(float(interval.low), share), max(float(interval.high), share))


def _label_qualities(names: Iterable[str], cells: Counter[tuple[str, str]]) -> Iterator[LabelQuality]:
    n_true, n_predicted = Counter[str](), Counter[str]()
    for (true, predicted), count in cells.items():
        n_true[true] += count
        n_predicted[predicted] += count
    for name in names:
        hits = cells[name, name]
        yield LabelQuality(
            label=name,
            n_true=n_true[name],
            n_predicted=n_predicted[name],
            precision=hits / n_predicted[name] if n_predicted[name] else None,
            recall=hits / n_true[name] if n_true[name] else None,
        )


def _macro_f1(cells: Counter[tuple[str, str]], seed: int) -> Estimate:
    """F1, averaged over the labels that occur as truth or prediction, with a bootstrap's percentiles.

    The plain bootstrap never makes an error that it has not seen: of 20 right answers it concludes "1.0 to 1.0".
    Hence the Bayesian one, with one more outcome a label: half of it right, half taken for, or from, another label.
    Measured, its interval holds the truth in 90 to 97 % of cases with 2 to 6 labels, 20 outcomes or more; with 20
    labels it is too narrow: 77 % at 100 outcomes, 87 % at 300.
    Source: Rubin 1981; Goutte and Gaussier 2005.
    """
    names = sorted({name for pair in cells for name in pair})
    place = {name: index for index, name in enumerate(names)}
    seen = sorted((place[true], place[predicted], count) for (true, predicted), count in cells.items())
    each, other = np.arange(len(names)), np.full(len(names), len(names))
    true, predicted, counts = np.array(seen).T
    true = np.concatenate([true, each, each, other])
    predicted = np.concatenate([predicted, each, other, each])
    unseen = np.repeat([0.5, 0.25, 0.25], len(names))

    one_hot = sp.identity(len(names) + 1, format="csr")[:, :-1]
    occurrences = one_hot[true] + one_hot[predicted]
    hits = one_hot[true].multiply((true == predicted)[:, None]).tocsr()

    def score(weights: Array) -> Array:
        return np.asarray((2 * (weights @ hits) / (weights @ occurrences)).mean(axis=-1))

    value = float(score(np.concatenate([counts, 0 * unseen])))
    shape = np.concatenate([counts, unseen])
    # Gamma weights are Dirichlet weights but for their sum, which F1 cancels.
    gammas = np.random.default_rng(seed).standard_gamma(shape, size=(N_RESAMPLES, len(shape)))
    low, high = np.percentile(score(gammas), [2.5, 97.5])
    return Estimate(value, min(float(low), value), max(float(high), value))


def calibration_error(outcomes: Sequence[Outcome]) -> float:
    """Mean distance of probability and share of hits, in bins of about equally many outcomes.

    Chance adds to it: a perfectly calibrated model shows 0.03 to 0.08 at 100 outcomes, 0.01 to 0.03 at 500.
    Source: Naeini et al. 2015.
    """
    probability = np.array([outcome.probability for outcome in outcomes])
    correct = np.array([outcome.is_correct for outcome in outcomes])
    edges = np.quantile(probability, np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1])
    # Equal probabilities share a bin, else their order would count.
    excess = np.bincount(np.searchsorted(edges, probability), weights=probability - correct)
    return float(np.abs(excess).sum() / len(outcomes))


Fit = Callable[[Matrix, Array], Learned]


@dataclass(frozen=True)
class HeldOut:
    """What models say of labelled examples that they were not trained on.

    y: shape (n_examples,), what people said. classes: sorted, all that occur. beliefs: of the examples, see
    `Coding.aligned`; None where there are none. n_trained_on: shape (n_examples,), how many labels the model of each
    was trained on.
    """

    y: Array
    classes: Array
    beliefs: Beliefs | None
    n_trained_on: Array
    coding: Coding = ONE_LABEL

    def outcomes(self) -> list[Outcome]:
        """The most probable label of each example."""
        if self.beliefs is None:
            return []
        predicted = self.coding.decide(self.beliefs).pairs()
        return [
            Outcome(str(label), *pair, int(n), is_audit=False)
            for label, pair, n in zip(self.y, predicted, self.n_trained_on, strict=True)
        ]

    def suspects(self, n: int) -> list[Suspect]:
        """The n labels that are contradicted most, if any: people may have slipped there."""
        if self.beliefs is None or len(self.y) < SUSPECT_EXAMPLES:
            return []
        return self.coding.contradicted(self.y, self.beliefs, self.classes)[:n]


def cross_validate(fit: Fit, labelled: Labelled, seed: int, n_folds: int = 5) -> Evaluation:
    """How well models trained on most of the labels predict the others: a biased estimate, unlike the audit.

    It describes the tasks that the strategy chose, often harder than the rest and with other shares of labels: good
    for comparing models, not for telling how good one is on the pool. As of `hold_out`.
    """
    held_out = hold_out(fit, labelled, seed, n_folds)
    return evaluate(held_out.outcomes(), list(map(str, held_out.classes)), seed)


def hold_out(fit: Fit, labelled: Labelled, seed: int, n_folds: int = 5) -> HeldOut:
    """Each example as a model sees it that was trained on the other folds; no example where there is only one.

    Each label is spread over the folds as evenly as its number allows. Folds run wherever joblib.parallel_config says,
    by default here, one by one.
    """
    if n_folds < 2:
        raise InvalidRequest(f"need at least 2 folds, not {n_folds}")
    n, classes, coding = len(labelled), labelled.classes, labelled.coding
    if n < 2:
        return HeldOut(labelled.y[:0], classes, None, np.zeros(0, dtype=int), coding)
    fold_of = folds(labelled, min(n_folds, n), seed)
    tested = Parallel()(delayed(_held_out)(fit, labelled, fold_of == fold) for fold in range(fold_of.max() + 1))
    examples = np.argsort(fold_of, kind="stable")
    beliefs = tested[0].followed_by(tested[1:])[np.argsort(examples, kind="stable")]
    return HeldOut(labelled.y, classes, beliefs, n - np.bincount(fold_of)[fold_of], coding)


def untrained(model: Learned, labelled: Labelled) -> HeldOut:
    """The same of a model that was trained on none of the labels."""
    classes, coding = np.union1d(labelled.classes, model.classes), labelled.coding
    beliefs = coding.aligned(model.believe(labelled.X), classes)
    return HeldOut(labelled.y, classes, beliefs, np.zeros(len(labelled), dtype=int), coding)


def _held_out(fit: Fit, labelled: Labelled, is_test: Array) -> Beliefs:
    """Of the examples of one fold. Where the others have one answer only, it is sure."""
    train, test = labelled[np.flatnonzero(~is_test)], labelled[np.flatnonzero(is_test)]
    coding, classes = labelled.coding, labelled.classes
    if train.is_trainable:
        return coding.aligned(fit(train.X, train.y).believe(test.X), classes)
    return coding.sure(str(train.y[0]), len(test), classes)


@dataclass(frozen=True)
class BaselinePoint:
    """Accuracy of models trained on n_labels labels, drawn at random, on the other ones of n labels."""

    n_labels: int
    accuracy: Estimate
    n: int


def random_baseline(fit: Fit, labelled: Labelled, seed: int) -> tuple[BaselinePoint, ...]:
    """What labels of tasks drawn at random teach: a point for 10, 20, 40 ... of them, up to 4 of 5.

    labelled: tasks that were drawn at random, not chosen. Each point averages a few draws of what is trained on; its
    interval counts each example once. Empty where there are fewer than `BASELINE_EXAMPLES`, or one label only.
    """
    n = len(labelled)
    if n < BASELINE_EXAMPLES:
        return ()
    points, n_trained_on = [], BASELINE_FROM
    while n_trained_on <= BASELINE_SHARE * n:
        orders = [draws.shuffled(labelled.keys, seed, "baseline", n_trained_on, draw) for draw in range(BASELINE_DRAWS)]
        parts = [(labelled[order[:n_trained_on]], labelled[order[n_trained_on:]]) for order in orders]
        shares = [_share_right(fit, train, test) for train, test in parts if train.is_trainable]
        if shares:
            accuracy = proportion(round(float(np.mean(shares)) * n), n)
            points.append(BaselinePoint(n_trained_on, accuracy, n))
        n_trained_on *= 2
    return tuple(points)


def _share_right(fit: Fit, train: Labelled, test: Labelled) -> float:
    model = fit(train.X, train.y)
    return float(test.coding.decide(model.believe(test.X)).are_right(test.y).mean())
