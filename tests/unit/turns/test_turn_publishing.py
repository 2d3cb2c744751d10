"""What a turn publishes: versions, windows, and older predictions' end."""

from __future__ import annotations

import pytest

from label_studio_al.cli.worker import needs_turn
from label_studio_al.turns.due import OLDER_VERSIONS_AT_MOST
from label_studio_al.wording import activity_sentence
from tests.support.bench import TWO, Bench, config, truth
from tests.support.turns import shown
from tests.support.versions import asked

pytestmark = pytest.mark.usefixtures("one_thread")


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

    assert asked(bench.version(project)).labels == ("animal", "machine", "plant")
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
    assert asked(bench.version(project)).labels == ("animal", "machine", "plant")


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
