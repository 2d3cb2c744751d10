"""What a model of spans says of texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.types import Array


@dataclass(frozen=True, kw_only=True)
class SpanBeliefs(Beliefs):
    """Of each task its most probable spans: one decision, whether exactly these are right.

    answers: shape (n_tasks,), as texts. parts: of each task how probable each of its spans is. certainty: shape
    (n_tasks,), the probability of the answer, with the time that reading takes.
    """

    answers: Array
    parts: tuple[tuple[float, ...], ...]
    certainty: Array

    @classmethod
    def of(
        cls, answers: Sequence[str], parts: Iterable[tuple[float, ...]], logs: Array, n_tokens: Array
    ) -> SpanBeliefs:
        """logs, n_tokens: shape (n_tasks,), of each text the logarithm of its answer's probability, and its length.

        A long text is always less certain than a short one, and takes longer to read. So the logarithm is divided by
        the root of the length: by the length itself the shortest texts would be asked first. Measured, see
        docs/benchmarks.md. Source: Settles and Craven 2008, who divide by the length.
        """
        confidence = np.minimum(np.exp(logs), 1.0)
        return cls(
            np.stack([1 - confidence, confidence], axis=1)[:, None, :],
            np.array([False, True]),
            np.array([""]),
            answers=np.array(answers, dtype=str),
            parts=tuple(parts),
            certainty=np.minimum(np.exp(logs / np.sqrt(np.maximum(1, n_tokens))), 1.0),
        )

    def __getitem__(self, tasks: Array) -> SpanBeliefs:
        """As of all beliefs."""
        return replace(
            self,
            proba=self.proba[tasks],
            answers=self.answers[tasks],
            certainty=self.certainty[tasks],
            parts=tuple(self.parts[task] for task in np.arange(len(self))[tasks].tolist()),
        )

    def followed_by(self, others: Sequence[Beliefs]) -> SpanBeliefs:
        """As of all beliefs."""
        found = [one for one in others if isinstance(one, SpanBeliefs)]
        return replace(
            self,
            proba=np.concatenate([self.proba, *(one.proba for one in found)]),
            answers=np.concatenate([self.answers, *(one.answers for one in found)]),
            certainty=np.concatenate([self.certainty, *(one.certainty for one in found)]),
            parts=sum((one.parts for one in found), self.parts),
        )

    @property
    def centred(self) -> Beliefs:
        """The less certain the best spans are, the less certain the task: against them stands at most as much again."""
        return uncertain(self.certainty)


def uncertain(certainty: Array) -> Beliefs:
    """Beliefs whose uncertainty falls with these values, by every measure. certainty: shape (n_tasks,), in [0, 1]."""
    against = (1 - certainty) / 2
    return Beliefs(np.stack([against, 1 - against], axis=1)[:, None, :], np.array([False, True]), np.array([""]))
