"""Compares our copy with Label Studio at the beginning of a turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from label_studio_al.labeling import project_id_of
from label_studio_al.store import Project
from label_studio_al.store.activity import CHECKING, COMPARING, WRITING_SETTINGS, Activity
from label_studio_al.studio.client import Studio
from label_studio_al.turns import due
from label_studio_al.turns.accounts import Accounts
from label_studio_al.turns.means import Means
from label_studio_al.turns.publishing import Publishing
from label_studio_al.turns.subject import Progress
from label_studio_al.turns.syncing import Sync


class StudioSide:
    """What turns read from Label Studio and write into it."""

    def __init__(self, means: Means, studio: Studio, accounts: Accounts) -> None:
        url = means.settings.backend_url
        self._store = means.store
        self._studio = studio
        self._clock = means.clock
        self._sync_seconds = means.settings.sync_seconds
        self._accounts = accounts
        self._sync = Sync(means.store, studio, means.clock, url, means.webhook_keys)
        self.publishing = Publishing(means.store, studio, means.clock, url)

    def ask(self, project: Project, progress: Progress, until: float) -> Project:
        """Read from Label Studio what is due to be read; gives the project as it is then."""
        key, projects = project.key, self._store.projects
        is_sync_due = due.is_sync_due(project, self._sync_seconds, self._clock.now())
        are_claims, is_synced = bool(self._store.updates.claims(key)), True
        if not (is_sync_due or are_claims or project.config_wanted):
            return project
        if are_claims:
            with self._accounts.step(key, progress, "check", Activity(CHECKING)):
                is_sync_due |= not self._sync.check(key)
        if is_sync_due:
            with (
                self._accounts.step(key, progress, "sync", Activity(COMPARING)),
                self._granting(key, "sync_wanted", "config_wanted"),
            ):
                is_synced = self._sync.run(key, until)
                if is_synced:
                    self.publishing.find_connection(key)
            if is_synced:
                progress.done.append("synced")
        elif project.config_wanted:
            with self._granting(key, "config_wanted"):
                self._sync.config(key)
        if not is_synced or self._store.updates.claims(key):
            # There is more to compare, or something was claimed while Label Studio answered.
            progress.is_complete = False
            projects.want_sync(key)
        before, project = project, projects.get(key)
        if project.revision > before.revision:
            # Something has happened there, whether an event told of it or not: long enough ago to prune.
            projects.note_heard(key, max(project.heard_at, self._clock.now() - due.IDLE_SECONDS))
        progress.revision = project.revision
        return project

    @contextmanager
    def _granting(self, key: str, *wishes: str) -> Iterator[None]:
        """Take wishes as granted, unless this fails; one that comes from now on asks for the next turn."""
        self._store.projects.grant(key, *wishes)
        try:
            yield
        except BaseException:
            self._store.projects.wish(key, *wishes)
            raise

    def write_settings(self, project: Project, progress: Progress) -> None:
        """Bring settings that were chosen here into Label Studio, so that it does not tell the old ones again."""
        key = project.key
        if project.wanted_params is None:
            return
        with self._accounts.step(key, progress, "settings", Activity(WRITING_SETTINGS)):
            connection = self.publishing.find_connection(key)
            self._studio.connections.set_extra_params(project_id_of(key), connection, project.wanted_params)
            self._store.projects.settle_settings(key, project.wanted_params)
        progress.done.append("wrote the settings into Label Studio")
