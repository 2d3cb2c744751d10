"""`label-studio-al autolabel`: labels the tasks that the model is sure of, with a guaranteed error rate."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import click

from label_studio_al.autolabel.apply import Applier
from label_studio_al.autolabel.plan import Case, Plan, fingerprint, make_plan
from label_studio_al.labeling import project_id_of
from label_studio_al.learners.encoders import find_encoder
from label_studio_al.learners.published import Models
from label_studio_al.learning.guarantee import DELTA, MAX_ERROR
from label_studio_al.pool.fitting import PoolMeans
from label_studio_al.pool.tasks import Pool
from label_studio_al.questions import LabelConfig
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.computing import Computing
from label_studio_al.runtime.errors import InvalidSettings, NotPossible, PlanOutdated, TurnRunning, UnknownProject
from label_studio_al.runtime.logs import on_one_line
from label_studio_al.runtime.settings import Settings, read_project_settings, read_settings
from label_studio_al.store import Project, Store
from label_studio_al.store.automation import (
    APPLYING,
    KEPT,
    LABELLED,
    PLANNED,
    REMOVED,
    SKIPPED,
    UNDOING,
    UNDONE,
    AutomaticLabel,
    Promise,
    Run,
)
from label_studio_al.studio.client import Studio
from label_studio_al.turns.syncing import Sync
from label_studio_al.wiring import keep_files_private, make_signer, make_studio, open_store, say_errors

# A turn takes seconds; the first one of a large pool works in slices of two.
TURN_SECONDS = 60.0
_TEXT_CHARACTERS = 60


@dataclass(frozen=True)
class _Goal:
    """What was asked for on the command line."""

    max_error: float
    delta: float
    per_label: bool
    leaves_empty: bool


@dataclass(frozen=True)
class _Parts:
    """What the command works with, for one project."""

    settings: Settings
    store: Store
    studio: Studio
    clock: Clock
    key: str

    @property
    def project(self) -> Project:
        """The project as it stands."""
        return self.store.projects.get(self.key)

    @property
    def config(self) -> LabelConfig:
        """What the project asks."""
        return self.project.config

    def case(self, goal: _Goal) -> Case:
        """The project as it stands, and the goal."""
        project = self.project
        settings = read_project_settings(project.extra_params)
        return Case(self.store, project, self.config, settings, **asdict(goal))

    def link(self, task_id: int) -> str:
        """Where a task is seen in Label Studio."""
        return f"{self.studio.url}/projects/{project_id_of(self.key)}/data?task={task_id}"


@click.command()
@click.option("--project", "project_id", type=int, required=True, help="Number of the project in Label Studio.")
@click.option("--max-error", type=float, default=MAX_ERROR, show_default=True, help="Maximum share of wrong labels.")
@click.option("--delta", type=float, default=DELTA, show_default=True, help="Maximum probability that more are wrong.")
@click.option("--per-label", is_flag=True, help="Guarantee it for each label on its own.")
@click.option("--leave-empty", "leaves_empty", is_flag=True, help="Agree that controls left to people stay empty.")
@click.option("--apply", "applies", is_flag=True, help="Set the labels; resumes an interrupted run.")
@click.option("--undo", "undoes", is_flag=True, help="Undo the newest run, except labels that people changed.")
@click.option("--plan", "expected", metavar="NAME", help="With --apply: only if the plan still has this name.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@say_errors
def autolabel(
    project_id: int,
    max_error: float,
    delta: float,
    per_label: bool,
    leaves_empty: bool,
    applies: bool,
    undoes: bool,
    expected: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Label the tasks that the model is sure of, with a guaranteed maximum error rate.

    Without --apply or --undo it prints what it would do, and changes nothing. Needs LABEL_STUDIO_URL and
    LABEL_STUDIO_API_KEY; docs/autolabel.md explains how it works.
    """
    if applies and undoes:
        raise InvalidSettings("give --apply or --undo, not both")
    goal = _Goal(max_error, delta, per_label, leaves_empty)
    with _opened(project_id) as parts, parts.store.autolabel_lock(parts.key) as is_mine:
        if not is_mine:
            raise NotPossible(f"another autolabel command for project {project_id} is running: wait until it ends")
        if undoes:
            _undo(parts, yes=yes, as_json=as_json)
            return
        interrupted = next((run for run in parts.store.automation.runs(parts.key) if run.state in _UNFINISHED), None)
        if interrupted is not None:
            _go_on(parts, interrupted, applies=applies, as_json=as_json)
            return
        plan = _plan(parts, goal)
        if not (as_json and applies):
            # Labels and texts are somebody's, and end no line of ours.
            click.echo(_as_json(parts, plan) if as_json else "\n".join(map(on_one_line, _as_lines(parts, plan))))
        if applies:
            _apply(parts, goal, plan, expected, yes=yes, as_json=as_json)


