"""From the rows of a file to examples: one text, one label. Reports what is left out or merged."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from label_studio_al.simulate.data.columns import LABEL, SPLIT, TEXT
from label_studio_al.simulate.data.dataset import Asked, Found, Row
from label_studio_al.simulate.data.marked import beyond

TRAIN, TEST = "train", "test"
_PARTS = {"train": TRAIN, "training": TRAIN, "test": TEST, "testing": TEST}
# What is held out where no row says test.
_HELD_OUT = ("val", "valid", "validation", "dev")
_SHOWN = 5

Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)
# They have no width: nobody sees them in a label.
_INVISIBLE = re.compile("[\u200b\u2060\ufeff]")
_WHOLE = re.compile(r"([+-]?\d+)\.0+")


def clean(found: Found) -> Found:
    """Every text with one label a question, in one part. Afterwards `split` is `TRAIN` or `TEST`, or None in all rows.

    What is not answered in any row is no question.
    """
    steps = (
        _filled,
        _within_texts,
        _relabelled(_spelled_alike),
        _relabelled(_offered),
        _parts,
        _without_leaks,
        _relabelled(_one_answer_a_task),
        _one_row_a_task,
        _relabelled(_one_label_a_text),
        _answered,
    )
    for step in steps:
        found = step(found)
    return found


@dataclass(frozen=True)
class _Answers:
    """The rows that answer one question, with their labels."""

    asked: Asked
    rows: Sequence[Row]
    labels: Sequence[str]


# Other labels in the place of these, None for none, and notes.
_Relabelled: TypeAlias = tuple[Sequence[str | None], Sequence[str]]


def _relabelled(step: Callable[[_Answers], _Relabelled]) -> Callable[[Found], Found]:
    """A step that gives the answers to each question other labels. Rows without any are left out."""

    def relabel(found: Found) -> Found:
        labels = [list(row.labels) for row in found.rows]
        notes = list(found.notes)
        for place, asked in enumerate(found.asked):
            own = [n for n, row in enumerate(found.rows) if row.labels[place]]
            rows = [found.rows[n] for n in own]
            others, said = step(_Answers(asked, rows, [row.labels[place] for row in rows]))
            for n, label in zip(own, others, strict=True):
                labels[n][place] = label or ""
            notes += [found.about(asked, note) for note in said]
        rows = [replace(row, labels=tuple(own)) for row, own in zip(found.rows, labels, strict=True) if any(own)]
        return replace(found, rows=rows, notes=tuple(notes))

    return relabel


def _filled(found: Found) -> Found:
    """Without the rows that lack a text or a label."""
    empty = {
        TEXT: [row for row in found.rows if not row.text],
        LABEL: [row for row in found.rows if row.text and not any(row.labels)],
    }
    notes = [
        f"rows without a {name}, left out: {len(rows)} of {len(found.rows)} ({rows[0].place} first)"
        for name, rows in empty.items()
        if rows
    ]
    rows = [row for row in found.rows if row.text and any(row.labels)]
    return replace(found, rows=rows, notes=(*found.notes, *notes))


def _within_texts(found: Found) -> Found:
    """Without the answers that mark what their text does not have, as where it was changed later."""
    rows, notes = list(found.rows), list(found.notes)
    for place, asked in enumerate(found.asked):
        marking = found.markings.get(asked.coding.marks or "")
        if marking is None:
            continue
        wrong = [n for n, row in enumerate(rows) if beyond(row.labels[place], row.text, marking)]
        for n in wrong:
            labels = rows[n].labels
            rows[n] = replace(rows[n], labels=(*labels[:place], "", *labels[place + 1 :]))
        if wrong:
            first = rows[wrong[0]].place
            note = f"answers with spans beyond the end of their text, left out: {len(wrong)} ({first} first)"
            notes.append(found.about(asked, note))
    return replace(found, rows=[row for row in rows if any(row.labels)], notes=tuple(notes))


def _spelled_alike(answers: _Answers) -> _Relabelled:
    """Labels that people cannot tell apart are one, written as the label config writes it. Those of a config stay."""
    coding, offers = answers.asked.coding, answers.asked.offered
    spellings = sorted(coding.counts(answers.labels))
    offered = {_tidy(label): label for label in offers}
    tidy = {spelling: _tidy(spelling) for spelling in spellings}
    known = {*tidy.values(), *offered}
    # 0.0 is how programs write 0 once a cell of the column was empty.
    whole = {label: match[1] for label in known if (match := _WHOLE.fullmatch(label)) and match[1] in known}
    label_of = {spelling: whole.get(label, label) for spelling, label in tidy.items()}
    label_of = {spelling: offered.get(label, label) for spelling, label in label_of.items()}
    label_of |= {label: label for label in offers}
    labels = _grouped(spellings, label_of.__getitem__)
    merged = [
        f"{label!r} is also written {_listed([repr(other) for other in others if other != label])}: one label"
        for label, others in labels.items()
        if len(others) > 1 or (label in offers and others != [label])
    ]
    alike = [
        f"{_listed(list(map(repr, some)))} differ in capitals only, and stay {len(some)} labels"
        for some in _grouped(labels, str.casefold).values()
        if len(some) > 1
    ]
    renamed = [coding.renamed(label, label_of) for label in answers.labels]
    return renamed, [*_few(merged), *_few(alike)]


def _offered(answers: _Answers) -> _Relabelled:
    """Without the labels that the label config does not offer."""
    asked = answers.asked
    if asked.question is None:
        return answers.labels, []
    offered = set(asked.offered)
    counts = asked.coding.counts(answers.labels)
    notes = []
    if others := {label: n for label, n in counts.items() if label not in offered}:
        notes.append(not_offered(others))
    if absent := [repr(label) for label in asked.offered if label not in counts]:
        notes.append(f"labels of the label config that do not occur: {_listed(absent)}")
    labels = [asked.coding.within(label, offered) for label in answers.labels]
    if n_left := labels.count(None):
        first = answers.rows[labels.index(None)].place
        notes.append(f"rows without another label, left out: {n_left} ({first} first)")
    return labels, notes


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
    held_out = [split for split in splits if split.strip().casefold() in _HELD_OUT]
    if TEST not in part_of.values() and held_out:
        part_of |= dict.fromkeys(held_out, TEST)
        notes.append(f"{SPLIT} never says {TEST}: tested on {', '.join(held_out)}")
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


def _one_answer_a_task(answers: _Answers) -> _Relabelled:
    """Of several people's answers to one task, what most of them say."""
    tasks = _votes(answers, [row.place if row.task is None else row.task for row in answers.rows])
    if len(tasks) == len(answers.rows):
        return answers.labels, []
    label_of = {task: consensus(votes) for task, votes in tasks.items()}
    note = (
        f"{len(answers.rows)} answers to {len(tasks)} tasks: each task counts once, with the label that most gave it; "
        f"with different labels: {sum(map(_differ, tasks.values()))}{_tied(label_of.values())}"
    )
    labels = [label_of[row.place if row.task is None else row.task] for row in answers.rows]
    return labels, [note]


