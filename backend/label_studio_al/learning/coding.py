"""How answers become decisions that a model is trained on, and a model's decisions become answers."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
from scipy.special import expit, log_softmax

from label_studio_al.learning.beliefs import Beliefs, Measure, one_decision
from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.contradictions import Suspect, contradicted
from label_studio_al.learning.label_sets import ABSENT_PRESENT, SetClassifier, fit_sets
from label_studio_al.learning.predictions import Predictions, most_probable
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest

# Fewer texts with a label do not tell from which probability on it should be decided for.
THRESHOLD_FROM = 10
THRESHOLDS = (0.1, 0.9)
# Of every kind of answer.
METRICS = ("accuracy", "macro_f1", "micro_f1")


class Learned(Protocol):
    """A trained model of one kind of answer. classes: those that it knows, sorted."""

    @property
    def classes(self) -> Array: ...  # noqa: D102

    def decisions(self, X: Matrix) -> Array:
        """What it computes before probabilities, as `Coding.losses` takes it. Returns shape (n_tasks, n_classes)."""

    def believe(self, X: Matrix) -> Beliefs:
        """What it says of tasks."""

    def measured(self, X: Matrix, measure: Measure) -> Array:
        """As of `Beliefs.measured`, without keeping what it says of all tasks. Returns shape (n_tasks,)."""


class Coding(Protocol):
    """Of one kind of answer. y: shape (n_tasks,), answers as texts, the same text for the same answer."""

    @property
    def has_one_class(self) -> bool:
        """Whether an answer is one class."""

    @property
    def of_sides(self) -> bool:
        """Whether an answer says which of two texts: its model may only see how these differ."""

    @property
    def marks(self) -> str | None:
        """The object in whose text an answer marks spans; None where it does not."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of what `scores` measures, accuracy first; what ends in `_error` is the better the lower it is."""

    def settled(self, y: Iterable[str]) -> Coding:
        """That of answers like these, where it depends on what people gave: models and what measures them share it."""

    def classes(self, y: Array) -> Array:
        """The classes that occur, sorted."""

    def counts(self, y: Iterable[str]) -> Counter[str]:
        """In how many answers each class is."""

    def group(self, name: str) -> str:
        """As what a class counts where all must have been met: itself, or the branch of a tree that it is on."""

    def renamed(self, answer: str, names: Mapping[str, str]) -> str:
        """The answer with other names of its classes."""

    def within(self, answer: str, classes: Container[str]) -> str | None:
        """What of the answer these classes can say; None where it has classes and all of them are others."""

    def confused(self, truth: str, predicted: str) -> list[tuple[str, str]]:
        """Which class was taken for which other one."""

    def aligned(self, beliefs: Beliefs, classes: Array) -> Beliefs:
        """As of a model that knows all these classes; probability 0 for those that this one does not."""

    def sure(self, answer: str, n: int, classes: Array) -> Beliefs:
        """What a model would say of n tasks that knows this answer only. classes: as of `aligned`."""

    def contradicted(self, y: Array, beliefs: Beliefs, classes: Array) -> list[Suspect]:
        """Which answers beliefs contradict, those most contradicted first. classes: as of `aligned`."""

    def strata(self, y: Array) -> Array:
        """By what folds are balanced. Returns shape (n_tasks,), sortable."""

    def fit(
        self, X: Matrix, y: Array, allowed: Array | None, temperature: float, thresholds: Mapping[str, float]
    ) -> Learned:
        """A model of these answers. allowed: columns that may be used, None for all. Raises InvalidRequest."""

    def decide(self, beliefs: Beliefs) -> Predictions:
        """The most probable answer to each task."""

    def scores(self, truth: Array, predicted: Array) -> dict[str, float]:
        """How good predicted answers are, by each of `metrics`."""


