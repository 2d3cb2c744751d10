"""Bundled and downloaded texts, and what the command says of those that it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from click.testing import CliRunner

from label_studio_al.cli import main
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data import read_data, sources
from tests.support.data_files import ROWS, write_jsonl


def test_examples_are_bundled() -> None:
    data = read_data("examples")
    assert len(data.texts) > 300
    assert "Billing" in data.labels


def test_newsgroups_without_internet_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**_: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr(sources, "fetch_20newsgroups", unreachable)
    with pytest.raises(InvalidRequest, match="connect to the internet, or give a file"):
        read_data("20newsgroups")


def test_newsgroups_are_split_by_date(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(subset: str, categories: list[str]) -> Any:
        asked.append(categories)
        found = {"data": [f"{subset} {n}" for n in range(4)], "target": [0, 1, 0, 1], "target_names": categories}
        return type("Bunch", (), found)

    monkeypatch.setattr(sources, "fetch_20newsgroups", fetch)
    data = read_data("20newsgroups")
    assert [data.texts[row] for row in data.test_rows] == [f"test {n}" for n in range(4)]
    assert set(data.labels) == {"alt.atheism", "soc.religion.christian"}
    read_data("20newsgroups:sci.med,sci.space")
    assert asked[-1] == ["sci.med", "sci.space"]


@pytest.mark.parametrize("mode", [(), ("--autolabel", "--max-error", "0.3")])
def test_command_says_what_was_left_out(tmp_path: Path, mode: tuple[str, ...]) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [*ROWS, {"text": "", "label": "ham"}])
    options = (
        "--strategies",
        "random",
        "--seeds",
        "1",
        "--budget",
        "4",
        "--batch",
        "4",
        "--features",
        "tfidf",
        "--json",
    )
    command = ["simulate", str(path), *options, *mode, "--output", str(tmp_path / "results")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    note = "rows without a text, left out: 1 of 41 (line 41 first)"
    assert f"  {note}\n" in result.stderr
    # With --autolabel all texts are the pool.
    held_out = [] if mode else ["30% of the texts of each label held out for the test, drawn with seed 0"]
    assert json.loads(result.stdout)["notes"] == [note, *held_out]
