"""Which of two texts: whoever swaps them swaps the answer."""

from __future__ import annotations

from collections.abc import Mapping

from label_studio_al.learning.classifier import Classifier, fit_classifier
from label_studio_al.learning.coding import OneLabel
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.types import Array


class Preference(OneLabel):
    """An answer is one of two labels, about differences between two texts (see layouts.Layout.choices_of_sides).

    A logistic regression on differences without an intercept: the model of Bradley and Terry 1952, with features.
    """

    of_sides = True

    def fit(
        self, X: Matrix, y: Array, allowed: Array | None, temperature: float, thresholds: Mapping[str, float]
    ) -> Classifier:
        """As of the contract."""
        return fit_classifier(X, y, allowed, temperature, is_odd=True)


PREFERENCE = Preference()
