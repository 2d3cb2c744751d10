"""`label-studio-al connect`: attaches this backend to a project of a running Label Studio."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click
import httpx

from label_studio_al.cli.progress import Bar
from label_studio_al.examples import EXAMPLES, TOPICS, example_config, example_tasks
from label_studio_al.learners.registry import check_project
from label_studio_al.runtime.errors import InvalidSettings, StudioError, StudioRefused
from label_studio_al.runtime.logs import on_one_line
from label_studio_al.runtime.redaction import hide
from label_studio_al.runtime.settings import Settings, read_project_settings, read_settings
from label_studio_al.studio import webhook_secret
from label_studio_al.studio.transport import Limits, bounded_client
from label_studio_al.wiring import make_studio, say_errors, webhook_keys
from label_studio_al.wording import config_lines

if TYPE_CHECKING:
    from label_studio_al.studio.client import Studio
    from label_studio_al.studio.connections import Connection
    from label_studio_al.studio.projects import StudioProject

WAIT_SECONDS = 120.0
POLL_SECONDS = 0.3
STATE_LIMITS = Limits(read_seconds=5, seconds=15)


@click.command()
@click.option("--project", "project_id", type=int, help="Number of the project in Label Studio.")
@click.option(
    "--example", is_flag=True, help="Instead: a project of 400 example messages, created if there is no project at all."
)
@click.option("--backend-url", help="URL at which Label Studio reaches this backend.  [default: AL_BACKEND_URL]")
@click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE", help="A setting of the project; repeatable.")
@click.option("--wait/--no-wait", default=True, help="Wait until the queue is ordered.  [default: wait]")
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document on standard output, messages on standard error."
)
@say_errors
def connect(
    project_id: int | None,
    example: bool,
    backend_url: str | None,
    assignments: tuple[str, ...],
    wait: bool,
    as_json: bool,
) -> None:
    """Connect a project: its model, its webhook, its queue. Safe to repeat.

    Needs LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY, and a running backend (label-studio-al serve).
    """
    if (project_id is None) is not example:
        raise click.UsageError("give either --project NUMBER or --example")
    # The rules of AL_BACKEND_URL hold for the option.
    settings = read_settings(**({} if backend_url is None else {"AL_BACKEND_URL": backend_url}))
    url = settings.reached_at
    say = partial(click.echo, err=as_json)
    if project_id is None:
        project_id = _find_or_make_example(settings, say)
    # Null: there was nothing to connect; it was not waited for, or has not come in time.
    done: dict[str, Any] = {
        "project": project_id, "backend_url": url, "connection": None, "ordered_by": None, "unread": None
    }  # fmt: skip
    if project_id is not None:
        done["connection"] = connect_project(settings, project_id, url, _read_assignments(assignments), say).id
        ordered = wait_until_ordered(settings, project_id, url, say) if wait else None
        if ordered is not None:
            done |= {"ordered_by": ordered["version"]["name"], "unread": ordered["unread"]}
    if as_json:
        click.echo(json.dumps(done))


def connect_project(
    settings: Settings,
    project_id: int,
    backend_url: str,
    extra_params: dict[str, Any] | None,
    say: Callable[[str], None],
) -> Connection:
    """Make the connection, the webhook, the sampling and the tab what they must be.

    Where Label Studio refuses one of them, what was made before it is removed again. Raises StudioError.
    """
    studio = _open_studio(settings)
    wanted = read_project_settings(extra_params)
    project = studio.projects.get(project_id)
    check_project(wanted, project.label_config)
    say(f'Project {project_id} "{on_one_line(project.title)}" of {settings.label_studio_url}')
    for line in config_lines(project.label_config, settings.image_encoder):
        say(f"  {on_one_line(line)}")
    secret = webhook_secret(webhook_keys(settings)[0], project.key)
    studio.connections.try_address(project_id, backend_url)
    studio.webhooks.try_address(project_id, backend_url)
    with _all_or_nothing(studio, project):
        # Before the connection: Label Studio makes an open webhook for a new connection, unless there is one.
        studio.webhooks.replace(project_id, backend_url, secret)
        connection = studio.connections.connect(project_id, backend_url, extra_params)
        studio.projects.arrange(project_id)
        studio.tabs.add(project_id)
    say("  webhook: limited to labels and tasks, with a secret header")
    say(f"  model: {backend_url} (connection {connection.id})")
    say('  queue: "Uncertainty sampling", predictions shown to annotators')
    say('  tab: "Most informative first"')
    return connection


@contextmanager
def _all_or_nothing(studio: Studio, project: StudioProject) -> Iterator[None]:
    """Remove connections and webhooks that are made inside of the block if it fails, and set the queue back."""
    connections = {one.id for one in studio.connections.all(project.id)}
    webhooks = {one.id for one in studio.webhooks.all(project.id)}
    try:
        yield
    except StudioError:
        # What cannot be undone is left: why it failed is what people must read.
        with suppress(StudioError):
            for connection in studio.connections.all(project.id):
                if connection.id not in connections:
                    studio.connections.remove(connection.id)
            for webhook in studio.webhooks.all(project.id):
                if webhook.id not in webhooks:
                    studio.webhooks.remove(webhook)
            studio.projects.set_queue(project.id, project.sampling, project.shows_predictions)
        raise


def wait_until_ordered(
    settings: Settings, project_id: int, backend_url: str, say: Callable[[str], None], bar: Bar | None = None
) -> dict[str, Any] | None:
    """Say what the backend does until the queue follows its scores. Raises StudioRefused with its error.

    Returns the project's state, with the version that orders the queue; None if that cannot be seen, or not in time.
    """
    bar = bar or Bar()
    said, seen, deadline = "", None, time.monotonic() + WAIT_SECONDS
    try:
        while time.monotonic() < deadline:
            state = _state(settings, project_id, backend_url)
            version, error, progress = state.get("version"), state.get("error"), state.get("progress")
            if version and version["is_switched"] and not error:
                bar.end()
                say(f"Connected: the queue follows {version['name']}, {state['n_tasks']} tasks.")
                for unread in state["unread"]:
                    say(f"  Not read: {on_one_line(unread['sentence'])}.")
                return state
            # News (this very connecting) make another turn due: the error is the last turn's until that one has ended.
            if error and state["is_parked"]:
                raise StudioRefused(error)
            if progress and progress != seen:
                # While it goes on, it may take as long as it takes.
                seen, deadline = progress, time.monotonic() + WAIT_SECONDS
            bar.show(None if error else progress)
            now = error or state.get("activity", "")
            if now != said and not (progress and not error and bar.is_seen):
                said = now
                say(f"  {on_one_line(hide(now))}")
            time.sleep(POLL_SECONDS)
    except _NoStateError:
        say(f"Connected. (The state cannot be read from here: {backend_url}/status does not answer this machine.)")
        return None
    finally:
        bar.end()
    say(f"Connected, but the queue is not ordered yet: {backend_url}/status says more.")
    return None


class _NoStateError(Exception):
    """/status does not answer this machine."""


def _state(settings: Settings, project_id: int, backend_url: str) -> dict[str, Any]:
    """What /status says of a project; empty while it does not know it. Raises _NoStateError."""
    try:
        with bounded_client(STATE_LIMITS, settings.ca_bundle) as http:
            answer = http.get(f"{backend_url}/status", auth=settings.login)
        answer.raise_for_status()
        states: list[dict[str, Any]] = [one for one in answer.json()["projects"] if one["project"] == project_id]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError) as exc:
        raise _NoStateError from exc
    return states[-1] if states else {}


def make_example_project(settings: Settings, say: Callable[[str], None], name: str = TOPICS) -> int:
    """The number of the project of one of the examples: made on the first call, found again on the next."""
    studio, title = _open_studio(settings), EXAMPLES[name].title
    project = studio.projects.find(title)
    if project is None:
        say(f'Making the project "{title}"')
        project = studio.projects.create(title, example_config(name))
    if not next(iter(studio.tasks.pages(project.id)), []):
        tasks = [{"text": task["text"]} for task in example_tasks(name)]
        studio.tasks.add(project.id, tasks)
        say(f"  {len(tasks)} example tasks imported")
    return project.id


def _find_or_make_example(settings: Settings, say: Callable[[str], None]) -> int | None:
    """None where it was removed: whoever has projects of their own need not delete it again and again."""
    studio, title = _open_studio(settings), EXAMPLES[TOPICS].title
    if studio.projects.find(title) is None and studio.projects.has_any():
        say(f'There are projects, and "{title}" is not one of them: nothing to connect.')
        return None
    return make_example_project(settings, say)


def _open_studio(settings: Settings) -> Studio:
    studio = make_studio(settings)
    if studio is None:
        raise InvalidSettings(
            "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY must be set: the token is in Label Studio under "
            "Account & Settings > Personal Access Token"
        )
    return studio


def _read_assignments(assignments: tuple[str, ...]) -> dict[str, Any] | None:
    if not assignments:
        return None
    params: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise InvalidSettings(f"--set needs NAME=VALUE, not {assignment!r}")
        try:
            params[name] = json.loads(value)
        except ValueError:
            params[name] = value
    return params
