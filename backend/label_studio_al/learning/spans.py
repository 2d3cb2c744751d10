"""Answers that are spans of a text, each with a label, as texts: `[[0, 5, "PER"]]`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from label_studio_al.runtime.errors import InvalidRequest

# Where it starts and ends (exclusive), as positions of its passages (see learning.passages), and its label.
Span: TypeAlias = tuple[int, int, str]

# Answers are read again and again: by training, measuring and the page.
_CACHED = 65_536


def answer_of(spans: Iterable[Span]) -> str:
    """The text that stands for these spans, in any order; the same span twice is one."""
    return json.dumps(sorted(set(spans)), ensure_ascii=False)


@lru_cache(maxsize=_CACHED)
def spans_of(answer: str) -> tuple[Span, ...]:
    """The spans of an answer, in order, whether or not it says how sure each is. Raises InvalidRequest otherwise."""
    try:
        return tuple((start, end, label) for start, end, label, *_ in json.loads(answer))
    except (ValueError, TypeError):
        raise InvalidRequest(f"{answer[:60]!r} are no spans") from None


def scored(answer: str, parts: Iterable[float]) -> str:
    """The answer with how probable each of its spans is, for people: `[[0, 5, "PER", 0.93]]`."""
    pairs = zip(spans_of(answer), parts, strict=True)
    return json.dumps([[*span, round(float(share), 6)] for span, share in pairs], ensure_ascii=False)


def is_answer(answer: str) -> bool:
    """Whether a text is an answer of spans: the label config may have asked something else before."""
    try:
        spans_of(answer)
    except InvalidRequest:
        return False
    return True


def scores_of(answer: str, otherwise: float) -> list[float]:
    """How probable each span of an answer is; `otherwise` where it does not say."""
    return [float(rest[0]) if rest else otherwise for _, _, _, *rest in json.loads(answer)]


# What a span is taken for that is missed, and what is taken for a span that is none.
NO_SPAN = "no span"


def overlap(one: Span, other: Span) -> bool:
    """Whether two spans have a character in common."""
    return one[0] < other[1] and other[0] < one[1]


def confused(truth: str, predicted: str) -> list[tuple[str, str]]:
    """Of each span that only one of two answers has: its label, and the other's there, or that there is no span."""
    true, said = set(spans_of(truth)), set(spans_of(predicted))
    missed, vain = sorted(true - said), sorted(said - true)
    found = [(span[2], other[2]) for span in missed for other in vain if overlap(span, other)]
    found += [(span[2], NO_SPAN) for span in missed if not any(overlap(span, other) for other in vain)]
    found += [(NO_SPAN, span[2]) for span in vain if not any(overlap(span, other) for other in missed)]
    return [pair for pair in found if pair[0] != pair[1]]
