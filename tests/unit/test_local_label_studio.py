"""A local Label Studio, without installing one: a fake `uv` installs, a fake `label-studio` answers."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from label_studio_al.cli import local
from label_studio_al.cli.local import (
    LabelStudioInstallError,
    LabelStudioStartError,
    LocalLabelStudio,
    Login,
    environment_path,
    free_port,
    install,
    last_meaningful_line,
    port_is_free,
)
from label_studio_al.runtime.errors import PortInUse
from label_studio_al.studio.about import LABEL_STUDIO_VERSION

LOGIN = Login("annotator@example.com", "a-password", "0123456789abcdef0123456789abcdef01234567")

# Called as: uv pip install --python <environment>/bin/python --constraint <file> label-studio==<version>
GOOD_UV = """
echo run >> "$(dirname "$0")/runs"
touch "$(dirname "$4")/label-studio"
"""
FAILING_UV = """
touch "$(dirname "$4")/../left-over"
echo "  Caused by: failed to lookup address information: Name or service not known"
echo "hint: something of no use"
exit 2
"""


@pytest.fixture
def fake_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a `uv` with the given shell script first on the PATH; gives the file that counts its runs."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    def make(script: str) -> Path:
        _write_program(programs / "uv", f"#!/bin/sh\n{script}")
        return programs / "runs"

    return make


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- installing --------------------------------------------------------------------------------------------


def test_environment_variable_names_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AL_LABEL_STUDIO_ENV", raising=False)
    assert LABEL_STUDIO_VERSION in environment_path().name
    monkeypatch.setenv("AL_LABEL_STUDIO_ENV", str(tmp_path))
    assert environment_path() == tmp_path


def test_constraints_hold_pins_and_no_addresses() -> None:
    lines = local._CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 100
    assert all("==" in pin and "/" not in pin and "@" not in pin for pin in pins)


def test_second_install_does_nothing(tmp_path: Path, fake_uv: Callable[[str], Path]) -> None:
    runs = fake_uv(GOOD_UV)
    messages: list[str] = []
    install(tmp_path / "env", messages.append)
    n_messages = len(messages)
    install(tmp_path / "env", messages.append)
    assert runs.read_text() == "run\n"
    assert len(messages) == n_messages
    assert _mode(tmp_path / "env.log") == 0o600


def test_half_finished_install_is_made_anew(tmp_path: Path, fake_uv: Callable[[str], Path]) -> None:
    environment = tmp_path / "env"
    fake_uv(FAILING_UV)
    with pytest.raises(LabelStudioInstallError):
        install(environment, lambda message: None)
    assert (environment / "left-over").exists()
    fake_uv(GOOD_UV)
    install(environment, lambda message: None)
    assert not (environment / "left-over").exists()
    assert (environment / "bin" / "label-studio").exists()


def test_changed_constraints_make_the_environment_anew(
    tmp_path: Path, fake_uv: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = fake_uv(GOOD_UV)
    install(tmp_path / "env", lambda message: None)
    other = tmp_path / "constraints.txt"
    other.write_text("click==8.5.1\n")
    monkeypatch.setattr(local, "_CONSTRAINTS", other)
    install(tmp_path / "env", lambda message: None)
    assert runs.read_text() == "run\nrun\n"


def test_failing_install_gives_one_line(tmp_path: Path, fake_uv: Callable[[str], Path]) -> None:
    fake_uv(FAILING_UV)
    with pytest.raises(LabelStudioInstallError) as caught:
        install(tmp_path / "env", lambda message: None)
    assert str(caught.value) == (
        f"installing label-studio=={LABEL_STUDIO_VERSION} failed: "
        "Caused by: failed to lookup address information: Name or service not known "
        f"(full output: {tmp_path / 'env.log'})"
    )


def test_killed_installer_is_named_as_such(tmp_path: Path, fake_uv: Callable[[str], Path]) -> None:
    fake_uv("kill -9 $$")
    with pytest.raises(LabelStudioInstallError, match="ended by signal 9"):
        install(tmp_path / "env", lambda message: None)


def test_directory_of_somebody_else_is_never_emptied(tmp_path: Path) -> None:
    environment = tmp_path / "env"
    environment.mkdir()
    (environment / "thesis.txt").write_text("three years of work")
    with pytest.raises(LabelStudioInstallError, match="was not made by this program"):
        install(environment, lambda message: None)
    assert [path.name for path in environment.iterdir()] == ["thesis.txt"]


def test_environment_of_somebody_else_with_the_right_version_is_used(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("python", "label-studio"):
        (tmp_path / "bin" / name).touch()
    package = f"label_studio-{LABEL_STUDIO_VERSION}.dist-info"
    (tmp_path / "lib" / "python3.11" / "site-packages" / package).mkdir(parents=True)
    install(tmp_path, lambda message: pytest.fail(message))


def test_installer_that_outlives_us_keeps_the_lock(tmp_path: Path, fake_uv: Callable[[str], Path]) -> None:
    started, finish = tmp_path / "started", tmp_path / "finish"
    os.mkfifo(started)
    os.mkfifo(finish)
    fake_uv(f'echo > "{started}"; read line < "{finish}"')
    code = "import sys, pathlib; from label_studio_al.cli import local; local.install(pathlib.Path(sys.argv[1]), str)"
    root = Path(local.__file__).parents[2]
    installing = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "env")], cwd=root)
    started.read_text()  # Blocks until the fake uv runs.
    installing.kill()
    installing.wait()
    with (tmp_path / "env.lock").open() as lock:
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finish.write_text("\n")
        fcntl.flock(lock, fcntl.LOCK_EX)


# Outputs of real installers and of a real Label Studio, shortened.
@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("", ""),
        ("\nonly this\n\n", "only this"),
        (
            "error: Failed to install: grpcio-1.85.1-cp311.whl (grpcio==1.85.1)\n"
            "  cause: Failed to copy to `env/lib/roots.pem`\n"
            "  cause: failed to copy file from a to b: No space left on device (os error 28)\n",
            "cause: failed to copy file from a to b: No space left on device (os error 28)",
        ),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError: [Errno -3] "
            "Temporary failure in name resolution': /simple/label-studio/\n"
            "ERROR: Could not find a version that satisfies the requirement label-studio==1.23.2\n"
            "ERROR: No matching distribution found for label-studio==1.23.2\n",
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError: [Errno -3] "
            "Temporary failure in name resolution': /simple/label-studio/",
        ),
        (
            "      error: command 'gcc' failed: No such file or directory\n"
            "      [end of output]\n"
            "  note: This error originates from a subprocess, and is likely not a problem with pip.\n"
            "ERROR: Could not build wheels for thing, which is required to install projects\n",
            "error: command 'gcc' failed: No such file or directory",
        ),
        (
            "error: Failed to fetch: http://127.0.0.1:9/simple/label-studio/\n"
            "  cause: tcp connect error\n"
            "  cause: Connection refused (os error 111)\n",
            "cause: Connection refused (os error 111)",
        ),
        (
            "Traceback (most recent call last):\n  File \"server.py\", line 3\nKeyError: 'nonsense'\n",
            "KeyError: 'nonsense'",
        ),
    ],
)
def test_line_that_best_says_what_went_wrong(tmp_path: Path, output: str, line: str) -> None:
    log = tmp_path / "log"
    log.write_text(f"error: of an earlier run, no space left on device\n{output}")
    assert last_meaningful_line(log, begin=log.read_text().index("\n") + 1) == line


# --- ports -------------------------------------------------------------------------------------------------


def test_port_that_a_server_uses_is_not_free() -> None:
    port = free_port()
    assert port_is_free(port)
    with socket.create_server(("127.0.0.1", port)):
        assert not port_is_free(port)
    assert port_is_free(port)


# --- running -----------------------------------------------------------------------------------------------

# Answers as Label Studio does, as far as start() asks; a child process holds a lock as long as it lives.
FAKE_LABEL_STUDIO = """#!{python}
import fcntl, http.server, json, os, pathlib, signal, sys, time

