"""From the rows of a file to examples: one text, one label. Reports what is left out or merged."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from label_studio_al.simulate.data.columns import LABEL, SPLIT, TEXT
from label_studio_al.simulate.data.dataset import Found, Row

TRAIN, TEST = "train", "test"
_PARTS = {"train": TRAIN, "training": TRAIN, "test": TEST, "testing": TEST}
_SHOWN = 5

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)
# They have no width: nobody sees them in a label.
_INVISIBLE = re.compile("[\u200b\u2060\ufeff]")
_WHOLE = re.compile(r"([+-]?\d+)\.0+")


def clean(found: Found) -> Found:
    """Every text with one label, in one part. Afterwards `split` is `TRAIN` or `TEST`, or None in all rows."""
    for step in (_filled, _spelled_alike, _offered, _parts, _without_leaks, _one_row_a_task, _one_label_a_text):
        found = step(found)
    return found


def _filled(found: Found) -> Found:
    """Without the rows that lack a text or a label."""
    empty = {
        TEXT: [row for row in found.rows if not row.text],
        LABEL: [row for row in found.rows if row.text and not row.label],
    }
    notes = [
        f"rows without a {name}, left out: {len(rows)} of {len(found.rows)} ({rows[0].place} first)"
        for name, rows in empty.items()
        if rows
    ]
    rows = [row for row in found.rows if row.text and row.label]
    return replace(found, rows=rows, notes=(*found.notes, *notes))


def _spelled_alike(found: Found) -> Found:
    """Labels that people cannot tell apart are one, written as the label config writes it. Those of a config stay."""
    spellings = sorted(found.coding.counts(row.label for row in found.rows))
    offered = {_tidy(label): label for label in found.offered}
    tidy = {spelling: _tidy(spelling) for spelling in spellings}
    known = {*tidy.values(), *offered}
    # 0.0 is how programs write 0 once a cell of the column was empty.
    whole = {label: match[1] for label in known if (match := _WHOLE.fullmatch(label)) and match[1] in known}
    label_of = {spelling: whole.get(label, label) for spelling, label in tidy.items()}
    label_of = {spelling: offered.get(label, label) for spelling, label in label_of.items()}
    label_of |= {label: label for label in found.offered}
    labels = _grouped(spellings, label_of.__getitem__)
    merged = [
        f"{label!r} is also written {_listed([repr(other) for other in others if other != label])}: one label"
        for label, others in labels.items()
        if len(others) > 1 or (label in found.offered and others != [label])
    ]
    alike = [
        f"{_listed(list(map(repr, some)))} differ in capitals only, and stay {len(some)} labels"
        for some in _grouped(labels, str.casefold).values()
        if len(some) > 1
    ]
    rows = [replace(row, label=found.coding.renamed(row.label, label_of)) for row in found.rows]
    return replace(found, rows=rows, notes=(*found.notes, *_few(merged), *_few(alike)))


def _offered(found: Found) -> Found:
    """Without the labels that the label config does not offer."""
    if found.question is None:
        return found
    offered = set(found.offered)
    counts = found.coding.counts(row.label for row in found.rows)
    notes = list(found.notes)
    if others := {label: n for label, n in counts.items() if label not in offered}:
        notes.append(not_offered(others))
    if absent := [repr(label) for label in found.offered if label not in counts]:
        notes.append(f"labels of the label config that do not occur: {_listed(absent)}")
    answers = [found.coding.within(row.label, offered) for row in found.rows]
    rows = [replace(row, label=label) for row, label in zip(found.rows, answers, strict=True) if label is not None]
    if len(rows) < len(found.rows):
        first = found.rows[answers.index(None)].place
        notes.append(f"rows without another label, left out: {len(found.rows) - len(rows)} ({first} first)")
    return replace(found, rows=rows, notes=tuple(notes))


def not_offered(labels: Mapping[str, int]) -> str:
    """The note of labels that are not in the label config. labels: how often each was given."""
    return f"labels that are not in the label config, left out: {_counted(labels)}"


def _tidy(label: str) -> str:
    return " ".join(_INVISIBLE.sub("", unicodedata.normalize("NFC", label)).split())


def _parts(found: Found) -> Found:
    """The rows of the parts for training and for testing, as the file has them."""
    splits = Counter(row.split for row in found.rows if row.split is not None)
    if not splits:
        return found
    part_of = {split: _PARTS.get(split.strip().casefold()) for split in splits}
    if not any(part_of.values()):
        note = f"{SPLIT} says neither {TRAIN} nor {TEST} but {_counted(splits)}, and is not used"
        rows = [replace(row, split=None) for row in found.rows]
        return replace(found, rows=rows, notes=(*found.notes, note))
    notes = list(found.notes)
    other = {split: n for split, n in splits.items() if part_of[split] is None}
    if other:
        notes.append(f"rows of neither {TRAIN} nor {TEST}, left out: {_counted(other)}")
    rows = [replace(row, split=part_of[str(row.split)]) for row in found.rows if part_of[str(row.split)]]
    if TEST not in part_of.values():
        rows = [replace(row, split=None) for row in rows]
        notes.append(f"{SPLIT} never says {TEST}: see below what is held out")
    return replace(found, rows=rows, notes=tuple(notes))


def _without_leaks(found: Found) -> Found:
    """Test texts stay as they are: what is in both parts is taken out of the one for training."""
    tested = {row.content for row in found.rows if row.split == TEST}
    rows = [row for row in found.rows if row.split != TRAIN or row.content not in tested]
    n_leaks = len(found.rows) - len(rows)
    note = f"rows of {TRAIN} whose text is in {TEST} too, left out: {n_leaks}"
    return replace(found, rows=rows, notes=(*found.notes, note)) if n_leaks else found


def _one_row_a_task(found: Found) -> Found:
    """Of several people's answers to one task, what most of them say."""
    tasks = _grouped(enumerate(found.rows), lambda item: item[0] if item[1].task is None else item[1].task)
    if len(tasks) == len(found.rows):
        return found
    answers = [[row for _, row in numbered] for numbered in tasks.values()]
    labels = [consensus(some) for some in answers]
    rows = [
        replace(some[0], label=label, time=max(row.time for row in some))
        for some, label in zip(answers, labels, strict=True)
        if label is not None
    ]
    note = (
        f"{len(found.rows)} answers to {len(tasks)} tasks: each task counts once, with the label that most gave it; "
        f"with different labels: {sum(map(_differ, answers))}{_tied(labels)}"
    )
    return replace(found, rows=rows, notes=(*found.notes, note))


