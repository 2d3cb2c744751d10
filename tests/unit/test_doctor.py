"""What doctor finds, and what it mends: a store, the real app, and a small Label Studio that calls it back."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import jwt
import pytest
from click.testing import CliRunner

import label_studio_al.cli.connect as connect_module
from label_studio_al.cli import main
from label_studio_al.cli.connect import connect_project
from label_studio_al.doctor import Doing, Result, Setup, examine
from label_studio_al.doctor.examination import MACHINE, PROJECT
from label_studio_al.doctor.findings import FAILURE, OK, SKIPPED, WARNING
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.studio import WEBHOOK_HEADER, webhook_secret
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.turns.due import ROUTINE_SECONDS_AT_MOST
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.bench import TEXTS, Bench
from tests.support.clock import FakeClock
from tests.support.columns import set_columns
from tests.support.entities import CONFIG as ENTITIES
from tests.support.entities import items
from tests.support.fake_label_studio import CLOSED, TOKEN, URL, FakeLabelStudio, FakeProject
from tests.support.onnx_models import image_folder, text_folder
from tests.support.saved_bench import Saved, bench_to_save, saved

BACKEND_URL = "http://localhost:9090"
SECRET = "a secret that only tests know"  # pragma: allowlist secret
NOBODY = 65534


@dataclass
class Ward:
    """A connected project, and all that a doctor looks at."""

    bench: Bench
    project: FakeProject
    settings: Settings
    http: httpx.Client
    keys: list[str]
    serve: Callable[[Settings], None]
    token: str = TOKEN
    backend_url: str = BACKEND_URL

    @property
    def fake(self) -> FakeLabelStudio:
        return self.bench.fake

    def studio(self, _settings: Settings | None = None) -> Studio:
        login = (self.settings.basic_auth_user, self.settings.basic_auth_pass)
        auth = (login[0], login[1].get_secret_value()) if login[0] and login[1] else None
        client = self.fake.client()
        return Studio(Api(URL, self.token, client, self.bench.clock), basic_auth=auth)

    def examine(self, *, fix: bool = False, project_ids: tuple[int, ...] = ()) -> list[Result]:
        doing = Doing(
            self.studio,
            lambda _settings: self.keys,
            lambda project_id: connect_project(self.settings, project_id, self.backend_url, None, lambda _: None),
        )
        setup = Setup(self.settings, self.backend_url, doing, self.bench.clock, self.http)
        try:
            return list(examine(setup, project_ids, fix=fix))
        finally:
            # Of what `close` closes, the client is the ward's.
            if "store" in vars(setup):
                setup.store.close()

    def results(self, **options: Any) -> dict[str, Result]:
        return {result.check: result for result in self.examine(**options)}

    def wrong(self, **options: Any) -> dict[str, str]:
        """State of every check that is not well."""
        return {result.check: result.state for result in self.examine(**options) if result.state != OK}

    def webhook(self) -> dict[str, Any]:
        (hook,) = self.fake.webhooks.values()
        return hook

    def connection(self) -> dict[str, Any]:
        (connection,) = self.fake.connections.values()
        return connection


def settings_in(folder: Path) -> Settings:
    return read_settings(
        model_dir=folder,
        label_studio_url=URL,
        label_studio_api_key=TOKEN,
        backend_url=BACKEND_URL,
        encoder="none",
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A connected project with two trained versions."""
    settings = settings_in(tmp_path_factory.mktemp("published"))
    with bench_to_save(settings) as bench, pytest.MonkeyPatch.context() as monkeypatch:
        project = bench.add(texts=TEXTS[:24])
        bench.fake.connections.clear()
        with _opened(bench, project, monkeypatch):
            connect_project(settings, project.id, BACKEND_URL, None, lambda _: None)
            bench.publish(project, 2)
        bench.fake.caller, bench.fake.now = None, time.time
    return saved(bench)


@pytest.fixture
def ward(
    store: Store, signer: Signer, settings: Settings, published: Saved, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ward]:
    bench = Bench(FakeLabelStudio(), store, signer, FakeClock(), settings)
    published.put_into(bench)
    (project,) = bench.fake.projects.values()
    with _opened(bench, project, monkeypatch) as opened:
        yield opened


