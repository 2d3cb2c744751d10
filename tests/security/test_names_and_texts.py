"""Names and texts that somebody else wrote stay names and texts: on pages, in logs, on terminals, in the database.

Of the model card and tables, see test_what_leaves.py.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from label_studio_al.cli import main
from label_studio_al.cli.doctor import _say
from label_studio_al.doctor import Result
from label_studio_al.doctor.findings import FAILURE
from label_studio_al.questions import parse_config
from label_studio_al.runtime import logs
from label_studio_al.runtime.errors import InvalidSettings
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer, Store, Turn
from label_studio_al.store.activity import WAITING_FOR_A_SECOND_LABEL, Activity
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.bench import ANIMALS, MACHINES, Bench, config, truth
from tests.support.build import KEY, OTHER_KEY, config_xml, event, task
from tests.support.clock import FakeClock
from tests.support.columns import set_columns
from tests.support.fake_label_studio import TOKEN, URL, FakeLabelStudio
from tests.support.logged import everything_logged
from tests.support.status_page import CONFIG, EVIL, HTML, PAGE, Tags, fill, get

# Ends a log line and begins one of its own; clears a terminal, names its window, turns the direction of reading.
FORGED = "2026-01-01T00:00:00.000+00:00 CRITICAL backend: all keys are lost"
CONTROLS = f"\r\n{FORGED}\x1b[2J\x1b]0;owned\x07\x9b2J\x85\u2028\u202e"
TORN_LINES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
FOR_SQL = ("100%", "a_b", "x' OR '1'='1", "'; DROP TABLE tasks; --", '"quoted"', "back\\slash", ":name %(name)s ?")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(model_dir=tmp_path, label_studio_url=URL, label_studio_api_key=TOKEN, encoder="none")


@pytest.fixture
def client(settings: Settings, store: Store, signer: Signer) -> FlaskClient:
    return create_app(Parts(settings, store, signer, FakeClock()), []).test_client()


@pytest.fixture
def bench(store: Store, signer: Signer, clock: FakeClock, settings: Settings) -> Bench:
    return Bench(FakeLabelStudio(), store, signer, clock, settings)


# -- pages ------------------------------------------------------------------------------------------------------


def test_labels_and_texts_are_never_markup(client: FlaskClient, store: Store) -> None:
    fill(store)
    for path in ("/", PAGE):
        page = get(client, path)
        scripts = [attributes for tag, attributes in Tags(page).found if tag == "script"]
        assert [script.get("src") for script in scripts] == ["/static/page.js"]
        assert EVIL not in page
        # Title; and of the project's page its labels, reasons, pairs, suspects and texts.
        assert page.count("&lt;script&gt;") >= (1 if path == "/" else 8)


def waiting_after(label: str) -> str:
    """What a project's row says whose only label is this one."""
    return Activity(WAITING_FOR_A_SECOND_LABEL, {"n": 1, "label": label}).dumps()


@pytest.mark.parametrize("column", ["title", "activity", "error", "unread"])
def test_nothing_that_is_told_of_a_project_is_markup(client: FlaskClient, store: Store, column: str) -> None:
    set_columns(fill(store), KEY, title="a title")
    unread = f'[{{"reason": "no_text", "n": 4, "task_id": 7, "sentence": "{EVIL}"}}]'.replace('("1")', "(1)")
    told = {"unread": unread, "activity": waiting_after(EVIL)}.get(column, EVIL)
    set_columns(store, KEY, **{column: told})
    store.turns.record(KEY, Turn(0.0, 0.0, f"failed: {EVIL}", None, None, {}))
    page = get(client)
    assert not re.search(r"<script>alert", page)
    assert re.search(r"&lt;script&gt;alert", page)


def test_address_is_no_markup_on_the_page_that_says_what_is_wrong(client: FlaskClient) -> None:
    for wrong in (EVIL, "3.17'\"><img src=x>", "{{ 7 * 7 }}", "%0d%0aSet-Cookie: a=b"):
        answer = client.get(f"/projects/{quote(wrong, safe='')}", headers=HTML)
        assert (answer.status_code, answer.mimetype) in ((400, "text/html"), (404, "application/json"))
        assert "<script>alert" not in answer.text
        assert "<img" not in answer.text
        assert "49" not in answer.text
        assert "Set-Cookie" not in answer.headers


def test_page_holds_what_a_strict_policy_forbids_nowhere(client: FlaskClient, store: Store) -> None:
    fill(store)
    for path in ("/", PAGE):
        answer = client.get(path, headers=HTML)
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        tags = Tags(answer.text)
        assert not [tag for tag, attributes in tags.found if tag == "style" or "style" in attributes]
        assert not [name for _, attributes in tags.found for name in attributes if name.startswith("on")]
        assert not [one for one in tags.values("href") if one.lower().startswith(("javascript:", "data:", "//"))]
        assert all(one.startswith("/static/") for one in tags.values("src"))


