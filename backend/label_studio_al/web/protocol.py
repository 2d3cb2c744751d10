"""Label Studio's ML backend protocol, as version 1.23.2 speaks it."""

from __future__ import annotations

import logging
import re
from typing import Any

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from label_studio_al.endpoint import Current, answer, name_of, read_setup, read_tasks, register
from label_studio_al.labeling import read_event, read_project_key
from label_studio_al.learning.model import Model
from label_studio_al.questions import parse_config
from label_studio_al.runtime import logs
from label_studio_al.runtime.clock import has_passed
from label_studio_al.runtime.database import UNAVAILABLE
from label_studio_al.runtime.errors import ArtifactRejected, Forbidden, InvalidRequest
from label_studio_al.runtime.redaction import hide
from label_studio_al.store import Project
from label_studio_al.web.parts import Known, Parts, parts
from label_studio_al.wording import control_facts, controls_of

protocol = Blueprint("protocol", __name__)
log = logging.getLogger(__name__)


@protocol.get("/health")
def health() -> ResponseReturnValue:
    """Label Studio waits 1 s for this before every opened task."""
    return jsonify(status="UP", model_class="ActiveLearning")


@protocol.post("/setup")
def setup() -> ResponseReturnValue:
    """Make a project known and name its current version. Loads no model."""
    asked = read_setup(_body())
    key = asked.key
    here = parts()
    try:
        here.catch_up()
        project, is_news = register(here.store, here.settings, asked, here.clock.now())
    except UNAVAILABLE:
        known = here.known(key)
        is_same = asked.extra_params in (None, known.project.extra_params)
        if known.project.label_config != asked.label_config or not is_same:
            # To be told again: nobody would write it down.
            raise
        return jsonify(model_version=_version_name(known))
    if is_news:
        log.info("project %s is set up", key)
    elif _is_sync_late(here, project):
        # Somebody opens a task where nothing happened for long: from now on, something may.
        here.sync_wanted_at[key] = here.clock.elapsed()
        here.store.projects.want_sync(key)
    return jsonify(model_version=_version_name(here.known(key)))


@protocol.post("/predict")
def predict() -> ResponseReturnValue:
    """Labels and scores of tasks under the current version: exactly one entry a task, in order."""
    body = _body()
    key = _project_key(body.get("project"))
    here = parts()
    tasks = read_tasks(body, here.settings)
    known, model = _known_model(here, key)
    logs.add(version=_version_name(known))
    config_xml = body.get("label_config")
    config = parse_config(config_xml, known.project.offers) if isinstance(config_xml, str) else known.project.config
    current = Current(config, known.version, model, known.checks)
    return jsonify(results=answer(here.store, here.clock, current, tasks))


@protocol.post("/webhook")
def webhook() -> ResponseReturnValue:
    """Receive an event: store it, which wakes the worker, and answer at once."""
    event = read_event(_body())
    parts().counts.add("label_studio_al_events_total", action="other" if event is None else event.action)
    if event is None:
        action = request.get_json()["action"]
        log.debug("webhook %s does not concern the model: ignored", str(action)[:60])
        return jsonify(status="ignored")
    logs.add(project=event.project_key)
    sender = request.environ["al.webhook_of"]
    if sender not in (None, event.project_key):
        raise Forbidden(f"a webhook with project {sender}'s secret cannot tell of project {event.project_key}")
    here = parts()
    here.catch_up()
    project = here.store.updates.hear(event, here.clock.now(), adds_only=here.settings.has_studio)
    if project is None:
        sentence = "webhook %s of project %s, which was never set up here: ignored"
        here.say_seldom("unknown project", sentence, event.action, event.project_key)
        return jsonify(status="ignored", reason="this project is not connected")
    answer: dict[str, Any] = {"status": "heard"}
    if event.asks_training:
        # Label Studio keeps it and asks /job_status about it.
        answer["job"] = f"{project.key}:{project.n_turns}"
    return jsonify(answer), 201


@protocol.post("/train")
def train() -> ResponseReturnValue:
    """Ask for a training, as older Label Studios and scripts do."""
    here = parts()
    project = here.store.projects.get(_project_key(_body().get("project")))
    here.store.projects.want_training(project.key, here.clock.now())
    return jsonify(status="queued", job=f"{project.key}:{project.n_turns}"), 201


