"""A kind of question and learners that the package has never seen, through everything that users see."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from label_studio_al.autolabel.apply import Applier
from label_studio_al.autolabel.plan import Case, Plan, make_plan
from label_studio_al.labeling import is_automatic
from label_studio_al.learners import registry as learners
from label_studio_al.learners.base import Learner
from label_studio_al.learners.published import Models
from label_studio_al.questions import parse_config, read_controls, registry
from label_studio_al.runtime.errors import InvalidSettings, UnsupportedConfig
from label_studio_al.runtime.settings import Settings, read_project_settings
from label_studio_al.store.automation import Promise
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.bench import Bench
from tests.support.fake_label_studio import TOKEN, URL, FakeProject
from tests.support.traffic_light import CONFIG, LIGHTS, OnceOnly, TrafficLight, Untrained, result, texts, truth

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line in the registry."""
    monkeypatch.setattr(registry, "KINDS", [*registry.KINDS, TrafficLight])
    parse_config.cache_clear()
    read_controls.cache_clear()


def add(bench: Bench, **params: Any) -> FakeProject:
    found = bench.add(CONFIG, texts(), **{"window": 40, "audit_share": 0.5, "retrain_growth": 1.0} | params)
    bench.turn(found)
    return found


def label(bench: Bench, project: FakeProject, n: int) -> None:
    for task_id in (project.queue() or [])[:n]:
        light = truth(project.tasks[task_id]["data"]["text"])
        bench.hear(bench.fake.annotate(project.id, task_id, None, result=result(light)))
    bench.turn(project)


def pushed(project: FakeProject) -> dict[int, dict[str, Any]]:
    return {one["task"]: one for one in project.predictions.values() if one["model_version"] == project.model_version}


def client(bench: Bench, settings: Settings) -> FlaskClient:
    return create_app(Parts(settings, bench.store, bench.signer, bench.clock), []).test_client()


def state_of(bench: Bench, settings: Settings, project: FakeProject) -> dict[str, Any]:
    (found,) = [
        one for one in client(bench, settings).get("/status").get_json()["projects"] if one["project"] == project.id
    ]
    return dict(found)


def plan(bench: Bench, project: FakeProject, max_error: float) -> Plan:
    row = bench.store.projects.get(project.key)
    case = Case(bench.store, row, parse_config(CONFIG), read_project_settings(row.extra_params), max_error, 0.1)
    return make_plan(case, bench.loop._looking.pools[project.key], Models(bench.store, bench.signer))


def set_automatically(bench: Bench, project: FakeProject, planned: Plan) -> list[dict[str, Any]]:
    """Apply the plan. Gives the annotations that it made."""
    studio = Studio(Api(URL, TOKEN, bench.fake.client(), bench.clock), bench.store.installation)
    promise = Promise(0.3, 0.1, planned.report, planned.covered_audits)
    run = bench.store.automation.begin(project.key, planned.labels, promise, bench.clock.now())
    Applier(bench.store, studio, bench.clock, project.key, parse_config(CONFIG)).apply(run, lambda _: None)
    return [one for one in project.annotations.values() if is_automatic(one["result"], one["updated_by"])]


def test_without_its_line_in_the_registry_the_control_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "KINDS", [kind for kind in registry.KINDS if kind is not TrafficLight])
    with pytest.raises(UnsupportedConfig, match="<TrafficLight>"):
        parse_config(CONFIG)


def test_kind_goes_through_live_loop_predict_status_and_automatic_labels(bench: Bench, settings: Settings) -> None:
    project = add(bench)
    for n in (10, 20, 30):
        label(bench, project, n)
    said = pushed(project)
    right = [
        truth(project.tasks[one]["data"]["text"]) == LIGHTS[said[one]["result"][0]["value"]["lit"]] for one in said
    ]
    assert sum(right) / len(right) > 0.9
    window = bench.store.windows.informativeness(bench.version(project).id)
    assert project.queue() == sorted(window, key=lambda task_id: (-window[task_id], task_id))

    body = {
        "tasks": [{"id": None, "data": {"text": "stop at corner 4"}}],
        "project": project.key,
        "label_config": CONFIG,
    }
    (answered,) = client(bench, settings).post("/predict", json=body).get_json()["results"]
    assert answered["result"][0]["value"] == {"lit": 0}
    assert 0 <= answered["score"] <= 1

    bench.store.projects.want_training(project.key, bench.clock.now())
    bench.turn(project)
    state = state_of(bench, settings, project)
    assert set(state["labels"]) == set(LIGHTS)
    assert sum(state["labels"].values()) == state["n_labelled"] == 60
    assert state["quality"]["cross_validation"]["mean_distance"] < 0.5
    assert {one["label"] for task in state["window"]["tasks"] for one in task["guesses"]} <= {"red", "amber", "green"}

    found = plan(bench, project, 0.3)
    assert len(found.labels) > 40
    ours = set_automatically(bench, project, found)
    assert len(ours) > 10
    wrong = [
        one
        for one in ours
        if result(truth(project.tasks[one["task"]]["data"]["text"]))[0]["value"] != one["result"][0]["value"]
    ]
    assert len(wrong) <= 0.3 * len(ours)


