"""A MODEL_DIR that this user may not write to is a sentence at the start, in every command, and no traceback."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from label_studio_al.cli.local import free_port
from label_studio_al.runtime.keeping import CANNOT_START
from label_studio_al.runtime.secrets import read_or_create_secret
from label_studio_al.store import Store

ROOT = Path(__file__).parents[2]
SECONDS = 120
_DROP_FROM_BOUNDING_SET, _IGNORE_PERMISSIONS_TO_WRITE, _AND_TO_READ = 24, 1, 2
PROJECT = ["--project", "1"]


def _as_permissions_say() -> None:
    """To root they mean nothing, until a process that it starts lacks the capability."""
    if os.geteuid() == 0:
        for capability in (_IGNORE_PERMISSIONS_TO_WRITE, _AND_TO_READ):
            if ctypes.CDLL(None).prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0):
                raise OSError("capabilities cannot be dropped here")


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    ours = ("AL_", "LABEL_STUDIO_", "BASIC_AUTH_", "DATABASE_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    given = {"LABEL_STUDIO_URL": "http://127.0.0.1:9", "LABEL_STUDIO_API_KEY": "0" * 40, "MODEL_DIR": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "label_studio_al", *arguments],
        cwd=ROOT,
        env={**kept, **given, **variables},
        preexec_fn=_as_permissions_say,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.fixture(params=["empty", "filled"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder that may only be read; "filled" by a backend that could still write to it."""
    made = tmp_path / "models"
    made.mkdir()
    if request.param == "filled":
        store = Store(f"sqlite:///{made / 'state.sqlite'}")
        store.migrate()
        store.close()
        for name in ("signing.key", "webhook.key"):
            read_or_create_secret(made / name)
    made.chmod(0o500)
    try:
        reason = "permissions mean nothing to this user"
        probe = "import os, sys; sys.exit(os.access(sys.argv[1], os.W_OK))"
        asked = [sys.executable, "-c", probe, str(made)]
        try:
            can_write = subprocess.run(asked, preexec_fn=_as_permissions_say, check=False).returncode
        except subprocess.SubprocessError:
            can_write = 1
        if can_write:
            pytest.skip(reason)
        yield made
    finally:
        made.chmod(0o700)


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_start_ends_with_a_sentence_and_is_not_repeated(folder: Path, command: str) -> None:
    options = ["--port", str(free_port())] if command == "serve" else []
    done = run(folder, command, *options)
    said = done.stdout + done.stderr
    assert done.returncode == CANNOT_START, said
    assert f"MODEL_DIR: {folder} cannot be written to: let this user write there, or set MODEL_DIR to another" in said
    assert "Traceback" not in said
    assert "started again" not in said


@pytest.mark.parametrize("folder", ["filled"], indirect=True)
@pytest.mark.parametrize(
    "command",
    [
        ["export", *PROJECT, "--output", "exported"],
        ["connect", *PROJECT],
        ["doctor"],
    ],
    ids=lambda command: command[0],
)
def test_every_command_ends_with_a_sentence(folder: Path, command: list[str]) -> None:
    done = run(folder, *command)
    said = done.stdout + done.stderr
    assert done.returncode in (1, CANNOT_START)
    assert "Traceback" not in said
    # `connect` needs no more than the keys that are there.
    assert str(folder) in said or (command[0] == "connect" and "Label Studio at" in said), said


def test_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for command in (["serve", "--port", str(free_port())], ["worker"]):
        done = run(tmp_path / "file" / "models", *command)
        said = done.stdout + done.stderr
        assert done.returncode == CANNOT_START, said
        assert f"MODEL_DIR: {tmp_path / 'file' / 'models'} cannot be made: Not a directory" in said
        assert "Traceback" not in said


@pytest.mark.parametrize("folder", ["empty"], indirect=True)
def test_worker_says_so_where_the_database_is_elsewhere(folder: Path, tmp_path: Path) -> None:
    """Feature files are always there."""
    secrets = dict.fromkeys(("AL_SIGNING_KEY", "AL_WEBHOOK_SECRET"), "known to tests only")
    done = run(folder, "worker", DATABASE_URL=f"sqlite:///{tmp_path / 'elsewhere.sqlite'}", **secrets)
    assert done.returncode == CANNOT_START
    assert f"MODEL_DIR: {folder} cannot be written to" in done.stderr
