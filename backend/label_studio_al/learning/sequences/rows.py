"""Tasks whose texts are sequences of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from label_studio_al.learning.layouts import Encoder
from label_studio_al.learning.passages import Marking
from label_studio_al.learning.sequences.pool_words import PoolWords
from label_studio_al.learning.sequences.units import Units, Vocabulary


@dataclass(frozen=True)
class Sequences:
    """The tokens of tasks. vocabulary: goes on after that of the pool's words."""

    units: Units
    vocabulary: Vocabulary
    words: PoolWords

    def __len__(self) -> int:
        return self.units.n_texts

    @property
    def some(self) -> Sequences:
        """Some texts of the pool, labelled or not."""
        return Sequences(self.words.some, self.words.vocabulary, self.words)

    def followed_by(self, more: Sequence[Sequences]) -> Sequences:
        """These tasks, then others with the same vocabulary."""
        return replace(self, units=self.units.followed_by([one.units for one in more]))

    def __getitem__(self, tasks: Any) -> Sequences:
        """Those of some tasks (indices, a mask or a slice)."""
        return replace(self, units=self.units[tasks])


@dataclass(frozen=True)
class MarkedWords:
    """How the words of a pool occur in the texts that spans are marked in."""

    marking: Marking
    pool: PoolWords

    @classmethod
    def fit(cls, marking: Marking, texts: Sequence[str], encoder: Encoder | None) -> MarkedWords:
        """texts: those of the tasks as one each."""
        return cls(marking, PoolWords.fit([marking.passages(text) for text in texts], encoder))

    def without_unused(self, used: Sequences) -> MarkedWords:
        """The same without the words that these texts do not have; itself where they have all."""
        gone = np.setdiff1d(np.arange(len(self.pool.vocabulary)), used.units.words)
        named = {number for number in gone.tolist() if not self.pool.vocabulary.added[number].startswith("\0")}
        return replace(self, pool=self.pool.without(set(gone.tolist()))) if named else self

    def sequences(self, texts: Sequence[str], vocabulary: Vocabulary | None = None) -> Sequences:
        """The tokens of texts. vocabulary: where words that the pool does not have are to be kept."""
        vocabulary = Vocabulary(self.pool.vocabulary) if vocabulary is None else vocabulary
        return Sequences(Units.of([self.marking.passages(text) for text in texts], vocabulary), vocabulary, self.pool)
