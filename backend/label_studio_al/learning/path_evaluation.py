"""How good predicted paths are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from label_studio_al.learning.evaluation import Estimate, LabelQuality, Outcome, proportion
from label_studio_al.learning.paths import PathSets
from label_studio_al.learning.set_evaluation import SetEvaluation, evaluate_sets, qualities


@dataclass(frozen=True)
class PathEvaluation(SetEvaluation):
    """As for sets, of paths. labels: those that occur.

    top_level_accuracy: the share of answers whose top levels are right; top_levels: how well each of them is found.
    """

    top_level_accuracy: Estimate | None
    top_levels: tuple[LabelQuality, ...]

    @property
    def recall(self) -> Mapping[str, float | None]:
        """Of each top level."""
        return {one.label: one.recall for one in self.top_levels}


def evaluate_paths(outcomes: Sequence[Outcome], labels: Sequence[str], seed: int = 0) -> PathEvaluation:
    """The quality of predicted paths. labels: the project's, of which those that occur come first, in this order."""
    coding = PathSets()
    counts = coding.counts([one for outcome in outcomes for one in (outcome.label, outcome.predicted)])
    found = evaluate_sets(outcomes, [label for label in labels if label in counts], seed, coding)
    pairs = [(coding.tops(outcome.label), coding.tops(outcome.predicted)) for outcome in outcomes]
    met = sorted(set[str]().union(*(tops for pair in pairs for tops in pair)))
    names = list(dict.fromkeys([*map(coding.group, labels), *met]))
    has, said = (
        np.array([[name in pair[side] for name in names] for pair in pairs], dtype=bool).reshape(-1, len(names))
        for side in (0, 1)
    )
    n_right = sum(true == predicted for true, predicted in pairs)
    return PathEvaluation(
        **{field.name: getattr(found, field.name) for field in fields(found)},
        top_level_accuracy=proportion(n_right, len(pairs)) if pairs else None,
        top_levels=qualities(names, names, has, said),
    )
