"""A bench's state to begin many tests with: to copy it takes milliseconds, the turns that lead there a second."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from label_studio_al.runtime.settings import Settings
from label_studio_al.store import Signer, Store
from tests.support.bench import Bench
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import FakeLabelStudio


@dataclass(frozen=True)
class Saved:
    """folder: a closed store and its features; fake, clock: what Label Studio and the clock held."""

    folder: Path
    fake: dict[str, Any]
    clock: dict[str, Any]

    def put_into(self, bench: Bench) -> None:
        """Let a bench that has done nothing go on from here, as a new worker process."""
        bench.store._engine.dispose()
        shutil.copytree(self.folder, bench.settings.model_dir, dirs_exist_ok=True)
        vars(bench.fake).update(deepcopy(self.fake))
        vars(bench.clock).update(deepcopy(self.clock))
        bench.restart()


@contextmanager
def bench_to_save(settings: Settings) -> Iterator[Bench]:
    """A bench on SQLite in the settings' folder; `saved` is for when its store is closed."""
    store = Store(settings.store_url)
    store.migrate()
    yield Bench(FakeLabelStudio(), store, Signer("a key that only tests know"), FakeClock(), settings)
    store.close()


def saved(bench: Bench) -> Saved:
    """What the bench has come to."""
    bench.fake.calls.clear()
    return Saved(bench.settings.model_dir, deepcopy(vars(bench.fake)), deepcopy(vars(bench.clock)))
