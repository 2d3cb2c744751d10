"""From clean rows to a data set: what is held out for the test, where the file does not say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from label_studio_al.learning import draws
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data.cleaning import TEST, TRAIN
from label_studio_al.simulate.data.dataset import Asked, Dataset, Found, Row

TEST_SHARE = 0.3
SPLIT_SEED = 0


def split(name: str, found: Found) -> Dataset:
    """A data set of clean rows. Raises InvalidRequest where too few labels are left to learn from, or to test with.

    Of several questions, those of which too few are left are left out.
    """
    rows = found.rows
    if not rows:
        raise InvalidRequest("; ".join(["there are no labelled texts in it", *found.notes]))
    labels = np.array([row.labels for row in rows])
    if rows[0].split is None:
        is_test = _held_out(rows, _strata(found, labels))
        how = _how_held_out(found, is_test)
    else:
        is_test = np.array([row.split == TEST for row in rows])
        how = ["split as the data says"]
    missing = [_missing(asked, labels[:, place], is_test) for place, asked in enumerate(found.asked)]
    if not all(missing) and any(missing):
        return split(name, _without(found, missing))
    if missing[0]:
        raise InvalidRequest(found.about(found.asked[0], missing[0]))
    notes, texts = (*found.notes, *how), [row.text for row in rows]
    first, *others = (
        Dataset(
            name,
            texts,
            np.array([row.labels[place] for row in rows]),
            is_test,
            notes,
            tuple(how),
            asked.coding.settled(filter(None, labels[:, place].tolist())),
            asked.question,
            found.layout,
            asked.name if len(found.asked) > 1 else "",
            markings=found.markings,
        )
        for place, asked in enumerate(found.asked)
    )
    return replace(first, beside=tuple(others))


def _missing(asked: Asked, labels: Array, is_test: Array) -> str:
    """What answers to a question lack, shape (n_rows,), to learn from and to test with; "" where nothing."""
    found = sorted({*labels.tolist()} - {""})
    if len(found) < 2:
        only = ", ".join(sorted(asked.coding.counts(found))) or "none of them"
        return f"need 2 labels to learn from, have 1 ({only!r})"
    n_train, n_test = len({*labels[~is_test].tolist()} - {""}), int((labels[is_test] != "").sum())
    if n_test and n_train > 1:
        return ""
    return f"need 2 labels in {TRAIN} and a text in {TEST}, have {n_train} and {n_test}"


def _without(found: Found, missing: Sequence[str]) -> Found:
    """Only the questions that miss nothing, and the rows that answer them."""
    kept = [place for place, lack in enumerate(missing) if not lack]
    rows = [replace(row, labels=tuple(row.labels[place] for place in kept)) for row in found.rows]
    notes = [f"{asked.name} is left out: {lack}" for asked, lack in zip(found.asked, missing, strict=True) if lack]
    return replace(
        found,
        rows=[row for row in rows if any(row.labels)],
        asked=tuple(found.asked[place] for place in kept),
        notes=(*found.notes, *notes),
    )


def _strata(found: Found, labels: Array) -> Array:
    """What shares are held out of: the labels of the first question that a row answers. labels: a column a question.

    Returns shape (n_rows,).
    """
    strata = np.full(len(labels), "", dtype=object)
    for place, asked in reversed(list(enumerate(found.asked))):
        rows = np.flatnonzero(labels[:, place] != "")
        strata[rows] = [f"{place} {one}" for one in asked.coding.strata(labels[rows, place]).tolist()]
    return strata


def _held_out(rows: Sequence[Row], strata: Array) -> Array:
    """Which rows are for the test, shape (n_rows,): a share of each stratum's different texts, one or more, not all.

    Drawn by what the texts say: neither their order nor other texts matter, and copies stay together.
    """
    texts: dict[str, dict[str, None]] = {}
    for row, stratum in zip(rows, strata.tolist(), strict=True):
        texts.setdefault(stratum, {})[row.content] = None
    held_out: set[str] = set()
    for own in map(list, texts.values()):
        n = max(1, round(TEST_SHARE * len(own))) if len(own) > 1 else 0
        held_out.update(own[place] for place in draws.first(draws.text_hashes(own), n, SPLIT_SEED, "held out"))
    return np.array([row.content in held_out for row in rows])


def _how_held_out(found: Found, is_test: Array) -> list[str]:
    rows = found.rows
    n_texts = len({row.content for row in rows})
    notes = []
    if n_texts < len(rows):
        notes.append(f"rows with a text that was there before: {len(rows) - n_texts}; all copies are in the same part")
    for place, asked in enumerate(found.asked):
        given = [row.labels[place] for row in rows]
        tested = [label for label, is_tested in zip(given, is_test, strict=True) if is_tested and label]
        counts = asked.coding.counts(filter(None, given))
        if single := sorted(counts.keys() - asked.coding.counts(tested).keys()):
            note = f"labels of one text, which is in {TRAIN}" if len(found.asked) == 1 else f"labels in {TRAIN} only"
            notes.append(found.about(asked, f"{note}: {', '.join(map(repr, single))}"))
    of = "each label" if len(found.asked) == 1 else f"each label of {found.asked[0].name}"
    notes.append(f"{TEST_SHARE:.0%} of the texts of {of} held out for the test, drawn with seed {SPLIT_SEED}")
    return notes
