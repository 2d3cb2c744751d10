"""Keeps processes running: what `serve` becomes when its settings are read, without what it imported for that.

python -m label_studio_al.runtime.keeping LOG_LEVEL LOG_FORMAT HOST PORT (worker|no-worker)
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from label_studio_al.runtime import logs
from label_studio_al.runtime.errors import CannotStart, ProcessFailed

# The reading end of a pipe that the children get: it closes when this process dies, however it dies.
PARENT_PIPE = "AL_PARENT_PIPE"
# What another start cannot fix ends a process with this code, and it is not started again.
CANNOT_START = 3
STOP_SECONDS = 25.0
# A process that ends this often within a minute will not come up by being started again.
ENDS_A_MINUTE = 5

# Threads of our own share two or more cores already: BLAS needs no second set, and malloc no arena for each. Without
# thresholds glibc keeps what a large array leaves free, and numpy asks for pages of 2 MB: 10 % more memory (measured by
# benchmarks/memory.py).
_FRUGAL = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "1000000",
    "MALLOC_TRIM_THRESHOLD_": "1000000",
    "NUMPY_MADVISE_HUGEPAGE": "0",
}

log = logging.getLogger(__name__)


@dataclass
class Watched:
    """A process that is started again when it ends by itself."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    ends: list[float] = field(default_factory=list)

    def start(self, pipe: int) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches `serve` only."""
        environment = {**_FRUGAL, **os.environ, PARENT_PIPE: str(pipe)}
        self.process = subprocess.Popen(self.command, env=environment, pass_fds=[pipe], start_new_session=True)

    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self.process is not None and self.process.poll() is not None


def make_processes(host: str, port: int, *, with_worker: bool) -> list[Watched]:
    """The backend's processes, not yet started."""
    me = [sys.executable, "-m", "label_studio_al"]
    processes = [Watched("web", [*me, "serve", "--web-only", "--host", host, "--port", str(port)])]
    if with_worker:
        processes.append(Watched("worker", [*me, "worker"]))
    return processes


def watch(processes: Sequence[Watched], stop: threading.Event) -> None:
    """Keep the processes running until `stop` is set, then end them, gently first. Raises ProcessFailed."""
    reading, writing = os.pipe()
    try:
        for watched in processes:
            watched.start(reading)
        while not stop.wait(0.2):
            for watched in processes:
                if watched.has_ended():
                    _start_again(watched, reading)
    finally:
        _end(processes)
        os.close(writing)
        os.close(reading)


def _start_again(watched: Watched, pipe: int) -> None:
    code = watched.process.returncode if watched.process else None
    if code == CANNOT_START:
        raise CannotStart(f"the {watched.name} process cannot start: it says why above")
    now = time.monotonic()
    watched.ends = [*(moment for moment in watched.ends if now - moment < 60), now]
    if len(watched.ends) >= ENDS_A_MINUTE:
        raise ProcessFailed(f"the {watched.name} process ended {len(watched.ends)} times in a minute (code {code})")
    log.error("the %s process ended (code %s): started again", watched.name, code)
    time.sleep(0.2 * len(watched.ends))
    watched.start(pipe)


def _end(processes: Sequence[Watched]) -> None:
    running = [watched.process for watched in processes if watched.process and not watched.has_ended()]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in running:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(arguments: Sequence[str]) -> None:
    """Keep web server and worker running until SIGTERM or Ctrl-C."""
    level, line_format, host, port, worker = arguments
    logs.set_up(level, line_format)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        watch(make_processes(host, int(port), with_worker=worker == "worker"), stop)
    except ProcessFailed as exc:
        print(f"Error: {exc}", file=sys.stderr)
        sys.exit(CANNOT_START if isinstance(exc, CannotStart) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
