"""Which projects the worker's sweep gives a turn."""

from __future__ import annotations

import io
import threading
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image

from label_studio_al.cli.worker import Periodic, encoders_of, needs_turn, sweep
from label_studio_al.labeling import Event, Task
from label_studio_al.runtime.computing import Computing
from label_studio_al.runtime.errors import StudioUnreachable
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Project, Signer, Store
from label_studio_al.turns.loop import Loop
from label_studio_al.turns.means import Means
from label_studio_al.wiring import make_studio
from tests.support.background import AtOnce
from tests.support.clock import FakeClock
from tests.support.columns import set_columns
from tests.support.fake_label_studio import TOKEN, URL
from tests.support.versions import new_version

KEY = "2.1795394190"
CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="topic" toName="text">'
    '<Choice value="A"/><Choice value="B"/></Choices></View>'
)


@dataclass
class RecordingJobs:
    """What the sweep asks of the jobs; `spent` are the numbers whose job has ended."""

    spent: set[int] = field(default_factory=set)
    asked: list[tuple[str, int]] = field(default_factory=list)

    def ask(self, project_key: str, n_turns: int) -> None:
        self.asked.append((project_key, n_turns))

    def is_spent(self, _project_key: str, n_turns: int) -> bool:
        return n_turns in self.spent


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(model_dir=tmp_path, encoder="none")


@pytest.fixture
def jobs() -> RecordingJobs:
    return RecordingJobs()


def rest(store: Store, clock: FakeClock, key: str = KEY) -> None:
    """A project that has had its turn: nothing is left to do."""
    project = store.projects.register(key, CONFIG, {}, clock.now())
    version = store.versions.publish(
        key, new_version(1, clock.now(), 0, "coverage", ("A", "B"), {}, None, None, []), is_switched=True
    )
    set_columns(
        store,
        key,
        seen_revision=project.revision,
        synced_at=clock.now(),
        sync_wanted=False,
        version_id=version.id,
    )
    clock.advance(10)


def asks(store: Store, settings: Settings, clock: FakeClock, *, has_studio: bool = True) -> bool:
    return needs_turn(store.projects.get(KEY), settings, clock.now(), has_studio=has_studio)


@pytest.mark.parametrize("has_studio", [True, False])
def test_new_project_needs_a_turn(store: Store, clock: FakeClock, settings: Settings, has_studio: bool) -> None:
    store.projects.register(KEY, CONFIG, {}, clock.now())
    assert asks(store, settings, clock, has_studio=has_studio)


def test_project_at_rest_needs_none(store: Store, clock: FakeClock, settings: Settings) -> None:
    rest(store, clock)
    assert not asks(store, settings, clock)
    assert not asks(store, settings, clock, has_studio=False)


@pytest.mark.parametrize("has_studio", [True, False])
def test_news_need_a_turn(store: Store, clock: FakeClock, settings: Settings, has_studio: bool) -> None:
    rest(store, clock)
    store.updates.hear(Event("TASKS_CREATED", KEY, None, tasks=(Task(1, {}),)), clock.now())
    assert asks(store, settings, clock, has_studio=has_studio)


@pytest.mark.parametrize(
    "columns",
    [
        {"sync_wanted": True},
        {"synced_at": None},
        {"is_switched": False},
    ],
    ids=str,
)
def test_what_label_studio_lacks_needs_a_turn_only_with_a_token(
    store: Store, clock: FakeClock, settings: Settings, columns: dict[str, Any]
) -> None:
    rest(store, clock)
    set_columns(store, KEY, **columns)
    assert asks(store, settings, clock)
    assert not asks(store, settings, clock, has_studio=False)


def test_sync_is_due_after_its_seconds(store: Store, clock: FakeClock, settings: Settings) -> None:
    rest(store, clock)
    clock.advance(settings.sync_seconds - 10.5)
    assert not asks(store, settings, clock)
    clock.advance(0.5)
    assert asks(store, settings, clock)


@pytest.mark.parametrize(("n_projects", "pause"), [(1, 300.0), (3, 300.0), (10, 900.0), (40, 3_600.0), (400, 3_600.0)])
def test_projects_where_nothing_happens_are_asked_the_less_often_the_more_there_are(
    store: Store, clock: FakeClock, settings: Settings, n_projects: int, pause: float
) -> None:
    rest(store, clock)
    set_columns(store, KEY, synced_at=clock.now())
    clock.advance(pause - 1)
    assert not needs_turn(store.projects.get(KEY), settings, clock.now(), has_studio=True, n_projects=n_projects)
    clock.advance(1)
    assert needs_turn(store.projects.get(KEY), settings, clock.now(), has_studio=True, n_projects=n_projects)


