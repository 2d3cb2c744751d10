"""The store's promises, on a real SQLite file and a real PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from label_studio_al.labeling import Annotation, Event, Task
from label_studio_al.runtime.errors import UnknownProject
from label_studio_al.runtime.memory import give_back
from label_studio_al.store import NewTasks, NewVersion, Store, Turn, Version, VersionQuestion
from label_studio_al.store.activity import TRAINING, Activity
from label_studio_al.store.turns import KEPT_TURNS
from tests.support.build import KEY, OTHER_KEY, annotation, choice, config_xml, event, task
from tests.support.columns import annotation_columns, set_columns
from tests.support.versions import new_version

pytestmark = pytest.mark.both_databases

XML = config_xml()


@pytest.fixture
def store(store: Store) -> Store:
    """Knows one project, heard of at second 100."""
    store.projects.register(KEY, XML, {"seed": 1}, 100.0)
    return store


@pytest.fixture
def other(store: Store) -> Store:
    """Knows a second project, too."""
    store.projects.register(OTHER_KEY, XML, None, 100.0)
    return store


def a_version(number: int, **parts: Any) -> NewVersion:
    default: dict[str, Any] = {"labels": ("A", "B"), "trained_on": {7: "A"}, "features_id": None, "artifact": b"model"}
    default |= {"created_at": 5.0, "revision": 0, "ranked_by": "margin"}
    return new_version(number, **default | {"window": [(3, 0.9), (4, 0.5)]} | parts)


def publish(store: Store, key: str = KEY, **parts: object) -> Version:
    return store.versions.publish(key, a_version(store.projects.reserve_number(key), **parts), is_switched=True)


def revision(store: Store, key: str = KEY) -> int:
    return store.projects.get(key).revision


def changes(store: Store, revision: int = -1) -> list[tuple[Task, int]]:
    """Tasks that changed after a revision and are still there, with the revision."""
    found = store.tasks.changes(KEY, (revision, 2**62), 10_000)
    return [(Task(one.task_id, one.data), one.revision) for one in found if one.data is not None]


def compare(store: Store, tasks: list[Task], annotations: list[Annotation], since: int) -> None:
    """Compare with all that Label Studio has."""
    store.updates.compare_tasks(KEY, tasks, 0, None, since)
    ours = {one for ids in store.annotations.ids(KEY, since).values() for one in ids}
    store.updates.compare_annotations(KEY, annotations, ours.difference(one.id for one in annotations), since)
    store.updates.finish_comparison(KEY, since, 500.0)


def data_of(store: Store, key: str = KEY) -> dict[int, object]:
    return {one.task_id: one.data for one in store.tasks.changes(key, (-1, -1), 10_000) if one.data is not None}


def labels_of(store: Store, key: str = KEY) -> dict[int, list[object]]:
    return {one.id: one.result for one in store.annotations.all(key)}


# -- projects -------------------------------------------------------------------------------------------------


def test_new_project_waits_for_its_first_turn(store: Store) -> None:
    project = store.projects.get(KEY)
    assert (project.key, project.label_config, project.extra_params) == (KEY, XML, {"seed": 1})
    assert (project.revision, project.seen_revision, project.n_turns) == (0, -1, 0)
    assert project.sync_wanted
    assert (project.version_id, project.error, project.synced_at) == (None, None, None)
    assert project.heard_at == 100.0


def test_registering_again_without_a_change_is_no_news(store: Store) -> None:
    before = store.projects.get(KEY)
    assert store.projects.register(KEY, XML, {"seed": 1}, 200.0) == before
    assert store.projects.register(KEY, XML, None, 200.0) == before


def test_changed_config_is_news(store: Store) -> None:
    changed = store.projects.register(KEY, config_xml(("A", "B", "C")), None, 200.0)
    assert changed.label_config == config_xml(("A", "B", "C"))
    assert changed.extra_params == {"seed": 1}
    assert (changed.revision, changed.heard_at) == (1, 200.0)


def test_changed_settings_are_news_and_empty_ones_reset(store: Store) -> None:
    assert store.projects.register(KEY, XML, {"seed": 2}, 200.0).extra_params == {"seed": 2}
    assert store.projects.register(KEY, XML, {}, 300.0).extra_params == {}
    assert revision(store) == 2


def test_changed_config_clears_a_planned_retry(store: Store) -> None:
    set_columns(store, KEY, retry_at=500.0)
    assert store.projects.register(KEY, XML, {"seed": 2}, 200.0).retry_at is None


def test_project_that_was_never_set_up_is_unknown(store: Store) -> None:
    assert store.projects.find("9.9") is None
    for ask in (store.projects.get, store.projects.begin_turn):
        with pytest.raises(UnknownProject, match=r"9\.9"):
            ask("9.9")


def test_number_of_an_unknown_project_is_refused(store: Store) -> None:
    with pytest.raises(UnknownProject):
        store.projects.reserve_number("9.9")


def test_projects_come_in_the_order_of_their_keys(other: Store) -> None:
    other.projects.register("10.5", XML, None, 0.0)
    assert [project.key for project in other.projects.all()] == ["10.5", KEY, OTHER_KEY]


def test_update_sets_columns_without_being_news(other: Store) -> None:
    set_columns(other, KEY, activity=Activity(TRAINING, {"n": 1}).dumps(), error="no", retry_at=7.5)
    project = other.projects.get(KEY)
    assert (project.activity.state, project.error, project.retry_at, project.revision) == (TRAINING, "no", 7.5, 0)
    assert other.projects.get(OTHER_KEY).activity.state != TRAINING


def test_wanted_training_is_news(store: Store) -> None:
    set_columns(store, KEY, retry_at=500.0)
    store.projects.want_training(KEY, 200.0)
    project = store.projects.get(KEY)
    assert (project.wanted_revision, project.revision, project.heard_at) == (1, 1, 200.0)
    assert project.retry_at is None


def test_turns_are_counted(store: Store) -> None:
    assert store.projects.begin_turn(KEY).n_turns == 1
    assert store.projects.begin_turn(KEY).n_turns == store.projects.get(KEY).n_turns == 2
    assert revision(store) == 0


def test_tables_are_made_once(store: Store) -> None:
    store.migrate()
    assert store.projects.get(KEY).key == KEY


# -- hearing --------------------------------------------------------------------------------------------------


def test_event_of_an_unknown_project_is_not_written(store: Store) -> None:
    assert store.updates.hear(event(key="9.9", tasks=(task(1),), annotations=(annotation(1, 1),)), 200.0) is None
    assert store.tasks.counts("9.9") == {"tasks": 0, "annotations": 0}
    assert store.projects.find("9.9") is None


def test_every_event_raises_the_revision_by_one(store: Store) -> None:
    for expected in (1, 2, 3):
        project = store.updates.hear(event(tasks=(task(1),)), 200.0 + expected)
        assert project is not None
        assert project == store.projects.get(KEY)
        assert (project.revision, project.heard_at) == (expected, 200.0 + expected)


def test_echo_of_our_own_switch_is_no_news(store: Store) -> None:
    before = store.projects.get(KEY)
    assert store.updates.hear(event(label_config=before.label_config), 200.0) == before
    assert store.updates.hear(event(label_config="<View/>"), 200.0).revision == before.revision + 1


def test_heard_rows_are_read_back(store: Store) -> None:
    tasks = (Task(2, {"text": "é 熊", "meta": {"n": [1, None, 2.5]}}), task(1))
    store.updates.hear(
        event(tasks=tasks, annotations=(annotation(5, 2, "B"), annotation(6, 1, None, was_cancelled=True))), 0.0
    )
    assert changes(store, 0) == [(tasks[1], 1), (tasks[0], 1)]
    assert store.tasks.ids(KEY) == [1, 2]
    assert sorted(store.annotations.all(KEY), key=lambda one: one.id) == [
        annotation(5, 2, "B"),
        annotation(6, 1, None, was_cancelled=True),
    ]
    assert store.tasks.counts(KEY) == {"tasks": 2, "annotations": 2}


def test_only_what_changed_since_is_given_in_that_order(store: Store) -> None:
    store.updates.hear(event(tasks=(task(9), task(8))), 0.0)
    store.updates.hear(event(tasks=(task(1), task(9))), 0.0)
    store.updates.hear(event(tasks=(task(8, "changed"),)), 0.0)
    assert changes(store) == [(task(9), 1), (task(1), 2), (task(8, "changed"), 3)]
    assert [one.id for one, _ in changes(store, 1)] == [1, 8]
    assert changes(store, 3) == []


def test_event_may_change_the_config(store: Store) -> None:
    store.updates.hear(event(label_config="<View/>"), 0.0)
    store.updates.hear(event(label_config=None), 0.0)
    assert store.projects.get(KEY).label_config == "<View/>"


def test_asked_training_and_sync_are_kept_until_somebody_sees_to_them(store: Store) -> None:
    set_columns(store, KEY, sync_wanted=False, retry_at=500.0)
    store.updates.hear(event(asks_training=True), 0.0)
    assert store.projects.get(KEY).wanted_revision == store.projects.get(KEY).revision
    assert store.projects.get(KEY).retry_at is None
    assert not store.projects.get(KEY).sync_wanted
    store.updates.hear(event(needs_sync=True), 0.0)
    store.updates.hear(event(tasks=(task(1),)), 0.0)
    assert store.projects.get(KEY).sync_wanted
    assert store.projects.get(KEY).wanted_revision == store.projects.get(KEY).revision - 2


def test_plain_news_does_not_shorten_a_retry(store: Store) -> None:
    set_columns(store, KEY, retry_at=500.0)
    store.updates.hear(event(annotations=(annotation(1, 1),)), 0.0)
    assert store.projects.get(KEY).retry_at == 500.0


def test_changed_annotation_replaces_the_older_state(store: Store) -> None:
    store.updates.hear(event(annotations=(annotation(1, 7, "A", second=1),)), 0.0)
    store.updates.hear(event(annotations=(annotation(1, 7, "B", second=2),)), 0.0)
    assert store.annotations.all(KEY) == [annotation(1, 7, "B", second=2)]


def test_late_annotation_never_replaces_a_newer_one(store: Store) -> None:
    store.updates.hear(event(annotations=(annotation(1, 7, "B", second=2),)), 0.0)
    store.updates.hear(event(annotations=(annotation(1, 7, "A", second=1),)), 0.0)
    assert store.annotations.all(KEY) == [annotation(1, 7, "B", second=2)]


def test_annotation_heard_twice_is_one_annotation(store: Store) -> None:
    for _ in range(2):
        store.updates.hear(event(annotations=(annotation(1, 7), annotation(1, 7))), 0.0)
    assert store.annotations.all(KEY) == [annotation(1, 7)]


def test_deleted_rows_are_gone(store: Store) -> None:
    store.updates.hear(event(tasks=(task(1), task(2)), annotations=(annotation(1, 1), annotation(2, 2))), 0.0)
    store.updates.hear(event(deleted_annotations=(2,)), 0.0)
    store.updates.hear(event(deleted_tasks=(1,)), 0.0)
    assert store.tasks.ids(KEY) == [2]
    # A deleted task takes its annotations along.
    assert store.annotations.all(KEY) == []
    assert store.tasks.counts(KEY) == {"tasks": 1, "annotations": 0}
    assert [one.id for one, _ in changes(store)] == [2]


def test_late_creation_does_not_revive_what_was_deleted(store: Store) -> None:
    creation = event(tasks=(task(1),), annotations=(annotation(1, 2), annotation(3, 2)))
    store.updates.hear(event(deleted_tasks=(1,), deleted_annotations=(1,)), 0.0)
    for _ in range(2):
        store.updates.hear(creation, 0.0)
    assert store.tasks.ids(KEY) == []
    assert [one.id for one in store.annotations.all(KEY)] == [3]


def test_late_change_does_not_revive_what_was_deleted(store: Store) -> None:
    store.updates.hear(event(tasks=(task(1),), annotations=(annotation(1, 2),)), 0.0)
    store.updates.hear(event(deleted_tasks=(1,), deleted_annotations=(1,)), 0.0)
    store.updates.hear(event(tasks=(task(1, "changed"),), annotations=(annotation(1, 2, "B", second=9),)), 0.0)
    assert store.tasks.counts(KEY) == {"tasks": 0, "annotations": 0}


def test_deleting_twice_is_deleting(store: Store) -> None:
    for _ in range(2):
        store.updates.hear(event(deleted_tasks=(1,), deleted_annotations=(1,)), 0.0)
    assert store.tasks.counts(KEY) == {"tasks": 0, "annotations": 0}


DETAILED = replace(annotation(1, 7), completed_by=5, lead_time=7.25, ground_truth=True, item_details=[{"id": "Ab1"}])
DETAILS = ("completed_by", "lead_time", "ground_truth", "item_details")
AS_KEPT = (5, 7.25, True, '[{"id":"Ab1"}]')


def details(store: Store) -> dict[int, tuple[object, ...]]:
    """What is kept of annotations beside their answers, by number."""
    return {id: tuple(row[name] for name in DETAILS) for id, row in annotation_columns(store, KEY).items()}


def test_annotation_keeps_who_gave_it_how_long_that_took_and_its_details(store: Store) -> None:
    store.updates.hear(event(annotations=(DETAILED, annotation(2, 8))), 0.0)
    assert details(store) == {1: AS_KEPT, 2: (None, None, False, None)}


def test_equal_answers_are_one_object_whatever_their_details(store: Store) -> None:
    other = replace(DETAILED, id=2, item_details=[{"id": "Cd2"}])
    store.updates.hear(event(annotations=(DETAILED, other)), 0.0)
    first, second = store.annotations.all(KEY)
    assert first.result is second.result
    # Nor are they read: these are all annotations of a project.
    assert first.item_details is None


@pytest.mark.parametrize("deletion", [{"deleted_annotations": (1,)}, {"deleted_tasks": (7,)}], ids=str)
def test_nothing_of_a_deleted_annotation_stays(store: Store, deletion: dict[str, tuple[int, ...]]) -> None:
    store.updates.hear(event(annotations=(DETAILED,)), 0.0)
    store.updates.hear(event(**deletion), 0.0)
    assert details(store) == {1: (None, None, False, None)}
    assert annotation_columns(store, KEY)[1]["result"] == "[]"


def test_details_are_forgotten_with_their_project(store: Store) -> None:
    store.updates.hear(event(annotations=(DETAILED,)), 0.0)
    store.projects.forget(KEY)
    assert annotation_columns(store, KEY) == {}


def test_thousands_of_rows_in_one_event(store: Store) -> None:
    ids = range(1, 2_501)
    store.updates.hear(event(tasks=tuple(map(task, ids)), annotations=tuple(annotation(one, one) for one in ids)), 0.0)
    assert store.tasks.counts(KEY) == {"tasks": 2_500, "annotations": 2_500}
    store.updates.hear(event(deleted_tasks=tuple(ids[:-1])), 0.0)
    assert store.tasks.counts(KEY) == {"tasks": 1, "annotations": 1}


def test_largest_ids_fit(store: Store) -> None:
    largest = 2**63 - 1
    store.updates.hear(event(tasks=(task(largest),), annotations=(annotation(largest, largest),)), 0.0)
    assert store.tasks.ids(KEY) == [largest]
    assert store.annotations.all(KEY)[0].task_id == largest


def test_failed_event_leaves_nothing_behind(store: Store) -> None:
    unwritable = Annotation(1, 2**70, [], False, "2026")
    with pytest.raises((OverflowError, sa.exc.DataError)):
        store.updates.hear(event(tasks=(task(1),), annotations=(unwritable,)), 200.0)
    assert store.tasks.counts(KEY) == {"tasks": 0, "annotations": 0}
    assert revision(store) == 0


# -- claims ---------------------------------------------------------------------------------------------------


@pytest.fixture
def labelled(store: Store) -> Store:
    """Of four tasks, the first has a label, the second a deleted one; the fourth is deleted."""
    told = event(tasks=tuple(map(task, range(1, 5))), annotations=(annotation(1, 1), annotation(2, 2)))
    store.updates.hear(told, 0.0)
    store.updates.hear(event(deleted_annotations=(2,), deleted_tasks=(4,)), 0.0)
    return store


@pytest.mark.parametrize(
    ("told", "claimed"),
    [
        (event(deleted_annotations=(1,)), [1]),
        (event(deleted_tasks=(1, 3)), [1, 3]),
        (event(annotations=(annotation(1, 1, "B", second=9),)), [1]),
        (event(annotations=(annotation(1, 3, "B", second=9),)), [1, 3]),
        (event(annotations=(annotation(7, 1, "B", second=9),)), [1]),
        (event(annotations=(annotation(2, 2, "B", second=9),)), [2]),
        (event(tasks=(task(1, "changed"),)), []),
        (event(deleted_tasks=(4, 9), deleted_annotations=(2, 9)), []),
    ],
    ids=[
        "deletion",
        "deletion of tasks",
        "correction",
        "the same number on another task",
        "a second label",
        "a deleted label",
        "another text",
        "what is not there",
    ],
)
def test_event_that_only_adds_leaves_what_is_there_as_it_is(labelled: Store, told: Event, claimed: list[int]) -> None:
    before = labels_of(labelled), changes(labelled)
    heard = labelled.updates.hear(told, 200.0, adds_only=True)
    assert heard is not None
    assert (labels_of(labelled), changes(labelled)) == before
    assert labelled.updates.claims(KEY) == claimed
    labelled.updates.settle_claims(KEY, heard.revision - 1)
    assert labelled.updates.claims(KEY) == claimed
    labelled.updates.settle_claims(KEY, heard.revision)
    assert labelled.updates.claims(KEY) == []


def test_event_that_only_adds_adds(labelled: Store) -> None:
    told = event(tasks=(task(3), task(5)), annotations=(annotation(3, 3), annotation(5, 5), annotation(6, 2, "B")))
    labelled.updates.hear(told, 0.0, adds_only=True)
    assert labelled.tasks.ids(KEY) == [1, 2, 3, 5]
    assert sorted(labels_of(labelled)) == [1, 3, 5, 6]
    assert labelled.updates.claims(KEY) == []


def test_thousands_of_claims_in_one_event(store: Store) -> None:
    ids = range(1, 2_501)
    told = event(tasks=tuple(map(task, ids)), annotations=tuple(annotation(one, one) for one in ids))
    store.updates.hear(told, 0.0, adds_only=True)
    assert store.tasks.counts(KEY) == {"tasks": 2_500, "annotations": 2_500}
    assert store.updates.claims(KEY) == []
    store.updates.hear(event(deleted_annotations=tuple(ids)), 0.0, adds_only=True)
    assert store.updates.claims(KEY) == list(ids)


def test_later_claim_of_a_task_outlives_the_answer_to_an_earlier_one(labelled: Store) -> None:
    first = labelled.updates.hear(event(deleted_annotations=(1,)), 0.0, adds_only=True)
    labelled.updates.hear(event(deleted_annotations=(1,)), 0.0, adds_only=True)
    assert first is not None
    labelled.updates.settle_claims(KEY, first.revision)
    assert labelled.updates.claims(KEY) == [1]


def test_comparison_of_everything_settles_what_was_claimed_before_it(labelled: Store) -> None:
    labelled.updates.hear(event(deleted_annotations=(1,)), 0.0, adds_only=True)
    since = revision(labelled)
    labelled.updates.hear(event(deleted_tasks=(3,)), 0.0, adds_only=True)
    compare(labelled, [task(1), task(2), task(3)], [], since)
    assert labels_of(labelled) == {}
    assert labelled.updates.claims(KEY) == [3]


def test_claims_are_forgotten_with_their_project(labelled: Store) -> None:
    labelled.updates.hear(event(deleted_tasks=(1,)), 0.0, adds_only=True)
    labelled.projects.forget(KEY)
    assert labelled.updates.claims(KEY) == []


# -- syncing --------------------------------------------------------------------------------------------------


def test_sync_brings_what_no_event_told(store: Store) -> None:
    since = revision(store)
    store.updates.compare_tasks(KEY, [task(1), task(2)], 0, 2, since)
    store.updates.compare_tasks(KEY, [task(3)], 2, None, since)
    store.updates.compare_annotations(KEY, [annotation(1, 2)], [], since)
    store.updates.finish_comparison(KEY, since, 500.0)
    assert store.tasks.ids(KEY) == [1, 2, 3]
    assert store.annotations.all(KEY) == [annotation(1, 2)]
    assert store.projects.get(KEY).compared_at == 500.0
    assert revision(store) > since


def test_sync_repairs_what_an_event_should_have_changed(store: Store) -> None:
    store.updates.hear(event(tasks=(task(1, "old"),), annotations=(annotation(1, 1, "A"),)), 0.0)
    since = revision(store)
    compare(store, [task(1, "new")], [annotation(1, 1, "B", second=5)], since)
    assert data_of(store) == {1: {"text": "new"}}
    assert labels_of(store) == {1: [choice("B")]}


@pytest.mark.parametrize("name", DETAILS)
def test_sync_takes_over_details_that_changed_and_no_time_with_them(store: Store, name: str) -> None:
    theirs = replace(DETAILED, **{name: getattr(annotation(1, 7), name)})  # type: ignore[arg-type]
    for before, now in ((DETAILED, theirs), (theirs, DETAILED)):
        compare(store, [], [before], revision(store))
        compare(store, [], [now], revision(store))
        kept = dict(zip(DETAILS, details(store)[1], strict=True))
        assert (kept[name] == dict(zip(DETAILS, AS_KEPT, strict=True))[name]) == (now is DETAILED)


def test_sync_that_finds_nothing_new_is_no_news(store: Store) -> None:
    some = [annotation(1, 7), replace(DETAILED, id=2)]
    store.updates.hear(event(tasks=(task(7),), annotations=tuple(some)), 0.0)
    since = revision(store)
    store.updates.compare_annotations(KEY, some, [], since)
    store.updates.compare_tasks(KEY, [task(7)], 0, None, since)
    assert revision(store) == since
    store.updates.compare_annotations(KEY, [annotation(1, 7, "B", second=9), some[1]], [], since)
    assert revision(store) == since + 1


def test_sync_that_finds_nothing_new_changes_no_row(store: Store) -> None:
    store.updates.hear(event(tasks=(task(1), task(2))), 0.0)
    since = revision(store)
    compare(store, [task(1), task(2)], [], since)
    assert changes(store, since) == []


def test_sync_forgets_what_is_gone(store: Store) -> None:
    store.updates.hear(event(tasks=(task(1), task(2)), annotations=(annotation(1, 1), annotation(2, 2))), 0.0)
    compare(store, [task(2)], [annotation(2, 2)], revision(store))
    assert store.tasks.ids(KEY) == [2]
    assert [one.id for one in store.annotations.all(KEY)] == [2]


def test_sync_leaves_alone_what_was_heard_after_it_began(store: Store) -> None:
    store.updates.hear(event(tasks=(task(1), task(2)), annotations=(annotation(1, 1, "A"), annotation(2, 2))), 0.0)
    since = revision(store)
    # While Label Studio's pages are read:
    store.updates.hear(event(tasks=(task(1, "newer"), task(3)), annotations=(annotation(3, 3, "B"),)), 0.0)
    store.updates.hear(event(annotations=(annotation(1, 1, "B", second=0),)), 0.0)
    store.updates.hear(event(deleted_tasks=(2,)), 0.0)
    # The pages that were read before that:
    compare(store, [task(1, "older"), task(2)], [annotation(1, 1, "A"), annotation(2, 2)], since)
    assert data_of(store) == {1: {"text": "newer"}, 3: {"text": "text 3"}}
    assert labels_of(store) == {1: [choice("B")], 3: [choice("B")]}


def test_next_sync_clears_the_marks_of_deleted_rows(store: Store) -> None:
    store.updates.hear(event(deleted_tasks=(1,), deleted_annotations=(1,)), 0.0)
    compare(store, [], [], revision(store))
    # Nothing is remembered of them any more, so that the ids are free.
    store.updates.hear(event(tasks=(task(1),), annotations=(annotation(1, 1),)), 0.0)
    assert store.tasks.counts(KEY) == {"tasks": 1, "annotations": 1}


def test_sync_brings_back_what_label_studio_still_has(store: Store) -> None:
    store.updates.hear(event(tasks=(task(1),), annotations=(annotation(1, 1),)), 0.0)
    store.updates.hear(event(deleted_tasks=(1,), deleted_annotations=(1,)), 0.0)
    since = revision(store)
    for _ in range(2):
        compare(store, [task(1)], [annotation(1, 1)], since)
        since = revision(store)
    assert store.tasks.ids(KEY) == [1]
    assert store.annotations.all(KEY) == [annotation(1, 1)]


def test_sync_believes_label_studio_about_an_annotation_that_looks_newer_here(store: Store) -> None:
    store.updates.hear(event(annotations=(annotation(1, 1, "B", second=9),)), 0.0)
    compare(store, [], [annotation(1, 1, "A", second=1)], revision(store))
    assert store.annotations.all(KEY) == [annotation(1, 1, "A", second=1)]


def test_sync_of_thousands_of_rows(store: Store) -> None:
    store.updates.hear(event(tasks=tuple(map(task, range(1, 2_001)))), 0.0)
    compare(store, [task(5)], [annotation(one, 5) for one in range(2_000)], revision(store))
    assert store.tasks.counts(KEY) == {"tasks": 1, "annotations": 2_000}


# -- several projects -----------------------------------------------------------------------------------------


def test_projects_never_see_each_others_rows(other: Store) -> None:
    for key, word in ((KEY, "ours"), (OTHER_KEY, "theirs")):
        label = "A" if key == KEY else "B"
        other.updates.hear(event(key=key, tasks=(task(1, word),), annotations=(annotation(1, 1, label),)), 0.0)
        other.features.save(key, "text", word.encode(), 0.0)
        publish(other, key, ranked_by=word, artifact=word.encode())
        other.turns.record(key, Turn(0.0, 1.0, word))
    theirs = other.projects.get(OTHER_KEY)

    other.updates.hear(event(deleted_tasks=(1,), deleted_annotations=(1,)), 0.0)
    compare(other, [], [], revision(other))
    other.projects.want_training(KEY, 0.0)
    other.projects.begin_turn(KEY)
    other.projects.skip_numbers(KEY, 50)
    publish(other, features_id=None)

    assert other.tasks.counts(KEY) == {"tasks": 0, "annotations": 0}
    assert other.projects.get(OTHER_KEY) == theirs
    assert data_of(other, OTHER_KEY) == {1: {"text": "theirs"}}
    assert labels_of(other, OTHER_KEY) == {1: [choice("B")]}
    assert theirs.version_id is not None
    assert other.versions.get(theirs.version_id).ranked_by == "theirs"
    assert other.windows.informativeness(theirs.version_id) == {3: 0.9, 4: 0.5}
    assert [turn.outcome for turn in other.turns.newest(OTHER_KEY, 9)] == ["theirs"]
    assert other.projects.reserve_number(OTHER_KEY) == 2


def test_features_of_other_projects_stay(other: Store) -> None:
    theirs = other.features.save(OTHER_KEY, "text", b"theirs", 0.0)
    publish(other, features_id=other.features.save(KEY, "text", b"ours", 0.0))
    assert other.features.artifact(theirs) == b"theirs"
    assert other.features.latest(OTHER_KEY, "text") == (theirs, b"theirs")


# -- versions -------------------------------------------------------------------------------------------------


def test_published_version_is_the_current_one(store: Store) -> None:
    features = store.features.save(KEY, "text", b"features", 0.0)
    version = publish(store, features_id=features)
    assert version == Version(
        version.id, 1, 5.0, 0, "margin", {"topic": VersionQuestion("", ("A", "B"), {7: "A"})}, features, has_model=True
    )
    assert version.name == "al-1"
    assert store.versions.get(version.id) == version
    assert store.versions.current_name(KEY) == (version.id, "al-1")
    assert store.versions.artifact(version.id) == (b"model", features)
    assert store.windows.informativeness(version.id) == {3: 0.9, 4: 0.5}
    project = store.projects.get(KEY)
    assert (project.version_id, project.is_switched, project.stale_versions) == (version.id, True, ())


def test_large_values_are_not_kept_in_memory_once_they_are_stored(store: Store) -> None:
    """Neither SQLAlchemy's first statement of a kind keeps them nor SQLite's driver."""
    n_bytes = 30_000_000
    features, model = bytes(n_bytes), bytes(n_bytes + 1)
    give_back()
    before = psutil.Process().memory_info().rss
    publish(store, artifact=model, features_id=store.features.save(KEY, "text", features, 0.0))
    assert sys.getrefcount(features) == sys.getrefcount(model) == 2
    give_back()
    assert psutil.Process().memory_info().rss - before < n_bytes


def test_version_may_have_no_model_and_no_window(store: Store) -> None:
    version = publish(store, artifact=None, window=[], trained_on={})
    assert not version.has_model
    assert store.versions.artifact(version.id) == (None, None)
    assert store.windows.informativeness(version.id) == {}


def test_project_without_a_version_has_no_number(store: Store) -> None:
    assert store.versions.current_name(KEY) is None
    assert store.versions.current_name("9.9") is None


def test_publishing_removes_older_versions_and_their_features(store: Store) -> None:
    old_features = store.features.save(KEY, "text", b"old", 0.0)
    old = publish(store, features_id=old_features)
    new_features = store.features.save(KEY, "text", b"new", 0.0)
    assert store.features.artifact(old_features) == b"old"
    new = publish(store, features_id=new_features)
    assert store.versions.current_name(KEY) == (new.id, "al-2")
    assert store.versions.artifact(old.id) is None
    assert store.windows.informativeness(old.id) == {}
    assert store.features.artifact(old_features) is None
    assert store.features.artifact(new_features) == b"new"
    with pytest.raises(UnknownProject, match="replaced"):
        store.versions.get(old.id)


def test_failed_publishing_leaves_the_older_version_whole(store: Store) -> None:
    features = store.features.save(KEY, "text", b"features", 0.0)
    old = publish(store, features_id=features)
    before = store.projects.get(KEY)
    for broken in (
        a_version(2, window=[(1, 0.5), (None, 0.4)]),
        a_version(2, window=[(1, 0.5), (2**70, 0.4)]),
        a_version(2, trained_on={1: object()}),
        a_version(1),
    ):
        with pytest.raises((sa.exc.SQLAlchemyError, TypeError, OverflowError)):
            store.versions.publish(KEY, broken, is_switched=False)
    assert store.projects.get(KEY) == before
    assert store.versions.get(old.id) == old
    assert store.windows.informativeness(old.id) == {3: 0.9, 4: 0.5}
    assert store.features.artifact(features) == b"features"


def test_reader_never_meets_a_half_published_version(store: Store, database: str) -> None:
    publish(store)
    reader = Store(database)
    stop, broken = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            found = reader.versions.current_name(KEY)
            if found is None or not found[1]:
                broken.append(found)

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(30):
        publish(store, window=[(one, 0.5) for one in range(50)])
    stop.set()
    thread.join()
    reader.close()
    assert broken == []


def test_numbers_are_never_given_twice(store: Store) -> None:
    assert [store.projects.reserve_number(KEY) for _ in range(3)] == [1, 2, 3]
    publish(store)
    assert store.projects.reserve_number(KEY) == 5


def test_skipped_numbers_are_never_given(store: Store) -> None:
    store.projects.skip_numbers(KEY, 40)
    assert store.projects.reserve_number(KEY) == 41
    store.projects.skip_numbers(KEY, 7)
    assert store.projects.reserve_number(KEY) == 42


def test_window_begins_with_the_most_informative(store: Store) -> None:
    version = publish(store, window=[(9, 0.2), (1, 0.9), (5, 0.9), (4, 0.4)])
    assert list(store.windows.informativeness(version.id).items()) == [(1, 0.9), (5, 0.9), (4, 0.4), (9, 0.2)]


def test_window_of_some_tasks_only(store: Store) -> None:
    version = publish(store)
    assert store.windows.informativeness(version.id, [4, 99]) == {4: 0.5}
    assert store.windows.informativeness(version.id, []) == {}


def test_window_of_thousands_of_tasks_begins_with_the_most_informative(store: Store) -> None:
    version = publish(store, window=[(one, one / 2_000) for one in range(1, 1_201)])
    assert list(store.windows.informativeness(version.id, list(range(1, 1_201)))) == list(range(1_200, 0, -1))


def test_window_grows_and_what_was_pushed_keeps_its_place(store: Store) -> None:
    version = publish(store)
    store.windows.add(version.id, NewTasks([(3, 0.1), (8, 0.3)]))
    store.windows.add(version.id, NewTasks([]))
    assert store.windows.informativeness(version.id) == {3: 0.9, 4: 0.5, 8: 0.3}


# -- features and turns ---------------------------------------------------------------------------------------


def test_latest_features_of_a_field(store: Store) -> None:
    assert store.features.latest(KEY, "text") is None
    store.features.save(KEY, "text", b"old", 1.0)
    newest = store.features.save(KEY, "text", b"new", 1.0)
    store.features.save(KEY, "title", b"title", 1.0)
    assert store.features.latest(KEY, "text") == (newest, b"new")
    assert store.features.artifact(newest) == b"new"
    assert store.features.artifact(newest + 100) is None


def test_turns_come_newest_first(store: Store) -> None:
    turns = [Turn(float(place), 0.5, f"turn {place}", place, 7, {"rank": 0.1}) for place in range(5)]
    for turn in turns:
        store.turns.record(KEY, turn)
    assert store.turns.newest(KEY, 2) == [turns[4], turns[3]]
    assert store.turns.newest(KEY, 99) == turns[::-1]


def test_only_the_newest_turns_stay(other: Store) -> None:
    other.turns.record(OTHER_KEY, Turn(0.0, 0.0, "theirs"))
    for place in range(KEPT_TURNS + 5):
        other.turns.record(KEY, Turn(float(place), 0.0, "ours"))
    assert [turn.started_at for turn in other.turns.newest(KEY, 1000)] == [
        float(place) for place in range(KEPT_TURNS + 4, 4, -1)
    ]
    assert len(other.turns.newest(OTHER_KEY, 1000)) == 1


# -- several writers ------------------------------------------------------------------------------------------


def together(*work: Callable[[], None]) -> None:
    """Runs each in a thread of its own, all at once; raises what any raised."""
    start, errors = threading.Barrier(len(work)), []

    def run(one: Callable[[], None]) -> None:
        start.wait()
        try:
            one()
        except BaseException as exc:
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.fixture
def open_another(database: str) -> Iterator[Callable[[], Store]]:
    """Opens the same file again, as another process does."""
    opened: list[Store] = []

    def open_() -> Store:
        opened.append(Store(database))
        return opened[-1]

    yield open_
    for store in opened:
        store.close()


def test_events_heard_at_once_are_all_kept(store: Store, open_another: Callable[[], Store]) -> None:
    stores = [store, open_another()]

    def hear(thread: int) -> Callable[[], None]:
        def run() -> None:
            for place in range(50):
                one = 1 + thread * 50 + place
                stores[thread % 2].updates.hear(event(tasks=(task(one),), annotations=(annotation(one, one),)), 0.0)

        return run

    together(*map(hear, range(8)))
    assert revision(store) == 400
    assert store.tasks.counts(KEY) == {"tasks": 400, "annotations": 400}
    assert sorted(changed for _, changed in changes(store)) == list(range(1, 401))


def test_numbers_reserved_at_once_differ(store: Store, open_another: Callable[[], Store]) -> None:
    stores, given_out = [store, open_another()], []

    def reserve(thread: int) -> Callable[[], None]:
        return lambda: given_out.extend(stores[thread % 2].projects.reserve_number(KEY) for _ in range(20))

    together(*map(reserve, range(6)))
    assert sorted(given_out) == list(range(1, 121))


def test_labels_heard_during_publishing_and_syncing_are_kept(store: Store, open_another: Callable[[], Store]) -> None:
    worker = open_another()

    def hear() -> None:
        for one in range(1, 61):
            store.updates.hear(event(tasks=(task(one),), annotations=(annotation(one, one),)), 0.0)

    def work() -> None:
        for _ in range(20):
            worker.updates.sync_tasks(KEY, [], 0)
            compare(worker, [], [], 0)
            publish(worker)

    together(hear, work)
    assert store.tasks.counts(KEY) == {"tasks": 60, "annotations": 60}
    # Syncs that found nothing new are no news; finishing a comparison is.
    assert revision(store) == 60 + 20


def test_projects_registered_at_once_are_one_project(store: Store, open_another: Callable[[], Store]) -> None:
    stores = [store, open_another()]
    together(*(lambda one=one: stores[one % 2].projects.register(OTHER_KEY, XML, None, 0.0) for one in range(6)))
    assert [project.key for project in store.projects.all()] == [KEY, OTHER_KEY]


def test_another_process_reads_what_was_written_and_writes_on(store: Store, database: str) -> None:
    store.updates.hear(event(tasks=(task(1),)), 0.0)
    script = (
        "from label_studio_al.store import Store; from label_studio_al.labeling import Event, Task\n"
        f"store = Store({database!r})\n"
        f"print(store.tasks.ids({KEY!r}), flush=True); input()\n"
        f"for one in range(2, 52): store.updates.hear(Event('TASKS_CREATED', {KEY!r}, None, (Task(one, {{}}),)), 0.0)\n"
        "store.close()\n"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "[1]\n"
        process.stdin.write("go on\n")
        process.stdin.flush()
        for one in range(52, 102):
            store.updates.hear(event(tasks=(task(one),)), 0.0)
    assert process.returncode == 0
    assert store.tasks.ids(KEY) == list(range(1, 102))
    assert revision(store) == 101


# -- any history ----------------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(st.sampled_from(["create", "delete"]), st.integers(1, 3), st.integers(0, 3), st.sampled_from("AB")),
    max_size=12,
)


@given(history=steps, data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_annotations_end_the_same_in_any_order_of_arrival(store: Store, history: list, data: st.DataObject) -> None:
    """Every state of an annotation has a time of its own, as in Label Studio; deletion is final."""
    states = {(one, second): (kind, label) for kind, one, second, label in history}
    order = data.draw(st.permutations(sorted(states)))
    key = f"5.{revision(store)}"
    store.projects.want_training(KEY, 0.0)
    store.projects.register(key, XML, None, 0.0)
    for one, second in order:
        kind, label = states[one, second]
        if kind == "delete":
            store.updates.hear(event(key=key, deleted_annotations=(one,)), 0.0)
        else:
            store.updates.hear(event(key=key, annotations=(annotation(one, 1, label, second=second),)), 0.0)
    expected = {}
    for one in {one for one, _ in states}:
        kinds = [kind for (its, _), (kind, _) in states.items() if its == one]
        if "delete" not in kinds:
            last = max(second for its, second in states if its == one)
            expected[one] = [choice(states[one, last][1])]
    assert labels_of(store, key) == expected


def test_task_whose_deletion_was_forgotten_is_left_in_no_window(store: Store) -> None:
    store.projects.register(KEY, XML, None, 0.0)
    store.updates.hear(event(tasks=(task(1), task(2))), 0.0)
    version = publish(store, window=[(1, 0.5), (2, 0.4)], pushed=frozenset())
    store.updates.hear(event(deleted_tasks=(1,)), 0.0)
    assert [one.task_id for one in store.windows.unpushed(KEY, version.id)] == [2]
    store.updates.finish_comparison(KEY, store.projects.get(KEY).revision, 0.0)
    assert [one.task_id for one in store.windows.unpushed(KEY, version.id)] == [2]
    assert [one.task_id for one in store.windows.next(KEY, version.id)] == [2]
    assert store.windows.sizes(KEY, version.id) == (2, 1)
