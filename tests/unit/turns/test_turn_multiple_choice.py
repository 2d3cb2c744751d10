"""Multiple choice in the live loop: sets of labels, perhaps none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from label_studio_al.autolabel.plan import Case, make_plan
from label_studio_al.endpoint import Current, answer
from label_studio_al.learners.published import Models
from label_studio_al.learning.coding import labels_of
from label_studio_al.questions import MultipleChoice, parse_config
from label_studio_al.runtime.errors import NotPossible
from label_studio_al.runtime.settings import read_project_settings
from tests.support.bench import TWO, Bench
from tests.support.fake_label_studio import FakeProject
from tests.support.topics import CONFIG, LABELS, texts, truth
from tests.support.versions import asked

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def project(bench: Bench) -> FakeProject:
    found = bench.add(CONFIG, texts(), window=40)
    bench.turn(found)
    return found


def label(bench: Bench, project: FakeProject, n: int) -> None:
    for _ in range(n):
        bench.label(project, 10, truth)
        bench.turn(project)


def pushed(project: FakeProject) -> dict[int, dict[str, Any]]:
    """The predictions of the project's version, by task."""
    return {one["task"]: one for one in project.predictions.values() if one["model_version"] == project.model_version}


def test_config_asks_for_any_number_of_labels() -> None:
    assert parse_config(CONFIG).question == MultipleChoice("topic", "text", LABELS)


def test_labels_train_a_model_that_fills_in_sets_and_orders_the_queue(bench: Bench, project: FakeProject) -> None:
    label(bench, project, 6)
    version = bench.version(project)
    assert version.has_model
    assert len(asked(version).trained_on) == 60
    assert {task_id: labels_of(text) for task_id, text in asked(version).trained_on.items()} == {
        task_id: sorted(truth(project.tasks[task_id]["data"]["text"])) for task_id in asked(version).trained_on
    }
    said = {
        task_id: [label for item in one["result"] for label in item["value"]["choices"]]
        for task_id, one in pushed(project).items()
    }
    right = [found == truth(project.tasks[task_id]["data"]["text"]) for task_id, found in said.items()]
    assert np.mean(right) > 0.8
    assert any(len(found) > 1 for found in said.values())
    assert [] in said.values()
    window = bench.store.windows.informativeness(version.id)
    assert project.queue() == sorted(window, key=lambda task_id: (-window[task_id], task_id))


def test_empty_annotation_is_the_answer_that_no_label_applies(bench: Bench, project: FakeProject) -> None:
    first = (project.queue() or [])[0]
    bench.hear(bench.fake.annotate(project.id, first, None))
    bench.hear(bench.fake.annotate(project.id, (project.queue() or [])[0], None, skip=True))
    state = bench.turn(project)
    assert (state.n_labelled, state.label_counts, state.n_fresh) == (1, {"topic": dict.fromkeys(LABELS, 0)}, 1)


def test_predict_gives_sets_and_the_windows_scores(bench: Bench, project: FakeProject) -> None:
    label(bench, project, 6)
    version = bench.version(project)
    model = Models(bench.store, bench.signer).get(project.key, version.id)
    current = Current(parse_config(CONFIG), (version.id, version.name), model)
    tasks = [{"id": None, "data": {"text": text}} for text in ("cat engine roars", "nothing of it", "the cat")]
    found = answer(bench.store, bench.clock, current, tasks)
    chosen = [one["result"][0]["value"]["choices"] if one["result"] else [] for one in found]
    assert chosen == [list(LABELS), [], ["animal"]]
    assert all(0 <= one["score"] <= 1 for one in found)
    assert found[0]["result"][0]["score"] == pytest.approx(0.9, abs=0.1)


def test_figures_are_those_of_sets(bench: Bench, project: FakeProject) -> None:
    label(bench, project, 9)
    (*_, newest) = bench.store.measurements.all(project.key)
    crossed = newest.report["cross_validation"]
    assert crossed["n"] > 40
    assert crossed["micro_f1"]["low"] <= crossed["micro_f1"]["value"] <= crossed["micro_f1"]["high"]
    assert crossed["micro_f1"]["value"] > 0.8
    assert [one["label"] for one in crossed["labels"]] == sorted(LABELS)
    assert sum(newest.report["labels"].values()) != newest.n_labels


def test_label_that_is_gone_leaves_the_rest_of_a_set(bench: Bench, project: FakeProject) -> None:
    bench.hear(bench.fake.annotate(project.id, (project.queue() or [])[0], ["animal", "gone"]))
    bench.hear(bench.fake.annotate(project.id, (project.queue() or [])[0], ["gone"]))
    state = bench.turn(project)
    assert (state.label_counts["topic"]["animal"], state.n_fresh) == (1, 1)
    assert [one["reason"] for one in state.unread] == ["unknown_label"]


def test_question_that_becomes_another_trains_anew(bench: Bench, project: FakeProject) -> None:
    label(bench, project, 3)
    bench.hear(bench.fake.change_config(project.id, CONFIG.replace("multiple", "single")))
    state = bench.settle(project)
    assert state.error is None
    version = bench.version(project)
    assert set(asked(version).trained_on.values()) <= set(LABELS)
    assert all(len(one["result"]) <= 1 for one in pushed(project).values())
    bench.hear(bench.fake.change_config(project.id, CONFIG))
    assert bench.settle(project).error is None
    assert len(asked(bench.version(project)).trained_on) == 30


def test_promise_for_each_label_is_refused_with_a_sentence(bench: Bench, project: FakeProject) -> None:
    label(bench, project, 3)
    row = bench.store.projects.get(project.key)
    case = Case(bench.store, row, parse_config(CONFIG), read_project_settings({}), 0.05, 0.05, per_label=True)
    with pytest.raises(NotPossible, match="needs one question with one label as its answer"):
        make_plan(case, bench.loop._looking.pools[project.key], Models(bench.store, bench.signer))


def test_single_choice_in_the_same_loop_is_as_before(bench: Bench, project: FakeProject) -> None:
    other = bench.add(TWO)
    bench.publish(other, 2)
    assert set(asked(bench.version(other)).trained_on.values()) == {"animal", "machine"}
    assert asked(bench.version(other)).fingerprint == ""
    assert bench.store.measurements.newest(other.key, "topic") is None or "micro_f1" not in str(
        bench.store.measurements.all(other.key)[-1].report
    )
