"""Answers that are paths in a tree: one of them, or several.

An answer is JSON text: a sorted list of paths, each a list of names from the top. A class is a path as people read it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.classifier import Classifier
from label_studio_al.learning.coding import METRICS, Coding, LabelSets, Learned, OneLabel, SetAnswers
from label_studio_al.learning.label_sets import SetClassifier
from label_studio_al.learning.predictions import Predictions
from label_studio_al.learning.related import fit_related
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest

SEPARATOR = " / "
# What could be taken for a separator, or is used to tell it from one.
_AMBIGUOUS = re.compile(r"(^|\s)/|/(\s|$)|\\")
# Measured on 64 intents in 18 scenarios and 50 kinds of question in 6: variances beforehand of a path's own weights and
# of those that all paths below a node share, in multiples of that of independent classes.
OWN, SHARED = 3.0, 9.0
TOP_LEVEL_ACCURACY = "top_level_accuracy"


def name_of(path: Iterable[str]) -> str:
    """A path as people read it, another text for every other path."""
    return SEPARATOR.join(re.sub(r"([\\/])", r"\\\1", one) if _AMBIGUOUS.search(one) else one for one in path)


def path_of(name: str) -> tuple[str, ...]:
    """The path of a text that `name_of` made."""
    return tuple(re.sub(r"\\(.)", r"\1", one) for one in name.split(SEPARATOR))


def names_of(answer: str) -> list[str]:
    """The paths of an answer, as `name_of` writes them. Raises InvalidRequest for any other text."""
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(path, list) for path in found):
        raise InvalidRequest(f"{answer[:60]!r} is no list of paths")
    return list(map(name_of, found))


def answer_of(names: Iterable[str]) -> str:
    """Paths as one text, the same for the same paths."""
    return json.dumps(sorted(set(map(path_of, names))), ensure_ascii=False)


def answers_of(names: Array) -> Array:
    """The answer of each path alone. Returns shape (n_paths,)."""
    return np.array([answer_of([name]) for name in names.tolist()], dtype=str)


class PathAnswers(SetAnswers):
    """What holds of one path and of several. Never none."""

    metrics: tuple[str, ...] = (*METRICS, TOP_LEVEL_ACCURACY)

    def labels(self, answer: str) -> list[str]:
        """The paths of an answer."""
        return names_of(answer)

    def answer(self, labels: Iterable[str]) -> str:
        """The answer of paths."""
        return answer_of(labels)

    def group(self, name: str) -> str:
        """The top level of a path."""
        return name_of(path_of(name)[:1])

    def tops(self, answer: str) -> frozenset[str]:
        """The top levels of an answer's paths."""
        return frozenset(map(self.group, self.labels(answer)))


class OnePath(PathAnswers, OneLabel):
    """An answer is one path: one decision among all paths that occur, inner nodes too."""

    def encode(self, y: Array, classes: Array) -> Array:
        """The place of each path. Returns shape (n_tasks, 1)."""
        return np.searchsorted(classes, _only_names(y))[:, None]

    def changed(self, answer: str, classes: Array, decision: int, column: int) -> str:
        """The other path."""
        return answer_of([str(classes[column])])

    def fit(
        self, X: Matrix, y: Array, allowed: Array | None, temperature: float, thresholds: Mapping[str, float]
    ) -> Learned:
        """As of the contract: what a path teaches holds for others of the same branch, too."""
        found = fit_related(X, _only_names(y), branches, allowed, temperature)
        return PathClassifier(**{name: getattr(found, name) for name in PathClassifier.__dataclass_fields__})

    def decide(self, beliefs: Beliefs) -> Predictions:
        """Down the tree, at each node into the most probable branch, or to the node itself where that is an answer.

        So the top level is the most probable one, whatever the number of paths below it. Confidence: of the path.
        """
        proba = beliefs.wide
        found = walked(proba, [path_of(name) for name in beliefs.classes.tolist()])
        return Predictions(answers_of(beliefs.classes)[found], np.minimum(proba[np.arange(len(proba)), found], 1.0))

    def scores(self, truth: Array, predicted: Array) -> dict[str, float]:
        """As of the contract."""
        return super().scores(truth, predicted) | _top_level(self, truth, predicted)


class PathClassifier(Classifier):
    """Multinomial logistic regression of paths."""


class PathSetClassifier(SetClassifier):
    """A logistic regression for each path."""


