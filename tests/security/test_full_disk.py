"""A full disk is a sentence: nothing half-written is used or left, the last order stays, and with room all goes on.

Of whole processes on a full disk, see tests/chaos; of the temporary folder, test_bodies.py.
"""

from __future__ import annotations

import errno
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from label_studio_al.cli import main
from label_studio_al.learners.published import Models
from label_studio_al.pool.files import FeatureFiles
from label_studio_al.runtime.database import UNAVAILABLE
from label_studio_al.runtime.errors import InvalidRequest, InvalidSettings
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.simulate.results import write_whole
from label_studio_al.store import Signer, Store
from label_studio_al.turns.retrying import DISK_SECONDS_AT_MOST, PARKED_AFTER
from label_studio_al.web import create_app
from label_studio_al.web.parts import REST_SECONDS, Parts
from label_studio_al.wiring import make_signer, webhook_keys
from tests.support.bench import Bench
from tests.support.clock import FakeClock
from tests.support.columns import set_columns
from tests.support.fake_label_studio import FakeProject

SIGNING_KEY = "the key of these tests"


@contextmanager
def files_end_at(n_bytes: int) -> Iterator[None]:
    """The kernel lets no file of this process grow any further, as a full disk does. Python ignores its signal."""
    before, keeps = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    # Half of a compiled module would stay for all that come after.
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = keeps


