"""Bringing the store up to date with Label Studio's API: what changed, and now and then everything."""

from __future__ import annotations

from typing import Any

import pytest

from label_studio_al.labeling import read_event
from label_studio_al.runtime.errors import StudioUnreachable
from label_studio_al.store import Store
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.turns.syncing import COMPARE_AGAIN_SECONDS_A_TASK, COMPARE_SECONDS, CountCheck, Sync
from tests.support.build import config_xml
from tests.support.clock import FakeClock
from tests.support.columns import annotation_columns, drop_details, set_columns
from tests.support.fake_label_studio import LEAD_SECONDS, TOKEN, URL, FakeLabelStudio, FakeProject

AT_ONCE, FOR_EVER = 0.0, float("inf")


class Setting:
    """A project of Label Studio's, and its copy."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store, self.clock, self.fake = store, clock, FakeLabelStudio()
        self.project: FakeProject = self.fake.add_project(config_xml(), [f"text {n}" for n in range(25)])
        self.key = self.project.key
        self.ids = list(self.project.tasks)
        store.projects.register(self.key, config_xml(), None, 0.0)
        self.restart()

    def restart(self) -> None:
        self.studio = Studio(Api(URL, TOKEN, self.fake.client(), self.clock))
        self.sync = Sync(self.store, self.studio, self.clock)

    def run(self, seconds_later: float = 300.0, until: float = FOR_EVER) -> bool:
        self.clock.advance(seconds_later)
        self.fake.calls.clear()
        return self.sync.run(self.key, until)

    def is_equal(self) -> bool:
        ours = {
            one.task_id: one.data for one in self.store.tasks.changes(self.key, (-1, -1), 99) if one.data is not None
        }
        theirs = {task_id: task["data"] for task_id, task in self.project.tasks.items()}
        labels = {one.id: (one.task_id, one.updated_at) for one in self.store.annotations.all(self.key)}
        made = {one["id"]: (one["task"], one["updated_at"]) for one in self.project.annotations.values()}
        return (ours, labels) == (theirs, made)

    def details(self) -> dict[int, tuple[Any, ...]]:
        rows = annotation_columns(self.store, self.key)
        return {id: (row["lead_time"], row["ground_truth"], row["item_details"]) for id, row in rows.items()}

    def n_listed(self) -> int:
        return self.fake.names().count("GET /api/tasks")


@pytest.fixture
def setting(store: Store, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Setting:
    monkeypatch.setattr("label_studio_al.studio.tasks.TASKS_A_PAGE", 10)
    # Of this Label Studio's times, two follow each other by a millisecond.
    monkeypatch.setattr("label_studio_al.turns.syncing.OVERLAP_SECONDS", 0.0)
    return Setting(store, clock)


def test_first_run_compares_everything(setting: Setting) -> None:
    setting.fake.annotate(1, setting.ids[3], "A")
    assert setting.run()
    assert setting.is_equal()
    assert setting.store.projects.get(setting.key).synced_at == setting.clock.now()


def test_comparison_is_cut_into_pages_and_goes_on_after_a_restart(setting: Setting) -> None:
    setting.fake.annotate(1, setting.ids[3], "A")
    for n_pages in (1, 2):
        assert not setting.run(until=AT_ONCE)
        assert len(setting.store.tasks.ids(setting.key)) == 10 * n_pages
        assert setting.store.projects.get(setting.key).synced_at is None
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
    # The newest change, and what changed.
    assert setting.n_listed() == 2


def test_where_nothing_happened_three_small_questions_are_asked(setting: Setting) -> None:
    setting.fake.annotate(1, setting.ids[4], "A")
    setting.run()
    assert setting.run()
    assert [call.path for call in setting.fake.calls] == [
        "/api/projects/1",
        "/api/tasks",
        "/api/projects/1/model-versions",
    ]


def test_nothing_new_changes_no_row(setting: Setting) -> None:
    setting.fake.annotate(1, setting.ids[4], "A")
    setting.run()
    revision = setting.store.projects.get(setting.key).revision
    setting.run()
    assert setting.store.tasks.changes(setting.key, (revision, 2**62), 99) == []


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
    monkeypatch.setattr("label_studio_al.turns.syncing.MAX_TASKS_BY_ID", 5)
    setting.run()
    for task_id in setting.ids[:8]:
        setting.fake.annotate(1, task_id, "A")
    assert setting.run()
    assert setting.is_equal()
    assert setting.fake.names().count("GET /api/projects/1/export") == 1


@pytest.mark.parametrize("at_most_by_id", [500, 3])
def test_label_that_label_studio_does_not_count_is_found_and_stays(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, at_most_by_id: int
) -> None:
    monkeypatch.setattr("label_studio_al.turns.syncing.MAX_TASKS_BY_ID", at_most_by_id)
    setting.run()
    setting.fake.while_counting = lambda: [setting.fake.annotate(1, task_id, "A") for task_id in setting.ids[:5]]
    setting.studio.predictions.push(1, [{"task": setting.ids[9], "model_version": "al-1", "score": 0.5, "result": []}])
    assert [setting.project.tasks[task_id]["total_annotations"] for task_id in setting.ids[:5]] == [0] * 5
    assert setting.run()
    assert len(setting.store.annotations.all(setting.key)) == 5
    for task_id in setting.ids[:5]:
        setting.fake.change_data(1, task_id, {"text": "changed"})
    assert setting.run()
    assert setting.run(seconds_later=COMPARE_SECONDS)
    assert setting.is_equal()


def test_tasks_that_an_export_leaves_out_keep_their_labels(setting: Setting) -> None:
    for task_id in setting.ids[:4]:
        setting.fake.annotate(1, task_id, "A")
    setting.run()
    gone, *_ = setting.project.annotations
    setting.fake.delete_annotations(1, gone)
    # Whatever it is asked for.
    setting.fake.fail("GET", "/api/projects/1/export", b"[]")
    assert setting.run(seconds_later=COMPARE_SECONDS)
    assert setting.is_equal()


def test_label_of_a_task_that_is_gone_goes_where_label_studio_does_not_know_it(setting: Setting) -> None:
    setting.run()
    webhook = setting.fake.annotate(1, setting.ids[0], "A")
    setting.fake.delete_tasks(1, setting.ids[0])
    setting.run(seconds_later=COMPARE_SECONDS)
    # Late, when nothing here tells any more that its task was deleted.
    event = read_event(webhook)
    assert event is not None
    setting.store.updates.hear(event, setting.clock.now())
    assert setting.run(seconds_later=COMPARE_SECONDS)
    assert setting.is_equal()


def test_deleted_tasks_are_found_by_their_number(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    setting.run()
    setting.fake.delete_tasks(1, *setting.ids[7:12])
    assert setting.run(seconds_later=COMPARE_AGAIN_SECONDS_A_TASK * 25)
    assert setting.is_equal()
    assert "20 tasks and 0 annotations there, +5 and +0 here" in caplog.text


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


def test_details_that_an_older_release_did_not_keep_are_filled_in_by_one_comparison(setting: Setting) -> None:
    for task_id in setting.ids[:4]:
        setting.fake.annotate(1, task_id, "A")
    setting.run()
    kept = setting.details()
    assert {seconds for seconds, *_ in kept.values()} == {LEAD_SECONDS}
    assert len({text for *_, text in kept.values()}) == 4
    drop_details(setting.store, setting.key)

    assert setting.run()
    assert setting.details() == kept
    rows = annotation_columns(setting.store, setting.key)
    assert setting.run()
    # The newest change.
    assert setting.n_listed() == 1
    assert setting.run(seconds_later=COMPARE_SECONDS)
    assert annotation_columns(setting.store, setting.key) == rows


def test_ground_truth_that_another_annotation_took_is_none_here_too(setting: Setting) -> None:
    for user_id in (1, 2):
        setting.fake.annotate(1, setting.ids[3], "A", user_id=user_id)
    first, second = setting.project.annotations
    setting.fake.mark_ground_truth(1, first)
    setting.run()
    assert [is_true for _, is_true, _ in setting.details().values()] == [True, False]
    setting.fake.mark_ground_truth(1, second)
    setting.run()
    assert [is_true for _, is_true, _ in setting.details().values()] == [False, True]


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
    assert set(setting.ids[1:]) <= set(setting.store.tasks.ids(setting.key))


def test_deleted_tasks_at_the_end_are_found_by_a_comparison(setting: Setting) -> None:
    setting.run()
    setting.fake.delete_tasks(1, *setting.ids[-3:])
    assert setting.run(seconds_later=COMPARE_SECONDS)
    assert setting.is_equal()


def test_comparison_that_fails_on_a_page_goes_on_from_there(setting: Setting) -> None:
    setting.fake.fail("GET", "/api/tasks", 503, nth=3)
    with pytest.raises(StudioUnreachable):
        setting.run()
    assert len(setting.store.tasks.ids(setting.key)) == 10
    setting.fake.mend()
    assert setting.run()
    assert setting.is_equal()
    assert setting.n_listed() == 2


def test_project_without_tasks_is_compared_and_gets_its_first_ones(setting: Setting) -> None:
    empty = setting.fake.add_project(config_xml())
    setting.store.projects.register(empty.key, config_xml(), None, 0.0)
    assert setting.sync.run(empty.key, FOR_EVER)
    setting.fake.add_tasks(empty.id, [{"text": "first"}])
    assert setting.sync.run(empty.key, FOR_EVER)
    assert setting.store.tasks.ids(empty.key) == list(empty.tasks)


# -- Label Studio goes back to a backup -----------------------------------------------------------------------


def test_labels_that_a_backup_lacks_are_gone_here_too(setting: Setting) -> None:
    setting.fake.annotate(1, setting.ids[0], "A")
    setting.run()
    kept = setting.fake.backup()
    for task_id in setting.ids[1:6]:
        setting.fake.annotate(1, task_id, "A")
    setting.run()
    setting.fake.restore(kept)
    assert setting.run()
    assert setting.is_equal()


@pytest.mark.parametrize("n_since", [1, 5, 8])
def test_labels_after_a_restore_that_have_the_numbers_of_lost_ones_are_told_apart(
    setting: Setting, n_since: int
) -> None:
    """As many as were lost, fewer, and more."""
    setting.fake.annotate(1, setting.ids[0], "A")
    setting.run()
    kept = setting.fake.backup()
    for task_id in setting.ids[1:6]:
        setting.fake.annotate(1, task_id, "A")
    setting.run()
    lost = set(setting.project.annotations)
    setting.fake.restore(kept)
    for task_id in setting.ids[10 : 10 + n_since]:
        setting.fake.annotate(1, task_id, "B")
    assert lost & set(setting.project.annotations) - {min(lost)}
    assert setting.run()
    assert setting.is_equal()


def test_corrections_and_texts_that_a_backup_lacks_are_undone_here_too(setting: Setting) -> None:
    for task_id in setting.ids[:3]:
        setting.fake.annotate(1, task_id, "A")
    setting.run()
    kept = setting.fake.backup()
    for annotation_id in setting.project.annotations:
        setting.fake.correct(1, annotation_id, "B")
    setting.fake.change_data(1, setting.ids[7], {"text": "changed"})
    setting.run()
    setting.fake.restore(kept)
    setting.fake.annotate(1, setting.ids[9], "A")
    assert setting.run()
    assert setting.is_equal()


def test_labels_that_were_deleted_since_a_backup_are_back(setting: Setting) -> None:
    for task_id in setting.ids[:3]:
        setting.fake.annotate(1, task_id, "A")
    setting.run()
    kept = setting.fake.backup()
    setting.fake.delete_annotations(1, *setting.project.annotations)
    setting.fake.delete_tasks(1, *setting.ids[20:])
    setting.run(seconds_later=COMPARE_SECONDS)
    setting.fake.restore(kept)
    assert setting.run()
    assert setting.is_equal()


def test_difference_that_a_comparison_leaves_is_compared_once(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    setting.run()
    # No export lists it.
    setting.project.annotations[999] = {"id": 999, "task": 0, "was_cancelled": False}
    for _ in range(3):
        assert setting.run()
    assert caplog.text.count("all is compared") == 1


def test_tasks_that_are_heard_of_late_during_a_comparison_go_with_the_next(setting: Setting) -> None:
    setting.run()
    late = read_event(setting.fake.add_tasks(1, [{"text": "deleted before its webhook comes"}]))
    assert late is not None
    setting.fake.delete_tasks(1, max(setting.project.tasks))
    setting.run(seconds_later=COMPARE_SECONDS, until=AT_ONCE)
    setting.store.updates.hear(late, setting.clock.now())
    while not setting.run(until=AT_ONCE):
        pass
    assert not setting.is_equal()
    assert setting.run()
    assert setting.is_equal()


def test_labels_that_come_while_it_is_counted_cause_no_comparison(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    setting.run()
    setting.fake.annotate(1, setting.ids[0], "A")
    for task_id in setting.ids[1:3]:
        setting.fake.when("GET", "/api/tasks", lambda task_id=task_id: setting.fake.annotate(1, task_id, "A"))
    assert setting.run()
    assert "compared" not in caplog.text
    assert setting.is_equal()


# -- clocks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-86_400.0, -7_200.0, 7_200.0, 86_400.0])
def test_labels_whose_webhooks_were_lost_are_found_whatever_label_studio_s_clock_is_set_to(
    setting: Setting, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Label Studio tells whole seconds.
    monkeypatch.setattr("label_studio_al.turns.syncing.OVERLAP_SECONDS", 2.0)
    setting.fake.annotate(1, setting.ids[0], "A")
    setting.run()
    setting.fake.let_pass(seconds)
    for task_id in setting.ids[1:6]:
        setting.fake.annotate(1, task_id, "A")
        setting.fake.correct(1, min(setting.project.annotations), "B")
        setting.fake.let_pass(300.0)
        assert setting.run()
        assert setting.is_equal()


@pytest.mark.parametrize("seconds", [-86_400.0, 86_400.0])
def test_our_own_clock_may_be_set(setting: Setting, seconds: float) -> None:
    setting.run()
    setting.clock.put(seconds)
    setting.fake.annotate(1, setting.ids[1], "A")
    setting.fake.delete_tasks(1, setting.ids[2])
    assert setting.run()
    assert setting.is_equal()


# -- what events claim ----------------------------------------------------------------------------------------


def tell(setting: Setting, webhook: dict[str, Any]) -> None:
    event = read_event(webhook)
    assert event is not None
    setting.store.updates.hear(event, setting.clock.now(), adds_only=True)


def test_claims_are_asked_for_in_hundreds(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("label_studio_al.studio.tasks.TASKS_A_REQUEST", 10)
    for task_id in setting.ids:
        setting.fake.annotate(1, task_id, "A")
    setting.run()
    tell(setting, setting.fake.delete_tasks(1, *setting.ids[:12]))
    tell(setting, setting.fake.delete_annotations(1, *list(setting.project.annotations)[:11]))
    setting.fake.calls.clear()
    assert setting.sync.check(setting.key)
    assert setting.is_equal()
    assert [call.path for call in setting.fake.calls] == [
        "/api/projects/1",
        *["/api/tasks"] * 3,
        *["/api/projects/1/export"] * 3,
    ]


def test_text_comes_along_with_what_is_asked_for(setting: Setting) -> None:
    setting.fake.annotate(1, setting.ids[4], "A")
    setting.run()
    setting.fake.change_data(1, setting.ids[4], {"text": "changed"})
    tell(setting, setting.fake.delete_annotations(1, *setting.project.annotations))
    assert setting.sync.check(setting.key)
    assert setting.is_equal()


def test_comparison_that_had_begun_before_many_claims_is_followed_by_another(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("label_studio_al.turns.syncing.MAX_TASKS_BY_ID", 3)
    for task_id in setting.ids[:5]:
        setting.fake.annotate(1, task_id, "A")
    setting.run()
    assert not setting.run(seconds_later=COMPARE_SECONDS, until=AT_ONCE)
    tell(setting, setting.fake.delete_annotations(1, *setting.project.annotations))
    assert not setting.sync.check(setting.key)
    assert setting.run()
    assert len(setting.store.updates.claims(setting.key)) == 5
    assert setting.run()
    assert setting.store.updates.claims(setting.key) == []
    assert setting.is_equal()


def test_label_whose_number_label_studio_gave_on_another_task_goes(setting: Setting) -> None:
    """Numbers are given over all projects: one of another project's is no sign that ours is there."""
    setting.run()
    other = setting.fake.add_project(config_xml(), ["another project's text"])
    theirs = setting.fake.annotate(other.id, next(iter(other.tasks)), "A")["annotation"]
    forged = setting.fake.annotate(1, setting.ids[0], "A")
    setting.fake.delete_annotations(1, *setting.project.annotations)
    forged["annotation"] |= {"id": theirs["id"], "task": 99_999}
    del forged["task"]
    tell(setting, forged)
    assert setting.run(seconds_later=COMPARE_SECONDS)
    assert setting.is_equal()


