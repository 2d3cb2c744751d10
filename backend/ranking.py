"""From a pool and a classifier to the window: which tasks Label Studio asks next, in which order."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import numpy as np

from backend.labeling import LabelConfig
from backend.learning.classifier import Classifier
from backend.learning.strategies import MEASURES, by_position, highest
from backend.pool import Pool
from backend.settings import ProjectSettings

COVERAGE = "coverage"
RANDOM = "random"
# Uncertainty from a handful of labels is often worse than random (measured below 100 labels): cover the pool first.
COVERAGE_LABELS_AT_LEAST = 20
COVERAGE_LABELS_A_CLASS = 3


@dataclass(frozen=True)
class Window:
    """Tasks to ask next, most informative first, with what the model says of them (None without a model)."""

    task_ids: list[int]
    informativeness: list[float]
    answers: list[tuple[str, float]] | None

    def pairs(self) -> list[tuple[int, float]]:
        """(task id, informativeness)."""
        return list(zip(self.task_ids, self.informativeness, strict=True))


def choose_ranking(settings: ProjectSettings, config: LabelConfig, met: Set[str], n_labels: int, trained: bool) -> str:
    """The name of the order that ranks the pool now.

    met: labels that have an example. `auto` covers the pool until every label was met, at least 20 labels (3 a
    class) and at most twice as many, since a label may occur nowhere; then it asks by margin.
    """
    if settings.strategy == RANDOM:
        return RANDOM
    if not trained:
        return COVERAGE
    if settings.strategy != "auto":
        return settings.strategy
    phase = max(COVERAGE_LABELS_AT_LEAST, COVERAGE_LABELS_A_CLASS * len(config.labels))
    unmet = set(config.labels) - met
    return COVERAGE if n_labels < phase or (unmet and n_labels < 2 * phase) else "margin"


def rank(
    pool: Pool,
    classifier: Classifier | None,
    ranked_by: str,
    config: LabelConfig,
    settings: ProjectSettings,
    annotated: Set[int],
    pushed: Set[int],
    n: int,
) -> Window:
    """The n most informative tasks that nobody has annotated and that were not pushed yet."""
    candidates = np.array(
        [row for task_id, row in pool.row_of.items() if task_id not in annotated and task_id not in pushed],
        dtype=np.int64,
    )
    if not len(candidates):
        return Window([], [], None if classifier is None else [])
    proba = None
    if ranked_by in MEASURES and classifier is not None:
        proba = classifier.predict_proba(pool.X[candidates])
        informativeness = MEASURES[ranked_by](proba)
        best = highest(informativeness, n, settings.seed)
        chosen, worth = candidates[best], informativeness[best]
        proba = proba[best]
    else:
        if ranked_by == COVERAGE:
            groups = pool.coverage(_n_groups(config), settings.seed)
            ordered = groups.order(candidates, pool.rows(sorted(annotated)))
        else:
            ordered = np.random.default_rng(settings.seed).permutation(candidates)
        chosen = ordered[:n]
        worth = by_position(len(pushed) + np.arange(len(chosen)))
        if classifier is not None:
            proba = classifier.predict_proba(pool.X[chosen])
    answers = None
    if proba is not None and classifier is not None:
        names = classifier.classes[proba.argmax(axis=1)]
        answers = [(str(name), float(p)) for name, p in zip(names, proba.max(axis=1), strict=True)]
    return Window([int(task_id) for task_id in pool.task_ids[chosen]], [float(value) for value in worth], answers)


def _n_groups(config: LabelConfig) -> int:
    return max(COVERAGE_LABELS_AT_LEAST, COVERAGE_LABELS_A_CLASS * len(config.labels))
