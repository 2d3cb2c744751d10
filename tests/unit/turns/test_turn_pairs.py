"""Tasks of two texts in the live loop: which of them is better, and how they relate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from label_studio_al.autolabel.plan import Case, make_plan
from label_studio_al.endpoint import Current, answer
from label_studio_al.learners.published import Models
from label_studio_al.learning.comparison import COMPARED, COMPARISON
from label_studio_al.learning.sides import Sides
from label_studio_al.questions import parse_config
from label_studio_al.runtime.settings import read_project_settings
from tests.support.answers import CONFIG, config, result, swapped, tasks, truth
from tests.support.bench import Bench
from tests.support.fake_label_studio import FakeProject
from tests.support.inference import CONFIG as INFERENCE
from tests.support.inference import PAIRS, relation
from tests.support.inference import result as related

pytestmark = pytest.mark.usefixtures("one_thread")


def add(bench: Bench, label_config: str, data: list[dict[str, str]]) -> FakeProject:
    project = bench.add(label_config, [], window=60, audit_share=0.5)
    bench.fake.add_tasks(project.id, list(data))
    bench.turn(project)
    return project


def label(bench: Bench, project: FakeProject, n: int) -> None:
    """People choose the better text of so many windows' beginnings."""
    for _ in range(n):
        for task_id in (project.queue() or [])[:12]:
            given = result(truth(project.tasks[task_id]["data"]))
            bench.hear(bench.fake.annotate(project.id, task_id, None, result=given))
        assert bench.turn(project).error is None


def said_of(bench: Bench, project: FakeProject, data: list[dict[str, str]]) -> list[dict[str, Any]]:
    version = bench.version(project)
    model = Models(bench.store, bench.signer).get(project.key, version.id)
    current = Current(parse_config(project.label_config), (version.id, version.name), model)
    found = answer(bench.store, bench.clock, current, [{"id": None, "data": one} for one in data])
    return [{item["from_name"]: item for item in one["result"]} for one in found]


def test_better_text_is_learned_and_filled_in(bench: Bench) -> None:
    project = add(bench, CONFIG, tasks())
    label(bench, project, 3)
    unseen = tasks(60, seed=1)
    sides = [one["better"]["value"]["selected"] for one in said_of(bench, project, unseen)]
    assert np.mean([side == truth(data) for side, data in zip(sides, unseen, strict=True)]) > 0.9
    pushed = [one for one in project.predictions.values() if one["model_version"] == project.model_version]
    right = [one["result"][0]["value"]["selected"] == truth(project.tasks[one["task"]]["data"]) for one in pushed]
    assert np.mean(right) > 0.9
    window = bench.store.windows.informativeness(bench.version(project).id)
    assert project.queue() == sorted(window, key=lambda task_id: (-window[task_id], task_id))


def test_swapping_the_texts_swaps_the_answer_with_the_same_confidence(bench: Bench) -> None:
    project = add(bench, CONFIG, tasks())
    label(bench, project, 3)
    unseen = [*tasks(60, seed=1), {"prompt": "only one side", "first": "gladly"}, {"second": "never", "first": ""}]
    said = said_of(bench, project, unseen)
    turned = said_of(bench, project, [swapped({"first": "", "second": "", **data}) for data in unseen])
    for one, other in zip(said, turned, strict=True):
        assert {one["better"]["value"]["selected"], other["better"]["value"]["selected"]} == {"left", "right"}
        assert one["better"]["score"] == pytest.approx(other["better"]["score"], abs=1e-5)


def test_question_about_the_texts_is_learned_beside_which_is_better(bench: Bench) -> None:
    polite = '<Choices name="about" toName="ask"><Choice value="even"/><Choice value="odd"/></Choices>'
    data = [{**one, "prompt": f"{('even', 'odd')[n % 2]} question"} for n, one in enumerate(tasks())]
    project = add(bench, config("a,b", polite), data)
    for task_id in (project.queue() or [])[:30]:
        shown = project.tasks[task_id]["data"]
        chosen = {"from_name": "about", "to_name": "ask", "type": "choices"}
        given = [*result(truth(shown)), chosen | {"value": {"choices": [shown["prompt"].split()[0]]}}]
        bench.hear(bench.fake.annotate(project.id, task_id, None, result=given))
    assert bench.turn(project).error is None
    said = list(zip(said_of(bench, project, data), data, strict=True))
    assert np.mean([one["about"]["value"]["choices"] == [shown["prompt"].split()[0]] for one, shown in said]) > 0.9
    assert np.mean([one["better"]["value"]["selected"] == truth(shown) for one, shown in said]) > 0.9


def test_automatic_labels_say_which_is_better(bench: Bench) -> None:
    project = add(bench, CONFIG, tasks(200))
    label(bench, project, 7)
    row = bench.store.projects.get(project.key)
    case = Case(bench.store, row, parse_config(CONFIG), read_project_settings(row.extra_params), 0.3, 0.1)
    found = make_plan(case, bench.loop._looking.pools[project.key], Models(bench.store, bench.signer))
    assert len(found.labels) > 20
    assert {one.answers["better"] for one in found.labels} == {"left", "right"}


def test_how_two_texts_relate_is_learned_from_their_comparison(bench: Bench) -> None:
    project = add(bench, INFERENCE, PAIRS)
    while bench.store.projects.get(project.key).n_labelled < 230:
        for task_id in (project.queue() or [])[:50]:
            said = related(relation(project.tasks[task_id]["data"]))
            bench.hear(bench.fake.annotate(project.id, task_id, None, result=said))
        assert bench.turn(project).error is None
    found = [one["relation"]["value"]["choices"] for one in said_of(bench, project, PAIRS)]
    assert np.mean([one == [relation(data)] for one, data in zip(found, PAIRS, strict=True)]) > 0.9
    model = Models(bench.store, bench.signer).get(project.key, bench.version(project).id)
    assert model is not None
    assert model.trained["relation"].tuning.choice == COMPARISON


def test_config_that_asks_for_sides_now_gets_other_features(bench: Bench) -> None:
    project = add(bench, INFERENCE, PAIRS[:60])
    assert bench.loop._looking.pools[project.key].features.layout == COMPARED
    asked = INFERENCE.replace("</View>", '<Pairwise name="better" toName="first,second"/></View>')
    bench.hear(bench.fake.change_config(project.id, asked))
    assert bench.settle(project).error is None
    assert bench.loop._looking.pools[project.key].features.layout == Sides(0, 1, 2)
    bench.hear(bench.fake.change_config(project.id, INFERENCE))
    assert bench.settle(project).error is None
    assert bench.loop._looking.pools[project.key].features.layout == COMPARED
