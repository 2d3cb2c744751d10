"""What the model of the official server does: receives events, answers, and lets a worker run the turns."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from flask import has_request_context, request

from label_studio_al.endpoint import Current, answer, name_of, read_setup, read_tasks, register
from label_studio_al.host.worker import keep_worker
from label_studio_al.labeling import read_event, read_project_key
from label_studio_al.learners.published import Models
from label_studio_al.learning.model import Model
from label_studio_al.questions import parse_config
from label_studio_al.runtime import logs
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.database import UNAVAILABLE, unavailable
from label_studio_al.runtime.errors import ArtifactRejected, InvalidRequest, UnknownProject
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Project, Signer, Store
from label_studio_al.wiring import make_signer, open_store

# Label Studio waits 1 s for a webhook, inside of the annotator's Submit: less than that is waited for a locked
# database. What is not written down is asked for later.
PATIENCE_SECONDS = 0.5

_opening = threading.Lock()
log = logging.getLogger(__name__)


class Hosted:
    """The projects under the official server. Safe to use from several threads."""

    def __init__(self, settings: Settings, store: Store, signer: Signer, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._models = Models(store, signer, settings.features_dir, settings.embeddings_dir)

    def setup(self, body: Mapping[str, Any]) -> str:
        """Make the project of a /setup known; gives its current version's name."""
        with _answering():
            setup = read_setup(body)
            project, is_news = register(self._store, self._settings, setup, self._clock.now())
            if is_news:
                log.info("project %s is set up", project.key)
            return name_of(self._store, self._store.versions.current_name(project.key))

    def version_of(self, key: str) -> str:
        """The name of a project's current version, also of a project that is not known."""
        with _answering():
            return name_of(self._store, self._store.versions.current_name(read_project_key(key)))

    def key_of(self, project_id: str) -> str:
        """The identity of the project with this number in Label Studio; of several, the one that was made last.

        Raises UnknownProject.
        """
        with _answering():
            keys = self._store.projects.keys(int(project_id)) if project_id.isdecimal() else []
        if not keys:
            raise UnknownProject(f"project {project_id[:40]!r} was never set up here: connect it first")
        return max(keys, key=lambda key: int(key.partition(".")[2]))

    def predict(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One prediction a task of a /predict, in order, under the project's current version."""
        with _answering():
            key = read_project_key(body.get("project"))
            logs.add(project=key)
            tasks = read_tasks(body, self._settings)
            project = self._store.projects.get(key)
            version, model = self._current(project)
            xml = body.get("label_config")
            config = parse_config(xml, project.offers) if isinstance(xml, str) else project.config
            current = Current(config, version, model, self._store.automation.checks(key))
            return answer(self._store, self._clock, current, tasks)

    def hear(self, body: Mapping[str, Any]) -> dict[str, str]:
        """Write a webhook down and ask for a turn; gives what was done with it, for the server's answer."""
        with _answering():
            event = read_event(dict(body))
            if event is None:
                return {"status": "ignored"}
            logs.add(project=event.project_key)
            project = self._store.updates.hear(event, self._clock.now(), adds_only=self._settings.has_studio)
            if project is None:
                log.warning("webhook %s of project %s, never set up here: ignored", event.action, event.project_key)
                return {"status": "ignored", "reason": "this project is not connected"}
        return {"status": "heard"}

    def want_training(self, key: object) -> None:
        """Have a new version made of the project, whatever the growth."""
        with _answering():
            project = self._store.projects.get(read_project_key(key))
            self._store.projects.want_training(project.key, self._clock.now())

    def _current(self, project: Project) -> tuple[tuple[int, str] | None, Model | None]:
        while True:
            version = self._store.versions.current_name(project.key)
            model = None if version is None else self._model(project, version[0])
            # A version that a turn has just replaced is gone with its model: the next one is there.
            if model is not None or self._store.versions.current_name(project.key) == version:
                return version, model

    def _model(self, project: Project, version_id: int) -> Model | None:
        try:
            return self._models.get(project.key, version_id)
        except ArtifactRejected as exc:
            log.error("project %s: %s; it is trained again", project.key, exc)
            self.want_training(project.key)
            return None


def hosted() -> Hosted:
    """This process's own, made when it is first asked for, with a worker beside it.

    The official server makes a model for each request: what outlives a request must stand outside of it.
    """
    with _opening:
        # A server that forks must not share its parent's connections.
        return _open(os.getpid())


def asked() -> dict[str, Any]:
    """The body of the request that is being answered; empty outside of one.

    Neither release tells its model the project's identity (id and time of creation); the request does.
    """
    body = request.get_json(silent=True) if has_request_context() else None
    if body is not None and not isinstance(body, dict):
        raise InvalidRequest(f"the body must be a JSON object, not {type(body).__name__}")
    return body or {}


@lru_cache(maxsize=1)
def _open(_pid: int) -> Hosted:
    settings = read_settings()
    store = open_store(settings, PATIENCE_SECONDS)
    signer = make_signer(settings)
    threading.Thread(target=keep_worker, args=[settings.model_dir], name="worker-keeper", daemon=True).start()
    return Hosted(settings, store, signer, Clock())


@contextmanager
def _answering() -> Iterator[None]:
    """Log lines tell what the request is about, and an outage is a sentence."""
    try:
        with logs.context():
            yield
    except UNAVAILABLE as exc:
        raise unavailable(exc) from exc
