"""Durable jobs: real DBOS on SQLite, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from backend.jobs import JobClient

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "support" / "job_process.py"
LONGEST_WAIT_SECONDS = 60.0
# A job that must not run is waited for in vain until another one, asked for later, has run.
AFTERWARDS = "afterwards"


class Jobs:
    """A process that runs jobs, a client that asks for them, and the log of what ran."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = self._start()
        self.client = JobClient(f"sqlite:///{folder / 'jobs.sqlite'}")

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == "ready\n"
        return process

    def kill(self) -> None:
        """As the kernel does, without a word."""
        self.process.kill()
        self._close()

    def restart(self) -> None:
        self.process = self._start()

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(LONGEST_WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._close()

    def _close(self) -> None:
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def ran(self, key: str) -> list[str]:
        """What the project's jobs did so far."""
        log = self.folder / "log"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [line.split()[0] for line in lines if line.split()[1] == key]

    def order(self) -> list[str]:
        return [" ".join(line.split()[:2]) for line in (self.folder / "log").read_text(encoding="utf-8").splitlines()]

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


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    """One process for all tests; each test uses projects of its own."""
    running = Jobs(tmp_path_factory.mktemp("jobs"))
    yield running
    running.client.close()
    running.stop()


@pytest.fixture
def own_jobs(tmp_path: Path) -> Iterator[Jobs]:
    """A process that the test may kill."""
    running = Jobs(tmp_path)
    yield running
    running.client.close()
    running.stop()


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
    own_jobs.restart()

    wait_for(lambda: own_jobs.ran("killed")[-4:] == ["begin", "end", "begin", "end"])
    wait_for(lambda: own_jobs.ran("unbegun")[-1:] == ["end"])
    wait_for(lambda: own_jobs.ran("asked-while-nobody-runs-jobs") == ["begin", "end"])
    assert own_jobs.ran("killed") == ["begin", "begin", "end", "begin", "end"]


def test_job_survives_several_kills(own_jobs: Jobs) -> None:
    hold = own_jobs.hold("often")
    own_jobs.client.ask("often", 0)
    for n_begun in range(1, 4):
        wait_for(lambda n=n_begun: own_jobs.ran("often") == ["begin"] * n)  # type: ignore[misc]
        own_jobs.kill()
        if n_begun == 3:
            hold.unlink()
        own_jobs.restart()
    wait_for(lambda: own_jobs.client.is_spent("often", 0))
    assert own_jobs.ran("often")[-1] == "end"


def test_process_that_stops_lets_the_running_job_end(own_jobs: Jobs) -> None:
    hold = own_jobs.hold("drained")
    own_jobs.client.ask("drained", 0)
    wait_for(lambda: own_jobs.ran("drained") == ["begin"])
    assert own_jobs.process.stdin is not None
    own_jobs.process.stdin.close()
    hold.unlink()
    own_jobs.process.wait(LONGEST_WAIT_SECONDS)
    assert own_jobs.ran("drained") == ["begin", "end"]
