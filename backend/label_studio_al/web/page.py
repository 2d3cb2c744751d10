"""The status page: what the model does in every project, for the people who run it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Literal, get_args, get_origin

from flask import Blueprint, Response, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from label_studio_al import __version__
from label_studio_al.labeling import Task, read_project_key
from label_studio_al.learners.registry import check_project
from label_studio_al.runtime.errors import (
    BackendError,
    InvalidRequest,
    InvalidSettings,
    NoThumbnail,
    UnknownProject,
    UnsupportedConfig,
)
from label_studio_al.runtime.settings import ProjectSettings, read_project_settings
from label_studio_al.store import Project
from label_studio_al.web.answers import answer_error
from label_studio_al.web.charts import Chart, automation_curve, learning_curve
from label_studio_al.web.maps import PoolMap, read_map
from label_studio_al.web.marks import Texts, markings_of
from label_studio_al.web.parts import Parts, parts
from label_studio_al.web.status import brief_state, problems, state_of, task_url
from label_studio_al.web.thumbnails import pictured, thumbnail_of
from label_studio_al.web.tokens import FIELD, check_token, form_token, keep_visit

page = Blueprint("page", __name__)

_TASK = re.compile(r"[0-9]{1,18}")

# What an action says when it is done: fixed sentences, so that nobody can put words on the page by a link.
_DONE = {
    "retrain": "A new version is asked for: it comes with the next turn.",
    "pause": "Paused. Labels are still heard and the queue keeps its order; a turn that is running comes to its end.",
    "resume": "Resumed: the next turn comes at once.",
    "settings": "The settings are changed: the next turn uses them and writes them into Label Studio.",
}


@page.get("/")
def overview() -> ResponseReturnValue:
    """All projects for people; for Label Studio's older releases and curl, that the server is up."""
    if not _wants_html():
        return jsonify(status="UP")
    here = parts()
    versions, measured = here.store.versions.current(), here.store.measurements.newest_of_all()
    known = here.store.projects.all()
    states = [brief_state(here, one, versions.get(one.key), measured.get(one.key)) for one in known]
    of_spans = {one.key for one in known if _of_spans(one)}
    return _page("overview.html", states=states, of_spans=of_spans, problems=problems(here))


@page.get("/projects/<key>")
def project(key: str) -> ResponseReturnValue:
    """One project: a page for people, its part of /status for machines."""
    state = state_of(parts(), read_project_key(key))
    return _project_page(state) if _wants_html() else jsonify(state)


@page.get("/projects/<key>/questions")
def question(key: str) -> ResponseReturnValue:
    """The same page with what is known of one of several questions; its part of /status for machines."""
    # In a path, browsers take away a name that is `..`, and servers join slashes.
    name = request.args.get("name", "")
    state = state_of(parts(), read_project_key(key))
    found = next((one for one in state.get("questions", []) if one["name"] == name), None)
    if found is None:
        raise UnknownProject(f"project {key[:40]} asks no question {name[:40]!r} beside others")
    about = {"labels": found["labels"], "quality": found["quality"], "shown": name}
    return _project_page(state | about) if _wants_html() else jsonify(found)


@page.get("/projects/<key>/thumbnails/<task>")
def thumbnail(key: str, task: str) -> ResponseReturnValue:
    """A small picture of a task's image: a JPEG."""
    here = parts()
    known = here.store.projects.get(read_project_key(key))
    found = thumbnail_of(here, known, int(task)) if _TASK.fullmatch(task) else None
    if found is None:
        raise NoThumbnail(f"no thumbnail is kept of task {task[:20]!a} of project {key}")
    answer = Response(found, mimetype="image/jpeg")
    answer.add_etag()
    return answer.make_conditional(request)


