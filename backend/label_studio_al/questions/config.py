"""What a label config asks, and which part of a task it asks about."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from label_studio_al.labeling.content import Content, is_read, is_text, read_part
from label_studio_al.labeling.tags import Tag, read_tags
from label_studio_al.labeling.visibility import Condition, read_conditions
from label_studio_al.questions.base import NOT_ANSWERED, Answer, Question, Reading
from label_studio_al.questions.offers import NO_OFFERS, read_offers
from label_studio_al.questions.registry import find_kind
from label_studio_al.runtime.errors import AwaitsTasks, InvalidRequest, UnsupportedConfig

# As many projects as a status page may have.
CACHED_CONFIGS = 2_048
# Controls that a sentence names.
_SHOWN = 3


@dataclass(frozen=True)
class Control:
    """A control of a label config, and what becomes of it: the question that it asks, or why that is not learned.

    awaits: the field of the tasks that says what it offers, of a control that may be learned once they are read.
    """

    name: str
    tag: str
    question: Question | None = None
    reason: str = ""
    awaits: str | None = None


@dataclass(frozen=True)
class LabelConfig:
    """Questions about what a task shows.

    questions: in the config's order, one or more. content: what is read of a task. others: names of the controls that
    are left to people. conditions: by question, when it is asked; of those that are not always.
    """

    questions: tuple[Question, ...]
    content: Content
    others: frozenset[str] = frozenset()
    conditions: tuple[tuple[str, tuple[Condition, ...]], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the questions."""
        return tuple(question.name for question in self.questions)

    @property
    def question(self) -> Question:
        """The one that is asked, where it is the only one."""
        (found,) = self.questions
        return found

    def only(self, name: str | None = None) -> LabelConfig:
        """The config with one of its questions: the one of that name, or the only one. Raises InvalidRequest."""
        asked, found = ", ".join(self.names), [one for one in self.questions if name in (None, one.name)]
        if not found:
            raise InvalidRequest(f"the label config asks {asked}, not {name!r}")
        if len(found) > 1:
            raise InvalidRequest(f"the label config asks {asked}: say which with --question")
        others = self.others | {one.name for one in self.questions if one not in found}
        return replace(self, questions=tuple(found), others=others)

    def read(self, result: object) -> dict[str, Reading]:
        """What an annotation's result says of each question, whatever else it holds of other controls."""
        if not isinstance(result, list):
            return {question.name: question.read(result) for question in self.questions}
        own: dict[str, list[Any]] = {name: [] for name in self.names}
        strangers = []
        for item in result:
            found = item if isinstance(item, dict) else {}
            name = found.get("from_name")
            # Whoever writes annotations by the API may write anything: a name may be a list.
            name = name if isinstance(name, str) else None
            if name in own:
                own[name].append(item)
            elif name not in self.others and found.get("type") != "relation":
                strangers.append(item)
        return {one.name: self._reading(one, [*own[one.name], *strangers], result) for one in self.questions}

    def _reading(self, question: Question, own: list[Any], result: list[Any]) -> Reading:
        if own:
            return question.read(own)
        found = question.read(own) if self._is_asked(question.name, result) else NOT_ANSWERED
        return replace(found, is_implied=found.answer is not None)

    def _is_asked(self, name: str, result: Sequence[object]) -> bool:
        """Whether the labelling page shows a question beside these answers."""
        return all(condition.holds(result) for condition in self._conditions.get(name, ()))

    @cached_property
    def _conditions(self) -> Mapping[str, tuple[Condition, ...]]:
        return dict(self.conditions)

    def write(self, answers: Mapping[str, tuple[Answer, float]]) -> list[dict[str, Any]]:
        """The result items of a prediction. answers: to some of the questions, with their probabilities.

        What the page would not show beside the other answers is left out.
        """
        items = {one.name: one.write(*answers[one.name]) for one in self.questions if one.name in answers}
        shown = [item for own in items.values() for item in own]
        # What is hidden shows nothing either, and so on.
        for _ in items:
            shown = [item for name, own in items.items() if self._is_asked(name, shown) for item in own]
        return shown

    def text_of(self, data: Mapping[str, Any]) -> str | None:
        """The task's text; None if it has none."""
        return self.content.text_of(data)

    def shown_of(self, data: Mapping[str, Any]) -> str:
        """The task's text for people: with the names of images' files in place of their addresses."""
        return self.content.shown_of(data)


