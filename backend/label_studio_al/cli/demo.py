"""`label-studio-al demo`: a real Label Studio with the loop connected, ready to label."""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import click
import httpx
from platformdirs import user_data_path

from label_studio_al.cli.connect import connect_project, make_example_project, wait_until_ordered
from label_studio_al.cli.local import FAST_IMPORT, LocalLabelStudio, Login, environment_path, install, port_is_free
from label_studio_al.examples import ENTITIES, EXAMPLES, TOPICS
from label_studio_al.runtime import logs
from label_studio_al.runtime.errors import BackendError, PortInUse, ProcessFailed, StudioUnreachable
from label_studio_al.runtime.keeping import make_processes, watch
from label_studio_al.runtime.settings import read_settings
from label_studio_al.wiring import say_errors

EMAIL = "demo@example.com"
START_SECONDS = 60.0


@click.command()
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: user_data_path("label-studio-active-learning", appauthor=False) / "demo",
    help="Folder for the demo's data.  [default: in the user's data folder]",
)
@click.option(
    "--example",
    type=click.Choice([*EXAMPLES]),
    default=TOPICS,
    show_default=True,
    help=f"What is asked: the topic of 400 messages ({TOPICS}), or the names and dates in 300 others ({ENTITIES}).",
)
@click.option("--label-studio-port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=9090, show_default=True, help="Port of the backend.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one line of JSON when it is ready, messages on standard error."
)
@say_errors
def demo(data_dir: Path, example: str, label_studio_port: int, port: int, as_json: bool) -> None:
    """Start Label Studio and this backend, with example tasks. Ctrl-C stops both; the next run resumes."""
    # The demo says itself what happens; its processes speak up only when something is wrong.
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    logs.set_up(os.environ["LOG_LEVEL"].upper())
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    for option, wanted in (("--label-studio-port", label_studio_port), ("--port", port)):
        if not port_is_free(wanted):
            raise PortInUse(f"port {wanted} is already in use: stop the program that uses it, or give another {option}")
    data_dir.mkdir(parents=True, exist_ok=True)
    login = _login(data_dir / "login.json")
    say = partial(click.echo, err=as_json)
    install(environment_path(), say)
    studio_url, backend_url = f"http://127.0.0.1:{label_studio_port}", f"http://127.0.0.1:{port}"
    server = LocalLabelStudio(
        environment_path(), data_dir / "label-studio", label_studio_port, login, data_dir / "label-studio.log"
    )
    # The demo's own settings, for this process and for those that it starts.
    os.environ.update(
        LABEL_STUDIO_URL=studio_url,
        LABEL_STUDIO_API_KEY=login.token,
        AL_BACKEND_URL=backend_url,
        MODEL_DIR=str(data_dir / "backend"),
        PORT=str(port),
    )
    for name in ("DATABASE_URL", "BASIC_AUTH_USER", "BASIC_AUTH_PASS", "AL_WEBHOOK_SECRET", "AL_SECRETS_DIR"):
        os.environ.pop(name, None)
    with server:
        if stop.is_set():
            return
        server.start(say, FAST_IMPORT)
        with _Backend(port, stop):
            if stop.is_set():
                return
            settings = read_settings()
            project_id = make_example_project(settings, say, example)
            connect_project(settings, project_id, backend_url, None, say)
            ordered = wait_until_ordered(settings, project_id, backend_url, say)
            version = None if ordered is None else ordered["version"]["name"]
            if as_json:
                click.echo(json.dumps(_ready(studio_url, backend_url, project_id, login, version)))
            else:
                click.echo(_welcome(studio_url, backend_url, project_id, login))
            while not stop.wait(0.5):
                if not server.is_running:
                    raise StudioUnreachable(f"Label Studio has ended: {data_dir / 'label-studio.log'} says why")
            say("Stopping ...")


class _Backend:
    """`serve` inside of the demo: its processes run while the block does."""

    def __init__(self, port: int, stop: threading.Event) -> None:
        self._processes = make_processes("127.0.0.1", port, with_worker=True)
        self._url = f"http://127.0.0.1:{port}"
        self._end = threading.Event()
        self._stop = stop
        self._error: BackendError | None = None
        self._thread = threading.Thread(target=self._run, name="serve")

    def _run(self) -> None:
        try:
            watch(self._processes, self._end)
        except BackendError as exc:
            self._error = exc
            self._stop.set()

    def __enter__(self) -> _Backend:
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self._url) and not self._stop.wait(0.1):
            if time.monotonic() > deadline:
                self.__exit__()
                raise ProcessFailed(f"the backend does not answer on {self._url}: the lines above say why")
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        if self._error is not None:
            raise self._error


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=1, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _login(path: Path) -> Login:
    """The demo's user, made on the first run (file mode 0600)."""
    if not path.exists():
        values = {"email": EMAIL, "password": secrets.token_urlsafe(9), "token": secrets.token_hex(20)}
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(values, file)
    return Login(**json.loads(path.read_text(encoding="utf-8")))


def _ready(studio_url: str, backend_url: str, project_id: int, login: Login, version: str | None) -> dict[str, Any]:
    """The same as the welcome, for programs."""
    return {
        "label_studio_url": studio_url,
        "backend_url": backend_url,
        "project": project_id,
        "email": login.email,
        "password": login.password,
        "token": login.token,
        "ordered_by": version,
    }


def _welcome(studio_url: str, backend_url: str, project_id: int, login: Login) -> str:
    return f"""
Ready to label.

  Label Studio   {studio_url}/projects/{project_id}/data
  Login          {login.email}
  Password       {login.password}
  What the model does   {backend_url}/

Open the first address, log in and press "Label All Tasks". The first model comes after 5 labels;
from then on every task comes with a suggestion, and the next task is the one that teaches most.

Ctrl-C stops everything; the next run resumes here.
"""