# -- the counts of all projects -------------------------------------------------------------------------------


@pytest.fixture
def check(setting: Setting) -> CountCheck:
    """Three projects that are up to date."""
    setting.run()
    for n in range(2):
        other = setting.fake.add_project(config_xml(), [f"text {n}"])
        setting.store.projects.register(other.key, config_xml(), None, 0.0)
        setting.sync.run(other.key, FOR_EVER)
    for project in setting.store.projects.all():
        set_columns(setting.store, project.key, sync_wanted=False)
    setting.fake.calls.clear()
    return CountCheck(setting.store, setting.studio)


def wanted(setting: Setting) -> set[str]:
    found = {project.key for project in setting.store.projects.all() if project.sync_wanted}
    for key in found:
        set_columns(setting.store, key, sync_wanted=False)
    return found


def test_one_question_finds_all_projects_of_which_events_were_lost(setting: Setting, check: CountCheck) -> None:
    first, second, third = setting.store.projects.keys()
    check.run([first, second, third])
    assert not wanted(setting)

    setting.fake.annotate(1, setting.ids[0], "A", skip=True)
    setting.fake.add_tasks(3, [{"text": "another"}])
    check.run([first, second, third])

    assert wanted(setting) == {first, third}
    assert setting.fake.names() == ["GET /api/projects/counts"] * 2


def test_difference_that_a_sync_leaves_is_told_once(setting: Setting, check: CountCheck) -> None:
    first = setting.store.projects.keys()[0]
    setting.fake.annotate(1, setting.ids[0], "A")
    check.run([first])
    assert wanted(setting) == {first}
    check.run([first])
    assert not wanted(setting)

    setting.fake.annotate(1, setting.ids[1], "A")
    check.run([first])
    assert wanted(setting) == {first}
    setting.run()
    check.run([first])
    assert not wanted(setting)


def test_project_that_label_studio_has_not_is_left_to_its_own_sync(setting: Setting, check: CountCheck) -> None:
    keys = setting.store.projects.keys()
    del setting.fake.projects[2]
    check.run(keys)
    assert not wanted(setting)


def test_counts_of_many_projects_are_asked_for_in_hundreds(setting: Setting, check: CountCheck) -> None:
    many = [f"{number}.1795343520" for number in range(4, 104)]
    check.run([*setting.store.projects.keys(), *many])
    assert setting.fake.names() == ["GET /api/projects/counts"] * 2
