"""The base class of models: one object a request, values kept a project in text columns."""

from __future__ import annotations

from typing import Any

KEPT: dict[tuple[str, str], str] = {}


class LabelStudioMLBase:
    INITIAL_MODEL_VERSION = "0.0.1"

    def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
        self.project_id = project_id or ""
        if label_config is not None:
            self.use_label_config(label_config)
        if not self.model_version:
            self.set("model_version", self.INITIAL_MODEL_VERSION)
        self.setup()

    def setup(self) -> None:
        """For models to override."""

    def use_label_config(self, label_config: str) -> None:
        self.set("label_config", label_config)

    def set_extra_params(self, extra_params: Any) -> None:
        self.set("extra_params", extra_params)

    def get(self, key: str) -> str | None:
        return KEPT.get((self.project_id, key))

    def set(self, key: str, value: str) -> None:
        if not isinstance(value, str):
            raise ValueError("Value must be a string")
        KEPT[self.project_id, key] = value

    def has(self, key: str) -> bool:
        return (self.project_id, key) in KEPT

    @property
    def label_config(self) -> str | None:
        return self.get("label_config")

    @property
    def model_version(self) -> Any:
        # The real one gives an object of the package semver where the text is such a version.
        return self.get("model_version")

    def predict(self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **kwargs: Any) -> Any:
        """For models to override."""

    def fit(self, event: str, data: dict[str, Any], **additional_params: Any) -> Any:
        """For models to override."""
