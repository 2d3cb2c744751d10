"""/predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.clock import FakeClock
from tests.support.columns import set_columns
from tests.support.protocol import (
    KEY,
    SECRET,
    TEXTS,
    TWO,
    ask,
    assert_sentence,
    config,
    labels_of,
    project,
    publish,
    task,
)


def test_predict_before_the_first_version_is_empty_and_last(
    connected: FlaskClient, payload: Callable[[str], Any]
) -> None:
    for name, n_tasks in (("predict", 1), ("predict_tab", 2)):
        answer = connected.post("/predict", json=payload(name))
        assert answer.get_json() == {"results": [{"model_version": "al-0", "score": 1.0, "result": []}] * n_tasks}


def test_cold_start_gives_the_windows_scores_and_one_outside(
    connected: FlaskClient, store: Store, signer: Signer
) -> None:
    publish(store, signer, window=[(5, 1.0), (6, 0.75)])

    results = ask(connected, [task(6), task(5), task(7)])

    assert [one["score"] for one in results] == [0.25, 0.0, 1.0]
    assert labels_of(results) == [None, None, None]
    assert {one["model_version"] for one in results} == {"al-1"}


def test_model_with_a_cold_start_order_gives_labels_and_the_windows_scores(
    connected: FlaskClient, store: Store, signer: Signer
) -> None:
    publish(store, signer, trained_on=TEXTS, ranked_by="coverage", window=[(5, 0.5)])

    results = ask(connected, [task(5), task(6, "engine")])

    assert [one["score"] for one in results] == [0.5, 1.0]
    assert labels_of(results) == ["A", "B"]


def test_predict_answers_each_task_in_order(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on=TEXTS)
    texts = ["the cat", "engine", "a cat purrs", "engine oil", "cat"]

    results = ask(connected, [task(n, text) for n, text in enumerate(texts)])

    assert labels_of(results) == ["A", "B", "A", "B", "A"]
    for one in results:
        item = one["result"][0]
        assert (item["from_name"], item["to_name"], item["type"]) == ("topic", "text", "choices")
        assert 0.5 <= item["score"] <= 1
    # One task alone is answered as among others, but for the last bit of a sum: NumPy 2.2 (Python 3.10) adds otherwise.
    for n, text in enumerate(texts):
        assert ask(connected, [task(n, text)]) == [results[n] | {"score": pytest.approx(results[n]["score"], abs=1e-6)}]


def test_undecided_task_has_the_lowest_score(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on=TEXTS)
    sure, corrupt = ask(connected, [task(1, "cat cat purrs"), task(2, "the cat an engine")])
    assert corrupt["score"] < sure["score"]


@pytest.mark.parametrize("order", [("A", "B", "C"), ("C", "B", "A"), ("B", "C", "A")])
def test_label_names_do_not_depend_on_the_configs_order(
    client: FlaskClient, store: Store, signer: Signer, order: tuple[str, ...]
) -> None:
    client.post("/setup", json={"project": KEY, "schema": config(*order)})
    trained_on = {**TEXTS, "C": ["a rose blooms", "the rose", "rose and leaf"]}
    publish(store, signer, labels=order, trained_on={label: trained_on[label] for label in order})

    results = ask(client, [task(1, "cat"), task(2, "engine"), task(3, "rose")])

    assert labels_of(results) == ["A", "B", "C"]


def test_label_that_left_the_config_is_never_predicted(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on={**TEXTS, "C": ["a rose blooms", "the rose"]}, labels=("A", "B", "C"))

    for label_config, offered in ((TWO, {"A", "B"}), (config("X", "C"), {"C"}), (config("X", "Y"), {None})):
        results = ask(connected, [task(1, "rose"), task(2, "cat"), task(3, "engine")], label_config=label_config)
        assert set(labels_of(results)) <= offered


def test_predict_uses_the_requests_config_names(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on=TEXTS)
    renamed = TWO.replace('name="topic"', 'name="subject"').replace('"$text"', '"$body"')

    results = ask(connected, [{"id": 1, "data": {"body": "cat", "text": "engine"}}], label_config=renamed)

    assert labels_of(results) == ["A"]
    assert results[0]["result"][0]["from_name"] == "subject"


def test_choices_that_the_tasks_offer_are_predicted(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on=TEXTS)
    dynamic = config().replace('toName="text"', 'toName="text" value="$options"')
    set_columns(store, KEY, label_config=dynamic, offers='{"options": ["B", "C"]}')
    for more in ({}, {"label_config": dynamic}):
        assert labels_of(ask(connected, [task(1, "the cat")], **more)) == ["B"]


BROKEN_TASKS: list[Any] = [
    {"id": 1, "data": {"other": "x"}},
    {"id": 2, "data": None},
    {"id": 3},
    {"id": 4, "data": []},
    {"id": 5, "data": {"text": None}},
    {"id": 6, "data": {"text": ["a", {"b": "c"}]}},
    {"id": 7, "data": {"text": True}},
    "a text",
    None,
    17,
    [],
]


@pytest.mark.parametrize("with_model", [False, True])
def test_task_without_a_text_gets_an_empty_answer_and_the_rest_theirs(
    connected: FlaskClient, store: Store, signer: Signer, with_model: bool
) -> None:
    publish(store, signer, trained_on=TEXTS if with_model else None, window=[(10, 0.5), (1, 0.9)])

    results = ask(connected, [task(10, "cat"), *BROKEN_TASKS, task(10, "cat")])

    assert results[0] == results[-1]
    assert (results[0]["score"] < 1.0, labels_of(results)[0]) == (True, "A" if with_model else None)
    assert all(one["result"] == [] and one["score"] == 1.0 for one in results[1:-1])


@pytest.mark.parametrize("ranked_by", ["margin", "coverage"])
@pytest.mark.parametrize(
    "odd_id", [None, "7", 7.0, True, -1, 2**70, {"a": 1}, [1], float("nan")], ids=lambda value: str(value)[:20]
)
def test_task_with_an_odd_id_is_answered(
    connected: FlaskClient, store: Store, signer: Signer, ranked_by: str, odd_id: object
) -> None:
    publish(store, signer, trained_on=TEXTS, ranked_by=ranked_by, window=[(10, 0.5)])

    results = ask(connected, [task(10), task(odd_id), {"data": {"text": "cat"}}])

    assert labels_of(results) == ["A", "A", "A"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\U0001f600\U0001f680",
        "md",
        "http://169.254.169.254/",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "/etc/passwd",
        "data:text/plain;base64,YQ==",
        "x " * 500_000,
        "x" * 1_000_000,
        "\x00\x01",
        "\ud800",
        "a\udfff b",
        "<script>alert(1)</script>",
        "'; DROP TABLE tasks; --",
        5,
        -1.5,
        float("nan"),
        float("inf"),
    ],
    ids=lambda text: str(text)[:20].encode("ascii", "backslashreplace").decode(),
)
def test_odd_text_is_answered_and_never_fetched(
    connected: FlaskClient, store: Store, signer: Signer, text: object
) -> None:
    publish(store, signer, trained_on=TEXTS)

    results = ask(connected, [task(1, text), task(2, "cat")])

    assert labels_of(results)[0] in ("A", "B")
    assert labels_of(results)[1] == "A"


def test_ten_thousand_tasks_in_one_request(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on=TEXTS)
    texts = ["the cat" if n % 3 else "an engine" for n in range(10_000)]

    results = ask(connected, [task(n, text) for n, text in enumerate(texts)])

    assert labels_of(results) == ["A" if n % 3 else "B" for n in range(10_000)]


class SlowClock(FakeClock):
    """Each look at it costs half a minute."""

    def elapsed(self) -> float:
        self.advance(30.0)
        return super().elapsed()


def test_predictions_that_would_come_too_late_are_given_up_with_a_sentence(
    tmp_path: Path, store: Store, signer: Signer, payload: Callable[[str], Any]
) -> None:
    app = create_app(Parts(read_settings(model_dir=tmp_path), store, signer, SlowClock()), [SECRET])
    client = app.test_client()
    client.post("/setup", json=payload("setup"))
    publish(store, signer, trained_on=TEXTS)
    assert len(ask(client, [task(1)])) == 1
    answer = client.post("/predict", json={"project": KEY, "tasks": [task(number) for number in range(10_000)]})
    assert "ask for fewer at once" in assert_sentence(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0


def test_predict_without_tasks_answers_none(connected: FlaskClient) -> None:
    assert ask(connected, []) == []


def test_predict_writes_nothing(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on=TEXTS)
    before = project(store)
    ask(connected, [task(1), task(2)])
    assert project(store) == before
    assert store.tasks.counts(KEY) == {"tasks": 0, "annotations": 0}


def test_new_version_is_served_at_once(connected: FlaskClient, store: Store, signer: Signer) -> None:
    publish(store, signer, trained_on=TEXTS)
    assert labels_of(ask(connected, [task(1, "cat")])) == ["A"]

    publish(store, signer, trained_on={"A": TEXTS["B"], "B": TEXTS["A"]}, number=2)

    results = ask(connected, [task(1, "cat")])
    assert (labels_of(results), results[0]["model_version"]) == (["B"], "al-2")


def test_projects_are_answered_by_their_own_model(connected: FlaskClient, store: Store, signer: Signer) -> None:
    other = "3.1795394190"
    connected.post("/setup", json={"project": other, "schema": TWO})
    publish(store, signer, trained_on=TEXTS)
    publish(store, signer, trained_on={"A": TEXTS["B"], "B": TEXTS["A"]}, key=other)

    assert labels_of(ask(connected, [task(1, "cat")])) == ["A"]
    answer = connected.post("/predict", json={"project": other, "tasks": [task(1, "cat")]})
    assert labels_of(answer.get_json()["results"]) == ["B"]


def test_torn_model_gives_empty_answers_and_asks_for_a_training(
    connected: FlaskClient, store: Store, signer: Signer
) -> None:
    version_id = publish(store, signer, trained_on=TEXTS, window=[(1, 0.5)])
    for damage in ("substr(artifact, 1, length(artifact) / 2)", "x''", "x'00'", "zeroblob(500)"):
        set_columns(store, KEY, wanted_revision=-1)
        with store._engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE versions SET artifact = {damage} WHERE id = {version_id}")

        results = ask(connected, [task(1), task(2)])

        assert labels_of(results) == [None, None]
        assert [one["score"] for one in results] == [0.5, 1.0]
        assert project(store).wanted_revision == project(store).revision


def test_model_of_another_key_is_not_loaded(connected: FlaskClient, store: Store) -> None:
    publish(store, Signer("another key"), trained_on=TEXTS)
    assert labels_of(ask(connected, [task(1)])) == [None]
    assert project(store).wanted_revision == project(store).revision


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"project": KEY}, 400),
        ({"project": KEY, "tasks": None}, 400),
        ({"project": KEY, "tasks": {"id": 1}}, 400),
        ({"project": KEY, "tasks": "all"}, 400),
        ({"project": "1.1", "tasks": []}, 404),
        ({"project": KEY, "tasks": [], "label_config": "<View/>"}, 422),
    ],
    ids=str,
)
def test_broken_predict_is_refused(connected: FlaskClient, body: dict[str, Any], status: int) -> None:
    assert_sentence(connected.post("/predict", json=body), status)