def test_address_of_label_studio_is_one_of_the_web(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="AL_LABEL_STUDIO_PUBLIC_URL"):
        read_settings(model_dir=tmp_path, AL_LABEL_STUDIO_PUBLIC_URL="javascript:alert(1)")


def test_what_is_no_page_is_taken_for_none(client: FlaskClient, store: Store) -> None:
    fill(store)
    for path in ("/status", "/metrics", f"/versions?project={KEY}", "/openapi.json", "/unknown", "/status/<script>"):
        answer = client.get(path, headers=HTML)
        assert answer.mimetype in ("application/json", "text/plain")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


# -- logs and terminals -----------------------------------------------------------------------------------------


@pytest.fixture(params=["text", "json"])
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """All that is logged, as it is written."""
    with everything_logged(is_json=request.param == "json") as stream:
        yield stream


def check_lines(log: io.StringIO) -> None:
    written = log.getvalue()
    assert written
    assert not TORN_LINES.search(written)
    assert not [line for line in written.splitlines() if line.startswith(FORGED[:20])]


def test_whoever_calls_writes_no_lines_into_the_log(
    client: FlaskClient, log: io.StringIO, payload: Callable[[str], dict[str, Any]]
) -> None:
    hooked = {**payload("annotation_created"), "action": CONTROLS}
    for path in ("/setup", "/predict", "/webhook", "/train", "/job_status", "/validate", "/delete", quote(CONTROLS)):
        for body in ({"project": CONTROLS, "job": f"{CONTROLS}:0", "config": CONTROLS, "schema": CONTROLS}, hooked):
            answer = client.post(path, json=body, headers={"X-Request-ID": "a\x1bb"})
            assert answer.status_code < 500
            assert not TORN_LINES.search(answer.status)
    client.get(f"/{quote(CONTROLS)}?{quote(CONTROLS)}")
    check_lines(log)


def test_names_and_texts_of_a_project_write_no_lines_into_the_log(bench: Bench, log: io.StringIO) -> None:
    labels = (f"animal&#13;&#10;{FORGED}&#x9b;2J", "machine")
    project = bench.add(config(*labels), texts=[f"{text}{CONTROLS}" for text in (*ANIMALS, *MACHINES) * 2])
    project.title = f"a title{CONTROLS}"
    names = parse_config(project.label_config).question.labels
    bench.turn(project)
    bench.label(project, 6, label_of=lambda text: names[truth(text) != "animal"])
    assert bench.turn(project).error is None
    bench.fake.fail("POST", ".*", f"<html>{CONTROLS}</html>".encode())
    bench.label(project, 6, label_of=lambda text: names[0])
    assert bench.turn(project).error
    check_lines(log)


