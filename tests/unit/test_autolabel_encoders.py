"""Automatic labels of projects whose embeddings are filled in later."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from label_studio_al.learning.deferred import IMAGE, TEXT, Kind
from label_studio_al.runtime.errors import ImageUnusable
from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.turns.seeing import Encoders
from tests.support.bench import TWO, Bench, truth
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import TOKEN, URL, FakeLabelStudio, FakeProject
from tests.unit.turns.test_turn_encoding import IMAGES, SECONDS, Made

N_TASKS = 120
N_MISSING = 7
GOAL = ("--max-error", "0.2", "--delta", "0.1")


def content(n: int) -> str:
    """What tasks show tells their label, but not by its words."""
    return f"{'the cat sleeps' if n % 2 else 'a robot welds'} number {n}"


def data(kind: Kind, numbers: range) -> list[dict[str, Any]]:
    return [{"text": content(n)} if kind == TEXT else {"image": f"/data/upload/{content(n)}"} for n in numbers]


@pytest.fixture
def bench(store: Store, signer: Signer, clock: FakeClock, tmp_path: Path) -> Iterator[Bench]:
    settings = read_settings(
        model_dir=tmp_path, label_studio_url=URL, label_studio_api_key=TOKEN, encoder="none", image_encoder="onnx:made"
    )
    made = Bench(FakeLabelStudio(), store, signer, clock, settings)
    yield made
    if made.encoding is not None:
        made.encoding.close()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, bench: Bench, signer: Signer, tmp_path: Path) -> CliRunner:
    for name, value in {"MODEL_DIR": str(tmp_path), "LABEL_STUDIO_URL": URL, "AL_ENCODER": "none"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    client = bench.fake.client()
    monkeypatch.setattr(
        "label_studio_al.cli.autolabel.make_studio", lambda _: Studio(Api(URL, TOKEN, client, bench.clock))
    )
    monkeypatch.setattr("label_studio_al.cli.autolabel.make_signer", lambda _: signer)
    monkeypatch.setattr("label_studio_al.cli.autolabel.keep_files_private", lambda: None)
    return CliRunner()


def learnt(bench: Bench, kind: Kind) -> FakeProject:
    """Forty labels, half of them of tasks drawn at random, are learnt; seven of the images cannot be had."""

    def image_of(address: str, _task_id: int) -> str:
        if int(address.rpartition(" ")[2]) < N_MISSING:
            raise ImageUnusable("Label Studio answered 404 for an image", "missing")
        return address.removeprefix("/data/upload/")

    made = Made()
    bench.encoders = Encoders({kind: made.name}, lambda _: made, image_of)
    bench.restart()
    asked = TWO if kind == TEXT else IMAGES
    project = bench.fake.add_project(asked, [])
    bench.fake.add_tasks(project.id, data(kind, range(N_TASKS)))
    bench.fake.connect(project.id)
    params = {"audit_share": 0.5, "retrain_growth": 1.0, "verify_share": 0.02, "window": 40}
    bench.store.projects.register(project.key, asked, params, bench.clock.now())
    until = time.monotonic() + SECONDS
    while not is_filled_in(bench, project, N_TASKS - (N_MISSING if kind == IMAGE else 0)):
        assert time.monotonic() < until, "the embeddings were not filled in"
        bench.turn(project)
        time.sleep(0.02)
    bench.turn(project)
    for n in (10, 10, 20):
        for task_id in (project.queue() or [])[:n]:
            bench.hear(bench.fake.annotate(project.id, task_id, label_of(project, task_id)))
        bench.turn(project)
    bench.store.projects.want_training(project.key, bench.clock.now())
    bench.turn(project)
    return project


def is_filled_in(bench: Bench, project: FakeProject, n: int) -> bool:
    pool = bench.loop._looking.pools.get(project.key)
    return pool is not None and bool(pool.features.deferred) and len(pool.live) == n


def label_of(project: FakeProject, task_id: int) -> str:
    shown = project.tasks[task_id]["data"]
    return truth(shown.get("text") or shown["image"].removeprefix("/data/upload/"))


def autolabel(command: CliRunner, project: FakeProject, *arguments: str) -> Result:
    done = command.invoke(main, ["autolabel", "--project", str(project.id), *GOAL, *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


@pytest.mark.parametrize("kind", [TEXT, IMAGE])
def test_tasks_that_have_an_embedding_are_labelled_and_others_are_left_to_people(
    command: CliRunner, bench: Bench, kind: Kind
) -> None:
    project = learnt(bench, kind)
    before = set(project.tasks)
    # Of these nothing is embedded when the plan is made.
    bench.fake.add_tasks(project.id, data(kind, range(N_TASKS, N_TASKS + 5)))
    n_waiting = 5 + (N_MISSING if kind == IMAGE else 0)
    plan = json.loads(autolabel(command, project, "--json").output)
    assert plan["n_waiting"] == n_waiting
    assert plan["n_open"] == N_TASKS + 5 - n_waiting - 40
    assert plan["n_selected"] > 60
    assert f"{n_waiting} more have no embedding yet" in autolabel(command, project).output
    done = autolabel(command, project, "--apply", "--yes")
    assert done.exit_code == 0, done.output
    automatic = {one["task"]: one["result"][0]["value"]["choices"] for one in project.annotations.values()}
    assert set(automatic) <= before
    assert len(automatic) == 40 + plan["n_selected"] - plan["n_checks"]
    assert all(found == [label_of(project, task_id)] for task_id, found in automatic.items())


def test_features_that_are_fitted_again_keep_their_embeddings(command: CliRunner, bench: Bench) -> None:
    project = learnt(bench, IMAGE)
    before = len(project.tasks)
    # Twice as many tasks: the plan's first look fits features again.
    bench.fake.add_tasks(project.id, data(IMAGE, range(N_TASKS, 2 * N_TASKS + 1)))
    plan = json.loads(autolabel(command, project, "--json").output)
    assert plan["n_open"] == before - N_MISSING - 40
    assert plan["n_selected"] > 60


def test_embeddings_of_another_machine_are_missed_in_a_sentence(
    command: CliRunner, bench: Bench, tmp_path: Path
) -> None:
    project = learnt(bench, IMAGE)
    for path in (tmp_path / "embeddings" / project.key).iterdir():
        path.unlink()
    done = autolabel(command, project)
    assert (done.exit_code, "has an embedding on this machine" in done.output) == (1, True), done.output
