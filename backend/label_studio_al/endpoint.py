"""Answers Label Studio's requests, independent of the server. Nothing here trains or calls Label Studio."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from label_studio_al.labeling import NO_ANSWER_SCORE, prediction, read_project_key, score, version_name
from label_studio_al.learners.registry import check_content, check_project
from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.model import Model
from label_studio_al.questions import NO_OFFERS, Answer, LabelConfig
from label_studio_al.runtime import logs
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.errors import InvalidRequest, Overloaded, TooManyProjects, TooMuch
from label_studio_al.runtime.settings import Settings, read_project_settings
from label_studio_al.store import Project, Store

# What /setup names before the first version; it never has pushed predictions.
FIRST_VERSION = 0
# Label Studio waits 100 s for predictions: a later answer reaches nobody.
PREDICT_SECONDS = 90.0
TASKS_AT_ONCE = 2_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setup:
    """The content of a /setup request. extra_params: None leaves the project's settings as they are."""

    key: str
    label_config: str
    extra_params: dict[str, Any] | None


def read_setup(body: Mapping[str, Any]) -> Setup:
    """What the body of /setup tells. Raises InvalidRequest, InvalidSettings."""
    key = read_project_key(body.get("project"))
    logs.add(project=key)
    config = body.get("schema")
    if not isinstance(config, str):
        raise InvalidRequest(f"schema must be the label config's XML, not {type(config).__name__}")
    # Label Studio sends null while it validates a changed connection: that must not reset anything.
    extra_params = body.get("extra_params")
    read_project_settings(extra_params)
    return Setup(key, config, extra_params)


def register(store: Store, settings: Settings, setup: Setup, now: float) -> tuple[Project, bool]:
    """The project after the setup, and whether something changed.

    Raises UnsupportedConfig, InvalidSettings, TooManyProjects.
    """
    before = store.projects.find(setup.key)
    offers = NO_OFFERS if before is None else before.offers
    waits = check_project(read_project_settings(setup.extra_params), setup.label_config, offers)
    check_content(setup.label_config, settings.image_encoder, offers)
    if waits:
        log.info("project %s: %s", setup.key, waits)
    if before is None:
        _make_room(store, settings)
    project = store.projects.register(setup.key, setup.label_config, setup.extra_params, now)
    return project, before is None or before.revision != project.revision


def _make_room(store: Store, settings: Settings) -> None:
    """Raises TooManyProjects where one more is too many.

    Whoever reaches this backend can name projects that do not exist: they take no room from those that Label Studio has
    confirmed. Of the others so many are kept, the newest.
    """
    known = store.projects.all()
    unconfirmed = [one for one in known if settings.has_studio and not one.is_confirmed]
    if len(known) - len(unconfirmed) >= settings.max_projects:
        raise TooManyProjects(
            f"{settings.max_projects} projects are known, which is the limit (AL_MAX_PROJECTS): forget some"
        )
    if len(unconfirmed) >= settings.max_projects:
        store.projects.forget(min(unconfirmed, key=lambda one: one.heard_at).key)


def read_tasks(body: Mapping[str, Any], settings: Settings) -> list[Any]:
    """The tasks in the body of /predict. Raises InvalidRequest, TooMuch."""
    tasks = body.get("tasks")
    if not isinstance(tasks, list):
        raise InvalidRequest(f"tasks must be a list, not {type(tasks).__name__}")
    if len(tasks) > settings.max_tasks:
        raise TooMuch(f"{len(tasks)} tasks at once are more than AL_MAX_TASKS allows ({settings.max_tasks})")
    return tasks


def name_of(store: Store, version: tuple[int, str] | None) -> str:
    """The name of a project's current version, of which id and name are given; None before the first."""
    return version_name(FIRST_VERSION, store.installation) if version is None else version[1]


@dataclass(frozen=True)
class Current:
    """What /predict uses for a project's tasks.

    version: id and name of the project's current version. model: None where the version has none. checks: tasks that
    people label without seeing a prediction.
    """

    config: LabelConfig
    version: tuple[int, str] | None
    model: Model | None
    checks: Collection[int] = frozenset()


def answer(store: Store, clock: Clock, current: Current, tasks: Sequence[Any]) -> list[dict[str, Any]]:
    """Labels and scores of tasks: exactly one prediction a task, in order. Raises Overloaded if it takes too long."""
    until = clock.elapsed() + PREDICT_SECONDS
    results: list[dict[str, Any]] = []
    for first in range(0, len(tasks), TASKS_AT_ONCE):
        if clock.elapsed() > until:
            raise Overloaded(
                f"{len(results)} of {len(tasks)} tasks were predicted within {PREDICT_SECONDS:.0f} s, which is too "
                "slow: ask for fewer at once"
            )
        results += _predictions(store, current, tasks[first : first + TASKS_AT_ONCE])
    return results


def _predictions(store: Store, current: Current, tasks: Sequence[Any]) -> list[dict[str, Any]]:
    config, version, model = current.config, current.version, current.model
    name = name_of(store, version)
    texts = [_text(config, task) for task in tasks]
    answered = [place for place, text in enumerate(texts) if text is not None]
    results = [prediction(name, NO_ANSWER_SCORE, []) for _ in tasks]
    if model is not None:
        known = model.knows([texts[place] or "" for place in answered]).tolist()
        answered = [place for place, is_known in zip(answered, known, strict=True) if is_known]
    if version is None or not answered:
        return results
    answers: list[dict[str, tuple[Answer, float]]] = [{} for _ in answered]
    scores: list[float] | None = None
    if model is not None:
        beliefs = model.believe([texts[place] or "" for place in answered])
        answers = _answers(config, beliefs, len(answered))
        informativeness = model.informativeness(beliefs)
        scores = None if informativeness is None else [score(value) for value in informativeness]
    if scores is None:
        # An order that does not follow from probabilities: tasks outside of the window come last.
        ids = [_task_id(tasks[place]) for place in answered]
        window = store.windows.informativeness(version[0], [one for one in ids if one is not None])
        scores = [score(window[one]) if one in window else NO_ANSWER_SCORE for one in ids]
    for place, found, task_score in zip(answered, answers, scores, strict=True):
        is_said = _task_id(tasks[place]) not in current.checks
        results[place] = prediction(name, task_score, config.write(found) if is_said else [])
    return results


def _text(config: LabelConfig, task: Any) -> str | None:
    data = task.get("data") if isinstance(task, dict) else None
    return config.text_of(data) if isinstance(data, dict) else None


def _task_id(task: dict[str, Any]) -> int | None:
    value = task.get("id")
    return value if isinstance(value, int) and 0 <= value < 2**63 else None


def _answers(config: LabelConfig, beliefs: Mapping[str, Beliefs], n: int) -> list[dict[str, tuple[Answer, float]]]:
    """The most probable answer to each question of each of n tasks."""
    found: list[dict[str, tuple[Answer, float]]] = [{} for _ in range(n)]
    if len(config.questions) == 1 and len(beliefs) == 1:
        # The control may have been renamed since.
        beliefs = {config.question.name: next(iter(beliefs.values()))}
    for question in config.questions:
        if question.name in beliefs:
            for one, best in zip(found, question.best(beliefs[question.name], 1), strict=True):
                one |= {question.name: best[0]} if best else {}
    return found
