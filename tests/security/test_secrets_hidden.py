"""No secret of the process reaches people, pages, the database or the log, whatever odd characters stand in it."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from backend import logs
from backend.cli import main
from backend.cli.wiring import make_studio
from backend.clock import Clock
from backend.computing import Computing
from backend.errors import BackendError, InvalidSettings, StudioRefused, StudioUnreachable
from backend.jobs import JobClient
from backend.loop import Loop
from backend.redaction import hide, know, know_address, know_login
from backend.settings import Settings, read_settings
from backend.store import Signer, Store, Turn
from backend.studio.client import Studio
from backend.web import create_app
from backend.web.openapi import PATHS
from tests.support.background import AtOnce
from tests.support.build import config_xml

CORE = "s3cretC0re9876543210"
KEY = "3.1795343520"
# Nothing listens there.
NOWHERE = "http://127.0.0.1:1"
SECRETS = ("LABEL_STUDIO_API_KEY", "BASIC_AUTH_PASS", "AL_WEBHOOK_SECRET", "AL_SIGNING_KEY", "DATABASE_URL")
ODD = {
    "plain": "{}",
    "line end": "{}\n",
    "Windows line end": "{}\r\n",
    "blank behind": "{} ",
    "blank before": " {}",
    "tab": "{}\t",
    "lines": "{0}\n{0}",
    "carriage return inside": "{0}\r{0}",
    "escape": "{}\x1b[2J",
    "bell": "\x07{}",
    "no-break space": "{}\u00a0",
    "byte order mark": "\ufeff{}",
    "umlaut": "{}ü",
    "emoji": "{}\U0001f511",
    "half a pair": "{}\udcff",
    "quotes": "{}'\"`",
    "percent": "{}%0a%s",
    "at": "{}@x",
    "colon and slash": "{}:/x",
    "backslash": "{}\\n",
    "comma": "{},",
    "braces": "{}{{}}",
}
COMMANDS = (
    ["connect", "--project", "1", "--no-wait"],
    ["doctor"],
    ["autolabel", "--project", "1", "--max-error", "0.1"],
    ["export", "--project", "1", "--output", "out"],
    ["forget", "--project", "1", "--yes"],
)


def value_of(name: str, odd: str) -> str:
    value = ODD[odd].format(CORE)
    return f"postgresql+psycopg://al:{value}@127.0.0.1:1/al" if name == "DATABASE_URL" else value


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Clock, "sleep", lambda _clock, _seconds: None)
    for name, value in {
        "MODEL_DIR": str(tmp_path / "models"),
        "LABEL_STUDIO_URL": NOWHERE,
        "LABEL_STUDIO_API_KEY": "0" * 40,
        "BASIC_AUTH_USER": "studio",
        "BASIC_AUTH_PASS": "another password",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged, as it is written."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.LineFormatter(is_json=False))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", SECRETS)
def test_no_command_prints_a_secret(environment: pytest.MonkeyPatch, name: str, odd: str) -> None:
    environment.setenv(name, value_of(name, odd))
    for arguments in COMMANDS:
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code != 0
        assert CORE not in done.output, arguments
        assert "Traceback" not in done.output


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", SECRETS[:-1])
def test_no_route_answers_with_a_secret(
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    store: Store,
    jobs: JobClient,
    log: io.StringIO,
    name: str,
    odd: str,
) -> None:
    environment.setenv(name, value_of(name, odd))
    settings = taken(name)
    if settings is None:
        return
    store.register(KEY, config_xml(), None, 0.0)
    studio = make_studio(settings)
    loop = Loop(store, studio, Signer("a key"), settings, Clock(), Computing(1), AtOnce())
    loop.take_turn(KEY)
    assert store.project(KEY).error
    # What a release before this one has stored.
    store.record_turn(KEY, Turn(0.0, 0.0, f"failed: {ODD[odd].format(CORE)!r}", None, None, {}))
    client = create_app(settings, store, jobs, Signer("a key"), ["k" * 16]).test_client()
    assert settings.basic_auth_pass is not None
    auth = ("studio", settings.basic_auth_pass.get_secret_value())
    for text in answers(client, auth):
        assert CORE not in text
    assert CORE not in (store.project(KEY).error or "")
    assert CORE not in log.getvalue()


def taken(name: str) -> Settings | None:
    """The settings; None where the secret is refused without being repeated."""
    try:
        return read_settings()
    except InvalidSettings as exc:
        said = str(exc)
    assert CORE not in said
    assert said.startswith(f"{name}: must")
    return None


def answers(client: FlaskClient, auth: tuple[str, str]) -> Iterator[str]:
    """What every route says, asked well and badly, with and without credentials."""
    for path in PATHS:
        path = path.replace("{key}", KEY)
        for given in (auth, None):
            for accept in ("application/json", "text/html"):
                yield client.get(path, auth=given, headers={"Accept": accept}).text
            yield client.post(path, auth=given, json={"project": KEY, "job": f"{KEY}:0"}).text
            yield client.post(path, auth=given, data=b"{").text


@pytest.mark.parametrize("end", ["\n", "\r\n", " ", "\t", "\n\n"])
def test_what_no_token_can_contain_is_stripped(environment: pytest.MonkeyPatch, end: str) -> None:
    for name in SECRETS[:-1]:
        environment.setenv(name, f" {CORE}{end}")
    settings = read_settings()
    for secret in (
        settings.label_studio_api_key,
        settings.basic_auth_pass,
        settings.webhook_secret,
        settings.signing_key,
    ):
        assert secret is not None
        assert secret.get_secret_value() == CORE


# -- the redaction itself -------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ODD)
def test_secret_is_hidden_however_a_library_writes_it(odd: str) -> None:
    secret = ODD[odd].format(CORE)
    know(secret)
    for written in (secret, repr(secret), ascii(secret), repr(f"Token {secret}".encode("utf-8", "surrogatepass"))):
        assert CORE not in hide(f"it said {written}!")


def test_passwords_of_addresses_and_logins_are_hidden() -> None:
    know_address(f"postgresql://al:{CORE}%2Fx@db/al")
    know_login("studio", "an0ther-" + CORE[::-1])
    assert CORE not in hide(f"could not connect with {CORE}/x or {CORE}%2Fx")
    assert CORE[::-1] not in hide(f"an0ther-{CORE[::-1]}")
    encoded = httpx.BasicAuth("studio", "an0ther-" + CORE[::-1])._auth_header.removeprefix("Basic ")
    assert encoded not in hide(f"header {encoded}")


def test_every_error_hides_secrets_by_itself() -> None:
    know(CORE)
    kinds = [BackendError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        assert CORE not in str(kind(f"it said {CORE}"))


def test_access_token_that_was_got_is_a_secret_from_then_on() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"refused: {request.headers['Authorization']}")

    studio = Studio(NOWHERE, CORE, httpx_client=httpx.Client(transport=httpx.MockTransport(answer)))
    with pytest.raises((StudioUnreachable, StudioRefused)) as caught:
        studio.user()
    assert CORE not in str(caught.value)
    assert CORE not in hide(f"later: {CORE}")


def test_sentences_that_speak_of_secrets_stay_as_they_are() -> None:
    for sentence in (
        "a webhook must carry the header X with this project's secret: run label-studio-al connect",
        "LABEL_STUDIO_API_KEY: must be a token as Label Studio shows it",
        "a personal access token: it has expired or was revoked",
    ):
        assert hide(sentence) == sentence
