"""Several models of the same tasks, in one pass over the features."""

from __future__ import annotations

from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest

from label_studio_al.learning.beliefs import Beliefs, Measure
from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.coding import Learned
from label_studio_al.learning.features import Features, TextRows
from label_studio_al.learning.label_sets import fit_sets
from label_studio_al.learning.layouts import EMBEDDINGS, TFIDF
from label_studio_al.learning.rows import Matrix, Weights, selected
from label_studio_al.learning.strategies import MEASURES, entropy, margin
from label_studio_al.learning.together import MAX_SUMS, measured
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest
from tests.unit.test_learning_features import Lengths

WORDS = ("red", "green", "blue", "apple", "plum", "pie", "cake", "tart", "bread")
RANDOM = np.random.default_rng(0)
TEXTS = [" ".join(RANDOM.choice(WORDS, size=size)) for size in RANDOM.integers(2, 9, size=300)]


class Sure:
    """A model that is not linear."""

    classes = np.array(["a", "b"])

    def believe(self, X: Matrix) -> Beliefs:
        raise NotImplementedError

    def decisions(self, X: Matrix) -> Array:
        raise NotImplementedError

    def measured(self, X: Matrix, measure: Measure) -> Array:
        return np.full(X.shape[0], 0.25)


class Counted(TextRows):
    """Rows that count the passes over them."""

    passes = 0

    def map_product(self, weights: Weights, work: object) -> Array:
        type(self).passes += 1
        return super().map_product(weights, work)  # type: ignore[arg-type]


@pytest.fixture(params=[0, 2_000], ids=["in blocks", "at once"])
def X(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> TextRows:  # noqa: N802
    monkeypatch.setattr("label_studio_al.learning.features.LARGE", request.param)
    monkeypatch.setattr("label_studio_al.learning.features.SUMS_AT_ONCE", 640)
    monkeypatch.setattr("label_studio_al.learning.features.ROWS_AT_LEAST", 64)
    return Features.fit_transform(TEXTS, Lengths())[1]


def classes(n: int) -> Array:
    return np.array([f"{name:02}" for name, _ in zip(cycle(range(n)), range(80), strict=False)])


def models(X: TextRows) -> list[Learned]:
    """Of all kinds, of other columns, and one that is too wide for any company."""
    known, choices = X[:80], Features.fit_transform(TEXTS, Lengths())[0].choices()
    has = np.array([[word in text.split() for word in WORDS] for text in TEXTS[:80]])
    sets = fit_sets(known, has, np.array(sorted(WORDS)), choices[TFIDF])
    return [
        fit_classifier(known, classes(3), choices[EMBEDDINGS]),
        replace(sets, temperature=1.7, thresholds=np.linspace(0.2, 0.8, len(WORDS))),
        Sure(),
        fit_classifier(known, classes(2), choices[TFIDF], temperature=0.6),
        fit_classifier(known, classes(40)),
        fit_classifier(known, classes(30)),
    ]


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_each_model_says_what_it_says_alone(X: TextRows, measure: Measure) -> None:
    for rows in (X, selected(X, np.arange(20, 290, 3))):
        found = measured(models(X), rows, measure)
        for together, one in zip(found, models(X), strict=True):
            np.testing.assert_allclose(together, one.measured(rows, measure), atol=2e-6)


def test_models_share_a_pass_until_they_are_too_wide() -> None:
    _, X = Features.fit_transform(TEXTS, None)
    rows, known = Counted(X.terms, X.topics, X.scales, X.embedding), X[:80]
    small, large = fit_classifier(known, classes(3)), fit_classifier(known, classes(40))
    for several, n_passes in (([small], 1), ([small, small, large], 1), ([large, small, large], 2), ([], 0)):
        assert sum(one.weights.shape[1] for one in several) <= n_passes * MAX_SUMS
        Counted.passes = 0
        assert len(measured(several, rows, margin)) == len(several)
        assert Counted.passes == n_passes


def test_models_of_other_features_are_refused() -> None:
    _, X = Features.fit_transform(TEXTS, None)
    _, other = Features.fit_transform(TEXTS, Lengths())
    ours, theirs = (fit_classifier(rows[:80], classes(2)) for rows in (X, other))
    with pytest.raises(InvalidRequest, match="need the same features, have"):
        measured([ours, theirs], X, entropy)
    with pytest.raises(InvalidRequest, match="features must have"):
        measured([theirs, theirs], X, entropy)
