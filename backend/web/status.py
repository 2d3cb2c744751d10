"""Every project's state, for people and machines."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from backend import __version__
from backend.labeling import project_id_of, version_name
from backend.store import Project, Turn
from backend.web.parts import Parts, parts

status = Blueprint("status", __name__)

SHOWN_TURNS = 20


@status.get("/")
def root() -> ResponseReturnValue:
    """What Label Studio's older releases and curl ask for."""
    return jsonify(status="UP")


@status.get("/status")
def all_projects() -> ResponseReturnValue:
    """The state of every project."""
    here = parts()
    settings = here.settings
    problems = []
    if not settings.label_studio_url or not settings.label_studio_api_key:
        problems.append(
            "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are needed to read a project's tasks and to order its queue; "
            "without them the model learns from new labels only and the queue keeps Label Studio's order"
        )
    return jsonify(
        version=__version__,
        label_studio_url=settings.label_studio_url,
        problems=problems,
        projects=[_state(here, project) for project in here.store.projects()],
    )


def _state(here: Parts, project: Project) -> dict[str, Any]:
    version = here.store.find_version(project.version_id)
    if version is None and project.version_id is not None:
        # A turn has replaced it since the project was read.
        project = here.store.project(project.key)
        version = here.store.find_version(project.version_id)
    return {
        "project": project_id_of(project.key),
        "key": project.key,
        "activity": project.activity,
        "error": project.error,
        "retry_at": _time(project.retry_at),
        # Turns failed again and again: only news, or a restart of the worker, start another one.
        "is_parked": project.is_parked,
        # As of the last turn.
        "n_tasks": project.n_tasks,
        "n_annotations": project.n_annotations,
        "settings": project.extra_params,
        "synced_at": _time(project.synced_at),
        "heard_at": _time(project.heard_at),
        "version": None
        if version is None
        else {
            "name": version.name,
            "published_at": _time(version.created_at),
            "is_switched": project.is_switched,
            "has_model": version.has_model,
            "ranked_by": version.ranked_by,
            "n_labels": len(version.learnt),
            "labels": {label: Counter(version.learnt.values())[label] for label in version.labels},
        },
        "quality": _quality(here, project),
        "turns": [_turn(turn) for turn in here.store.turns(project.key, SHOWN_TURNS)],
    }


def _quality(here: Parts, project: Project) -> dict[str, Any] | None:
    """What the newest measurement reports: of which version, when, and how good it was."""
    newest = here.store.newest_measurement(project.key)
    if newest is None:
        return None
    about = {
        "version": version_name(newest.version),
        "n_labels": newest.n_labels,
        "measured_at": _time(newest.created_at),
    }
    return about | newest.report


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "started_at": _time(turn.started_at),
        "seconds": round(turn.seconds, 3),
        "outcome": turn.outcome,
        "n_labels": turn.n_labels,
        "steps": {name: round(seconds, 3) for name, seconds in turn.steps.items()},
    }


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
