"""A project whose state was written by the release before the package had a name of its own goes on where it was.

tests/state/before_rooms.zip: the state folder of that release after 173 labels, one run of automatic labels and six
versions, with what its Label Studio held.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer, Store
from tests.support.bench import Bench
from tests.support.clock import FakeClock
from tests.support.columns import annotation_columns
from tests.support.fake_label_studio import LEAD_SECONDS, TOKEN, URL, FakeLabelStudio, FakeProject

ARCHIVE = Path(__file__).parents[1] / "state" / "before_rooms.zip"
# What must be as it was; the windows and models of versions are made anew, and annotations say more than they did.
KEPT = (
    "tasks",
    "annotations",
    "outcomes",
    "measurements",
    "autolabel_runs",
    "automatic_labels",
    "autolabel_looks",
    "turns",
)

ANSWER = ("id", "task_id", "result", "was_cancelled", "updated_at", "is_deleted", "is_automatic", "completed_by")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path)
    return tmp_path


@pytest.fixture
def old_store(folder: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{folder / 'state.sqlite'}")
    yield opened
    opened.close()


@pytest.fixture
def settings(folder: Path) -> Settings:
    return read_settings(model_dir=folder, label_studio_url=URL, label_studio_api_key=TOKEN, encoder="none")


@pytest.fixture
def old_studio(folder: Path) -> FakeLabelStudio:
    """Label Studio as it was when that release was stopped."""
    kept = json.loads((folder / "label_studio.json").read_text(encoding="utf-8"))
    fake = FakeLabelStudio()
    project = FakeProject(**{name: kept["project"][name] for name in ("id", "title", "label_config", "created_at")})
    for name, value in kept["project"].items():
        setattr(project, name, _by_number(value) if isinstance(value, dict) else value)
    project.drafted = set(kept["project"]["drafted"])
    for annotation in project.annotations.values():
        # That release kept neither, nor did the tests' Label Studio of then.
        annotation["lead_time"] = LEAD_SECONDS
        annotation["result"] = [{"id": f"r{annotation['id']}", **item} for item in annotation["result"]]
    fake.projects[project.id] = project
    for name in ("connections", "webhooks", "tabs"):
        setattr(fake, name, _by_number(kept[name]))
    fake._last_id, fake._n_moments = kept["last_id"], kept["n_moments"]
    return fake


def _by_number(found: dict[str, Any]) -> dict[int, Any]:
    return {int(number): value for number, value in found.items()}


@pytest.fixture
def upgraded(
    old_store: Store, old_studio: FakeLabelStudio, signer: Signer, settings: Settings, folder: Path
) -> tuple[Bench, FakeProject]:
    """The worker of this release, just started with the old state."""
    now = json.loads((folder / "label_studio.json").read_text(encoding="utf-8"))["clock"]
    old_store.migrate()
    bench = Bench(old_studio, old_store, signer, FakeClock(now), settings)
    return bench, next(iter(old_studio.projects.values()))


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    engine = sa.create_engine(f"sqlite:///{folder / 'state.sqlite'}")
    with engine.connect() as connection:
        found = [dict(row) for row in connection.execute(sa.text(f"SELECT * FROM {table}")).mappings()]
    engine.dispose()
    return found


def test_everything_that_people_and_runs_made_stays(upgraded: tuple[Bench, FakeProject], folder: Path) -> None:
    bench, project = upgraded
    before = {table: rows(folder, table) for table in KEPT}
    assert all(before.values())
    bench.turn(project)
    for table, found in before.items():
        after = rows(folder, table)
        if table == "annotations":
            found, after = ([{name: row[name] for name in ANSWER} for row in some] for some in (found, after))
        assert not [row for row in found if row not in after], table


def test_model_is_trained_anew_at_the_first_turn_under_the_next_number(upgraded: tuple[Bench, FakeProject]) -> None:
    bench, project = upgraded
    before = bench.version(project)
    bench.turn(project)
    version = bench.version(project)
    assert version.number == before.number + 1
    assert project.model_version == version.name
    assert project.queue()
    # And it needs no third one.
    bench.settle(project)
    assert bench.version(project).number == version.number


def test_what_that_release_did_not_keep_of_annotations_is_read_once(upgraded: tuple[Bench, FakeProject]) -> None:
    bench, project = upgraded
    assert {row["lead_time"] for row in annotation_columns(bench.store, project.key).values()} == {None}
    bench.turn(project)
    for annotation_id, row in annotation_columns(bench.store, project.key).items():
        theirs = project.annotations[annotation_id]
        assert row["lead_time"] == LEAD_SECONDS
        assert json.loads(row["item_details"]) == [{"id": item["id"]} for item in theirs["result"]]
    bench.settle(project)
    bench.fake.calls.clear()
    bench.turn(project, after_seconds=400)
    assert f"GET /api/projects/{project.id}/export" not in bench.fake.names()


def test_labels_go_on_to_train(upgraded: tuple[Bench, FakeProject]) -> None:
    bench, project = upgraded
    bench.turn(project)
    n_before = bench.store.projects.get(project.key).n_annotations
    bench.label(project, 4)
    state = bench.turn(project)
    assert state.error is None
    assert state.n_annotations == n_before + 4
