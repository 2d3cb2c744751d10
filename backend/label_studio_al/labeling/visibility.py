"""When the labelling page shows a control: `visibleWhen` of it, or of what it lies in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from label_studio_al.labeling.tags import option
from label_studio_al.runtime.errors import UnsupportedConfig

# Measured on 1.23.2: a control that is hidden is not in the annotation, and a prediction's item for it is dropped.
_ALWAYS = ("", "no-region-selected")
_BY_CHOICE = {"choice-selected": True, "choice-unselected": False}


@dataclass(frozen=True)
class Condition:
    """That another control chooses one of some values, or anything (values: None); or that it does not (is_met_by)."""

    control: str
    values: frozenset[str] | None
    is_met_by: bool

    def holds(self, result: Iterable[object]) -> bool:
        """Whether it is so in a result's items."""
        chosen = {
            value
            for item in result
            if isinstance(item, dict) and item.get("from_name") == self.control
            for value in _values(item)
        }
        is_chosen = bool(chosen if self.values is None else chosen & self.values)
        return is_chosen == self.is_met_by


def read_conditions(attributes: Iterable[Mapping[str, str]]) -> tuple[Condition, ...]:
    """When a control is shown. attributes: its own, and those of the tags around it.

    Raises UnsupportedConfig for what is shown of regions only.
    """
    found = []
    for own in attributes:
        when = option(own, "visibleWhen")
        if when in _ALWAYS:
            continue
        if when not in _BY_CHOICE:
            raise UnsupportedConfig(f"it is asked of parts of a task only (visibleWhen={when[:30]!r})")
        control = option(own, "whenTagName")
        if not control:
            raise UnsupportedConfig(f"visibleWhen={when!r} must name a control (whenTagName)")
        values = option(own, "whenChoiceValue")
        wanted = frozenset(values.split(",")) if values else None
        found.append(Condition(control, wanted, _BY_CHOICE[when]))
    return tuple(found)


def _values(item: Mapping[str, Any]) -> list[str]:
    value, kind = item.get("value"), item.get("type")
    found = value.get(kind) if isinstance(value, Mapping) and isinstance(kind, str) else None
    if not isinstance(found, list):
        return []
    # Of a path in a taxonomy, the page compares the last name (read: `hasChoiceSelection` of its editor, 1.23.2).
    return [str(one[-1] if isinstance(one, list) and one else one) for one in found]
