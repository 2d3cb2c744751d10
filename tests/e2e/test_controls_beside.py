"""Questions that are learned, beside controls that are left to people: no answer to any is lost or changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.backend_process import BackendProcess
from tests.support.bench import ANIMALS, MACHINES, truth
from tests.support.studio import Annotator, Truth, until

pytestmark = pytest.mark.e2e

CONFIG = """<View>
  <Labels name="who" toName="far"><Label value="PER"/><Label value="ORG"/></Labels>
  <Relations><Relation value="of"/></Relations>
  <Text name="text" value="$text"/>
  <Text name="far" value="$text" valueType="url"/>
  <Choices name="topic" toName="text"><Choice value="animal"/><Choice value="machine"/></Choices>
  <Rating name="stars" toName="text" maxRating="3"/>
  <TextArea name="why" toName="text"/>
  <TextArea name="about" toName="far" perRegion="true"/>
  <Number name="age" toName="text"/>
</View>"""
LEARNED = {"topic", "stars"}
TEXTS = [f"{text} number {n}" for n in range(10) for pair in zip(ANIMALS, MACHINES, strict=True) for text in pair]
SETTINGS = ("audit_share=0.7", "retrain_growth=5", "window=25", "verify_share=0")
GOAL = ("--max-error", "0.3", "--delta", "0.2", "--leave-empty", "--json")
N_BEFORE, N_LABELS = 10, 30


def answers_of(text: str) -> list[dict[str, Any]]:
    """What a person answers to both questions."""
    is_animal = truth(text) == "animal"
    return [
        {"from_name": "topic", "type": "choices", "value": {"choices": [truth(text)]}},
        {"from_name": "stars", "type": "rating", "value": {"rating": 1 + 2 * is_animal}},
    ]


def rest_of(n: int) -> list[dict[str, Any]]:
    """What a person says by the other controls: two related spans, one with a remark, and more."""
    first, second, far = f"per-{n}", f"org-{n}", {"to_name": "far"}
    return [
        {"id": first, "from_name": "who", "type": "labels", "value": {"start": 0, "end": 3, "labels": ["PER"]}} | far,
        {"id": first, "from_name": "about", "type": "textarea", "value": {"start": 0, "end": 3, "text": [f"a {n}"]}}
        | far,
        {"id": second, "from_name": "who", "type": "labels", "value": {"start": 4, "end": 7, "labels": ["ORG"]}} | far,
        {"from_id": first, "to_id": second, "type": "relation", "direction": "right", "labels": ["of"]},
        {"from_name": "why", "type": "textarea", "value": {"text": [f"because {n} 🦊", "  and\nmore  "]}},
        {"from_name": "age", "type": "number", "value": {"number": n + 0.5}},
    ]


def whole(text: str, n: int) -> list[dict[str, Any]]:
    """All controls answered, those that are learned between the others."""
    return [item if "from_id" in item else {"to_name": "text"} | item for item in rest_of(n)[:4] + answers_of(text)] + [
        {"to_name": "text"} | item for item in rest_of(n)[4:]
    ]


class People:
    """Annotations that people made, as Label Studio's API gave them at once."""

    def __init__(self, admin: Annotator) -> None:
        self._admin = admin
        self._made: dict[int, str] = {}

    def annotate(self, task_id: int, result: list[dict[str, Any]], **more: Any) -> int:
        """Submit an annotation. Gives its number."""
        body = {"result": result, "lead_time": 7.25} | more
        made = int(self._admin.call("POST", f"/api/tasks/{task_id}/annotations/", body)["id"])
        self.look(made)
        return made

    def look(self, annotation_id: int) -> None:
        """An annotation is from now on as it is."""
        self._made[annotation_id] = self._now(annotation_id)

    def assert_unchanged(self) -> None:
        assert {annotation_id: self._now(annotation_id) for annotation_id in self._made} == self._made

    def _now(self, annotation_id: int) -> str:
        found = self._admin.read(f"/api/annotations/{annotation_id}/")
        # How long ago it was, in words.
        del found["created_ago"]
        return json.dumps(found, ensure_ascii=False)


def test_nothing_that_people_said_is_lost_or_changed_by_predictions_and_automatic_labels(
    admin: Annotator, backend: BackendProcess, truth: Truth
) -> None:
    made = admin.call("POST", "/api/projects/", {"title": "controls beside", "label_config": CONFIG})
    project_id, people = int(made["id"]), People(admin)
    admin.import_texts(project_id, TEXTS)
    texts = dict(zip(sorted(admin.task_ids(project_id)), TEXTS, strict=True))
    first = [*texts][:N_BEFORE]
    for n, task_id in enumerate(first):
        people.annotate(task_id, whole(texts[task_id], n))
    people.annotate(first[0], whole(texts[first[0]], 1000), ground_truth=True)
    people.annotate(first[1], rest_of(1001)[:1], was_cancelled=True)
    backend.connect(project_id, *(part for setting in SETTINGS for part in ("--set", setting)))

    # What is filled in stays beside what people say by the other controls.
    n_asked = N_LABELS - N_BEFORE
    until(lambda: len(truth.queue(project_id, 1)[1]) >= n_asked, "the window is pushed")
    people.assert_unchanged()
    scores = truth.queue(project_id, 1)[1]
    asked = sorted(scores, key=scores.__getitem__)[:n_asked]
    for n, task_id in enumerate(asked):
        filled_in = admin.open(project_id, task_id)["predictions"][-1]["result"]
        assert {item["from_name"] for item in filled_in} == LEARNED
        people.annotate(task_id, whole(texts[task_id], n))
    drafted = next(task_id for task_id in reversed(texts) if task_id not in scores)
    draft = admin.call("POST", f"/api/tasks/{drafted}/drafts?project={project_id}", {"result": rest_of(2000)})
    admin.call("POST", f"/api/ml/{admin.call('GET', f'/api/ml/?project={project_id}')[0]['id']}/train", {})
    until(
        lambda: backend.project(project_id)["version"]["n_labels"] == N_LABELS,
        lambda: f"all labels are trained on: {json.dumps(backend.project(project_id))[:1500]}",
    )
    people.assert_unchanged()

    done = autolabel(backend, project_id, "--apply", "--yes")
    people.assert_unchanged()
    assert admin.call("GET", f"/api/drafts/{draft['id']}/")["result"] == draft["result"]
    rows = truth.ask("SELECT id, task_id, result FROM task_completion WHERE project_id = ?", project_id)
    automatic = [row for row in rows if row[1] not in {*first, *asked}]
    assert len(automatic) == done["tasks"]["labelled"] > len(TEXTS) / 3
    assert {item["from_name"] for *_, result in automatic for item in json.loads(result)} == LEARNED

    # A person completes one of them.
    completed, _, result = next(row for row in automatic if row[1] != drafted)
    admin.call("PATCH", f"/api/annotations/{completed}/", {"result": json.loads(result) + rest_of(3000)})
    people.look(completed)
    undone = autolabel(backend, project_id, "--undo", "--yes")
    people.assert_unchanged()
    assert admin.call("GET", f"/api/drafts/{draft['id']}/")["result"] == draft["result"]
    n_drafted = sum(task_id == drafted for _, task_id, _ in automatic)
    assert undone["tasks"] == {"removed": len(automatic) - 1 - n_drafted, "kept": 1 + n_drafted}


def autolabel(backend: BackendProcess, project_id: int, *arguments: str) -> dict[str, Any]:
    done = backend.run("autolabel", "--project", str(project_id), *GOAL, *arguments)
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
