"""Label configs, settings and tasks that change, and events that were lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from label_studio_al.cli.worker import needs_turn
from label_studio_al.labeling import read_event
from label_studio_al.store.activity import WAITING_FOR_A_CHANGE
from tests.support.bench import TEXTS, TWO, Bench, config, truth
from tests.support.columns import annotation_columns, drop_details
from tests.support.turns import shown
from tests.support.versions import asked

pytestmark = pytest.mark.usefixtures("one_thread")


def test_label_added_to_the_config_makes_a_version_with_it(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 6)
    bench.turn(project)

    bench.hear(bench.fake.change_config(project.id, config("animal", "machine", "plant")))
    bench.turn(project)

    version = bench.version(project)
    assert (version.number, asked(version).labels, len(asked(version).trained_on)) == (
        3,
        ("animal", "machine", "plant"),
        6,
    )


def test_label_removed_from_the_config_is_pushed_no_more(bench: Bench) -> None:
    project = bench.add(config("animal", "machine", "cat"))
    bench.settle(project)
    bench.label(project, 12, lambda text: "cat" if "cat" in text else truth(text))
    bench.turn(project)
    assert "cat" in asked(bench.version(project)).trained_on.values()

    bench.hear(bench.fake.change_config(project.id, TWO))
    bench.turn(project)

    assert set(asked(bench.version(project)).trained_on.values()) == {"animal", "machine"}
    pushed = {item["result"][0]["value"]["choices"][0] for item in shown(project)}
    assert pushed <= {"animal", "machine"}


def test_renamed_label_loses_its_examples_and_the_model(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 8)
    bench.turn(project)

    bench.hear(bench.fake.change_config(project.id, config("creature", "machine")))
    state = bench.turn(project)

    version = bench.version(project)
    assert asked(version).labels == ("creature", "machine")
    assert set(asked(version).trained_on.values()) == {"machine"}
    assert not version.has_model
    assert state.error is None


def test_what_is_not_read_is_counted_with_a_task_for_example(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 1)
    assert bench.store.projects.get(project.key).unread == []

    empty = [task["id"] for task in bench.fake.add_tasks(project.id, [{"body": "elsewhere"}] * 4)["tasks"]]
    first, second, third, *_ = project.queue() or []
    bench.fake.annotate(project.id, first, "plant")
    bench.fake.annotate(project.id, second, "plant")
    bench.fake.annotate(project.id, third, "animal", from_name="kind")
    bench.fake.annotate(project.id, third, None)
    bench.fake.annotate(project.id, third, "plant", skip=True)
    found = {one["reason"]: one for one in bench.turn(project, after_seconds=400).unread}

    assert {reason: (one["n"], one["task_id"]) for reason, one in found.items()} == {
        "no_text": (4, empty[0]),
        "unknown_label": (2, min(first, second)),
        "other_control": (1, third),
    }
    what = f"4 tasks have no text in the field 'text' (task {empty[0]}, for example)"
    assert found["no_text"]["sentence"] == f"{what}: they are neither asked nor trained on"

    bench.fake.delete_tasks(project.id, *empty[1:])
    bench.fake.change_config(project.id, config("animal", "machine", "plant"))
    assert [one["reason"] for one in bench.turn(project, after_seconds=400).unread] == ["other_control"]


def test_config_changed_unheard_is_found_by_the_sync(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)

    bench.fake.change_config(project.id, config("animal", "machine", "plant"))
    bench.turn(project, after_seconds=400)

    assert asked(bench.version(project)).labels == ("animal", "machine", "plant")


def test_unsupported_config_parks_the_project_with_its_reason(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)

    bench.hear(bench.fake.change_config(project.id, '<View><Text name="text" value="$text"/></View>'))
    state = bench.turn(project)

    assert state.error == "the label config has no control, such as <Choices>"
    assert (state.retry_at, state.activity.state) == (None, WAITING_FOR_A_CHANGE)
    assert project.model_version == "al-1"


def test_unsupported_project_comes_to_rest(bench: Bench) -> None:
    project = bench.add("<View/>")
    n_turns = 0
    while needs_turn(bench.store.projects.get(project.key), bench.settings, bench.clock.now(), has_studio=True):
        bench.turn(project)
        n_turns += 1
        assert n_turns < 5
    assert bench.store.projects.get(project.key).error is not None


def test_project_comes_to_rest_after_each_kind_of_turn(bench: Bench) -> None:
    project = bench.add(window=5)
    for n_labels in (0, 3, 5, 1):
        bench.label(project, n_labels)
        n_turns = 0
        while needs_turn(bench.store.projects.get(project.key), bench.settings, bench.clock.now(), has_studio=True):
            bench.turn(project)
            n_turns += 1
            assert n_turns < 5


def test_mended_config_is_taken_up_again(bench: Bench) -> None:
    project = bench.add(config("animal", "machine"))
    bench.turn(project)
    bench.hear(bench.fake.change_config(project.id, "<View/>"))
    assert bench.turn(project).error is not None

    bench.hear(bench.fake.change_config(project.id, config("animal", "machine", "plant")))
    state = bench.turn(project)

    assert state.error is None
    assert asked(bench.version(project)).labels == ("animal", "machine", "plant")


def test_changed_strategy_reorders_the_queue_without_a_new_label(bench: Bench) -> None:
    project = bench.add(strategy="margin")
    bench.turn(project)
    bench.label(project, 6)
    bench.turn(project)
    assert bench.version(project).ranked_by == "margin"

    bench.store.projects.register(project.key, TWO, {"strategy": "random"}, bench.clock.now())
    bench.turn(project)

    assert bench.version(project).ranked_by == "random"


def test_window_is_topped_up_before_it_runs_dry(bench: Bench) -> None:
    project = bench.add(window=5, min_labels=100)
    bench.turn(project)
    assert len(project.queue() or []) == 5

    bench.label(project, 2)
    bench.turn(project)
    assert len(project.queue() or []) == 3

    left = project.queue() or []
    bench.label(project, 1)
    bench.turn(project)

    queue = project.queue() or []
    assert len(queue) == 5
    assert queue[:2] == left[1:]
    assert (bench.version(project).name, project.model_version) == ("al-1", "al-1")


def test_whole_pool_is_asked_through_a_small_window(bench: Bench) -> None:
    project = bench.add(window=5, min_labels=100)
    bench.turn(project)
    asked: list[int] = []
    while project.queue():
        asked += bench.label(project, 1)
        bench.turn(project, after_seconds=0.1)
    assert sorted(asked) == sorted(project.tasks)


def test_imported_tasks_join_the_queue(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    webhook = bench.fake.add_tasks(project.id, [{"text": "a new tiger growls"}, {"text": "a new crane lifts"}])

    bench.hear(webhook)
    bench.turn(project)

    assert {task["id"] for task in webhook["tasks"]} <= set(project.queue() or [])


def test_imported_task_that_beats_the_window_is_pushed_at_once(bench: Bench) -> None:
    project = bench.add(strategy="margin", window=5, audit_share=0)
    bench.publish(project, 4)
    version = bench.version(project)

    between = [{"text": text} for text in ("the cat the engine a dog barks a robot welds", "number", "")]
    webhook = bench.fake.add_tasks(project.id, between)
    bench.hear(webhook)
    bench.turn(project)

    assert bench.version(project) == version
    worth = bench.store.windows.informativeness(version.id)
    new = {task["id"] for task in webhook["tasks"]} & set(worth)
    assert new
    assert new <= set(project.queue() or [])


def test_pool_that_doubled_is_read_anew(bench: Bench) -> None:
    project = bench.add(texts=["the cat", "the engine"])
    bench.turn(project)

    bench.hear(bench.fake.add_tasks(project.id, [{"text": text} for text in TEXTS]))
    bench.turn(project)

    assert bench.version(project).number == 2
    assert sorted(project.queue() or []) == sorted(project.tasks)


def test_changed_text_is_found_by_the_sync(bench: Bench) -> None:
    project = bench.add(texts=[*TEXTS, "nothing known"])
    bench.turn(project)
    *others, task_id = project.tasks
    for other in others[:20]:
        bench.hear(bench.fake.annotate(project.id, other, truth(project.tasks[other]["data"]["text"])))
    bench.fake.change_data(project.id, task_id, {"text": "the cat sleeps and a dog barks"})

    bench.turn(project, after_seconds=400)

    pushed = [item for item in shown(project) if item["task"] == task_id]
    assert [item["result"][0]["value"]["choices"] for item in pushed] == [["animal"]]


def test_deleted_tasks_leave_the_pool(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    gone = list(project.tasks)[:10]
    bench.hear(bench.fake.delete_tasks(project.id, *gone))
    bench.label(project, 5)

    state = bench.turn(project)

    assert state.error is None
    assert not set(bench.store.windows.informativeness(bench.version(project).id)) & set(gone)


def test_task_deleted_unheard_delays_one_turn_only(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    labelled = bench.label(project, 5)
    # So many that one of them is among the first that are pushed.
    gone = [task_id for task_id in project.tasks if task_id not in labelled][:-5]
    bench.fake.delete_tasks(project.id, *gone)

    state = bench.turn(project)
    assert state.error is not None
    assert "object does not exist" in state.error
    assert project.model_version == "al-1"

    state = bench.turn(project)
    assert state.error is None
    assert bench.version(project).has_model
    assert not bench.store.windows.informativeness(bench.version(project).id).keys() & set(gone)


def test_webhook_that_was_lost_is_repaired_by_the_sync(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    for task_id in list(project.tasks)[:6]:
        bench.fake.annotate(project.id, task_id, truth(project.tasks[task_id]["data"]["text"]))
    bench.turn(project, after_seconds=299)
    assert not bench.version(project).has_model

    bench.turn(project, after_seconds=2)

    assert set(asked(bench.version(project)).trained_on) == set(list(project.tasks)[:6])


def test_turn_in_which_nothing_happened_only_asks_what_changed(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 2)
    rested = bench.settle(project)
    bench.fake.calls.clear()

    again = bench.turn(project, after_seconds=400)

    assert replace(again, synced_at=rested.synced_at, n_turns=rested.n_turns) == rested
    assert bench.fake.names() == [
        f"GET /api/projects/{project.id}",
        "GET /api/tasks",
        f"GET /api/projects/{project.id}/model-versions",
        "GET /api/ml",
    ]


@pytest.mark.parametrize("seconds", [-86_400.0, 86_400.0])
def test_lost_webhook_is_repaired_though_the_web_servers_clock_goes_otherwise(bench: Bench, seconds: float) -> None:
    """What a web server hears is stamped by its own clock."""
    project = bench.add()
    bench.turn(project)
    heard, lost = list(project.tasks)[:2]
    event = read_event(bench.fake.annotate(project.id, heard, "animal"))
    assert event
    bench.store.updates.hear(event, bench.clock.now() + seconds, adds_only=True)
    bench.turn(project)
    bench.fake.annotate(project.id, lost, "animal")

    bench.turn(project, after_seconds=bench.settings.sync_seconds)

    assert {one.task_id for one in bench.store.annotations.all(project.key)} == {heard, lost}


def test_details_that_an_older_release_did_not_keep_make_no_new_version(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 2)
    bench.settle(project)
    kept, version = annotation_columns(bench.store, project.key), bench.version(project)
    measured = bench.store.measurements.all(project.key)
    drop_details(bench.store, project.key)
    bench.restart()
    bench.fake.calls.clear()

    state = bench.turn(project)

    names = ("lead_time", "item_details")
    found = annotation_columns(bench.store, project.key)
    assert all(row[name] == kept[id][name] is not None for id, row in found.items() for name in names)
    assert state.compared_at == bench.clock.now()
    for _ in range(2):
        assert (state.error, state.n_fresh, bench.version(project)) == (None, 0, version)
        assert bench.store.measurements.all(project.key) == measured
        assert {call.method for call in bench.fake.calls} == {"GET"}
        bench.fake.calls.clear()
        state = bench.turn(project, after_seconds=400)
        # What changed is asked for, not the annotations.
        assert f"GET /api/projects/{project.id}/export" not in bench.fake.names()
    assert not needs_turn(state, bench.settings, bench.clock.now(), has_studio=True)


def test_labels_train_while_an_upgrade_compares_everything(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("label_studio_al.studio.tasks.TASKS_A_PAGE", 5)
    project = bench.add()
    bench.publish(project, 1)
    bench.settle(project)
    drop_details(bench.store, project.key)
    bench.label(project, 5)
    monkeypatch.setattr("label_studio_al.turns.loop.SLICE_SECONDS", 0.0)
    before = bench.version(project).number

    state = bench.turn(project)

    assert state.comparing_since is not None
    assert bench.version(project).number == before + 1


def test_deletions_that_were_not_heard_are_repaired_by_the_sync(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 8)
    bench.turn(project)
    annotation_id = next(iter(project.annotations))
    bench.fake.delete_annotations(project.id, annotation_id)
    bench.fake.delete_tasks(project.id, *(project.queue() or [])[:2])

    bench.turn(project, after_seconds=400)

    assert len(asked(bench.version(project)).trained_on) == 7
    assert bench.store.tasks.ids(project.key) == sorted(project.tasks)


def test_label_heard_while_label_studio_is_listed_survives_the_sync(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    path = f"/api/projects/{project.id}/model-versions"
    bench.fake.when("GET", path, lambda: bench.label(project, 5) and None)

    bench.turn(project, after_seconds=400)
    bench.turn(project)

    assert len(asked(bench.version(project)).trained_on) == 5


def test_task_deleted_while_tasks_are_listed_does_not_hide_another(bench: Bench) -> None:
    project = bench.add(texts=[f"text {n % 50}" for n in range(1_500)])
    first = next(iter(project.tasks))
    bench.fake.when("GET", "/api/tasks", lambda: None)
    bench.fake.when("GET", "/api/tasks", lambda: bench.fake.delete_tasks(project.id, first) and None)

    bench.turn(project)

    assert set(bench.store.tasks.ids(project.key)) >= set(project.tasks)


def test_tasks_deleted_while_they_are_listed_do_not_fail_the_turn(bench: Bench) -> None:
    # Label Studio answers 404 "Invalid page." to a page that is no longer there.
    project = bench.add(texts=[f"text {n % 50}" for n in range(1_001)])
    gone = list(project.tasks)[:5]
    bench.fake.when("GET", "/api/tasks", lambda: None)
    bench.fake.when("GET", "/api/tasks", lambda: bench.fake.delete_tasks(project.id, *gone) and None)

    bench.turn(project)
    bench.settle(project)

    assert bench.store.tasks.ids(project.key) == sorted(project.tasks)
