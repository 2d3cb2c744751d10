"""<Labels> and the like: spans of a text, each with a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from label_studio_al.labeling.tags import VARIABLE, Tag, option
from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.evaluation import Evaluation, Outcome
from label_studio_al.learning.passages import LINE, line_and_offset, position_in_line
from label_studio_al.learning.sequences.answers import SpanAnswers
from label_studio_al.learning.sequences.evaluation import evaluate_spans
from label_studio_al.learning.spans import Span, answer_of, scores_of, spans_of
from label_studio_al.questions.base import NOT_ANSWERED, OTHER_CONTROL, OTHER_TYPE, UNKNOWN_LABEL, Answer, Reading
from label_studio_al.questions.items import came, check_values, items_of, json_list
from label_studio_al.runtime.errors import InvalidRequest, UnsupportedConfig

# Which objects each control marks. Measured on 1.23.2: plain <Labels> on <Paragraphs> marks nothing.
_MARKS = {"Labels": ("Text", "HyperText"), "HyperTextLabels": ("HyperText",), "ParagraphLabels": ("Paragraphs",)}
_MAX_POSITION = 1 << 31
# Of a line's number: no dialogue has more of them.
_DIGITS = 4
# What a data file says of a span: in this order, or under these names.
_STATED = ("start", "end", "label")


@dataclass(frozen=True)
class Spans:
    """Which spans of a text, perhaps none. An answer is a list of them as one text (see learning.spans).

    tag, marked_tag: the control's, and that of what it marks.
    """

    name: str
    object_name: str
    labels: tuple[str, ...]
    tag: str = "Labels"
    marked_tag: str = "Text"
    fingerprint: ClassVar[str] = "spans"

    @property
    def coding(self) -> SpanAnswers:
        """As of the contract."""
        return SpanAnswers(self.object_name)

    @classmethod
    def reads(cls, control: Tag) -> bool:
        """Whether a control asks for spans."""
        return control.tag in _MARKS

    @classmethod
    def of(cls, control: Tag, shown: Tag) -> Spans:
        """Raises UnsupportedConfig with one sentence."""
        if shown.tag not in _MARKS[control.tag]:
            allowed = " or ".join(f"<{tag}>" for tag in _MARKS[control.tag])
            raise UnsupportedConfig(f"<{control.tag}> must mark {allowed}, not <{shown.tag}>")
        if len(control.to_name) > 1:
            raise UnsupportedConfig(f"<{control.tag}> must mark one text, not {' and '.join(control.to_name)}")
        if option(control.attributes, "value").startswith("$") or any(map(VARIABLE.search, control.labels)):
            raise UnsupportedConfig("the labels must stand in the label config, not come from the tasks")
        if not control.labels:
            raise UnsupportedConfig(f"<{control.tag}> must offer a label")
        check_values(control, "Label")
        return cls(control.name, shown.name, control.labels, control.tag, shown.tag)

    # -- reading ----------------------------------------------------------------------------------------------

    def read(self, result: object) -> Reading:
        """The spans of a result; an empty one is the answer that there is none."""
        if not isinstance(result, list):
            return NOT_ANSWERED
        items = items_of(result, self.name)
        if not items:
            return Reading(unread=OTHER_CONTROL) if result else Reading(answer_of(()))
        spans: list[Span] = []
        unoffered: dict[str, None] = {}
        for item in items:
            span, labels = self._span(item), self._labels(item)
            if span is None or labels is None:
                return Reading(unread=OTHER_TYPE)
            spans += [(*span, label) for label in labels if label in self.labels]
            unoffered |= dict.fromkeys(label for label in labels if label not in self.labels)
        if unoffered and not spans:
            return Reading(None, UNKNOWN_LABEL, tuple(unoffered))
        return Reading(answer_of(spans), None, tuple(unoffered))

    def _labels(self, item: dict[str, Any]) -> list[str] | None:
        """Those of a span; of one without any, none is learned."""
        value = item.get("value")
        found = value.get(self._key, []) if isinstance(value, dict) else None
        is_read = isinstance(found, list) and all(isinstance(label, str) for label in found)
        return found if is_read else None

    def _span(self, item: dict[str, Any]) -> tuple[int, int] | None:
        """Where it starts and ends, without blanks at its ends; None where that is no span."""
        value = item["value"] if isinstance(item.get("value"), dict) else {}
        places = _places(value, self.marked_tag)
        if places is None or not 0 <= places[0] < places[1] < _MAX_POSITION:
            return None
        start, end = places
        text = value.get("text")
        if isinstance(text, str) and text.strip() and len(text) == end - start:
            return start + len(text) - len(text.lstrip()), end - (len(text) - len(text.rstrip()))
        return start, end

    def parse(self, value: object) -> Answer:
        """A list of `[start, end, label]` or of objects with these three, or its JSON."""
        found = json_list(value) if isinstance(value, str) else value
        rule = 'must be a list of spans ([[0, 5, "a"]]: from the first character to the one behind the last)'
        if not isinstance(found, list):
            raise InvalidRequest(f"{rule}, not {came(value)}")
        spans = [_stated(one) for one in found]
        if None in spans:
            raise InvalidRequest(f"{rule}, not {came(found[spans.index(None)])}")
        return answer_of(filter(None, spans))

    # -- writing ----------------------------------------------------------------------------------------------

    def write(self, answer: Answer, confidence: float) -> list[dict[str, Any]]:
        """An item a span, in their order, each with its own probability where the answer says it."""
        pairs = zip(spans_of(answer), scores_of(answer, confidence), strict=True)
        return [self._item(span, share) for span, share in pairs]

    def _item(self, span: Span, confidence: float) -> dict[str, Any]:
        start, end, label = span
        return {
            "from_name": self.name,
            "to_name": self.object_name,
            "type": self._key,
            "value": {**_value(start, end, self.marked_tag), self._key: [label]},
            "score": round(float(confidence), 6),
        }

    @property
    def _key(self) -> str:
        """Under which Label Studio keeps the labels, and how it calls the item."""
        return self.tag.lower()

    def best(
        self, beliefs: Beliefs, k: int, given: Sequence[Answer | None] | None = None
    ) -> list[list[tuple[Answer, float]]]:
        """The most probable spans, and how probable each is; given ones tell nothing: copies may differ in blanks."""
        return [[pair] for pair in self.coding.scored(beliefs)]

    def figures(self, outcomes: Sequence[Outcome], labels: Sequence[str], seed: int) -> Evaluation:
        """As of the contract, by spans."""
        return evaluate_spans(outcomes, labels, seed)

    @property
    def summary(self) -> str:
        """As of the contract."""
        return f"spans of {len(self.labels)} labels" if len(self.labels) > 1 else "spans of one label"

    def show(self, answer: Answer) -> str:
        """How many spans of each label."""
        counts = Counter(label for _, _, label in spans_of(answer))
        return ", ".join(f"{n} {label}" for label, n in sorted(counts.items())) or "no span"


def _stated(one: object) -> Span | None:
    """A span of a data file; None where that is none."""
    parts = [one.get(key) for key in _STATED] if isinstance(one, dict) else one
    if not (isinstance(parts, list) and len(parts) == len(_STATED)):
        return None
    start, end, label = _place(parts[0]), _place(parts[1]), parts[2]
    if start is None or end is None or start >= end or not (isinstance(label, str) and label.strip()):
        return None
    return start, end, label


def _places(value: dict[str, Any], tag: str) -> tuple[int, int] | None:
    """Positions of a span that Label Studio wrote; None where it has none."""
    if tag == "Paragraphs":
        places = [_in_line(value.get(end), value.get(f"{end}Offset")) for end in ("start", "end")]
    else:
        # Without paths, positions may stand as on <Text>: the page draws them and writes them so.
        found = value.get("globalOffsets", value) if tag == "HyperText" else value
        places = [_place(found.get(end)) if isinstance(found, dict) else None for end in ("start", "end")]
    start, end = places
    return None if start is None or end is None else (start, end)


def _in_line(line: object, offset: object) -> int | None:
    place = _place(offset)
    is_line = isinstance(line, str) and line.isdecimal() and len(line) <= _DIGITS
    return position_in_line(int(str(line)), place) if is_line and place is not None and place < LINE else None


def _place(value: object) -> int | None:
    is_place = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_POSITION
    return int(str(value)) if is_place else None


def _value(start: int, end: int, tag: str) -> dict[str, Any]:
    """As Label Studio writes positions."""
    if tag == "Paragraphs":
        (line, first), (last_line, last) = line_and_offset(start), line_and_offset(end)
        return {"start": str(line), "end": str(last_line), "startOffset": first, "endOffset": last}
    if tag == "HyperText":
        # The page needs paths to draw anything, and goes by the positions where the paths lead nowhere (1.23.2).
        nowhere = {"start": "", "end": "", "startOffset": 0, "endOffset": 0}
        return {**nowhere, "globalOffsets": {"start": start, "end": end}}
    return {"start": start, "end": end}