def run(monkeypatch: pytest.MonkeyPatch, bench: Bench, http: httpx.Client, command: str, *arguments: str) -> str:
    """What a command says to a terminal."""
    given = {"LABEL_STUDIO_URL": URL, "LABEL_STUDIO_API_KEY": TOKEN, "AL_ENCODER": "none"}
    for name, value in {**given, "MODEL_DIR": str(bench.settings.model_dir)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(f"label_studio_al.cli.{command}.make_studio", lambda _: Studio(Api(URL, TOKEN, http)))
    monkeypatch.setattr(f"label_studio_al.cli.{command}.keep_files_private", lambda: None, raising=False)
    monkeypatch.setattr("label_studio_al.cli.autolabel.make_signer", lambda _: bench.signer)
    return CliRunner().invoke(main, [command, *arguments], color=True).output


def test_title_moves_no_cursor_of_who_connects(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    project = bench.fake.add_project(config("A", "B"), ["a text"])
    project.title = f"a title{CONTROLS}"
    said = run(monkeypatch, bench, bench.fake.client(), "connect", "--project", str(project.id), "--no-wait")
    assert "connection" in said
    assert r"a title\r\n2026-01-01" in said
    assert not TORN_LINES.search(said)


def test_refusal_of_label_studio_moves_no_cursor(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = httpx.MockTransport(lambda _: httpx.Response(403, json={"detail": f"may not{CONTROLS}"}))
    said = run(monkeypatch, bench, httpx.Client(transport=refusing), "connect", "--project", "1")
    assert "may not" in said
    assert not TORN_LINES.search(said)


def test_finding_of_doctor_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    found = [Result("token", 1, FAILURE, f"it says: may not{CONTROLS}", mended=f"the title{CONTROLS}")]
    assert _say(found, quietly=False) == found
    said = capsys.readouterr().out
    assert "may not" in said
    assert "the title" in said
    assert not TORN_LINES.search(said)
    assert not [line for line in said.splitlines() if line.startswith(FORGED[:20])]


def test_labels_and_texts_move_no_cursor_of_who_plans(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = (f"animal&#13;&#10;{FORGED}&#x9b;2J", "machine")
    texts = [f"{text} {n}{CONTROLS}" for n in range(8) for text in (*ANIMALS, *MACHINES)]
    project = bench.add(config(*labels), texts=texts, audit_share=1.0, verify_share=0.0)
    names = parse_config(project.label_config).question.labels
    bench.turn(project)
    for _ in range(5):
        bench.label(project, 6, label_of=lambda text: names[truth(text) != "animal"])
        bench.turn(project)
    goal = ("--max-error", "0.4", "--delta", "0.4")
    said = run(monkeypatch, bench, bench.fake.client(), "autolabel", "--project", str(project.id), *goal)
    assert "for example:" in said, said
    assert rf"animal\r\n{FORGED}\x9b2J" in said
    assert not TORN_LINES.search(said)
    assert not [line for line in said.splitlines() if line.startswith(FORGED[:20])]


def test_texts_keep_what_joins_their_letters() -> None:
    for text in ("une\u00a0espace", "a\u200cb", "soft\u00adhyphen", "\U0001f469\u200d\U0001f52c"):
        assert logs.on_one_line(text) == text


# -- the database -----------------------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_what_means_something_to_sql_is_a_name_like_others(store: Store) -> None:
    labels = tuple(escape(name) for name in FOR_SQL)
    store.projects.register(KEY, config_xml(labels), None, 0.0)
    store.projects.register(OTHER_KEY, config_xml(), None, 0.0)
    store.updates.hear(event("TASKS_CREATED", tasks=[task(n, text) for n, text in enumerate(FOR_SQL)]), 0.0)
    set_columns(store, KEY, title=FOR_SQL[3], activity=waiting_after(FOR_SQL[0]), error=FOR_SQL[2])
    assert parse_config(store.projects.get(KEY).label_config).question.labels == FOR_SQL
    assert tuple(one.data["text"] for one in store.tasks.some(KEY, range(len(FOR_SQL)))) == FOR_SQL
    assert (store.projects.get(KEY).title, store.projects.get(KEY).error) == (FOR_SQL[3], FOR_SQL[2])
    assert store.projects.get(OTHER_KEY).title != FOR_SQL[3]
    assert store.tasks.ids(OTHER_KEY) == []


@pytest.mark.both_databases
def test_number_of_a_project_finds_no_other_s(store: Store) -> None:
    for key in ("1.5", "11.5", "10.5", "115.1"):
        store.projects.register(key, config_xml(), None, 0.0)
    assert store.projects.keys(1) == ["1.5"]
    store.projects.forget("1.5")
    assert store.projects.keys() == ["10.5", "11.5", "115.1"]


# -- label configs ----------------------------------------------------------------------------------------------

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
BOMBS = {
    "a file": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
    "an address": '<!DOCTYPE x [<!ENTITY e SYSTEM "http://127.0.0.1:9/">]>',
    "a parameter": '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/"> %p;]>',
    "an outer type": '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">',
    "a billion laughs": f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}<!ENTITY e "&l9;">]>',
    "small letters": '<!docType x [<!entity e "ha">]>',
    "after a comment": '<!-- --><?x?>\n<!DOCTYPE x [<!ENTITY e "ha">]>',
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_entities_are_refused_by_every_door(
    client: FlaskClient, store: Store, bomb: str, payload: Callable[[str], dict[str, Any]]
) -> None:
    good = config_xml(("A", "B"))
    evil = BOMBS[bomb] + config_xml(("&e;", "B"))
    told = {**payload("project_updated")}
    told["project"] = {**told["project"], "label_config": evil}
    doors: dict[str, dict[str, Any]] = {
        "/setup": {"project": KEY, "schema": evil},
        "/validate": {"config": evil},
        "/predict": {"project": KEY, "tasks": [{"id": 1, "data": {"text": "a"}}], "label_config": evil},
    }
    store.projects.register(KEY, good, None, 0.0)
    for path, body in doors.items():
        answer = client.post(path, json=body)
        assert (answer.status_code, "document type or entities" in answer.get_json()["error"]) == (422, True), path
    assert store.projects.get(KEY).label_config == good
    store.projects.register("2.1795394190", good, None, 0.0)
    assert client.post("/webhook", json=told).status_code < 500
    assert client.get("/projects/2.1795394190", headers=HTML).status_code == 200


def test_undeclared_entity_is_a_sentence(client: FlaskClient) -> None:
    answer = client.post("/validate", json={"config": CONFIG.replace("B", "&nbsp;")})
    assert (answer.status_code, answer.get_json()["error"].startswith("the label config is not valid")) == (422, True)
