"""A question that is learned, beside controls that are left to people."""

from __future__ import annotations

from typing import Any

import pytest

from label_studio_al.autolabel.plan import Case, make_plan
from label_studio_al.learners.published import Models
from label_studio_al.questions import parse_config
from label_studio_al.runtime.errors import NotPossible
from label_studio_al.runtime.settings import ProjectSettings
from tests.support.bench import ANIMALS, MACHINES, TWO, Bench, truth
from tests.support.fake_label_studio import FakeProject

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = TWO.replace("</View>", '<TextArea name="why" toName="text"/></View>')
TEXTS = [f"{text} number {n}" for n in range(20) for pair in zip(ANIMALS, MACHINES, strict=True) for text in pair]
COMMENT = {"from_name": "why", "to_name": "text", "type": "textarea", "value": {"text": ["because"]}}


@pytest.fixture
def project(bench: Bench) -> FakeProject:
    """Forty labels with comments."""
    made = bench.add(CONFIG, TEXTS, audit_share=0.5, retrain_growth=1.0, window=40)
    bench.turn(made)
    for n in (10, 10, 20):
        for task_id in (made.queue() or [])[:n]:
            label: dict[str, Any] = {"type": "choices", "from_name": "topic", "to_name": "text"}
            label |= {"value": {"choices": [truth(made.tasks[task_id]["data"]["text"])]}}
            bench.hear(bench.fake.annotate(made.id, task_id, None, result=[COMMENT, label]))
        bench.turn(made)
    bench.store.projects.want_training(made.key, bench.clock.now())
    bench.turn(made)
    return made


def test_it_is_learned_and_its_answer_alone_is_filled_in(bench: Bench, project: FakeProject) -> None:
    state = bench.store.projects.get(project.key)
    assert (state.error, state.n_labelled, state.unread) == (None, 40, [])
    pushed = [one for one in project.predictions.values() if one["model_version"] == project.model_version]
    assert {item["from_name"] for one in pushed for item in one["result"]} == {"topic"}


def test_automatic_labels_need_the_consent_that_the_others_stay_empty(bench: Bench, project: FakeProject) -> None:
    row, pool = bench.store.projects.get(project.key), bench.loop._looking.pools[project.key]
    goal: dict[str, Any] = {"max_error": 0.2, "delta": 0.1}

    def plan(**consent: bool) -> int:
        case = Case(bench.store, row, parse_config(CONFIG), ProjectSettings(), **goal, **consent)
        return len(make_plan(case, pool, Models(bench.store, bench.signer)).labels)

    with pytest.raises(NotPossible, match=r"also asks why, which is left to people.*--leave-empty"):
        plan()
    assert plan(leaves_empty=True) > 100
