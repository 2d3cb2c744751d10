"""People submit beside pushes while workers are killed and webhooks are lost: as many labels here as there.

AL_SOAK_SUBMITS=5000 .venv/bin/python -m pytest tests/soak/test_labels.py        the long run: `make soak-labels`
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random

import httpx
import pytest

from label_studio_al.store import Store
from tests.chaos.people import People, texts
from tests.chaos.processes import PASSWORD, SECRET, USER, Processes
from tests.chaos.run import CONFIG, CONVERGENCE_SECONDS, is_published
from tests.chaos.server import StudioServer, Weather
from tests.chaos.worker import STEPS
from tests.support.fake_label_studio import TOKEN, FakeLabelStudio
from tests.support.studio import until

N_SUBMITS = int(os.environ.get("AL_SOAK_SUBMITS", "100"))
N_ANNOTATORS = 3
# A worker is killed so often: at each step of a turn by turns, and in between at any line.
SUBMITS_A_KILL = 50
WEBHOOKS_LOST = 0.05
THINKING_SECONDS = (0.05, 0.2)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_every_label_is_here(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> None:
    url: str | None = request.getfixturevalue("postgres_url") if database == "postgresql" else None
    rng = Random(0)
    fake = FakeLabelStudio()
    server = StudioServer(fake, Weather(rng, webhook="dropped", share=WEBHOOKS_LOST))
    project = fake.add_project(CONFIG, texts(N_SUBMITS, rng))
    processes = Processes(tmp_path, server.url, TOKEN, url)
    people = People(server, project, processes.url, (USER, PASSWORD), SECRET)
    people.extra_params = {"retrain_growth": 0.01, "min_labels": 2}
    with ExitStack() as stack:
        stack.enter_context(server.running())
        fake.connect(project.id, processes.url)
        processes.start()
        stack.callback(processes.stop)
        until(processes.answers, "the web server answers")
        people.open_some()
        store = Store(url or f"sqlite:///{processes.model_dir / 'state.sqlite'}")
        stack.callback(store.close)
        until(lambda: is_published(store, project.key), "the first version is published")
        annotators = [threading.Thread(target=label, args=[people, processes]) for _ in range(N_ANNOTATORS)]
        for thread in annotators:
            thread.start()
        for thread in annotators:
            thread.join()
        processes.kill_at(None)

        def are_equal() -> bool:
            return {one.id for one in store.annotations.all(project.key)} == set(project.annotations)

        until(are_equal, "every label is here", seconds=CONVERGENCE_SECONDS)
        assert len(project.annotations) == N_SUBMITS
        until(lambda: store.projects.get(project.key).last_number > 1, "they are learnt", seconds=CONVERGENCE_SECONDS)
        n_labels, n_versions = len(store.annotations.all(project.key)), store.projects.get(project.key).last_number
        print(f"{database}: {n_labels} of {N_SUBMITS} labels, {people.seen.n_submits} webhooks, {n_versions} versions")


def label(people: People, processes: Processes) -> None:
    """Label until nothing is left; now and then a worker is killed."""
    with httpx.Client(auth=httpx.BasicAuth(USER, PASSWORD)) as client:
        while (task_id := people.next_task()) is not None:
            people.open_task(client, task_id)
            time.sleep(people.server.weather.random.uniform(*THINKING_SECONDS))
            people.submit(client, task_id)
            number, is_time = divmod(people.seen.n_submits, SUBMITS_A_KILL)
            if is_time == 0 and number % 2:
                processes.kill_at(f"before {STEPS[number // 2 % len(STEPS)]}")
            elif is_time == 0:
                processes.signal("worker", signal.SIGKILL)
