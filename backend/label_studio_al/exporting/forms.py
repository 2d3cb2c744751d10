"""What in an export depends on the classifier's class: scikit-learn's classifier, the example, the card's words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.multioutput import MultiOutputClassifier

from label_studio_al.exporting.tables import LABEL, LABELS, PATH, SPANS
from label_studio_al.learning.classifier import Classifier
from label_studio_al.learning.coding import Learned
from label_studio_al.learning.label_sets import SetClassifier
from label_studio_al.learning.paths import PathClassifier, PathSetClassifier
from label_studio_al.learning.sequences.classifier import SpanClassifier
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import NotExportable

# What `predict` says in the column of a label that a text does not have.
ABSENT = ""


@dataclass(frozen=True)
class Form:
    """How classifiers of one class are written.

    estimator: the same classifier in scikit-learn's classes, given the weights of the columns that are kept, shape
    (n_columns, n_outputs). wide: what its `predict_proba` gives, as `Beliefs.wide`. thresholds: by label, from which
    probability on a text has it; None where the most probable label is answered. column: of people's answers in the
    table. example: the file of this folder that becomes `predict.py`. what, is_made_of, gives, knows, holds, cells: for
    the card.
    """

    estimator: Callable[[Any, Array], Any]
    wide: Callable[[Any], Array]
    thresholds: Callable[[Any], dict[str, float] | None]
    column: str
    example: str
    gives: str
    knows: str
    cells: str = ""
    what: str = "A text classifier"
    is_made_of: str = "a scikit-learn pipeline"
    holds: tuple[str, ...] = (
        "It is a file of joblib, which runs code when it is loaded: load it only if you trust where it comes from, and "
        "with the releases of `requirements.txt`.",
        "It holds words and word pairs of the project's texts.",
    )

    @property
    def marks_spans(self) -> bool:
        """Whether it marks spans: then files of its own are written (see span_files), and no pipeline."""
        return self.column == SPANS


def form_of(classifier: Learned) -> Form:
    """How this classifier is written. Raises NotExportable where scikit-learn has nothing like it."""
    if isinstance(classifier, PathSetClassifier):
        raise NotExportable("models of several paths a task cannot be exported yet, only those of one path")
    found = FORMS.get(type(classifier))
    if found is None:
        raise NotExportable("only linear classifiers can be written as parts of scikit-learn, which this model is not")
    return found


def _one_label(classifier: Classifier, weights: Array) -> LogisticRegression:
    scaled = weights.T.astype(np.float64) / classifier.temperature
    return _regression(classifier.classes, scaled, classifier.intercept / classifier.temperature)


def _label_sets(classifier: SetClassifier, weights: Array) -> MultiOutputClassifier:
    scaled = np.ascontiguousarray(weights.T, dtype=np.float64) / classifier.temperature
    intercept = classifier.intercept / classifier.temperature
    by_label: Any = MultiOutputClassifier(FixedThresholdClassifier(LogisticRegression()))
    by_label.estimators_ = [
        _with_threshold(name, threshold, _regression(np.array([ABSENT, name]), scaled[row, None], intercept[row, None]))
        for row, (name, threshold) in enumerate(_thresholds(classifier).items())
    ]
    by_label.classes_ = [one.classes_ for one in by_label.estimators_]
    by_label.n_features_in_ = len(weights)
    return by_label


def _with_threshold(name: str, threshold: float, regression: LogisticRegression) -> FixedThresholdClassifier:
    made: Any = FixedThresholdClassifier(
        LogisticRegression(), threshold=threshold, pos_label=name, response_method="predict_proba"
    )
    made.estimator_ = regression
    made.n_features_in_ = regression.n_features_in_
    return made


def _regression(classes: Array, weights: Array, intercept: Array) -> LogisticRegression:
    """weights: shape (n_outputs, n_columns)."""
    regression: Any = LogisticRegression()
    regression.classes_ = classes
    regression.coef_ = weights
    regression.intercept_ = intercept
    regression.n_features_in_ = weights.shape[1]
    return regression


def _no_estimator(classifier: Learned, weights: Array) -> Any:
    raise NotExportable("no part of scikit-learn marks spans")


def _thresholds(classifier: SetClassifier) -> dict[str, float]:
    return dict(zip(classifier.classes.tolist(), classifier.thresholds.tolist(), strict=True))


_ONE_LABEL = Form(
    estimator=_one_label,
    wide=np.asarray,
    thresholds=lambda _: None,
    column=LABEL,
    example="predict.py",
    gives="label names and probabilities out",
    knows="It knows the labels above only, and always answers one of them, whatever the text.",
)
FORMS: Mapping[type, Form] = {
    Classifier: _ONE_LABEL,
    PathClassifier: replace(
        _ONE_LABEL,
        column=PATH,
        example="predict_paths.py",
        gives="paths (names with ` / ` between them) and their probabilities out",
        knows="It knows the paths above only, and always answers one of them, whatever the text. Its `predict` gives "
        "the most probable path; `predict.py` goes down the tree as the backend does, at each node into the most "
        "probable branch.",
        cells="`path` and `predicted` are JSON lists of paths, each a list of names.",
    ),
    SetClassifier: Form(
        estimator=_label_sets,
        wide=np.hstack,
        thresholds=_thresholds,
        column=LABELS,
        example="predict_sets.py",
        gives="the labels of each text and a probability for each label out (`predict` has a column for each label: "
        "its name, or an empty text where a text does not have it)",
        knows="It knows the labels above only, and gives a text any number of them, or none. It decides on each by "
        "itself: that two labels go together or exclude each other, it does not know.",
        cells="`labels` and `predicted` are JSON lists, `[]` for none of the labels.",
    ),
    SpanClassifier: Form(
        estimator=_no_estimator,
        wide=np.asarray,
        thresholds=lambda _: None,
        column=SPANS,
        example="predict_spans.py",
        gives="spans with their labels and probabilities out (`SpanModel.load(folder).mark(text)`)",
        knows="It knows the labels above only. Spans begin and end where words do, and never overlap.",
        cells="`spans` and `predicted` are lists of `[start, end, label]`, `[]` if there is none (in CSV as JSON); "
        "positions count the characters (code points) of `text`.",
        what="A model that marks spans",
        is_made_of="one module, `span_model.py`, with its weights in files of numbers",
        holds=("It holds words of the project's texts.",),
    ),
}
