"""`label-studio-al secrets`: creates the secrets of the containers in docker-compose.yml."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from secrets import token_hex

import click

from label_studio_al.runtime.errors import InvalidSettings
from label_studio_al.runtime.secrets import read_or_create_secret
from label_studio_al.wiring import say_errors

# Label Studio's column for legacy tokens holds 40 characters.
TOKEN_BYTES = 20
PASSWORD_BYTES = 8
OWN = ("AL_SIGNING_KEY", "AL_WEBHOOK_SECRET", "BASIC_AUTH_PASS")
POSTGRES_USER = "active_learning"
# Label Studio's image and PostgreSQL's run as users of their own, in the group 0.
FOR_GROUP = 0o640


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--label-studio",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the only secrets that Label Studio's container sees.  [default: FOLDER]",
)
@click.option(
    "--database",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for PostgreSQL's password, the only secret that its container sees.  [default: FOLDER]",
)
@say_errors
def secrets(folder: Path, label_studio: Path | None, database: Path | None) -> None:
    """Create random secrets in FOLDER, for AL_SECRETS_DIR and for Label Studio's first start. Existing ones stay.

    If LABEL_STUDIO_PASSWORD is set, it is the password of Label Studio's first user.
    """
    try:
        make_secrets(folder, label_studio or folder, database or folder, os.environ.get("LABEL_STUDIO_PASSWORD", ""))
    except OSError as exc:
        raise InvalidSettings(f"no secrets can be kept in {exc.filename or folder}: {exc.strerror}") from exc
    click.echo(f"The secrets are in {folder}")


def make_secrets(folder: Path, label_studio: Path, database: Path, password: str) -> None:
    """Each secret in a file of its name. password: Label Studio's first user's; "" for a random one.

    label_studio, database: where their containers read what is theirs.
    """
    for place in (folder, label_studio, database):
        place.mkdir(parents=True, exist_ok=True)
    for name in OWN:
        read_or_create_secret(folder / name)
    values = {
        "LABEL_STUDIO_PASSWORD": _read_or_keep(folder / "LABEL_STUDIO_PASSWORD", password or token_hex(PASSWORD_BYTES)),
        "LABEL_STUDIO_USER_TOKEN": read_or_create_secret(folder / "LABEL_STUDIO_API_KEY", TOKEN_BYTES),
    }
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in values.items()]
    _write(label_studio / "label-studio.env", "".join(lines), FOR_GROUP)
    postgres = read_or_create_secret(folder / "postgres.secret")
    _write(database / "POSTGRES_PASSWORD", postgres, FOR_GROUP)
    _write(folder / "pgpass", f"*:*:*:{POSTGRES_USER}:{postgres}\n", 0o600)


def _read_or_keep(path: Path, text: str) -> str:
    """A password that people chose may hold any character."""
    if not path.exists():
        _write(path, text, 0o600)
    return path.read_text(encoding="utf-8")


def _write(path: Path, text: str, mode: int) -> None:
    unfinished = path.with_name(f"{path.name}.new")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    # The mode that was asked for, whatever the umask takes away.
    unfinished.chmod(mode)
    unfinished.replace(path)
