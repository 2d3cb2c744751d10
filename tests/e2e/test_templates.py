"""Label Studio's own annotation templates: what is learned of each, that it works live, and what the page shows."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from playwright.sync_api import Browser

from label_studio_al.cli.local import LocalLabelStudio, environment_path
from label_studio_al.labeling.content import IMAGE
from label_studio_al.learners.registry import check_content
from label_studio_al.learning.images import WithImages
from label_studio_al.questions import (
    LabelConfig,
    Offer,
    Question,
    awaited_fields,
    parse_config,
    read_controls,
    write_offers,
)
from label_studio_al.questions.spans import Spans
from label_studio_al.runtime.errors import InvalidRequest, UnsupportedConfig
from tests.e2e.conftest import LOGIN
from tests.support.backend_process import BackendProcess
from tests.support.labelling_page import LabellingPage
from tests.support.studio import Annotator, until
from tests.support.templates import OF_IMAGES, OFFERED, OUTCOMES

pytestmark = pytest.mark.e2e

N_MORE, N_LABELLED = 14, 10
LEARNED = [name for name, controls in OUTCOMES.items() if controls]
# One of each kind: a taxonomy, stars, two questions, a dialogue, eleven questions with round buttons, a table, choices
# that come from the tasks, an image.
SHOWN = [
    "natural-language-processing/taxonomy",
    "generative-ai/response-grading",
    "ranking-and-scoring/serp-ranking",
    "conversational-ai/intent-classification-and-slot-filling",
    "generative-ai/chatbot-assessment",
    "structured-data-parsing/tabular-data",
    "ranking-and-scoring/text-to-image",
    "computer-vision/image-classification",
]
WORDS = ("engine", "cat")
# Each way to mark spans: of texts, of HTML, of dialogues, of dialogues that the page sorts by time.
MARKED = [
    "natural-language-processing/named-entity-recognition",
    "structured-data-parsing/html-entity-recognition",
    "conversational-ai/intent-classification-and-slot-filling",
    "audio-speech-processing/conversational-analysis",
]


@dataclass(frozen=True)
class Made:
    """A template's project. sample: the task that Label Studio made of the template; more: the others, ascending."""

    config: LabelConfig
    project_id: int
    sample: int
    more: list[int]


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
    may_be_learned = {
        name: tuple(one.name for one in read_controls(config) if one.question is not None or one.awaits)
        for name, config in templates.items()
    }
    assert may_be_learned == OUTCOMES
    assert tuple(name for name, config in templates.items() if awaited_fields(config)) == OFFERED
    layouts = {
        name: parse_config(templates[name]).content.layout
        for name, one in OUTCOMES.items()
        if one and name not in OFFERED
    }
    is_of_images = {name for name, layout in layouts.items() if isinstance(layout, WithImages) and not layout.has_texts}
    assert is_of_images == {*OF_IMAGES}
    for name in OF_IMAGES:
        with pytest.raises(UnsupportedConfig, match="AL_IMAGE_ENCODER must name an encoder of images"):
            check_content(templates[name], "none")
    for config in templates.values():
        for control in read_controls(config):
            assert (control.question is None) == bool(control.reason)
            assert "\n" not in control.reason


@pytest.fixture(scope="module")
def projects(admin: Annotator, backend: BackendProcess, templates: dict[str, str]) -> dict[str, Made]:
    """A trained project of each template that is learned: its sample task and others, ten labelled.

    The images of samples are elsewhere, so all show images of the test's own.
    """
    made = {name: _make(admin, name[-50:], templates[name]) for name in LEARNED}
    for one in made.values():
        backend.connect(one.project_id)
    for name, one in made.items():
        until(lambda of=one.project_id: backend.is_at_rest(of, N_LABELLED), f"{name} is trained")
    return made


def _make(admin: Annotator, title: str, xml: str) -> Made:
    project_id = int(admin.call("POST", "/api/projects/", {"title": title, "label_config": xml})["id"])
    path = f"/api/projects/{project_id}"
    sample = admin.call("POST", f"{path}/sample-task/", {"label_config": xml})["sample_task"]
    config = _parsed(xml, sample)
    of_images = {field for part in config.content.parts if part.tag == IMAGE for field in part.fields}
    of_texts = {*config.content.fields} - of_images
    sample |= dict.fromkeys(of_images, _image(N_MORE))
    more = [
        sample
        | {field: _with(f"the {WORDS[_which(n)]} number {n}", sample[field]) for field in of_texts}
        | dict.fromkeys(of_images, _image(n))
        for n in range(N_MORE)
    ]
    tasks: list[dict[str, Any]] = [{"data": data} for data in (sample, *more)]
    for n, task in enumerate(tasks[1 : N_LABELLED + 1]):
        task["annotations"] = [{"result": _result(config, task["data"], _which(n))}]
    admin.call("POST", f"{path}/import", tasks)
    first, *others = sorted(admin.task_ids(project_id))
    return Made(config, project_id, first, others)


def _parsed(xml: str, task: Mapping[str, Any]) -> LabelConfig:
    """What is asked where all tasks offer what this one does."""
    offers = {field: Offer(field) for field in awaited_fields(xml)}
    for offer in offers.values():
        offer.tell(0, task)
    return parse_config(xml, write_offers(offers))


