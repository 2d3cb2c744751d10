"""What is deleted is gone: a task, or a whole project."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Store, Turn
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from tests.support.bench import TEXTS, Bench
from tests.support.fake_label_studio import TOKEN, URL, FakeProject
from tests.support.thumbnails import keep

# In one text only, and in no other of the project's words.
WORD = "xylophonist"
BACKEND_URL = "http://localhost:9090"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(model_dir=tmp_path, label_studio_url=URL, label_studio_api_key=TOKEN, encoder="none")


@pytest.fixture
def project(bench: Bench) -> FakeProject:
    made = bench.add(texts=[*TEXTS, f"the {WORD} sleeps"])
    bench.publish(made, 1)
    return made


def files_with(word: str, folder: Path) -> list[str]:
    """Files below the folder that hold the word."""
    found = [path for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]
    return [str(path.relative_to(folder)) for path in found]


def shred(store: Store) -> None:
    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


# -- a task ------------------------------------------------


def test_deleted_task_leaves_store_files_features_and_later_models_within_a_turn(
    bench: Bench, project: FakeProject, tmp_path: Path
) -> None:
    task_id = next(id for id, task in project.tasks.items() if WORD in task["data"]["text"])
    bench.hear(bench.fake.annotate(project.id, task_id, "animal"))
    bench.settle(project)
    shred(bench.store)
    # The text itself; a word of the vocabulary lies compressed in the signed features.
    assert files_with(WORD, tmp_path)
    pool = bench.loop._looking.pools[project.key]
    assert WORD in pool.features.tfidf._column_of
    row = int(pool.rows([task_id])[0])
    values = pool.X.terms[row].data.copy()
    assert len(values)
    before = {one.task_id for one in bench.store.measurements.predictions(project.key)}
    assert task_id in before

    bench.hear(bench.fake.delete_tasks(project.id, task_id))
    bench.turn(project)
    shred(bench.store)

    assert files_with(WORD, tmp_path) == []
    assert WORD not in pool.features.tfidf._column_of
    assert "sleeps" in pool.features.tfidf._column_of
    version = bench.version(project)
    assert task_id not in version.trained_on
    assert version.features_id == pool.features_id
    assert bench.store.features.artifact(version.features_id or 0) is not None
    assert task_id not in {one.task_id for one in bench.store.measurements.predictions(project.key)}
    bench.restart()
    bench.turn(project, after_seconds=400)
    pool = bench.loop._looking.pools[project.key]
    assert WORD not in pool.features.tfidf._column_of
    assert bench.version(project).id == version.id
    assert not (pool.X.terms.data == values[0]).all()


def test_rows_of_the_other_tasks_stay_as_they_are(bench: Bench, project: FakeProject) -> None:
    pool = bench.loop._looking.pools[project.key]
    task_id, *others = project.tasks
    before = pool.X[pool.rows(others)].terms.toarray()
    old_row = int(pool.rows([task_id])[0])
    bench.hear(bench.fake.delete_tasks(project.id, task_id))
    bench.turn(project)
    assert (pool.X[pool.rows(others)].terms.toarray() == before).all()
    assert not pool.X.terms[old_row].data.any()
    assert not pool.X.terms[old_row].indices.any()


def test_changed_text_leaves_nothing_of_the_older_one(bench: Bench, project: FakeProject, tmp_path: Path) -> None:
    task_id = next(id for id, task in project.tasks.items() if WORD in task["data"]["text"])
    bench.fake.change_data(project.id, task_id, {"text": "the engine roars"})
    bench.turn(project, after_seconds=400)
    shred(bench.store)
    assert files_with(WORD, tmp_path) == []
    assert WORD not in bench.loop._looking.pools[project.key].features.tfidf._column_of


# -- a project ---------------------------------------------


@pytest.fixture
def command(settings: Settings, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Runs commands with the bench's settings, and its Label Studio."""
    for name, value in {"MODEL_DIR": str(settings.model_dir), "LABEL_STUDIO_URL": URL}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    client: httpx.Client = bench.fake.client()
    monkeypatch.setattr("label_studio_al.cli.forget.make_studio", lambda _: Studio(Api(URL, TOKEN, client)))
    return CliRunner()


