"""No secret of the process reaches people, pages, the database or the log, whatever odd characters stand in it."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import click
import httpx
import pytest
from click.testing import CliRunner
from flask import Flask

from label_studio_al.cli import main
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.computing import Computing
from label_studio_al.runtime.errors import BackendError, InvalidSettings, StudioRefused, StudioUnreachable
from label_studio_al.runtime.redaction import hide, know, know_address, know_login
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer, Store, Turn
from label_studio_al.store.activity import WAITING_FOR_A_SECOND_LABEL, Activity
from label_studio_al.studio import WEBHOOK_HEADER, webhook_secret
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.turns.loop import Loop
from label_studio_al.turns.means import Means
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from label_studio_al.wiring import make_signer, make_studio, webhook_keys
from tests.support.background import AtOnce
from tests.support.build import config_xml
from tests.support.columns import set_columns
from tests.support.logged import everything_logged

CORE = "s3cretC0re9876543210"
KEY = "3.1795343520"
# Nothing listens there.
NOWHERE = "http://127.0.0.1:1"
# What anybody may read. Every other setting counts as a secret here, also one that is added later.
OPEN = {
    "AL_ALLOWED_HOSTS",
    "AL_CA_BUNDLE",
    "AL_ENCODER",
    "AL_ENCODER_THREADS",
    "AL_IMAGE_ENCODER",
    "AL_LOG_FORMAT",
    "AL_MAX_BODY_BYTES",
    "AL_MAX_PROJECTS",
    "AL_MAX_TASKS",
    "AL_MODELS",
    "AL_MEDIA_HOSTS",
    "AL_SECRETS_DIR",
    "AL_SWEEP_SECONDS",
    "AL_SYNC_SECONDS",
    "AL_THREADS",
    "AL_TRUSTED_PROXIES",
    "AL_WEB_QUEUE",
    "AL_WEB_THREADS",
    "AL_WORKER_THREADS",
    "LOG_LEVEL",
    "MODEL_DIR",
    "PORT",
}
SECRETS = sorted({str(field.validation_alias) for field in Settings.model_fields.values()} - OPEN)
# Variables of the machine that carry one.
PROXIES = ("HTTP_PROXY", "ALL_PROXY")
# Where in a value the secret stands, unless it is all of it. Users are given with their passwords by mistake.
WRITTEN = {
    "AL_BACKEND_URL": "http://al:{}@127.0.0.1:1",
    "AL_DASK_SCHEDULER": "tcp://al:{}@127.0.0.1:1",
    "AL_LABEL_STUDIO_PUBLIC_URL": "http://al:{}@127.0.0.1:1",
    "ALL_PROXY": "http://al:{}@127.0.0.1:1",
    "BASIC_AUTH_USER": "al:{}",
    "DATABASE_URL": "postgresql+psycopg://al:{}@127.0.0.1:1/al",
    "HTTP_PROXY": "http://al:{}@127.0.0.1:1",
    "LABEL_STUDIO_URL": "http://al:{}@127.0.0.1:1",
}
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
# One that is taken as it is, one that loses its end, one that libraries escape, one that parts addresses.
TELLING = ("plain", "line end", "quotes", "colon and slash")
# Each command as it ends at once; PORT is a port that is taken, FILE a file where a folder is wanted.
COMMANDS = {
    "autolabel": [["--project", "1", "--max-error", "0.1"], ["--project", "1", "--json"]],
    "connect": [["--project", "1", "--no-wait"], ["--project", "1", "--json"], ["--example"]],
    "demo": [["--port", "PORT", "--data-dir", "demo"]],
    "doctor": [[], ["--json"]],
    "encoders": [["--try", "nowhere"], ["--fetch", "nowhere", "--json"]],
    "export": [["--project", "1", "--output", "out"], ["--project", "1", "--output", "out", "--json"]],
    "forget": [["--project", "1", "--yes"], ["--project", "1", "--disconnect", "--yes"]],
    "host-dir": [[]],
    "questions": [["-"]],
    "secrets": [["FILE"]],
    "serve": [["--port", "PORT"], ["--port", "PORT", "--web-only"]],
    "simulate": [["nowhere.csv", "--output", "out"], ["nowhere.csv", "--output", "out", "--json"]],
    "worker": [[]],
}


def value_of(name: str, odd: str) -> str:
    return WRITTEN.get(name, "{}").replace("{}", ODD[odd].format(CORE))


def refuse(*_: object, **__: object) -> None:
    """No server starts here."""
    raise OSError(errno.EADDRINUSE, "Address already in use")


@pytest.fixture
def environment(tmp_path: Path, _empty_sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A backend that knows no project, whose Label Studio does not answer, and whose jobs cannot be opened."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Clock, "sleep", lambda _clock, _seconds: None)
    monkeypatch.setattr("waitress.create_server", refuse)
    (tmp_path / "models" / "jobs.sqlite").mkdir(parents=True)
    shutil.copy(_empty_sqlite, tmp_path / "models" / "state.sqlite")
    for name, value in {
        "MODEL_DIR": str(tmp_path / "models"),
        "AL_ENCODER": "none",
        "LABEL_STUDIO_URL": NOWHERE,
        "LABEL_STUDIO_API_KEY": "0" * 40,
        "BASIC_AUTH_USER": "studio",
        "BASIC_AUTH_PASS": "another password",
        "LOG_LEVEL": "DEBUG",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Commands set up the log, signals and permissions of their process, which is this one."""
    root = logging.getLogger()
    kept = root.handlers[:], root.level, logging.getLogger("label_studio_al").level, logging.raiseExceptions
    heard = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    mask = os.umask(0o077)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    yield
    os.umask(mask)
    for number, handler in heard.items():
        signal.signal(number, handler)
    root.handlers[:], logging.raiseExceptions = kept[0], kept[3]
    root.setLevel(kept[1])
    logging.getLogger("label_studio_al").setLevel(kept[2])
    logging.captureWarnings(False)