def trained_model(bench: Bench) -> Any:
    project = add(bench)
    label(bench, project, 30)
    model = Models(bench.store, bench.signer).get(project.key, bench.version(project).id)
    assert model is not None
    return model.trained["light"].classifier


def learn_by(monkeypatch: pytest.MonkeyPatch, learner: Learner) -> None:
    monkeypatch.setattr(learners, "LEARNERS", [learner, *learners.LEARNERS])


def test_learner_that_does_not_train_answers_before_the_first_label(
    bench: Bench, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_by(monkeypatch, Untrained(trained_model(bench)))
    project = add(bench)
    assert bench.version(project).has_model
    said = pushed(project)
    assert len(said) == 40
    assert all(one["result"] for one in said.values())
    # Every label that was given to a task drawn at random speaks of the one model that there is.
    for n in (10, 20, 30):
        label(bench, project, n)
    bench.store.projects.want_training(project.key, bench.clock.now())
    bench.turn(project)
    quality = state_of(bench, settings, project)["quality"]
    assert quality["cross_validation"]["n"] == 60
    assert quality["audit"]["n"] > 10
    assert len(plan(bench, project, 0.3).labels) > 40


def test_learner_that_cannot_be_refitted_keeps_the_audit_labels_out_of_its_training(
    bench: Bench, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = OnceOnly()
    learn_by(monkeypatch, learner)
    project = add(bench)
    for n in (10, 20, 30):
        label(bench, project, n)
    bench.store.projects.want_training(project.key, bench.clock.now())
    bench.turn(project)
    n_audits = sum(one.is_audit for one in bench.store.measurements.predictions(project.key))
    assert n_audits > 10
    # One model a version, and no other.
    assert learner.trained_on == sorted(learner.trained_on)
    assert learner.trained_on[-1] == 60 - n_audits
    assert len(learner.trained_on) == 4
    quality = state_of(bench, settings, project)["quality"]
    assert (quality["cross_validation"]["n"], quality["suspects"], quality["random_baseline"]) == (0, [], [])
    assert quality["audit"]["n"] > 10
    found = plan(bench, project, 0.3)
    assert len(found.labels) > 40
    assert learner.trained_on[-1] == 60 - n_audits, "the published model labels, no other is trained"


@pytest.mark.parametrize("strategy", ["vote_entropy", "expected_error_reduction"])
def test_strategy_that_refits_is_refused_where_the_learner_cannot(
    strategy: str, bench: Bench, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_by(monkeypatch, OnceOnly())
    project = add(bench)
    body = {"project": project.key, "schema": CONFIG, "extra_params": {"strategy": strategy}}
    refused = client(bench, settings).post("/setup", json=body)
    assert refused.status_code == 422
    assert refused.get_json()["error"] == (
        f"strategy: {strategy} trains models of some of the labels, which this project's learner cannot; "
        "choose margin, for example"
    )


def test_learner_that_serves_other_questions_is_passed_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Never(OnceOnly):
        def serves(self, coding: object) -> bool:
            return False

    learn_by(monkeypatch, Never())
    learners.check_strategy("vote_entropy", TrafficLight.coding)
    with pytest.raises(InvalidSettings, match="one label"):
        learners.check_strategy("expected_error_reduction", parse_config(MULTIPLE).question.coding)


MULTIPLE = CONFIG.replace(
    '<TrafficLight name="light" toName="text"/>',
    ('<Choices name="c" toName="text" choice="multiple"><Choice value="a"/><Choice value="b"/></Choices>'),
)
