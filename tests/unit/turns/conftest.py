"""Turns of the loop against a small Label Studio in memory, with a real store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer, Store
from tests.support.bench import Bench
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import FakeLabelStudio
from tests.support.turns import prepared, settings_in, state_of


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The state after the same labels without any fault."""
    folder = tmp_path_factory.mktemp("reference")
    store = Store(f"sqlite:///{folder / 'reference.sqlite'}")
    store.migrate()
    settings = read_settings(model_dir=folder, encoder="none")
    bench = Bench(FakeLabelStudio(), store, Signer("a key that only tests know"), FakeClock(), settings)
    project = prepared(bench)
    bench.settle(project)
    state = state_of(bench, project)
    store.close()
    return state
