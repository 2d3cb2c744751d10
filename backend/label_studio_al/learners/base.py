"""What makes models of labelled tasks: the contract that every learner keeps."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Protocol, TypeAlias

from label_studio_al.learning.coding import Coding, Learned
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.learner import Tuning
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.types import Array

# From rows of features and answers to a model.
Fit: TypeAlias = Callable[[Matrix, Array], Learned]


class Learner(Protocol):
    """Makes models of answers on rows of features. Two calls with the same arguments make the same model.

    trains: whether it learns from labels; one that does not predicts before the first. refits: whether models of some
    of the labels may be made beside the one of all of them, as committees and cross-validation need.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def trains(self) -> bool: ...  # noqa: D102

    @property
    def refits(self) -> bool: ...  # noqa: D102

    def serves(self, coding: Coding) -> bool:
        """Whether it makes models of such answers."""

    def missing(self, answers: Collection[str]) -> str | None:
        """What it still needs before it can train, for people; None where it can."""

    def tune(self, labelled: Labelled, choices: Mapping[str, Array], wanted: str, seed: int) -> Tuning:
        """What is decided before it trains. choices: columns by name; wanted: one of them, or `auto`."""

    def fitting(self, choices: Mapping[str, Array], tuning: Tuning, coding: Coding) -> Fit:
        """How models are made after this decision. What it gives raises InvalidRequest where something is missing."""
