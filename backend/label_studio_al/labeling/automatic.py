"""Labels that this backend sets without a person: how they are marked, and distinguished from people's.

The mark travels with the label through Label Studio, its events and its exports. So no automatic label is mistaken for
a person's, even if our own records are late or lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from label_studio_al.labeling.predictions import NO_ANSWER_SCORE, prediction

# As the id of the answer inside of a result: Label Studio copies it from a prediction to an annotation and keeps it.
MARK = "automatic-"
RUN_PREFIX = "auto-"
_VERSION = re.compile(re.escape(RUN_PREFIX) + r"([0-9]{1,9})\.[0-9]{1,9}")


def batch_version(run: int, batch: int) -> str:
    """The model version of a run's batch: Label Studio turns a version's predictions into annotations at once."""
    return f"{RUN_PREFIX}{run}.{batch}"


def run_of(version: object) -> int | None:
    """The run in a name that `batch_version` gave; None for every other name."""
    match = _VERSION.fullmatch(version) if isinstance(version, str) else None
    return int(match[1]) if match else None


def automatic_prediction(run: int, batch: int, result: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A prediction that is to become an automatic label of a run, and bears its mark. result: the answer's items."""
    marked = [{**item, "id": f"{MARK}{run}"} for item in result]
    return prediction(batch_version(run, batch), NO_ANSWER_SCORE, marked)


def is_automatic(result: Sequence[object], updated_by: object, parent_prediction: object = None) -> bool:
    """Whether an annotation was set by this backend and by no person since. result: its items.

    An answer without items bears no mark: it is known by the prediction that it was made of.

    Submitting or saving an annotation sets its `updated_by`; the action that creates annotations from predictions
    leaves it empty (measured on 1.23.2).
    """
    marks = (item.get("id") for item in result if isinstance(item, dict))
    is_marked = any(str(mark).startswith(MARK) for mark in marks) if result else parent_prediction is not None
    return updated_by is None and is_marked