@protocol.post("/job_status")
def job_status() -> ResponseReturnValue:
    """Whether the training that was asked for is queued, finished, or failed."""
    job = _body().get("job")
    key, _, number = str(job).rpartition(":")
    if not isinstance(job, str) or not re.fullmatch("[0-9]{1,18}", number):
        raise InvalidRequest('job must be what "Start training" answered')
    here = parts()
    project = here.store.projects.get(_project_key(key))
    if project.n_turns <= int(number):
        state = "queued"
    elif project.error:
        state = "failed"
    else:
        version = here.store.versions.find(project.version_id)
        is_done = project.wanted_revision <= (-1 if version is None else version.revision)
        state = "finished" if is_done else "started"
    error = None if project.error is None else hide(project.error)
    return jsonify(job_status=state, error=error, created_at=None, enqueued_at=None)


@protocol.get("/versions")
def versions() -> ResponseReturnValue:
    """The versions that can be chosen: the current one, since older ones are pruned."""
    here = parts()
    key = request.args.get("project")
    if key is None and request.is_json:
        body = request.get_json(silent=True)
        key = body.get("project") if isinstance(body, dict) else None
    if key is not None:
        return jsonify(versions=[_version_name(here.known(read_project_key(key)))])
    return jsonify(versions=sorted({_version_name(here.known(project.key)) for project in here.store.projects.all()}))


@protocol.post("/validate")
def validate() -> ResponseReturnValue:
    """Whether a label config can be learned; 422 with the reason if not."""
    config = _body().get("config")
    if not isinstance(config, str):
        raise InvalidRequest(f"config must be the label config's XML, not {type(config).__name__}")
    (first, *_) = parse_config(config).questions
    controls = [control_facts(control) for control in controls_of(config)]
    return jsonify(status="ok", control=first.name, labels=list(first.labels), controls=controls)


@protocol.post("/delete")
def delete() -> ResponseReturnValue:
    """Label Studio says that the project's connection was removed. Its copy stays until somebody forgets it."""
    key = _project_key(_body().get("project"))
    log.info("project %s was disconnected in Label Studio", key)
    return jsonify(status="kept")


@protocol.post("/duplicate_model")
def duplicate_model() -> ResponseReturnValue:
    """A copied project learns from its own labels: nothing is shared."""
    body = _body()
    read_project_key(body.get("project_src"))
    read_project_key(body.get("project_dst"))
    return jsonify(status="ok")


def _project_key(value: object) -> str:
    """The identity in a request's `project` field, from here on on every log line about the request."""
    key = read_project_key(value)
    logs.add(project=key)
    return key


def _body() -> dict[str, Any]:
    body = request.get_json()
    if not isinstance(body, dict):
        raise InvalidRequest(f"the body must be a JSON object, not {type(body).__name__}")
    return body


def _version_name(known: Known) -> str:
    """The name of the project's current version."""
    return name_of(parts().store, known.version)


def _is_sync_late(here: Parts, project: Project) -> bool:
    """Whether a project in which something happens would have been compared with Label Studio by now."""
    if project.synced_at is None or project.sync_wanted:
        return False
    # The worker's clock may be another machine's. So nothing is asked more often than if it were the same.
    seconds, wanted_at = here.settings.sync_seconds, here.sync_wanted_at.get(project.key)
    is_new = wanted_at is None or here.clock.elapsed() - wanted_at >= seconds
    return is_new and has_passed(seconds, project.synced_at, here.clock.now())


def _known_model(here: Parts, key: str) -> tuple[Known, Model | None]:
    """The project with its current version's model; None where the version has none."""
    known = here.known(key)
    while True:
        model = _model(here, known)
        before, known = known, known if model is not None else here.known(key)
        # A version that a turn has just replaced is gone with its model: the next one is there.
        if known.version == before.version:
            return known, model


def _model(here: Parts, known: Known) -> Model | None:
    if known.version is None:
        return None
    try:
        return here.models.get(known.project.key, known.version[0])
    except ArtifactRejected as exc:
        log.error("project %s: %s; it is trained again", known.project.key, exc)
        here.store.projects.want_training(known.project.key, here.clock.now())
        return None
