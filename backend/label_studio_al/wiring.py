"""Builds the parts of a process from its settings.

scikit-learn, pandas and Label Studio's SDK take 100 MB each and seconds to import, so each part is imported
by the process that builds it: `serve` itself, which only watches, needs none of them.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

import click

from label_studio_al.runtime import logs
from label_studio_al.runtime.connection_settings import KEY_CHARACTERS, split_keys
from label_studio_al.runtime.errors import BackendError, InvalidSettings, SchemaTooNew
from label_studio_al.runtime.hosts import Reach, read_hosts
from label_studio_al.runtime.keeping import CANNOT_START, PARENT_PIPE
from label_studio_al.runtime.secrets import read_or_create_secret
from label_studio_al.runtime.settings import Settings

if TYPE_CHECKING:
    from label_studio_al.runtime.counting import Counts
    from label_studio_al.store import Signer, Store
    from label_studio_al.studio.client import Studio

P = ParamSpec("P")
R = TypeVar("R")


class _CannotStart(click.ClickException):
    exit_code = CANNOT_START


def say_errors(function: Callable[P, R]) -> Callable[P, R]:
    """A command that ends with one clear line instead of a traceback."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BackendError as exc:
            kind = _CannotStart if exit_code(exc) == CANNOT_START else click.ClickException
            raise kind(logs.on_lines(str(exc))) from exc

    return wrapped


def exit_code(exc: BackendError) -> int:
    """How a process ends that an error ended."""
    return CANNOT_START if isinstance(exc, (InvalidSettings, SchemaTooNew)) else 1


def set_up_logging(settings: Settings) -> None:
    """One line an event on standard error."""
    logs.set_up(settings.log_level, settings.log_format)


def keep_files_private() -> None:
    """What this process writes (texts, labels, models, keys) is for its own user only."""
    os.umask(0o077)


def make_folder(settings: Settings, *, must_be_writable: bool = True) -> None:
    """MODEL_DIR. Raises InvalidSettings where it cannot be made, or this user may not write there."""
    folder = settings.model_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise InvalidSettings(f"MODEL_DIR: {folder} cannot be made: {exc.strerror}") from exc
    if must_be_writable and not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidSettings(
            f"MODEL_DIR: {folder} cannot be written to: let this user write there, or set MODEL_DIR to another folder"
        )


def open_store(settings: Settings, patience_seconds: float | None = None) -> Store:
    """The store, with its tables. Raises DatabaseUnavailable, SchemaTooNew.

    patience_seconds: how long a write waits for others' writes. A damaged SQLite file is set aside.
    """
    from label_studio_al.runtime.database import PATIENT_SECONDS, UNAVAILABLE, CorruptDatabase, set_aside, unavailable
    from label_studio_al.store import Store

    make_folder(settings, must_be_writable=settings.database_url is None)
    patience = patience_seconds or PATIENT_SECONDS
    store = Store(settings.store_url, patience_seconds=patience, installation=make_signer(settings).installation)
    try:
        try:
            store.migrate()
        except CorruptDatabase as exc:
            set_aside(exc)
            store.migrate()
    except UNAVAILABLE as exc:
        raise unavailable(exc) from exc
    return store


def make_signer(settings: Settings) -> Signer:
    """The signer of stored models."""
    from label_studio_al.store import Signer

    if settings.signing_key is not None:
        return Signer(settings.signing_key.get_secret_value())
    return Signer(read_or_create_secret(settings.model_dir / "signing.key", at_least=KEY_CHARACTERS))


def webhook_keys(settings: Settings, *, create: bool = True) -> list[str]:
    """What projects' webhook secrets are made from: by `connect` from the first, those of the others are valid, too.

    create: make one where none is. The worker does not: on a machine of its own it would not be the web server's.
    """
    if settings.webhook_secret is not None:
        return split_keys(settings.webhook_secret.get_secret_value())
    # Not the `webhook.secret` of earlier releases, which Label Studio has shown to its users.
    path = settings.model_dir / "webhook.key"
    if not create and not os.path.lexists(path):
        return []
    return split_keys(read_or_create_secret(path, at_least=KEY_CHARACTERS))


def make_studio(settings: Settings, counts: Counts | None = None) -> Studio | None:
    """Label Studio's client; None without an address or a token. counts: where its calls are counted."""
    if not settings.label_studio_url or settings.label_studio_api_key is None:
        return None
    from label_studio_al.studio.api import Api
    from label_studio_al.studio.client import Studio
    from label_studio_al.studio.transport import bounded_client

    http = bounded_client(ca_bundle=settings.ca_bundle)
    api = Api(settings.label_studio_url, settings.label_studio_api_key.get_secret_value(), http, counts=counts)
    reach = Reach(read_hosts(settings.media_hosts or ""), settings.label_studio_public_url, settings.ca_bundle)
    return Studio(api, make_signer(settings).installation, settings.login, reach)


def end_with_parent() -> None:
    """End this process when the `serve` that started it is gone."""
    descriptor = os.environ.get(PARENT_PIPE)
    if descriptor is None:
        return

    def wait() -> NoReturn:
        os.read(int(descriptor), 1)
        os.kill(os.getpid(), signal.SIGTERM)
        raise SystemExit

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