@lru_cache(maxsize=CACHED_CONFIGS)
def read_controls(xml: str, offers: str = NO_OFFERS) -> tuple[Control, ...]:
    """What becomes of each control of a label config, in its order. Raises UnsupportedConfig if it is none.

    offers: what the project's tasks offer (see questions.offers).
    """
    controls, objects = read_tags(xml)
    offered = read_offers(offers)
    found, sides = [], None
    for control in controls:
        made = _control(replace(control, offered=offered.get(control.field or "")), objects)
        if made.question is not None and made.question.coding.of_sides:
            sides = sides or control.to_name
            if control.to_name != sides:
                reason = f"another control chooses between {' and '.join(sides)}"
                made = replace(made, question=None, reason=reason)
        found.append(made)
    return tuple(found)


@lru_cache(maxsize=CACHED_CONFIGS)
def parse_config(xml: str, offers: str = NO_OFFERS) -> LabelConfig:
    """The questions that a label config asks. Raises UnsupportedConfig with one sentence if none can be learned.

    offers: as of `read_controls`. Raises AwaitsTasks where one may be learned once tasks are read.
    """
    found = read_controls(xml, offers)
    if not found:
        raise UnsupportedConfig("the label config has no control, such as <Choices>")
    learned = [control for control in found if control.question is not None]
    if not learned:
        reasons = "; ".join(f"{control.name}, because {control.reason}" for control in found[:_SHOWN])
        if any(control.awaits for control in found):
            raise AwaitsTasks(f"the label config waits for tasks: {reasons}")
        raise UnsupportedConfig(f"nothing of the label config can be learned: {reasons}")
    controls, objects = read_tags(xml)
    questions = tuple(control.question for control in learned if control.question is not None)
    others = frozenset(one.name for one in found if one.question is None)
    # What is left to people may be shown of regions only.
    asked = [control for control in controls if control.name not in others]
    conditions = ((control.name, read_conditions((*control.around, control.attributes))) for control in asked)
    of_sides = {question.name for question in questions if question.coding.of_sides}
    sides = next((control.to_name for control in controls if control.name in of_sides), [])
    marked = {question.coding.marks for question in questions}
    return LabelConfig(questions, _content(objects, sides, marked), others, tuple(one for one in conditions if one[1]))


def awaited_fields(xml: str) -> list[str]:
    """The fields of the tasks that say what a label config offers; none where it is no label config."""
    try:
        return list(dict.fromkeys(control.awaits for control in read_controls(xml) if control.awaits))
    except UnsupportedConfig:
        return []


def _control(control: Tag, objects: list[Tag]) -> Control:
    try:
        kind = find_kind(control)
        shown = _shown(control, objects)
        read_conditions((*control.around, control.attributes))
        question = kind.of(control, shown)
        if question.coding.of_sides:
            _check_sides(control, objects)
        return Control(control.name, control.tag, question)
    except AwaitsTasks as exc:
        return Control(control.name, control.tag, reason=str(exc), awaits=control.field)
    except UnsupportedConfig as exc:
        return Control(control.name, control.tag, reason=str(exc))


def _shown(control: Tag, objects: list[Tag]) -> Tag:
    """The text or the image that a control asks about. Raises UnsupportedConfig with one sentence."""
    asked_about = [found for found in objects if found.name in control.to_name]
    if missing := set(control.to_name).difference(found.name for found in objects):
        named = ", ".join(name[:40] for name in control.to_name if name in missing) or "none"
        raise UnsupportedConfig(f"<{control.tag}> must point to objects of the label config, not to {named}")
    shared = next((tag.name for tag in (control, *asked_about) if tag.shares_name), None)
    if shared is not None:
        raise UnsupportedConfig(f"names must be unique, and several tags have the name {shared[:40]!r}")
    known = [found for found in asked_about if is_read(found)]
    if not known:
        raise UnsupportedConfig(f"no model for a <{control.tag}> about <{asked_about[0].tag}> is built in")
    for shown in known:
        read_part(shown)
    return known[0]


def _check_sides(control: Tag, objects: list[Tag]) -> None:
    """Raises UnsupportedConfig where a control compares what is no text."""
    for shown in objects:
        if shown.name in control.to_name and not is_text(shown):
            raise UnsupportedConfig(f"no model for a <{control.tag}> about <{shown.tag}> is built in")


def _content(objects: list[Tag], sides: Sequence[str], marked: Collection[str | None]) -> Content:
    """All texts and images that are shown: what stands beside the one that is asked about helps to answer, too.

    sides: names of two of them, of which one is to be chosen; or none. marked: names of those that spans are marked in.
    """
    parts = {}
    for shown in filter(is_read, objects):
        # What cannot be read, or is the same for all tasks, tells nothing.
        with suppress(UnsupportedConfig):
            parts[shown.name] = replace(read_part(shown), is_exact=shown.name in marked)
    names = list(parts)
    return Content(
        parts=tuple(parts.values()),
        sides=(names.index(sides[0]), names.index(sides[1])) if sides else None,
        marked=tuple((name, place) for place, name in enumerate(names) if name in marked),
    )