_UNFINISHED = (APPLYING, UNDOING)


@contextmanager
def _opened(project_id: int) -> Iterator[_Parts]:
    settings = read_settings()
    keep_files_private()
    studio = make_studio(settings)
    if studio is None:
        raise InvalidSettings("LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY must be set")
    with closing(open_store(settings)) as store:
        key = studio.projects.get(project_id).key
        if store.projects.find(key) is None:
            raise UnknownProject(
                f"project {project_id} is not known here: run label-studio-al connect --project {project_id}"
            )
        yield _Parts(settings, store, studio, Clock(), key)


# -- planning -------------------------------------------------------------------------------------------------


def _plan(parts: _Parts, goal: _Goal) -> Plan:
    """The plan, with no turn between what it looks at."""
    computing = Computing(parts.settings.threads, parts.settings.dask_scheduler)
    background = ThreadPoolExecutor(1)
    try:
        with parts.store.turn_lock(parts.key, TURN_SECONDS) as is_mine:
            if not is_mine:
                raise TurnRunning(f"a turn of project {parts.key} is running: try again in a minute")
            Sync(parts.store, parts.studio, parts.clock).run(parts.key, math.inf)
            means = PoolMeans(
                parts.store,
                make_signer(parts.settings),
                parts.clock,
                computing,
                background,
                find_encoder(parts.settings.encoder),
                parts.settings.features_dir,
                parts.settings.embeddings_dir,
            )
            pool = Pool(parts.key, parts.config, means)
            pool.refresh(math.inf)
            models = Models(parts.store, means.signer, embeddings=means.embeddings)
            _use_embeddings(parts, pool, models)
            with computing.slot():
                plan = make_plan(parts.case(goal), pool, models)
            parts.store.automation.keep_plan(parts.project.key, plan.report, parts.clock.now())
            return plan
    finally:
        background.shutdown(cancel_futures=True)
        computing.close()


def _use_embeddings(parts: _Parts, pool: Pool, models: Models) -> None:
    """Those that the published model looks at, if features that were fitted again do not know them yet.

    Nothing is encoded here. Raises NotPossible where they are not on this machine.
    """
    version_id = parts.project.version_id
    published = None if version_id is None else models.get(parts.key, version_id)
    if published is not None and not pool.features.deferred:
        labelled = {annotation.task_id for annotation in parts.store.annotations.all(parts.key)}
        pool.offer(published.features.deferred, sorted(labelled))
    if pool.n_waiting and not len(pool.live):
        raise NotPossible(
            f"no task of project {parts.key} has an embedding on this machine: wait until the worker has made some, "
            "and plan where the worker's MODEL_DIR is"
        )


def _check_plan(parts: _Parts, goal: _Goal, plan: Plan) -> None:
    """Raises PlanOutdated unless the plan is what it would be now."""
    Sync(parts.store, parts.studio, parts.clock).config(parts.key)
    _expect(plan.fingerprint, fingerprint(parts.case(goal)))


def _expect(expected: str, found: str) -> None:
    if expected != found:
        raise PlanOutdated(
            f"plan {expected} is outdated, it is {found} now: a version was trained or a setting was changed since; "
            "nothing was applied, plan again"
        )


