"""Choices that come from the tasks."""

from __future__ import annotations

from typing import Any

import pytest

from label_studio_al.questions import Offer
from label_studio_al.runtime.errors import AwaitsTasks
from label_studio_al.store import Project
from label_studio_al.store.activity import WAITING_FOR_A_CHANGE, WAITING_FOR_TASKS
from label_studio_al.wording import config_lines
from tests.support.bench import TEXTS, TWO, Bench
from tests.support.fake_label_studio import FakeProject
from tests.support.turns import shown
from tests.support.versions import asked

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = (
    '<View><Text name="text" value="$text"/><Choices name="topic" toName="text" value="$options"/>'
    '<TextArea name="why" toName="text"/></View>'
)
MIXED = TWO.replace("</View>", '<Choices name="mood" toName="text" value="$options"/></View>')
LONG = 400.0


def offering(*labels: str, **more: str) -> list[dict[str, str]]:
    return [{"value": label, **more} for label in labels]


ANIMAL_MACHINE = offering("animal", "machine")


def data(text: str, options: Any) -> dict[str, Any]:
    return {"text": text, "options": options}


def add(bench: Bench, options: Any = ANIMAL_MACHINE, label_config: str = CONFIG) -> FakeProject:
    project = bench.add(label_config, [])
    bench.fake.add_tasks(project.id, [data(text, options) for text in TEXTS])
    return project


def change(bench: Bench, project: FakeProject, options: Any, n: int | None = None) -> Project:
    """The first n tasks, or all, offer something else from now on. Gives the project after the next turn."""
    for task_id in list(project.tasks)[:n]:
        bench.fake.change_data(project.id, task_id, project.tasks[task_id]["data"] | {"options": options})
    return bench.turn(project, after_seconds=LONG)


def test_choices_that_all_tasks_offer_are_learned(bench: Bench) -> None:
    project = add(bench)
    bench.settle(project)
    bench.label(project, 8)
    state = bench.settle(project)

    assert (state.error, state.n_labelled, state.unread) == (None, 8, [])
    assert asked(bench.version(project)).labels == ("animal", "machine")
    assert {one["result"][0]["value"]["choices"][0] for one in shown(project)} == {"animal", "machine"}
    assert config_lines(state.label_config, "none", state.offers)[0] == "topic: one of 2 labels, learned (linear)"


def test_project_without_tasks_waits_for_them_without_an_error(bench: Bench) -> None:
    project = bench.add(CONFIG, [])
    state = bench.turn(project)
    assert (state.error, state.activity.state, state.version_id) == (None, WAITING_FOR_TASKS, None)
    with pytest.raises(AwaitsTasks):
        _ = state.config

    bench.hear(bench.fake.add_tasks(project.id, [data(text, ANIMAL_MACHINE) for text in TEXTS]))
    assert bench.settle(project).config.question.labels == ("animal", "machine")
    assert len(project.queue() or []) == len(TEXTS)


def test_differing_tasks_are_named_and_labels_outlive_the_difference(bench: Bench) -> None:
    project = add(bench)
    bench.settle(project)
    labelled = bench.label(project, 8)
    bench.settle(project)

    odd = next(iter(project.tasks))
    state = change(bench, project, offering("animal"), n=1)
    assert state.activity.state == WAITING_FOR_A_CHANGE
    assert str(odd) in str(state.error)
    assert "the tasks offer different choices in 'options'" in str(state.error)

    state = change(bench, project, ANIMAL_MACHINE, n=1)
    assert (state.error, state.n_labelled) == (None, 8)
    assert set(asked(bench.version(project)).trained_on) == set(labelled)


def test_difference_ends_with_the_task_that_differs(bench: Bench) -> None:
    project = add(bench)
    (event,) = [bench.fake.add_tasks(project.id, [data("the odd one", None)])]
    assert bench.turn(project).error is not None
    bench.hear(bench.fake.delete_tasks(project.id, event["tasks"][0]["id"]))
    assert bench.settle(project).config.question.labels == ("animal", "machine")


@pytest.mark.parametrize("is_restarted", [False, True])
def test_options_that_change_everywhere_make_a_version_with_the_new_ones(bench: Bench, is_restarted: bool) -> None:
    project = add(bench)
    bench.settle(project)
    bench.label(project, 10)
    bench.settle(project)
    before = bench.version(project).number
    if is_restarted:
        bench.restart()

    state = change(bench, project, offering("animal", "plant"))
    version = asked(bench.version(project))
    assert version.labels == ("animal", "plant")
    assert set(version.trained_on.values()) == {"animal"}
    assert {one["reason"] for one in state.unread} == {"unknown_label"}
    assert state.n_annotations == 10

    change(bench, project, ANIMAL_MACHINE)
    version = asked(bench.version(project))
    assert (version.labels, len(version.trained_on)) == (("animal", "machine"), 10)
    assert bench.version(project).number > before + 1


def test_other_html_of_all_tasks_is_no_reason_to_train(bench: Bench) -> None:
    project = add(bench)
    bench.settle(project)
    before = bench.version(project).number
    state = change(bench, project, offering("animal", "machine", html="<b>A</b>"))
    assert (state.error, bench.version(project).number) == (None, before)


def test_question_beside_goes_on_while_tasks_differ(bench: Bench) -> None:
    project = add(bench, label_config=MIXED)
    bench.settle(project)
    assert bench.version(project).questions.keys() == {"topic", "mood"}

    state = change(bench, project, offering("sad"), n=1)
    assert state.error is None
    assert bench.version(project).questions.keys() == {"topic"}
    assert "different choices" in config_lines(state.label_config, "none", state.offers)[1]


def test_thousand_options(bench: Bench) -> None:
    project = add(bench, offering("animal", "machine", *(f"label {n}" for n in range(998))))
    bench.settle(project)
    bench.label(project, 8)
    bench.settle(project)
    assert len(asked(bench.version(project)).labels) == 1_000
    assert bench.version(project).has_model


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tasks whose options were looked at."""
    found: list[int] = []
    tell = Offer.tell

    def look(offer: Offer, task_id: int, data: dict[str, Any]) -> None:
        found.append(task_id)
        tell(offer, task_id, data)

    monkeypatch.setattr(Offer, "tell", look)
    return found


def test_tasks_are_read_once(bench: Bench, read: list[int]) -> None:
    project = add(bench)
    bench.settle(project)
    read.clear()
    bench.label(project, 3)
    bench.turn(project)
    bench.hear(bench.fake.add_tasks(project.id, [data("a new text", ANIMAL_MACHINE)]))
    bench.settle(project)
    assert set(read) == {max(project.tasks)}


def test_two_tasks_tell_that_a_difference_has_not_ended(bench: Bench, read: list[int]) -> None:
    project = add(bench)
    bench.fake.add_tasks(project.id, [data("the odd one", None)])
    assert bench.turn(project).error is not None
    read.clear()
    bench.hear(bench.fake.add_tasks(project.id, [data("a new text", ANIMAL_MACHINE)]))
    assert bench.turn(project).error is not None
    first, *_, odd, _ = project.tasks
    assert read == [first, odd]
