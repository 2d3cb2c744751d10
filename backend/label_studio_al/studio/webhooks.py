"""Webhooks to this backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from label_studio_al.labeling import ACTIONS
from label_studio_al.studio import WEBHOOK_HEADER
from label_studio_al.studio.api import Part
from label_studio_al.studio.connections import try_post


@dataclass(frozen=True)
class Webhook:
    """A webhook of a project. actions: None for all there are. secret: our header's value, None without it."""

    id: int
    url: str
    actions: frozenset[str] | None
    is_active: bool
    sends_payload: bool
    secret: str | None = field(repr=False)


class Webhooks(Part):
    """The webhooks of all projects."""

    def all(self, project_id: int) -> list[Webhook]:
        """The webhooks of a project."""
        listed = self._api.json("GET", f"api/webhooks/?project={project_id}")
        with self._api.understanding():
            return [_webhook(hook) for hook in listed if hook["project"] == project_id]

    def to(self, project_id: int, backend_url: str) -> list[Webhook]:
        """Those of a project to this backend."""
        return [one for one in self.all(project_id) if one.url == f"{backend_url}/webhook"]

    def replace(self, project_id: int, backend_url: str, secret: str) -> None:
        """Keep one webhook to this backend: limited to the actions we use, with the secret header.

        Label Studio makes none itself while one of the same address exists. Raises AddressRefused.
        """
        url = f"{backend_url}/webhook"
        wanted: dict[str, Any] = {
            "url": url,
            "headers": {WEBHOOK_HEADER: secret},
            "actions": list(ACTIONS),
            "send_payload": True,
            "send_for_all_actions": False,
            "is_active": True,
        }
        ours = self.to(project_id, backend_url)
        if ours:
            self._api.json("PATCH", f"api/webhooks/{ours[0].id}/", wanted)
        else:
            self._api.json("POST", "api/webhooks/", {**wanted, "project": project_id})
            ours = self.to(project_id, backend_url)
        # As with connections.
        for surplus in ours[1:]:
            self.remove(surplus)

    def renew(self, project_id: int, backend_url: str, secret: str) -> bool:
        """Give this secret to the webhooks to this backend that carry another one. Returns whether there were any."""
        ours = self.to(project_id, backend_url)
        if all(one.secret in (None, secret) for one in ours):
            return False
        self.replace(project_id, backend_url, secret)
        return True

    def remove(self, webhook: Webhook) -> None:
        """Remove a webhook."""
        self._api.json("DELETE", f"api/webhooks/{webhook.id}/")

    def try_address(self, project_id: int, backend_url: str) -> None:
        """Whether Label Studio may send webhooks to the address, which other settings decide. Nothing is made.

        An action that does not exist is minded after the address (measured on 1.23.2). Raises AddressRefused.
        """
        impossible = {"url": f"{backend_url}/webhook", "project": project_id, "actions": ["NOTHING"]}
        try_post(self._api, "api/webhooks/", impossible)


def _webhook(item: dict[str, Any]) -> Webhook:
    headers: Mapping[str, Any] = {str(name).lower(): value for name, value in (item.get("headers") or {}).items()}
    secret = headers.get(WEBHOOK_HEADER.lower())
    return Webhook(
        id=int(item["id"]),
        url=str(item["url"]).rstrip("/"),
        actions=None if item["send_for_all_actions"] else frozenset(item["actions"]),
        is_active=bool(item["is_active"]),
        sends_payload=bool(item["send_payload"]),
        secret=None if secret is None else str(secret),
    )
