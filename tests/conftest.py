"""Fixtures that every test may use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from backend.store import Signer, Store
from tests.support.clock import FakeClock

# A busy machine is no defect: nothing here measures time.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

PAYLOADS = Path(__file__).parent / "payloads"


@pytest.fixture(scope="session")
def payload() -> Callable[[str], dict[str, Any]]:
    """Gives a request that a real Label Studio sent, by its file name without ".json"; a fresh copy each time."""

    def load(name: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))
        return body

    return load


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in a SQLite file of its own."""
    opened = Store(f"sqlite:///{tmp_path / 'state.sqlite'}")
    opened.create_tables()
    yield opened
    opened.close()


@pytest.fixture
def signer() -> Signer:
    """A signer of stored models."""
    return Signer("a key that only tests know")


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until the test moves it."""
    return FakeClock()