class Decided(ABC):
    """What holds of all answers whose decisions are the same for each task."""

    marks: str | None = None

    @abstractmethod
    def encode(self, y: Array, classes: Array) -> Array:
        """What each decision's truth is, as its column. classes: sorted, all that occur.

        Returns shape (n_tasks, n_decisions).
        """

    @abstractmethod
    def changed(self, answer: str, classes: Array, decision: int, column: int) -> str:
        """The answer, had one decision gone otherwise."""

    @abstractmethod
    def losses(self, decisions: Array, truth: Array) -> Array:
        """Negative log-likelihood of each task. truth: of `encode`. Returns shape (n_tasks,)."""

    @abstractmethod
    def thresholds(self, decisions: Array, truth: Array) -> Array | None:
        """From which probability on each class is decided for, chosen on held-out decisions; None where that is not."""

    def contradicted(self, y: Array, beliefs: Beliefs, classes: Array) -> list[Suspect]:
        """As of the contract, by decisions."""

        def changed(example: int, decision: int, column: int) -> str:
            return self.changed(str(y[example]), classes, decision, column)

        return contradicted(y, beliefs.proba, self.encode(y, classes).astype(int), changed)


def decided(coding: Coding) -> Decided:
    """The coding of answers whose decisions are the same for each task. Raises InvalidRequest for all others."""
    if not isinstance(coding, Decided):
        raise InvalidRequest("this works where the same is decided on each task")
    return coding


class OneLabel(Decided):
    """An answer is one label: one decision of as many classes as there are."""

    has_one_class = True
    of_sides = False
    metrics: tuple[str, ...] = METRICS

    def settled(self, y: Iterable[str]) -> Coding:
        """Itself."""
        return self

    def classes(self, y: Array) -> Array:
        """As of the contract."""
        return np.unique(y)

    def counts(self, y: Iterable[str]) -> Counter[str]:
        """As of the contract."""
        return Counter(y)

    def group(self, name: str) -> str:
        """Itself."""
        return name

    def renamed(self, answer: str, names: Mapping[str, str]) -> str:
        """As of the contract."""
        return names[answer]

    def within(self, answer: str, classes: Container[str]) -> str | None:
        """As of the contract."""
        return answer if answer in classes else None

    def confused(self, truth: str, predicted: str) -> list[tuple[str, str]]:
        """As of the contract."""
        return [] if truth == predicted else [(truth, predicted)]

    def encode(self, y: Array, classes: Array) -> Array:
        """The place of each label. Returns shape (n_tasks, 1)."""
        return np.searchsorted(classes, y)[:, None]

    def aligned(self, beliefs: Beliefs, classes: Array) -> Beliefs:
        """As of the contract, with one decision."""
        proba = np.zeros((len(beliefs), len(classes)))
        proba[:, np.searchsorted(classes, beliefs.classes)] = beliefs.wide
        return one_decision(proba, classes)

    def sure(self, answer: str, n: int, classes: Array) -> Beliefs:
        """As of the contract."""
        column = self.encode(np.array([answer]), classes)[0]
        return one_decision(np.repeat(np.eye(len(classes))[column], n, axis=0), classes)

    def changed(self, answer: str, classes: Array, decision: int, column: int) -> str:
        """The other label."""
        return str(classes[column])

    def strata(self, y: Array) -> Array:
        """As of the contract."""
        return y

    def losses(self, decisions: Array, truth: Array) -> Array:
        """As of the contract, of a softmax. decisions: shape (n_tasks, n_classes)."""
        return np.asarray(-log_softmax(decisions, axis=1)[np.arange(len(truth)), truth[:, 0]])

    def thresholds(self, decisions: Array, truth: Array) -> Array | None:
        """None: the most probable class is decided for."""
        return None

    def fit(
        self, X: Matrix, y: Array, allowed: Array | None, temperature: float, thresholds: Mapping[str, float]
    ) -> Learned:
        """As of the contract."""
        return fit_classifier(X, y, allowed, temperature)

    def decide(self, beliefs: Beliefs) -> Predictions:
        """As of the contract."""
        return most_probable(beliefs.wide, beliefs.classes)

    def scores(self, truth: Array, predicted: Array) -> dict[str, float]:
        """As of the contract; micro-F1 is accuracy."""
        from sklearn.metrics import f1_score

        accuracy = float((truth == predicted).mean())
        macro = f1_score(truth, predicted, average="macro", zero_division=0)
        return {"accuracy": accuracy, "macro_f1": float(macro), "micro_f1": accuracy}


