"""`label-studio-al serve`: the web server and the worker, each in a process of its own."""

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

import click

from backend.cli.wiring import CANNOT_START, PARENT_PIPE, keep_files_private, say_errors, set_up_logging
from backend.errors import PortInUse, ProcessFailed
from backend.settings import read_settings
from backend.studio.local import port_is_free

LOOPBACK = ("127.0.0.1", "::1", "localhost")
STOP_SECONDS = 25.0
# A process that ends this often within a minute will not come up by being started again.
ENDS_A_MINUTE = 5

# Threads of our own share two or more cores already: BLAS needs no second set, and malloc no arena for each.
_FRUGAL = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}

log = logging.getLogger(__name__)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: PORT, or 9090]")
@click.option("--worker/--no-worker", "with_worker", default=True, help="Also take the turns.  [default: worker]")
@click.option("--web-only", is_flag=True, hidden=True)
@say_errors
def serve(host: str, port: int | None, with_worker: bool, web_only: bool) -> None:
    """Answer Label Studio, and train in a second process. Ctrl-C stops both."""
    settings = read_settings()
    port = port or settings.port
    if web_only:
        from backend.cli.web import run_web

        return run_web(host, port)
    set_up_logging(settings)
    keep_files_private()
    if not port_is_free(port, host):
        raise PortInUse(f"port {port} of {host} is already in use: stop the program that uses it, or give --port")
    if host not in LOOPBACK and not settings.is_protected:
        log.warning(
            "listening on %s without BASIC_AUTH_USER and BASIC_AUTH_PASS: everybody who reaches it may come in", host
        )
    processes = make_processes(host, port, with_worker=with_worker)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    click.echo(f"Active learning listens on http://{host}:{port} - Ctrl-C stops it.", err=True)
    watch(processes, stop)


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
    me = [sys.executable, "-m", "backend"]
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
        raise ProcessFailed(f"the {watched.name} process cannot start: it says why above")
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
