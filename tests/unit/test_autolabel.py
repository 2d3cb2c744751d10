"""Automatic labels: planned, set, taken back and watched, with faults that only a small Label Studio can have."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from label_studio_al.autolabel import apply as applying
from label_studio_al.cli import main
from label_studio_al.labeling import is_automatic, read_annotation
from label_studio_al.questions import answers, parse_config
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.store.automation import CHECK, KEPT, LABELLED, SKIPPED, UNDONE, AutomaticLabel, Promise, Run
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.bench import ANIMALS, MACHINES, TWO, Bench, config, truth
from tests.support.build import KEY, LABELS, annotation, choice, config_xml, event
from tests.support.fake_label_studio import CLOSED, TOKEN, URL, FakeProject
from tests.support.saved_bench import Saved, bench_to_save, saved
from tests.support.versions import asked

TEXTS = [f"{text} number {n}" for n in range(20) for pair in zip(ANIMALS, MACHINES, strict=True) for text in pair]
# Forty labels, half of them audits, can promise a fifth, not a fiftieth.
GOAL = ("--max-error", "0.2", "--delta", "0.1")
ACTION = "/api/dm/actions"


class KilledError(BaseException):
    """`kill -9` at this very call."""


def settings_in(folder: Path) -> Settings:
    return read_settings(model_dir=folder, label_studio_url=URL, label_studio_api_key=TOKEN, encoder="none")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Forty labels, about half of them of tasks drawn at random, are learnt; 160 tasks are open."""
    with bench_to_save(settings_in(tmp_path_factory.mktemp("learnt"))) as bench:
        made = bench.add(texts=TEXTS, audit_share=0.5, retrain_growth=1.0, verify_share=0.02, window=40)
        bench.turn(made)
        for n in (10, 10, 20):
            bench.label(made, n)
            bench.turn(made)
        # What is learnt last is the audit's, too, once a version has learnt it.
        bench.store.projects.want_training(made.key, bench.clock.now())
        bench.turn(made)
    return saved(bench)