class SetAnswers:
    """What holds of all answers that are made of labels."""

    of_sides = False

    def labels(self, answer: str) -> list[str]:
        """The labels of an answer."""
        return labels_of(answer)

    def answer(self, labels: Iterable[str]) -> str:
        """The answer of labels."""
        return text_of(labels)

    def classes(self, y: Array) -> Array:
        """As of the contract."""
        return np.array(sorted({label for text in np.unique(y).tolist() for label in self.labels(text)}), dtype=str)

    def counts(self, y: Iterable[str]) -> Counter[str]:
        """As of the contract."""
        return Counter(label for text, n in Counter(y).items() for label in self.labels(text) for _ in range(n))

    def renamed(self, answer: str, names: Mapping[str, str]) -> str:
        """As of the contract."""
        return self.answer(names[label] for label in self.labels(answer))

    def within(self, answer: str, classes: Container[str]) -> str | None:
        """As of the contract: an empty set stays what it is."""
        labels = self.labels(answer)
        known = [label for label in labels if label in classes]
        return self.answer(known) if known or not labels else None

    def confused(self, truth: str, predicted: str) -> list[tuple[str, str]]:
        """Each label that was missed, with each that was predicted in vain."""
        true, said = set(self.labels(truth)), set(self.labels(predicted))
        return [(missed, vain) for missed in sorted(true - said) for vain in sorted(said - true)]


class LabelSets(SetAnswers, Decided):
    """An answer is a set of labels, perhaps none: a decision of two classes for each label."""

    has_one_class = False
    metrics: tuple[str, ...] = METRICS

    def settled(self, y: Iterable[str]) -> Coding:
        """Itself."""
        return self

    def group(self, name: str) -> str:
        """Itself."""
        return name

    def encode(self, y: Array, classes: Array) -> Array:
        """Which labels each answer has. Returns shape (n_tasks, n_labels), 0 or 1."""
        texts, places = np.unique(y, return_inverse=True)
        place_of = {name: place for place, name in enumerate(classes.tolist())}
        has = np.zeros((len(texts), len(classes)), dtype=np.int8)
        for row, text in enumerate(texts.tolist()):
            has[row, [place_of[label] for label in self.labels(text)]] = 1
        return np.asarray(has[places])

    def aligned(self, beliefs: Beliefs, classes: Array) -> Beliefs:
        """As of the contract, with a decision a label."""
        proba = np.zeros((len(beliefs), len(classes), 2))
        proba[:, :, 0] = 1.0
        proba[:, np.searchsorted(classes, beliefs.names)] = beliefs.proba
        return Beliefs(proba, ABSENT_PRESENT, classes)

    def sure(self, answer: str, n: int, classes: Array) -> Beliefs:
        """As of the contract."""
        columns = self.encode(np.array([answer]), classes)[0]
        return Beliefs(np.repeat(np.eye(2)[columns][None], n, axis=0), ABSENT_PRESENT, classes)

    def changed(self, answer: str, classes: Array, decision: int, column: int) -> str:
        """With or without one label."""
        return self.answer(set(self.labels(answer)) ^ {str(classes[decision])})

    def strata(self, y: Array) -> Array:
        """The rarest label of each answer, so that each fold gets its share of it; "" of an empty one."""
        classes = self.classes(y)
        has = self.encode(y, classes)
        if not len(classes):
            return np.full(len(y), "")
        rarity = np.where(has, -has.sum(axis=0, dtype=int), -len(y) - 1)
        return np.where(has.any(axis=1), classes[rarity.argmax(axis=1)], "")

    def losses(self, decisions: Array, truth: Array) -> Array:
        """As of the contract, of logistic functions. decisions: shape (n_tasks, n_classes)."""
        return np.asarray(np.logaddexp(0.0, np.where(truth, -decisions, decisions)).mean(axis=1))

    def thresholds(self, decisions: Array, truth: Array) -> Array | None:
        """Those with the highest F1, of labels that enough texts have; half a probability of the others."""
        return np.array([_best_threshold(expit(sums), has) for sums, has in zip(decisions.T, truth.T, strict=True)])

    def fit(
        self, X: Matrix, y: Array, allowed: Array | None, temperature: float, thresholds: Mapping[str, float]
    ) -> SetClassifier:
        """As of the contract."""
        classes = self.classes(y)
        cuts = np.array([thresholds.get(name, 0.5) for name in classes.tolist()])
        model = fit_sets(X, self.encode(y, classes), classes, allowed)
        return replace(model, temperature=temperature, thresholds=cuts)

    def chosen(self, beliefs: Beliefs) -> Array:
        """Which labels are decided for. Returns shape (n_tasks, n_labels), bool."""
        return np.asarray(beliefs.proba[:, :, 1] >= (0.5 if beliefs.thresholds is None else beliefs.thresholds))

    def decide(self, beliefs: Beliefs) -> Predictions:
        """Every label from its threshold on. Confidence: the product of what each decision says of what was decided."""
        is_in = self.chosen(beliefs)
        chosen = np.where(is_in, beliefs.proba[:, :, 1], beliefs.proba[:, :, 0])
        texts, places = self._texts(is_in, beliefs.names)
        return Predictions(texts[places], np.clip(chosen.prod(axis=1), 0.0, 1.0))

    def _texts(self, is_in: Array, names: Array) -> tuple[Array, Array]:
        """The different sets as texts, and which of them each row is. is_in: shape (n_tasks, n_labels), bool."""
        packed = np.packbits(is_in, axis=1) if is_in.shape[1] else np.zeros((len(is_in), 1), dtype=np.uint8)
        _, first, places = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        texts = [self.answer(names[is_in[row]].tolist()) for row in first.tolist()]
        return np.array(texts, dtype=str), places.ravel()

    def scores(self, truth: Array, predicted: Array) -> dict[str, float]:
        """As of the contract: the share of sets that are exactly right, and F1 over the labels that occur in either."""
        from sklearn.metrics import f1_score

        classes = np.union1d(self.classes(truth), self.classes(predicted))
        pair = self.encode(truth, classes), self.encode(predicted, classes)
        f1 = {f"{kind}_f1": float(f1_score(*pair, average=kind, zero_division=0)) for kind in ("macro", "micro")}
        return {"accuracy": float((truth == predicted).mean())} | f1


