"""What others wrote (labels, texts) leaves us as text: no markup in the model card, no formula in a table."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import markdown
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from label_studio_al.cli import main
from label_studio_al.exporting.tables import CSV, Row, open_table, quoted
from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from tests.support.bench import Bench, config
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import FakeLabelStudio

SIGNING_KEY = "the key of these tests"
EVIL = (
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "a | b",
    "\\| c",
    "`code`",
    "&lt;b&gt;",
)
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''-1", "=cmd|' /C calc'!A0")
HARMLESS = ("plain", "'tis", "a=b", "", "1-2", "'", "''")


def unquoted(cell: str) -> str:
    """As docs/export.md tells other programs."""
    return cell[1:] if re.match(r"'+[=+\-@\t\r]", cell) else cell


@pytest.fixture
def signer() -> Signer:
    return Signer(SIGNING_KEY)


def test_label_names_are_text_in_the_model_card(
    store: Store, signer: Signer, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    escaped = [name.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;") for name in EVIL]
    bench = Bench(FakeLabelStudio(), store, signer, clock, read_settings(model_dir=tmp_path, encoder="none"))
    project = bench.add(config(*escaped))
    bench.turn(project)
    names = iter(EVIL * 10)
    bench.label(project, 8, label_of=lambda _text: next(names))
    bench.turn(project)
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("AL_SIGNING_KEY", SIGNING_KEY)
    done = CliRunner().invoke(main, ["export", "--project", str(project.id), "--output", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output

    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    page = markdown.markdown(card, extensions=["tables"])

    assert not re.search(r"<(script|img|a)\b", page)
    assert not re.search(r"<(script|img)\b", card)
    cells = [re.sub(r"<[^>]*>", "", row) for row in re.findall(r"<td>(.*?)</td>", page)]
    shown = {cell.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for cell in cells}
    assert set(EVIL) <= shown


@pytest.mark.parametrize("text", FORMULAS)
def test_formula_is_quoted_and_comes_back(text: str) -> None:
    assert quoted(text) == f"'{text}"
    assert unquoted(f"'{text}") == text


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_are_as_they_are(text: str) -> None:
    assert quoted(text) == text == unquoted(text)


@given(st.text("='+-@\t\r\nab ", max_size=6))
def test_every_text_comes_back_and_none_begins_as_a_formula(text: str) -> None:
    cell = quoted(text)
    assert isinstance(cell, str)
    assert unquoted(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("quotes", [True, False])
def test_table_is_quoted_unless_asked_not_to(tmp_path: Path, quotes: bool) -> None:
    rows = [Row(place, text, text, text, 0.5, False) for place, text in enumerate([*FORMULAS, *HARMLESS[:4]])]
    with open_table(tmp_path, CSV, quotes_formulas=quotes) as write:
        write(rows)
    with (tmp_path / "tasks.csv").open(encoding="utf-8-sig", newline="") as file:
        written = list(csv.DictReader(file))
    for row, found in zip(rows, written, strict=True):
        for name in ("text", "label", "predicted"):
            assert found[name] == (quoted(row.text) if quotes else row.text)