@pytest.fixture
def port() -> Iterator[str]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield str(listening.getsockname()[1])


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that is logged, as it is written."""
    with everything_logged() as stream:
        yield stream


def say_all(commands: dict[str, list[list[str]]], port: str) -> Iterator[tuple[str, str]]:
    """Each command with what it said."""
    stands_for = {"PORT": port, "FILE": "a file"}
    Path("a file").touch()
    for name, variants in commands.items():
        for arguments in variants:
            done = CliRunner().invoke(main, [name, *[stands_for.get(one, one) for one in arguments]])
            assert done.exit_code != 0 or name == "host-dir", (name, done.output)
            yield " ".join([name, *arguments]), done.output


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("odd", TELLING)
@pytest.mark.parametrize("name", [*SECRETS, *PROXIES])
def test_no_command_prints_a_secret(environment: pytest.MonkeyPatch, port: str, name: str, odd: str) -> None:
    environment.setenv(name, value_of(name, odd))
    for command, said in say_all(COMMANDS, port):
        assert CORE not in said, command
        assert "internal error" not in said, (command, said)


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("odd", [odd for odd in ODD if odd not in TELLING])
@pytest.mark.parametrize("name", SECRETS)
def test_no_odd_character_has_a_secret_printed(environment: pytest.MonkeyPatch, port: str, name: str, odd: str) -> None:
    environment.setenv(name, value_of(name, odd))
    for command, said in say_all({"connect": COMMANDS["connect"][-1:], "doctor": [["--json"]]}, port):
        assert CORE not in said, command
        assert "internal error" not in said, (command, said)


def test_no_command_is_forgotten() -> None:
    assert isinstance(main, click.Group)
    assert set(COMMANDS) == set(main.list_commands(click.Context(main)))


def test_no_secret_is_forgotten() -> None:
    known = {"AL_SIGNING_KEY", "AL_WEBHOOK_SECRET", "BASIC_AUTH_PASS", "DATABASE_URL", "LABEL_STUDIO_API_KEY"}
    assert known < set(SECRETS)
    assert {str(field.validation_alias) for field in Settings.model_fields.values()} > OPEN


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        *product([name for name in SECRETS if name != "DATABASE_URL"], ODD),
        *product(PROXIES, TELLING),
    ],
)
def test_no_route_answers_with_a_secret_and_none_is_stored(
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    store: Store,
    log: io.StringIO,
    name: str,
    odd: str,
) -> None:
    environment.setenv(name, value_of(name, odd))
    accepted = taken(name)
    if accepted is None:
        return
    settings, studio = accepted
    store.projects.register(KEY, config_xml(), None, 0.0)
    loop = Loop(Means(store, studio, Signer("a key"), settings, Clock(), Computing(1), AtOnce()))
    loop.take_turn(KEY)
    assert store.projects.get(KEY).error
    stored = [path for path in tmp_path.glob("state.sqlite*") if CORE.encode() in path.read_bytes()]
    assert stored == []
    # What a release before this one has stored.
    store.turns.record(KEY, Turn(0.0, 0.0, f"failed: {ODD[odd].format(CORE)!r}", None, None, {}))
    activity = Activity(WAITING_FOR_A_SECOND_LABEL, {"n": 1, "label": value_of(name, odd)})
    set_columns(store, KEY, error=f"it said {value_of(name, odd)!r}", activity=activity.dumps())
    app = create_app(Parts(settings, store, Signer("a key")), ["k" * 16])
    assert settings.basic_auth_pass is not None
    for text in answers(app, ("studio", settings.basic_auth_pass.get_secret_value())):
        assert CORE not in text
    assert CORE not in log.getvalue()


def taken(name: str) -> tuple[Settings, Studio | None] | None:
    """The settings, and Label Studio's client; None where the secret is refused without being repeated."""
    try:
        settings = read_settings()
        return settings, make_studio(settings)
    except InvalidSettings as exc:
        said = str(exc)
    assert CORE not in said
    assert said.startswith(f"{name}: ")
    return None


