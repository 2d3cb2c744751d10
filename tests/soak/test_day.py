"""A day of labelling with a clock of its own: nothing may grow without bound.

AL_SOAK_LABELS=20000 .venv/bin/python -m pytest tests/soak        the long run: `make soak`
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil
import pytest
import sqlalchemy as sa
from threadpoolctl import threadpool_limits

from label_studio_al.cli.worker import needs_turn
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer, Store, schema
from label_studio_al.store.turns import KEPT_TURNS
from label_studio_al.turns.due import OLDER_VERSIONS_AT_MOST
from label_studio_al.turns.policy import WINDOW_AT_LEAST, WINDOW_GROWTHS
from tests.chaos.people import texts, truth
from tests.support.bench import TWO, Bench
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import TOKEN, URL, FakeLabelStudio, FakeProject

N_LABELS = int(os.environ.get("AL_SOAK_LABELS", "500"))
HOURS = 24
# People label for 50 minutes of an hour, and rest for ten.
WORKING_SECONDS, RESTING_SECONDS = 3000.0, 600.0
LABELS_AN_HOUR = N_LABELS // HOURS
MEMORY_MB_AN_HOUR = 4.0


@dataclass(frozen=True)
class Size:
    """What there is at an hour's end."""

    rows: dict[str, int]
    file_mb: float
    n_folders: int
    memory_mb: float
    n_threads: int
    n_predictions: int


def measure(bench: Bench, project: FakeProject, folder: Path) -> Size:
    with bench.store._engine.connect() as connection:
        rows = {
            table.name: int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
            for table in schema.metadata.sorted_tables
        }
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return Size(
        rows,
        sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6,
        len(list((folder / "features" / project.key).iterdir())),
        psutil.Process().memory_info().rss / 1e6,
        threading.active_count(),
        len(project.predictions),
    )


def work(bench: Bench, project: FakeProject, n: int, seconds: float, rng: Random) -> None:
    """Label n tasks in so many seconds; turns are taken as the sweep asks for them."""
    queue: list[int] = []
    for number in range(n):
        let_pass(bench, seconds / n)
        if number % 5 == 0 or not queue:
            queue = list(reversed(project.queue() or []))
        task_id = queue.pop() if queue else rng.choice(sorted(project.tasks))
        webhook = bench.fake.annotate(project.id, task_id, truth(project.tasks[task_id]["data"]["text"]))
        if rng.random() > 0.02:
            bench.hear(webhook)
        take_due_turns(bench, project)


def let_pass(bench: Bench, seconds: float) -> None:
    """Here and at Label Studio."""
    bench.clock.advance(seconds)
    bench.fake.let_pass(seconds)


def take_due_turns(bench: Bench, project: FakeProject) -> None:
    for _ in range(20):
        state = bench.store.projects.get(project.key)
        if not needs_turn(state, bench.settings, bench.clock.now(), has_studio=True):
            return
        bench.loop.take_turn(project.key)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(model_dir=tmp_path, label_studio_url=URL, label_studio_api_key=TOKEN, encoder="none")


def test_a_day_of_labels_leaves_no_growing_heap(
    store: Store, signer: Signer, clock: FakeClock, settings: Settings, tmp_path: Path
) -> None:
    rng = Random(0)
    bench = Bench(FakeLabelStudio(), store, signer, clock, settings)
    sizes = []
    with threadpool_limits(limits=1):
        project = bench.add(TWO, texts(int(1.2 * N_LABELS), rng))
        take_due_turns(bench, project)
        for _ in range(HOURS):
            work(bench, project, LABELS_AN_HOUR, WORKING_SECONDS, rng)
            for _ in range(int(RESTING_SECONDS // 60)):
                let_pass(bench, 60.0)
                take_due_turns(bench, project)
            # Nobody reads what came long ago.
            bench.fake.calls.clear()
            sizes.append(measure(bench, project, tmp_path))
    end, noon = sizes[-1], sizes[HOURS // 2]
    n_annotations = len(project.annotations)

    assert store.projects.get(project.key).error is None
    # A training is due when the labels have grown by a twentieth.
    assert len(bench.version(project).trained_on) > n_annotations / 1.06
    assert n_annotations > N_LABELS - HOURS
    assert end.rows["versions"] == end.rows["projects"] == 1
    assert end.rows["features"] <= 2
    assert end.rows["turns"] <= KEPT_TURNS
    assert end.rows["tasks"] == len(project.tasks)
    assert end.rows["annotations"] == n_annotations
    # A window lasts for some trainings; it is topped up where annotators would run out of it.
    assert end.rows["window_tasks"] <= 2 * max(WINDOW_AT_LEAST, WINDOW_GROWTHS * 0.05 * n_annotations) + 100
    # One a version, and versions come by growth.
    assert end.rows["measurements"] <= bench.version(project).number
    assert end.n_predictions <= end.rows["window_tasks"], "older predictions were deleted in the rests"
    widest = max(size.rows["window_tasks"] for size in sizes)
    assert max(size.n_predictions for size in sizes) <= widest * (OLDER_VERSIONS_AT_MOST + 2)
    assert end.n_folders <= 2
    assert end.n_threads <= noon.n_threads
    assert end.file_mb < noon.file_mb + 0.003 * N_LABELS / 2 + 20
    assert end.memory_mb < noon.memory_mb + MEMORY_MB_AN_HOUR * HOURS / 2
    print(f"{n_annotations} labels, {bench.version(project).number} versions; at noon {noon}; at the end {end}")
