"""What stands around the answers in a result: ids and sizes of what is marked, and how one is related to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

# Label Studio's own ids have 10 characters. What is longer or larger than this was written by nobody's page.
MAX_CHARACTERS = 1_000
MAX_SIZE = 10**9
MAX_LABELS = 100


def item_details(items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | None:
    """Of each item of a result, in its order, what `_READ` names, as far as it has that; None where no item has any.

    What is not as Label Studio writes it is left out.
    """
    found = [_details(item) for item in items]
    return found if any(found) else None


def _details(item: Mapping[str, Any]) -> dict[str, Any]:
    readers = _READ_OF_RELATIONS if item.get("type") == "relation" else _READ
    return {name: value for name, read in readers.items() if name in item and (value := read(item[name])) is not None}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= MAX_CHARACTERS else None


def _id(value: object) -> str | None:
    """As text: those of imported results may be numbers."""
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    return _text(str(value) if is_number else value)


def _texts(value: object) -> list[str] | None:
    some = value[:MAX_LABELS] if isinstance(value, list) else []
    return [text for one in some if (text := _text(one)) is not None] or None


def _number(value: object) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return value if -MAX_SIZE <= value <= MAX_SIZE else None


_READ: Mapping[str, Callable[[object], object]] = {
    "id": _id,
    "parentID": _id,
    "original_width": _number,
    "original_height": _number,
    "image_rotation": _number,
    "item_index": _number,
}
_READ_OF_RELATIONS: Mapping[str, Callable[[object], object]] = {
    "from_id": _id,
    "to_id": _id,
    "direction": _text,
    "labels": _texts,
}
