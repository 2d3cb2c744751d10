"""Small pools for the query strategies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.strategies import DrawFn

from label_studio_al.learning.beliefs import Beliefs, Measure, one_decision
from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.coding import ONE_LABEL
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.rows import Matrix, Rows
from label_studio_al.learning.strategies import Query
from label_studio_al.learning.types import Array

N_COLUMNS = 24


def probabilities(n_tasks: int, n_labels: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).dirichlet(np.ones(n_labels), n_tasks)


@st.composite
def any_probabilities(draw: DrawFn, min_labels: int = 1) -> Array:
    shape = (draw(st.integers(0, 8)), draw(st.integers(min_labels, 6)))
    raw = draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1)))
    raw = raw + np.where(raw.sum(axis=1, keepdims=True) < 1e-6, 1.0, 0.0)
    return np.asarray(raw / raw.sum(axis=1, keepdims=True))


def features(n_tasks: int, seed: int = 0, n_columns: int = N_COLUMNS) -> tuple[Array, Array]:
    """Rows of length 1, a third of them not 0, around three topics; and each row's label."""
    random = np.random.default_rng(seed)
    topics = random.integers(3, size=n_tasks)
    X = random.random((n_tasks, n_columns)) * (random.random((n_tasks, n_columns)) < 0.3)
    X[np.arange(n_tasks), topics] += 1.0
    X[:, -1] = random.random(n_tasks)  # or many are at the very same distance
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), np.array(["a", "b", "c"])[topics]


def as_dense(X: Array) -> Any:
    return X


def as_sparse(X: Array) -> Any:
    return sp.csr_matrix(X)


def as_rows(X: Array) -> Any:
    return Rows((sp.csr_matrix(X[:, :10]), X[:, 10:]))


FORMS = {"dense": as_dense, "sparse": as_sparse, "rows": as_rows}


def labelled(X: Matrix, y: Array, keys: Array | None = None) -> Labelled:
    """Tasks are numbered by their places where no keys are given."""
    return Labelled(X, y, np.arange(len(y)) if keys is None else keys)


class Answers:
    """A classifier that has answered already. pairs: rows, and the probabilities of exactly these."""

    def __init__(self, *pairs: tuple[Matrix, Array]) -> None:
        self._pairs = pairs

    def believe(self, X: Matrix) -> Beliefs:
        return beliefs(next(proba for rows, proba in self._pairs if rows is X))

    def measured(self, X: Matrix, measure: Measure) -> Array:
        return self.believe(X).measured(measure)


def beliefs(proba: Array) -> Beliefs:
    """Of one decision a task, whose classes are numbered."""
    return one_decision(proba, np.arange(proba.shape[1]))


def make_query(n_tasks: int = 60, n_labelled: int = 12, seed: int = 0, **changed: Any) -> Query:
    """A pool of three labels, all of them met; tasks are numbered by their places.

    `changed`: fields of the query, and `X_labelled`, `y` and `keys_labelled` of its labelled tasks.
    """
    X, y = features(n_labelled + n_tasks, seed=5)
    known, pool = sp.csr_matrix(X[:n_labelled]), sp.csr_matrix(X[n_labelled:])
    fields = {
        "X": pool,
        "Z": X[n_labelled:],
        "X_labelled": known,
        "Z_labelled": X[:n_labelled],
        "y": y[:n_labelled],
        "n": 10,
        "batch": 4,
        "seed": seed,
        "fit": fit_classifier,
    } | changed
    labels = fields["y"]
    fields.setdefault("keys", np.arange(n_tasks))
    fields.setdefault("keys_labelled", 1_000 + np.arange(len(labels)))
    if "classifier" not in fields:
        trains = len(np.unique(labels)) > 1
        fields["classifier"] = fit_classifier(fields["X_labelled"], labels) if trains else None
    coding = fields.pop("coding", ONE_LABEL)
    known = labelled(fields.pop("X_labelled"), fields.pop("y"), fields.pop("keys_labelled"))
    fields["labelled"] = replace(known, coding=coding)
    return Query(**fields)