ONE_LABEL = OneLabel()
LABEL_SETS = LabelSets()


def group_counts(coding: Coding, labels: Iterable[str], y: Iterable[str]) -> dict[str, int]:
    """In how many answers each group of classes is (see `Coding.group`), those of `labels` first."""
    found = dict.fromkeys(map(coding.group, labels), 0)
    for answer, n in Counter(y).items():
        for group in dict.fromkeys(map(coding.group, coding.counts([answer]))):
            found[group] = found.get(group, 0) + n
    return found


def is_error(metric: str) -> bool:
    """Whether one of `Coding.metrics` is the better the lower it is."""
    return metric.endswith("_error")


def labels_of(text: str) -> list[str]:
    """The labels of a set that `text_of` wrote. Raises InvalidRequest for any other text."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise InvalidRequest(f"{text[:60]!r} is no set of labels")
    return found


def text_of(labels: Iterable[str]) -> str:
    """A set of labels as one text, the same for the same set."""
    return json.dumps(sorted(set(labels)), ensure_ascii=False)


def _best_threshold(probability: Array, has: Array) -> float:
    """The threshold of the highest F1 on held-out texts, drawn towards 0.5: few texts tell little."""
    n_positive = int(has.sum())
    if n_positive < THRESHOLD_FROM:
        return 0.5
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(has[order], dtype=int)
    f1 = 2.0 * hits / (np.arange(1, len(order) + 1) + n_positive)
    best = int(f1.argmax())
    after = probability[order[best + 1]] if best + 1 < len(order) else 0.0
    found = (probability[order[best]] + after) / 2
    weight = n_positive / (n_positive + THRESHOLD_FROM)
    return float(np.clip(weight * found + (1 - weight) * 0.5, *THRESHOLDS))
