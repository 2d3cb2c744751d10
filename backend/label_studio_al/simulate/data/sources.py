"""Labelled texts from a file, a Label Studio export, the bundled examples or scikit-learn's 20 newsgroups."""

from __future__ import annotations

import warnings
from pathlib import Path

from sklearn.datasets import fetch_20newsgroups

from label_studio_al.examples import example_tasks
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data.cleaning import TEST, TRAIN, clean
from label_studio_al.simulate.data.columns import LABEL, SPLIT, TEXT, rows_of
from label_studio_al.simulate.data.dataset import Dataset, Found, Row
from label_studio_al.simulate.data.exports import FIXED, is_export, is_table_of_answers, rows_of_answers, rows_of_export
from label_studio_al.simulate.data.files import Table, read_table
from label_studio_al.simulate.data.splitting import split

EXAMPLES = "examples"
NEWSGROUPS = "20newsgroups"
CATEGORIES = "alt.atheism,soc.religion.christian"


def read_data(source: str, text_field: str | None = None, label_field: str | None = None) -> Dataset:
    """The data set of a path or a name. Raises InvalidRequest with a sentence.

    text_field, label_field: names of the fields; of a Label Studio export, the task's field and the control.
    """
    name, _, categories = source.partition(":")
    if name == NEWSGROUPS:
        return split(source, clean(_newsgroups(categories or CATEGORIES)))
    if source == EXAMPLES:
        return split(source, clean(_examples(text_field, label_field or "gold")))
    path = Path(source)
    try:
        found = _rows(path, text_field, label_field)
        return split(path.name.partition(".")[0], clean(found))
    except InvalidRequest as exc:
        raise InvalidRequest(f"{path}: {exc}") from exc


def _rows(path: Path, text_field: str | None, label_field: str | None) -> Found:
    table = read_table(path, {text_field or TEXT, label_field or LABEL, SPLIT, *FIXED})
    if is_export(table):
        return rows_of_export(table, text_field, label_field)
    if is_table_of_answers(table):
        return rows_of_answers(table, text_field, label_field)
    return rows_of(table, text_field, label_field)


def _examples(text_field: str | None, label_field: str | None) -> Found:
    tasks = example_tasks()
    records = [(f"line {number}", task) for number, task in enumerate(tasks, start=1)]
    return rows_of(Table(tuple(tasks[0]), list(records)), text_field, label_field)


def _newsgroups(categories: str) -> Found:
    wanted = [category.strip() for category in categories.split(",")]
    rows = []
    for part in (TRAIN, TEST):
        try:
            with warnings.catch_warnings():
                # Of each further attempt to download.
                warnings.simplefilter("ignore")
                found = fetch_20newsgroups(subset=part, categories=wanted)
        except OSError as exc:
            raise InvalidRequest(
                f"{NEWSGROUPS} cannot be downloaded ({exc}): connect to the internet, or give a file"
            ) from exc
        except ValueError as exc:
            raise InvalidRequest(f"{NEWSGROUPS}: {exc}") from exc
        rows += [
            Row(text, str(found.target_names[target]), f"{part} {number}", part)
            for number, (text, target) in enumerate(zip(found.data, found.target, strict=True), start=1)
        ]
    return Found(rows)
