"""Who can write into the tables of the jobs runs no code in the processes that read them."""

from __future__ import annotations

import base64
import json
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dbos import _serialization as dbos_serialization

from label_studio_al.jobs import JobClient
from label_studio_al.runtime.database import open_engine
from label_studio_al.store import Store
from tests.support.job_worker import JobWorker, log_lines

LONGEST_WAIT_SECONDS = 60.0
KEY = "3.1795343520"


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def bomb(mark: Path) -> str:
    """As DBOS writes what it pickles."""
    return base64.b64encode(pickle.dumps({"args": (Bomb(mark),), "kwargs": {}})).decode()


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that a bomb creates."""
    return tmp_path / "unpickled"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of jobs."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path / 'jobs.sqlite'}"


class Worker:
    """A process that runs jobs while the block lasts; `ran` has the keys of the jobs that it ran."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._store_url, self._url = folder, f"sqlite:///{folder / 'state.sqlite'}", url
        store = Store(self._store_url)
        store.migrate()
        store.close()

    def __enter__(self) -> Worker:
        self._worker = JobWorker(self._folder, self._store_url, self._url)
        self._worker.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.kill()

    @property
    def ran(self) -> list[str]:
        return [line[1] for line in log_lines(self._folder) if line[0] == "begin"]


@pytest.fixture
def worker(tmp_path: Path, url: str) -> Worker:
    started = Worker(tmp_path, url)
    with started:
        # Makes DBOS's tables.
        pass
    return started


@pytest.fixture
def change(url: str) -> Callable[..., None]:
    """Changes the rows of a job, as whoever can write into the database may."""
    engine = open_engine(url)
    schema = "dbos" if engine.dialect.name == "postgresql" else None

    def write(job: str, **columns: Any) -> None:
        status = sa.Table("workflow_status", sa.MetaData(), schema=schema, autoload_with=engine)
        given = sa.Table("workflow_input", sa.MetaData(), schema=schema, autoload_with=engine)
        with engine.begin() as connection:
            connection.execute(sa.update(status).where(status.c.workflow_uuid == job).values(**columns))
            if "inputs" in columns:
                inputs = {"inputs": columns["inputs"]}
                done = connection.execute(sa.update(given).where(given.c.workflow_uuid == job).values(**inputs))
                assert done.rowcount == 1
        engine.dispose()

    return write


def wait_for(is_so: Callable[[], bool], what: object = "") -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"waited too long: {what!r:.200}"
        time.sleep(0.02)


def test_bomb_goes_off_when_it_is_unpickled(mark: Path) -> None:
    """So that the tests below mean something."""
    pickle.loads(base64.b64decode(bomb(mark)))
    assert mark.exists()


def portable(arguments: str, named: str = "{}") -> str:
    """As DBOS writes JSON."""
    return f'{{"positionalArgs": {arguments}, "namedArgs": {named}}}'


def test_forged_inputs_are_refused_without_being_unpickled_and_the_next_turns_run(
    url: str, worker: Worker, change: Callable[..., None], mark: Path
) -> None:
    pickled = bomb(mark)
    forged: list[tuple[str, str | None]] = [
        *((pickled, name) for name in ("py_pickle", None, "portable_json")),
        *((portable('["3.17"]'), name) for name in (None, "py_pickle")),
        *((portable(given), "portable_json") for given in ('[{"a": 1}]', "[7]", "[null]", "[]", '["3.17", "4.17"]')),
        (portable("[]", '{"other": "3.17"}'), "portable_json"),
        ("[]", "portable_json"),
        ("7", "portable_json"),
        ("[" * 100_000, "portable_json"),
    ]
    jobs = JobClient(url)
    for number, (inputs, serialization) in enumerate(forged):
        jobs.ask(f"{number}.1", 0)
        change(f"turn:{number}.1:0", inputs=inputs, serialization=serialization)
    with worker:
        for number in range(len(forged)):
            wait_for(lambda number=number: jobs.is_spent(f"{number}.1", 0), forged[number])  # type: ignore[misc]
        assert worker.ran == []
        for number in range(len(forged)):
            jobs.ask(f"{number}.1", 1)
        wait_for(lambda: len(worker.ran) == len(forged))
    jobs.close()
    assert not mark.exists()


