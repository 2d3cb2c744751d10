"""Labelled texts from a file, a Label Studio export, the bundled examples or scikit-learn's 20 newsgroups."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sklearn.datasets import fetch_20newsgroups

from label_studio_al.examples import example_tasks
from label_studio_al.questions import LabelConfig, parse_config
from label_studio_al.runtime.errors import AwaitsTasks, InvalidRequest
from label_studio_al.simulate.data.cleaning import TEST, TRAIN, clean
from label_studio_al.simulate.data.columns import IMAGE, LABEL, SPLIT, TEXT, Said, rows_of
from label_studio_al.simulate.data.dataset import Dataset, Found
from label_studio_al.simulate.data.exports import FIXED, is_export, is_table_of_answers, rows_of_answers, rows_of_export
from label_studio_al.simulate.data.files import Table, read_table, read_text
from label_studio_al.simulate.data.splitting import split

EXAMPLES = "examples"
GOLD = "gold"
NEWSGROUPS = "20newsgroups"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
CATEGORIES = "alt.atheism,soc.religion.christian"


def read_config(path: Path) -> LabelConfig:
    """What a file with a label config asks. Raises InvalidRequest; as `connect` does where it cannot be learned."""
    try:
        xml = read_text(path)
    except InvalidRequest as exc:
        raise InvalidRequest(f"{path}: {exc}") from exc
    try:
        return parse_config(xml)
    except AwaitsTasks as exc:
        raise InvalidRequest(f"{path}: the choices must stand in the label config, not come from the tasks") from exc


def read_data(
    source: str,
    text_field: str | None = None,
    label_field: str | None = None,
    config: LabelConfig | None = None,
    separator: str | None = None,
) -> Dataset:
    """The data set of a path or a name, as `read`. The other parameters: as of Said."""
    return read(source, Said(text_field, label_field, config, separator))


def read(source: str, said: Said) -> Dataset:
    """The data set of a path or a name. Raises InvalidRequest with a sentence."""
    if said.separator == "":
        raise InvalidRequest("the separator must be one character or more, not none")
    name, _, categories = source.partition(":")
    if name == NEWSGROUPS:
        return split(source, clean(rows_of(_newsgroups(categories or CATEGORIES), said)))
    if source == EXAMPLES:
        return split(source, clean(rows_of(_examples(), replace(said, label=said.label or GOLD))))
    path = Path(source)
    if path.is_dir():
        return split(path.name, clean(rows_of(_folder(path), said)))
    try:
        return split(path.name.partition(".")[0], clean(_rows(path, said)))
    except InvalidRequest as exc:
        raise InvalidRequest(f"{path}: {exc}") from exc


def _rows(path: Path, said: Said) -> Found:
    table = read_table(path, {*said.names, *FIXED})
    if is_export(table):
        return rows_of_export(table, said)
    if is_table_of_answers(table):
        return rows_of_answers(table, said)
    return rows_of(table, said)


def _folder(folder: Path) -> Table:
    """Images in folders that are named after their labels. Raises InvalidRequest."""
    found = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise InvalidRequest(f"{folder} has no images in folders that are named after their labels")
    records: list[tuple[str, Mapping[str, Any]]] = [
        (str(path), {IMAGE: str(path.relative_to(folder)), LABEL: path.parent.name}) for path in found
    ]
    return Table((IMAGE, LABEL), records)


def _examples() -> Table:
    tasks = example_tasks()
    return Table(tuple(tasks[0]), [(f"line {number}", task) for number, task in enumerate(tasks, start=1)])


def _newsgroups(categories: str) -> Table:
    wanted = [category.strip() for category in categories.split(",")]
    records: list[tuple[str, Mapping[str, Any]]] = []
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
        records += [
            (f"{part} {number}", {TEXT: text, LABEL: str(found.target_names[target]), SPLIT: part})
            for number, (text, target) in enumerate(zip(found.data, found.target, strict=True), start=1)
        ]
    return Table((TEXT, LABEL, SPLIT), records)
