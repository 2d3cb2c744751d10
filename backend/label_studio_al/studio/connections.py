"""ML backend connections, and which of them is ours."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from label_studio_al.labeling import version_number
from label_studio_al.runtime.errors import NotConnected, StudioRefused
from label_studio_al.studio.api import Api, Part


@dataclass(frozen=True)
class Connection:
    """An ML backend connection of a project. is_lost: whether Label Studio failed to use it when it last tried.

    refusal: what the backend answered then, if it answered at all.
    """

    id: int
    title: str
    url: str
    model_version: str | None
    uses_basic_auth: bool
    is_lost: bool
    refusal: str | None


class Connections(Part):
    """The connections of all projects."""

    def __init__(self, api: Api, installation: str, basic_auth: tuple[str, str] | None) -> None:
        """installation: what the names of this backend's versions tell. basic_auth: what Label Studio must send us."""
        super().__init__(api)
        self._installation = installation
        self._basic_auth = basic_auth

    def all(self, project_id: int) -> list[Connection]:
        """The ML backend connections of a project."""
        found = self._api.json("GET", f"api/ml/?project={project_id}")
        with self._api.understanding():
            return [_connection(item) for item in found]

    def find(self, project_id: int, backend_url: str | None, versions: Collection[str] = ()) -> Connection | None:
        """The connection over which Label Studio reaches this backend, if there is one: see `our_connection`."""
        return our_connection(self.all(project_id), backend_url, self._installation, versions)

    def ours(self, project_id: int, backend_url: str | None, versions: Collection[str]) -> Connection:
        """The same; raises NotConnected where there is none."""
        connection = self.find(project_id, backend_url, versions)
        if connection is None:
            raise NotConnected(
                f"project {project_id} has no ML backend connection to this backend (it was removed, or leads to "
                "another one): nothing is pushed or changed there. To go on, add this backend's URL on its model page, "
                f"or run label-studio-al connect --project {project_id}"
            )
        return connection

    def connect(self, project_id: int, backend_url: str, extra_params: dict[str, Any] | None) -> Connection:
        """Create the project's connection to this backend, or bring it up to date. Raises AddressRefused.

        The connection keeps its title, which is the version that orders the queue. One of ours that Label Studio does
        not reach any more is taken over: this backend has moved.
        """
        values: dict[str, Any] = {"url": backend_url, "project": project_id, "is_interactive": False}
        if extra_params is not None:
            values["extra_params"] = extra_params
        if self._basic_auth:
            user, password = self._basic_auth
            values |= {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}
        found = self.all(project_id)
        at_this_url = [one for one in found if one.url.rstrip("/") == backend_url]
        moved = [one for one in found if one.is_lost and version_number(one.title, self._installation) is not None]
        known = next(iter(at_this_url + moved), None)
        if known is None:
            made = self._api.json("POST", "api/ml/", {"title": "Active learning", **values})
            found = self.all(project_id)
        else:
            made = self._api.json("PATCH", f"api/ml/{known.id}", {"title": known.title, **values})
        with self._api.understanding():
            connection = _connection(made)
        # Made by hand, or by a request that Label Studio on SQLite ran again since it had met another's write.
        for one in found:
            if one.id != connection.id and one.url.rstrip("/") == backend_url:
                self.remove(one.id)
        return connection

    def remove(self, connection_id: int) -> None:
        """Remove a connection. Label Studio keeps the project's version."""
        self._api.json("DELETE", f"api/ml/{connection_id}")

    def rename(self, project_id: int, connection: Connection, version: str) -> None:
        """Give the connection the version's name, so that /predict is asked for tasks without its predictions.

        Label Studio asks only where a connection's title equals the project's model version (measured on 1.23.2).
        """
        self._change(project_id, connection, {"title": version})

    def set_extra_params(self, project_id: int, connection: Connection, extra_params: dict[str, Any]) -> None:
        """Replace the project's settings that an admin typed when connecting the model."""
        self._change(project_id, connection, {"title": connection.title, "extra_params": extra_params})

    def try_address(self, project_id: int, backend_url: str) -> None:
        """Whether we may change the project, and whether Label Studio may call the address. Nothing is made.

        Basic auth is announced without credentials, which Label Studio minds after both and before it calls anybody
        (measured on 1.23.2). Raises StudioRefused, AddressRefused.
        """
        incomplete = {"url": backend_url, "project": project_id, "auth_method": "BASIC_AUTH"}
        try_post(self._api, "api/ml/", incomplete)

    def call_back(self, project_id: int, connection: Connection) -> None:
        """Have Label Studio call the connection's /health and /setup. Raises StudioRefused with what went wrong."""
        values = {"url": connection.url, "project": project_id, **self._credentials(connection)}
        self._api.json("PATCH", f"api/ml/{connection.id}", values)

    def _change(self, project_id: int, connection: Connection, values: dict[str, Any]) -> None:
        # With the title alone Label Studio answers 500: it validates the URL and the project too.
        wanted = {"url": connection.url, "project": project_id, **self._credentials(connection), **values}
        self._api.json("PATCH", f"api/ml/{connection.id}", wanted)

    def _credentials(self, connection: Connection) -> dict[str, str]:
        """What a changed connection must be given again."""
        if not (connection.uses_basic_auth and self._basic_auth):
            return {}
        user, password = self._basic_auth
        return {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}


def our_connection(
    found: Sequence[Connection], backend_url: str | None, installation: str, versions: Collection[str] = ()
) -> Connection | None:
    """The connection over which Label Studio reaches this backend: /setup answered there with a name of ours.

    Label Studio calls /health and /setup of each connection whenever they are listed, and keeps the version that was
    answered (measured on 1.23.2). So this also finds connections to addresses that only Label Studio knows, and one
    that was edited to lead to another backend is not ours, whatever its title says. backend_url: a connection to this
    address is ours before anybody has answered. versions: names of an older release, which tell nobody's.
    """

    def has_answered(one: Connection) -> bool:
        return version_number(one.model_version, installation) is not None or one.model_version in versions

    def is_at_our_address(one: Connection) -> bool:
        return one.url.rstrip("/") == backend_url

    ours = [one for one in found if has_answered(one) or is_at_our_address(one)]
    return max(ours, key=is_at_our_address, default=None)


def try_post(api: Api, path: str, body: Any) -> None:
    """POST what cannot be valid, to see what is minded before that."""
    try:
        api.json("POST", path, body)
    except StudioRefused as exc:
        if exc.code != httpx.codes.BAD_REQUEST:
            raise


def _connection(item: dict[str, Any]) -> Connection:
    return Connection(
        id=int(item["id"]),
        title=item.get("title") or "",
        url=str(item["url"]),
        model_version=item.get("model_version"),
        uses_basic_auth=item.get("auth_method") == "BASIC_AUTH",
        # Its states: CO, DI (disconnected), ER, TR, PR (measured on 1.23.2).
        is_lost=item.get("state") in ("DI", "ER"),
        refusal=item.get("error_message") if item.get("state") == "ER" else None,
    )
