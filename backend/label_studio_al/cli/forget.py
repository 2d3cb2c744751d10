"""`label-studio-al forget`: removes everything that this backend stores about a project."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from label_studio_al.jobs import JobClient
from label_studio_al.labeling import project_id_of
from label_studio_al.runtime.database import UNAVAILABLE, set_aside_files
from label_studio_al.runtime.errors import FilesLeft, InvalidSettings, StudioError, TurnRunning, UnknownProject
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.wiring import make_studio, open_store, say_errors

if TYPE_CHECKING:
    from label_studio_al.store import Store

# A turn takes seconds; the first one of a large pool works in slices of two.
TURN_SECONDS = 60.0


@click.command()
@click.option("--project", "project_id", type=int, required=True, help="Number of the project in Label Studio.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--disconnect", is_flag=True, help="Also undo what this backend set up in Label Studio.")
@say_errors
def forget(project_id: int, yes: bool, disconnect: bool) -> None:
    """Remove a project's texts, labels, models and features from this backend. Label Studio keeps its own."""
    settings = read_settings()
    store, jobs = open_store(settings), JobClient(settings.jobs_url)
    try:
        keys = store.projects.keys(project_id)
        if not keys:
            raise UnknownProject(f"project {project_id} is not known here: there is nothing to forget")
        for key in keys:
            counts = store.tasks.counts(key)
            click.echo(f"Project {key}: {counts['tasks']} tasks, {counts['annotations']} annotations, models, features")
        if not yes:
            click.confirm("Remove all this? It cannot be undone; Label Studio keeps its own copy.", abort=True)
        left: list[str] = []
        for key in keys:
            with store.turn_lock(key, TURN_SECONDS) as is_mine:
                if not is_mine:
                    raise TurnRunning(f"a turn of project {key} is running: try again in a minute")
                if disconnect:
                    _disconnect(settings, store, key)
                store.projects.forget(key)
            for folder in (settings.features_dir / key, settings.embeddings_dir / key):
                # What cannot be removed is said at the end: the rest goes all the same.
                shutil.rmtree(folder, ignore_errors=True)
                if folder.exists():
                    left.append(str(folder))
            # Their tables are made by the first worker; jobs name the project's number only.
            with suppress(*UNAVAILABLE):
                jobs.forget(key)
        store.shred()
        # A damaged database that was set aside holds all projects' texts; it can only be deleted as a whole.
        for path in set_aside_files(settings.store_url):
            path.unlink()
        if left:
            raise FilesLeft(
                "the project is deleted from the database, but files made from its texts cannot be removed: "
                f"remove them as a user who may do so: {', '.join(left)}"
            )
        click.echo("Forgotten.")
        if not disconnect:
            _warn_if_connected(settings, project_id)
    finally:
        jobs.close()
        store.close()


def _disconnect(settings: Settings, store: Store, key: str) -> None:
    studio = make_studio(settings)
    if studio is None:
        raise InvalidSettings("--disconnect needs LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY")
    current, project = store.versions.current_name(key), store.projects.get(key)
    versions = {*project.stale_versions, *([] if current is None else [current[1]])}
    studio.disconnect(project_id_of(key), settings.reached_at, versions)
    click.echo("In Label Studio, the connection, the webhook, the tabs, the sampling and the predictions are undone.")


def _warn_if_connected(settings: Settings, project_id: int) -> None:
    studio = make_studio(settings)
    try:
        is_connected = studio is None or studio.connections.find(project_id, settings.reached_at) is not None
    except StudioError:
        is_connected = True
    if is_connected:
        click.echo(
            "If the project is still connected in Label Studio (its model page, its webhooks), it is set up again as "
            "soon as somebody opens a task: remove the connection there, or give --disconnect."
        )
