"""Spans and the texts that they are marked in."""

from __future__ import annotations

from label_studio_al.learning.passages import Marking
from label_studio_al.learning.spans import Span, spans_of


def end_of(text: str, marking: Marking) -> int:
    """The position behind the last character that a span may have."""
    return max((passage.positions[-1] for passage in marking.passages(text)), default=0)


def beyond(answer: str, text: str, marking: Marking) -> Span | None:
    """The first span of an answer that reaches beyond its text; None where all lie in it. answer: "" for none."""
    end = end_of(text, marking) if answer else 0
    return next((span for span in spans_of(answer) if span[1] > end), None) if answer else None
