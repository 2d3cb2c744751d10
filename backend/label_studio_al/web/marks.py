"""Texts with their spans marked, as the status page shows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from label_studio_al.learning.passages import Marking
from label_studio_al.learning.spans import Span
from label_studio_al.learning.texts import readable
from label_studio_al.questions import LabelConfig

EXCERPT_CHARACTERS = 160
# Of what stands before a span that begins behind the excerpt.
BEFORE_CHARACTERS = 40
_MORE = "\N{HORIZONTAL ELLIPSIS}"


@dataclass(frozen=True)
class Piece:
    """Some of a text. label: of the span that it is; None where it is none."""

    text: str
    label: str | None = None


def excerpt(text: str, spans: Iterable[Span] = (), about: Span | None = None) -> list[Piece]:
    """The beginning of a task's text, or what is around a span that lies behind it.

    spans: in code points of the text (see Marking.located). Of those that overlap, the first is marked; of those that
    begin together, the longest. about: the span to be seen; by default the first one.
    """
    found = sorted(spans, key=lambda span: (span[0], -span[1]))
    about = about or next(iter(found), None)
    begin = max(0, about[0] - BEFORE_CHARACTERS) if about and about[1] > EXCERPT_CHARACTERS else 0
    end = min(len(text), begin + EXCERPT_CHARACTERS)
    pieces, place = [Piece(_MORE)] * (begin > 0), begin
    for first, last, label in found:
        start, stop = max(first, begin), min(last, end)
        if place <= start < stop:
            pieces += [Piece(text[place:start]), Piece(text[start:stop], label)]
            place = stop
    rest = text[place:end]
    pieces.append(Piece(rest.rstrip() + _MORE if end < len(text) else rest))
    return [Piece(readable(one.text), one.label) for one in pieces if one.text]


@dataclass(frozen=True)
class Texts:
    """The texts that a page shows. of: by task; markings: by question that marks spans; shown: the question's name."""

    of: Mapping[int, str] = field(default_factory=dict)
    markings: Mapping[str, Marking] = field(default_factory=dict)
    shown: str = ""

    @property
    def is_of_spans(self) -> bool:
        """Whether the question that is shown marks spans."""
        return self.shown in self.markings

    def plain(self, task_id: int) -> list[Piece]:
        """A task's text; nothing where it has none."""
        return excerpt(self.of.get(task_id, ""))

    def asked(self, task: Mapping[str, Any]) -> list[Piece]:
        """That of a task of `/status`, with the spans that the model marks."""
        text = self.of.get(task["task_id"], "")
        guesses = [one for one in task["guesses"] if "spans" in one]
        found = [span for one in guesses for span in self._located(text, one.get("question"), one["spans"])]
        return excerpt(text, found)

    def labelled(self, suspect: Mapping[str, Any]) -> list[Piece]:
        """That of a suspect of `/status`, as people marked it."""
        return self._suspect(suspect, "spans")

    def predicted(self, suspect: Mapping[str, Any]) -> list[Piece]:
        """The same as models mark it."""
        return self._suspect(suspect, "predicted_spans")

    def _suspect(self, suspect: Mapping[str, Any], key: str) -> list[Piece]:
        text = self.of.get(suspect["task_id"], "")
        one, other = (self._located(text, self.shown, suspect.get(by, [])) for by in ("spans", "predicted_spans"))
        differ = sorted(set(one) ^ set(other))
        return excerpt(text, one if key == "spans" else other, differ[0] if differ else None)

    def _located(self, text: str, question: str | None, spans: Iterable[Sequence[Any]]) -> list[Span]:
        marking = self.markings.get(question or next(iter(self.markings), ""))
        return (
            [] if marking is None else marking.located(text, [(start, end, label) for start, end, label, *_ in spans])
        )


def markings_of(config: LabelConfig) -> dict[str, Marking]:
    """Where the questions that mark spans have their texts, by question."""
    found = config.content.markings
    marks = {question.name: question.coding.marks for question in config.questions}
    return {name: found[marked] for name, marked in marks.items() if marked is not None}
