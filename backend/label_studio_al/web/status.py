"""Every project's state as JSON; the status page shows the same."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, TypeAlias

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from label_studio_al import __version__
from label_studio_al.labeling import project_id_of, score, version_name
from label_studio_al.learning.reasons import CHECK, hesitation, why_asked
from label_studio_al.learning.spans import is_answer, scores_of, spans_of
from label_studio_al.questions import Question
from label_studio_al.runtime.errors import InvalidRequest, UnsupportedConfig
from label_studio_al.runtime.redaction import hide
from label_studio_al.store import Measurement, Project, Turn, VersionHead, WindowTask
from label_studio_al.web.parts import Parts, parts
from label_studio_al.wording import activity_sentence, control_facts, controls_of, fields_of

status = Blueprint("status", __name__)

# By question; None where nothing was measured.
Measured: TypeAlias = "Mapping[str, Measurement] | None"

SHOWN_TURNS = 20
SHOWN_TASKS = 20


@status.get("/status")
def all_projects() -> ResponseReturnValue:
    """The state of every project."""
    here = parts()
    versions, measured = here.store.versions.current(), here.store.measurements.newest_of_all()
    return jsonify(
        version=__version__,
        label_studio_url=here.settings.label_studio_url,
        problems=problems(here),
        projects=[
            whole_state(here, project, versions.get(project.key), measured.get(project.key))
            for project in here.store.projects.all()
        ],
    )


def problems(here: Parts) -> list[str]:
    """What keeps all projects from working as they should."""
    if here.settings.has_studio:
        return []
    return [
        "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are needed to read a project's tasks and to order its queue; "
        "without them the model learns from new labels only and the queue keeps Label Studio's order"
    ]


def state_of(here: Parts, key: str) -> dict[str, Any]:
    """The state of one project. Raises UnknownProject."""
    project = here.store.projects.get(key)
    version = here.store.versions.current(key).get(key)
    return whole_state(here, project, version, here.store.measurements.newest_of_all(key).get(key))


def whole_state(
    here: Parts, project: Project, version: VersionHead | None, measured: Measured | None
) -> dict[str, Any]:
    """All that is known of a project."""
    return brief_state(here, project, version, measured) | {
        "window": None if version is None else _window(here, project, version),
        "automation": _automation(here, project),
        "map": _map(here, project),
        "turns": [_turn(turn) for turn in here.store.turns.newest(project.key, SHOWN_TURNS)],
    }


def brief_state(
    here: Parts, project: Project, version: VersionHead | None, measured: Measured | None
) -> dict[str, Any]:
    """What is known of a project without asking the database again.

    Of several questions, `labels` and `quality` are the first one's, and `questions` has those of each.
    """
    questions = _questions(project, version, measured or {})
    return {
        "project": project_id_of(project.key),
        "key": project.key,
        "title": project.title,
        "url": _project_url(here, project),
        "activity": hide(activity_sentence(project.activity)),
        "is_waiting": project.activity.is_waiting,
        "progress": project.progress,
        "error": None if project.error is None else hide(project.error),
        "retry_at": _time(project.retry_at),
        "unreachable_since": _time(project.unreachable_since),
        # Turns failed again and again: only news, or a restart of the worker, start another one.
        "is_parked": project.is_parked,
        "is_paused": project.is_paused,
        "controls": [control_facts(control) for control in controls_of(project.label_config, project.offers)],
        "reads": fields_of(project.label_config, project.offers),
        # As of the last turn.
        "n_tasks": project.n_tasks,
        "n_annotations": project.n_annotations,
        "n_labelled": project.n_labelled,
        "labels": questions[0]["labels"] if questions else {},
        **({"questions": questions} if len(questions) > 1 else {}),
        "unread": [one | {"url": task_url(here, project_id_of(project.key), one["task_id"])} for one in project.unread],
        "next_turn": {"have": project.n_fresh, "need": project.n_due},
        "settings": project.extra_params,
        # Chosen here, and not in Label Studio yet.
        "settings_pending": project.wanted_params is not None,
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
            "n_labels": version.n_labels,
            "labels": next(iter(version.label_counts.values()), {}),
        },
        "quality": questions[0]["quality"] if questions else None,
    }


def _questions(
    project: Project, version: VersionHead | None, measured: Mapping[str, Measurement]
) -> list[dict[str, Any]]:
    """What is known of each question."""
    names = dict.fromkeys([*project.label_counts, *([] if version is None else version.label_counts)])
    # Of a model; without one, what was measured before says nothing.
    has_model = version is not None and version.has_model
    return [
        {
            "name": name,
            "labels": project.label_counts.get(name, {}),
            "quality": _quality(measured.get(name), version) if version is not None and has_model else None,
        }
        for name in names
    ]


def task_url(here: Parts, project_id: int, task_id: int) -> str | None:
    """Where people see a task in Label Studio."""
    address = here.settings.linked_at
    return None if address is None else f"{address}/projects/{project_id}/data?task={task_id}"


def _project_url(here: Parts, project: Project) -> str | None:
    address = here.settings.linked_at
    return None if address is None else f"{address}/projects/{project_id_of(project.key)}/data"


def _window(here: Parts, project: Project, version: VersionHead) -> dict[str, Any]:
    size, left = here.store.windows.sizes(project.key, version.id)
    tasks = here.store.windows.next(project.key, version.id, SHOWN_TASKS)
    checks = here.store.automation.checks(project.key, [task.task_id for task in tasks])
    project_id, questions = project_id_of(project.key), questions_of(project)
    return {
        "size": size,
        "left": left,
        "tasks": [
            _asked(
                task,
                questions,
                CHECK if task.task_id in checks else _why(version, task, questions),
                task_url(here, project_id, task.task_id),
            )
            for task in tasks
        ],
    }


def questions_of(project: Project) -> dict[str, Question]:
    """What a project asks, by name; nothing where its label config asks nothing that is learned."""
    try:
        return {question.name: question for question in project.config.questions}
    except UnsupportedConfig:
        return {}


def _why(version: VersionHead, task: WindowTask, questions: Mapping[str, Question]) -> str:
    """The reason, with the most probable answers to the question that is the least certain."""
    name = min(task.top_k, key=lambda one: hesitation(task.top_k[one]), default="")
    closest = [(_shown(questions.get(name), answer), probability) for answer, probability in task.top_k.get(name, ())]
    return why_asked(version.ranked_by, task.is_audit, closest)


def _shown(question: Question | None, answer: str) -> str:
    """An answer as people read it; as it is where the label config asks something else by now."""
    try:
        return answer if question is None else question.show(answer)
    except InvalidRequest:
        return answer


def _asked(task: WindowTask, questions: Mapping[str, Question], reason: str, url: str | None) -> dict[str, Any]:
    return {
        "task_id": task.task_id,
        "url": url,
        "score": score(task.informativeness),
        "informativeness": task.informativeness,
        "reason": reason,
        "is_audit": task.is_audit,
        "guesses": [
            ({"question": name} if len(task.top_k) > 1 else {}) | _guess(questions.get(name), answer, probability)
            for name, found in task.top_k.items()
            for answer, probability in found
        ],
    }


def _guess(question: Question | None, answer: str, probability: float) -> dict[str, Any]:
    """An answer with its probability; of one that marks spans, where they are, and how probable each is."""
    about = {"label": _shown(question, answer), "probability": probability}
    if question is None or question.coding.marks is None or not is_answer(answer):
        return about
    pairs = zip(spans_of(answer), scores_of(answer, probability), strict=True)
    return about | {"spans": [[*span, share] for span, share in pairs]}


def _quality(newest: Measurement | None, version: VersionHead) -> dict[str, Any] | None:
    """What the newest measurement reports: of which version, when, and how good it was."""
    if newest is None:
        return None
    about = {
        # What was measured last may be of the version before.
        "version": version.name if version.number == newest.version else version_name(newest.version, ""),
        "n_labels": newest.n_labels,
        "measured_at": _time(newest.created_at),
    }
    return about | newest.report


def _automation(here: Parts, project: Project) -> dict[str, Any] | None:
    """What was planned and labelled automatically, with which promise, and what the checks say; None if nothing was."""
    runs, newest = here.store.automation.runs(project.key), here.store.automation.newest_plan(project.key)
    if not runs and newest is None:
        return None
    return {
        "newest_plan": None if newest is None else {"made_at": _time(newest[0])} | newest[1],
        "n_labels": here.store.automation.n_automatic(project.key),
        "is_alarm": any(run.is_standing and run.watch is not None and run.watch["is_alarm"] for run in runs),
        "runs": [
            {
                "run": run.number,
                "at": _time(run.created_at),
                "state": run.state,
                "tasks": here.store.automation.counts(run),
                "plan": run.report,
                "verification": run.watch,
            }
            for run in runs
        ],
    }


def _map(here: Parts, project: Project) -> dict[str, Any] | None:
    """About the map of the pool, which the page draws; None before the first."""
    head = here.store.maps.head(project.key)
    return None if head is None else {"made_at": _time(head.made_at), "n_points": head.n_points}


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "started_at": _time(turn.started_at),
        "seconds": round(turn.seconds, 3),
        "outcome": hide(turn.outcome),
        "n_labels": turn.n_labels,
        "steps": {name: round(seconds, 3) for name, seconds in turn.steps.items()},
    }


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
