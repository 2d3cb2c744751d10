"""What is examined: the settings and what they lead to, each part opened when a check first asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import httpx
import sqlalchemy as sa

from label_studio_al.labeling import project_id_of
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.errors import AddressRefused, DatabaseUnavailable, InvalidSettings
from label_studio_al.runtime.settings import Settings
from label_studio_al.store import Project, Store, Version
from label_studio_al.studio import webhook_secret
from label_studio_al.studio.about import About, ask_about
from label_studio_al.studio.client import Studio
from label_studio_al.studio.connections import Connection, our_connection
from label_studio_al.studio.projects import StudioProject
from label_studio_al.studio.webhooks import Webhook

# A database that somebody else writes to is waited for so long.
PATIENCE_SECONDS = 3.0


@dataclass(frozen=True)
class Doing:
    """How what is examined is opened and repaired.

    connect: what `label-studio-al connect` does to a project. read_keys: what projects' webhook secrets are made from.
    """

    make_studio: Callable[[Settings], Studio | None]
    read_keys: Callable[[Settings], list[str]]
    connect: Callable[[int], object]


class Setup:
    """This machine, Label Studio and the running backend, as the settings name them."""

    def __init__(self, settings: Settings, backend_url: str, doing: Doing, clock: Clock, http: httpx.Client) -> None:
        """backend_url: the running backend's address, as Label Studio reaches it. http: calls it, and Label Studio
        where that needs no token.
        """
        self.settings = settings
        self.backend_url = backend_url
        self.clock = clock
        self.http = http
        self._doing = doing

    def connect(self, project_id: int) -> None:
        """Connect a project as `label-studio-al connect` does. Raises BackendError."""
        self._doing.connect(project_id)

    @cached_property
    def studio(self) -> Studio:
        """Label Studio's client. Raises InvalidSettings without an address or a token."""
        studio = self._doing.make_studio(self.settings)
        if studio is None:
            raise InvalidSettings("LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY must be set")
        return studio

    @cached_property
    def about(self) -> tuple[About, float]:
        """What Label Studio says of itself, and when it said so by our own clock. Raises StudioError."""
        return ask_about(self.http, self.settings.label_studio_url or ""), self.clock.now()

    @cached_property
    def webhook_keys(self) -> list[str]:
        """What projects' webhook secrets are made from; made now if there is none."""
        return self._doing.read_keys(self.settings)

    @cached_property
    def running_at(self) -> str | None:
        """The address at which this machine reaches the running backend; None if it does not."""
        addresses = (self.backend_url, f"http://127.0.0.1:{self.settings.port}")
        return next((address for address in addresses if self._is_ours(address)), None)

    @property
    def has_database(self) -> bool:
        """Whether there is a database to open: opening a SQLite file that is not there would make one."""
        address = sa.make_url(self.settings.store_url)
        if address.get_backend_name() != "sqlite":
            return True
        try:
            Path(address.database or "").stat()
        except FileNotFoundError:
            return False
        except OSError:
            # Opening it says why.
            return True
        return True

    @cached_property
    def store(self) -> Store:
        """Our copy, as it is: nothing is migrated."""
        if not self.has_database:
            raise DatabaseUnavailable("there is no database yet")
        return Store(self.settings.store_url, patience_seconds=PATIENCE_SECONDS)

    def close(self) -> None:
        """Give the connections back."""
        if "store" in self.__dict__:
            self.store.close()
        self.http.close()

    def _is_ours(self, address: str) -> bool:
        try:
            return bool(self.http.get(f"{address}/health").json()["model_class"] == "ActiveLearning")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
            return False


class ProjectLook:
    """One look at a project: what was asked once is not asked again."""

    def __init__(self, setup: Setup, project_id: int) -> None:
        self.setup = setup
        self.id = project_id

    @cached_property
    def theirs(self) -> StudioProject:
        """The project as Label Studio has it."""
        return self.setup.studio.projects.get(self.id)

    @cached_property
    def secrets(self) -> list[str]:
        """What the project's webhooks may carry; `connect` sends the first."""
        return [webhook_secret(key, self.theirs.key) for key in self.setup.webhook_keys]

    @cached_property
    def address_refused(self) -> AddressRefused | None:
        """Why Label Studio would not call this backend. Raises StudioRefused if we may not change the project."""
        return _refusal(self.setup.studio.connections.try_address, self.id, self.setup.backend_url)

    @cached_property
    def webhook_refused(self) -> AddressRefused | None:
        """Why Label Studio would not send webhooks to this backend."""
        return _refusal(self.setup.studio.webhooks.try_address, self.id, self.setup.backend_url)

    @cached_property
    def connections(self) -> Sequence[Connection]:
        """All model connections. Label Studio calls each one's /health and /setup to answer this (1.23.2)."""
        return self.setup.studio.connections.all(self.id)

    @cached_property
    def connection(self) -> Connection | None:
        """The connection to this backend."""
        versions = [] if self.version is None else [self.version.name]
        return our_connection(self.connections, self.setup.backend_url, self.setup.studio.installation, versions)

    @property
    def url(self) -> str:
        """The address under which Label Studio calls this backend."""
        return self.setup.backend_url if self.connection is None else self.connection.url.rstrip("/")

    @cached_property
    def all_webhooks(self) -> Sequence[Webhook]:
        """The project's webhooks."""
        return self.setup.studio.webhooks.all(self.id)

    @property
    def webhooks(self) -> Sequence[Webhook]:
        """The webhooks to this backend."""
        return [one for one in self.all_webhooks if one.url == f"{self.url}/webhook"]

    @cached_property
    def ours(self) -> Project | None:
        """The project as we know it; None if it was never set up here."""
        return self.setup.store.projects.find(self.theirs.key) if self.setup.has_database else None

    @property
    def is_known_otherwise(self) -> bool:
        """Whether a project of this number that was created at another time was set up here."""
        return self.setup.has_database and any(
            key != self.theirs.key for key in self.setup.store.projects.keys(self.id)
        )

    @cached_property
    def version(self) -> Version | None:
        """The published version."""
        return None if self.ours is None else self.setup.store.versions.find(self.ours.version_id)


def known_projects(store: Store) -> list[int]:
    """The numbers in Label Studio of all projects that were set up here."""
    keys = store.projects.keys()
    return sorted({project_id_of(key) for key in keys})


def _refusal(attempt: Callable[[int, str], None], project_id: int, url: str) -> AddressRefused | None:
    try:
        attempt(project_id, url)
    except AddressRefused as exc:
        return exc
    return None
