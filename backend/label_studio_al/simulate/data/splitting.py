"""From clean rows to a data set: what is held out for the test, where the file does not say it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from label_studio_al.learning import draws
from label_studio_al.learning.coding import Coding
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
    labels = np.array([row.label for row in rows])
    if len(set(labels.tolist())) < 2:
        raise InvalidRequest(f"need 2 labels to learn from, have 1 ({rows[0].label!r})")
    if rows[0].split is None:
        is_test = _held_out(rows, found.coding.strata(labels))
        how = _how_held_out(rows, is_test, found.coding)
    else:
        is_test = np.array([row.split == TEST for row in rows])
        how = ["split as the data says"]
    if not is_test.any() or len(np.unique(labels[~is_test])) < 2:
        n_train, n_test = len(np.unique(labels[~is_test])), int(is_test.sum())
        raise InvalidRequest(f"need 2 labels in {TRAIN} and a text in {TEST}, have {n_train} and {n_test}")
    notes = (*found.notes, *how)
    texts = [row.text for row in rows]
    coding = found.coding.settled(labels.tolist())
    return Dataset(name, texts, labels, is_test, notes, tuple(how), coding, found.question, found.layout)


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


def _how_held_out(rows: Sequence[Row], is_test: Array, coding: Coding) -> list[str]:
    n_texts = len({row.content for row in rows})
    notes = []
    if n_texts < len(rows):
        notes.append(f"rows with a text that was there before: {len(rows) - n_texts}; all copies are in the same part")
    tested = [row.label for row, is_tested in zip(rows, is_test, strict=True) if is_tested]
    single = sorted(coding.counts(row.label for row in rows).keys() - coding.counts(tested).keys())
    if single:
        notes.append(f"labels of one text, which is in {TRAIN}: {', '.join(map(repr, single))}")
    notes.append(f"{TEST_SHARE:.0%} of the texts of each label held out for the test, drawn with seed {SPLIT_SEED}")
    return notes
