"""Training: chooses the features, calibrates, and trains the classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from scipy.special import log_softmax

from label_studio_al.learning.classifier import Classifier, fit_classifier
from label_studio_al.learning.folds import folds
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.types import Array

AUTO = "auto"
# Fewer labels do not tell how sure a model may be. From one decision to the next the labels grow by half.
DECIDE_FROM = 100
# Cross-validation sees the labels that the strategy chose, which are hard: below this it prefers features that are
# worse on the pool (measured at 60 and at 100 labels).
COMPARE_FROM = 200
DECIDE_GROWTH = 1.5
DECIDE_UP_TO = 2_000
N_FOLDS = 5
STANDARD_ERRORS = 2
_COOLEST, _HOTTEST = 0.25, 4.0


@dataclass(frozen=True)
class Tuning:
    """What cross-validation on the earliest `n_labels` labels decided.

    choice: the name of the features. temperature: what calibrates the probabilities. losses: mean negative
    log-likelihood on held-out labels by choice, empty where nothing was compared.
    """

    choice: str
    temperature: float = 1.0
    n_labels: int = 0
    losses: Mapping[str, float] | None = None

    def sentence(self) -> str:
        """What was chosen, and why, for an admin."""
        if not self.losses:
            return self.choice
        compared = ", ".join(f"{name} {loss:.3f}" for name, loss in self.losses.items())
        return f"{self.choice}, by cross-validation on {self.n_labels} labels (log loss: {compared})"


def n_deciding(n_labels: int) -> int:
    """How many of the earliest labels decide: none below 100, then 100, 150, 225 and so on up to 2,000.

    So the decision is made again seldom, and depends on nothing but the labels.
    """
    size = 0
    step = float(DECIDE_FROM)
    while step <= min(n_labels, DECIDE_UP_TO):
        size, step = int(step), step * DECIDE_GROWTH
    return size


def tune(labelled: Labelled, choices: Mapping[str, Array], wanted: str, seed: int) -> Tuning:
    """Decide on features and calibration from the earliest of the labelled tasks.

    choices: columns by name, the default first (see Features.choices). wanted: one of them,
    or `auto`: the default, unless another's log loss in cross-validation is lower by more than two standard errors of
    the difference.
    """
    default = next(iter(choices))
    n = n_deciding(len(labelled))
    names = [wanted if wanted in choices else default]
    if wanted == AUTO and n >= COMPARE_FROM:
        names = list(choices)
    some = labelled[:n].computed()
    if len(some.labels) < 2:
        return Tuning(names[0])
    held_out = {name: _held_out_decisions(some, choices[name], seed) for name in names}
    truth = np.searchsorted(some.labels, some.y)
    temperatures = {name: _temperature(decisions, truth) for name, decisions in held_out.items()}
    # Each as sure of itself as it is right: otherwise features that merely make a timid model would win.
    losses = {name: _losses(held_out[name] / temperatures[name], truth) for name in names}
    best = min(names, key=lambda name: float(losses[name].mean()))
    gain = losses[names[0]] - losses[best]
    chosen = best if gain.mean() > STANDARD_ERRORS * gain.std() / np.sqrt(len(gain)) else names[0]
    means = {name: float(values.mean()) for name, values in losses.items()} if len(names) > 1 else None
    return Tuning(chosen, temperatures[chosen], n, means)


def train(labelled: Labelled, choices: Mapping[str, Array], tuning: Tuning) -> Classifier:
    """The classifier of these labelled tasks. Raises InvalidRequest with fewer than 2 labels."""
    return fit_as(choices, tuning)(labelled.X, labelled.y)


def fit_as(choices: Mapping[str, Array], tuning: Tuning) -> Callable[[Matrix, Array], Classifier]:
    """How a classifier is trained on (X, y) after this decision."""
    return lambda X, y: fit_classifier(X, y, choices[tuning.choice], tuning.temperature)


def _held_out_decisions(labelled: Labelled, columns: Array, seed: int) -> Array:
    """What models that had not seen an example decide of it: shape (n_examples, n_labels), as of a softmax."""
    labels = labelled.labels
    decisions = np.zeros((len(labelled), len(labels)))
    fold_of = folds(labelled, N_FOLDS, seed)
    # Folds run wherever joblib.parallel_config says, by default here, one by one.
    tested = Parallel()(delayed(_decided)(labelled, columns, fold_of == fold) for fold in range(N_FOLDS))
    for fold, (classes, found) in enumerate(tested):
        if not len(classes):
            continue
        held_out = np.flatnonzero(fold_of == fold)
        # A label that the others lack is as improbable as the least probable one.
        decisions[held_out] = found.min(axis=1, keepdims=True)
        decisions[np.ix_(held_out, np.searchsorted(labels, classes))] = found
    return decisions


def _decided(labelled: Labelled, columns: Array, is_held_out: Array) -> tuple[Array, Array]:
    """The labels of the examples that are not held out, and the decisions on the others; none with fewer than 2."""
    kept, held_out = labelled[np.flatnonzero(~is_held_out)], labelled[np.flatnonzero(is_held_out)]
    if len(kept.labels) < 2:
        return kept.y[:0], np.zeros((len(held_out), 0))
    classifier = fit_classifier(kept.X, kept.y, columns)
    found = classifier.decisions(held_out.X)
    return classifier.classes, np.hstack([np.zeros_like(found), found]) if found.shape[1] == 1 else found


def _losses(decisions: Array, truth: Array) -> Array:
    return np.asarray(-log_softmax(decisions, axis=1)[np.arange(len(truth)), truth])


def _temperature(decisions: Array, truth: Array) -> float:
    """What decisions must be divided by to be as sure as they are right. Source: Guo et al. 2017."""
    # Not at the top: it weighs 20 MB, and who only predicts does without.
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_t: float(_losses(decisions / np.exp(log_t), truth).mean()),
        bounds=(np.log(_COOLEST), np.log(_HOTTEST)),
        method="bounded",
    )
    return float(np.exp(found.x))
