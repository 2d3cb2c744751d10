"""Turns of the loop against a small Label Studio in memory, with a real store."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from label_studio_al.cli.worker import needs_turn
from label_studio_al.labeling import read_event, version_number
from label_studio_al.learners.published import Models
from label_studio_al.learning.strategies import STRATEGIES
from label_studio_al.runtime.computing import Computing
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Project, Signer, Store, Version
from label_studio_al.store.activity import WAITING_FOR_A_CHANGE
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.turns.due import OLDER_VERSIONS_AT_MOST
from label_studio_al.turns.loop import Loop
from label_studio_al.turns.means import Means
from label_studio_al.wording import activity_sentence
from tests.support.background import AtOnce
from tests.support.bench import TEXTS, TWO, Bench, config, truth
from tests.support.clock import FakeClock
from tests.support.columns import set_columns
from tests.support.fake_label_studio import (
    BROKEN_JSON,
    CLOSED,
    HTML_PAGE,
    TIMEOUT,
    TOKEN,
    URL,
    FakeLabelStudio,
    FakeProject,
)

pytestmark = pytest.mark.usefixtures("one_thread")


class Killed(BaseException):
    """The process ends at this line."""


def state_of(bench: Bench, project: FakeProject) -> dict[str, Any]:
    """What must be equal after every way to get there; the version's number may differ."""
    row, version = bench.store.projects.get(project.key), bench.version(project)
    ours = [item for item in project.predictions.values() if version_number(item["model_version"], "") is not None]
    return {
        "learnt": version.trained_on,
        "labels": version.labels,
        "ranked_by": version.ranked_by,
        "has_model": version.has_model,
        "queue": project.queue(),
        "scores": sorted(project.pushed(version.name).items()),
        "window": sorted(bench.store.windows.informativeness(version.id)),
        "versions": len({item["model_version"] for item in ours}),
        "points to ours": project.model_version == version.name,
        "titles": {one["title"] == version.name for one in bench.fake.connections.values()},
        "sampling": project.sampling,
        "shows predictions": project.show_collab_predictions,
        "foreign": sorted(str(item["model_version"]) for item in project.predictions.values() if item not in ours),
        "flags": (
            row.is_switched,
            row.stale_versions,
            row.is_arranged,
            row.error,
            row.retry_at,
            version.revision < row.wanted_revision,
        ),
        "tasks": bench.store.tasks.ids(project.key),
    }


def shown(project: FakeProject) -> list[dict[str, Any]]:
    """The predictions that annotators see: those of the project's version."""
    return [item for item in project.predictions.values() if item["model_version"] == project.model_version]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(model_dir=tmp_path, label_studio_url=URL, label_studio_api_key=TOKEN, encoder="none")


# -- publishing ----------------------------------------


def test_first_turn_publishes_a_version_that_covers_the_pool(bench: Bench) -> None:
    project = bench.add()

    bench.turn(project)

    version = bench.version(project)
    assert (version.name, version.ranked_by, version.has_model) == ("al-1", "coverage", False)
    assert project.model_version == "al-1"
    assert sorted(project.queue() or []) == sorted(project.tasks)
    assert all(item["result"] == [] for item in project.predictions.values())


def test_first_turn_makes_the_queue_follow_scores_and_shows_predictions(bench: Bench) -> None:
    project = bench.add()

    bench.turn(project)

    assert (project.sampling, project.show_collab_predictions) == ("Uncertainty sampling", True)


def test_sampling_that_an_admin_changes_later_is_left_alone(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 5)
    project.sampling = "Sequential sampling"

    bench.turn(project)

    assert bench.version(project).number == 2
    assert project.sampling == "Sequential sampling"


def test_queue_has_the_order_of_the_window(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 8)

    bench.settle(project)

    window = bench.store.windows.informativeness(bench.version(project).id)
    assert project.queue() == sorted(window, key=lambda task_id: (-window[task_id], task_id))


