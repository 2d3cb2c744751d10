"""Spans of texts in a real Label Studio: through its API, and selected with the mouse on its page."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import Browser

from label_studio_al.cli.local import LocalLabelStudio
from label_studio_al.learning.spans import answer_of
from label_studio_al.questions import parse_config
from label_studio_al.runtime.settings import Settings
from label_studio_al.store import Store
from tests.e2e.conftest import LOGIN
from tests.support.backend_process import BackendProcess
from tests.support.entities import CONFIG, items, sentences
from tests.support.spans_page import SpansPage, said
from tests.support.studio import Annotator, Truth, is_lowest, until

pytestmark = pytest.mark.e2e

N_LABELS = 60
# As people read a task: a program that labels without a pause empties the queue.
READING_SECONDS = 0.3
# On the page: texts with which a model is trained before, and those that are labelled.
N_BEFORE, N_ON_PAGE = 50, 15
TRUTH = dict(sentences(150))
KEYS = {"Person": "1", "Place": "2", "ORD": "3"}
# What stands before and in an entity, by how it may be counted in another way: as UTF-16 units, as bytes, as one
# character, from the right, without blanks between words.
SCRIPTS = {
    "emoji": ("😀👩\u200d🚀 ", "Sam 👩\u200d🚀"),
    "combining marks": ("Cafe\u0301 nin\u0303o ", "Jose\u0301"),
    "CR LF": ("One.\r\nTwo.\r\n\tThree. ", "Anna Berg"),
    "right to left": ("\u05e9\u05dc\u05d5\u05dd ", "\u05e0\u05d5\u05e2\u05d4"),
    "Thai": ("\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a ", "\u0e2a\u0e21\u0e0a\u0e32\u0e22"),
}


def spans_in(result: list[dict[str, Any]]) -> list[tuple[int, int, str]]:
    values = [item["value"] for item in result]
    return sorted((value["start"], value["end"], *value["labels"]) for value in values)


def in_scripts() -> Iterator[tuple[str, str, list[tuple[int, int, str]]]]:
    """Three texts of each script with their spans: of a person, a place and an order."""
    for script, (before, person) in SCRIPTS.items():
        for n, place in enumerate(("Oslo", "Lagos", "New Delhi")):
            text, spans = before, []
            pieces = ("Please send ", ("ORD", f"A-{1000 + n}"), " to ", ("Person", person), " in ", ("Place", place))
            for piece in pieces:
                label, words = ("", piece) if isinstance(piece, str) else piece
                if label:
                    spans.append((len(text), len(text) + len(words), label))
                text += words
            yield script, f"{text}.", spans


def test_sixty_texts_are_marked_in_order_and_nothing_is_lost(
    admin: Annotator, backend: BackendProcess, truth: Truth
) -> None:
    project_id = int(admin.call("POST", "/api/projects/", {"title": "spans", "label_config": CONFIG})["id"])
    admin.import_texts(project_id, [*TRUTH])
    backend.connect(project_id, "--set", "window=25")
    me = truth.user_id(LOGIN.email)
    answers, filled_in = {}, {}
    for _ in range(N_LABELS):
        time.sleep(READING_SECONDS)
        before = truth.queue(project_id, me)
        task = admin.read(f"/api/projects/{project_id}/next")
        served = task["id"]
        scores = [scores for _, scores in (before, truth.queue(project_id, me)) if served in scores]
        assert any(own[served] <= min(own.values()) + 1e-12 for own in scores)
        text = task["data"]["text"]
        answers[served] = TRUTH[text]
        filled_in[text] = spans_in(task["predictions"][-1]["result"])
        admin.call("POST", f"/api/tasks/{served}/annotations/", {"result": items(text, TRUTH[text])})
    until(lambda: backend.is_at_rest(project_id, N_LABELS), "all labels are trained on")

    assert truth.labels(project_id) == N_LABELS == len(answers)
    for task_id, spans in answers.items():
        (annotation,) = admin.open(project_id, task_id)["annotations"]
        assert spans_in(annotation["result"]) == spans
    state = backend.project(project_id)
    labels_of = [{label for *_, label in spans} for spans in answers.values()]
    assert state["labels"] == {label: sum(label in labels for labels in labels_of) for label in KEYS}
    assert state["unread"] == []
    assert sum(bool(spans) for spans in filled_in.values()) > N_LABELS / 3
    assert state["quality"]["cross_validation"]["micro_f1"]["value"] > 0.7
    # What it says of texts that it has not seen, Label Studio takes.
    rest = [task_id for task_id in admin.task_ids(project_id) if task_id not in answers][:20]
    opened = [admin.open(project_id, task_id) for task_id in rest]
    right = [spans_in(one["predictions"][-1]["result"]) == TRUTH[one["data"]["text"]] for one in opened]
    assert sum(right) > len(rest) / 2


def test_spans_are_drawn_where_they_are_and_what_the_mouse_marks_arrives(
    browser: Browser, label_studio: LocalLabelStudio, admin: Annotator, backend: BackendProcess, truth: Truth
) -> None:
    made = admin.call("POST", "/api/projects/", {"title": "spans in a browser", "label_config": CONFIG})
    project_id = int(made["id"])
    labelled = [
        {"data": {"text": one}, "annotations": [{"result": items(one, TRUTH[one])}]} for one in [*TRUTH][:N_BEFORE]
    ]
    admin.call("POST", f"/api/projects/{project_id}/import", labelled)
    # The last one is left, so that a text comes after each Submit.
    spans_of = {text: spans for _, text, spans in in_scripts()} | {"Nobody.": []}
    script_of = {text: script for script, text, _ in in_scripts()} | {"Nobody.": ""}
    admin.import_texts(project_id, [*spans_of])
    backend.connect(project_id, "--set", "window=25")
    me = truth.user_id(LOGIN.email)
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(120_000)
    stream = SpansPage(context.new_page(), label_studio.url)
    stream.aliases = {"Order": "ORD"}
    stream.log_in(LOGIN)
    answers, drawn_in, n_marked, n_unmarked = {}, set(), 0, 0
    before = truth.queue(project_id, me)
    shown = stream.label_all_tasks(project_id)
    for n in range(N_ON_PAGE):
        served = shown.served
        assert is_lowest(served.task_id, before, truth.queue(project_id, me))
        assert shown.chosen == shown.predicted
        spans = spans_of[served.text]
        drawn_in |= {script_of[served.text]} if shown.chosen else set()
        right = {said(*span) for span in spans}
        # Of every third text all is marked by hand.
        for one in shown.chosen:
            if one not in right or not n % 3:
                stream.unmark(*map(int, one.partition(" ")[0].split("-")))
                n_unmarked += 1
        for start, end, label in spans:
            if said(start, end, label) not in stream.drawn():
                stream.mark(start, end, KEYS[label])
                n_marked += 1
        assert stream.drawn() == [said(*span) for span in spans]
        answers[served.task_id] = spans
        until(lambda of=N_BEFORE + n: backend.is_at_rest(project_id, of), f"{N_BEFORE + n} labels are trained on")
        version, scores = truth.queue(project_id, me)
        before = version, {task_id: score for task_id, score in scores.items() if task_id != served.task_id}
        shown = stream.submit()
    context.close()

    assert stream.errors == []
    assert drawn_in >= SCRIPTS.keys()
    assert n_marked >= N_ON_PAGE
    assert n_unmarked > 0
    in_label_studio = {task_id: admin.open(project_id, task_id)["annotations"] for task_id in answers}
    assert {task_id: [spans_in(one["result"]) for one in found] for task_id, found in in_label_studio.items()} == {
        task_id: [spans] for task_id, spans in answers.items()
    }
    with closing(Store(Settings(model_dir=backend.folder).store_url)) as store:
        (key,) = store.projects.keys(project_id)
        stored = store.annotations.all(key, list(answers))
    question = parse_config(CONFIG).question
    heard = [(one.task_id, question.read(one.result).answer) for one in stored]
    assert sorted(heard) == sorted((task_id, answer_of(spans)) for task_id, spans in answers.items())