def forget(command: CliRunner, *arguments: str) -> Result:
    return command.invoke(main, ["forget", *arguments])


def test_forgotten_project_is_gone_from_every_file(
    command: CliRunner, bench: Bench, project: FakeProject, tmp_path: Path
) -> None:
    other = bench.add()
    bench.publish(other, 1)
    keep(tmp_path / "embeddings", project.key)

    done = forget(command, "--project", str(project.id), "--yes")

    assert done.exit_code == 0, done.output
    assert f"{len(project.tasks)} tasks" in done.output
    assert WORD not in done.output
    assert "still connected" in done.output
    assert bench.store.projects.keys() == [other.key]
    assert files_with(WORD, tmp_path) == []
    assert [path.name for path in (tmp_path / "features").iterdir()] == [other.key]
    assert list((tmp_path / "embeddings").iterdir()) == []
    bench.label(other, 5)
    assert bench.turn(other).error is None
    assert other.model_version == "al-3"
    bench.loop.forget_all_but(bench.store.projects.keys())
    assert list(bench.loop._looking.pools) == [other.key]


def test_files_that_cannot_be_removed_are_named(
    command: CliRunner, bench: Bench, project: FakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.rmtree", lambda _folder, ignore_errors: None)
    done = forget(command, "--project", str(project.id), "--yes")
    assert done.exit_code == 1
    assert str(tmp_path / "features" / project.key) in done.output
    assert "Forgotten." not in done.output
    assert bench.store.projects.keys(project.id) == []


def test_forgetting_is_asked_for_first(command: CliRunner, bench: Bench, project: FakeProject) -> None:
    done = command.invoke(main, ["forget", "--project", str(project.id)], input="n\n")
    assert done.exit_code == 1
    assert bench.store.projects.keys() == [project.key]


def test_disconnecting_removes_connection_and_webhook(command: CliRunner, bench: Bench, project: FakeProject) -> None:
    Studio(Api(URL, TOKEN, bench.fake.client())).webhooks.replace(project.id, BACKEND_URL, "secret")
    done = forget(command, "--project", str(project.id), "--yes", "--disconnect")
    assert done.exit_code == 0, done.output
    assert (bench.fake.connections, bench.fake.webhooks) == ({}, {})
    assert "still connected" not in done.output


def test_unknown_project_is_said(command: CliRunner, bench: Bench, project: FakeProject) -> None:
    done = forget(command, "--project", "77", "--yes")
    assert (done.exit_code, "is not known here" in done.output) == (1, True)
    assert bench.store.projects.keys() == [project.key]


def test_a_running_turn_is_waited_for(
    command: CliRunner, bench: Bench, project: FakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("label_studio_al.cli.forget.TURN_SECONDS", 0.1)
    with bench.store.turn_lock(project.key):
        done = forget(command, "--project", str(project.id), "--yes")
    assert (done.exit_code, "turn of project" in done.output) == (1, True)
    assert bench.store.projects.keys() == [project.key]


def test_damaged_database_that_was_set_aside_goes_with_it(
    command: CliRunner, bench: Bench, project: FakeProject, tmp_path: Path
) -> None:
    (tmp_path / "state.sqlite.torn").write_text(WORD)
    assert forget(command, "--project", str(project.id), "--yes").exit_code == 0
    assert files_with(WORD, tmp_path) == []


def test_two_projects_of_one_number_are_both_forgotten(command: CliRunner, bench: Bench, project: FakeProject) -> None:
    bench.store.projects.register(f"{project.id}.99", project.label_config, None, 0.0)
    bench.store.projects.register(f"{project.id}7.99", project.label_config, None, 0.0)
    assert forget(command, "--project", str(project.id), "--yes").exit_code == 0
    assert bench.store.projects.keys() == [f"{project.id}7.99"]


@pytest.mark.both_databases
def test_project_is_forgotten_in_every_table(store: Store) -> None:
    store.projects.register("1.1", "<View/>", None, 0.0)
    store.turns.record("1.1", Turn(0.0, 1.0, "done"))
    store.projects.forget("1.1")
    store.shred()
    assert (store.projects.keys(), store.turns.newest("1.1", 5)) == ([], [])