def test_enough_labels_publish_a_model_under_the_next_version(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    labelled = bench.label(project, 5)

    state = bench.turn(project)

    version = bench.version(project)
    assert (version.name, version.has_model, set(version.trained_on)) == ("al-2", True, set(labelled))
    assert project.model_version == "al-2"
    assert activity_sentence(state.activity) == "waiting for 1 more label"
    assert not set(project.pushed("al-2")) & set(labelled)


def test_pushed_labels_are_those_of_similar_texts(bench: Bench) -> None:
    project = bench.add()
    bench.settle(project)
    bench.label(project, 20)

    bench.turn(project)

    for item in shown(project):
        text = project.tasks[item["task"]]["data"]["text"]
        assert item["result"][0]["value"]["choices"] == [truth(text)]
        assert (item["result"][0]["from_name"], item["result"][0]["to_name"]) == ("topic", "text")
        assert 0.5 <= item["result"][0]["score"] <= 1
        assert 0 <= item["score"] <= 1


def test_a_switch_only_renames_the_connection_after_the_push(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 1)
    bench.label(project, 5)
    bench.fake.calls.clear()

    bench.turn(project)

    changes = [name for name in bench.fake.names() if not name.startswith("GET")]
    connection = next(iter(bench.fake.connections))
    assert [*dict.fromkeys(changes)] == ["POST /api/predictions", f"PATCH /api/ml/{connection}"]
    assert project.model_version == "al-3"


def test_older_predictions_are_deleted_while_nobody_labels(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 2)
    assert len({item["model_version"] for item in project.predictions.values()}) == 3
    bench.fake.calls.clear()

    assert needs_turn(bench.store.projects.get(project.key), bench.settings, bench.clock.now() + 15, has_studio=True)
    bench.turn(project, after_seconds=15)

    names = bench.fake.names()
    point = names.index(f"PATCH /api/projects/{project.id}")
    prune = names.index(f"DELETE /api/projects/{project.id}/model-versions")
    renames = [place for place, name in enumerate(names) if name.startswith("PATCH /api/ml/")]
    assert renames[0] < point < prune < renames[1]
    assert {item["model_version"] for item in project.predictions.values()} == {"al-3"}
    assert project.model_version == "al-3"


def test_very_many_older_versions_are_deleted_also_while_people_label_but_for_the_newest(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 1)
    gone = [f"al-{number}" for number in range(100, 101 + OLDER_VERSIONS_AT_MOST)]
    for name in gone:
        bench.fake.add_prediction(project.id, next(iter(project.tasks)), name, 0.5)
    bench.store.projects.add_stale(project.key, gone)

    for _ in range(3):
        bench.hear(bench.fake.annotate(project.id, next(iter(project.queue() or [])), "animal"))
        bench.turn(project, after_seconds=1)

    left = {item["model_version"] for item in project.predictions.values()}
    assert "al-1" not in left
    assert gone[-1] in left


def test_an_older_config_that_is_told_late_is_corrected_by_label_studio(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 1)
    bench.hear(bench.fake.change_config(project.id, config("animal", "machine", "plant")))
    bench.turn(project)

    # As Label Studio's answer to our own rename does when it read the project before the admin's change.
    bench.store.projects.register(project.key, TWO, None, bench.clock.now())
    bench.turn(project)

    assert bench.version(project).labels == ("animal", "machine", "plant")
    assert not bench.store.projects.get(project.key).config_wanted


def test_a_config_that_cannot_be_confirmed_is_asked_for_again(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 1)
    bench.hear(bench.fake.change_config(project.id, config("animal", "machine", "plant")))
    bench.fake.fail("GET", f"/api/projects/{project.id}", 503)

    state = bench.turn(project)
    assert (state.error is not None, state.config_wanted) == (True, True)

    bench.fake.mend()
    bench.settle(project)
    assert bench.version(project).labels == ("animal", "machine", "plant")


def test_annotators_never_meet_a_version_without_predictions(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 2)
    bench.label(project, 5)
    seen: list[bool] = []
    watched = [
        ("PATCH", r"/api/projects/\d+"),
        ("GET", "/api/ml"),
        ("DELETE", r"/api/projects/\d+/model-versions"),
        ("PATCH", r"/api/ml/\d+"),
    ]
    for method, path in watched:
        bench.fake.when(method, path, lambda: seen.append(project.queue() is not None))

    bench.turn(project, after_seconds=60)

    assert len(seen) == len(watched)
    assert all(seen)


def test_empty_project_waits_without_an_error(bench: Bench) -> None:
    project = bench.add(texts=[])

    state = bench.turn(project)

    assert state.error is None
    assert activity_sentence(state.activity) == "waiting for 5 more labels to train the first model"


@pytest.mark.parametrize(
    "texts",
    [
        [""],
        ["", "", "", "", "", ""],
        ["\U0001f600\U0001f600", "\U0001f680", "!!!", "...", "\U0001f4a9", "?"],
        ["same"] * 8,
        ["one"],
        ["x" * 1_000_000, "short", "md", "1", "2", "3"],
        ["\x00", "nul \x00 within", "\u202e right to left", "a", "b", "c"],
    ],
    ids=["one empty", "empty", "no words", "all the same", "one", "1 MB", "control characters"],
)
def test_odd_texts_are_published_and_learnt(bench: Bench, texts: list[str]) -> None:
    project = bench.add(texts=texts)
    assert bench.turn(project).error is None
    assert sorted(project.queue() or []) == sorted(project.tasks)

    for place, task_id in enumerate(list(project.tasks)[:5]):
        bench.hear(bench.fake.annotate(project.id, task_id, ["animal", "machine"][place % 2]))
    state = bench.turn(project)

    assert state.error is None
    assert bench.version(project).has_model == (len(texts) >= 5)


def test_tasks_without_the_texts_field_are_left_out(bench: Bench) -> None:
    project = bench.add()
    without = [
        task["id"]
        for task in bench.fake.add_tasks(project.id, [{"other": "x"}, {"text": None}, {"text": {"a": 1}}])["tasks"]
    ]

    state = bench.turn(project)

    assert state.error is None
    assert not set(project.queue() or []) & set(without)


# -- when a training is due ----------------------------------------


def test_too_few_labels_train_nothing(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 4)

    state = bench.turn(project)

    assert bench.version(project).number == 1
    assert activity_sentence(state.activity) == "waiting for 1 more label to train the first model"


def test_labels_of_one_kind_train_nothing(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 8, lambda _: "animal")

    state = bench.turn(project)

    assert bench.version(project).number == 1
    assert activity_sentence(state.activity) == "waiting for a second label: all 8 labelled tasks are 'animal'"


def test_growth_decides_when_the_next_training_is_due(bench: Bench) -> None:
    project = bench.add(retrain_growth=0.5)
    bench.turn(project)
    bench.label(project, 6)
    bench.turn(project)
    assert bench.version(project).number == 2

    bench.label(project, 2)
    assert activity_sentence(bench.turn(project).activity) == "waiting for 1 more label"
    assert bench.version(project).number == 2

    bench.label(project, 1)
    bench.turn(project)
    assert bench.version(project).number == 3
    assert len(bench.version(project).trained_on) == 9


def test_fifty_labels_heard_at_once_make_one_version(bench: Bench) -> None:
    project = bench.add(texts=[f"{text} again {n}" for n in range(2) for text in TEXTS])
    bench.settle(project)
    bench.label(project, 50)

    bench.turn(project)
    bench.turn(project)

    assert bench.version(project).number == 2
    assert len(bench.version(project).trained_on) == 50


def test_turn_without_news_asks_nothing_and_pushes_nothing(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 5)
    bench.settle(project)
    before = state_of(bench, project)
    bench.fake.calls.clear()

    bench.turn(project)

    assert bench.fake.calls == []
    assert state_of(bench, project) == before


def test_corrected_label_counts_as_a_change(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    task_id = bench.label(project, 5)[0]
    bench.turn(project)
    annotation_id = next(one["id"] for one in project.annotations.values() if one["task"] == task_id)
    other = "machine" if bench.version(project).trained_on[task_id] == "animal" else "animal"

    bench.hear(bench.fake.correct(project.id, annotation_id, other))
    bench.turn(project)

    assert bench.version(project).number == 3
    assert bench.version(project).trained_on[task_id] == other


def test_deleted_annotation_counts_as_a_change_and_its_task_comes_back(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    task_id = bench.label(project, 8)[0]
    bench.turn(project)
    annotation_id = next(one["id"] for one in project.annotations.values() if one["task"] == task_id)

    bench.hear(bench.fake.delete_annotations(project.id, annotation_id))
    bench.turn(project)

    version = bench.version(project)
    assert version.number == 3
    assert task_id not in version.trained_on
    assert task_id in (project.queue() or [])


def test_too_few_labels_after_deletions_withdraw_the_model(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 6)
    bench.turn(project)
    assert bench.version(project).has_model

    bench.hear(bench.fake.delete_annotations(project.id, *list(project.annotations)[:4]))
    bench.turn(project)

    version = bench.version(project)
    assert (version.has_model, version.ranked_by) == (False, "coverage")
    assert project.model_version == version.name
    assert all(item["result"] == [] for item in shown(project))


def test_skipped_task_leaves_the_pool_and_teaches_nothing(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    skipped = (project.queue() or [])[0]
    bench.hear(bench.fake.annotate(project.id, skipped, None, skip=True))
    labelled = bench.label(project, 5)

    bench.turn(project)

    version = bench.version(project)
    assert set(version.trained_on) == set(labelled)
    assert skipped not in bench.store.windows.informativeness(version.id)


def test_start_training_trains_once_without_new_labels(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 5)
    bench.turn(project)

    bench.store.projects.want_training(project.key, bench.clock.now())
    bench.turn(project)
    assert bench.version(project).number == 3

    bench.turn(project)
    assert bench.version(project).number == 3
    assert bench.store.projects.get(project.key).wanted_revision <= bench.version(project).revision


def test_start_training_with_too_few_labels_waits_and_says_so(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 2)

    bench.store.projects.want_training(project.key, bench.clock.now())
    state = bench.turn(project)

    assert (bench.version(project).has_model, state.error) == (False, None)
    assert activity_sentence(state.activity) == "waiting for 3 more labels to train the first model"


def test_start_training_during_a_training_is_not_forgotten(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 5)
    bench.fake.when(
        "POST", "/api/predictions", lambda: bench.store.projects.want_training(project.key, bench.clock.now())
    )

    bench.turn(project)
    assert bench.version(project).number == 2

    bench.turn(project)
    assert bench.version(project).number == 3


def test_label_heard_during_a_turn_is_learnt_by_the_next(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 5)
    late: list[int] = []
    bench.fake.when("POST", "/api/predictions", lambda: late.extend(bench.label(project, 1)))

    state = bench.turn(project)
    assert state.revision > state.seen_revision
    assert not set(late) & set(bench.version(project).trained_on)

    bench.turn(project)
    assert set(late) <= set(bench.version(project).trained_on)


def test_same_labels_and_seed_give_the_same_queue(tmp_path: Path, signer: Signer, settings: Settings) -> None:
    queues = []
    for name in ("one", "two"):
        store = Store(f"sqlite:///{tmp_path / name}.sqlite")
        store.migrate()
        bench = Bench(FakeLabelStudio(), store, signer, FakeClock(), settings)
        project = bench.add(strategy="margin", seed=3)
        bench.turn(project)
        bench.label(project, 9)
        bench.turn(project)
        queues.append(project.queue())
        store.close()
    assert queues[0] == queues[1]


# -- changes of the config, the settings and the tasks ----------------------------------------


def test_label_added_to_the_config_makes_a_version_with_it(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 6)
    bench.turn(project)

    bench.hear(bench.fake.change_config(project.id, config("animal", "machine", "plant")))
    bench.turn(project)

    version = bench.version(project)
    assert (version.number, version.labels, len(version.trained_on)) == (3, ("animal", "machine", "plant"), 6)


def test_label_removed_from_the_config_is_pushed_no_more(bench: Bench) -> None:
    project = bench.add(config("animal", "machine", "cat"))
    bench.settle(project)
    bench.label(project, 12, lambda text: "cat" if "cat" in text else truth(text))
    bench.turn(project)
    assert "cat" in bench.version(project).trained_on.values()

    bench.hear(bench.fake.change_config(project.id, TWO))
    bench.turn(project)

    assert set(bench.version(project).trained_on.values()) == {"animal", "machine"}
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
    assert version.labels == ("creature", "machine")
    assert set(version.trained_on.values()) == {"machine"}
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

    assert bench.version(project).labels == ("animal", "machine", "plant")


def test_unsupported_config_parks_the_project_with_its_reason(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)

    bench.hear(bench.fake.change_config(project.id, '<View><Text name="text" value="$text"/></View>'))
    state = bench.turn(project)

    assert state.error == "the label config has no control: it needs one <Choices> on a <Text>"
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
    assert bench.version(project).labels == ("animal", "machine", "plant")


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

    assert set(bench.version(project).trained_on) == set(list(project.tasks)[:6])


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


def test_deletions_that_were_not_heard_are_repaired_by_the_sync(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 8)
    bench.turn(project)
    annotation_id = next(iter(project.annotations))
    bench.fake.delete_annotations(project.id, annotation_id)
    bench.fake.delete_tasks(project.id, *(project.queue() or [])[:2])

    bench.turn(project, after_seconds=400)

    assert len(bench.version(project).trained_on) == 7
    assert bench.store.tasks.ids(project.key) == sorted(project.tasks)


def test_label_heard_while_label_studio_is_listed_survives_the_sync(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    path = f"/api/projects/{project.id}/model-versions"
    bench.fake.when("GET", path, lambda: bench.label(project, 5) and None)

    bench.turn(project, after_seconds=400)
    bench.turn(project)

    assert len(bench.version(project).trained_on) == 5


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


# -- others in the same Label Studio ----------------------------------------


def test_predictions_of_other_models_are_never_deleted(bench: Bench) -> None:
    project = bench.add()
    names = ["gpt-4", None, "", "al-", "al-x", "AL-1", "al-1 ", "xal-1", "al-1.5", "undefined"]
    task_id = next(iter(project.tasks))
    foreign = [bench.fake.add_prediction(project.id, task_id, name, 0.5) for name in names]

    for n in (0, 5, 3):
        bench.label(project, n)
        bench.settle(project)

    assert bench.version(project).number == 3
    assert set(foreign) <= set(project.predictions)


def test_version_numbers_that_label_studio_knows_are_not_given_again(bench: Bench) -> None:
    project = bench.add()
    bench.fake.add_prediction(project.id, next(iter(project.tasks)), "al-41", 0.5)

    bench.turn(project)

    assert bench.version(project).name == "al-42"
    bench.label(project, 5)
    bench.turn(project)
    assert project.pushed("al-41")
    bench.turn(project, after_seconds=15)
    assert project.pushed("al-41") == {}


def test_known_version_numbers_are_skipped_also_when_the_first_sync_fails_late(bench: Bench) -> None:
    project = bench.add()
    bench.fake.add_prediction(project.id, next(iter(project.tasks)), "al-1", 0.5)
    bench.fake.fail("GET", ".*/model-versions", 500)
    assert bench.turn(project).error is not None
    bench.fake.mend()

    bench.turn(project)

    assert bench.version(project).name == "al-2"


def test_project_that_points_elsewhere_is_pointed_back(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    project.model_version = ""

    bench.turn(project, after_seconds=400)

    assert project.model_version == "al-1"
    assert project.queue()


def test_project_created_anew_under_the_same_number_is_refused(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 5)
    other = bench.fake.recreate_project(project.id)
    other.tasks = {1: {"id": 1, "data": {"text": "another project's text"}}}

    bench.clock.advance(400)
    bench.loop.take_turn(project.key)

    state = bench.store.projects.get(project.key)
    assert state.error is not None
    assert other.key in state.error
    assert project.key in state.error
    assert 1 not in bench.store.tasks.ids(project.key)
    assert (other.predictions, other.model_version) == ({}, "")


def test_projects_never_mix(bench: Bench) -> None:
    first = bench.add()
    colours = config("red", "green", "blue")
    texts = [f"{text} in {colour}" for colour in ("red", "green", "blue") for text in ("a rose", "a leaf", "a sky")]
    second = bench.add(colours, texts * 2)
    for project in (first, second):
        bench.turn(project)
    bench.label(first, 8)
    bench.label(second, 9, lambda text: text.split()[-1])

    for project in (first, second):
        bench.turn(project)

    assert set(bench.version(first).trained_on.values()) == {"animal", "machine"}
    assert set(bench.version(second).trained_on.values()) <= {"red", "green", "blue"}
    for project, labels in ((first, {"animal", "machine"}), (second, {"red", "green", "blue"})):
        assert {item["task"] for item in shown(project)} <= set(project.tasks)
        assert {item["result"][0]["value"]["choices"][0] for item in shown(project)} <= labels
        assert bench.store.tasks.ids(project.key) == sorted(project.tasks)


def test_failing_project_does_not_hold_up_another(bench: Bench) -> None:
    first, second = bench.add(), bench.add()
    bench.fake.fail("*", rf"/api/projects/{first.id}(/.*)?", 500)

    assert bench.turn(first).error is not None
    assert bench.turn(second).error is None
    assert second.model_version == "al-1"


def test_connection_of_ours_is_renamed_and_no_other(bench: Bench) -> None:
    project = bench.add()
    other = bench.fake.connect(project.id, "http://other:9090", "Somebody else's")
    project.model_version = "Active learning"

    bench.turn(project)
    bench.label(project, 5)
    bench.turn(project)

    assert bench.fake.connections[other]["title"] == "Somebody else's"
    assert sorted(one["title"] for one in bench.fake.connections.values()) == ["Somebody else's", "al-2"]


def test_address_that_an_admin_corrects_is_not_written_back(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    connection = next(iter(bench.fake.connections.values()))
    connection["url"] = "http://new-address:9090"
    bench.label(project, 5)

    bench.turn(project)

    assert project.model_version == "al-2"
    assert connection["url"] == "http://new-address:9090"


def test_connection_made_anew_is_found(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 5)
    bench.fake.connections.clear()
    bench.fake.connect(project.id)

    bench.turn(project)
    bench.settle(project)

    assert project.model_version == bench.version(project).name
    assert [one["title"] for one in bench.fake.connections.values()] == [project.model_version]


def test_project_without_a_connection_says_how_to_connect(bench: Bench) -> None:
    project = bench.fake.add_project(TWO, TEXTS)
    bench.store.projects.register(project.key, TWO, {}, bench.clock.now())

    state = bench.turn(project)
    assert state.error is not None
    assert f"label-studio-al connect --project {project.id}" in state.error

    bench.fake.connect(project.id)
    bench.settle(project)
    assert project.model_version == bench.version(project).name


def test_connection_with_basic_auth_gets_the_credentials(bench: Bench) -> None:
    project = bench.add()
    next(iter(bench.fake.connections.values()))["auth_method"] = "BASIC_AUTH"
    studio = Studio(Api(URL, TOKEN, bench.fake.client(), bench.clock), basic_auth=("user", "pass"))
    bench.loop = Loop(Means(bench.store, studio, bench.signer, bench.settings, bench.clock, Computing(1), AtOnce()))

    bench.turn(project)

    body = next(call.body for call in bench.fake.calls if str(call).startswith("PATCH /api/ml/"))
    assert (body["auth_method"], body["basic_auth_user"], body["basic_auth_pass"]) == ("BASIC_AUTH", "user", "pass")


# -- without a token ----------------------------------------


def test_without_a_token_a_model_is_trained_from_labels_heard(bench: Bench) -> None:
    bench.restart(with_studio=False)
    project = bench.add()
    bench.hear(bench.fake._event("TASKS_CREATED", project, tasks=list(project.tasks.values())))
    for task_id in list(project.tasks)[:6]:
        bench.hear(bench.fake.annotate(project.id, task_id, truth(project.tasks[task_id]["data"]["text"])))

    state = bench.turn(project)

    assert (bench.version(project).has_model, state.error, state.is_switched) == (True, None, True)
    assert bench.fake.calls == []


def test_token_given_later_publishes_predictions_for_the_queue(bench: Bench) -> None:
    bench.restart(with_studio=False)
    project = bench.add()
    bench.hear(bench.fake._event("TASKS_CREATED", project, tasks=list(project.tasks.values())))
    bench.turn(project)

    bench.restart(with_studio=True)
    set_columns(bench.store, project.key, sync_wanted=True)
    bench.settle(project)

    assert project.model_version == bench.version(project).name
    assert sorted(project.queue() or []) == sorted(project.tasks)


def test_predictions_that_somebody_deleted_are_pushed_again(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    project.predictions.clear()

    bench.settle(project)

    assert sorted(project.queue() or []) == sorted(project.tasks)


# -- when Label Studio fails ----------------------------------------

READS = [
    ("GET", r"/api/projects/\d+"),
    ("GET", r"/api/tasks"),
    ("GET", r"/api/projects/\d+/export"),
    ("GET", r"/api/projects/\d+/model-versions"),
    ("GET", r"/api/ml"),
]
WRITES = [
    ("POST", r"/api/predictions"),
    ("PATCH", r"/api/ml/\d+"),
    ("PATCH", r"/api/projects/\d+"),
    ("DELETE", r"/api/projects/\d+/model-versions"),
]
ALWAYS_SAID = [401, 500, CLOSED, TIMEOUT]
WRONG_ANSWERS: list[Any] = [BROKEN_JSON, HTML_PAGE, b"null", b"[1]", b'{"detail": "x"}', b""]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The state after the same labels without any fault."""
    folder = tmp_path_factory.mktemp("reference")
    store = Store(f"sqlite:///{folder / 'reference.sqlite'}")
    store.migrate()
    settings = read_settings(model_dir=folder, encoder="none")
    bench = Bench(FakeLabelStudio(), store, Signer("a key that only tests know"), FakeClock(), settings)
    project = prepared(bench)
    bench.settle(project)
    state = state_of(bench, project)
    store.close()
    return state


def prepared(bench: Bench) -> FakeProject:
    """A project whose first turn has something to do at every call: labels, older versions of ours, a foreign one."""
    project = bench.add()
    for task_id in list(project.tasks)[:6]:
        bench.fake.annotate(project.id, task_id, truth(project.tasks[task_id]["data"]["text"]))
    for task_id in list(project.tasks)[:3]:
        for number in range(1, 7):
            bench.fake.add_prediction(project.id, task_id, f"al-{number}", 0.5)
    bench.fake.add_prediction(project.id, next(iter(project.tasks)), "gpt", 0.5)
    bench.clock.advance(60)
    return project


def assert_said(state: Project, clock: FakeClock) -> None:
    assert state.error
    assert not state.error.startswith("internal error")
    assert "\n" not in state.error
    assert TOKEN not in state.error
    assert state.retry_at is not None
    assert state.retry_at > clock.now()


@pytest.mark.parametrize("how", ALWAYS_SAID, ids=str)
@pytest.mark.parametrize(("method", "path"), READS + WRITES)
def test_failed_call_is_said_and_the_next_turn_converges(
    bench: Bench, reference: dict[str, Any], method: str, path: str, how: int | str
) -> None:
    project = prepared(bench)
    bench.fake.fail(method, path, how)
    assert_said(bench.turn(project), bench.clock)

    bench.fake.mend()
    bench.settle(project)

    assert state_of(bench, project) == reference


@pytest.mark.parametrize("how", WRONG_ANSWERS, ids=str)
@pytest.mark.parametrize(("method", "path"), READS)
def test_answer_that_is_not_understood_is_said_and_the_next_turn_converges(
    bench: Bench, reference: dict[str, Any], method: str, path: str, how: str | bytes
) -> None:
    project = prepared(bench)
    bench.fake.fail(method, path, how)
    state = bench.turn(project)
    if state.error is not None:
        assert_said(state, bench.clock)

    bench.fake.mend()
    bench.settle(project)

    assert state_of(bench, project) == reference


@pytest.mark.parametrize("how", [500, TIMEOUT, BROKEN_JSON, b"null"], ids=str)
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_write_whose_answer_is_lost_converges(
    bench: Bench, reference: dict[str, Any], method: str, path: str, how: int | str | bytes
) -> None:
    project = prepared(bench)
    bench.fake.fail(method, path, how, takes_effect=True)
    state = bench.turn(project)
    if state.error is not None:
        assert_said(state, bench.clock)

    bench.fake.mend()
    bench.settle(project)

    assert state_of(bench, project) == reference


@pytest.mark.parametrize("how", [401, CLOSED, HTML_PAGE], ids=str)
@pytest.mark.parametrize(("method", "path"), [*READS[:4], WRITES[0], ("PATCH", r"/api/ml/\d+")])
def test_old_version_keeps_serving_while_the_next_one_fails(
    bench: Bench, method: str, path: str, how: int | str
) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 6)
    queue = project.queue()
    set_columns(bench.store, project.key, sync_wanted=True)
    bench.fake.fail(method, path, how)

    for _ in range(3):
        assert bench.turn(project, after_seconds=20).error is not None
        assert (project.model_version, project.queue()) == ("al-1", queue)

    bench.fake.mend()
    bench.settle(project)
    assert bench.version(project).has_model
    assert project.model_version == bench.version(project).name


def test_pauses_between_tries_grow_and_have_a_limit(bench: Bench) -> None:
    project = bench.add()
    bench.fake.fail("*", ".*", 403)
    pauses = []
    for _ in range(12):
        state = bench.turn(project, after_seconds=301)
        assert state.retry_at is not None
        pauses.append(round(state.retry_at - bench.clock.now(), 3))

    assert pauses == sorted(pauses)
    assert pauses[:4] == [2, 4, 8, 16]
    assert pauses[-1] == 300
    bench.fake.mend()
    state = bench.turn(project, after_seconds=301)
    assert (state.n_failures, state.retry_at, state.error) == (0, None, None)


def test_turn_asked_for_before_the_retry_is_due_asks_label_studio_nothing(bench: Bench) -> None:
    project = bench.add()
    bench.fake.fail("*", ".*", 500)
    bench.turn(project)
    bench.fake.calls.clear()

    state = bench.turn(project, after_seconds=1)

    assert bench.fake.calls == []
    assert (state.n_failures, state.error is None) == (1, False)


def test_start_training_does_not_wait_for_the_retry(bench: Bench) -> None:
    project = bench.add()
    bench.fake.fail("*", ".*", 403)
    bench.turn(project, after_seconds=301)
    bench.turn(project, after_seconds=301)
    bench.fake.mend()

    bench.store.projects.want_training(project.key, bench.clock.now())
    state = bench.turn(project, after_seconds=1)

    assert (state.error, project.model_version) == (None, "al-1")


def test_refused_token_is_named(bench: Bench) -> None:
    project = bench.add()
    bench.fake.token = "another"

    state = bench.turn(project)

    assert state.error is not None
    assert "LABEL_STUDIO_API_KEY" in state.error
    assert "legacy token" in state.error


def test_failed_turns_are_listed(bench: Bench) -> None:
    project = bench.add()
    bench.fake.fail("*", ".*", CLOSED)

    bench.turn(project)

    assert bench.store.turns.newest(project.key, 1)[0].outcome.startswith("failed: Label Studio at")


def test_switch_that_label_studio_refuses_is_said_and_repeated(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 5)
    bench.fake.fail("PATCH", r"/api/ml/\d+", 400)

    state = bench.turn(project)
    assert state.error is not None
    assert not state.is_switched
    assert project.model_version == "al-1"

    bench.fake.mend()
    bench.settle(project)
    assert project.model_version == "al-2"


def test_top_up_that_fails_is_made_later(bench: Bench) -> None:
    project = bench.add(window=6, min_labels=100)
    bench.turn(project)
    bench.label(project, 5)
    bench.fake.fail("POST", "/api/predictions", 500)
    assert bench.turn(project).error is not None

    bench.fake.mend()
    bench.settle(project)

    assert len(project.queue() or []) == 6


def test_memory_that_a_comparison_used_is_given_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Label Studio's answer may be of megabytes for each thousand labels, and no training follows."""
    project = bench.add(min_labels=100)
    bench.turn(project)
    given_back: list[str] = []
    monkeypatch.setattr("label_studio_al.turns.loop.give_back", lambda: given_back.append("now"))
    bench.turn(project, after_seconds=60)
    assert not given_back
    bench.turn(project, after_seconds=86_400)
    assert given_back
    assert bench.version(project).number == 1


# -- when the worker is killed ----------------------------------------


def kill_at(store: Store, method: str, *, after: bool) -> None:
    """Have the store's process end at one of its calls, before or after the write. method: "part.name"."""
    part, _, name = method.partition(".")
    act = getattr(getattr(store, part), name)

    def end(*args: Any, **options: Any) -> None:
        if after:
            act(*args, **options)
        raise Killed(method)

    setattr(getattr(store, part), name, end)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "method",
    [
        "projects.reserve_number",
        "versions.publish",
        "features.save",
        "updates.finish_comparison",
        "updates.compare_tasks",
        "updates.compare_annotations",
        "projects.grant",
        "projects.note_switched",
        "projects.note_arranged",
        "projects.drop_stale",
    ],
)
def test_killed_at_a_write_converges(
    bench: Bench, reference: dict[str, Any], tmp_path: Path, method: str, after: bool
) -> None:
    project = prepared(bench)
    store = Store(f"sqlite:///{tmp_path / 'state.sqlite'}")
    kill_at(store, method, after=after)
    bench.restart(store)
    with pytest.raises(Killed):
        bench.turn(project)
    store.close()

    bench.restart()
    bench.settle(project)

    assert state_of(bench, project) == reference


@pytest.mark.parametrize("takes_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("method", "path", "nth"), [*((*call, 1) for call in READS + WRITES), (*READS[0], 2), (*WRITES[-1], 2)]
)
def test_killed_at_a_call_converges(
    bench: Bench, reference: dict[str, Any], method: str, path: str, nth: int, takes_effect: bool
) -> None:
    project = prepared(bench)
    bench.fake.fail(method, path, Killed(), nth=nth, takes_effect=takes_effect)
    try:
        bench.turn(project)
    except Killed:
        bench.fake.mend()
    bench.fake.mend()

    bench.restart()
    bench.settle(project)

    assert state_of(bench, project) == reference


def test_killed_again_and_again_converges(bench: Bench, reference: dict[str, Any]) -> None:
    project = prepared(bench)
    for nth in range(1, 15):
        bench.fake.fail("*", ".*", Killed(), nth=nth, takes_effect=nth % 2 == 0)
        try:
            bench.turn(project)
        except Killed:
            bench.restart()
        bench.fake.mend()

    bench.settle(project)

    assert state_of(bench, project) == reference


def test_killed_during_a_top_up_leaves_one_prediction_a_task(bench: Bench) -> None:
    project = bench.add(window=6, min_labels=100)
    bench.turn(project)
    bench.label(project, 5)
    bench.fake.fail("POST", "/api/predictions", Killed(), takes_effect=True)
    with pytest.raises(Killed):
        bench.turn(project)
    bench.fake.mend()
    bench.restart()

    bench.settle(project)

    assert len(project.queue() or []) == 6
    assert max(Counter(item["task"] for item in project.predictions.values()).values()) == 1


def test_restarted_worker_gives_the_same_queue(bench: Bench) -> None:
    project = bench.add(strategy="margin")
    bench.turn(project)
    bench.label(project, 6)
    bench.settle(project)
    before = state_of(bench, project)

    bench.restart()
    bench.turn(project)

    assert state_of(bench, project) == before


def test_torn_model_is_trained_again_when_the_window_runs_dry(bench: Bench) -> None:
    project = bench.add(window=6, retrain_growth=10.0)
    bench.turn(project)
    bench.label(project, 6)
    bench.turn(project)
    tear_model(bench.store, bench.version(project))
    bench.restart()
    bench.label(project, 5)

    bench.settle(project)

    assert len(project.queue() or []) == 6
    assert bench.version(project).has_model


def test_models_signed_with_another_key_are_made_again(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 6)
    bench.turn(project)
    bench.signer = Signer("another key")
    bench.restart()

    state = bench.turn(project)

    assert state.error is None
    assert (bench.version(project).number, bench.version(project).has_model) == (3, True)


def test_lost_store_is_rebuilt_from_label_studio(bench: Bench, tmp_path: Path) -> None:
    # What was drawn at random stays where people may have it open, which a lost store does not know.
    project = bench.add(audit_share=0.0)
    bench.turn(project)
    bench.label(project, 6)
    bench.settle(project)
    before = state_of(bench, project)

    bench.store = Store(f"sqlite:///{tmp_path / 'new.sqlite'}")
    bench.store.migrate()
    bench.store.projects.register(project.key, TWO, {"audit_share": 0.0}, bench.clock.now())
    bench.restart()
    bench.settle(project)

    assert bench.version(project).number > 2
    assert state_of(bench, project) == before
    bench.store.close()


def tear_model(store: Store, version: Version) -> None:
    """As a disk does: the second half of the stored model is gone."""
    with store._engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE versions SET artifact = substr(artifact, 1, length(artifact) / 2) WHERE id = ?", (version.id,)
        )


# -- measuring ------------------------------------------------------------------------------------------------


def test_every_label_after_the_first_model_has_a_prediction_from_before(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 3)

    kept = {one.task_id: one for one in bench.store.measurements.predictions(project.key)}
    trained_on = bench.version(project).trained_on
    assert len(trained_on) == 15
    # The first five were asked without a model.
    assert len(kept) == 10
    assert set(kept) < set(trained_on)
    assert sorted(one.n_labels for one in kept.values()) == [5] * 5 + [10] * 5


def test_audits_are_about_the_share_that_was_set(bench: Bench) -> None:
    everything, nothing = bench.add(audit_share=1), bench.add(audit_share=0)
    for project in (everything, nothing):
        bench.publish(project, 2)
        bench.settle(project)

    assert all(one.is_audit for one in bench.store.measurements.predictions(everything.key))
    assert not any(one.is_audit for one in bench.store.measurements.predictions(nothing.key))
    assert bench.store.windows.audits(bench.version(everything).id) == set(everything.queue() or [])


def test_audit_that_was_served_before_the_switch_counts_after_it(bench: Bench) -> None:
    project = bench.add(audit_share=1, window=5)
    bench.publish(project, 2)
    drawn = bench.store.windows.audits(bench.version(project).id)
    first = (project.queue() or [])[0]
    bench.hear(bench.fake.annotate(project.id, first, "animal"))
    bench.turn(project)
    version = bench.version(project)
    assert bench.store.versions.late_audits(version.id) == drawn - {first} - set(
        bench.store.windows.informativeness(version.id)
    )

    for task_id in drawn - {first}:
        bench.hear(bench.fake.annotate(project.id, task_id, "animal"))
    bench.turn(project)

    kept = {one.task_id: one.is_audit for one in bench.store.measurements.predictions(project.key)}
    assert all(kept[task_id] for task_id in drawn)


def test_what_people_may_have_open_at_a_switch_stays_what_it_is(bench: Bench) -> None:
    project = bench.add(audit_share=0.4, strategy="margin", seed=1)
    bench.publish(project, 1)
    before = bench.version(project)
    shown = bench.store.windows.next(project.key, before.id, 11)[1:]
    bench.label(project, 1)
    bench.turn(project)

    version = bench.version(project)
    assert version.id != before.id
    audits = bench.store.windows.audits(version.id)
    kept = [one.task_id for one in shown if one.is_audit]
    assert 0 < len(kept) < len(shown) < len(audits | {one.task_id for one in shown})
    assert [task_id for task_id in project.queue() or [] if task_id in audits][: len(kept)] == kept
    assert audits & {one.task_id for one in shown} == set(kept)


def test_a_version_is_measured_after_the_switch(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 1)
    assert bench.store.measurements.newest(project.key) is not None
    steps = list(bench.store.turns.newest(project.key, 1)[0].steps)
    assert steps.index("switch") < steps.index("measure")

    newest = bench.store.measurements.newest(project.key)
    assert newest is not None
    assert (newest.version, newest.n_labels) == (2, 5)
    assert newest.report["cross_validation"]["n"] == 5


def test_deleted_labels_are_measured_no_more(bench: Bench) -> None:
    project = bench.add(audit_share=1)
    bench.publish(project, 3)
    before = bench.store.measurements.newest(project.key)
    gone = [next(iter(project.annotations)), *list(project.annotations)[-6:]]
    bench.hear(bench.fake.delete_annotations(project.id, *gone))
    bench.turn(project)

    after = bench.store.measurements.newest(project.key)
    assert before is not None
    assert after is not None
    assert after.report["audit"]["n"] < before.report["audit"]["n"]


def test_figures_vanish_with_all_labels(bench: Bench) -> None:
    project = bench.add(audit_share=1)
    bench.publish(project, 3)
    assert bench.store.measurements.newest(project.key) is not None
    bench.hear(bench.fake.delete_annotations(project.id, *project.annotations))
    bench.turn(project)
    assert not bench.version(project).has_model
    assert bench.store.measurements.all(project.key) == []


def test_labels_in_any_order_give_the_same_model(bench: Bench, tmp_path: Path) -> None:
    """The order in which people labelled decides, not the order in which events came or rows lie."""
    project = bench.add()
    bench.publish(project, 2)
    again = Store(f"sqlite:///{tmp_path / 'again.sqlite'}")
    again.migrate()
    again.projects.register(project.key, TWO, {}, bench.clock.now())
    bench.restart(again)
    bench.loop.take_turn(project.key)

    row = again.projects.get(project.key)
    first, second = bench.version(project), again.versions.get(row.version_id or 0)
    assert list(first.trained_on.items()) == list(second.trained_on.items())
    models = [
        Models(store, bench.signer).get(project.key, version.id)
        for store, version in ((bench.store, first), (again, second))
    ]
    one, other = (model.classifier for model in models if model is not None)
    assert np.array_equal(one.weights, other.weights)


@pytest.mark.parametrize("strategy", ["auto", *STRATEGIES])
def test_every_strategy_orders_the_queue_from_the_start(bench: Bench, strategy: str) -> None:
    project = bench.add(config("animal", "machine", "never met"), strategy=strategy)
    bench.publish(project, 2)

    assert bench.settle(project).error is None
    assert len(project.queue() or []) == len(TEXTS) - 10
    assert bench.version(project).has_model


def test_a_measurement_that_fails_does_not_hold_up_the_queue(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project = bench.add()
    bench.publish(project, 1)
    monkeypatch.setattr(bench.store.measurements, "record", None)
    bench.label(project, 6)

    state = bench.turn(project)

    assert (state.error, project.model_version) == (None, "al-3")
    assert "al-3 was not measured: TypeError" in caplog.text


# -- what people see and ask for ------------------------------------------------------------------------------


def test_a_paused_project_hears_but_takes_no_turn(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 1)
    before, queue = bench.version(project).name, project.queue()
    bench.store.projects.pause(project.key, bench.clock.now())
    bench.label(project, 5)
    calls = len(bench.fake.calls)
    row = bench.turn(project)
    assert (bench.version(project).name, row.n_unfinished, len(bench.fake.calls)) == (before, 0, calls)
    assert set(project.queue() or []) < set(queue or [])
    bench.store.projects.resume(project.key, bench.clock.now())
    bench.turn(project)
    assert len(bench.version(project).trained_on) == 10


def test_settings_that_were_chosen_here_reach_label_studio(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 1)
    bench.store.projects.choose_settings(project.key, {"strategy": "entropy"}, bench.clock.now())
    bench.fake.fail("PATCH", "/api/ml/[0-9]+", 503)
    assert bench.turn(project).wanted_params == {"strategy": "entropy"}
    bench.fake.mend()
    assert bench.settle(project).wanted_params is None
    assert bench.version(project).ranked_by == "entropy"
    (connection,) = bench.fake.connections.values()
    assert connection["extra_params"] == {"strategy": "entropy"}
    assert connection["title"] == bench.version(project).name == project.model_version


def test_what_the_model_hesitates_between_is_kept_with_the_window(bench: Bench) -> None:
    project = bench.add(strategy="margin")
    bench.turn(project)
    version = bench.version(project)
    assert all(one.top_k == () for one in bench.store.windows.next(project.key, version.id, 100))
    bench.label(project, 5)
    bench.settle(project)
    version = bench.version(project)
    shown = bench.store.windows.next(project.key, version.id, 100)
    assert [one.task_id for one in shown] == project.queue()
    for one in shown:
        (first, best), (second, next_best) = one.top_k
        assert {first, second} == {"animal", "machine"}
        assert best >= next_best


def test_the_project_says_how_many_labels_the_next_training_needs(bench: Bench) -> None:
    project = bench.add(retrain_growth=0.5)
    bench.turn(project)
    bench.label(project, 2)
    row = bench.turn(project)
    assert (row.n_fresh, row.n_due, sum(row.label_counts.values())) == (2, 5, 2)
    bench.label(project, 6)
    bench.turn(project)
    bench.label(project, 1)
    row = bench.turn(project)
    assert (row.n_fresh, row.n_due, sum(row.label_counts.values())) == (1, 4, 9)
    assert row.title == project.title


def test_an_outage_has_a_beginning_and_an_end(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.fake.fail("*", ".*", CLOSED)
    began = bench.turn(project, after_seconds=400).unreachable_since
    assert began is not None
    assert bench.turn(project, after_seconds=400).unreachable_since == began
    bench.fake.mend()
    assert bench.settle(project).unreachable_since is None


def test_a_long_comparison_says_how_far_it_has_come(bench: Bench) -> None:
    project = bench.add(texts=[f"text {n}" for n in range(2_500)])
    seen: list[Any] = []
    bench.fake.when(
        "GET", f"/api/projects/{project.id}/export", lambda: seen.append(bench.store.projects.get(project.key).progress)
    )
    row = bench.turn(project)
    assert seen == [{"what": "sync", "done": 2_500, "total": 2_500}]
    assert row.progress is None
