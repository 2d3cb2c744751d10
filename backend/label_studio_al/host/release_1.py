"""The model for label-studio-ml 1.0.9 (January 2023), the only release in a package registry.

Its manager keeps one model for all projects, names versions by the second in which a webhook came, forks a process for
each webhook, and writes each with the project's tokens into MODEL_DIR. So this module replaces it.
"""

from __future__ import annotations

from typing import Any

from label_studio_ml.model import LabelStudioMLBase, LabelStudioMLManager, ModelWrapper

from label_studio_al.host.hosted import asked, hosted


class ActiveLearning(LabelStudioMLBase):
    """Predicts the labels of the project that the current request is about."""

    def predict(self, tasks: list[dict[str, Any]], **_context: Any) -> list[dict[str, Any]]:
        """One prediction a task, in order."""
        return hosted().predict({**asked(), "tasks": tasks})

    def process_event(self, event: str, data: dict[str, Any], *_job: Any) -> dict[str, str]:
        """Receive a webhook. A worker trains."""
        return hosted().hear({"action": event, **data})


class Manager(LabelStudioMLManager):
    """Tells projects apart, names their versions, and receives webhooks in the request."""

    @classmethod
    def fetch(
        cls, project: str | None = None, label_config: str | None = None, force_reload: bool = False, **_: Any
    ) -> ModelWrapper:
        """What /setup asks for: the project's model under its current version."""
        body = {**asked(), "project": project, "schema": label_config}
        return ModelWrapper(model=cls.model_class(label_config=label_config), model_version=hosted().setup(body))

    @classmethod
    def predict(
        cls, tasks: list[dict[str, Any]], project: str = "", label_config: str | None = None, *_: Any, **__: Any
    ) -> tuple[list[dict[str, Any]], ModelWrapper]:
        """Predictions, and the model that made them."""
        model = cls.model_class(label_config=label_config)
        predictions = model.predict(tasks)
        version = predictions[0]["model_version"] if predictions else hosted().version_of(project)
        return predictions, ModelWrapper(model=model, model_version=version)

    @classmethod
    def webhook(cls, event: str, data: dict[str, Any]) -> dict[str, str]:
        """Receive an event of any kind."""
        heard: dict[str, str] = cls.model_class().process_event(event, data)
        return heard

    @classmethod
    def train(cls, _annotations: object, project: str | None = None, *_: Any, **__: Any) -> None:
        """Have a new version made; the labels come by webhook or from Label Studio's API."""
        hosted().want_training(project)