def _which(n: int) -> int:
    """Which of two answers the n-th task has; the first of them is more frequent."""
    return int(n % 3 == 1)


def _with(text: str, value: Any) -> Any:
    """What a field of the sample task holds, with a text in place of its own: in dialogues and tables, of the last.

    In dialogues, it is what is said.
    """
    if isinstance(value, list):
        return [*value[:-1], _with(text, value[-1])]
    if isinstance(value, dict):
        place = "text" if "text" in value else list(value)[-1]
        return {**value, place: _with(text, value[place])}
    return text


def _image(n: int) -> str:
    """What the n-th task shows, in the address itself."""
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (120 + n, 0, 0) if _which(n) else (0, 0, 120 + n)).save(file, "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


def _result(config: LabelConfig, task: Mapping[str, Any], which: int) -> list[dict[str, Any]]:
    answers = {
        question.name: _span(config, question, task, which) if isinstance(question, Spans) else _answer(question, which)
        for question in config.questions
    }
    items = config.write({name: (answer, 1.0) for name, answer in answers.items()})
    return [{name: value for name, value in item.items() if name != "score"} for item in items]


def _answer(question: Question, which: int) -> str:
    label = question.labels[which]
    try:
        return question.parse(label)
    except InvalidRequest:
        return question.parse([label])


def _span(config: LabelConfig, question: Spans, task: Mapping[str, Any], which: int) -> str:
    """One of two words, each with a label of its own if there are two."""
    word, label = WORDS[which], question.labels[min(which, len(question.labels) - 1)]
    passages = config.content.markings[question.object_name].passages(config.text_of(task) or "")
    (passage,) = (one for one in passages if word in one.text)
    place = passage.text.index(word)
    start, end = (passage.positions[one] for one in (place, place + len(word)))
    return question.parse([[start, end, label]])


def test_every_template_about_texts_or_images_has_a_live_loop(
    admin: Annotator, backend: BackendProcess, projects: dict[str, Made]
) -> None:
    for name, made in projects.items():
        state = backend.project(made.project_id)
        assert state["error"] is None, name
        assert state["version"]["has_model"], name
        assert tuple(one["name"] for one in state["controls"] if one["learned"]) == OUTCOMES[name]
        task_id = made.more[-1]
        result = _prediction(admin, made, task_id)
        filled_in = {item["from_name"] for item in result}
        assert filled_in <= set(OUTCOMES[name]), name
        config = made.config
        # A question whose answer may be none of its labels writes nothing for that.
        assert filled_in or not config.questions[0].coding.has_one_class, name
        saved = admin.call("POST", f"/api/tasks/{task_id}/annotations/", {"result": result})
        assert {item["from_name"] for item in saved["result"]} == filled_in, name
    n_labels = N_LABELLED + 1
    for name, made in projects.items():
        until(lambda of=made.project_id: backend.project(of)["n_annotations"] == n_labels, f"{name}: it is heard")
        assert backend.project(made.project_id)["unread"] == [], name


def test_the_page_shows_what_was_predicted_of_the_sample_task(
    browser: Browser, label_studio: LocalLabelStudio, admin: Annotator, projects: dict[str, Made]
) -> None:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = LabellingPage(context.new_page(), label_studio.url)
    page.log_in(LOGIN)
    for name in SHOWN:
        made = projects[name]
        predicted = _filled_in(_prediction(admin, made, made.sample))
        assert predicted, name
        page.open(made.project_id, made.sample)
        until(
            lambda wanted=predicted: page.filled_in() == wanted,
            lambda of=name, wanted=predicted: f"{of} shows {wanted}: {page.filled_in()}",
        )
    assert page.errors == []
    context.close()


def test_the_page_draws_the_spans_that_were_predicted(
    browser: Browser, label_studio: LocalLabelStudio, admin: Annotator, projects: dict[str, Made]
) -> None:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = LabellingPage(context.new_page(), label_studio.url)
    page.log_in(LOGIN)
    for name in MARKED:
        made = projects[name]
        place = len(made.more) - 2
        task_id, which = made.more[place], _which(place)
        labels = [item["value"][item["type"]] for item in _prediction(admin, made, task_id) if "labels" in item["type"]]
        (question,) = (one for one in made.config.questions if isinstance(one, Spans))
        assert labels == [[question.labels[which]]], name
        page.open(made.project_id, task_id)
        until(
            lambda wanted=[WORDS[which]]: page.marked() == wanted,
            lambda of=name: f"{of} shows the word: {page.marked()}",
        )
    assert page.errors == []
    context.close()


def _prediction(admin: Annotator, made: Made, task_id: int) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = admin.open(made.project_id, task_id)["predictions"][-1]["result"]
    return result


def _filled_in(result: list[dict[str, Any]]) -> Mapping[str, list[Any]]:
    """What the page's controls should show of a result: by type, what is chosen; of a path, its last name."""
    found: dict[str, list[Any]] = {}
    for item in result:
        if item["type"].endswith("labels"):
            continue
        value = item["value"][item["type"]]
        chosen = value if isinstance(value, list) else [value]
        found.setdefault(item["type"], []).extend(one[-1] if isinstance(one, list) else one for one in chosen)
    return found