@pytest.mark.parametrize("name", SECRETS)
def test_secret_from_a_file_is_hidden_as_one_from_a_variable(
    environment: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / name).write_text(value_of(name, "line end"), encoding="utf-8")
    environment.setenv("AL_SECRETS_DIR", str(folder))
    environment.delenv(name, raising=False)
    if taken(name) is not None:
        assert CORE not in hide(f"it said {CORE}")


def test_keys_that_are_made_are_hidden(tmp_path: Path) -> None:
    settings = read_settings(model_dir=tmp_path)
    make_signer(settings)
    (key,) = webhook_keys(settings)
    for secret in (key, (tmp_path / "signing.key").read_text(encoding="ascii")):
        assert secret not in hide(f"it said {secret}!")
    told = {WEBHOOK_HEADER: webhook_secret(key, KEY)}
    assert told[WEBHOOK_HEADER] not in hide(f"refused: {told} {json.dumps(told)}")


def answers(app: Flask, auth: tuple[str, str]) -> Iterator[str]:
    """What every route says, asked well and badly, with and without credentials."""
    client = app.test_client()
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<key>", KEY).replace("<path:filename>", "page.css")
        for given in (auth, None):
            for accept in ("application/json", "text/html"):
                with client.get(path, auth=given, headers={"Accept": accept}) as answer:
                    yield f"{answer.status}\n{answer.headers}\n{answer.text}"
            if "POST" in (rule.methods or ()):
                yield client.post(path, auth=given, json={"project": KEY, "job": f"{KEY}:0"}).text
                yield client.post(path, auth=given, data=b"{").text


@pytest.mark.parametrize("end", ["\n", "\r\n", " ", "\t", "\n\n"])
def test_what_no_token_can_contain_is_stripped(environment: pytest.MonkeyPatch, end: str) -> None:
    for name in ("LABEL_STUDIO_API_KEY", "BASIC_AUTH_PASS", "AL_WEBHOOK_SECRET", "AL_SIGNING_KEY"):
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

    studio = Studio(Api(NOWHERE, CORE, httpx.Client(transport=httpx.MockTransport(answer))))
    with pytest.raises((StudioUnreachable, StudioRefused)) as caught:
        studio.projects.user()
    assert CORE not in str(caught.value)
    assert CORE not in hide(f"later: {CORE}")


def test_sentences_that_speak_of_secrets_stay_as_they_are() -> None:
    for sentence in (
        "a webhook must carry the header X with this project's secret: run label-studio-al connect",
        "LABEL_STUDIO_API_KEY: must be a token as Label Studio shows it",
        "a personal access token: it has expired or was revoked",
    ):
        assert hide(sentence) == sentence
