"""Memory of `serve` by process: what each holds of its own, and its share of what several hold (proportional set size).

    python -m benchmarks.memory [--sizes 1000,10000] [--projects 2] [--all-packages] [--json FILE]

For each size it starts `serve` beside a simulated Label Studio, connects the projects, labels 100 tasks of each, waits
until they are learnt, asks each project for a prediction and the server for its status page, and measures ten seconds
later, when all is quiet. Linux only: it reads /proc/PID/smaps_rollup. The backend runs with the packages of
requirements/run.txt, as in the image. They are a copy: what another program on the machine shares is not counted here.
--all-packages: with those of this environment, which has pandas.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil

from benchmarks.big_label_studio import TOKEN, RunningStudio
from benchmarks.scale.bench import (
    connect,
    is_published,
    predict_body,
    project_of,
    stopping,
    sync_limit,
    wait,
    wait_for_turn,
    wait_until_started,
)
from benchmarks.scale.texts import TextFile
from tests.support.backend_process import BackendProcess
from tests.support.run_environment import make_run_environment

N_LABELS = 100
SAMPLE_SECONDS = 0.5
QUIET_SECONDS = 10.0


@dataclass(frozen=True)
class Usage:
    """Megabytes (10^6 bytes) of proportional set size."""

    n_tasks: int
    worker: float
    web: float
    watcher: float
    highest: float

    @property
    def total(self) -> float:
        """All together."""
        return self.worker + self.web + self.watcher


def proportional(process: psutil.Process) -> float:
    """Megabytes of a process, shared pages divided among those who share them."""
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024 / 1e6


def by_process(backend: BackendProcess) -> dict[str, float]:
    """Megabytes of worker, web server and the process that watches both."""
    assert backend.process
    watcher = psutil.Process(backend.process.pid)
    children = {"web" if "--web-only" in one.cmdline() else "worker": one for one in watcher.children()}
    return {name: proportional(process) for name, process in {**children, "watcher": watcher}.items()}


@contextmanager
def watching(backend: BackendProcess) -> Iterator[list[float]]:
    """The sum of all processes every half second, as it comes."""
    seen: list[float] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(SAMPLE_SECONDS):
            # A process may end meanwhile.
            with suppress(psutil.NoSuchProcess, OSError):
                seen.append(sum(by_process(backend).values()))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        is_over.set()
        watcher.join()


def use(backend: BackendProcess, studio: RunningStudio, texts: TextFile, n_projects: int, n_tasks: int) -> None:
    """Everything that the processes do in life, once."""
    projects = [studio.make_project(n_tasks, number * n_tasks) for number in range(n_projects)]
    for project_id in projects:
        connect(backend, studio, project_id)
    for project_id in projects:
        wait(lambda project_id=project_id: is_published(studio, project_id), "a first version", sync_limit(n_tasks))
        studio.import_labels(project_id, N_LABELS)
    for number, project_id in enumerate(projects):
        wait_for_turn(backend, project_id, N_LABELS, sync_limit(n_tasks))
        first = number * n_tasks
        body = predict_body(project_of(studio, project_id), texts.texts(first, first + 10), first_id=first + 1)
        httpx.post(f"{backend.url}/predict", json=body, timeout=30).raise_for_status()
    httpx.get(f"{backend.url}/", timeout=30).raise_for_status()
    wait_until_started(backend)


def measure(folder: Path, python: str | Path, n_projects: int, n_tasks: int) -> Usage:
    """Start, use and measure a backend. folder: empty."""
    texts = TextFile.make(folder / "texts", n_projects * n_tasks)
    with RunningStudio(texts, folder / "studio.log") as studio:
        backend = BackendProcess(folder / "backend", studio.url, TOKEN, python=python, LOG_LEVEL="INFO")
        with stopping(backend):
            backend.start()
            with watching(backend) as seen:
                use(backend, studio, texts, n_projects, n_tasks)
                time.sleep(QUIET_SECONDS)
            return Usage(n_tasks, highest=max(seen), **by_process(backend))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000", help="Tasks of a project.  [default: 1000,10000]")
    parser.add_argument("--projects", type=int, default=2, help="Number of projects.  [default: 2]")
    parser.add_argument("--all-packages", action="store_true", help="Run with the packages of this environment.")
    parser.add_argument("--json", type=Path, help="Write the figures into this file, too.")
    options = parser.parse_args(arguments)
    print("| projects x tasks | together | worker | web | watcher | highest on the way |")
    print("| --- | --- | --- | --- | --- | --- |")
    found = []
    with tempfile.TemporaryDirectory(prefix="al-memory-") as name:
        folder = Path(name)
        python = sys.executable if options.all_packages else make_run_environment(folder / "environment", as_copy=True)
        for n_tasks in map(int, options.sizes.split(",")):
            usage = measure(folder / str(n_tasks), python, options.projects, n_tasks)
            parts = (usage.total, usage.worker, usage.web, usage.watcher, usage.highest)
            cells = " | ".join(f"{part:.0f} MB" for part in parts)
            print(f"| {options.projects} x {n_tasks:,} | {cells} |", flush=True)
            found.append(asdict(usage) | {"total": usage.total})
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