@contextmanager
def database_is_full(store: Store) -> Iterator[None]:
    """SQLite finds no room for another page."""
    engine = store._engine

    def limit(connection: Any, *_: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")

    sa.event.listen(engine, "checkout", limit)
    try:
        yield
    finally:
        sa.event.remove(engine, "checkout", limit)
        engine.dispose()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(model_dir=tmp_path, encoder="none")


@pytest.fixture
def signer() -> Signer:
    return Signer(SIGNING_KEY)


@pytest.fixture
def project(bench: Bench) -> FakeProject:
    """A project with a model, and five labels that it has not learnt."""
    made = bench.add()
    bench.publish(made, 1)
    bench.label(made, 5)
    return made


def served(bench: Bench, project: FakeProject) -> tuple[Any, ...]:
    """What annotators get."""
    return project.model_version, project.queue(), bench.store.versions.current_name(project.key)


def check_all_is_well(bench: Bench, project: FakeProject) -> None:
    """Some turns later all is learnt, by a model that can be read, and nothing is left of the failure."""
    state = bench.settle(project)
    assert (state.error, state.retry_at) == (None, None)
    version = bench.version(project)
    assert len(version.trained_on) == 10
    assert project.model_version == version.name
    assert Models(bench.store, bench.signer).get(project.key, version.id) is not None
    pool = bench.loop._looking.pools[project.key]
    assert sorted(pool.task_ids[pool.live].tolist()) == sorted(project.tasks)


# -- the database -----------------------------------------------------------------------------------------------


def test_model_that_the_database_does_not_take_is_not_used(bench: Bench, project: FakeProject) -> None:
    before = served(bench, project)
    with database_is_full(bench.store):
        with pytest.raises(UNAVAILABLE, match="full"):
            bench.turn(project)
        for _ in range(PARKED_AFTER):
            # Turns that come to no end are counted, and then waited with.
            with suppress(*UNAVAILABLE):
                bench.turn(project, after_seconds=DISK_SECONDS_AT_MOST)
        assert served(bench, project) == before
        version = bench.version(project)
        assert Models(bench.store, bench.signer).get(project.key, version.id) is not None
    check_all_is_well(bench, project)


def test_webhook_that_the_database_does_not_take_is_answered_and_made_up_for(
    settings: Settings, store: Store, signer: Signer, payload: Callable[[str], dict[str, Any]]
) -> None:
    client = create_app(Parts(settings, store, signer, FakeClock()), []).test_client()
    assert client.post("/setup", json=payload("setup")).status_code == 200
    key = payload("setup")["project"]
    set_columns(store, key, sync_wanted=False)
    event = payload("annotation_created")
    event["task"]["data"]["text"] = "a long text " * 50_000
    with database_is_full(store):
        refused = client.post("/webhook", json=event)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert refused.get_json()["error"] == "the database does not answer: try again in 5 s"
        assert client.post("/setup", json=payload("setup")).status_code == 200
        assert client.post("/predict", json=payload("predict")).status_code == 200
    assert store.annotations.all(key) == []
    here = client.application.extensions["parts"]
    here.clock.advance(REST_SECONDS)
    assert client.post("/webhook", json=event).status_code == 201
    assert store.projects.get(key).sync_wanted


# -- features ---------------------------------------------------------------------------------------------------


class HalfTaken:
    """A file of which the disk takes the half of what is written."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, content: bytes) -> None:
        self._file.write(content[: len(content) // 2])
        self._file.flush()
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> HalfTaken:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


@pytest.mark.parametrize("name", ["tasks", "values", "scales"])
def test_full_disk_is_tried_every_twenty_seconds_for_ever(
    bench: Bench, project: FakeProject, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before = served(bench, project)
    bench.hear(bench.fake.add_tasks(project.id, [{"text": "a new text"}, {"text": "another new text"}]))
    opened = FeatureFiles._open

    def open_full(self: FeatureFiles, asked: str) -> Any:
        file = opened(self, asked)
        return HalfTaken(file) if asked == name else file

    with monkeypatch.context() as patch:
        patch.setattr(FeatureFiles, "_open", open_full)
        for _ in range(3 * PARKED_AFTER):
            state = bench.turn(project, after_seconds=DISK_SECONDS_AT_MOST)
        assert state.error == f"features cannot be written to {bench.settings.model_dir / 'features'}: " + (
            "No space left on device"
        )
        assert served(bench, project) == before
        # Whoever starts anew now has the same from what is whole.
        bench.restart()
        assert bench.turn(project, after_seconds=DISK_SECONDS_AT_MOST).error
        assert served(bench, project) == before
    assert state.retry_at is not None
    assert not state.is_parked
    check_all_is_well(bench, project)


# -- files that commands write ----------------------------------------------------------------------------------


def left_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_export_leaves_nothing_half_done(
    bench: Bench, project: FakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_DIR", str(bench.settings.model_dir))
    monkeypatch.setenv("DATABASE_URL", str(bench.store._engine.url))
    monkeypatch.setenv("AL_SIGNING_KEY", SIGNING_KEY)
    out = tmp_path / "out"
    arguments = ["export", "--project", str(project.id), "--output", str(out)]
    for n_bytes in (2_000, 100, 0):
        with files_end_at(n_bytes):
            refused = CliRunner().invoke(main, arguments)
        assert refused.exit_code == 1
        assert refused.output.count("\n") == 1, refused.output
        assert not out.exists() or left_in(out) == []
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert "model.joblib" in left_in(out)


@pytest.mark.parametrize("read", [make_signer, webhook_keys])
def test_key_that_finds_no_room_is_none(settings: Settings, tmp_path: Path, read: Callable[[Settings], object]) -> None:
    with files_end_at(0), pytest.raises(InvalidSettings, match="cannot be read or made: File too large"):
        read(settings)
    assert left_in(tmp_path) == []
    read(settings)
    (made,) = tmp_path.iterdir()
    assert len(made.read_text(encoding="ascii")) == 64


def test_secrets_that_find_no_room_are_made_later(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    for n_bytes in (0, 64):
        with files_end_at(n_bytes):
            refused = CliRunner().invoke(main, ["secrets", str(folder)])
        assert refused.exit_code != 0
        assert "File too large" in refused.output
    assert CliRunner().invoke(main, ["secrets", str(folder)]).exit_code == 0
    assert [name for name in left_in(folder) if name.endswith(".new")] == []
    assert all(path.stat().st_size for path in folder.iterdir())


def test_results_of_simulate_are_whole_or_as_they_were(tmp_path: Path) -> None:
    write_whole(tmp_path / "curves.csv", "before")
    with files_end_at(3), pytest.raises(InvalidRequest, match="cannot be written to: File too large"):
        write_whole(tmp_path / "curves.csv", "afterwards")
    assert left_in(tmp_path) == ["curves.csv"]
    assert (tmp_path / "curves.csv").read_text(encoding="utf-8") == "before"
