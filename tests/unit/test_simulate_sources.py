"""Bundled and downloaded texts."""

from __future__ import annotations

from typing import Any
from urllib.error import URLError

import pytest

from backend.errors import InvalidRequest
from backend.simulate.data import read_data, sources


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
