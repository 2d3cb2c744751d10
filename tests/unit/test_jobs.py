"""Durable jobs: real DBOS on SQLite and PostgreSQL, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from label_studio_al.jobs import ABANDONED_SECONDS, JobClient, JobTablesMissing
from label_studio_al.runtime.database import open_engine
from label_studio_al.runtime.waking import open_waker
from label_studio_al.store import Store
from tests.support.build import config_xml
from tests.support.job_worker import ROOT, JobWorker, log_lines
from tests.support.postgres import Postgres

LONGEST_WAIT_SECONDS = 60.0
# A killed worker's turn runs on another one.
RESCUE_SECONDS = 10.0
# A job that must not run is waited for in vain until another one, asked for later, has run.
AFTERWARDS = "afterwards"


class Jobs:
    """Processes that run jobs, a client that asks for them, and the log of what ran."""

    def __init__(self, folder: Path, url: str | None = None, n_workers: int = 1, n_threads: int = 4) -> None:
        self.folder = folder
        self._store_url = url or f"sqlite:///{folder / 'state.sqlite'}"
        self.url = url or f"sqlite:///{folder / 'jobs.sqlite'}"
        self.file = None if url else folder / "jobs.sqlite"
        self.store = Store(self._store_url)
        self.store.migrate()
        self.client = JobClient(self.url)
        self.workers: list[JobWorker] = []
        self.start(n_workers, n_threads)

    def start(self, n_workers: int = 1, n_threads: int = 4) -> None:
        """All at once."""
        started = [JobWorker(self.folder, self._store_url, self.url, n_threads) for _ in range(n_workers)]
        self.workers += started
        for worker in started:
            worker.wait_until_ready()

    def worker_of(self, key: str) -> JobWorker:
        """The worker that began the project's last job."""
        number = [line[2] for line in log_lines(self.folder) if line[:2] == ["begin", key]][-1]
        return next(worker for worker in self.workers if str(worker.pid) == number)

    def kill(self, worker: JobWorker | None = None) -> None:
        killed = worker or self.workers[0]
        killed.kill()
        self.workers.remove(killed)

    def stop(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.client.close()
        self.store.close()

    def errors(self) -> str:
        """What the processes wrote to standard error."""
        return (self.folder / "errors").read_text(encoding="utf-8")

    def ran(self, key: str) -> list[str]:
        """What the project's jobs did so far."""
        return [line[0] for line in log_lines(self.folder) if line[1] == key]

    def hold(self, key: str) -> Path:
        """Jobs of the project do not end while the file that this gives exists."""
        path = self.folder / f"hold-{key}"
        path.touch()
        return path

    def settle(self) -> None:
        """Wait until a job that is asked for now has ended: what was due before it has begun."""
        key = f"{AFTERWARDS}-{next(_numbers)}"
        self.client.ask(key, 0)
        wait_for(lambda: self.ran(key) == ["begin", "end"])


_numbers = count()


def wait_for(is_so: Callable[[], bool]) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def jobs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """One process for all tests of a database; each test uses projects of its own."""
    url = None
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        url = server.create()
    running = Jobs(tmp_path_factory.mktemp("jobs"), url)
    yield running
    running.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def start_jobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Jobs]]:
    """Starts processes that the test may kill."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    started: list[Jobs] = []

    def start(n_workers: int = 1, n_threads: int = 4) -> Jobs:
        started.append(Jobs(tmp_path, url, n_workers, n_threads))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def own_jobs(start_jobs: Callable[..., Jobs]) -> Jobs:
    """A process that the test may kill."""
    return start_jobs()


def test_thousand_asks_for_the_same_turn_make_one_run(jobs: Jobs) -> None:
    hold = jobs.hold("thousand")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: jobs.client.ask("thousand", 0), range(1_000)))
    hold.unlink()
    wait_for(lambda: jobs.ran("thousand") == ["begin", "end"])
    jobs.client.ask("thousand", 0)
    jobs.settle()
    assert jobs.ran("thousand") == ["begin", "end"]


def test_turn_asked_for_while_one_runs_waits_and_runs_after_it(jobs: Jobs) -> None:
    hold = jobs.hold("waits")
    jobs.client.ask("waits", 0)
    wait_for(lambda: jobs.ran("waits") == ["begin"])

    jobs.client.ask("waits", 1)
    jobs.settle()
    assert jobs.ran("waits") == ["begin"]

    hold.unlink()
    wait_for(lambda: jobs.ran("waits") == ["begin", "end", "begin", "end"])


def test_two_projects_run_at_once(jobs: Jobs) -> None:
    holds = [jobs.hold("left"), jobs.hold("right")]
    for key in ("left", "right"):
        jobs.client.ask(key, 0)
    wait_for(lambda: jobs.ran("left") == jobs.ran("right") == ["begin"])
    for hold in holds:
        hold.unlink()
    wait_for(lambda: jobs.ran("left") == jobs.ran("right") == ["begin", "end"])


def test_turns_of_one_project_never_overlap(jobs: Jobs) -> None:
    for number in range(8):
        jobs.client.ask("row", number)
    wait_for(lambda: len(jobs.ran("row")) == 16)
    assert jobs.ran("row") == ["begin", "end"] * 8


def test_job_is_spent_once_it_has_ended(jobs: Jobs) -> None:
    hold = jobs.hold("spent")
    assert not jobs.client.is_spent("spent", 0)
    jobs.client.ask("spent", 0)
    wait_for(lambda: jobs.ran("spent") == ["begin"])
    assert not jobs.client.is_spent("spent", 0)
    hold.unlink()
    wait_for(lambda: jobs.client.is_spent("spent", 0))
    assert not jobs.client.is_spent("spent", 1)
    assert not jobs.client.is_spent("other", 0)


def test_job_that_failed_is_spent_and_others_go_on(jobs: Jobs) -> None:
    (jobs.folder / "fail-fails").touch()
    jobs.client.ask("fails", 0)
    wait_for(lambda: jobs.client.is_spent("fails", 0))
    assert jobs.ran("fails") == ["begin"]

    (jobs.folder / "fail-fails").unlink()
    jobs.client.ask("fails", 1)
    wait_for(lambda: jobs.ran("fails") == ["begin", "begin", "end"])


def test_only_ended_jobs_are_forgotten(jobs: Jobs) -> None:
    hold = jobs.hold("stays")
    jobs.client.ask("done", 0)
    jobs.client.ask("stays", 0)
    wait_for(lambda: jobs.client.is_spent("done", 0) and jobs.ran("stays") == ["begin"])
    jobs.client.ask("stays", 1)

    jobs.client.forget_done(3_600)
    assert jobs.client.is_spent("done", 0)

    # A negative time: whatever has ended until a minute from now.
    jobs.client.forget_done(-60)
    assert not jobs.client.is_spent("done", 0)
    hold.unlink()
    wait_for(lambda: jobs.ran("stays") == ["begin", "end", "begin", "end"])


def test_forgotten_number_can_be_asked_for_again(jobs: Jobs) -> None:
    jobs.client.ask("again", 0)
    wait_for(lambda: jobs.client.is_spent("again", 0))
    jobs.client.forget_done(-60)
    jobs.client.ask("again", 0)
    wait_for(lambda: jobs.ran("again") == ["begin", "end"] * 2)


def test_job_of_a_killed_process_runs_again_in_the_next(own_jobs: Jobs) -> None:
    hold = own_jobs.hold("killed")
    own_jobs.client.ask("killed", 0)
    wait_for(lambda: own_jobs.ran("killed") == ["begin"])
    own_jobs.client.ask("killed", 1)
    own_jobs.client.ask("unbegun", 0)

    own_jobs.kill()
    own_jobs.client.ask("asked while nobody runs jobs".replace(" ", "-"), 0)
    hold.unlink()
    own_jobs.start()

    wait_for(lambda: own_jobs.ran("killed")[-4:] == ["begin", "end", "begin", "end"])
    wait_for(lambda: own_jobs.ran("unbegun")[-1:] == ["end"])
    wait_for(lambda: own_jobs.ran("asked-while-nobody-runs-jobs") == ["begin", "end"])
    assert own_jobs.ran("killed") == ["begin", "begin", "end", "begin", "end"]


def test_job_survives_several_kills(own_jobs: Jobs) -> None:
    hold = own_jobs.hold("often")
    own_jobs.client.ask("often", 0)
    for n_begun in range(1, 3):
        wait_for(lambda n=n_begun: own_jobs.ran("often") == ["begin"] * n)  # type: ignore[misc]
        own_jobs.kill()
        if n_begun == 2:
            hold.unlink()
        own_jobs.start()
    wait_for(lambda: own_jobs.client.is_spent("often", 0))
    assert own_jobs.ran("often")[-1] == "end"


def test_process_that_stops_lets_the_running_job_end(own_jobs: Jobs) -> None:
    hold = own_jobs.hold("drained")
    own_jobs.client.ask("drained", 0)
    wait_for(lambda: own_jobs.ran("drained") == ["begin"])
    (worker,) = own_jobs.workers
    worker.ask_to_stop()
    hold.unlink()
    worker.wait(LONGEST_WAIT_SECONDS)
    assert own_jobs.ran("drained") == ["begin", "end"]


# -- several workers ------------------------------------------------------------------------------------------


def test_workers_that_start_at_once_on_an_empty_database_share_the_jobs(start_jobs: Callable[..., Jobs]) -> None:
    jobs = start_jobs(n_workers=3, n_threads=1)
    keys = ("one", "two", "three")
    holds = [jobs.hold(key) for key in keys]
    for key in keys:
        jobs.client.ask(key, 0)
    wait_for(lambda: all(jobs.ran(key) == ["begin"] for key in keys))
    assert len({jobs.worker_of(key).pid for key in keys}) == 3
    for hold in holds:
        hold.unlink()
    wait_for(lambda: all(jobs.ran(key) == ["begin", "end"] for key in keys))
    assert jobs.errors() == ""


def test_turn_of_a_killed_worker_runs_on_another_one(start_jobs: Callable[..., Jobs]) -> None:
    jobs = start_jobs(n_workers=2)
    hold = jobs.hold("killed")
    jobs.client.ask("killed", 0)
    wait_for(lambda: jobs.ran("killed") == ["begin"])
    killed_at = time.monotonic()
    jobs.kill(jobs.worker_of("killed"))
    wait_for(lambda: jobs.ran("killed") == ["begin", "begin"])
    assert time.monotonic() - killed_at < RESCUE_SECONDS
    hold.unlink()
    wait_for(lambda: jobs.client.is_spent("killed", 0))
    assert jobs.ran("killed") == ["begin", "begin", "end"]


def test_running_job_stays_with_its_worker(start_jobs: Callable[..., Jobs]) -> None:
    jobs = start_jobs()
    hold = jobs.hold("long")
    jobs.client.ask("long", 0)
    wait_for(lambda: jobs.ran("long") == ["begin"])
    # A second worker starts, and both look for lost jobs, several times as long as they need to find one.
    jobs.start()
    time.sleep(3 * ABANDONED_SECONDS)
    hold.unlink()
    wait_for(lambda: jobs.client.is_spent("long", 0))
    assert jobs.ran("long") == ["begin", "end"]


def test_two_workers_never_run_turns_of_one_project_at_once(start_jobs: Callable[..., Jobs]) -> None:
    jobs = start_jobs(n_workers=2)
    keys = ("left", "right", "middle")
    for number in range(20):
        for key in keys:
            jobs.client.ask(key, number)
    wait_for(lambda: all(len(jobs.ran(key)) == 40 for key in keys))
    for key in keys:
        assert jobs.ran(key) == ["begin", "end"] * 20
    assert jobs.errors() == ""


def test_job_whose_turn_is_taken_elsewhere_gives_up_quietly(jobs: Jobs) -> None:
    with jobs.store.turn_lock("taken") as is_mine:
        assert is_mine
        jobs.client.ask("taken", 0)
        wait_for(lambda: jobs.client.is_spent("taken", 0))
    assert jobs.ran("taken") == []


def test_projects_that_always_have_news_share_one_thread(start_jobs: Callable[..., Jobs]) -> None:
    n_projects, n_turns = 10, 100
    jobs = start_jobs(n_threads=1)
    keys = [f"{number}.1" for number in range(n_projects)]
    for key in keys:
        jobs.store.projects.register(key, config_xml(), None, 0.0)
        (jobs.folder / f"forever-{key}").touch()
        jobs.client.ask(key, 0)
    wait_for(lambda: sum(len(jobs.ran(key)) for key in keys) >= 2 * n_turns)
    for key in keys:
        (jobs.folder / f"forever-{key}").unlink()
    shares = [jobs.ran(key).count("begin") for key in keys]
    # Drawn at random: 10 each, give or take 3 (a standard deviation of the binomial distribution).
    assert min(shares) >= 1, shares
    assert max(shares) <= 25, shares


def test_look_that_failed_is_made_again_until_one_succeeds(start_jobs: Callable[..., Jobs]) -> None:
    jobs = start_jobs()
    conflict = jobs.folder / "conflict"
    conflict.touch()
    jobs.client.ask("asked", 0)
    # Pauses that double would be half a minute by then.
    wait_for(lambda: conflict.stat().st_size >= 8)
    conflict.unlink()
    wait_for(lambda: jobs.ran("asked") == ["begin", "end"])


def test_end_of_a_job_is_told_to_workers_that_wait_for_it(start_jobs: Callable[..., Jobs]) -> None:
    jobs = start_jobs()
    hold = jobs.hold("first")
    jobs.client.ask("first", 0)
    wait_for(lambda: jobs.ran("first") == ["begin"])
    with closing(open_waker(jobs.url)) as other, ThreadPoolExecutor(1) as threads:
        # The first waiting may end at once.
        other.wait(0.1, lambda: False)
        is_over = threading.Event()
        waiting = threads.submit(other.wait, 10 * LONGEST_WAIT_SECONDS, is_over.is_set)
        hold.unlink()
        try:
            waiting.result(LONGEST_WAIT_SECONDS)
        finally:
            is_over.set()


# Threads of DBOS that ask the database nothing while nobody waits for a job's result.
QUIET = """
import sys, threading, time
from label_studio_al.jobs import JobRunner
runner = JobRunner(sys.argv[1], print, 4)
runner.start()
silent = ("MainThread", "jobs", "_run_event_loop", "run_notification_listener", "dbos-executor")
while found := [one.name for one in threading.enumerate() if not any(word in one.name for word in silent)]:
    print(found, flush=True)
    time.sleep(0.1)
