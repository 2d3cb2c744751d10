"""Several questions in one label config: one queue, one version, and everything else by question."""

from __future__ import annotations

import re
from collections.abc import Collection
from html import escape, unescape
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pytest
from flask.testing import FlaskClient

from label_studio_al.autolabel.apply import Applier
from label_studio_al.autolabel.plan import Case, Plan, make_plan
from label_studio_al.labeling import is_automatic
from label_studio_al.learners.published import Models
from label_studio_al.learning.coding import labels_of
from label_studio_al.questions import parse_config
from label_studio_al.runtime.errors import NotPossible
from label_studio_al.runtime.settings import Settings, read_project_settings
from label_studio_al.store.automation import Promise
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.bench import Bench
from tests.support.fake_label_studio import TOKEN, URL, FakeProject
from tests.support.saved_bench import Saved, bench_to_save, saved
from tests.support.turns import settings_in

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = """<View><Text name="text" value="$text"/>
<Choices name="kind" toName="text"><Choice value="animal"/><Choice value="machine"/></Choices>
<Choices name="traits" toName="text" choice="multiple"><Choice value="loud"/><Choice value="old"/></Choices>
<TextArea name="comment" toName="text"/></View>"""
KINDS = {"cat": "animal", "engine": "machine"}
TRAITS = {"roars": "loud", "rusty": "old"}


def texts(n: int = 160) -> list[str]:
    random = np.random.default_rng(0)
    found = []
    for place in range(n):
        kind = list(KINDS)[int(random.integers(2))]
        traits = [word for word in TRAITS if random.random() < 0.5]
        found.append(" ".join([kind, *traits, f"word{random.integers(9)}", f"number {place}"]))
    return found


def kind_of(text: str) -> str:
    return KINDS[text.split()[0]]


def traits_of(text: str) -> list[str]:
    return [label for word, label in TRAITS.items() if word in text.split()]


