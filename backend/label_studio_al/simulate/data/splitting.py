"""From clean rows to a data set: what is held out for the test, where the file does not say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from label_studio_al.learning import draws
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data.cleaning import TEST, TRAIN
from label_studio_al.simulate.data.dataset import Dataset, Found, Row

TEST_SHARE = 0.3
SPLIT_SEED = 0


def split(name: str, found: Found) -> Dataset:
    """A data set of clean rows. Raises InvalidRequest where too few labels are left to learn from, or to test with."""
    rows = found.rows
    if not rows:
        raise InvalidRequest("; ".join(["there are no labelled texts in it", *found.notes]))
    labels = np.array([row.labels for row in rows])
    for place, asked in enumerate(found.asked):
        if len(set(labels[:, place].tolist()) - {""}) < 2:
            label = next(row.labels[place] for row in rows if row.labels[place])
            raise InvalidRequest(found.about(asked, f"need 2 labels to learn from, have 1 ({label!r})"))
    if rows[0].split is None:
        is_test = _held_out(rows, _strata(found, labels))
        how = _how_held_out(found, is_test)
    else:
        is_test = np.array([row.split == TEST for row in rows])
        how = ["split as the data says"]
    for place, asked in enumerate(found.asked):
        given = labels[:, place]
        n_train, n_test = len({*given[~is_test].tolist()} - {""}), int((given[is_test] != "").sum())
        if not n_test or n_train < 2:
            came = f"need 2 labels in {TRAIN} and a text in {TEST}, have {n_train} and {n_test}"
            raise InvalidRequest(found.about(asked, came))
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
        )
        for place, asked in enumerate(found.asked)
    )
    return replace(first, beside=tuple(others))


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
