"""Marked texts as other tools take them: one text with positions in code points, tagged tokens, entities."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from label_studio_al.learning.passages import Passage
from label_studio_al.learning.sequences.units import offsets
from label_studio_al.learning.spans import Span

OUTSIDE = "O"


def text_of(passages: Sequence[Passage]) -> str:
    """The passages as one text, each in a line of its own."""
    return "\n".join(passage.text for passage in passages)


def in_text(spans: Iterable[Span], passages: Sequence[Passage]) -> list[Span]:
    """The spans with code points of `text_of` as their positions; those that do not lie within it are left out."""
    firsts = [passage.first for passage in passages]
    begins = [sum(len(passage.text) + 1 for passage in passages[:place]) for place in range(len(passages))]

    def place(position: int) -> int:
        nth = max(0, bisect_right(firsts, position) - 1)
        return begins[nth] + passages[nth].index(position) if passages else 0

    end_of_all = passages[-1].positions[-1] if passages else 0
    found = [(place(start), place(end), label) for start, end, label in spans if end <= end_of_all]
    return [span for span in found if span[0] < span[1]]


def apart(spans: Iterable[Span]) -> list[Span]:
    """Spans of which none has a character of another one: of those that share some the first, of these the longest."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda one: (one[0], -one[1], one[2])):
        if not found or span[0] >= found[-1][1]:
            found.append(span)
    return found


def tagged(text: str, spans: Iterable[Span]) -> list[list[tuple[str, str]]]:
    """The tokens of each line with their BIO tags. A token is in a span if a character of it is."""
    sentences, begin = [], 0
    left, nth = apart(spans), 0
    for line in text.split("\n"):
        sentence, inside = list[tuple[str, str]](), None
        for start, end in offsets(line):
            while nth < len(left) and left[nth][1] <= begin + start:
                nth += 1
            span = left[nth] if nth < len(left) and left[nth][0] < begin + end else None
            sentence.append(
                (line[start:end], OUTSIDE if span is None else f"{'I' if span == inside else 'B'}-{span[2]}")
            )
            inside = span
        sentences.append(sentence)
        begin += len(line) + 1
    return [sentence for sentence in sentences if sentence]
