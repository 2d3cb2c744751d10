"""Paths of a taxonomy in the live loop: one of them or several."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from label_studio_al.autolabel.plan import Case, make_plan
from label_studio_al.endpoint import Current, answer
from label_studio_al.learners.published import Models
from label_studio_al.learning.paths import PathClassifier, PathSetClassifier, name_of, names_of
from label_studio_al.questions import parse_config
from label_studio_al.runtime.settings import Settings, read_project_settings
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.bench import Bench
from tests.support.fake_label_studio import FakeProject
from tests.support.saved_bench import Saved, bench_to_save, saved
from tests.support.shop import ANY, ONE, PATHS, result, texts, truth
from tests.support.turns import settings_in
from tests.support.versions import asked

pytestmark = pytest.mark.usefixtures("one_thread")


def add(bench: Bench, config: str = ANY, *, several: bool = False, n: int = 120) -> FakeProject:
    found = bench.add(config, texts(n, several=several), window=30, audit_share=0.5)
    bench.turn(found)
    return found


def give(bench: Bench, project: FakeProject, n: int, paths: object = None) -> None:
    for task_id in (project.queue() or [])[:n]:
        given = truth(project.tasks[task_id]["data"]["text"]) if paths is None else paths
        bench.hear(bench.fake.annotate(project.id, task_id, None, result=result(given)))


def label(bench: Bench, project: FakeProject, n: int) -> None:
    for _ in range(n):
        give(bench, project, 12)
        bench.turn(project)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A project of any number of paths, whose answers were one each: 72 of them."""
    with bench_to_save(settings_in(tmp_path_factory.mktemp("learnt"))) as bench:
        label(bench, add(bench), 6)
    return saved(bench)


@pytest.fixture
def project(bench: Bench, learnt: Saved) -> FakeProject:
    learnt.put_into(bench)
    (found,) = bench.fake.projects.values()
    return found


def pushed(project: FakeProject) -> dict[int, dict[str, Any]]:
    return {one["task"]: one for one in project.predictions.values() if one["model_version"] == project.model_version}


def right(project: FakeProject) -> list[bool]:
    """Whether each prediction is what people would say."""
    return [
        sorted(one["result"][0]["value"]["taxonomy"]) == sorted(truth(project.tasks[task_id]["data"]["text"]))
        for task_id, one in pushed(project).items()
    ]


def classifier_of(bench: Bench, project: FakeProject) -> Any:
    model = Models(bench.store, bench.signer).get(project.key, bench.version(project).id)
    assert model is not None
    return model.of("reason").classifier


def test_paths_train_a_model_that_fills_in_paths_and_orders_the_queue(bench: Bench, project: FakeProject) -> None:
    version = bench.version(project)
    assert type(classifier_of(bench, project)) is PathClassifier
    assert set(map(len, map(names_of, asked(version).trained_on.values()))) == {1}
    assert np.mean(right(project)) > 0.9
    window = bench.store.windows.informativeness(version.id)
    assert project.queue() == sorted(window, key=lambda task_id: (-window[task_id], task_id))


def test_people_who_give_several_paths_are_given_several(bench: Bench) -> None:
    project = add(bench, several=True, n=240)
    label(bench, project, 9)
    assert type(classifier_of(bench, project)) is PathSetClassifier
    counts = [len(one["result"][0]["value"]["taxonomy"]) for one in pushed(project).values()]
    assert set(counts) >= {1, 2}
    assert min(counts) == 1
    assert np.mean(right(project)) > 0.6


def test_first_answer_of_several_paths_changes_the_kind_of_model(bench: Bench) -> None:
    project = add(bench)
    label(bench, project, 3)
    assert type(classifier_of(bench, project)) is PathClassifier
    give(bench, project, 12, [["order", "late"], ["payment", "card"]])
    state = bench.turn(project)
    assert state.error is None
    assert type(classifier_of(bench, project)) is PathSetClassifier


def test_config_of_one_path_is_answered_with_one(bench: Bench) -> None:
    project = add(bench, ONE)
    give(bench, project, 2, [["order", "late"], ["payment", "card"]])
    state = bench.turn(project)
    assert (state.n_labelled, [one["reason"] for one in state.unread]) == (0, ["other_type"])
    label(bench, project, 3)
    assert all(len(one["result"][0]["value"]["taxonomy"]) == 1 for one in pushed(project).values())


def test_predict_gives_paths(bench: Bench, project: FakeProject) -> None:
    version = bench.version(project)
    model = Models(bench.store, bench.signer).get(project.key, version.id)
    current = Current(parse_config(ANY), (version.id, version.name), model)
    (found,) = answer(bench.store, bench.clock, current, [{"id": None, "data": {"text": "parcel late again"}}])
    assert found["result"][0]["value"] == {"taxonomy": [["order", "late"]]}
    assert 0 <= found["score"] <= 1


def test_status_has_counts_by_path_and_figures_of_the_top_level(
    bench: Bench, settings: Settings, project: FakeProject
) -> None:
    client: FlaskClient = create_app(Parts(settings, bench.store, bench.signer, bench.clock), []).test_client()
    (state,) = client.get("/status").get_json()["projects"]
    assert set(state["labels"]) <= set(map(name_of, PATHS))
    assert sum(state["labels"].values()) == state["n_labelled"] == 72
    crossed = state["quality"]["cross_validation"]
    assert crossed["top_level_accuracy"]["value"] >= crossed["accuracy"]["value"] > 0.7
    assert [one["label"] for one in crossed["top_levels"]] == ["order", "other", "payment"]
    assert {one["label"] for task in state["window"]["tasks"] for one in task["guesses"]} <= set(state["labels"])
    # Cold start and the advice wait for top levels: nobody ever gives "payment" itself.
    assert "no example yet" not in state["quality"]["stop"]["reason"]
    json.dumps(bench.store.measurements.all(project.key)[-1].report, allow_nan=False)


def test_path_that_is_gone_leaves_the_rest(bench: Bench) -> None:
    project = add(bench)
    give(bench, project, 1, [["order", "late"], ["order", "gone"]])
    give(bench, project, 1, [["gone"]])
    state = bench.turn(project)
    assert (state.n_labelled, [one["reason"] for one in state.unread]) == (1, ["unknown_label"])
    label(bench, project, 3)
    bench.hear(bench.fake.change_config(project.id, ANY.replace("<Choice value='late'/>", "")))
    assert bench.settle(project).error is None
    names = {name for given in asked(bench.version(project)).trained_on.values() for name in names_of(given)}
    assert names
    assert "order / late" not in names


def test_automatic_labels_are_paths(bench: Bench, project: FakeProject) -> None:
    bench.turn(project)
    row = bench.store.projects.get(project.key)
    case = Case(bench.store, row, parse_config(ANY), read_project_settings(row.extra_params), 0.3, 0.1)
    found = make_plan(case, bench.loop._looking.pools[project.key], Models(bench.store, bench.signer))
    assert len(found.labels) > 20
    assert all(names_of(one.answers["reason"]) for one in found.labels)
