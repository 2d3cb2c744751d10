"""Beside other projects, backends and predictions of the same Label Studio."""

from __future__ import annotations

import pytest

from label_studio_al.runtime.computing import Computing
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.turns.loop import Loop
from label_studio_al.turns.means import Means
from tests.support.background import AtOnce
from tests.support.bench import TEXTS, TWO, Bench, config
from tests.support.fake_label_studio import TOKEN, URL
from tests.support.turns import shown
from tests.support.versions import asked

pytestmark = pytest.mark.usefixtures("one_thread")


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

    assert set(asked(bench.version(first)).trained_on.values()) == {"animal", "machine"}
    assert set(asked(bench.version(second)).trained_on.values()) <= {"red", "green", "blue"}
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
