"""Data files for `simulate`, as different programs save them."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from label_studio_al.questions import LabelConfig, parse_config
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data import Dataset, read_data

# Forty texts, a quarter of them spam.
ROWS = [{"text": f"text {n}", "label": "spam" if n % 4 == 0 else "ham"} for n in range(40)]


def write_jsonl(path: Path, rows: Sequence[Any]) -> Path:
    """JSON lines, gzipped if the name says so."""
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_csv(path: Path, rows: Sequence[Mapping[str, object]], encoding: str = "utf-8", **dialect: Any) -> Path:
    """A table with a header."""
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), **dialect)
        writer.writeheader()
        writer.writerows(rows)
    return path


def pairs(data: Dataset) -> list[tuple[str, str]]:
    """Texts with their labels."""
    return list(zip(data.texts, data.labels.tolist(), strict=True))


def said(data: Dataset, words: str) -> str:
    """The one note that has these words."""
    (found,) = [note for note in data.notes if words in note]
    return found


def refusal(path: Path, **said: Any) -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(InvalidRequest) as raised:
        read_data(str(path), **said)
    return str(raised.value)


def config_file(labels: Sequence[str], field: str = "text", *, control: str = "topic", choice: str = "single") -> str:
    """A label config of <Choices>."""
    inside = "".join(f'<Choice value="{label}"/>' for label in labels)
    return (
        f'<View><Text name="message" value="${field}"/>'
        f'<Choices name="{control}" toName="message" choice="{choice}">{inside}</Choices></View>'
    )


def one_of(*labels: str, field: str = "text", control: str = "topic") -> LabelConfig:
    """A label config of single choice."""
    return parse_config(config_file(labels, field, control=control))


def any_of(*labels: str, field: str = "text", control: str = "topic") -> LabelConfig:
    """A label config of multiple choice."""
    return parse_config(config_file(labels, field, control=control, choice="multiple"))
