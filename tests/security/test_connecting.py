"""Connecting: what cannot work is refused at the start, and where a step fails nothing is left behind.

Of certificates, see test_private_certificates.py; of folders, test_read_only_folder.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from label_studio_al.runtime.connection_settings import KEY_CHARACTERS
from label_studio_al.runtime.errors import InvalidSettings
from label_studio_al.runtime.settings import read_settings
from label_studio_al.studio.api import TRIES, Api
from label_studio_al.studio.client import Studio
from label_studio_al.wiring import webhook_keys
from tests.support.bench import TEXTS, TWO
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import TOKEN, URL, FakeLabelStudio


@pytest.fixture
def fake() -> FakeLabelStudio:
    return FakeLabelStudio()


@pytest.fixture
def environment(fake: FakeLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    given = {"LABEL_STUDIO_URL": URL, "LABEL_STUDIO_API_KEY": TOKEN, "AL_BACKEND_URL": "http://backend.internal:9090"}
    for name, value in {**given, "MODEL_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    http = fake.client()
    monkeypatch.setattr("label_studio_al.cli.connect.make_studio", lambda _: Studio(Api(URL, TOKEN, http, FakeClock())))
    return monkeypatch


def connect(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["connect", "--no-wait", *arguments])


@pytest.mark.parametrize("value", [",", " , ", ",,", "a", "a,b", "0123456789abcde", "0123456789abcdef,b", "ä" * 20])
def test_webhook_key_that_protects_nothing_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AL_WEBHOOK_SECRET", value)
    with pytest.raises(InvalidSettings) as refused:
        read_settings()
    assert str(refused.value) == (
        f"AL_WEBHOOK_SECRET: must be one key, or two with a comma between them, of {KEY_CHARACTERS} ASCII characters "
        "or more"
    )


def test_webhook_keys_are_parted_by_commas_and_line_ends() -> None:
    new, old = "the key from now on", "the key until now"
    for written in (f"{new},{old}", f" {new} \r\n {old},\n"):
        assert webhook_keys(read_settings(webhook_secret=written)) == [new, old]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BASIC_AUTH_USER", "us:er"),
        ("BASIC_AUTH_USER", "\u00fcser"),
        ("BASIC_AUTH_PASS", "p\u00e4ss"),
        ("AL_WEBHOOK_SECRET", "0123456789abcde"),
        ("AL_BACKEND_URL", "http://user:password@backend.internal:9090"),  # pragma: allowlist secret
        ("LABEL_STUDIO_URL", "http://user:password@label-studio.test"),  # pragma: allowlist secret
        ("LABEL_STUDIO_API_KEY", "a\u00a0token"),
    ],
)
def test_setting_that_cannot_work_is_refused_before_label_studio_is_asked(
    fake: FakeLabelStudio, environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    for variable, given in {"BASIC_AUTH_USER": "user", "BASIC_AUTH_PASS": "a password", name: value}.items():
        environment.setenv(variable, given)
    done = connect("--project", str(fake.add_project(TWO, TEXTS).id))
    assert (done.exit_code, done.output.count("\n")) == (3, 1)
    assert done.output.startswith(f"Error: {name}: must")
    assert value not in done.output
    assert fake.calls == []


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("method", "path", "nth"),
    [
        ("POST", "/api/ml/?", 1),
        ("POST", "/api/ml/?", 2),
        ("POST", "/api/webhooks/?", 1),
        ("POST", "/api/webhooks/?", 2),
        ("PATCH", r"/api/projects/\d+/?", 1),
        ("POST", "/api/dm/views/?", 1),
    ],
)
@pytest.mark.parametrize("how", [403, 500])
def test_nothing_is_left_behind_where_label_studio_refuses_a_step(
    fake: FakeLabelStudio, method: str, path: str, nth: int, how: int
) -> None:
    project = fake.add_project(TWO, TEXTS)
    before = (project.sampling, project.show_collab_predictions)
    # What is repeated fails each time.
    fake.fail(method, path, how, nth=nth, times=TRIES if (method, how) == ("PATCH", 500) else 1)
    done = connect("--project", str(project.id))
    assert done.exit_code == 1, done.output
    assert not fake.webhooks
    assert not fake.connections
    assert (project.sampling, project.show_collab_predictions) == before
    assert "connection " not in done.output