# -- applying -------------------------------------------------------------------------------------------------


def _apply(parts: _Parts, goal: _Goal, plan: Plan, expected: str | None, *, yes: bool, as_json: bool) -> None:
    if expected is not None:
        _expect(expected, plan.fingerprint)
    if not plan.labels:
        raise NotPossible(plan.guarantee.sentence())
    n_planned = len(plan.labels) - plan.n_checks
    if not n_planned:
        raise NotPossible(
            f"all {plan.n_checks} tasks that could be labelled would be held back as checks: verify_share decides"
        )
    if not yes:
        click.confirm(f"Label {n_planned} tasks?", abort=True, err=as_json)
    _check_plan(parts, goal, plan)
    promise = Promise(goal.max_error, goal.delta, plan.report, plan.covered_audits)
    run = parts.store.automation.begin(parts.key, plan.labels, promise, parts.clock.now())
    _carry_out(parts, run, as_json=as_json)


def _go_on(parts: _Parts, run: Run, *, applies: bool, as_json: bool) -> None:
    """With what was interrupted: nothing else can be planned before."""
    if run.state == UNDOING:
        raise NotPossible(f"run {run.number} is being taken back and was interrupted: --undo resumes it")
    counts = parts.store.automation.counts(run)
    if not applies:
        raise NotPossible(
            f"run {run.number} was interrupted, {counts.get(PLANNED, 0)} of its tasks are left: --apply resumes "
            "it, --undo takes it back"
        )
    Sync(parts.store, parts.studio, parts.clock).config(parts.key)
    gone = _gone(parts.config, parts.store.automation.labels(run, PLANNED))
    if gone:
        raise NotPossible(
            f"the label config has changed since run {run.number} was begun, {gone[0]!r} is gone: "
            "--undo takes the run back"
        )
    click.echo(f"Resuming run {run.number}", err=as_json)
    _carry_out(parts, run, as_json=as_json)


def _carry_out(parts: _Parts, run: Run, *, as_json: bool) -> None:
    applier = Applier(parts.store, parts.studio, parts.clock, parts.key, parts.config)
    n_left = parts.store.automation.counts(run).get(PLANNED, 0)
    with _progress(n_left, "Labelling", as_json=as_json) as report:
        applier.apply(run, report)
    counts = parts.store.automation.counts(run)
    _say_result(parts, run, as_json=as_json)
    if not as_json:
        n_checks = run.report["n_checks"]
        click.echo(f"Run {run.number}: {counts.get(LABELLED, 0)} tasks are labelled (tab: Labelled automatically)")
        if counts.get(SKIPPED):
            click.echo(f"  {counts[SKIPPED]} were skipped: somebody labelled the task first, or it is gone")
        click.echo(f"  {n_checks} were held back: people label them next, without a pre-filled label")
        click.echo(f"  label-studio-al autolabel --project {project_id_of(parts.key)} --undo undoes all of this")


def _undo(parts: _Parts, *, yes: bool, as_json: bool) -> None:
    runs = [run for run in parts.store.automation.runs(parts.key) if run.state != UNDONE]
    if not runs:
        raise NotPossible("there is nothing to undo: no labels were set automatically")
    run = runs[-1]
    automation = parts.store.automation
    n_labelled = automation.counts(run).get(LABELLED, 0)
    if not yes:
        click.confirm(f"Undo the {n_labelled} labels of run {run.number}?", abort=True, err=as_json)
    applier = Applier(parts.store, parts.studio, parts.clock, parts.key, parts.config)
    with _progress(n_labelled, "Undoing", as_json=as_json) as report:
        applier.undo(run, report)
    counts = automation.counts(run)
    _say_result(parts, run, as_json=as_json)
    if not as_json:
        click.echo(f"Run {run.number}: {counts.get(REMOVED, 0)} labels were removed")
        if counts.get(KEPT):
            click.echo(f"  {counts[KEPT]} stay: somebody has changed them since, or has started to")
        click.echo("  their predictions are deleted by the worker while nobody labels")