def _project_page(state: dict[str, Any]) -> ResponseReturnValue:
    here = parts()
    # A page that is open already asks for what has changed.
    is_map_kept = state["map"] is not None and request.args.get("have") == state["map"]["made_at"]
    map_of_pool = None if is_map_kept else _map(here, state["key"])
    known = here.store.projects.get(state["key"])
    tasks = here.store.tasks.some(known.key, _shown(state, map_of_pool))
    with_thumbnail = pictured(here, known, tasks)
    return _page(
        "project.html",
        state=state,
        problems=problems(here),
        texts=_texts(known, tasks, state),
        map=map_of_pool,
        is_map_kept=is_map_kept,
        curve=_curve(state["quality"]),
        automation_curve=_automation_curve(state["automation"]),
        fields=_fields(state["settings"]),
        can_write=here.settings.has_studio,
        task_url=lambda task_id: task_url(here, state["project"], task_id),
        thumbnail_url=lambda task_id: (
            url_for("page.thumbnail", key=known.key, task=task_id) if task_id in with_thumbnail else None
        ),
        done=_DONE.get(request.args.get("done", "")),
        token=form_token(),
        token_field=FIELD,
    )


@page.post("/projects/<key>/retrain")
def retrain(key: str) -> ResponseReturnValue:
    """Publish a new version whatever the growth."""
    here, known = _acted_on(key)
    here.store.projects.want_training(known.key, here.clock.now())
    return _done(known, "retrain")


@page.post("/projects/<key>/pause")
def pause(key: str) -> ResponseReturnValue:
    """Take no turns until somebody resumes."""
    here, known = _acted_on(key)
    here.store.projects.pause(known.key, here.clock.now())
    return _done(known, "pause")


@page.post("/projects/<key>/resume")
def resume(key: str) -> ResponseReturnValue:
    """Take turns again."""
    here, known = _acted_on(key)
    here.store.projects.resume(known.key, here.clock.now())
    return _done(known, "resume")


@page.post("/projects/<key>/settings")
def settings(key: str) -> ResponseReturnValue:
    """Use other settings, here and in Label Studio."""
    here, known = _acted_on(key)
    if not here.settings.has_studio:
        raise InvalidRequest(
            "without LABEL_STUDIO_API_KEY settings cannot be written into Label Studio, which would undo them: "
            "change the extra params of the model connection there"
        )
    sent = {name: value for name, value in request.form.items() if name != FIELD}
    wanted = read_project_settings({**known.extra_params, **sent})
    check_project(wanted, known.label_config, known.offers)
    chosen = wanted.model_dump()
    # What nobody chose stays as this release, or the next one, has it by default.
    default = ProjectSettings().model_dump()
    kept = {name: value for name, value in chosen.items() if value != default[name] or name in known.extra_params}
    here.store.projects.choose_settings(known.key, kept, here.clock.now())
    return _done(known, "settings")


@page.errorhandler(BackendError)
def explain(exc: BackendError) -> ResponseReturnValue:
    """A page for people, JSON for machines."""
    answer = answer_error(exc)
    if _wants_html() and exc.status != 401:
        answer.set_data(render_template("error.html", sentence=str(exc), release=__version__))
        answer.mimetype = "text/html"
    return answer