@dataclass(frozen=True)
class PathSets(PathAnswers, LabelSets):
    """An answer is one path or several: a decision of two classes for each. at_most: None for any number."""

    at_most: int | None = None

    def fit(
        self, X: Matrix, y: Array, allowed: Array | None, temperature: float, thresholds: Mapping[str, float]
    ) -> PathSetClassifier:
        """As of the contract."""
        found = super().fit(X, y, allowed, temperature, thresholds)
        return PathSetClassifier(**{name: getattr(found, name) for name in PathSetClassifier.__dataclass_fields__})

    def chosen(self, beliefs: Beliefs) -> Array:
        """Every path from its threshold on: one at least, and no more than may be."""
        cuts = np.full(len(beliefs.names), 0.5) if beliefs.thresholds is None else beliefs.thresholds
        odds = beliefs.proba[:, :, 1] / cuts
        n_paths = odds.shape[1]
        best = np.argsort(-odds, axis=1, kind="stable")[:, : self.at_most or n_paths]
        is_in = np.zeros(odds.shape, dtype=bool)
        np.put_along_axis(is_in, best, np.take_along_axis(odds, best, axis=1) >= 1.0, axis=1)
        if n_paths:
            is_in[np.arange(len(is_in)), best[:, 0]] = True
        return is_in

    def scores(self, truth: Array, predicted: Array) -> dict[str, float]:
        """As of the contract."""
        return super().scores(truth, predicted) | _top_level(self, truth, predicted)


ONE_PATH = OnePath()


@dataclass(frozen=True)
class Paths(OnePath):
    """One path where people never gave several of them, or else several. at_most: as of PathSets."""

    at_most: int | None = None
    has_one_class = False

    def settled(self, y: Iterable[str]) -> Coding:
        """As of the contract."""
        return PathSets(self.at_most) if any(len(names_of(answer)) > 1 for answer in set(y)) else ONE_PATH

    def strata(self, y: Array) -> Array:
        """As of the contract."""
        return self.settled(y.tolist()).strata(y)

    def fit(
        self, X: Matrix, y: Array, allowed: Array | None, temperature: float, thresholds: Mapping[str, float]
    ) -> Learned:
        """As of the contract."""
        return self.settled(y.tolist()).fit(X, y, allowed, temperature, thresholds)

    def decide(self, beliefs: Beliefs) -> Predictions:
        """As of the coding that the model was trained with."""
        return PathSets(self.at_most).decide(beliefs) if beliefs.classes.dtype == bool else super().decide(beliefs)


def branches(classes: Array) -> sp.csr_matrix:
    """What the weights of paths are made of: some of their own, and those of the nodes above them.

    An inner node that is an answer beside paths below it is below itself, as is a path of one name. Source: Shahbaba
    and Neal 2007. Returns shape (n_classes, n_classes + n_nodes).
    """
    paths = [path_of(name) for name in classes.tolist()]
    inner = {path[:depth] for path in paths for depth in range(1, len(path))}
    nodes = [
        [path[:depth] for depth in range(1, len(path) + 1) if depth == 1 or depth < len(path) or path in inner]
        for path in paths
    ]
    place_of = {node: place for place, node in enumerate(dict.fromkeys(node for own in nodes for node in own))}
    on = [(row, place_of[node]) for row, own in enumerate(nodes) for node in own]
    is_on = sp.csr_matrix((np.ones(len(on)), tuple(zip(*on, strict=True))), shape=(len(paths), len(place_of)))
    return sp.hstack([np.sqrt(OWN) * sp.identity(len(paths)), np.sqrt(SHARED) * is_on], format="csr")


def walked(proba: Array, paths: Sequence[tuple[str, ...]]) -> Array:
    """Where each task ends that goes into the more probable branch at each node. proba: shape (n_tasks, n_paths).

    paths: no two the same. Returns shape (n_tasks,), places in `paths`.
    """
    found = np.zeros(len(proba), dtype=np.int64)
    left: list[tuple[Array, Array, int]] = [(np.arange(len(proba)), np.arange(len(paths)), 0)]
    while left:
        tasks, places, depth = left.pop()
        if len(places) == 1 or not len(tasks):
            found[tasks] = places[0] if len(places) else 0
            continue
        parts: dict[str | None, list[int]] = {}
        for column, place in enumerate(places.tolist()):
            # A node that is an answer is a branch of its own.
            parts.setdefault(paths[place][depth] if len(paths[place]) > depth else None, []).append(column)
        is_in = np.zeros((len(places), len(parts)), dtype=proba.dtype)
        for branch, columns in enumerate(parts.values()):
            is_in[columns, branch] = 1
        part = proba if len(tasks) == len(proba) and len(places) == len(paths) else proba[np.ix_(tasks, places)]
        best = (part @ is_in).argmax(axis=1)
        left += [(tasks[best == branch], places[own], depth + 1) for branch, own in enumerate(parts.values())]
    return found


def _only_names(y: Array) -> Array:
    """The only path of each answer. Raises InvalidRequest where one has several."""
    answers, places = np.unique(y, return_inverse=True)
    names = [names_of(answer) for answer in answers.tolist()]
    if several := [answer for answer, found in zip(answers.tolist(), names, strict=True) if len(found) != 1]:
        raise InvalidRequest(f"an answer must be one path, not {several[0][:60]}")
    return np.array([found[0] for found in names], dtype=str)[places]


def _top_level(coding: PathAnswers, truth: Array, predicted: Array) -> dict[str, float]:
    """The share of answers whose top levels are right."""
    pairs = zip(truth.tolist(), predicted.tolist(), strict=True)
    return {TOP_LEVEL_ACCURACY: float(np.mean([coding.tops(one) == coding.tops(other) for one, other in pairs]))}
