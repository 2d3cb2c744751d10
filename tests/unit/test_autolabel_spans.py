"""Automatic labels that are spans: a task is right if its spans are exactly right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from label_studio_al.labeling import is_automatic
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer
from label_studio_al.store.automation import UNDONE
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from tests.support.bench import Bench
from tests.support.entities import CONFIG, items, sentences
from tests.support.fake_label_studio import TOKEN, URL, FakeProject

pytestmark = pytest.mark.usefixtures("one_thread")

TRUTH = dict(sentences(260))
GOAL = ("--max-error", "0.3", "--delta", "0.2")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(model_dir=tmp_path, label_studio_url=URL, label_studio_api_key=TOKEN, encoder="none")


def mark(bench: Bench, project: FakeProject, tasks: list[int], *, wrong: bool = False) -> None:
    """People mark the spans of these tasks, or one that nobody else would."""
    for task_id in tasks:
        text = project.tasks[task_id]["data"]["text"]
        spans = [(0, 1, "Place")] if wrong else TRUTH[text]
        bench.hear(bench.fake.annotate(project.id, task_id, None, result=items(text, spans)))
    bench.settle(project)


@pytest.fixture
def project(bench: Bench) -> FakeProject:
    """Sixty labels, about half of them of tasks drawn at random, are learnt."""
    made = bench.add(CONFIG, list(TRUTH), audit_share=0.5, retrain_growth=1.0, verify_share=0.02, window=60)
    bench.turn(made)
    for _ in range(3):
        mark(bench, made, (made.queue() or [])[:20])
    bench.store.projects.want_training(made.key, bench.clock.now())
    bench.turn(made)
    return made


@pytest.fixture
def autolabel(
    monkeypatch: pytest.MonkeyPatch, bench: Bench, signer: Signer, tmp_path: Path, project: FakeProject
) -> Any:
    for name, value in {"MODEL_DIR": str(tmp_path), "LABEL_STUDIO_URL": URL, "AL_ENCODER": "none"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    studio = Studio(Api(URL, TOKEN, bench.fake.client(), bench.clock))
    monkeypatch.setattr("label_studio_al.cli.autolabel.make_studio", lambda _: studio)
    monkeypatch.setattr("label_studio_al.cli.autolabel.make_signer", lambda _: signer)
    monkeypatch.setattr("label_studio_al.cli.autolabel.keep_files_private", lambda: None)

    def run(*arguments: str) -> Result:
        done = CliRunner().invoke(main, ["autolabel", "--project", str(project.id), *GOAL, *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        return done

    return run


def marked(result: list[dict[str, Any]]) -> set[tuple[int, int, str]]:
    return {(item["value"]["start"], item["value"]["end"], item["value"]["labels"][0]) for item in result}


def automatic(project: FakeProject) -> list[dict[str, Any]]:
    return [one for one in project.annotations.values() if is_automatic(one["result"], one["updated_by"])]


def test_spans_are_planned_set_checked_and_taken_back(bench: Bench, project: FakeProject, autolabel: Any) -> None:
    before = {id: dict(one) for id, one in project.annotations.items()}
    plan = json.loads(autolabel("--json").output)
    assert plan["n_selected"] > plan["n_checks"] == 30
    assert {"Person", "Place", "ORD"} <= plan["labels"].keys()
    (group,) = plan["audit"]
    said = autolabel()
    assert f"audit: {group['n_wrong']} of {group['n_checked']} wrong" in said.output
    assert "Person" in said.output

    done = autolabel("--apply", "--yes")
    assert done.exit_code == 0, done.output
    found = automatic(project)
    assert len(found) == plan["n_selected"] - 30
    is_right = [marked(one["result"]) == set(TRUTH[project.tasks[one["task"]]["data"]["text"]]) for one in found]
    assert sum(is_right) >= (1 - 0.3) * len(found)
    assert any(one["result"] for one in found)
    bench.hear(bench.fake.bulk_event(project.id))
    bench.settle(project)

    checks = bench.store.automation.checks(project.key)
    mark(bench, project, sorted(checks)[:12])
    (run,) = bench.store.automation.runs(project.key)
    assert run.watch is not None
    assert (run.watch["n_checked"], run.watch["is_alarm"]) == (12, False)
    mark(bench, project, sorted(checks)[12:], wrong=True)
    (run,) = bench.store.automation.runs(project.key)
    assert run.watch is not None
    assert (run.watch["n_checked"], run.watch["is_alarm"]) == (30, True)
    assert run.watch["n_wrong"] >= 18

    undone = autolabel("--undo", "--yes")
    assert undone.exit_code == 0, undone.output
    assert automatic(project) == []
    assert before.items() <= project.annotations.items()
    (run,) = bench.store.automation.runs(project.key)
    assert run.state == UNDONE


def test_promise_for_each_label_is_refused(autolabel: Any) -> None:
    done = autolabel("--per-label")
    assert done.exit_code == 1
    assert "a promise for each label needs one question with one label as its answer" in done.output