@page.app_template_filter()
def ago(time: str | None) -> str:
    """How long ago a time of `/status` was, in words."""
    if time is None:
        return "never"
    seconds = parts().clock.now() - datetime.fromisoformat(time).timestamp()
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            n = int(seconds // size)
            return f"{n} {unit}{'s' if n != 1 else ''} ago"
    return "just now"


@page.app_template_filter()
def clock_time(time: str) -> str:
    """A time of `/status` for people, in UTC."""
    return datetime.fromisoformat(time).astimezone(timezone.utc).strftime("%d %b %H:%M:%S UTC")


@page.app_template_filter()
def percent(share: float) -> str:
    """A share of 1 as percent, rounded down: 99.9 % must not read as 100."""
    return f"{int(1000 * share + 1e-9) / 10:g} %"


@page.app_template_filter()
def doing(state: dict[str, Any]) -> dict[str, str]:
    """What a project does now: `kind` (paused, parked, away, error, busy, waiting), a word for it and a sentence."""
    progress, activity = state["progress"], state["activity"]
    # Turns go on while embeddings are filled in.
    if progress is not None and progress["what"] != "embeddings":
        what = {"sync": "Comparing with Label Studio", "features": "Turning texts into features"}[progress["what"]]
        activity = f"{what}: {progress['done']:,} of {progress['total']:,} tasks"
    sentence = activity[:1].upper() + activity[1:]
    if state["is_paused"]:
        return {"kind": "paused", "word": "Paused", "sentence": "No turns are taken until somebody resumes."}
    if state["is_parked"]:
        return {"kind": "parked", "word": "Parked", "sentence": f"{state['error']}. Waiting for a change."}
    if state["unreachable_since"]:
        return {
            "kind": "away",
            "word": "Label Studio is unreachable",
            "sentence": f"Since {clock_time(state['unreachable_since'])}. {state['error']}",
        }
    if state["error"]:
        return {"kind": "error", "word": "Failed", "sentence": f"{state['error']}. {sentence}."}
    is_waiting = state["is_waiting"]
    return {
        "kind": "waiting" if is_waiting else "busy",
        "word": "Waiting" if is_waiting else "Working",
        "sentence": sentence,
    }


def _page(template: str, **values: Any) -> Response:
    return keep_visit(Response(render_template(template, release=__version__, **values), mimetype="text/html"))


def _wants_html() -> bool:
    """Whether a browser asks: on a tie, as with `*/*`, it is not one."""
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _acted_on(key: str) -> tuple[Parts, Project]:
    check_token()
    here = parts()
    return here, here.store.projects.get(read_project_key(key))


def _done(known: Project, action: str) -> ResponseReturnValue:
    return redirect(url_for("page.project", key=known.key, done=action), 303)


def _map(here: Parts, key: str) -> PoolMap | None:
    picture = here.store.maps.picture(key)
    return None if picture is None else read_map(picture)


def _shown(state: dict[str, Any], map_of_pool: PoolMap | None) -> list[int]:
    """The tasks that the page shows."""
    quality = state["quality"] or {}
    ids = {task["task_id"] for task in (state["window"] or {}).get("tasks", [])}
    ids |= {suspect["task_id"] for suspect in quality.get("suspects", [])}
    ids |= {task_id for pair in quality.get("confusing_pairs", []) for task_id in pair["task_ids"]}
    ids |= {point.task_id for point in (() if map_of_pool is None else map_of_pool.table)}
    return sorted(ids)


def _texts(known: Project, tasks: Iterable[Task], state: dict[str, Any]) -> Texts:
    """The texts of tasks. state: that the page shows."""
    try:
        config = known.config
    except UnsupportedConfig:
        return Texts()
    first = state["questions"][0]["name"] if "questions" in state else config.names[0]
    shown = {task.id: config.shown_of(task.data) for task in tasks}
    return Texts(shown, markings_of(config), state.get("shown", first))


def _of_spans(project: Project) -> bool:
    """Whether the first question of a project marks spans."""
    try:
        return project.config.questions[0].coding.marks is not None
    except UnsupportedConfig:
        return False


def _curve(quality: Mapping[str, Any] | None) -> Chart | None:
    points = (quality or {}).get("learning_curve") or []
    return learning_curve(points, (quality or {}).get("random_baseline") or []) if len(points) > 1 else None


def _automation_curve(automation: Mapping[str, Any] | None) -> Chart | None:
    points = ((automation or {}).get("newest_plan") or {}).get("curve") or []
    return automation_curve(points) if any(point["share"] for point in points) else None


def _fields(extra_params: dict[str, Any]) -> list[dict[str, Any]]:
    """The form's fields: of each setting its name, value, meaning, and what may be chosen."""
    try:
        current = read_project_settings(extra_params)
    except InvalidSettings:
        # Of another release.
        current = ProjectSettings()
    fields = []
    for name, field in ProjectSettings.model_fields.items():
        bounds = {"ge": None, "le": None}
        for rule in field.metadata:
            bounds |= {bound: getattr(rule, bound) for bound in bounds if hasattr(rule, bound)}
        fields.append(
            {
                "name": name,
                "value": getattr(current, name),
                "help": field.description,
                "choices": get_args(field.annotation) if get_origin(field.annotation) is Literal else None,
                "low": bounds["ge"],
                "high": bounds["le"],
                "step": "any" if isinstance(getattr(current, name), float) else 1,
            }
        )
    return fields