def test_standings_say_of_each_project_what_its_row_says(store: Store, clock: FakeClock) -> None:
    rest(store, clock)
    store.projects.add_stale(KEY, ["al-7"])
    (found,), project = store.projects.standings(), store.projects.get(KEY)
    assert asdict(found) == {name: getattr(project, name) for name in asdict(found)}
    assert found.stale_versions == ("al-7",)


def test_retry_waits_for_its_time_whatever_is_heard(store: Store, clock: FakeClock, settings: Settings) -> None:
    rest(store, clock)
    set_columns(store, KEY, retry_at=clock.now() + 8, error="Label Studio does not answer", sync_wanted=True)
    store.updates.hear(Event("TASKS_CREATED", KEY, None, tasks=(Task(1, {}),)), clock.now())
    assert not asks(store, settings, clock)
    clock.advance(8)
    assert asks(store, settings, clock)
    assert asks(store, settings, clock, has_studio=False)


def test_parked_project_waits_for_news(store: Store, clock: FakeClock, settings: Settings) -> None:
    rest(store, clock)
    set_columns(store, KEY, error="the label config has no control", is_switched=False)
    clock.advance(settings.sync_seconds / 2)
    assert not asks(store, settings, clock)

    store.updates.hear(Event("PROJECT_UPDATED", KEY, CONFIG.replace("B", "C")), clock.now())
    assert asks(store, settings, clock)


def test_parked_project_is_looked_at_again_after_a_restart(store: Store, clock: FakeClock, settings: Settings) -> None:
    rest(store, clock)
    set_columns(store, KEY, error="the label config has no control")
    set_columns(store, KEY, sync_wanted=True)
    assert asks(store, settings, clock)


def test_unsupported_project_comes_to_rest(store: Store, clock: FakeClock, settings: Settings, signer: Signer) -> None:
    store.projects.register(KEY, "<View/>", {}, clock.now())
    loop = Loop(Means(store, None, signer, settings, clock, Computing(1), AtOnce()))
    n_turns = 0
    while asks(store, settings, clock, has_studio=False):
        loop.take_turn(KEY)
        n_turns += 1
        assert n_turns < 5
    assert n_turns == 1


def test_sweep_asks_for_each_project_in_need(
    store: Store, clock: FakeClock, settings: Settings, jobs: RecordingJobs
) -> None:
    rest(store, clock)
    for key in ("3.1", "4.1"):
        store.projects.register(key, CONFIG, {}, clock.now())
    store.projects.begin_turn("4.1")

    known = sweep(store, jobs, settings, clock.now(), has_studio=True)  # type: ignore[arg-type]

    assert jobs.asked == [("3.1", 0), ("4.1", 1)]
    assert known == [KEY, "3.1", "4.1"]


def test_sweep_numbers_a_spent_job_anew(
    store: Store, clock: FakeClock, settings: Settings, jobs: RecordingJobs
) -> None:
    store.projects.register(KEY, CONFIG, {}, clock.now())
    jobs.spent = {0}

    sweep(store, jobs, settings, clock.now(), has_studio=True)  # type: ignore[arg-type]

    assert jobs.asked == [(KEY, 1)]
    assert store.projects.get(KEY).n_turns == 1


def test_sweep_does_not_overtake_a_turn_that_goes_on(
    store: Store, clock: FakeClock, settings: Settings, jobs: RecordingJobs
) -> None:
    store.projects.register(KEY, CONFIG, {}, clock.now())
    n_turns = store.projects.begin_turn(KEY).n_turns
    jobs.spent = {n_turns}

    with store.turn_lock(KEY):
        sweep(store, jobs, settings, clock.now(), has_studio=True)  # type: ignore[arg-type]
    assert jobs.asked == []
    assert store.projects.get(KEY).n_turns == n_turns

    sweep(store, jobs, settings, clock.now(), has_studio=True)  # type: ignore[arg-type]
    assert jobs.asked == [(KEY, n_turns + 1)]


def test_sweeps_in_a_row_ask_for_the_same_job(
    store: Store, clock: FakeClock, settings: Settings, jobs: RecordingJobs
) -> None:
    store.projects.register(KEY, CONFIG, {}, clock.now())
    for _ in range(5):
        sweep(store, jobs, settings, clock.now(), has_studio=True)  # type: ignore[arg-type]
    assert set(jobs.asked) == {(KEY, 0)}


