"""Carries a schedule out: real processes, a small Label Studio over HTTP, a real database."""

from __future__ import annotations

import random
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from label_studio_al.store import Project, Store
from tests.chaos.check import differences, wrongs
from tests.chaos.people import LABELS, People, texts
from tests.chaos.processes import KEY, PASSWORD, SECRET, USER, Processes
from tests.chaos.schedule import CLOCK_SECONDS, LABELLING_SECONDS, Fault, Schedule
from tests.chaos.server import StudioServer, Weather
from tests.chaos.storage import Storage
from tests.support.fake_label_studio import TOKEN, FakeLabelStudio
from tests.support.postgres import Postgres
from tests.support.studio import until

# Several schedules start their processes at once.
START_SECONDS = 180.0
# On a busy machine, and older predictions are deleted only when nobody has labelled for a quarter of a minute.
CONVERGENCE_SECONDS = 60.0
# Label Studio gives a webhook up after one second; a busy machine adds to that.
SUBMIT_SECONDS = 2.0
CHOICES = "".join(f'<Choice value="{label}"/>' for label in LABELS)
CONFIG = f'<View><Text name="text" value="$text"/><Choices name="topic" toName="text">{CHOICES}</Choices></View>'
# Every label is news enough for a training.
EXTRA_PARAMS = {"retrain_growth": 0.0, "min_labels": 2}


@dataclass(frozen=True)
class Outcome:
    """differences: what was not as it must be at the end. wrongs: what went wrong on the way."""

    schedule: Schedule
    differences: list[str]
    wrongs: list[str]
    converged_seconds: float
    slowest_submit: float
    n_labels: int
    n_kills: int
    log: str

    @property
    def has_converged(self) -> bool:
        """Whether all is well."""
        return not self.differences and not self.wrongs

    def __str__(self) -> str:
        if self.has_converged:
            end = f"converged after {self.converged_seconds:.1f} s"
        else:
            end = "FAILED: " + "; ".join([*self.differences, *self.wrongs])[:3000]
        return f"{self.schedule}\n  {end}; {self.n_labels} labels, slowest Submit {self.slowest_submit:.2f} s"