@pytest.fixture
def project(bench: Bench, learnt: Saved) -> FakeProject:
    learnt.put_into(bench)
    (made,) = bench.fake.projects.values()
    return made


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, bench: Bench, signer: Signer, tmp_path: Path) -> CliRunner:
    for name, value in {"MODEL_DIR": str(tmp_path), "LABEL_STUDIO_URL": URL, "AL_ENCODER": "none"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    client: httpx.Client = bench.fake.client()
    monkeypatch.setattr(
        "label_studio_al.cli.autolabel.make_studio",
        lambda _: Studio(Api(URL, TOKEN, client, bench.clock)),
    )
    monkeypatch.setattr("label_studio_al.cli.autolabel.make_signer", lambda _: signer)
    monkeypatch.setattr("label_studio_al.cli.autolabel.keep_files_private", lambda: None)
    return CliRunner()


def autolabel(command: CliRunner, project: FakeProject, *arguments: str, goal: tuple[str, ...] = GOAL) -> Result:
    """The command, which must not end with a traceback."""
    done = command.invoke(main, ["autolabel", "--project", str(project.id), *goal, *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


def apply(command: CliRunner, project: FakeProject, *arguments: str) -> Result:
    done = autolabel(command, project, "--apply", "--yes", *arguments)
    assert done.exit_code == 0, done.output
    return done


def is_ours(annotation: Any) -> bool:
    return is_automatic(annotation["result"], annotation["updated_by"])


def automatic(project: FakeProject) -> dict[int, dict[str, Any]]:
    """The automatic annotations in Label Studio, by task; none has two."""
    found = [one for one in project.annotations.values() if is_ours(one)]
    assert len({one["task"] for one in found}) == len(found)
    return {one["task"]: one for one in found}


def by_people(project: FakeProject) -> dict[int, dict[str, Any]]:
    return {id: dict(one) for id, one in project.annotations.items() if not is_ours(one)}


def newest(bench: Bench, project: FakeProject) -> Run:
    return bench.store.automation.runs(project.key)[-1]


def label_of(annotated: dict[str, Any]) -> str:
    return str(annotated["result"][0]["value"]["choices"][0])


# -- the plan ---------------------------------------------


def test_plan_says_what_would_be_labelled_and_changes_nothing(
    command: CliRunner, bench: Bench, project: FakeProject
) -> None:
    before = (len(project.annotations), len(project.predictions), bench.store.annotations.all(project.key))
    done = autolabel(command, project)
    assert done.exit_code == 0, done.output
    assert "of 160 open tasks" in done.output
    assert len(re.findall(rf"{URL}/projects/{project.id}/data\?task=\d+", done.output)) == 10
    assert "Nothing was changed" in done.output
    assert (len(project.annotations), len(project.predictions), bench.store.annotations.all(project.key)) == before
    assert bench.store.automation.runs(project.key) == []


def test_plan_in_json_adds_up(command: CliRunner, bench: Bench, project: FakeProject) -> None:
    plan = json.loads(autolabel(command, project, "--json").output)
    assert plan["n_selected"] + plan["n_left"] == plan["n_open"] == 160
    assert sum(plan["labels"].values()) == plan["n_selected"] > 100
    assert plan["n_checks"] == 30
    assert plan["most_wrong"] == int(0.2 * plan["n_selected"])
    audits = {one.task_id for one in bench.store.measurements.predictions(project.key) if one.is_audit}
    assert sum(group["n_audited"] for group in plan["audit"]) == len(audits)
    assert plan["n_trained_on"] == 40 - len(audits)
    assert [example["label"] for example in plan["examples"]] == [
        truth(project.tasks[example["task_id"]]["data"]["text"]) for example in plan["examples"]
    ]
    shares = [point["share"] for point in plan["curve"]]
    assert shares == sorted(shares)


def test_plan_of_many_decisions_is_made_in_parts(
    command: CliRunner, project: FakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = json.loads(autolabel(command, project, "--json").output)
    monkeypatch.setattr("label_studio_al.autolabel.plan.DECISIONS_AT_ONCE", 30)
    assert json.loads(autolabel(command, project, "--json").output) == at_once


def test_same_plan_is_one_look_at_the_audit_labels_and_another_goal_is_the_next(
    command: CliRunner, project: FakeProject
) -> None:
    def look(*goal: str) -> tuple[int, str]:
        plan = json.loads(autolabel(command, project, "--json", goal=goal).output)
        return plan["look"], plan["plan"]

    assert look(*GOAL) == look(*GOAL)
    assert look(*GOAL)[0] == 1
    assert look("--max-error", "0.25", "--delta", "0.1")[0] == 2
    assert look(*GOAL)[0] == 1


def test_what_cannot_be_promised_is_said_with_the_labels_that_are_missing(
    command: CliRunner, project: FakeProject
) -> None:
    goal = ("--max-error", "0.1")
    done = autolabel(command, project, goal=goal)
    assert done.exit_code == 0
    assert re.search(r"not possible with \d+ audit labels: about \d+ more", done.output)
    assert "audit_share=1" in done.output
    refused = autolabel(command, project, "--apply", "--yes", goal=goal)
    assert (refused.exit_code, len(automatic(project))) == (1, 0)


@pytest.mark.parametrize(
    ("goal", "sentence"),
    [
        (("--max-error", "0"), "the error rate must lie between 0 and 1"),
        (("--max-error", "1"), "the error rate must lie between 0 and 1"),
        (("--delta", "0"), "delta"),
    ],
)
def test_a_goal_that_makes_no_sense_is_refused(
    command: CliRunner, project: FakeProject, goal: tuple[str, ...], sentence: str
) -> None:
    done = autolabel(command, project, goal=goal)
    assert (done.exit_code, sentence in done.output) == (1, True), done.output


def test_without_audit_labels_nothing_is_promised(command: CliRunner, bench: Bench) -> None:
    project = bench.add(texts=TEXTS, audit_share=0.0)
    bench.publish(project, 4)
    done = autolabel(command, project, "--apply", "--yes")
    assert done.exit_code == 1
    assert "no audit label" in done.output
    assert not automatic(project)


def test_without_a_model_or_with_one_label_only_it_says_what_is_missing(command: CliRunner, bench: Bench) -> None:
    project = bench.add(texts=TEXTS)
    bench.turn(project)
    bench.label(project, 10, lambda _: "animal")
    bench.turn(project)
    done = autolabel(command, project)
    assert (done.exit_code, "has no model yet" in done.output) == (1, True)


def test_audit_labels_that_are_all_wrong_promise_nothing(command: CliRunner, bench: Bench) -> None:
    project = bench.add(texts=TEXTS, audit_share=0.6, retrain_growth=10.0)
    bench.turn(project)
    bench.label(project, 10)
    bench.turn(project)
    # From here on people say the opposite of what the model learnt: every audit label finds it wrong.
    bench.label(project, 20, lambda text: "machine" if truth(text) == "animal" else "animal")
    audits = bench.store.windows.audits(bench.version(project).id)
    wrong = [one for one in project.annotations.values() if one["task"] in audits]
    for one in list(project.annotations.values())[10:]:
        if one not in wrong:
            bench.hear(bench.fake.delete_annotations(project.id, one["id"]))
    bench.store.projects.want_training(project.key, bench.clock.now())
    bench.turn(project)
    done = autolabel(command, project, "--apply", "--yes")
    assert done.exit_code == 1
    assert "wrong too often" in done.output or "not possible" in done.output
    assert not automatic(project)


def test_project_that_is_not_known_is_said(command: CliRunner, bench: Bench) -> None:
    project = bench.fake.add_project(TWO, TEXTS)
    done = autolabel(command, project)
    assert (done.exit_code, "is not known here" in done.output) == (1, True)


# -- setting ----------------------------------------------


def test_applied_labels_are_the_planned_ones_each_linked_to_its_prediction_and_marked(
    command: CliRunner, bench: Bench, project: FakeProject
) -> None:
    people = by_people(project)
    plan = json.loads(autolabel(command, project, "--json").output)
    apply(command, project)
    set_now = automatic(project)
    assert len(set_now) == plan["n_selected"] - plan["n_checks"]
    for task_id, one in set_now.items():
        assert project.predictions[one["parent_prediction"]]["task"] == task_id
        assert project.predictions[one["parent_prediction"]]["model_version"].startswith("auto-1.")
    assert by_people(project) == people
    run = newest(bench, project)
    assert bench.store.automation.counts(run) == {LABELLED: len(set_now), CHECK: 30}
    titles = [tab["data"]["title"] for tab in bench.fake.tabs.values()]
    assert titles.count("Labelled automatically") == 1


def test_no_task_that_label_studio_counts_too_low_gets_a_second_label(
    command: CliRunner, bench: Bench, project: FakeProject
) -> None:
    annotated = {one["task"] for one in project.annotations.values()}
    people = [task_id for task_id in project.tasks if task_id not in annotated][::4]

    def label_in_between() -> None:
        for task_id in people:
            bench.fake.annotate(project.id, task_id, "animal")
            # As an import of predictions writes it that has counted before.
            project.tasks[task_id]["total_annotations"] = 0

    bench.fake.when("POST", "/api/dm/actions", label_in_between)
    apply(command, project)
    assert automatic(project)
    assert not automatic(project).keys() & set(people)
    assert not [call for call in bench.fake.calls if call.method == "DELETE"]


def test_automatic_labels_teach_nothing_and_are_counted_nowhere(
    command: CliRunner, bench: Bench, project: FakeProject
) -> None:
    n_people = len(by_people(project))
    apply(command, project)
    bench.hear(bench.fake.bulk_event(project.id))
    state = bench.settle(project)
    assert state.n_annotations == n_people
    assert len(bench.version(project).trained_on) == n_people
    assert set(bench.version(project).trained_on).isdisjoint(automatic(project))
    assert len(bench.store.measurements.predictions(project.key)) <= n_people
    assert bench.store.automation.n_automatic(project.key) == len(automatic(project))


def test_an_event_that_comes_before_anything_else_is_known_is_told_from_peoples(bench: Bench) -> None:
    """Our own database may be lost: the mark is in Label Studio."""
    project = bench.add(texts=TEXTS)
    bench.turn(project)
    made = bench.fake.annotate(project.id, next(iter(project.tasks)), "animal")
    made["annotation"] |= {"updated_by": None, "result": [choice("animal") | {"id": "automatic-7"}]}
    bench.hear(made)
    assert bench.store.annotations.all(project.key) == []
    assert bench.store.automation.n_automatic(project.key) == 1


def test_a_correction_by_a_person_is_a_label_like_any_other_and_counts_against_the_promise(
    command: CliRunner, bench: Bench, project: FakeProject
) -> None:
    apply(command, project)
    bench.hear(bench.fake.bulk_event(project.id))
    task_id, one = next(iter(automatic(project).items()))
    other = "machine" if label_of(one) == "animal" else "animal"
    bench.hear(bench.fake.correct(project.id, one["id"], other))
    bench.settle(project)
    bench.store.projects.want_training(project.key, bench.clock.now())
    bench.turn(project)
    assert asked(bench.version(project)).trained_on[task_id] == other
    watch = newest(bench, project).watch
    assert watch is not None
    assert (watch["n_corrected"], watch["is_alarm"]) == (1, False)


def test_tasks_that_people_label_meanwhile_are_skipped(command: CliRunner, bench: Bench, project: FakeProject) -> None:
    planned = json.loads(autolabel(command, project, "--json").output)["examples"]
    early, late, skipped = (example["task_id"] for example in planned[:3])

    def between() -> None:
        bench.fake.annotate(project.id, early, "animal")
        bench.fake.annotate(project.id, skipped, None, skip=True)

    # One after the plan, one between the push and the action, which looks itself.
    bench.fake.when("GET", r"/api/tasks", lambda: None)
    bench.fake.when("POST", rf"/api/projects/{project.id}/import/predictions", between)
    bench.fake.when("POST", ACTION, lambda: bench.fake.annotate(project.id, late, "animal"))
    done = apply(command, project)
    assert {early, late, skipped}.isdisjoint(automatic(project))
    assert bench.store.automation.counts(newest(bench, project))[SKIPPED] == 3
    assert "3 were skipped" in done.output


def test_person_who_submits_in_the_moment_of_the_action_is_alone_afterwards(
    command: CliRunner, bench: Bench, project: FakeProject
) -> None:
    task_id = json.loads(autolabel(command, project, "--json").output)["examples"][0]["task_id"]
    bench.fake.when(
        "GET", rf"/api/projects/{project.id}/export", lambda: bench.fake.annotate(project.id, task_id, "animal")
    )
    apply(command, project)
    theirs = [one for one in project.annotations.values() if one["task"] == task_id]
    assert [is_ours(one) for one in theirs] == [False]


@pytest.mark.parametrize("takes_effect", [True, False])
@pytest.mark.parametrize("path", [r"/api/projects/\d+/import/predictions", ACTION])
def test_killed_run_goes_on_without_doubles(
    command: CliRunner,
    bench: Bench,
    project: FakeProject,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    takes_effect: bool,
) -> None:
    monkeypatch.setattr(applying, "BATCH", 40)
    plan = json.loads(autolabel(command, project, "--json").output)
    bench.fake.fail("POST", path, KilledError(), nth=2, times=1, takes_effect=takes_effect)
    with pytest.raises(KilledError):
        autolabel(command, project, "--apply", "--yes")
    assert 0 < len(automatic(project)) < plan["n_selected"] - 30

    waits = autolabel(command, project)
    assert (waits.exit_code, "--apply resumes it" in waits.output) == (1, True)
    apply(command, project)
    assert len(automatic(project)) == plan["n_selected"] - 30
    assert bench.store.automation.counts(newest(bench, project)) == {LABELLED: plan["n_selected"] - 30, CHECK: 30}
    assert len(bench.store.automation.runs(project.key)) == 1


def test_label_studio_that_goes_away_is_said_and_the_next_call_goes_on(
    command: CliRunner, bench: Bench, project: FakeProject
) -> None:
    bench.fake.fail("POST", ACTION, CLOSED)
    done = autolabel(command, project, "--apply", "--yes")
    assert (done.exit_code, "does not answer" in done.output) == (1, True)
    bench.fake.mend()
    bench.clock.advance(60)
    apply(command, project)
    assert len(automatic(project)) > 100


def test_token_without_the_right_to_annotate_is_said(command: CliRunner, bench: Bench, project: FakeProject) -> None:
    bench.fake.fail("POST", ACTION, 403)
    done = autolabel(command, project, "--apply", "--yes")
    assert (done.exit_code, "give them the right" in done.output) == (1, True)
    assert not automatic(project)


def test_plan_of_an_older_version_is_not_applied(command: CliRunner, bench: Bench, project: FakeProject) -> None:
    name = json.loads(autolabel(command, project, "--json").output)["plan"]
    bench.store.projects.want_training(project.key, bench.clock.now())
    bench.turn(project)
    done = autolabel(command, project, "--apply", "--yes", "--plan", name)
    assert (done.exit_code, "plan again" in done.output) == (1, True)
    assert (automatic(project), bench.store.automation.runs(project.key)) == ({}, [])


def test_version_that_is_published_while_somebody_reads_the_plan_stops_it(
    command: CliRunner, bench: Bench, project: FakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_for_a_while(*_: Any, **__: Any) -> bool:
        bench.store.projects.want_training(project.key, bench.clock.now())
        bench.turn(project)
        return True

    monkeypatch.setattr("label_studio_al.cli.autolabel.click.confirm", read_for_a_while)
    done = autolabel(command, project, "--apply")
    assert (done.exit_code, "plan again" in done.output) == (1, True)
    assert not automatic(project)


def test_label_config_that_has_changed_since_is_refused(command: CliRunner, bench: Bench, project: FakeProject) -> None:
    bench.fake.change_config(project.id, config("animal", "machine", "plant"))
    done = autolabel(command, project, "--apply", "--yes")
    assert (done.exit_code, "the label config has changed" in done.output) == (1, True)
    assert not automatic(project)


def test_interrupted_run_whose_label_is_gone_from_the_config_can_only_be_undone(
    command: CliRunner, bench: Bench, project: FakeProject
) -> None:
    bench.fake.fail("POST", ACTION, CLOSED, times=1)
    assert autolabel(command, project, "--apply", "--yes").exit_code == 1
    bench.fake.change_config(project.id, config("animal", "engine"))
    bench.clock.advance(60)
    done = autolabel(command, project, "--apply", "--yes")
    assert (done.exit_code, "'machine' is gone" in done.output) == (1, True)
    assert autolabel(command, project, "--undo", "--yes").exit_code == 0


# -- taking back ------------------------------------------


def test_undo_leaves_the_project_as_it_was(command: CliRunner, bench: Bench, project: FakeProject) -> None:
    before = {id: dict(one) for id, one in project.annotations.items()}
    apply(command, project)
    bench.hear(bench.fake.bulk_event(project.id))
    bench.settle(project)
    done = autolabel(command, project, "--undo", "--yes")
    assert done.exit_code == 0, done.output
    assert project.annotations == before
    bench.settle(project)
    assert {one["model_version"] for one in project.predictions.values()} == {bench.version(project).name}
    assert newest(bench, project).state == UNDONE
    assert bench.store.automation.n_automatic(project.key) == 0
    assert bench.store.automation.checks(project.key) == {}
    again = autolabel(command, project, "--undo", "--yes")
    assert (again.exit_code, "nothing to undo" in again.output) == (1, True)


def test_undo_spares_what_people_changed_began_or_added(command: CliRunner, bench: Bench, project: FakeProject) -> None:
    apply(command, project)
    corrected, confirmed, begun, added, late, *_ = automatic(project).values()
    bench.fake.correct(project.id, corrected["id"], "animal")
    bench.fake.correct(project.id, confirmed["id"], label_of(confirmed))
    project.drafted.add(begun["task"])
    bench.fake.annotate(project.id, added["task"], "machine")
    # After it was looked, before it is deleted: Label Studio itself must notice.
    bench.fake.when("POST", ACTION, lambda: bench.fake.correct(project.id, late["id"], "animal"))
    people = by_people(project)

    done = autolabel(command, project, "--undo", "--yes")
    assert done.exit_code == 0, done.output
    left = by_people(project)
    assert left.keys() == people.keys() | {late["id"]}
    assert {id: left[id] for id in people} == people
    assert automatic(project).keys() == {begun["task"]}
    assert bench.store.automation.counts(newest(bench, project))[KEPT] == 4
    assert "4 stay" in done.output


def test_killed_undo_goes_on(
    command: CliRunner, bench: Bench, project: FakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "BATCH", 40)
    before = dict(project.annotations)
    apply(command, project)
    bench.fake.fail("POST", ACTION, KilledError(), nth=2, times=1, takes_effect=True)
    with pytest.raises(KilledError):
        autolabel(command, project, "--undo", "--yes")
    waits = autolabel(command, project)
    assert (waits.exit_code, "--undo resumes it" in waits.output) == (1, True)
    assert autolabel(command, project, "--undo", "--yes").exit_code == 0
    assert project.annotations == before


# -- keeping watch ----------------------------------------


def check(bench: Bench, project: FakeProject, n: int, wrong: bool) -> None:
    """People label the next n tasks of the queue, which are the ones held back."""
    held_back = bench.store.automation.checks(project.key)
    asked = (project.queue() or [])[:n]
    assert set(asked) <= held_back.keys()
    for task_id in asked:
        right = held_back[task_id]["topic"]
        said = right if not wrong else ("machine" if right == "animal" else "animal")
        bench.hear(bench.fake.annotate(project.id, task_id, said))
    bench.turn(project)


def test_what_was_held_back_comes_first_and_without_a_label(
    command: CliRunner, bench: Bench, project: FakeProject
) -> None:
    apply(command, project)
    bench.hear(bench.fake.bulk_event(project.id))
    bench.settle(project)
    held_back = bench.store.automation.checks(project.key)
    assert set((project.queue() or [])[:30]) == held_back.keys()
    current = [one for one in project.predictions.values() if one["model_version"] == project.model_version]
    assert {one["task"] for one in current if not one["result"]} == held_back.keys()
    assert bench.store.windows.audits(bench.version(project).id).isdisjoint(held_back)


def test_checks_that_agree_raise_no_alarm(command: CliRunner, bench: Bench, project: FakeProject) -> None:
    apply(command, project)
    bench.settle(project)
    check(bench, project, 30, wrong=False)
    watch = newest(bench, project).watch
    assert watch is not None
    assert (watch["n_checked"], watch["n_wrong"], watch["is_alarm"]) == (30, 0, False)


def test_checks_that_contradict_the_promise_raise_an_alarm_and_name_the_way_back(
    command: CliRunner, bench: Bench, project: FakeProject
) -> None:
    apply(command, project)
    bench.settle(project)
    check(bench, project, 20, wrong=True)
    watch = newest(bench, project).watch
    assert watch is not None
    assert (watch["n_checked"], watch["n_wrong"], watch["is_alarm"]) == (20, 20, True)
    assert "autolabel --undo" in watch["sentence"]


def test_next_plan_asks_only_audit_labels_that_the_run_before_did_not_use(
    command: CliRunner, bench: Bench, project: FakeProject
) -> None:
    apply(command, project)
    bench.hear(bench.fake.bulk_event(project.id))
    bench.settle(project)
    run = newest(bench, project)
    audits = {one.task_id for one in bench.store.measurements.predictions(project.key) if one.is_audit}
    assert run.covered_audits
    done = autolabel(command, project, "--json")
    plan = json.loads(done.output)
    left = audits - run.covered_audits - bench.store.automation.tasks_of(project.key)
    assert sum(group["n_audited"] for group in plan["audit"]) == len(left)


# -- what the web process says ----------------------------


@pytest.fixture
def web(bench: Bench, signer: Signer, settings: Settings) -> FlaskClient:
    return create_app(Parts(settings, bench.store, signer, bench.clock), ["secret"]).test_client()


def test_status_tells_of_runs_their_promise_and_their_checks(
    command: CliRunner, bench: Bench, project: FakeProject, web: FlaskClient
) -> None:
    assert web.get("/status").get_json()["projects"][0]["automation"] is None
    apply(command, project)
    bench.hear(bench.fake.bulk_event(project.id))
    bench.settle(project)
    check(bench, project, 20, wrong=True)
    told = web.get("/status").get_json()["projects"][0]
    assert told["n_annotations"] == 40 + 20
    assert (told["automation"]["n_labels"], told["automation"]["is_alarm"]) == (len(automatic(project)), True)
    (run,) = told["automation"]["runs"]
    assert (run["state"], run["plan"]["max_error"], run["verification"]["n_wrong"]) == ("applied", 0.2, 20)
    assert run["tasks"] == {LABELLED: len(automatic(project)), CHECK: 30}

    autolabel(command, project, "--undo", "--yes")
    assert web.get("/status").get_json()["projects"][0]["automation"]["is_alarm"] is False


def test_page_shows_the_newest_plan_then_what_was_set_and_an_alarm(
    command: CliRunner, bench: Bench, project: FakeProject, web: FlaskClient
) -> None:
    def page() -> str:
        return web.get(f"/projects/{project.key}", headers={"Accept": "text/html"}).get_data(as_text=True)

    assert f"label-studio-al autolabel --project {project.id}</code>" in page()
    plan = json.loads(autolabel(command, project, "--json").output)
    told = web.get("/status").get_json()["projects"][0]["automation"]["newest_plan"]
    assert (told["plan"], told["curve"]) == (plan["plan"], plan["curve"])
    planned = page()
    assert plan["sentence"] in planned
    assert "Share of the unlabelled tasks" in planned
    assert "--undo" not in planned

    apply(command, project)
    bench.hear(bench.fake.bulk_event(project.id))
    bench.settle(project)
    assert "a check of the automatic labels" in page()
    assert 'role="alert"' not in page()
    check(bench, project, 20, wrong=True)
    assert 'role="alert"' in page()
    assert f"autolabel --project {project.id} --undo" in page()


def test_opening_a_task_that_is_a_check_tells_no_label(
    command: CliRunner, bench: Bench, project: FakeProject, web: FlaskClient
) -> None:
    apply(command, project)
    held_back = min(bench.store.automation.checks(project.key))
    other = next(iter(automatic(project)))
    tasks = [project.tasks[held_back], project.tasks[other]]
    answer = web.post("/predict", json={"project": project.key, "label_config": TWO, "tasks": tasks}).get_json()
    assert [bool(one["result"]) for one in answer["results"]] == [False, True]


# -- what is kept -----------------------------------------


@pytest.mark.both_databases
def test_annotations_change_sides_when_a_person_saves_them(store: Store) -> None:
    store.projects.register(KEY, config_xml(), None, 0.0)
    ours = {"id": 1, "task": 5, "updated_by": None, "updated_at": "2026-11-23T12:00:00.500000Z"}
    ours["result"] = [choice("A") | {"id": "automatic-1"}]
    store.updates.hear(event("ANNOTATIONS_CREATED", annotations=(read_annotation(ours),)), 1.0)
    assert (store.annotations.all(KEY), store.automation.taken(KEY)) == ([], {5})
    saved = ours | {"updated_by": 3, "updated_at": "2026-11-23T12:00:01Z"}
    store.updates.hear(event("ANNOTATION_UPDATED", annotations=(read_annotation(saved),)), 2.0)
    assert [one.id for one in store.annotations.all(KEY)] == [1]
    assert store.automation.taken(KEY) == set()
    config = parse_config(config_xml())
    assert answers(store.annotations.all(KEY), config) == {"topic": {5: LABELS[0]}}


@pytest.mark.both_databases
def test_run_is_kept_with_its_tasks(store: Store) -> None:
    store.projects.register(KEY, config_xml(), None, 0.0)
    store.updates.hear(event("ANNOTATION_CREATED", annotations=(annotation(9, 2, "B"),)), 1.0)
    labels = [AutomaticLabel(2, {"topic": "A"}, 0.9, "planned"), AutomaticLabel(3, {"topic": "B"}, 0.8, CHECK)]
    promise = Promise(0.02, 0.05, {"n": 1}, {7})
    run = store.automation.begin(KEY, labels, promise, 1.0)
    assert (run.number, store.automation.begin(KEY, [], promise, 1.0).number) == (1, 2)
    assert store.automation.reserve_batch(run, [2]) == 1
    assert store.automation.taken(KEY) == {2}
    assert store.automation.checks(KEY) == {3: {"topic": "B"}}
    (planned,) = store.automation.labels(run, "planned")
    assert planned.batch == 1
    store.automation.note(run, [AutomaticLabel(2, {"topic": "A"}, 0.9, LABELLED, 1, 70)])
    assert store.automation.labels(run)[0].annotation_id == 70
    assert store.automation.answered(KEY, run) == {2: {"topic": "A"}}
    assert store.automation.counts(run) == Counter({LABELLED: 1, CHECK: 1})
    store.projects.forget(KEY)
    assert store.automation.runs(KEY) == []
