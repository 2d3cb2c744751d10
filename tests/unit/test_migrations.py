"""From any older state of a database to this release's tables, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from label_studio_al.cli.local import free_port
from label_studio_al.questions import NO_OFFERS, parse_config
from label_studio_al.runtime.database import open_engine
from label_studio_al.runtime.errors import SchemaTooNew
from label_studio_al.store import Store, migrations, schema
from tests.support.build import KEY, OTHER_KEY, config_xml
from tests.support.columns import annotation_columns

ROOT = Path(__file__).parents[2]
STEPS = ROOT / "backend" / "label_studio_al" / "store" / "migrations" / "versions"
FIRST_COLUMNS = {
    "key": KEY,
    "label_config": config_xml(),
    "extra_params": '{"seed": 1}',
    "revision": 7,
    "seen_revision": 5,
    "n_turns": 3,
    "heard_at": 100.0,
    "sync_wanted": False,
    "config_wanted": False,
    "wanted_revision": -1,
    "last_number": 2,
    "is_switched": True,
    "is_arranged": True,
    "stale_versions": "[]",
    "activity": "waiting",
    "n_failures": 0,
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.sqlite'}"
    address: str = request.getfixturevalue("postgres_url")
    return address


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    opened = open_engine(url)
    yield opened
    opened.dispose()


def migrate(url: str) -> None:
    store = Store(url)
    try:
        store.migrate()
    finally:
        store.close()


def step_to(engine: sa.Engine, revision: str) -> None:
    """As the release that brought the revision would have left the database."""
    config = migrations._config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def differences(engine: sa.Engine) -> list[object]:
    with engine.connect() as connection:
        found: list[object] = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    return found


def revision_of(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def keep_a_project_with_rows(engine: sa.Engine) -> None:
    """Columns that are named one by one: the tables in `schema` may have more by now."""
    with engine.begin() as connection:
        names = ", ".join(FIRST_COLUMNS)
        values = ", ".join(f":{name}" for name in FIRST_COLUMNS)
        connection.execute(sa.text(f"INSERT INTO projects ({names}) VALUES ({values})"), FIRST_COLUMNS)
        columns = "project_key, id, data, revision, is_deleted"
        row = {"key": KEY, "no": False}
        connection.execute(sa.text(f"INSERT INTO tasks ({columns}) VALUES (:key, 1, '{{}}', 1, :no)"), row)


def the_project_is_whole(url: str) -> None:
    store = Store(url)
    project = store.projects.get(KEY)
    assert (project.extra_params, project.revision, project.n_turns) == ({"seed": 1}, 7, 3)
    assert (project.compared_at, project.compared_through, project.purged_revision) == (None, 0, -1)
    assert (project.n_tasks, project.n_annotations, project.offers) == (0, 0, NO_OFFERS)
    assert store.tasks.ids(KEY) == [1]
    store.close()


def test_steps_from_nothing_make_the_tables_of_this_release(url: str, engine: sa.Engine) -> None:
    migrate(url)
    assert differences(engine) == []


def test_migrating_again_changes_nothing(url: str, engine: sa.Engine) -> None:
    migrate(url)
    migrate(url)
    assert differences(engine) == []


def test_rows_of_the_first_revision_survive(url: str, engine: sa.Engine) -> None:
    step_to(engine, "0001")
    keep_a_project_with_rows(engine)
    migrate(url)
    assert differences(engine) == []
    the_project_is_whole(url)


def test_upgrade_has_annotations_compared_once_more_while_turns_go_on(url: str, engine: sa.Engine) -> None:
    """Those that a release read which did not keep how long they took, and what stands around their answers."""
    step_to(engine, "0012")
    times: dict[str, float | None] = {KEY: 5e8, OTHER_KEY: None}
    with engine.begin() as connection:
        for key, compared_at in times.items():
            values = FIRST_COLUMNS | {"key": key, "compared_at": compared_at, "activity": '{"state": "starting"}'}
            names = ", ".join(values)
            marks = ", ".join(f":{name}" for name in values)
            connection.execute(sa.text(f"INSERT INTO projects ({names}) VALUES ({marks})"), values)
        row = {"key": KEY, "no": False, "at": "2026-11-23T12:00:00.500000Z"}
        columns = "project_key, id, task_id, result, was_cancelled, updated_at, revision, is_deleted, completed_by"
        values_of_one = ":key, 1, 7, '[]', :no, :at, 3, :no, 5"
        connection.execute(sa.text(f"INSERT INTO annotations ({columns}) VALUES ({values_of_one})"), row)
    migrate(url)
    store = Store(url)
    known, unread = store.projects.get(KEY), store.projects.get(OTHER_KEY)
    # Long ago, not never: a project that was never compared does not train.
    assert (known.compared_at, known.sync_wanted, known.revision) == (0.0, True, 7)
    assert (unread.compared_at, unread.sync_wanted) == (None, False)
    found = annotation_columns(store, KEY)[1]
    assert (found["completed_by"], found["revision"]) == (5, 3)
    assert (found["lead_time"], found["ground_truth"], found["item_details"]) == (None, False, None)
    store.close()


def test_what_was_predicted_belongs_to_the_control_and_not_to_a_filter_of_it(url: str, engine: sa.Engine) -> None:
    step_to(engine, "0013")
    xml = config_xml().replace("<Choices", '<Filter name="filter" toName="topic"/><Choices')
    with engine.begin() as connection:
        values = FIRST_COLUMNS | {"label_config": xml, "activity": '{"state": "starting"}'}
        marks = ", ".join(f":{name}" for name in values)
        connection.execute(sa.text(f"INSERT INTO projects ({', '.join(values)}) VALUES ({marks})"), values)
        columns = "project_key, task_id, predicted, probability, n_labels, is_audit"
        row = {"key": KEY, "no": False}
        connection.execute(sa.text(f"INSERT INTO outcomes ({columns}) VALUES (:key, 1, 'A', 0.5, 9, :no)"), row)
    migrate(url)
    store = Store(url)
    assert [one.question for one in store.measurements.predictions(KEY)] == list(parse_config(xml).names)
    store.close()


def test_tables_of_a_release_without_marks_are_taken_over(url: str, engine: sa.Engine) -> None:
    step_to(engine, "0001")
    keep_a_project_with_rows(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE alembic_version"))
    migrate(url)
    assert differences(engine) == []
    the_project_is_whole(url)


def test_unmarked_tables_of_the_second_revision_go_on_from_there(url: str, engine: sa.Engine) -> None:
    step_to(engine, "0002")
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE alembic_version"))
    migrate(url)
    assert differences(engine) == []
    assert revision_of(engine) == max(path.name[:4] for path in STEPS.glob("[0-9]*.py"))


def test_step_that_fails_leaves_the_database_as_it_was(url: str, engine: sa.Engine) -> None:
    step_to(engine, "0001")
    with engine.begin() as connection:
        # In the way of the last column that the step adds.
        connection.execute(sa.text("ALTER TABLE projects ADD COLUMN n_annotations BIGINT"))
    with pytest.raises(sa.exc.DBAPIError):
        migrate(url)
    assert revision_of(engine) == "0001"
    assert "changed_through" not in {column["name"] for column in sa.inspect(engine).get_columns("projects")}


def newer(url: str, engine: sa.Engine) -> None:
    migrate(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))


def test_schema_of_a_newer_release_is_refused(url: str, engine: sa.Engine) -> None:
    newer(url, engine)
    with pytest.raises(SchemaTooNew, match=r"newer release \(revision 9999\): upgrade label-studio-active-learning"):
        migrate(url)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("command", ["worker", "serve", "serve --no-worker"])
def test_commands_end_with_a_sentence_when_the_schema_is_newer(
    url: str, engine: sa.Engine, tmp_path: Path, command: str
) -> None:
    newer(url, engine)
    environment = {**os.environ, "MODEL_DIR": str(tmp_path), "DATABASE_URL": url, "PORT": str(free_port())}
    ended = subprocess.run(
        [sys.executable, "-m", "label_studio_al", *command.split()],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    assert "newer release (revision 9999)" in ended.stderr
    assert "Traceback" not in ended.stderr
    if command == "worker":
        assert len(ended.stderr.splitlines()) == 1


def test_processes_that_start_at_once_all_succeed(url: str, engine: sa.Engine) -> None:
    script = f"from label_studio_al.store import Store; store = Store({url!r}); input(); store.migrate(); store.close()"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[1] for process in processes]
    assert outputs == [""] * 4
    assert [process.returncode for process in processes] == [0] * 4
    assert differences(engine) == []


def test_migrating_says_nothing(url: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    migrate(url)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelname != "INFO"] == []