@contextmanager
def _opened(bench: Bench, project: FakeProject, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    apps: dict[str, Any] = {}

    def serve(served: Settings) -> None:
        apps["backend"] = create_app(Parts(served, bench.store, bench.signer, bench.clock), [SECRET])

    def answer(environ: Any, start: Any) -> Any:
        return apps["backend"](environ, start)

    serve(bench.settings)
    mounts = {
        URL: httpx.MockTransport(bench.fake.handle),
        BACKEND_URL: httpx.WSGITransport(answer, raise_app_exceptions=False),
    }
    with httpx.Client(mounts=mounts, transport=httpx.MockTransport(_nobody)) as http:
        bench.fake.caller, bench.fake.now = http, bench.clock.now
        ward = Ward(bench, project, bench.settings, http, [SECRET], serve)
        monkeypatch.setattr(connect_module, "make_studio", ward.studio)
        monkeypatch.setattr(connect_module, "webhook_keys", lambda _settings: ward.keys)
        yield ward


def _nobody(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


def test_nothing_is_wrong_with_a_connected_project(ward: Ward) -> None:
    results = ward.examine()
    assert [result.check for result in results] == [check.name for check in (*MACHINE, *PROJECT)]
    assert {result.state for result in results} == {OK}, [result for result in results if result.state != OK]
    assert {result.project for result in results} == {None, ward.project.id}


def test_one_of_many_projects_is_well_if_it_was_asked_about_an_hour_ago(ward: Ward) -> None:
    def turns() -> set[str]:
        return {result.state for result in ward.examine(project_ids=(ward.project.id,)) if result.check == "turns"}

    ward.bench.clock.advance(ROUTINE_SECONDS_AT_MOST)
    assert turns() == {FAILURE}
    for number in range(101, 141):
        ward.bench.store.projects.register(
            f"{number}.1795343520", ward.project.label_config, None, ward.bench.clock.now()
        )
    assert turns() == {OK}


def test_looking_changes_nothing_and_locks_no_task(ward: Ward) -> None:
    before = {name: dict(found) for name, found in ward_state(ward).items()}
    ward.fake.calls.clear()
    ward.examine()
    assert ward_state(ward) == before
    assert not [name for name in ward.fake.names() if "/next" in name or name.startswith(("PATCH", "DELETE"))]


def ward_state(ward: Ward) -> dict[str, dict[int, Any]]:
    return {
        "connections": dict(ward.fake.connections),
        "webhooks": dict(ward.fake.webhooks),
        "predictions": dict(ward.project.predictions),
    }


# -- misconfigurations ---------------------------------------------------------------------------------------


def break_webhook(ward: Ward) -> None:
    ward.fake.webhooks.clear()


def double_webhook(ward: Ward) -> None:
    ward.fake.webhooks[900] = {**ward.webhook(), "id": 900}


def steal_secret(ward: Ward) -> None:
    ward.webhook()["headers"] = {WEBHOOK_HEADER: "of another backend"}


def forget_an_action(ward: Ward) -> None:
    ward.webhook()["actions"] = ["ANNOTATION_CREATED"]


def switch_webhook_off(ward: Ward) -> None:
    ward.webhook()["is_active"] = False


def sample_sequentially(ward: Ward) -> None:
    ward.project.sampling = "Sequential sampling"


def hide_predictions(ward: Ward) -> None:
    ward.studio().projects._api.json("PATCH", f"api/projects/{ward.project.id}/", {"show_collab_predictions": False})


def point_elsewhere(ward: Ward) -> None:
    ward.project.model_version = "somebody's model"


def rename_connection(ward: Ward) -> None:
    ward.connection()["title"] = "My model"


def disconnect(ward: Ward) -> None:
    ward.fake.connections.clear()


def connect_twice(ward: Ward) -> None:
    ward.fake.connections[901] = {**ward.connection(), "id": 901, "title": "again"}


def leave_a_webhook_behind(ward: Ward) -> None:
    ward.fake.webhooks[902] = {**ward.webhook(), "id": 902, "url": "http://before.test:9090/webhook"}


def lose_predictions(ward: Ward) -> None:
    ward.project.predictions.clear()


# What is wrong, the check that finds it, its state, words of its sentence.
MENDED = [
    (break_webhook, "webhook", FAILURE, "no webhook tells http://localhost:9090"),
    (double_webhook, "webhook", FAILURE, "there are 2 webhooks"),
    (steal_secret, "webhook", FAILURE, "a secret that is not the project's"),
    (forget_an_action, "webhook", FAILURE, "does not tell ANNOTATION_UPDATED, ANNOTATIONS_CREATED"),
    (switch_webhook_off, "webhook", FAILURE, "switched off"),
    (sample_sequentially, "sampling", FAILURE, 'sampling is "Sequential sampling"'),
    (hide_predictions, "predictions", FAILURE, "hidden from annotators"),
    (point_elsewhere, "model version", FAILURE, '"somebody\'s model" and the connection\'s name "al-3"'),
    (rename_connection, "model version", FAILURE, 'connection\'s name "My model"'),
    (disconnect, "connection", FAILURE, "no model connection calls http://localhost:9090"),
    (leave_a_webhook_behind, "other webhooks", WARNING, "the webhook to http://before.test:9090/webhook"),
    (connect_twice, "other backends", WARNING, "2 model connections call http://localhost:9090"),
]


@pytest.mark.parametrize(("harm", "check", "state", "words"), MENDED, ids=[case[0].__name__ for case in MENDED])
def test_doctor_finds_it_and_mends_it(
    ward: Ward, harm: Callable[[Ward], None], check: str, state: str, words: str
) -> None:
    order = ward.project.queue()
    harm(ward)
    found = ward.results()[check]
    assert (found.state, found.can_be_fixed, found.mended) == (state, True, None)
    assert words in found.sentence

    mended = ward.results(fix=True)[check]
    assert (mended.state, mended.mended) == (OK, found.sentence)
    assert ward.wrong() == {}
    assert ward.project.queue() == order


def old(ward: Ward) -> None:
    ward.fake.release = "1.20.0"


def new(ward: Ward) -> None:
    ward.fake.release = "2.0.0"


def ahead(ward: Ward) -> None:
    ward.fake.now = lambda: ward.bench.clock.now() + 600


def away(ward: Ward) -> None:
    ward.fake.fail("*", ".*", CLOSED)


def another_site(ward: Ward) -> None:
    ward.fake.fail("GET", "/api/version", b"<html>")


def wrong_token(ward: Ward) -> None:
    ward.token = "f" * 40


def access_token(ward: Ward) -> None:
    ward.token = jwt.encode({"token_type": "access", "exp": time.time() + 300}, "k" * 32, algorithm="HS256")


def expired_token(ward: Ward) -> None:
    ward.token = jwt.encode({"token_type": "refresh", "exp": time.time() - 10}, "k" * 32, algorithm="HS256")


def legacy_off(ward: Ward) -> None:
    ward.fake.takes_tokens = False
    ward.fake.no_token = (
        "Authentication token no longer valid: legacy token authentication has been disabled for this organization"
    )


def blocked(ward: Ward) -> None:
    ward.fake.banned = ward.fake.banned_for_webhooks = {"localhost": "127.0.0.0/8", "192.0.2.1": "192.0.2.0/24"}


def blocked_by_the_operators_list(ward: Ward) -> None:
    ward.fake.banned = ward.fake.banned_for_webhooks = {"localhost": "127.0.0.0/8"}


def unresolved(ward: Ward) -> None:
    ward.fake.banned = {"localhost": ""}


def webhooks_blocked(ward: Ward) -> None:
    ward.fake.banned_for_webhooks = {"localhost": "127.0.0.0/8"}


def unreached(ward: Ward) -> None:
    ward.connection()["url"] = "http://somewhere.test:9090"
    ward.backend_url = "http://somewhere.test:9090"


def second_backend(ward: Ward) -> None:
    version = ward.project.model_version
    ward.fake.connect(ward.project.id, "http://another.test:9090", "another model")
    ward.project.model_version = version


def free_text(ward: Ward) -> None:
    ward.project.label_config = '<View><Text name="t" value="$text"/><TextArea name="a" toName="t"/></View>'


def from_tasks(ward: Ward) -> None:
    choices = '<Choices name="topic" toName="text" value="$options"/>'
    ward.project.label_config = f'<View><Text name="text" value="$text"/>{choices}</View>'


def no_labels(ward: Ward) -> None:
    ward.project.annotations.clear()


def foreign_labels(ward: Ward) -> None:
    for annotation in ward.project.annotations.values():
        annotation["result"][0]["value"]["choices"] = ["of an older config"]


def one_kind(ward: Ward) -> None:
    for annotation in ward.project.annotations.values():
        annotation["result"][0]["value"]["choices"] = ["animal"]


def no_right(ward: Ward) -> None:
    ward.fake.fail("POST", "/api/ml", 403)


def no_project(ward: Ward) -> None:
    del ward.fake.projects[ward.project.id]


def recreated(ward: Ward) -> None:
    ward.fake.recreate_project(ward.project.id)


def other_secret(ward: Ward) -> None:
    ward.keys = ["of another MODEL_DIR"]


def failing_turns(ward: Ward) -> None:
    set_columns(ward.bench.store, ward.project.key, error="the disk is full")


def no_worker(ward: Ward) -> None:
    ward.bench.clock.advance(3600)


def paused(ward: Ward) -> None:
    set_columns(ward.bench.store, ward.project.key, is_paused=True)


def used_up(ward: Ward) -> None:
    ward.bench.label(ward.project, len(ward.project.queue() or []))
    ward.bench.fake.add_tasks(ward.project.id, [{"text": f"more {n}"} for n in range(30)])


def switching(ward: Ward) -> None:
    rename_connection(ward)
    set_columns(ward.bench.store, ward.project.key, is_switched=False)


def lost(ward: Ward) -> None:
    lose_predictions(ward)


# What doctor can only say.
SAID = [
    (old, "label studio", FAILURE, "1.20.0 is too old: upgrade it to 1.23"),
    (new, "label studio", WARNING, "2.0.0 is newer than 1.23.2"),
    (away, "label studio", FAILURE, "does not answer (connection refused): start it, or correct LABEL_STUDIO_URL"),
    (another_site, "label studio", FAILURE, "is no Label Studio: correct LABEL_STUDIO_URL"),
    (ahead, "clock", FAILURE, "600 s ahead of this machine's"),
    (wrong_token, "token", FAILURE, "taken for a legacy token, and not one that it knows"),
    (access_token, "token", FAILURE, "an access token, which is valid for minutes"),
    (expired_token, "token", FAILURE, "it has expired or was revoked"),
    (legacy_off, "token", FAILURE, "legacy tokens switched off: use a personal access token"),
    (other_secret, "secret", FAILURE, "start both with the same MODEL_DIR or AL_WEBHOOK_SECRET"),
    (no_project, "project", FAILURE, "Label Studio has no project 1"),
    (recreated, "project", FAILURE, "created at another time"),
    (no_right, "rights", FAILURE, "give them the right to change the project"),
    (free_text, "label config", FAILURE, "a, because no model for <TextArea> is built in"),
    (from_tasks, "label config", WARNING, "waits for tasks: topic, because its choices come from the tasks"),
    (from_tasks, "labels", WARNING, "waits for tasks"),
    (no_labels, "labels", WARNING, "nobody has labelled a task yet: the first model needs 5 labels"),
    (foreign_labels, "labels", FAILURE, "none of 10 annotations teaches; 0 annotations are skips, 10 hold no label"),
    (one_kind, "labels", WARNING, "a model needs 5 labelled tasks of at least 2 kinds, there are 10 of 1"),
    (blocked, "address", FAILURE, "start Label Studio with USE_DEFAULT_BANNED_SUBNETS=false"),
    (blocked_by_the_operators_list, "address", FAILURE, "setting USER_ADDITIONAL_BANNED_SUBNETS forbids it"),
    (unresolved, "address", FAILURE, "cannot resolve this backend's name"),
    (webhooks_blocked, "address", FAILURE, "for webhooks, since it is in 127.0.0.0/8"),
    (blocked, "round trip", FAILURE, "settings forbid it to call http://localhost:9090"),
    (unreached, "backend", WARNING, "start label-studio-al serve"),
    (unreached, "round trip", FAILURE, "does not reach http://somewhere.test:9090: start label-studio-al serve"),
    (second_backend, "other backends", WARNING, '"another model" at http://another.test:9090'),
    (failing_turns, "turns", FAILURE, "the last turn failed: the disk is full"),
    (no_worker, "turns", FAILURE, "no worker has taken a turn for 36"),
    (paused, "turns", WARNING, "paused on the status page"),
    (switching, "model version", WARNING, "a turn is just switching Label Studio to al-3"),
    (lost, "queue", FAILURE, "predictions of al-3 are missing"),
    (used_up, "queue", FAILURE, "all tasks of the window are labelled"),
]


@pytest.mark.parametrize(("harm", "check", "state", "words"), SAID, ids=[f"{c[0].__name__}-{c[1]}" for c in SAID])
def test_doctor_finds_it_and_says_what_to_do(
    ward: Ward, harm: Callable[[Ward], None], check: str, state: str, words: str
) -> None:
    harm(ward)
    found = ward.results()[check]
    assert found.state == state, found
    assert words in found.sentence


def test_labels_of_spans_are_counted_and_not_every_way_to_mark_a_text(ward: Ward) -> None:
    ward.project.label_config = ENTITIES
    for number, annotation in enumerate(ward.project.annotations.values()):
        annotation["result"] = items("Anna in Oslo", [(0, 1 + number, "Person"), (8, 12, "Place")][: number % 3])
    assert ward.results()["label config"].sentence == "entity: spans of 3 labels, learned (spans); reads: text"
    found = ward.results()["labels"]
    assert (found.state, found.sentence.partition(";")[0]) == (OK, "10 tasks are labelled, with 2 different labels")


def test_what_depends_on_a_failure_is_not_looked_at(ward: Ward) -> None:
    away(ward)
    wrong = ward.wrong()
    assert wrong.pop("label studio") == FAILURE
    assert set(wrong.values()) == {SKIPPED}
    assert set(wrong) == {"clock", "token", *(check.name for check in PROJECT)}


def test_webhook_never_gets_a_secret_that_the_running_backend_refuses(ward: Ward) -> None:
    other_secret(ward)
    assert ward.results(fix=True)["webhook"].state == SKIPPED
    assert ward.webhook()["headers"] == {WEBHOOK_HEADER: webhook_secret(SECRET, ward.project.key)}


def test_deleted_task_of_the_window_is_not_missed(ward: Ward) -> None:
    gone = (ward.project.queue() or [])[0]
    ward.bench.hear(ward.fake.delete_tasks(ward.project.id, gone))
    assert ward.wrong() == {}


def test_missing_predictions_are_pushed_by_the_next_turn_after_a_fix(ward: Ward) -> None:
    lose_predictions(ward)
    ward.examine(fix=True)
    ward.bench.settle(ward.project)
    assert ward.wrong() == {}


def test_a_fix_that_fails_says_why(ward: Ward) -> None:
    sample_sequentially(ward)
    ward.fake.fail("PATCH", f"/api/projects/{ward.project.id}", 403)
    found = ward.results(fix=True)["sampling"]
    assert found.state == FAILURE
    assert "It cannot be repaired: " in found.sentence
    assert "give them the right" in found.sentence


def test_a_project_that_doctor_does_not_know_is_connected_by_a_fix(ward: Ward) -> None:
    other = ward.fake.add_project(ward.project.label_config, ["one text", "another text"])
    results = ward.results(project_ids=(other.id,))
    assert results["connection"].state == results["webhook"].state == results["sampling"].state == FAILURE
    results = ward.results(project_ids=(other.id,), fix=True)
    assert results["connection"].mended
    assert {results[name].state for name in ("connection", "round trip", "webhook", "sampling")} == {OK}


# -- credentials -----------------------------------------


def protect(settings: Settings) -> Settings:
    given = {"basic_auth_user": "studio", "basic_auth_pass": "pass-word"}
    return read_settings(**{**settings.model_dump(exclude_unset=True), **given})


def test_connection_without_the_credentials_that_the_backend_asks_for_is_mended(ward: Ward) -> None:
    ward.settings = protect(ward.settings)
    ward.serve(ward.settings)
    results = ward.results()
    assert results["credentials"].state == OK
    assert results["round trip"].state == FAILURE
    assert "refuses the user and password of the connection" in results["round trip"].sentence
    ward.examine(fix=True)
    assert ward.wrong() == {}


def test_credentials_that_only_the_running_backend_has(ward: Ward) -> None:
    ward.serve(protect(ward.settings))
    found = ward.results()["credentials"]
    assert found.state == FAILURE
    assert "none are set here" in found.sentence


def test_credentials_that_the_running_backend_does_not_have(ward: Ward) -> None:
    ward.settings = protect(ward.settings)
    found = ward.results()["credentials"]
    assert found.state == FAILURE
    assert "does not ask for the user and password" in found.sentence


def test_open_webhook_is_a_failure_where_a_secret_is_demanded_and_else_a_warning(ward: Ward) -> None:
    ward.webhook()["headers"] = {}
    assert ward.results()["webhook"].state == WARNING
    ward.settings = protect(ward.settings)
    ward.serve(ward.settings)
    assert "this backend demands one" in ward.results()["webhook"].sentence


# -- a proxy in front ------------------------------------

OUTSIDE = "https://labels.example.org/active-learning"


def put_behind_a_proxy(ward: Ward, **given: Any) -> None:
    """One as docs/proxy.md has it; given: the backend's settings."""
    served = protect(ward.settings).model_dump(exclude_unset=True)
    ward.settings = read_settings(**{**served, "backend_url": OUTSIDE, **given})
    ward.backend_url = OUTSIDE
    ward.serve(ward.settings)
    inner = ward.http

    def passed_on(request: httpx.Request) -> httpx.Response:
        if request.url.host != "labels.example.org":
            return inner.send(request)
        forwarded = {"Proto": "https", "Host": "labels.example.org", "Prefix": "/active-learning"}
        headers = {**request.headers, **{f"X-Forwarded-{name}": value for name, value in forwarded.items()}}
        path = request.url.raw_path.decode().removeprefix("/active-learning")
        return inner.request(request.method, f"{BACKEND_URL}{path}", headers=headers | {"Host": "localhost:9090"})

    ward.http = httpx.Client(transport=httpx.MockTransport(passed_on))


def test_proxy_whose_headers_are_believed_is_well(ward: Ward) -> None:
    put_behind_a_proxy(ward, trusted_proxies=1)
    found = ward.results()["proxy"]
    assert (found.state, found.sentence) == (OK, f"the backend knows that it is asked at {OUTSIDE}")


def test_proxy_whose_headers_are_not_believed_is_said(ward: Ward) -> None:
    put_behind_a_proxy(ward)
    found = ward.results()["proxy"]
    assert found.state == WARNING
    assert "believes that it is http://localhost:9090/active-learning" in found.sentence
    assert "set AL_TRUSTED_PROXIES" in found.sentence


def test_no_secret_is_in_any_sentence(ward: Ward) -> None:
    ward.settings = protect(ward.settings)
    for harm in (steal_secret, no_right, blocked):
        harm(ward)
    said = json.dumps([result.sentence for result in ward.examine()])
    assert not [secret for secret in (TOKEN, SECRET, "pass-word", "of another backend") if secret in said]


# -- this machine ----------------------------------------


@contextmanager
def as_nobody() -> Iterator[None]:
    """Permissions mean nothing to root."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def test_read_only_disk(ward: Ward) -> None:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        ward.settings = ward.settings.model_copy(update={"model_dir": Path(folder)})
        with as_nobody():
            results = ward.results(project_ids=(ward.project.id,))
        Path(folder).chmod(0o755)
    assert results["disk"].state == FAILURE
    assert f"MODEL_DIR {folder} cannot be written to (Permission denied): let this user" in results["disk"].sentence
    assert results["database"].state == SKIPPED


def test_database_of_a_newer_release(ward: Ward) -> None:
    with ward.bench.store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    found = ward.results()["database"]
    assert found.state == FAILURE
    assert "newer release" in found.sentence


def test_damaged_database_is_said_and_not_touched(ward: Ward, tmp_path: Path) -> None:
    ward.bench.store.close()
    path = tmp_path / "state.sqlite"
    path.write_bytes(b"no database" * 1000)
    # A running backend would set it aside.
    ward.fake.caller, ward.http = None, httpx.Client(transport=httpx.MockTransport(_nobody))
    found = ward.results()["database"]
    assert found.state == FAILURE
    assert "is damaged: start label-studio-al serve again" in found.sentence
    assert path.read_bytes() == b"no database" * 1000


def test_without_a_database_none_is_made(ward: Ward, tmp_path: Path) -> None:
    ward.settings = ward.settings.model_copy(update={"model_dir": tmp_path / "new"})
    results = ward.results(project_ids=(ward.project.id,))
    assert results["database"].state == SKIPPED
    assert results["webhook"].state == OK
    assert list((tmp_path / "new").iterdir()) == []


def test_unknown_encoder(ward: Ward) -> None:
    ward.settings = ward.settings.model_copy(update={"encoder": "magic"})
    found = ward.results()["embeddings"]
    assert found.state == FAILURE
    assert "AL_ENCODER must be one of" in found.sentence


def test_encoders_of_the_background_and_of_images_are_loaded(ward: Ward, tmp_path: Path) -> None:
    texts, images = text_folder(tmp_path / "texts"), image_folder(tmp_path / "images", {"size": 8})
    chosen = {"encoder": f"fastembed:{texts}", "image_encoder": f"onnx:{images}"}
    ward.settings = ward.settings.model_copy(update=chosen)
    found = ward.results()["embeddings"]
    assert (found.state, f"fastembed:{texts} encodes texts in 4 dimensions" in found.sentence) == (OK, True)
    assert f"onnx:{images} images in 3" in found.sentence
    (texts / "tokenizer.json").unlink()
    ward.settings = ward.settings.model_copy(update={"encoder": f"fastembed:{texts}/."})
    assert "has no tokenizer.json" in ward.results()["embeddings"].sentence


# -- the command -----------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith(("AL_", "LABEL_STUDIO_", "BASIC_AUTH_", "DATABASE_URL")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("AL_ENCODER", "none")
    monkeypatch.setenv("PORT", "9")
    # The command makes its files private, for its whole process.
    mask = os.umask(0o022)
    yield
    os.umask(mask)


@pytest.mark.usefixtures("environment")
def test_command_ends_with_code_1_and_says_what_is_missing() -> None:
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 1
    assert "failure  settings: LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY must be set" in done.output
    assert done.output.splitlines()[-1] == "1 failure, 2 warnings"


@pytest.mark.usefixtures("environment")
def test_command_gives_machines_one_json_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    done = CliRunner().invoke(main, ["doctor", "--json", "--project", "7"])
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["ok"] is False
    by_name = {finding["check"]: finding for finding in document["findings"]}
    assert by_name["label studio"]["state"] == FAILURE
    assert by_name["webhook"] == {
        "check": "webhook",
        "project": 7,
        "state": SKIPPED,
        "sentence": 'not looked at, because of "rights"',
        "can_be_fixed": False,
        "mended": None,
    }
    assert done.stderr == ""


def test_every_need_is_a_check_before_it() -> None:
    seen: set[str] = set()
    for check in (*MACHINE, *PROJECT):
        assert set(check.needs) <= seen, check.name
        seen.add(check.name)
    assert len(seen) == len(MACHINE) + len(PROJECT)