@pytest.mark.parametrize("forged", [{"serialization": "of another program"}, {"name": "no job of ours"}])
def test_job_that_nobody_can_run_ends_as_failed_with_a_sentence(
    url: str, worker: Worker, change: Callable[..., None], forged: dict[str, str]
) -> None:
    jobs = JobClient(url)
    jobs.ask(KEY, 0)
    change(f"turn:{KEY}:0", **forged)
    with worker:
        wait_for(lambda: jobs.is_spent(KEY, 0))
        jobs.ask(KEY, 1)
        wait_for(lambda: jobs.is_spent(KEY, 1))
    assert worker.ran == [KEY]
    assert jobs.begun() == []
    jobs.close()
    engine = open_engine(url)
    schema = "dbos" if engine.dialect.name == "postgresql" else None
    ended, given = (
        sa.Table(name, sa.MetaData(), schema=schema, autoload_with=engine)
        for name in ("workflow_status", "workflow_output")
    )
    with engine.connect() as connection:
        mine = sa.select(ended.c.status).where(ended.c.workflow_uuid == f"turn:{KEY}:0")
        assert connection.execute(mine).scalar_one() == "ERROR"
        why = sa.select(given.c.error).where(given.c.workflow_uuid == f"turn:{KEY}:0")
        assert next(iter(forged.values())) in connection.execute(why).scalar_one()
    engine.dispose()


def test_forged_results_are_not_unpickled_by_whoever_looks_at_jobs(
    url: str, worker: Worker, change: Callable[..., None], mark: Path
) -> None:
    jobs = JobClient(url)
    sent = bomb(mark)
    for number, status in enumerate(("SUCCESS", "ERROR", "PENDING", "ENQUEUED")):
        jobs.ask(KEY, number)
        forged = {"inputs": sent, "output": sent, "error": sent, "serialization": "py_pickle", "status": status}
        change(f"turn:{KEY}:{number}", **forged)
        jobs.is_spent(KEY, number)
    for job in jobs.begun():
        jobs.run_again(job)
    jobs.forget_done(-60)
    jobs.forget(KEY)
    jobs.close()
    assert not mark.exists()


def test_jobs_are_written_as_json(url: str, worker: Worker) -> None:
    jobs = JobClient(url)
    jobs.ask(KEY, 0)
    jobs.close()
    engine = open_engine(url)
    schema = "dbos" if engine.dialect.name == "postgresql" else None
    status = sa.Table("workflow_status", sa.MetaData(), schema=schema, autoload_with=engine)
    given = sa.Table("workflow_input", sa.MetaData(), schema=schema, autoload_with=engine)
    with engine.connect() as connection:
        assert connection.execute(sa.select(status.c.serialization)).scalar_one() == "portable_json"
        written = json.loads(connection.execute(sa.select(given.c.inputs)).scalar_one())
    engine.dispose()
    assert written == {"positionalArgs": [KEY], "namedArgs": {}}


def test_no_door_of_dbos_unpickles(tmp_path: Path, mark: Path) -> None:
    """Inputs, results, errors, events, messages, streams and schedules all come through these."""
    JobClient(f"sqlite:///{tmp_path / 'jobs.sqlite'}").close()
    ours, theirs = dbos_serialization.DBOSPortableJSONSerializer(), dbos_serialization.DefaultSerializer()
    doors: list[Callable[[str], object]] = [
        theirs.deserialize,
        dbos_serialization.DBOSDefaultSerializer.deserialize,
        *(
            lambda text, read=read, serializer=serializer: read(text, "py_pickle", serializer)
            for read in (
                dbos_serialization.deserialize_args,
                dbos_serialization.deserialize_value,
                dbos_serialization.deserialize_exception,
            )
            for serializer in (ours, theirs)
        ),
    ]
    for door in doors:
        with pytest.raises(TypeError, match="unpickled"):
            door(bomb(mark))
    assert not mark.exists()
