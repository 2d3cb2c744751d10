"""The model for label-studio-ml 2.x, which is in no package registry: written to its published interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from label_studio_ml.model import LabelStudioMLBase

from label_studio_al.host.hosted import asked, hosted


class ActiveLearning(LabelStudioMLBase):
    """Receives and answers for one project during one request."""

    def setup(self) -> None:
        """Make the project known if Label Studio sets it up, and tell its current version."""
        body = asked()
        if "schema" in body:
            version = hosted().setup(body)
        elif isinstance(body.get("project"), str):
            version = hosted().version_of(body["project"])
        else:
            # Webhooks carry the project as an object, and their answer names no version.
            return
        if str(self.model_version) != version:
            self.set("model_version", version)

    def set_extra_params(self, _extra_params: object) -> None:
        """They are read from the request: the base class would refuse the JSON object that Label Studio sends."""

    def predict(
        self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **_: Any
    ) -> list[dict[str, Any]]:
        """One prediction a task, in order, each with its version."""
        body = asked() or {"project": hosted().key_of(self.project_id), "label_config": self.label_config}
        return hosted().predict({**body, "tasks": tasks})

    def fit(self, event: str, data: Mapping[str, Any], **_: Any) -> dict[str, str]:
        """Receive a webhook. A worker trains."""
        return hosted().hear({"action": event, **data})
