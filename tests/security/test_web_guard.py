"""Who may come in: basic auth, and the secret header on webhooks."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.errors import InvalidSettings
from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.studio import WEBHOOK_HEADER, webhook_secret
from label_studio_al.web import create_app
from label_studio_al.web.openapi import PATHS
from label_studio_al.web.parts import CATCH_UP_SECONDS, Parts
from label_studio_al.wiring import webhook_keys
from tests.support.clock import FakeClock
from tests.support.columns import set_columns

KEY = "the key of webhooks"
OLD_KEY = "the key of last month"
# Of the project whose payloads are in tests/payloads.
SECRET = webhook_secret(KEY, "2.1795394190")
OLD_SECRET = webhook_secret(OLD_KEY, "2.1795394190")
OPEN = {}
PROTECTED = {"basic_auth_user": "annotators", "basic_auth_pass": "pass:with: colons"}
LOGIN = ("annotators", "pass:with: colons")
GET_PATHS = ["/", "/status", "/versions"]
POST_PATHS = ["/setup", "/predict", "/train", "/job_status", "/validate", "/delete", "/duplicate_model"]


@pytest.fixture
def make_client(tmp_path: Path, store: Store, signer: Signer) -> Callable[..., FlaskClient]:
    """A client of a backend with the given settings."""

    def make(clock: FakeClock | None = None, **given: Any) -> FlaskClient:
        settings = read_settings(model_dir=tmp_path, **given)
        return create_app(Parts(settings, store, signer, clock or Clock()), [KEY, OLD_KEY]).test_client()

    return make


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("given", [OPEN, PROTECTED], ids=["open", "protected"])
def test_health_is_open_to_everybody(make_client: Callable[..., FlaskClient], given: dict[str, str]) -> None:
    assert make_client(**given).get("/health").status_code == 200


def test_without_basic_auth_everybody_may_come_in(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client()
    assert all(client.get(path).status_code == 200 for path in GET_PATHS)
    assert all(client.post(path, json={}).status_code == 400 for path in POST_PATHS)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("annotators", "wrong"),
        basic("annotators", ""),
        basic("wrong", "pass:with: colons"),
        basic("", ""),
        basic("annotators", "pass:with: colons "),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:\xff").decode()},
        {"Authorization": "Bearer pass:with: colons"},
        {"Authorization": 'Digest username="annotators"'},
        {WEBHOOK_HEADER: SECRET},
    ],
    ids=str,
)
def test_protected_backend_lets_nobody_else_in(
    make_client: Callable[..., FlaskClient], headers: dict[str, str]
) -> None:
    client = make_client(**PROTECTED)
    for path in [*GET_PATHS, "/metrics", "/no-such-page"]:
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert PROTECTED["basic_auth_pass"] not in answer.text
    for path in POST_PATHS:
        assert client.post(path, json={}, headers=headers).status_code == 401


def test_configured_user_may_come_in(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(**PROTECTED)
    assert all(client.get(path, auth=LOGIN).status_code == 200 for path in GET_PATHS)
    assert all(client.post(path, json={}, auth=LOGIN).status_code == 400 for path in POST_PATHS)


def test_password_with_blanks_and_signs_is_accepted(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(basic_auth_user="a user", basic_auth_pass="a: b%")
    assert client.get("/status", headers=basic("a user", "a: b%")).status_code == 200
    assert client.get("/status", headers=basic("a user", "a: b%x")).status_code == 401
    assert client.get("/status", headers=basic("user", "a: b%")).status_code == 401


@pytest.mark.parametrize(("user", "password"), [("üser", "password"), ("us:er", "password"), ("user", "密码")])
def test_what_label_studio_cannot_send_is_refused_at_start(user: str, password: str) -> None:
    with pytest.raises(InvalidSettings, match="must be ASCII characters") as refused:
        read_settings(basic_auth_user=user, basic_auth_pass=password)
    assert "密码" not in str(refused.value)


def test_body_is_not_read_before_the_password_is_checked(make_client: Callable[..., FlaskClient]) -> None:
    client = make_client(**PROTECTED, max_body_bytes=1024)
    assert client.post("/predict", data=b"x" * 5_000, content_type="application/json").status_code == 401


# -- webhooks ---------------------------------------------------------------


@pytest.fixture
def webhook(payload: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return payload("annotation_created")


def test_open_backend_takes_webhooks_without_a_secret(
    make_client: Callable[..., FlaskClient], webhook: dict[str, Any]
) -> None:
    # Those that Label Studio makes itself carry no header.
    assert make_client().post("/webhook", json=webhook).status_code == 200


@pytest.mark.parametrize("given", [OPEN, PROTECTED, {"webhook_secret": KEY}], ids=["open", "protected", "secret"])
def test_right_secret_is_let_in_and_a_wrong_one_never(
    make_client: Callable[..., FlaskClient], webhook: dict[str, Any], given: dict[str, str]
) -> None:
    client = make_client(**given)
    assert client.post("/webhook", json=webhook, headers={WEBHOOK_HEADER: SECRET}).status_code == 200
    for wrong in ("", "wrong", SECRET + "x", SECRET[:-1], SECRET.upper(), "é"):
        answer = client.post("/webhook", json=webhook, headers={WEBHOOK_HEADER: wrong})
        assert answer.status_code == 401
        assert SECRET not in answer.text


@pytest.mark.parametrize("given", [PROTECTED, {"webhook_secret": KEY}], ids=["protected", "secret"])
def test_missing_secret_is_refused_with_the_way_to_mend_it(
    make_client: Callable[..., FlaskClient], webhook: dict[str, Any], given: dict[str, str]
) -> None:
    answer = make_client(**given).post("/webhook", json=webhook)
    assert answer.status_code == 401
    assert "label-studio-al connect" in answer.get_json()["error"]
    assert "label-studio-al connect" in answer.status


def test_start_training_comes_in_with_basic_auth(
    make_client: Callable[..., FlaskClient], payload: Callable[[str], dict[str, Any]]
) -> None:
    client = make_client(**PROTECTED)
    body = payload("start_training")
    assert client.post("/webhook", json=body, auth=LOGIN).status_code == 200
    assert client.post("/webhook", json=body, auth=("annotators", "wrong")).status_code == 401
    assert client.post("/webhook", json=body).status_code == 401


def test_basic_auth_does_not_replace_the_secret_where_only_a_secret_is_set(
    make_client: Callable[..., FlaskClient], webhook: dict[str, Any]
) -> None:
    client = make_client(webhook_secret=KEY)
    assert client.post("/webhook", json=webhook, auth=LOGIN).status_code == 401


@pytest.mark.parametrize(
    "path", ["/webhook/", "//webhook", "/WEBHOOK", "/health/", "/health/../predict", "/webhook/.."]
)
def test_other_spellings_of_open_pages_are_not_open(make_client: Callable[..., FlaskClient], path: str) -> None:
    client = make_client(**PROTECTED)
    assert client.post(path, json={}, headers={WEBHOOK_HEADER: SECRET}).status_code in (308, 401, 404, 405)
    assert client.post(path, json={}).status_code in (308, 401)


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_two_secrets_are_valid_while_one_is_changed(
    make_client: Callable[..., FlaskClient], payload: Callable[[str], dict[str, Any]], secret: str
) -> None:
    client = make_client(**PROTECTED)
    answer = client.post("/webhook", json=payload("annotation_created"), headers={WEBHOOK_HEADER: secret})
    assert answer.status_code == 200


def test_keys_are_those_of_the_setting_or_of_the_file(tmp_path: Path) -> None:
    settings = read_settings(model_dir=tmp_path, webhook_secret="the-new-secret-one,the-old-secret-one")
    assert webhook_keys(settings) == ["the-new-secret-one", "the-old-secret-one"]
    (tmp_path / "webhook.key").write_text("a new secret one\nan old secret one\n")
    assert webhook_keys(read_settings(model_dir=tmp_path)) == ["a new secret one", "an old secret one"]


def test_no_route_answers_without_credentials_where_they_are_configured(
    make_client: Callable[..., FlaskClient],
) -> None:
    client = make_client(**PROTECTED)
    for path in (*PATHS, "/unknown", "/static/x"):
        for method in ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
            if path == "/health":
                continue
            assert client.open(path, method=method, json={}).status_code == 401, (method, path)


def test_nothing_is_written_by_reading(
    make_client: Callable[..., FlaskClient], store: Store, payload: Callable[[str], dict[str, Any]]
) -> None:
    client = make_client()
    assert client.post("/setup", json=payload("setup")).status_code == 200
    before = store.projects.all()
    for path in PATHS:
        for method in ("GET", "HEAD", "OPTIONS"):
            assert client.open(path, method=method, query_string={"project": before[0].key}).status_code < 500
    assert store.projects.all() == before


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9090", "127.0.0.1.evil.example", "10.0.0.7"])
def test_foreign_names_are_not_answered_to_where_there_are_no_credentials(
    make_client: Callable[..., FlaskClient], host: str
) -> None:
    assert make_client().get("/status", headers={"Host": host}).status_code == 403
    assert make_client(**PROTECTED).get("/status", headers={"Host": host, **basic(*LOGIN)}).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost:9090", "127.0.0.1", "[::1]:9090", "host.docker.internal:9090", "mine:9090"]
)
def test_own_names_are_answered_to(make_client: Callable[..., FlaskClient], host: str) -> None:
    client = make_client(backend_url="http://mine:9090")
    assert client.get("/status", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
@pytest.mark.parametrize("given", [OPEN, PROTECTED], ids=["open", "protected"])
def test_other_web_pages_cannot_write(
    make_client: Callable[..., FlaskClient],
    payload: Callable[[str], dict[str, Any]],
    store: Store,
    given: dict[str, str],
    headers: dict[str, str],
) -> None:
    client = make_client(**given)
    answer = client.post("/setup", json=payload("setup"), headers={**headers, **basic(*LOGIN)})
    assert answer.status_code == 403
    assert store.projects.all() == []


def test_answers_are_not_framed_cached_or_guessed_and_carry_the_request_s_name(
    make_client: Callable[..., FlaskClient],
) -> None:
    answer = make_client().get("/unknown", headers={"X-Request-ID": "mine-1"})
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Request-ID"] == "mine-1"
    assert make_client().get("/", headers={"X-Request-ID": "a b\tc"}).headers["X-Request-ID"] != "a b\tc"


def test_event_that_is_not_understood_is_asked_for(make_client: Callable[..., FlaskClient], store: Store) -> None:
    client = make_client()
    store.projects.register("2.1795394190", "<View/>", None, 0.0)
    set_columns(store, "2.1795394190", sync_wanted=False)
    assert client.post("/webhook", json={"action": "ANNOTATION_CREATED", "project": 7}).status_code == 400
    client.application.extensions["parts"].catch_up()
    assert store.projects.get("2.1795394190").sync_wanted


def test_more_projects_than_allowed_are_not_made_known(
    make_client: Callable[..., FlaskClient], payload: Callable[[str], dict[str, Any]]
) -> None:
    client = make_client(max_projects=2)
    answers = [
        client.post("/setup", json={**payload("setup"), "project": f"{number}.1"}).status_code
        for number in (1, 2, 3, 1)
    ]
    assert answers == [200, 200, 429, 200]


def test_more_tasks_than_allowed_are_not_answered(
    make_client: Callable[..., FlaskClient], payload: Callable[[str], dict[str, Any]]
) -> None:
    client = make_client(max_tasks=3)
    client.post("/setup", json=payload("setup"))
    body = {**payload("predict"), "tasks": payload("predict")["tasks"][:1] * 4}
    answer = client.post("/predict", json=body)
    assert answer.status_code == 413
    assert "AL_MAX_TASKS" in answer.get_json()["error"]


def test_what_is_missed_all_the_time_is_asked_for_every_few_seconds_only(
    make_client: Callable[..., FlaskClient], store: Store, clock: FakeClock
) -> None:
    here = make_client(clock=clock).application.extensions["parts"]
    store.projects.register("1.1", "<View/>", None, 0.0)
    n_asked = 0
    for _ in range(30):
        clock.advance(1.0)
        here.miss()
        here.catch_up()
        n_asked += store.projects.get("1.1").sync_wanted
        set_columns(store, "1.1", sync_wanted=False)
    assert 5 <= n_asked <= 7
    clock.advance(CATCH_UP_SECONDS)
    here.catch_up()
    assert store.projects.get("1.1").sync_wanted, "the last one is asked for, too"
