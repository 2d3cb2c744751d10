"""`label-studio-al secrets`: made once, each for whom it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from label_studio_al.runtime.settings import read_settings

VARIABLES = ("LABEL_STUDIO_API_KEY", "BASIC_AUTH_PASS", "AL_SIGNING_KEY", "AL_WEBHOOK_SECRET", "LABEL_STUDIO_PASSWORD")


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def make(folder: Path, password: str | None = None) -> Result:
    environment = {"LABEL_STUDIO_PASSWORD": password} if password is not None else {}
    return CliRunner().invoke(main, ["secrets", str(folder)], env=environment)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


def sourced(folder: Path) -> dict[str, str]:
    """What a shell has after reading Label Studio's file."""
    script = '. "$0"; printf "%s\\0%s" "$LABEL_STUDIO_PASSWORD" "$LABEL_STUDIO_USER_TOKEN"'
    command = ["sh", "-c", script, str(folder / "label-studio.env")]
    password, token = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return {"password": password, "token": token}


def test_secrets_are_random_and_stay(tmp_path: Path) -> None:
    assert make(tmp_path / "one").exit_code == 0
    first = contents(tmp_path / "one")
    assert make(tmp_path / "one").exit_code == 0
    assert contents(tmp_path / "one") == first
    make(tmp_path / "two")
    assert not set(first.values()) & set(contents(tmp_path / "two").values())


def test_settings_read_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    monkeypatch.setenv("AL_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("BASIC_AUTH_USER", "label-studio")
    settings = read_settings()
    assert settings.is_protected
    for value in (settings.label_studio_api_key, settings.webhook_secret, settings.signing_key):
        assert value is not None
        assert value.get_secret_value() in contents(tmp_path).values()
    assert settings.database_url is None


def test_label_studio_gets_the_password_and_the_token_that_we_use(tmp_path: Path) -> None:
    make(tmp_path)
    found = contents(tmp_path)
    assert sourced(tmp_path) == {"password": found["LABEL_STUDIO_PASSWORD"], "token": found["LABEL_STUDIO_API_KEY"]}
    # Label Studio's column is no wider.
    assert len(found["LABEL_STUDIO_API_KEY"]) == 40


@pytest.mark.parametrize("password", ["plain", 'it\'s $HOME `id` "quoted"; exit 1', "pässwörd 密码"])
def test_chosen_password_is_taken_as_it_is_and_stays(tmp_path: Path, password: str) -> None:
    make(tmp_path, password)
    assert sourced(tmp_path)["password"] == password
    make(tmp_path, "another")
    make(tmp_path, "")
    assert sourced(tmp_path)["password"] == password


def test_only_what_others_containers_need_is_for_the_group(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        make(tmp_path)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert {name for name, mode in modes.items() if mode == 0o640} == {"label-studio.env", "POSTGRES_PASSWORD"}
    assert set(modes.values()) == {0o600, 0o640}


def test_postgresql_and_its_clients_have_the_same_password(tmp_path: Path) -> None:
    make(tmp_path)
    found = contents(tmp_path)
    assert found["pgpass"] == f"*:*:*:active_learning:{found['POSTGRES_PASSWORD']}\n"


def test_nothing_secret_is_printed(tmp_path: Path) -> None:
    said = make(tmp_path).output
    assert not any(value.strip() in said for value in contents(tmp_path).values())


def test_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = make(tmp_path / "file" / "folder")
    assert done.exit_code != 0
    assert "no secrets can be kept in" in done.output
    assert "Traceback" not in done.output


def test_the_database_gets_its_password_alone(tmp_path: Path) -> None:
    own, database = tmp_path / "own", tmp_path / "database"
    done = CliRunner().invoke(main, ["secrets", str(own), "--database", str(database)])
    assert done.exit_code == 0
    (password,) = contents(database).values()
    assert contents(own)["pgpass"] == f"*:*:*:active_learning:{password}\n"
    assert "POSTGRES_PASSWORD" not in contents(own)