runner.stop(0)
"""


def test_no_thread_of_dbos_asks_the_database_over_and_over(tmp_path: Path) -> None:
    command = [sys.executable, "-c", QUIET, f"sqlite:///{tmp_path / 'jobs.sqlite'}"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=LONGEST_WAIT_SECONDS)


def delete_tables(jobs: Jobs) -> None:
    """Somebody who means to tidy up."""
    if jobs.file is not None:
        for path in jobs.file.parent.glob(f"{jobs.file.name}*"):
            path.unlink()
        return
    # The workers' questions may stand against it (PostgreSQL ends one of two that wait for each other).
    wait_for(lambda: drops_schema(jobs))


def drops_schema(jobs: Jobs) -> bool:
    try:
        with jobs.store._engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA dbos CASCADE")
    except OperationalError:
        return False
    return True


def test_jobs_whose_tables_were_deleted_run_again_without_a_restart(start_jobs: Callable[..., Jobs]) -> None:
    jobs = start_jobs(n_workers=2)
    hold = jobs.hold("long")
    for key in ("done", "long"):
        jobs.client.ask(key, 0)
    wait_for(lambda: (jobs.ran("done"), jobs.ran("long")) == (["begin", "end"], ["begin"]))
    delete_tables(jobs)
    wait_for(lambda: accepts(jobs, "done", 1))
    wait_for(lambda: jobs.ran("done") == ["begin", "end"] * 2)
    # What was running comes to its end.
    hold.unlink()
    wait_for(lambda: jobs.ran("long") == ["begin", "end"])
    jobs.settle()


def accepts(jobs: Jobs, key: str, n_turns: int) -> bool:
    """Ask as the sweep does, every now and then."""
    try:
        jobs.client.ask(key, n_turns)
    except JobTablesMissing:
        return False
    return True


def test_jobs_cannot_be_asked_for_before_a_worker_made_their_tables(tmp_path: Path) -> None:
    """Nor does asking make them."""
    path = tmp_path / "fresh.sqlite"
    client = JobClient(f"sqlite:///{path}")
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the database says
        client.ask("2.1", 0)
    client.close()
    engine = open_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one() == 0
    engine.dispose()
