"""What was heard makes a turn be asked for at once, whoever wrote it down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from label_studio_al.labeling import Event, Task
from label_studio_al.runtime.waking import open_waker
from label_studio_al.store import Store
from label_studio_al.store.activity import Activity
from label_studio_al.turns.hearing import Hearing
from tests.support.build import KEY, config_xml
from tests.support.columns import set_columns

# Nothing here waits for it: a waiting that does not end fails by it.
FOREVER = 60.0


class Asked:
    """What is asked of the jobs; `refused`: how many of the next ones cannot be written down."""

    def __init__(self) -> None:
        self.all: list[tuple[str, int]] = []
        self.refused = 0
        self.is_any = threading.Event()

    def ask(self, project_key: str, n_turns: int) -> None:
        if self.refused:
            self.refused -= 1
            raise OSError("the jobs cannot be written")
        self.all.append((project_key, n_turns))
        self.is_any.set()


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def hearing(store: Store, asked: Asked) -> Hearing:
    return Hearing(store, asked, "sqlite://")  # type: ignore[arg-type]


@pytest.fixture
def project(store: Store, hearing: Hearing, asked: Asked) -> str:
    """A project that has had its turn."""
    store.projects.register(KEY, config_xml(), {}, 0.0)
    hearing.look()
    end_turn(store)
    hearing.look()
    asked.all.clear()
    return KEY


def hear(store: Store, number: int) -> None:
    store.updates.hear(Event("TASKS_CREATED", KEY, None, tasks=(Task(number, {"text": "a text"}),)), 0.0)


def end_turn(store: Store) -> None:
    revision = store.projects.begin_turn(KEY).revision
    set_columns(store, KEY, seen_revision=revision, n_unfinished=0)


def test_project_that_is_set_up_gets_its_first_turn(store: Store, hearing: Hearing, asked: Asked) -> None:
    store.projects.register(KEY, config_xml(), {}, 0.0)
    hearing.look()
    assert asked.all == [(KEY, 0)]


def test_events_that_one_turn_will_see_ask_for_it_once(
    store: Store, hearing: Hearing, asked: Asked, project: str
) -> None:
    for number in range(3):
        hear(store, number)
        hearing.look()
    store.projects.begin_turn(project)
    hear(store, 3)
    hearing.look()
    assert asked.all == [(project, 1), (project, 2)]


def test_every_turn_is_asked_for_one_after_the_other(
    store: Store, hearing: Hearing, asked: Asked, project: str
) -> None:
    for number in range(3):
        hear(store, number)
        hearing.look()
        end_turn(store)
        hearing.look()
    assert asked.all == [(project, 1), (project, 2), (project, 3)]


def test_what_a_turn_writes_down_asks_for_none(store: Store, hearing: Hearing, asked: Asked, project: str) -> None:
    hear(store, 1)
    hearing.look()
    store.projects.begin_turn(project)
    hearing.look()
    set_columns(store, project, activity=Activity("training", {"n": 1}).dumps())
    hearing.look()
    assert asked.all == [(project, 1)]


@pytest.mark.parametrize(
    "hold",
    [
        lambda store: store.projects.pause(KEY, 0.0),
        lambda store: set_columns(store, KEY, retry_at=1e12),
        lambda store: set_columns(store, KEY, parked_revision=10**6),
    ],
    ids=["paused", "waiting after a failure", "parked"],
)
def test_projects_that_take_no_turn_are_asked_for_none(
    store: Store, hearing: Hearing, asked: Asked, project: str, hold: Callable[[Store], None]
) -> None:
    hold(store)
    if not store.projects.get(project).is_paused:
        hear(store, 1)
    hearing.look()
    assert asked.all == []


def test_what_could_not_be_asked_is_asked_at_the_next_look(
    store: Store, hearing: Hearing, asked: Asked, project: str
) -> None:
    hear(store, 1)
    asked.refused = 1
    with pytest.raises(OSError, match="cannot be written"):
        hearing.look()
    hearing.look()
    assert asked.all == [(project, 1)]


def test_project_that_was_forgotten_and_set_up_again_begins_anew(
    store: Store, hearing: Hearing, asked: Asked, project: str
) -> None:
    store.projects.forget(project)
    hearing.look()
    store.projects.register(project, config_xml(), {}, 0.0)
    hearing.look()
    assert asked.all == [(project, 0)]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'shared.sqlite'}"


def test_what_another_process_writes_down_is_heard_at_once(
    url: str, asked: Asked, payload: Callable[[str], dict[str, Any]]
) -> None:
    """Not by the look that comes by itself, which this test does not wait for."""
    with closing(Store(url)) as mine, closing(Store(url)) as others:
        mine.migrate()
        hearing = Hearing(mine, asked, url)  # type: ignore[arg-type]
        hearing.start()
        others.projects.register(KEY, config_xml(), {}, 0.0)
        assert asked.is_any.wait(FOREVER)
        end_turn(others)
        asked.is_any.clear()
        hear(others, 1)
        assert asked.is_any.wait(FOREVER)
        hearing.stop()
    assert asked.all == [(KEY, 0), (KEY, 1)]


def test_new_project_wakes_whoever_waits(url: str) -> None:
    with closing(Store(url)) as mine, closing(Store(url)) as others:
        mine.migrate()
        with closing(open_waker(url)) as waker:
            # From here on it listens.
            waker.wait(0.0, lambda: False)
            others.projects.register(KEY, config_xml(), {}, 0.0)
            began = time.monotonic()
            waker.wait(FOREVER, lambda: False)
            assert time.monotonic() - began < FOREVER


def test_hearing_goes_on_after_a_failure(url: str, asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    with closing(Store(url)) as mine, closing(Store(url)) as others:
        mine.migrate()
        hearing = Hearing(mine, asked, url)  # type: ignore[arg-type]
        asked.refused = 1
        hearing.start()
        others.projects.register(KEY, config_xml(), {}, 0.0)
        others.projects.register("9.1795343520", config_xml(), {}, 0.0)
        while not asked.is_any.wait(0.1):
            hear(others, 1)
        hearing.stop()
    assert "what was heard cannot be looked at: OSError" in caplog.text
