"""What of a task is read: the texts that the labelling page shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from label_studio_al.labeling.hypertext import body_text, shown_text
from label_studio_al.labeling.media import file_name, media_key
from label_studio_al.labeling.tags import VARIABLE, Tag, option
from label_studio_al.learning.comparison import COMPARED
from label_studio_al.learning.images import WithImages
from label_studio_al.learning.layouts import WHOLE, Layout
from label_studio_al.learning.passages import Marking
from label_studio_al.learning.sides import Sides
from label_studio_al.learning.texts import dialogue, joined
from label_studio_al.runtime.errors import UnsupportedConfig

IMAGE = "Image"
# The steps of a path to a value in a task.
_STEP = re.compile(r"[^.[\]]+")
# No list has so many items, and Python refuses to read numbers of thousands of digits.
_DIGITS = 10
# The labelling page takes the name to end before the hyphen.
_ODD_NAME = re.compile(VARIABLE.pattern + r"-\w", re.ASCII)
# A dialogue or a table may have thousands of lines: only the beginning of a text is ever learned from.
MAX_LINES = 2_000
MAX_DEPTH = 8
# Of more texts it is not known which belong together.
N_COMPARED = 2


@dataclass(frozen=True)
class Part:
    """One object of the label config that shows a text. value: what it shows, such as `$text` or `$title: $body`.

    name_key, text_key: of a dialogue, which fields of a line hold the speaker and the words. is_exact: whether spans
    are marked in it, so that places in the text must be those that Label Studio counts. is_inline: of HTML, as of
    `body_text`. by_time: of a dialogue, whether the page sorts its lines.
    """

    tag: str
    value: str
    name_key: str = "author"
    text_key: str = "text"
    is_exact: bool = False
    is_inline: bool = False
    by_time: bool = False

    @property
    def fields(self) -> list[str]:
        """Names of the fields that it reads, or paths to them (`message.body`, `parts[0].text`)."""
        return [found[1:] for found in VARIABLE.findall(self.value)]

    def text_of(self, data: Mapping[str, Any]) -> str | None:
        """The task's text; None if the task has no such fields or they hold no text."""
        if VARIABLE.fullmatch(self.value):
            return self._shown(value_at(data, self.value[1:]))
        found = {name: self._shown(value_at(data, name)) for name in self.fields}
        if all(text is None for text in found.values()):
            return None
        return VARIABLE.sub(lambda match: found[match[0][1:]] or "", self.value)

    def _shown(self, value: object) -> str | None:
        read = _READERS.get(self.tag)
        return plain_text(value) if read is None else read(self, value)