def run(schedule: Schedule, postgres: Postgres | None = None) -> Outcome:
    """Label while things fail, then wait until all is as it must be."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="al-chaos-")))
        weather = Weather(random.Random(schedule.seed))
        fake = FakeLabelStudio()
        server = StudioServer(fake, weather)
        project = fake.add_project(CONFIG, texts(schedule.n_tasks, weather.random))
        stack.enter_context(server.running())
        url = stack.enter_context(_database(schedule, postgres))
        processes = Processes(folder, server.url, TOKEN, url)
        fake.connect(project.id, processes.url)
        people = People(server, project, processes.url, (USER, PASSWORD), SECRET)
        people.extra_params = EXTRA_PARAMS
        if schedule.steps:
            # Each kill needs a label, and some seconds.
            people.thinking_seconds = (0.3, 0.9)
        store_url = url or f"sqlite:///{processes.model_dir / 'state.sqlite'}"
        storage = Storage(processes, store_url, postgres)
        processes.start()
        stack.callback(processes.stop)
        until(processes.answers, "the web server answers", START_SECONDS)
        people.open_some()
        store = Store(store_url)
        stack.callback(store.close)
        until(lambda: is_published(store, project.key), "the first version is published")
        _label_with_faults(schedule, weather, people, processes, storage, store)
        people.open_some()
        # Each needs a version of its own, whose turn nobody's label cuts short.
        for step in filter(_is_quiet, schedule.steps):
            people.label_one()
            _kill_at_steps([step], processes, store, project.key)
        began, left = time.monotonic(), ["nothing was looked at"]
        while left and time.monotonic() - began < CONVERGENCE_SECONDS:
            time.sleep(0.25)
            try:
                left = differences(server, project, store)
            except sa.exc.SQLAlchemyError as exc:
                left = [f"the database: {type(exc).__name__}"]
        took, log = time.monotonic() - began, processes.log()
        if people.seen.slowest_submit > SUBMIT_SECONDS:
            people.seen.wrongs.append(f"a Submit took {people.seen.slowest_submit:.2f} s")
        knows_time = not any(fault.name.startswith("clock") for fault in schedule.faults)
        secrets = (TOKEN, PASSWORD, SECRET, KEY)
        on_the_way = [] if left else wrongs(people, store, project, log, secrets, knows_time=knows_time)
        n_labels = len(project.annotations)
        return Outcome(
            schedule,
            left,
            on_the_way or people.seen.wrongs,
            took,
            people.seen.slowest_submit,
            n_labels,
            processes.n_kills_at_steps,
            log,
        )


@contextmanager
def _database(schedule: Schedule, postgres: Postgres | None) -> Iterator[str | None]:
    if schedule.database == "sqlite":
        yield None
        return
    assert postgres is not None
    url = postgres.create()
    yield url
    postgres.drop(url)


def _label_with_faults(
    schedule: Schedule, weather: Weather, people: People, processes: Processes, storage: Storage, store: Store
) -> None:
    stop = threading.Event()
    annotators = [threading.Thread(target=people.label_until, args=[stop]) for _ in range(schedule.n_annotators)]
    faults = [
        threading.Thread(target=_make, args=[fault, people.server, processes, storage]) for fault in schedule.faults
    ]
    for thread in (*annotators, *faults):
        thread.start()
    time.sleep(0.0 if schedule.steps else LABELLING_SECONDS)
    _kill_at_steps([step for step in schedule.steps if not _is_quiet(step)], processes, store, people.project_key)
    for thread in faults:
        thread.join()
    weather.api = weather.webhook = None
    # The last labels come when all is well again, but perhaps nothing is up yet.
    time.sleep(0.5)
    stop.set()
    for thread in annotators:
        thread.join()
    processes.kill_at(None)
    until(processes.answers, "the web server answers again", seconds=START_SECONDS)


def is_published(store: Store, key: str) -> bool:
    """Whether the project has a version, and Label Studio points to it."""
    try:
        project = store.projects.find(key)
    except sa.exc.SQLAlchemyError:
        return False
    return project is not None and project.version_id is not None and project.is_switched


def _is_quiet(step: str) -> bool:
    """Whether a turn surely comes to it when nobody labels."""
    return step.split()[1] in {"rest", "prune"}


def _kill_at_steps(steps: list[str], processes: Processes, store: Store, key: str) -> None:
    """Kill a turn at one step after the other, each when a whole turn has made up for the one before."""
    for step in steps:
        n_kills = processes.n_kills_at_steps
        processes.kill_at(step)
        until(lambda n=n_kills: processes.n_kills_at_steps > n, f"a turn is killed {step}", seconds=START_SECONDS)
        n_turns = store.projects.get(key).n_turns
        until(
            lambda n=n_turns: _is_made_up_for(store.projects.get(key), n),
            f"the turn that was killed {step} is made up for",
            seconds=START_SECONDS,
        )


def _is_made_up_for(project: Project, n_turns: int) -> bool:
    """Whether a turn after the killed one came to its end; while people label, the next one begins at once."""
    n_later = project.n_turns - n_turns
    return (n_later > 0 and project.n_unfinished == 0) or (n_later > 1 and project.n_unfinished == 1)


def _make(fault: Fault, server: StudioServer, processes: Processes, storage: Storage) -> None:
    time.sleep(fault.at_seconds)
    weather = server.weather
    if fault.kind == "api":
        weather.api = fault.name
        time.sleep(fault.seconds)
        weather.api = None
    elif fault.kind == "webhook":
        weather.webhook = fault.name
        time.sleep(fault.seconds)
        weather.webhook = None
    elif fault.kind == "studio":
        _change_studio(fault, server)
    elif fault.kind == "storage":
        storage.fail(fault.name, fault.seconds)
    elif fault.name == "kill at a step":
        processes.kill_at(fault.step)
    elif fault.name == "stop worker":
        processes.signal("worker", signal.SIGSTOP)
        time.sleep(fault.seconds)
        processes.signal("worker", signal.SIGCONT)
    elif fault.name.startswith("clock"):
        processes.set_clock(CLOCK_SECONDS[fault.name.removeprefix("clock ")])
    elif fault.name == "end worker":
        processes.signal("worker", signal.SIGTERM)
    else:
        for name in ("web", "worker") if fault.name == "kill both" else (fault.name.removeprefix("kill "),):
            processes.signal(name, signal.SIGKILL)


def _change_studio(fault: Fault, server: StudioServer) -> None:
    if fault.name.startswith("its clock"):
        with server.lock:
            server.fake.let_pass(CLOCK_SECONDS[fault.name.removeprefix("its clock ")])
        return
    with server.lock:
        kept = server.fake.backup()
    time.sleep(fault.seconds)
    with server.lock:
        server.fake.restore(kept)