pathlib.Path("environment.json").write_text(json.dumps(dict(os.environ)))
if "FAIL" in os.environ:
    print("Traceback (most recent call last):")
    sys.exit("django.db.utils.OperationalError: database is locked")
if "IGNORE_SIGTERM" in os.environ:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = open("child.lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
if os.fork() == 0:
    time.sleep(600)
lock.close()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers["Authorization"] == "Token {token}"
        self.send_response(200 if known and self.path == "/api/current-user/whoami" else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()


port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[LocalLabelStudio]:
    (tmp_path / "env" / "bin").mkdir(parents=True)
    text = FAKE_LABEL_STUDIO.replace("{python}", sys.executable).replace("{token}", LOGIN.token)
    _write_program(tmp_path / "env" / "bin" / "label-studio", text)
    server = LocalLabelStudio(tmp_path / "env", tmp_path / "data", free_port(), LOGIN, tmp_path / "server.log")
    with server:
        yield server


def test_server_runs_until_it_is_stopped(studio: LocalLabelStudio) -> None:
    messages: list[str] = []
    studio.start(messages.append)
    assert studio.is_running
    assert studio.url in messages[-1]
    studio.stop()
    assert not studio.is_running
    assert port_is_free(studio.port)
    studio.stop()  # Once more harms nobody.


def test_server_starts_again_on_the_same_data(studio: LocalLabelStudio) -> None:
    studio.start(lambda message: None)
    (studio.data_dir / "project").touch()
    studio.stop()
    studio.start(lambda message: None)
    assert (studio.data_dir / "project").exists()


@pytest.mark.parametrize("extra_env", [{}, {"IGNORE_SIGTERM": "1"}])
def test_children_of_the_server_end_with_it(studio: LocalLabelStudio, extra_env: dict[str, str]) -> None:
    studio.start(lambda message: None, extra_env)
    studio.stop(wait_seconds=0.2 if extra_env else 10)
    with (studio.data_dir / "child.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Would block while the child lives.


def test_taken_port_is_refused_before_anything_starts(studio: LocalLabelStudio) -> None:
    taken = pytest.raises(PortInUse, match=f"port {studio.port} is already in use")
    with socket.create_server(("127.0.0.1", studio.port)), taken:
        studio.start(lambda message: None)
    assert not studio.is_running
    assert not studio.data_dir.exists()


def test_server_that_ends_early_is_told_in_one_line(studio: LocalLabelStudio) -> None:
    with pytest.raises(LabelStudioStartError) as caught:
        studio.start(lambda message: None, {"FAIL": "1"})
    assert str(caught.value) == (
        "Label Studio did not start, it ended with code 1: "
        f"django.db.utils.OperationalError: database is locked (log: {studio.log_path})"
    )


def test_server_that_does_not_answer_is_stopped(studio: LocalLabelStudio) -> None:
    with pytest.raises(LabelStudioStartError, match="did not answer in time"):
        studio.start(lambda message: None, timeout_seconds=0)
    assert not studio.is_running


def test_data_of_another_login_is_named(studio: LocalLabelStudio) -> None:
    studio.login = Login(LOGIN.email, LOGIN.password, "f" * 40)
    with pytest.raises(LabelStudioStartError, match="was made with another login"):
        studio.start(lambda message: None)
    assert not studio.is_running


def test_missing_program_is_told(studio: LocalLabelStudio) -> None:
    (studio.environment / "bin" / "label-studio").unlink()
    with pytest.raises(LabelStudioStartError, match="cannot start Label Studio"):
        studio.start(lambda message: None)


def test_nobody_else_reads_the_log_or_the_data(studio: LocalLabelStudio) -> None:
    studio.log_path.touch(mode=0o644)
    studio.start(lambda message: None)
    assert _mode(studio.log_path) == 0o600
    assert _mode(studio.data_dir) == 0o700


def test_login_does_not_show_its_secrets() -> None:
    assert LOGIN.password not in repr(LOGIN)
    assert LOGIN.token not in repr(LOGIN)


def test_server_gets_our_settings_and_none_of_the_users(
    studio: LocalLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST", "https://production.example.com")
    monkeypatch.setenv("LABEL_STUDIO_DATABASE_NAME", "production")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com")
    studio.start(lambda message: None, {"EXTRA": "1"})
    seen = json.loads((studio.data_dir / "environment.json").read_text())
    assert {"HOST", "LABEL_STUDIO_DATABASE_NAME", "HTTP_PROXY"}.isdisjoint(seen)
    assert seen["LABEL_STUDIO_USER_TOKEN"] == LOGIN.token
    assert seen["DEBUG"] == "false"
    assert seen["EXTRA"] == "1"


def test_proxy_of_the_user_does_not_come_between(studio: LocalLabelStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    studio.start(lambda message: None)
    with pytest.raises(httpx.ConnectError):  # The proxy is really in force here.
        httpx.get(studio.url)