def test_sweep_gets_past_many_spent_jobs(
    store: Store, clock: FakeClock, settings: Settings, jobs: RecordingJobs
) -> None:
    """The state was lost and its numbers begin at 0 again, while the jobs' database remembers an hour of them."""
    store.projects.register(KEY, CONFIG, {}, clock.now())
    jobs.spent = set(range(10))
    for _ in range(11):
        sweep(store, jobs, settings, clock.now(), has_studio=True)  # type: ignore[arg-type]
    assert jobs.asked[-1] == (KEY, 10)


def test_one_projects_trouble_does_not_keep_others_from_their_turn(
    store: Store, clock: FakeClock, settings: Settings, jobs: RecordingJobs
) -> None:
    for key in ("1.1", "2.2"):
        store.projects.register(key, CONFIG, {}, clock.now())

    class JobsThatFailOnce(RecordingJobs):
        def ask(self, project_key: str, n_turns: int) -> None:
            if project_key == "1.1":
                raise RuntimeError("database is locked")
            super().ask(project_key, n_turns)

    failing = JobsThatFailOnce()
    with suppress(RuntimeError):
        sweep(store, failing, settings, clock.now(), has_studio=True)  # type: ignore[arg-type]
    assert failing.asked == [("2.2", 0)]


def test_turn_leaves_a_project_without_a_token_at_rest(
    store: Store, clock: FakeClock, settings: Settings, signer: Signer
) -> None:
    store.projects.register(KEY, CONFIG, {}, clock.now())
    Loop(Means(store, None, signer, settings, clock, Computing(1), AtOnce())).take_turn(KEY)
    clock.advance(10_000)
    project: Project = store.projects.get(KEY)
    assert project.error is None
    assert not asks(store, settings, clock, has_studio=False)


class Recorded:
    """What a periodic check was called with; fails as it is told."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.fails_with: Exception | None = None

    def __call__(self, keys: Sequence[str]) -> None:
        self.calls.append(list(keys))
        assert self.goes_on.wait(60)
        if self.fails_with:
            raise self.fails_with


@pytest.fixture
def act() -> Recorded:
    return Recorded()


@pytest.fixture
def periodic(act: Recorded) -> Iterator[Periodic]:
    made = Periodic("check", 300.0, act, 1_000.0)
    yield made
    act.goes_on.set()
    made.close()


def finish(periodic: Periodic) -> None:
    assert periodic._running is not None
    periodic._running.result(60)


def test_periodic_check_waits_its_time_and_has_projects(periodic: Periodic, act: Recorded) -> None:
    periodic.run_if_due([KEY], 1_299.0)
    periodic.run_if_due([], 1_300.0)
    assert not act.calls
    periodic.run_if_due([KEY], 1_300.0)
    finish(periodic)
    periodic.run_if_due([KEY], 1_599.0)
    assert act.calls == [[KEY]]
    periodic.run_if_due([KEY], 1_600.0)
    finish(periodic)
    assert act.calls == [[KEY]] * 2


def test_nobody_waits_for_a_periodic_check_that_takes_long(periodic: Periodic, act: Recorded) -> None:
    act.goes_on.clear()
    for now in (1_300.0, 1_600.0, 1_900.0):
        periodic.run_if_due([KEY], now)
    act.goes_on.set()
    finish(periodic)
    assert act.calls == [[KEY]]


@pytest.mark.parametrize(
    "failure",
    [
        StudioUnreachable("Label Studio does not answer"),
        sa.exc.OperationalError("", None, Exception()),
        ValueError("x"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_periodic_check_that_failed_is_made_again(periodic: Periodic, act: Recorded, failure: Exception) -> None:
    act.fails_with = failure
    for now in (1_300.0, 1_600.0):
        periodic.run_if_due([KEY], now)
        finish(periodic)
    assert len(act.calls) == 2


def test_images_that_a_worker_reads_have_thumbnails(tmp_path: Path) -> None:
    given = {"label_studio_url": URL, "label_studio_api_key": TOKEN, "image_encoder": "onnx:somewhere"}
    settings = read_settings(model_dir=tmp_path, encoder="none", **given)
    encoders = encoders_of(settings, make_studio(settings))
    file = io.BytesIO()
    Image.new("RGB", (300, 200), "red").save(file, "PNG")
    assert encoders.image_of
    assert encoders.thumbnail_of
    image = encoders.image_of(f"data:image/png;base64,{b64encode(file.getvalue()).decode()}", 7)
    with Image.open(io.BytesIO(encoders.thumbnail_of(image))) as small:
        assert (small.format, small.size) == ("JPEG", (128, 85))
