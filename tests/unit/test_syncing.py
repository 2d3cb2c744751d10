"""Bringing the store up to date with Label Studio's API: what changed, and now and then everything."""

from __future__ import annotations

import pytest

from backend.errors import StudioUnreachable
from backend.store import Store
from backend.studio import client
from backend.studio.client import Studio
from backend.syncing import COMPARE_AGAIN_SECONDS_A_TASK, COMPARE_SECONDS, Sync
from tests.support.build import config_xml
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import TOKEN, URL, FakeLabelStudio, FakeProject

AT_ONCE, FOR_EVER = 0.0, float("inf")


class Setting:
    """A project of Label Studio's, and its copy."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store, self.clock, self.fake = store, clock, FakeLabelStudio()
        self.project: FakeProject = self.fake.add_project(config_xml(), [f"text {n}" for n in range(25)])
        self.key = self.project.key
        self.ids = list(self.project.tasks)
        store.register(self.key, config_xml(), None, 0.0)
        self.restart()

    def restart(self) -> None:
        self.sync = Sync(self.store, Studio(URL, TOKEN, httpx_client=self.fake.client(), clock=self.clock), self.clock)

    def run(self, seconds_later: float = 300.0, until: float = FOR_EVER) -> bool:
        self.clock.advance(seconds_later)
        self.fake.calls.clear()
        return self.sync.run(self.key, until)

    def is_equal(self) -> bool:
        ours = {one.task_id: one.data for one in self.store.changes(self.key, (-1, -1), 99) if one.data is not None}
        theirs = {task_id: task["data"] for task_id, task in self.project.tasks.items()}
        labels = {one.id: (one.task_id, one.updated_at) for one in self.store.annotations(self.key)}
        made = {one["id"]: (one["task"], one["updated_at"]) for one in self.project.annotations.values()}
        return (ours, labels) == (theirs, made)

    def n_listed(self) -> int:
        return self.fake.names().count("GET /api/tasks")


@pytest.fixture
def setting(store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setattr(client, "TASKS_A_PAGE", 10)
    # Of this Label Studio's times, two follow each other by a millisecond.
    monkeypatch.setattr("backend.syncing.OVERLAP_SECONDS", 0.0)
    return Setting(store, clock)


def test_first_run_compares_everything(setting: Setting) -> None:
    setting.fake.annotate(1, setting.ids[3], "A")
    assert setting.run()
    assert setting.is_equal()
    assert setting.store.project(setting.key).synced_at == setting.clock.now()


def test_comparison_is_cut_into_pages_and_goes_on_after_a_restart(setting: Setting) -> None:
    setting.fake.annotate(1, setting.ids[3], "A")
    for n_pages in (1, 2):
        assert not setting.run(until=AT_ONCE)
        assert len(setting.store.task_ids(setting.key)) == 10 * n_pages
        assert setting.store.project(setting.key).synced_at is None
        setting.restart()
    assert not setting.run(until=AT_ONCE)
    assert setting.run(until=AT_ONCE)
    assert setting.is_equal()


def test_later_run_reads_what_changed_only(setting: Setting) -> None:
    setting.run()
    setting.fake.change_data(1, setting.ids[20], {"text": "changed"})
    setting.fake.annotate(1, setting.ids[4], "A")
    setting.fake.annotate(1, setting.ids[5], None, skip=True)
    setting.fake.add_tasks(1, [{"text": "new"}])
    assert setting.run()
    assert setting.is_equal()
    assert setting.n_listed() == 1


def test_nothing_new_changes_no_row(setting: Setting) -> None:
    setting.fake.annotate(1, setting.ids[4], "A")
    setting.run()
    revision = setting.store.project(setting.key).revision
    setting.run()
    assert setting.store.changes(setting.key, (revision, 2**62), 99) == []


@pytest.mark.parametrize("n", [1, 12])
def test_deleted_and_corrected_annotations_are_found_by_their_task(setting: Setting, n: int) -> None:
    for task_id in setting.ids:
        setting.fake.annotate(1, task_id, "A")
    setting.run()
    setting.fake.delete_annotations(1, *list(setting.project.annotations)[:n])
    for annotation_id in list(setting.project.annotations)[:n]:
        setting.fake.correct(1, annotation_id, "B")
    assert setting.run()
    assert setting.is_equal()


def test_annotations_of_many_changed_tasks_are_read_together(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.syncing.MAX_TASKS_BY_ID", 5)
    setting.run()
    for task_id in setting.ids[:8]:
        setting.fake.annotate(1, task_id, "A")
    assert setting.run()
    assert setting.is_equal()
    assert setting.fake.names().count("GET /api/projects/1/export") == 1


def test_deleted_tasks_are_found_by_their_number(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    setting.run()
    setting.fake.delete_tasks(1, *setting.ids[7:12])
    assert setting.run(seconds_later=COMPARE_AGAIN_SECONDS_A_TASK * 25)
    assert setting.is_equal()
    assert "25 tasks here, 20 there" in caplog.text


def test_differing_numbers_do_not_cause_one_comparison_after_the_other(setting: Setting) -> None:
    setting.run()
    setting.fake.delete_tasks(1, setting.ids[7])
    setting.run(seconds_later=0.0)
    assert not setting.is_equal()
    assert setting.n_listed() == 1


def test_everything_is_compared_once_a_day(setting: Setting) -> None:
    setting.run()
    # Nothing tells of this: no time of change, and as many tasks as before.
    setting.project.tasks[setting.ids[0]]["data"] = {"text": "restored from a backup"}
    setting.run(seconds_later=COMPARE_SECONDS - 1)
    assert not setting.is_equal()
    assert setting.run(seconds_later=1)
    assert setting.is_equal()


def test_change_of_a_page_that_was_read_already_is_found_by_the_next_run(setting: Setting) -> None:
    setting.run(until=AT_ONCE)
    setting.fake.change_data(1, setting.ids[0], {"text": "changed"})
    while not setting.run(until=AT_ONCE):
        pass
    assert setting.run()
    assert setting.is_equal()


def test_task_deleted_while_pages_are_read_does_not_hide_another(setting: Setting) -> None:
    setting.run(until=AT_ONCE)
    setting.fake.delete_tasks(1, setting.ids[0])
    while not setting.run(until=AT_ONCE):
        pass
    assert set(setting.ids[1:]) <= set(setting.store.task_ids(setting.key))


def test_deleted_tasks_at_the_end_are_found_by_a_comparison(setting: Setting) -> None:
    setting.run()
    setting.fake.delete_tasks(1, *setting.ids[-3:])
    assert setting.run(seconds_later=COMPARE_SECONDS)
    assert setting.is_equal()


def test_comparison_that_fails_on_a_page_goes_on_from_there(setting: Setting) -> None:
    setting.fake.fail("GET", "/api/tasks", 503, nth=3)
    with pytest.raises(StudioUnreachable):
        setting.run()
    assert len(setting.store.task_ids(setting.key)) == 10
    setting.fake.mend()
    assert setting.run()
    assert setting.is_equal()
    assert setting.n_listed() == 2


def test_project_without_tasks_is_compared_and_gets_its_first_ones(setting: Setting) -> None:
    empty = setting.fake.add_project(config_xml())
    setting.store.register(empty.key, config_xml(), None, 0.0)
    assert setting.sync.run(empty.key, FOR_EVER)
    setting.fake.add_tasks(empty.id, [{"text": "first"}])
    assert setting.sync.run(empty.key, FOR_EVER)
    assert setting.store.task_ids(empty.key) == list(empty.tasks)