def _one_label_a_text(found: Found) -> Found:
    """Copies of a text stay rows of their own, and all get the label that most of them have."""
    copies = {content: rows for content, rows in _grouped(found.rows, lambda row: row.content).items() if _differ(rows)}
    if not copies:
        return found
    label_of = {content: consensus(rows) for content, rows in copies.items()}
    note = (
        "texts in several rows with different labels, which all count with the label that most have: "
        f"{len(copies)}{_tied(label_of.values())}"
    )
    rows = [replace(row, label=label_of.get(row.content, row.label) or "") for row in found.rows]
    return replace(found, rows=[row for row in rows if row.label], notes=(*found.notes, note))


def consensus(rows: Sequence[Row]) -> str | None:
    """The label that most rows have, of a tie the newest, as in the live loop; None for a tie without times."""
    counts = Counter(row.label for row in rows)
    most = max(counts.values())
    votes = [row for row in rows if counts[row.label] == most]
    newest = max(row.time for row in votes)
    labels = {row.label for row in votes if row.time == newest}
    return labels.pop() if len(labels) == 1 else None


def _differ(rows: Iterable[Row]) -> bool:
    return len({row.label for row in rows}) > 1


def _tied(labels: Iterable[str | None]) -> str:
    n_tied = sum(label is None for label in labels)
    return f"; left out, as many of one as of another: {n_tied}" if n_tied else ""


def _grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    groups: dict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups


def _counted(splits: Mapping[str, int]) -> str:
    return _listed([f"{split!r} ({n})" for split, n in sorted(splits.items())])


def _listed(parts: list[str]) -> str:
    return ", ".join(_few(parts))


def _few(parts: list[str]) -> list[str]:
    """As many as one can read."""
    left = len(parts) - _SHOWN
    return [*parts[:_SHOWN], f"{left} more like these"] if left > 1 else parts