def item(name: str, chosen: list[str]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": chosen}}


def result(text: str, asked: Collection[str] = ("kind", "traits")) -> list[dict[str, Any]]:
    """What a person submits who answers some of the questions."""
    found = [item("kind", [kind_of(text)])] if "kind" in asked else []
    traits = traits_of(text) if "traits" in asked else []
    comment = {"from_name": "comment", "to_name": "text", "type": "textarea", "value": {"text": ["seen"]}}
    return [*found, *([item("traits", traits)] if traits else []), comment]


@pytest.fixture
def project(bench: Bench) -> FakeProject:
    found = bench.add(CONFIG, texts(), window=36, audit_share=0.5, retrain_growth=1.0)
    bench.turn(found)
    return found


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """The project with sixty labels, of which each question has learnt."""
    with bench_to_save(settings_in(tmp_path_factory.mktemp("learnt"))) as bench:
        found = bench.add(CONFIG, texts(), window=36, audit_share=0.5, retrain_growth=1.0)
        bench.turn(found)
        for n in (10, 20, 30):
            label(bench, found, n)
    return saved(bench)


@pytest.fixture
def learnt_project(bench: Bench, learnt: Saved) -> FakeProject:
    learnt.put_into(bench)
    (found,) = bench.fake.projects.values()
    return found


def label(bench: Bench, project: FakeProject, n: int, asked: Collection[str] = ("kind", "traits")) -> None:
    for task_id in (project.queue() or [])[:n]:
        text = project.tasks[task_id]["data"]["text"]
        bench.hear(bench.fake.annotate(project.id, task_id, None, result=result(text, asked)))
    bench.turn(project)


def pushed(project: FakeProject) -> dict[int, dict[str, list[str]]]:
    """By task and control, what the current version's predictions choose."""
    return {
        one["task"]: {item["from_name"]: item["value"]["choices"] for item in one["result"]}
        for one in project.predictions.values()
        if one["model_version"] == project.model_version
    }


def client(bench: Bench, settings: Settings) -> FlaskClient:
    return create_app(Parts(settings, bench.store, bench.signer, bench.clock), []).test_client()


def test_each_question_is_trained_and_filled_in_and_the_comment_left_empty(
    bench: Bench, learnt_project: FakeProject
) -> None:
    project = learnt_project
    version = bench.version(project)
    assert {name: len(one.trained_on) for name, one in version.questions.items()} == {"kind": 60, "traits": 60}
    assert version.questions["kind"].trained_on == {
        task_id: kind_of(project.tasks[task_id]["data"]["text"]) for task_id in version.trained_on
    }
    assert {task_id: labels_of(text) for task_id, text in version.questions["traits"].trained_on.items()} == {
        task_id: sorted(traits_of(project.tasks[task_id]["data"]["text"])) for task_id in version.trained_on
    }
    said = pushed(project)
    assert {name for one in said.values() for name in one} == {"kind", "traits"}
    right = [
        one.get("kind") == [kind_of(text)] and one.get("traits", []) == traits_of(text)
        for task_id, one in said.items()
        for text in (project.tasks[task_id]["data"]["text"],)
    ]
    assert np.mean(right) > 0.8
    window = bench.store.windows.informativeness(version.id)
    assert project.queue() == sorted(window, key=lambda task_id: (-window[task_id], task_id))


def test_question_that_nobody_answered_yet_waits_for_its_answers(bench: Bench, project: FakeProject) -> None:
    # Without ticked boxes a multiple choice is answered by none of them, so that the single choice is left out.
    label(bench, project, 20, asked=["traits"])
    version = bench.version(project)
    assert {name: len(one.trained_on) for name, one in version.questions.items()} == {"kind": 0, "traits": 20}
    assert {name for one in pushed(project).values() for name in one} == {"traits"}
    assert bench.store.projects.get(project.key).error is None
    label(bench, project, 30)
    assert {"kind", "traits"} <= {name for one in pushed(project).values() for name in one}


def margins(bench: Bench, project: FakeProject) -> tuple[list[float], Any, Any]:
    """Of the window's tasks: informativeness, and how unsure the model is of either question."""
    version = bench.version(project)
    model = Models(bench.store, bench.signer).get(project.key, version.id)
    assert model is not None
    window = bench.store.windows.informativeness(version.id)
    beliefs = model.believe([project.tasks[task_id]["data"]["text"] for task_id in window])
    of_kind = 1 - np.abs(np.diff(beliefs["kind"].wide, axis=1)).ravel()
    of_traits = 1 - np.abs(beliefs["traits"].centred.proba[:, :, 1] * 2 - 1).min(axis=1)
    return list(window.values()), of_kind, of_traits


def test_task_that_either_question_is_unsure_of_comes_first(bench: Bench) -> None:
    project = bench.add(CONFIG, texts(), window=36, strategy="margin", audit_share=0.0, retrain_growth=1.0)
    bench.turn(project)
    for n in (10, 20):
        label(bench, project, n)
    worth, of_kind, of_traits = margins(bench, project)
    assert worth == pytest.approx(np.maximum(of_kind, of_traits).tolist(), abs=1e-4)
    assert (of_kind > of_traits).any()
    assert (of_kind < of_traits).any()


def test_predict_answers_all_questions(bench: Bench, settings: Settings, learnt_project: FakeProject) -> None:
    project = learnt_project
    body = {"tasks": [{"id": None, "data": {"text": "cat roars rusty"}}], "project": project.key}
    (found,) = client(bench, settings).post("/predict", json=body).get_json()["results"]
    assert {one["from_name"]: one["value"]["choices"] for one in found["result"]} == {
        "kind": ["animal"],
        "traits": ["loud", "old"],
    }
    assert 0 <= found["score"] <= 1


def test_status_has_the_figures_of_each_question(bench: Bench, settings: Settings, learnt_project: FakeProject) -> None:
    project = learnt_project
    bench.store.projects.want_training(project.key, bench.clock.now())
    bench.turn(project)
    web = client(bench, settings)
    (state,) = web.get("/status").get_json()["projects"]
    kind, traits = state["questions"]
    assert (kind["name"], traits["name"]) == ("kind", "traits")
    assert (state["labels"], state["quality"]) == (kind["labels"], kind["quality"])
    assert (set(kind["labels"]), set(traits["labels"])) == ({"animal", "machine"}, {"loud", "old"})
    assert kind["quality"]["audit"]["n"] > 10
    assert traits["quality"]["audit"]["micro_f1"]["value"] > 0.7
    assert "micro_f1" not in kind["quality"]["audit"]
    assert [one["learned"] for one in state["controls"]] == [True, True, False]
    guesses = [guess for task in state["window"]["tasks"] for guess in task["guesses"]]
    assert {guess["question"] for guess in guesses} == {"kind", "traits"}
    page = web.get(f"/projects/{project.key}/questions?name=traits", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "loud" in page.text
    assert 'aria-current="page">traits' in page.text
    assert web.get(f"/projects/{project.key}/questions?name=traits").get_json()["name"] == "traits"
    assert web.get(f"/projects/{project.key}/questions?name=none").status_code == 404


def plan(bench: Bench, project: FakeProject, **options: Any) -> Plan:
    row = bench.store.projects.get(project.key)
    goal = {"max_error": 0.3, "delta": 0.1, "leaves_empty": True} | options
    case = Case(bench.store, row, parse_config(CONFIG), read_project_settings(row.extra_params), **goal)
    return make_plan(case, bench.loop._looking.pools[project.key], Models(bench.store, bench.signer))


def test_automatic_labels_answer_all_questions_and_touch_nothing_that_people_gave(
    bench: Bench, learnt_project: FakeProject
) -> None:
    project = learnt_project
    bench.store.projects.want_training(project.key, bench.clock.now())
    bench.turn(project)
    before = {one: dict(found) for one, found in project.annotations.items()}
    found = plan(bench, project)
    assert len(found.labels) > 40
    assert {tuple(one.answers) for one in found.labels} == {("kind", "traits")}
    studio = Studio(Api(URL, TOKEN, bench.fake.client(), bench.clock), bench.store.installation)
    promise = Promise(0.3, 0.1, found.report, found.covered_audits)
    run = bench.store.automation.begin(project.key, found.labels, promise, bench.clock.now())
    applier = Applier(bench.store, studio, bench.clock, project.key, parse_config(CONFIG))
    applier.apply(run, lambda _: None)
    ours = [
        one
        for one in project.annotations.values()
        if is_automatic(one["result"], one["updated_by"], one["parent_prediction"])
    ]
    assert len(ours) > 20
    assert {item["from_name"] for one in ours for item in one["result"]} == {"kind", "traits"}
    wrong = 0
    for one in ours:
        text = project.tasks[one["task"]]["data"]["text"]
        said = {item["from_name"]: item["value"]["choices"] for item in one["result"]}
        wrong += said["kind"] != [kind_of(text)] or said.get("traits", []) != traits_of(text)
    assert wrong <= 0.3 * len(ours)
    applier.undo(next(iter(bench.store.automation.runs(project.key))), lambda _: None)
    assert {one: dict(found) for one, found in project.annotations.items()} == before


def test_promise_for_each_label_needs_one_question(bench: Bench, project: FakeProject) -> None:
    for n in (10, 20):
        label(bench, project, n)
    with pytest.raises(NotPossible, match="needs one question with one label"):
        plan(bench, project, per_label=True)


def test_question_that_is_added_or_dropped_makes_a_new_version(bench: Bench, project: FakeProject) -> None:
    for n in (10, 20):
        label(bench, project, n)
    first, rest = CONFIG.partition('<Choices name="traits"')[0], CONFIG.partition("<TextArea")[2]
    bench.hear(bench.fake.change_config(project.id, f"{first}<TextArea{rest}"))
    assert bench.settle(project).error is None
    assert list(bench.version(project).questions) == ["kind"]
    assert {name for one in pushed(project).values() for name in one} == {"kind"}
    bench.hear(bench.fake.change_config(project.id, CONFIG))
    assert bench.settle(project).error is None
    assert {name: len(one.trained_on) for name, one in bench.version(project).questions.items()} == {
        "kind": 30,
        "traits": 30,
    }


def test_setting_says_which_questions_order_the_queue(bench: Bench, settings: Settings) -> None:
    options = {"strategy": "margin", "audit_share": 0.0, "retrain_growth": 1.0, "questions": " kind "}
    project = bench.add(CONFIG, texts(), window=36, **options)
    bench.turn(project)
    for n in (10, 20):
        label(bench, project, n)
    worth, of_kind, _ = margins(bench, project)
    assert worth == pytest.approx(of_kind.tolist(), abs=1e-4)
    assert {name for one in pushed(project).values() for name in one} == {"kind", "traits"}, "all are filled in"
    body = {"project": project.key, "schema": CONFIG, "extra_params": {"questions": "kind,mood"}}
    refused = client(bench, settings).post("/setup", json=body)
    assert refused.status_code == 422
    assert refused.get_json()["error"] == "questions: the label config asks 'kind, traits', not 'mood'"


@pytest.mark.parametrize("names", [("price/quality", 'x & "y" <z>'), (".", ".."), ("/a//b/", " é?#%2e")])
def test_page_of_a_question_whose_name_has_odd_characters(
    bench: Bench, settings: Settings, names: tuple[str, str]
) -> None:
    first, second = names
    xml = CONFIG.replace('name="kind"', f'name="{first}"')
    xml = xml.replace('name="traits"', f'name="{escape(second)}"')
    project = bench.add(xml, texts(40))
    bench.turn(project)
    web = client(bench, settings)
    page = web.get(f"/projects/{project.key}", headers={"Accept": "text/html"}).text
    links = [unescape(found) for found in re.findall(r'href="(/projects/[^"]*/questions[^"]*)"', page)]
    assert [urljoin("http://localhost", link) for link in links] == [f"http://localhost{link}" for link in links]
    assert [web.get(link).get_json()["name"] for link in links] == [first, second]


def test_question_that_is_added_later_is_not_answered_by_what_was_there_before(bench: Bench) -> None:
    first, rest = CONFIG.partition('<Choices name="traits"')[0], CONFIG.partition("<TextArea")[2]
    project = bench.add(f"{first}<TextArea{rest}", texts(), window=36, retrain_growth=10.0)
    bench.turn(project)
    label(bench, project, 20, asked=["kind"])
    bench.hear(bench.fake.change_config(project.id, CONFIG))
    assert bench.settle(project).error is None
    version = bench.version(project)
    assert {name: len(one.trained_on) for name, one in version.questions.items()} == {"kind": 20, "traits": 0}
    # The first answers to it train it, whatever the others' growth asks for.
    asked = [one for one in project.queue() or [] if traits_of(project.tasks[one]["data"]["text"])][:8]
    for task_id in asked:
        text = project.tasks[task_id]["data"]["text"]
        bench.hear(bench.fake.annotate(project.id, task_id, None, result=result(text)))
    bench.turn(project)
    version = bench.version(project)
    assert {name: len(one.trained_on) for name, one in version.questions.items()} == {"kind": 28, "traits": 8}
    assert "traits" in {name for one in pushed(project).values() for name in one}
    # From then on nothing ticked is an answer.
    empty = next(one for one in project.queue() or [] if not traits_of(project.tasks[one]["data"]["text"]))
    text = project.tasks[empty]["data"]["text"]
    bench.hear(bench.fake.annotate(project.id, empty, None, result=result(text)))
    assert bench.turn(project).label_counts["traits"] == {
        one: sum(one in traits_of(project.tasks[task_id]["data"]["text"]) for task_id in asked)
        for one in ("loud", "old")
    }
    bench.store.projects.want_training(project.key, bench.clock.now())
    bench.turn(project)
    assert labels_of(bench.version(project).questions["traits"].trained_on[empty]) == []


def test_question_that_is_dropped_and_comes_back_as_another_kind_is_measured_anew(
    bench: Bench, learnt_project: FakeProject
) -> None:
    project = learnt_project
    assert bench.store.measurements.predictions(project.key, "kind")
    without = CONFIG.partition('<Choices name="kind"')[0] + CONFIG.partition("</Choices>\n")[2]
    bench.hear(bench.fake.change_config(project.id, without))
    assert bench.settle(project).error is None
    assert bench.store.measurements.predictions(project.key, "kind") == []
    assert bench.store.measurements.predictions(project.key, "traits")
    bench.hear(bench.fake.change_config(project.id, CONFIG.replace('name="kind"', 'name="kind" choice="multiple"')))
    assert bench.settle(project).error is None
    label(bench, project, 20)
    assert all(
        labels_of(one.predicted) is not None for one in bench.store.measurements.predictions(project.key, "kind")
    )


def test_audits_that_answer_a_part_of_the_questions_do_not_test_the_promise(
    bench: Bench, learnt_project: FakeProject
) -> None:
    project = learnt_project
    label(bench, project, 30, asked=["traits"])
    bench.store.projects.want_training(project.key, bench.clock.now())
    bench.turn(project)
    version, kept = bench.version(project), bench.store.measurements.predictions(project.key)
    audited = {one.task_id for one in kept if one.is_audit}
    whole = audited & version.questions["kind"].trained_on.keys() & version.questions["traits"].trained_on.keys()
    assert len(whole) < len(audited)
    (group,) = plan(bench, project, max_error=0.4).report["audit"]
    assert group["n_audited"] == len(whole)
