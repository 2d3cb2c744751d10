"""Training: chooses the features, calibrates, and trains the classifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from joblib import Parallel, delayed

from label_studio_al.learning.coding import ONE_LABEL, Coding, Learned, decided
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

    choice: the name of the features. temperature: what calibrates the probabilities. thresholds: of label sets, from
    which probability on a text has a label, where that is not 0.5. losses: mean negative
    log-likelihood on held-out labels by choice, empty where nothing was compared.
    """

    choice: str
    temperature: float = 1.0
    n_labels: int = 0
    losses: Mapping[str, float] | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)

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
    if not some.is_trainable:
        return Tuning(names[0])
    held_out = {name: _held_out_decisions(some, choices[name], seed) for name in names}
    coding = decided(some.coding)
    losses_of = partial(coding.losses, truth=some.truth)
    temperatures = {name: _temperature(decisions, losses_of) for name, decisions in held_out.items()}
    # Each as sure of itself as it is right: otherwise features that merely make a timid model would win.
    losses = {name: losses_of(held_out[name] / temperatures[name]) for name in names}
    best = min(names, key=lambda name: float(losses[name].mean()))
    gain = losses[names[0]] - losses[best]
    chosen = best if gain.mean() > STANDARD_ERRORS * gain.std() / np.sqrt(len(gain)) else names[0]
    means = {name: float(values.mean()) for name, values in losses.items()} if len(names) > 1 else None
    thresholds = coding.thresholds(held_out[chosen] / temperatures[chosen], some.truth)
    by_class = dict(zip(some.classes.tolist(), thresholds, strict=True)) if thresholds is not None else {}
    return Tuning(chosen, temperatures[chosen], n, means, by_class)


def train(labelled: Labelled, choices: Mapping[str, Array], tuning: Tuning) -> Learned:
    """The model of these labelled tasks. Raises InvalidRequest with fewer than 2 labels."""
    return fit_as(choices, tuning, labelled.coding)(labelled.X, labelled.y)


def fit_as(
    choices: Mapping[str, Array], tuning: Tuning, coding: Coding = ONE_LABEL
) -> Callable[[Matrix, Array], Learned]:
    """How a model is trained on (X, y) after this decision."""
    return lambda X, y: coding.fit(X, y, choices[tuning.choice], tuning.temperature, tuning.thresholds)


def _held_out_decisions(labelled: Labelled, columns: Array, seed: int) -> Array:
    """What models that had not seen an example decide of it. Returns shape (n_examples, n_classes)."""
    labels = labelled.classes
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
    if not kept.is_trainable:
        return kept.y[:0], np.zeros((len(held_out), 0))
    model = kept.coding.fit(kept.X, kept.y, columns, 1.0, {})
    return model.classes, model.decisions(held_out.X)


def _temperature(decisions: Array, losses_of: Callable[[Array], Array]) -> float:
    """What decisions must be divided by to be as sure as they are right. Source: Guo et al. 2017."""
    # Not at the top: it weighs 20 MB, and who only predicts does without.
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log_t: float(losses_of(decisions / np.exp(log_t)).mean()),
        bounds=(np.log(_COOLEST), np.log(_HOTTEST)),
        method="bounded",
    )
    return float(np.exp(found.x))