@dataclass(frozen=True)
class Content:
    """The texts of a task. sides: places of the two of which a question asks to choose one; None without such a one.

    marked: names of the objects in which spans are marked, with their places. Images are parts, too: their text is
    their address.
    """

    parts: tuple[Part, ...]
    sides: tuple[int, int] | None = None
    marked: tuple[tuple[str, int], ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that are read, or paths to them."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.fields))

    @cached_property
    def key(self) -> str:
        """The same for the same content: what was made of another one is made anew. Of one field, its name."""
        (first, *others) = self.parts
        if not others and not self.marked and first.tag == "Text" and VARIABLE.fullmatch(first.value):
            return first.value[1:]
        named = [f"{part.tag} {part.value} {part.name_key} {part.text_key}" for part in self.parts]
        sides = [] if self.sides is None else [f"sides {self.sides}"]
        return " + ".join([*named, *sides, *(self._marked(name, self.parts[place]) for name, place in self.marked)])

    @staticmethod
    def _marked(name: str, part: Part) -> str:
        return f"spans in {name}{' inline' * part.is_inline}{' by time' * part.by_time}"

    @property
    def layout(self) -> Layout:
        """Which columns the texts become."""
        are_images = tuple(part.tag == IMAGE for part in self.parts)
        if self.sides is not None:
            return Sides(*self.sides, len(self.parts))
        base = COMPARED if are_images.count(False) == N_COMPARED else WHOLE
        return WithImages(are_images, base) if any(are_images) else base

    @property
    def markings(self) -> dict[str, Marking]:
        """Of each object in which spans are marked, where it is in the text of a task."""
        n = len(self.parts)
        return {name: Marking(place, n, self.parts[place].tag == "Paragraphs") for name, place in self.marked}

    def text_of(self, data: Mapping[str, Any]) -> str | None:
        """The texts that the task has as one (see learning.texts); None if it has none.

        A text is only ever read: an address or a path in it is never opened.
        """
        found = [part.text_of(data) for part in self.parts]
        if all(text is None for text in found):
            return None
        return found[0] if len(found) == 1 else joined(text or "" for text in found)

    def shown_of(self, data: Mapping[str, Any]) -> str:
        """The same for people: with the names of images' files in place of their addresses; empty without texts."""
        found = [(part.text_of(data) or "", part.tag == IMAGE) for part in self.parts]
        named = [file_name(text) if is_image and text else text for text, is_image in found]
        if len(named) == 1 or not any(named):
            return named[0]
        return joined(named)


def field_content(path: str) -> Content:
    """The text in one field."""
    return Content((Part("Text", f"${path}"),))


def is_text(shown: Tag) -> bool:
    """Whether an object shows texts."""
    return shown.tag in ("Text", "HyperText", *_READERS) and shown.tag != IMAGE


def is_image(shown: Tag) -> bool:
    """Whether an object shows images."""
    return shown.tag == IMAGE


def is_read(shown: Tag) -> bool:
    """Whether models look at what an object shows."""
    return is_text(shown) or is_image(shown)


def read_part(shown: Tag) -> Part:
    """How an object's text is read. Raises UnsupportedConfig with one sentence where it cannot be read."""
    attributes = shown.attributes
    if option(attributes, "valueList"):
        raise UnsupportedConfig("one image a task is read, not a list of them")
    if option(attributes, "valueType") == "url":
        raise UnsupportedConfig("the text must stand in the task: texts behind addresses are not fetched")
    encoding = option(attributes, "encoding", "none")
    if encoding != "none":
        raise UnsupportedConfig(f"the text must stand in the task as it is, not as {encoding[:20]!r}")
    if not VARIABLE.search(shown.value) or _ODD_NAME.search(shown.value):
        rule = "of letters, digits and _, or a path like $field.part[0]"
        what = "image" if is_image(shown) else "text"
        raise UnsupportedConfig(
            f'<{shown.tag}> must take its {what} from the task (value="$field", {rule}), not {shown.value[:60]!r}'
        )
    keys = option(attributes, "nameKey"), option(attributes, "textKey")
    is_inline, by_time = (option(attributes, name).lower() == "true" for name in ("inline", "contextScroll"))
    names = keys[0] or Part.name_key, keys[1] or Part.text_key
    return Part(shown.tag, shown.value, *names, is_inline=is_inline, by_time=by_time)


def value_at(data: Mapping[str, Any], path: str) -> object:
    """What a task holds at a path; a field with the whole path as its name goes first. None if there is nothing."""
    if path in data:
        return data[path]
    value: object = data
    for step in _STEP.findall(path):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and len(step) < _DIGITS and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def plain_text(value: object) -> str | None:
    """A text, a number or a list of these, which is one text with commas between, as the labelling page shows it."""
    if isinstance(value, list):
        parts = ["" if part is None else _text(part) for part in value]
        return None if not parts or None in parts else ",".join(map(str, parts))
    return _text(value)


def _text(value: object) -> str | None:
    if isinstance(value, str):
        # Half a surrogate pair is valid JSON, but no text that a tokenizer or a file takes.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return None


def _hypertext(part: Part, value: object) -> str | None:
    text = plain_text(value)
    return text if text is None else body_text(text, part.is_inline) if part.is_exact else shown_text(text)


def _dialogue(part: Part, value: object) -> str | None:
    """A line for each thing that was said, with the speaker before it."""
    if not isinstance(value, list):
        return plain_text(value)
    if part.is_exact:
        return _exact_dialogue(part, value)
    return _joined(_line(part, one) for one in value[:MAX_LINES])


def _exact_dialogue(part: Part, value: list[Any]) -> str | None:
    """With every line in its place, empty ones too."""
    lines = [one if isinstance(one, Mapping) else {} for one in value]
    if part.by_time:
        lines.sort(key=_time)
    keys = part.name_key, part.text_key
    said = [tuple(plain_text(line.get(key)) or "" for key in keys) for line in lines[:MAX_LINES]]
    return (
        dialogue((f"{name}: " if name else "", words) for name, words in said)
        if any(said_ for _, said_ in said)
        else None
    )


def _time(line: Mapping[str, Any]) -> tuple[bool, float, float]:
    """By which the page sorts lines: those that begin at 0, or at no time, stand last (measured on 1.23.2)."""
    start, end, duration = (_seconds(line.get(name)) for name in ("start", "end", "duration"))
    return (False, start, end or start + duration) if start else (True, 0.0, 0.0)


def _seconds(value: object) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # A number may be too large for `float`, but not its digits.
    return float(str(value)) if is_number else 0.0


def _line(part: Part, said: object) -> str | None:
    if not isinstance(said, Mapping):
        return plain_text(said)
    name, words = plain_text(said.get(part.name_key)), plain_text(said.get(part.text_key))
    return words if words is None or name is None else f"{name}: {words}"


def _table(_: Part, value: object) -> str | None:
    """A line for each cell, with its name before it."""
    if not isinstance(value, (Mapping, list)):
        return plain_text(value)
    return _joined(_cells(value))


def _cells(value: object, name: str = "", depth: int = 0) -> Iterator[str | None]:
    pairs: Iterable[tuple[object, object]] = ()
    if depth > MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = ((name, one) for one in value[:MAX_LINES])
    else:
        text = plain_text(value)
        yield None if text is None else f"{name}: {text}" if name else text
    for key, one in pairs:
        yield from _cells(one, str(key), depth + 1)


def _items(_: Part, value: object) -> str | None:
    """The titles and bodies of a list's items."""
    if not isinstance(value, list):
        return plain_text(value)
    return _joined(
        plain_text(one.get(key)) if isinstance(one, Mapping) else plain_text(one)
        for one in value[:MAX_LINES]
        for key in ("title", "body")[: 2 if isinstance(one, Mapping) else 1]
    )


def _joined(lines: Iterable[str | None]) -> str | None:
    found = [line for line in lines if line]
    return "\n".join(found) if found else None


def _address(_: Part, value: object) -> str | None:
    """Where the image lies; it is fetched elsewhere, if at all."""
    return media_key(value.strip()) or None if isinstance(value, str) else None


_READERS = {"HyperText": _hypertext, "Paragraphs": _dialogue, "Table": _table, "List": _items, IMAGE: _address}
