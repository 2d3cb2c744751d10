"""What an installation costs while nobody labels: CPU seconds by process, over ten minutes.

    python -m benchmarks.idle [--projects 1,40] [--seconds 600] [--json FILE]

Starts a real Label Studio (SQLite, no Redis), measures it alone, then starts this backend, connects so many projects
of fifty tasks with a published version each, and measures both when the projects are at rest. It ends with the time
from a Submit to the beginning of its turn. The 400 projects take half an hour to make.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import sqlalchemy as sa

from benchmarks.texts import LABELS, make_texts
from label_studio_al.cli.connect import connect_project
from label_studio_al.cli.local import LocalLabelStudio, Login, environment_path, free_port, install
from label_studio_al.runtime.settings import Settings, read_settings
from tests.support.backend_process import BackendProcess
from tests.support.studio import Annotator, until

LOGIN = Login(email="admin@example.com", password="password-123", token="0123456789abcdef" * 2 + "01234567")
N_TASKS = 50
# Enough for a model of each project.
N_LABELS = 6
N_SUBMITS = 20
# Older versions' predictions are deleted when nobody has labelled for 15 s.
REST_SECONDS = 30.0


@dataclass(frozen=True)
class Usage:
    """Percent of one core over so many seconds, by process; Label Studio's without what it uses unconnected."""

    projects: int
    seconds: float
    worker: float
    web: float
    watcher: float
    label_studio: float

    @property
    def total(self) -> float:
        """All together."""
        return self.worker + self.web + self.watcher + self.label_studio


def cpu_seconds(process: psutil.Process) -> float:
    """Of a process and of its children, those that have ended included."""
    return sum(sum(process.cpu_times()[:4]) for process in [process, *process.children(recursive=True)])


