"""All taggings of sequences at once: their sum, their best, and what they say of every token and span.

Tags are, in this order, O (outside), B of each class (a span begins) and I of each class (it goes on). I follows only
B and I of its own class; of other transitions the weight depends on the tag that is left, the tag that is entered, and
whether a span is left. So a step takes time linear in the number of classes. Before a sequence stands O.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from label_studio_al.learning.sequences.packing import Packing
from label_studio_al.learning.types import Array

# Of one token's scores the lowest counts as no lower than this below the highest, so that no sum underflows.
MOST_BELOW = 300.0


def n_tags(n_classes: int) -> int:
    """O, and B and I of each class."""
    return 1 + 2 * n_classes


@dataclass(frozen=True)
class Transitions:
    """Weights between neighbouring tags, of logarithms.

    enter: shape (2, 1 + n_classes), from O and from a span to O and to each B. leave: shape (2 * n_classes,), from each
    B and I to anything but its own I. stay: the same shape, from each B and I to its own I.
    """

    enter: Array
    leave: Array
    stay: Array

    @classmethod
    def of(cls, flat: Array, n_classes: int) -> Transitions:
        """From one row of numbers, see `flat`."""
        first = 2 * (1 + n_classes)
        return cls(flat[:first].reshape(2, -1), flat[first : first + 2 * n_classes], flat[first + 2 * n_classes :])

    @property
    def flat(self) -> Array:
        """Shape (`n_weights(n_classes)`,)."""
        return np.concatenate([self.enter.ravel(), self.leave, self.stay])

    @property
    def n_classes(self) -> int:
        """Of spans."""
        return len(self.leave) // 2

    def counted(self, tags: Array, packing: Packing) -> Array:
        """How often each weight counts in given tags, as `flat` has them. tags: shape (n_tokens,), packed."""
        before, here = self._neighbours(tags, packing)
        n, stays = self.n_classes, here > self.n_classes
        from_span = (before > 0).astype(np.int64)
        entered = np.bincount((from_span * (1 + n) + here)[~stays], minlength=2 * (1 + n))
        left = np.bincount(before[~stays & (before > 0)] - 1, minlength=2 * n)
        stayed = np.bincount(before[stays] - 1, minlength=2 * n)
        return np.concatenate([entered, left, stayed]).astype(float)

    def scores(self, tags: Array, packing: Packing) -> Array:
        """The weight of the way into each token's tag. tags: shape (n_tokens,), packed, allowed. Returns this shape."""
        if not len(tags):
            return np.zeros(0)
        before, here = self._neighbours(tags, packing)
        stays = here > self.n_classes
        leave, stay = np.concatenate([[0.0], self.leave]), np.concatenate([[0.0], self.stay])
        entered = self.enter[(before > 0).astype(np.int64), np.where(stays, 0, here)] + leave[before]
        return np.asarray(np.where(stays, stay[before], entered))

    def _neighbours(self, tags: Array, packing: Packing) -> tuple[Array, Array]:
        before = np.zeros_like(tags)
        before[packing.n_first :] = tags[packing.before]
        return before, tags


def n_weights(n_classes: int) -> int:
    """Of transitions."""
    return 2 + 6 * n_classes