def _one_row_a_task(found: Found) -> Found:
    """The first row of each task, with the answers of all of them."""
    tasks = _grouped(enumerate(found.rows), lambda item: item[0] if item[1].task is None else item[1].task)
    answers = [[row for _, row in numbered] for numbered in tasks.values()]
    rows = [
        replace(
            some[0],
            labels=tuple(next(filter(None, given), "") for given in zip(*(row.labels for row in some), strict=True)),
            time=max(row.time for row in some),
        )
        for some in answers
    ]
    return replace(found, rows=rows)


def _one_label_a_text(answers: _Answers) -> _Relabelled:
    """Copies of a text stay rows of their own, and all get the label that most of them have."""
    # Where a span is, another blank before it changes.
    keys = [row.content if answers.asked.coding.marks is None else row.text for row in answers.rows]
    texts = _votes(answers, keys)
    label_of = {key: consensus(votes) for key, votes in texts.items() if _differ(votes)}
    if not label_of:
        return answers.labels, []
    note = (
        "texts in several rows with different labels, which all count with the label that most have: "
        f"{len(label_of)}{_tied(label_of.values())}"
    )
    return [label_of.get(key, label) for key, label in zip(keys, answers.labels, strict=True)], [note]


def _answered(found: Found) -> Found:
    """Without the questions that no row answers, unless that are all of them."""
    kept = [place for place in range(len(found.asked)) if any(row.labels[place] for row in found.rows)]
    if not kept or len(kept) == len(found.asked):
        return found
    absent = [asked.name for place, asked in enumerate(found.asked) if place not in kept]
    rows = [replace(row, labels=tuple(row.labels[place] for place in kept)) for row in found.rows]
    note = f"not answered in any row, left out: {_listed(absent)}"
    return replace(found, rows=rows, asked=tuple(found.asked[place] for place in kept), notes=(*found.notes, note))


@dataclass(frozen=True)
class Vote:
    """A label, and when it was given."""

    label: str
    time: str


def consensus(votes: Sequence[Vote]) -> str | None:
    """The label that most give, of a tie the newest, as in the live loop; None for a tie without times."""
    counts = Counter(vote.label for vote in votes)
    most = max(counts.values())
    newest = max(vote.time for vote in votes if counts[vote.label] == most)
    labels = {vote.label for vote in votes if counts[vote.label] == most and vote.time == newest}
    return labels.pop() if len(labels) == 1 else None


def _votes(answers: _Answers, keys: Sequence[Key]) -> dict[Key, list[Vote]]:
    """The answers by what they are about."""
    found: dict[Key, list[Vote]] = defaultdict(list)
    for key, row, label in zip(keys, answers.rows, answers.labels, strict=True):
        found[key].append(Vote(label, row.time))
    return found


def _differ(votes: Iterable[Vote]) -> bool:
    return len({vote.label for vote in votes}) > 1


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