class Bench:
    """A Label Studio and a backend with projects that are at rest."""

    def __init__(self, studio: LocalLabelStudio, backend: BackendProcess) -> None:
        self.studio = studio
        self.backend = backend
        self.admin = Annotator(studio.url, token=LOGIN.token)
        self.texts, self.labels = make_texts(N_TASKS, seed=1)
        self.ids: list[int] = []

    def grow(self, n_projects: int) -> None:
        """Make and connect projects until there are so many, and wait until they are at rest."""
        settings = read_settings(
            model_dir=self.backend.folder, label_studio_url=self.studio.url, label_studio_api_key=LOGIN.token
        )
        new = range(len(self.ids), n_projects)
        for number in new:
            project_id = self.admin.create_project(f"Project {number}", LABELS, self.texts)
            connect_project(settings, project_id, self.backend.url, None, lambda _line: None)
            for task_id, label in list(zip(self.admin.task_ids(project_id), self.labels, strict=True))[:N_LABELS]:
                self.admin.submit(task_id, label)
            self.ids.append(project_id)
        until(self.is_at_rest, "the projects are at rest", 60 + 5 * len(new))
        time.sleep(REST_SECONDS)

    def is_at_rest(self) -> bool:
        """Whether every project has published what its labels make due."""
        found = {one["project"]: one for one in self.backend.status()["projects"]}
        return all(
            project_id in found and found[project_id]["n_annotations"] >= N_LABELS and found[project_id]["version"]
            and found[project_id]["version"]["is_switched"] and found[project_id]["activity"].startswith("waiting")
            for project_id in self.ids
        )  # fmt: skip

    def measure(self, seconds: float, unconnected: float) -> Usage:
        """Use of so many seconds in which nobody does anything. unconnected: Label Studio's percent without us."""
        assert self.backend.process
        serve = psutil.Process(self.backend.process.pid)
        kinds = {process: "web" if "--web-only" in process.cmdline() else "worker" for process in serve.children()}
        before = self._seconds(serve, kinds)
        began = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        after = self._seconds(serve, kinds)
        used = {name: 100 * (after[name] - before[name]) / took for name in after}
        return Usage(
            projects=len(self.ids),
            seconds=took,
            worker=used["worker"],
            web=used["web"],
            watcher=used["watcher"],
            label_studio=max(0.0, used["label_studio"] - unconnected),
        )

    def _seconds(self, serve: psutil.Process, kinds: dict[psutil.Process, str]) -> dict[str, float]:
        own = {kind: cpu_seconds(process) for process, kind in kinds.items()}
        return own | {"watcher": sum(serve.cpu_times()[:2]), "label_studio": cpu_seconds(label_studio(self.studio))}

    def delays(self) -> list[float]:
        """Seconds from the answer to a Submit until its turn began, which pauses for 0.02 s."""
        engine = sa.create_engine(Settings(model_dir=self.backend.folder).store_url)
        query = sa.text("SELECT n_turns FROM projects WHERE key LIKE :key")
        found = []
        for number in range(N_SUBMITS):
            project_id = self.ids[number % len(self.ids)]
            task_id = self.admin.task_ids(project_id)[N_LABELS + number // len(self.ids)]

            def n_turns(key: str = f"{project_id}.%") -> int:
                with engine.connect() as connection:
                    return int(connection.execute(query, {"key": key}).scalar_one())

            before = n_turns()
            self.admin.submit(task_id, LABELS[0])
            began = time.monotonic()
            until(lambda before=before, n_turns=n_turns: n_turns() > before, "the turn begins")
            found.append(time.monotonic() - began)
            time.sleep(2.0)
        engine.dispose()
        return found


def label_studio(studio: LocalLabelStudio) -> psutil.Process:
    """The server's process, which this one has started."""
    port = str(studio.port)
    return next(child for child in psutil.Process().children() if port in child.cmdline())


def unconnected_percent(studio: LocalLabelStudio, seconds: float) -> float:
    """What Label Studio uses of a core while nothing is connected to it."""
    time.sleep(REST_SECONDS)
    before = cpu_seconds(label_studio(studio))
    time.sleep(seconds)
    return 100 * (cpu_seconds(label_studio(studio)) - before) / seconds


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--projects", default="1,40", help="Numbers of projects, ascending.  [default: 1,40]")
    parser.add_argument("--seconds", type=float, default=600.0, help="Seconds of each measurement.  [default: 600]")
    parser.add_argument("--json", type=Path, help="Write the figures into this file, too.")
    options = parser.parse_args(arguments)
    environment = environment_path()
    install(environment, print)
    with tempfile.TemporaryDirectory(prefix="al-idle-") as name:
        folder = Path(name)
        studio = LocalLabelStudio(environment, folder / "studio", free_port(), LOGIN, folder / "studio.log")
        backend = BackendProcess(folder / "backend", studio.url, LOGIN.token, LOG_LEVEL="INFO", AL_MAX_PROJECTS="1000")
        with studio:
            studio.start(lambda line: print(line, file=sys.stderr), timeout_seconds=600)
            unconnected = unconnected_percent(studio, min(options.seconds, 60.0))
            try:
                backend.start()
                found = run(
                    Bench(studio, backend), list(map(int, options.projects.split(","))), options.seconds, unconnected
                )
            finally:
                backend.stop()
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def run(bench: Bench, sizes: Sequence[int], seconds: float, unconnected: float) -> list[dict[str, float]]:
    """Measure with each number of projects, and print the table's rows."""
    print("| projects | together | worker | web | watcher | caused in Label Studio | Submit to the turn's begin |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    found = []
    for n_projects in sizes:
        bench.grow(n_projects)
        usage = bench.measure(seconds, unconnected)
        delays = sorted(bench.delays())
        parts = (usage.total, usage.worker, usage.web, usage.watcher, usage.label_studio)
        cells = " | ".join(f"{part:.2f} %" for part in parts)
        print(f"| {n_projects} | {cells} | {statistics.median(delays):.2f} s, at most {delays[-1]:.2f} s |", flush=True)
        found.append(
            asdict(usage) | {"total": usage.total, "median_delay": statistics.median(delays), "worst_delay": delays[-1]}
        )
    return found


if __name__ == "__main__":
    main()