class Lattice:
    """What scores of tokens and transitions say of sequences.

    Source: Lafferty et al. 2001; Rabiner 1989 for the scaling.

    scores: shape (n_tokens, n_tags), packed, of logarithms.
    """

    def __init__(self, scores: Array, transitions: Transitions, packing: Packing) -> None:
        self.scores = scores
        self.transitions = transitions
        self.packing = packing
        self._n = transitions.n_classes
        self._top = scores.max(axis=1, initial=-np.inf) if len(scores) else np.zeros(0)
        self._potential = np.exp(np.maximum(scores - self._top[:, None], -MOST_BELOW))
        self._enter, self._leave, self._stay = (
            np.exp(part) for part in (transitions.enter, transitions.leave, transitions.stay)
        )
        # What of each tag goes on from O, and what from a span that has ended.
        self._out = np.zeros((n_tags(self._n), 2))
        self._out[0, 0], self._out[1:, 1] = 1.0, self._leave
        self.forward, self._scale = self._run_forward()

    @property
    def log_sums(self) -> Array:
        """Logarithm of the sum over all taggings of each sequence. Returns shape (n_sequences,)."""
        return self.packing.sums(np.log(self._scale) + self._top)

    @cached_property
    def backward(self) -> Array:
        """What comes after each token, given its tag, relative to all taggings. Returns shape (n_tokens, n_tags)."""
        return self._run_backward()[0]

    @cached_property
    def marginals(self) -> Array:
        """The probability of each tag of each token. Returns shape (n_tokens, n_tags), rows sum to 1."""
        return self.forward * self.backward

    @property
    def expected(self) -> Array:
        """How often each weight of the transitions counts on average, over all sequences, as `Transitions.flat`."""
        n, packing = self._n, self.packing
        ahead, before = self._ahead[packing.n_first :], self.forward[packing.before]
        entered = self._enter * ((before @ self._out).T @ ahead[:, : 1 + n])
        entered[0] += self._enter[0] * (self._ahead[: packing.n_first, : 1 + n]).sum(axis=0)
        to_outside = ahead[:, : 1 + n] @ self._enter[1]
        left = self._leave * (to_outside @ before[:, 1:])
        stayed = self._stay * np.einsum("tkc,tc->kc", before[:, 1:].reshape(-1, 2, n), ahead[:, 1 + n :]).ravel()
        return np.concatenate([entered.ravel(), left, stayed])

    def span_logs(self, sequences: Array, firsts: Array, lasts: Array, classes: Array) -> Array:
        """Logarithms of the probability that exactly these tokens are a span of this class.

        sequences, firsts, lasts, classes: shape (n_spans,); positions of a span's first and last token in its sequence.
        """
        packing, n = self.packing, self._n
        begin = np.cumsum(packing.lengths) - packing.lengths
        first, last = begin[sequences] + firsts, begin[sequences] + lasts
        with np.errstate(divide="ignore"):
            found = np.log(self.forward[packing.place[first], 1 + classes])
            more = lasts - firsts
            span = np.repeat(np.arange(len(more)), more)
            nth = np.arange(len(span)) - np.repeat(np.cumsum(more) - more, more)
            rows = packing.place[first[span] + 1 + nth]
            kind = np.where(nth == 0, 0, n) + classes[span]
            steps = np.log(self._potential[rows, 1 + n + classes[span]] / self._scale[rows] * self._stay[kind])
            found += np.bincount(span, weights=steps, minlength=len(found))
            goes_on = lasts + 1 < packing.lengths[sequences]
            after = self._ahead[packing.place[np.where(goes_on, last + 1, last)], : 1 + n] @ self._enter[1]
            after *= self._leave[np.where(more > 0, n, 0) + classes]
            return np.asarray(np.minimum(found + np.log(np.where(goes_on, after, 1.0)), 0.0))

    def best(self, bias: float = 0.0) -> Array:
        """The most probable tagging. bias: taken from O's scores. Returns shape (n_tokens,), packed tags.

        Source: Viterbi 1967.
        """
        n, packing, way = self._n, self.packing, self.transitions
        scores = self.scores - np.where(np.arange(n_tags(n)) == 0, bias, 0.0)
        reached = np.empty_like(scores)
        # Where each tag's best way comes from: one of the two kinds of sources of O and B, B or I of I's.
        turns = np.zeros(scores.shape, dtype=bool)
        ends = np.zeros(len(scores), dtype=np.int64)
        for place, step in enumerate(packing.steps):
            here, turn = reached[step], turns[step]
            if not place:
                here[:, : 1 + n] = way.enter[0]
                here[:, 1 + n :] = -np.inf
            else:
                before = reached[packing.steps[place - 1]][: len(here)]
                leaving = before[:, 1:] + way.leave
                end = ends[step] = leaving.argmax(axis=1)
                spans = leaving[np.arange(len(here)), end]
                from_o, from_span = before[:, :1] + way.enter[0], spans[:, None] + way.enter[1]
                turn[:, : 1 + n] = from_span > from_o
                here[:, : 1 + n] = np.maximum(from_o, from_span)
                from_b, from_i = np.split(before[:, 1:] + way.stay, 2, axis=1)
                turn[:, 1 + n :] = from_i > from_b
                here[:, 1 + n :] = np.maximum(from_b, from_i)
            here += scores[step]
        return self._traced(reached.argmax(axis=1) if len(reached) else np.zeros(0, dtype=np.int64), turns, ends)

    def _traced(self, tags: Array, turns: Array, ends: Array) -> Array:
        """The tags on the way to each sequence's best last one."""
        n, steps = self._n, self.packing.steps
        for place in range(len(steps) - 1, 0, -1):
            step = steps[place]
            here = tags[step]
            turn = turns[step][np.arange(len(here)), here]
            entered = np.where(turn, ends[step] + 1, 0)
            stayed = here - np.where(turn, 0, n)
            first = steps[place - 1].start
            tags[first : first + len(here)] = np.where(here > n, stayed, entered)
        return tags

    def path_logs(self, tags: Array) -> Array:
        """Logarithm of the probability of each sequence's tags. Returns shape (n_sequences,)."""
        own = self.scores[np.arange(len(tags)), tags] + self.transitions.scores(tags, self.packing)
        return np.asarray(np.minimum(self.packing.sums(own) - self.log_sums, 0.0))

    def _run_forward(self) -> tuple[Array, Array]:
        n, steps = self._n, self.packing.steps
        forward, scale = np.empty_like(self._potential), np.empty(len(self._potential))
        for place, step in enumerate(steps):
            here = forward[step]
            if not place:
                here[:, : 1 + n] = self._enter[0]
                here[:, 1 + n :] = 0.0
            else:
                before = forward[steps[place - 1]][: len(here)]
                np.matmul(before @ self._out, self._enter, out=here[:, : 1 + n])
                stayed = before[:, 1:] * self._stay
                np.add(stayed[:, :n], stayed[:, n:], out=here[:, 1 + n :])
            here *= self._potential[step]
            sums = here.sum(axis=1)
            scale[step] = sums
            here /= sums[:, None]
        return forward, scale

    @cached_property
    def _ahead(self) -> Array:
        """What each tag of each token is worth together with all that comes after."""
        return self._run_backward()[1]

    def _run_backward(self) -> tuple[Array, Array]:
        n, steps = self._n, self.packing.steps
        backward, ahead = np.ones_like(self._potential), self._potential / self._scale[:, None]
        for place in range(len(steps) - 1, 0, -1):
            here = ahead[steps[place]]
            here *= backward[steps[place]]
            first = steps[place - 1].start
            found = backward[first : first + len(here)]
            np.matmul(here[:, : 1 + n] @ self._enter.T, self._out.T, out=found)
            stayed = here[:, 1 + n :]
            found[:, 1 : 1 + n] += stayed * self._stay[:n]
            found[:, 1 + n :] += stayed * self._stay[n:]
        if steps:
            ahead[steps[0]] *= backward[steps[0]]
        self.__dict__["backward"], self.__dict__["_ahead"] = backward, ahead
        return backward, ahead
