"""Texts on the status page with their spans marked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from markupsafe import escape

from label_studio_al.learning.passages import LINE, Marking
from label_studio_al.learning.texts import dialogue, joined
from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Measurement, Signer, Store
from label_studio_al.web import create_app
from label_studio_al.web.marks import EXCERPT_CHARACTERS, Piece, excerpt
from label_studio_al.web.parts import Parts
from tests.support.build import KEY, event, task
from tests.support.clock import FakeClock
from tests.support.entities import CONFIG
from tests.support.status_page import EVIL, PAGE, get
from tests.support.versions import CONTROL, new_version

GRIN = "\N{GRINNING FACE}"
TEXT = f"{EVIL} {GRIN} Anna went to Oslo"
ANNA = TEXT.index("Anna")


def spans(*of: tuple[int, int, str]) -> list[tuple[int, int, str]]:
    return list(of)


def mark(text: str, label: str) -> str:
    return f'<mark>{escape(text)} <span class="kind">{escape(label)}</span></mark>'


# -- pieces -----------------------------------------------------------------


def test_pieces_make_up_the_text() -> None:
    found = excerpt("Anna in Oslo.", spans((0, 4, "P"), (8, 12, "L")))
    assert found == [Piece("Anna", "P"), Piece(" in "), Piece("Oslo", "L"), Piece(".")]
    assert excerpt("") == []


@pytest.mark.parametrize(
    ("given", "marked"),
    [
        (spans((0, 4, "in"), (0, 9, "out")), ["Anna Berg"]),
        (spans((0, 9, "out"), (5, 9, "in")), ["Anna Berg"]),
        (spans((0, 4, "one"), (2, 9, "two")), ["Anna"]),
        (spans((5, 99, "beyond")), ["Berg"]),
    ],
)
def test_what_is_marked_of_spans_that_overlap(given: list[tuple[int, int, str]], marked: list[str]) -> None:
    assert [one.text for one in excerpt("Anna Berg", given) if one.label] == marked


def test_long_texts_are_shown_where_their_first_span_is() -> None:
    text = "a " * 500 + "Anna" + " b" * 500
    found = excerpt(text, spans((1000, 1004, "P"), (1900, 1903, "P")))
    assert [one for one in found if one.label] == [Piece("Anna", "P")]
    assert found[0].text.startswith("\N{HORIZONTAL ELLIPSIS}")
    assert found[-1].text.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert sum(len(one.text) for one in found) <= EXCERPT_CHARACTERS + 2
    about = excerpt(text, spans((0, 1, "P"), (1000, 1004, "P")), about=(1000, 1004, "P"))
    assert Piece("Anna", "P") in about


def test_where_spans_lie_among_several_texts_and_in_dialogues() -> None:
    said = dialogue([("Anna: ", f"{GRIN} hi"), ("", ""), ("Tom: ", f"{GRIN} Anna is here")])
    text = joined(["a title", said])
    # An emoji has two units of UTF-16.
    ((start, end, _),) = Marking(1, 2, in_lines=True).located(text, [(2 * LINE + 3, 2 * LINE + 7, "P")])
    assert (text[start:end], start) == ("Anna", text.rindex("Anna"))
    assert "".join(one.text for one in excerpt(text)) == f"a title\n\nAnna: {GRIN} hi\n\nTom: {GRIN} Anna is here"
    ((start, end, _),) = Marking(0, 2).located(text, [(2, 7, "P")])
    assert text[start:end] == "title"


@pytest.mark.parametrize("in_lines", [False, True])
@pytest.mark.parametrize("text", ["", "short"])
def test_spans_beyond_a_text_are_left_out(text: str, in_lines: bool) -> None:
    assert Marking(in_lines=in_lines).located(text, [(50, 60, "P"), (1 << 30, (1 << 30) + 1, "P")]) == []


# -- the page ---------------------------------------------------------------


@pytest.fixture
def client(tmp_path: Path, store: Store, signer: Signer) -> FlaskClient:
    return create_app(Parts(read_settings(model_dir=tmp_path), store, signer, FakeClock()), []).test_client()


@pytest.fixture
def project(store: Store) -> Store:
    """Two tasks in the window, and a suspect."""
    store.projects.register(KEY, CONFIG.replace('"entity"', f'"{CONTROL}"'), {"strategy": "margin"}, 0.0)
    store.updates.hear(event("TASKS_CREATED", tasks=(task(1, TEXT), task(2, "Nobody"), task(3, "Anna Berg"))), 0.0)
    marked = json.dumps([[ANNA, ANNA + 4, "Person", 0.8], [len(TEXT) - 4, len(TEXT), "Place", 0.7]])
    top_k = {1: [(marked, 0.56)], 2: [("[]", 0.9)]}
    new = new_version(
        4, 5.0, 0, "margin", ("Person", "Place", "ORD"), {7: "[]", 8: '[[0, 1, "Place"]]'}, None, b"a model",
        [(1, 0.9), (2, 0.8)], top_k=top_k,
    )  # fmt: skip
    store.versions.publish(KEY, new, is_switched=True)
    right = {"value": 0.75, "low": 0.5, "high": 0.9}
    suspect = {
        "task_id": 3, "label": "1 Person", "predicted": "1 Person", "probability": 0.9, "label_probability": 0.1,
        "spans": [[0, 4, "Person"]], "predicted_spans": [[0, 9, "Person"]],
    }  # fmt: skip
    quality = {"label": "Place", "n_true": 40, "n_predicted": 20, "precision": 0.875, "recall": None}
    report = {
        "audit": {"n": 20, "accuracy": {"value": 0.4, "low": 0.2, "high": 0.6}, "micro_f1": right},
        "cross_validation": {"labels": [quality]},
        "suspects": [suspect],
        "confusing_pairs": [{"labels": ["Person", "no span"], "count": 3, "task_ids": [1]}],
    }
    store.measurements.record(KEY, Measurement(CONTROL, 4, 2, 5.0, None, None, report))
    return store


def test_next_tasks_have_their_entities_marked(client: FlaskClient, project: Store) -> None:
    page = get(client)
    assert f"{escape(EVIL)} {GRIN} {mark('Anna', 'Person')} went to {mark('Oslo', 'Place')}" in page
    assert EVIL not in page
    assert "the model is 0.56 sure of what it marks: 1 Person, 1 Place" in page
    assert "the model is 0.90 sure of what it marks: no span" in page


def test_suspects_show_both_ways_to_mark(client: FlaskClient, project: Store) -> None:
    page = get(client)
    assert f"{mark('Anna', 'Person')} Berg" in page
    assert mark("Anna Berg", "Person") in page


def test_figures_are_those_of_spans(client: FlaskClient, project: Store) -> None:
    page = get(client)
    assert "Spans on the audit" in page
    assert "Accuracy" not in page
    assert '75 % <span class="soft small">F1</span>' in page
    assert "all spans are right in 40 %" in page
    assert "87.5 %" in page
    assert "<strong>Person</strong> and <strong>no span</strong>" in page
    overview = get(client, "/")
    assert "F1 of spans" in overview
    assert "75 %" in overview


def test_status_has_the_spans_beside_what_people_read(client: FlaskClient, project: Store) -> None:
    (state,) = client.get("/status").get_json()["projects"]
    ((guess,), (none,)) = (one["guesses"] for one in state["window"]["tasks"])
    assert guess["label"] == "1 Person, 1 Place"
    assert guess["spans"][0] == [ANNA, ANNA + 4, "Person", 0.8]
    assert none == {"label": "no span", "probability": 0.9, "spans": []}


@pytest.mark.parametrize("answer", ["A", '["A"]', '{"a": 1}', "7", '[["a"]]'])
def test_answers_to_what_was_asked_before_are_shown_as_they_are(
    client: FlaskClient, project: Store, answer: str
) -> None:
    """The label config asks for spans, and the window is still of the version before."""
    top_k = {1: [(answer, 0.9)]}
    version = new_version(5, 6.0, 0, "margin", ("A", "B"), {7: "A"}, None, b"a model", [(1, 0.9)], top_k=top_k)
    project.versions.publish(KEY, version, is_switched=True)
    assert str(escape(answer)) in get(client, PAGE)
    (state,) = client.get("/status").get_json()["projects"]
    assert [one["label"] for one in state["window"]["tasks"][0]["guesses"]] == [answer]