@contextmanager
def _progress(length: int, label: str, *, as_json: bool) -> Iterator[Callable[[int], None]]:
    if as_json:
        yield lambda _: None
        return
    with click.progressbar(length=length, label=label) as bar:
        yield bar.update


# -- saying ---------------------------------------------------------------------------------------------------


def _say_result(parts: _Parts, run: Run, *, as_json: bool) -> None:
    if as_json:
        state = next(one.state for one in parts.store.automation.runs(parts.key) if one.id == run.id)
        tasks = parts.store.automation.counts(run)
        click.echo(json.dumps({"run": run.number, "state": state, "tasks": tasks, "plan": run.report}, indent=2))


def _as_json(parts: _Parts, plan: Plan) -> str:
    return json.dumps(plan.report | {"examples": [_example(parts, one) for one in plan.examples]}, indent=2)


def _example(parts: _Parts, one: AutomaticLabel) -> dict[str, Any]:
    """A task that would be labelled: of several questions, the answer to each."""
    (label, *others) = one.answers.values()
    said = {"answers": dict(one.answers)} if others else {"label": label}
    return {"task_id": one.task_id, **said, "probability": one.probability, "link": parts.link(one.task_id)}


def _gone(config: LabelConfig, planned: Sequence[AutomaticLabel]) -> list[str]:
    """What is to be set and the config does not ask, or offer, any more."""
    asked = {question.name: question for question in config.questions}
    answers = [(name, answer) for one in planned for name, answer in one.answers.items()]
    gone = {name for name, _ in answers if name not in asked}
    for name, question in asked.items():
        gone |= question.coding.counts(answer for of, answer in answers if of == name).keys() - set(question.labels)
    return sorted(gone)


def _as_lines(parts: _Parts, plan: Plan) -> list[str]:
    report = plan.report
    n_audited = sum(group["n_audited"] for group in report["audit"])
    lines = [
        f"Plan {plan.fingerprint} for project {project_id_of(parts.key)}, from {report['version']}",
        f"  {report['sentence']}",
        f"  {report['n_trained_on']} labels train the model, {n_audited} audit labels test it "
        f"(look {report['look']} at them)",
    ]
    for group in report["audit"]:
        whose = "" if group["label"] is None else f" {group['label']}:"
        sure = "" if group["threshold"] is None else f" with a confidence of {group['threshold']:.3f} or more"
        lines.append(f"  audit:{whose} {group['n_wrong']} of {group['n_checked']} wrong{sure}")
    if not plan.labels:
        advice = f"label-studio-al connect --project {project_id_of(parts.key)} --set audit_share=1"
        lines.append(f"  audit labels come from tasks drawn at random; to ask only for those: {advice}")
        return lines
    lines.append(
        f"  of {report['n_open']} open tasks {report['n_selected']} would be labelled, {report['n_left']} stay"
    )
    if "n_waiting" in report:
        lines.append(f"  {report['n_waiting']} more have no embedding yet, and are left to people")
    for name, counts in report.get("questions", {"": report["labels"]}).items():
        lines += [f"    {n:7d}  {name and name + ': '}{label}" for label, n in counts.items()]
    lines.append(f"  of these, {plan.n_checks} would be held back, for people to label first, as a check")
    return [*lines, *_example_lines(parts, plan), "Nothing was changed: --apply labels them."]


def _example_lines(parts: _Parts, plan: Plan) -> list[str]:
    tasks = {task.id: task for task in parts.store.tasks.some(parts.key, [one.task_id for one in plan.examples])}
    lines = ["  for example:"]
    for one in plan.examples:
        text = " ".join(parts.config.shown_of(tasks[one.task_id].data).split())
        short = text if len(text) <= _TEXT_CHARACTERS else f"{text[: _TEXT_CHARACTERS - 1]}…"
        answer = "; ".join(question.show(one.answers[question.name]) for question in parts.config.questions)
        lines.append(f"    {one.probability:.3f} {answer}: {short}  {parts.link(one.task_id)}")
    return lines
