"""Label Studio's own annotation templates: what is learned of each, and that it works live."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from label_studio_al.cli.local import LocalLabelStudio, environment_path
from label_studio_al.labeling.content import Part
from label_studio_al.labeling.tags import read_tags
from label_studio_al.questions import LabelConfig, Question, parse_config, read_controls
from label_studio_al.runtime.errors import InvalidRequest
from tests.support.backend_process import BackendProcess
from tests.support.studio import Annotator, until
from tests.support.templates import OUTCOMES

pytestmark = pytest.mark.e2e

N_TASKS, N_LABELLED = 21, 10
LEARNED = [name for name, controls in OUTCOMES.items() if controls]


@pytest.fixture(scope="module")
def templates(label_studio: LocalLabelStudio) -> dict[str, str]:
    """The label configs of the Community's templates, by folder."""
    (folder,) = environment_path().glob("lib/python*/site-packages/label_studio/annotation_templates")
    return dict(_read(folder))


def _read(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("config.yml")):
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
        if described["type"] != "enterprise":
            yield str(path.parent.relative_to(folder)), described["config"]


def test_outcome_of_each_template_is_as_said(templates: dict[str, str]) -> None:
    learned = {
        name: tuple(control.name for control in read_controls(config) if control.question is not None)
        for name, config in templates.items()
    }
    assert learned == OUTCOMES
    for config in templates.values():
        for control in read_controls(config):
            assert (control.question is None) == bool(control.reason)
            assert "\n" not in control.reason


def test_every_template_about_texts_has_a_live_loop(
    admin: Annotator, backend: BackendProcess, templates: dict[str, str]
) -> None:
    projects = {}
    for name in LEARNED:
        xml = templates[name]
        made = admin.call("POST", "/api/projects/", {"title": name[-50:], "label_config": xml})
        admin.call("POST", f"/api/projects/{made['id']}/import", _tasks(xml))
        backend.connect(int(made["id"]))
        projects[name] = int(made["id"])
    for name, project_id in projects.items():
        until(lambda of=project_id: backend.is_at_rest(of, N_LABELLED), f"{name} is trained")
        state = backend.project(project_id)
        assert state["error"] is None, name
        assert state["version"]["has_model"], name
        assert tuple(one["name"] for one in state["controls"] if one["learned"]) == OUTCOMES[name]
        task = admin.read(f"/api/projects/{project_id}/next")
        prediction = task["predictions"][-1]
        filled_in = {item["from_name"] for item in prediction["result"]}
        assert filled_in <= set(OUTCOMES[name]), name
        config = parse_config(templates[name])
        # A question whose answer may be none of its labels writes nothing for that.
        assert filled_in or not config.questions[0].coding.has_one_class, name
        saved = admin.call("POST", f"/api/tasks/{task['id']}/annotations/", {"result": prediction["result"]})
        assert {item["from_name"] for item in saved["result"]} == filled_in, name


def _tasks(xml: str) -> list[dict[str, Any]]:
    """Tasks of which ten are labelled, with two answers whose texts differ."""
    config = parse_config(xml)
    return [
        {
            "data": _data(xml, ("cat", "engine")[n % 2], n),
            "annotations": [{"result": _result(config, n % 2)}] if n < N_LABELLED else [],
        }
        for n in range(N_TASKS)
    ]


def _result(config: LabelConfig, which: int) -> list[dict[str, Any]]:
    items = config.write({question.name: (_answer(question, which), 1.0) for question in config.questions})
    return [{name: value for name, value in item.items() if name != "score"} for item in items]


def _answer(question: Question, which: int) -> str:
    label = question.labels[which]
    try:
        return question.parse(label)
    except InvalidRequest:
        return question.parse([label])


def _data(xml: str, word: str, n: int) -> dict[str, Any]:
    """A task for a label config: every object shows the word."""
    shown: dict[str, Any] = {}
    text = f"the {word} number {n}"
    for tag in read_tags(xml)[1]:
        part = Part(tag.tag, tag.value)
        keys = tag.attributes.get("nameKey", "author"), tag.attributes.get("textKey", "text")
        value: Any = {
            "Paragraphs": [{keys[0]: "Ann", keys[1]: text}, {keys[0]: "Bob", keys[1]: "I see"}],
            "Table": {"item": text, "price": n},
            "List": [{"id": "1", "title": text, "body": "one"}],
        }.get(tag.tag, text)
        shown |= dict.fromkeys(part.fields, value)
    for control in read_tags(xml)[0]:
        field = control.attributes.get("value", "")
        if field.startswith("$"):
            shown[field[1:]] = [{"value": "one"}, {"value": "two"}]
    return shown
