"""The backend's processes under a supervisor: what ends is started again, as an operator's does."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from label_studio_al.cli.local import free_port

ROOT = Path(__file__).parents[2]
USER, PASSWORD = "label-studio", "a password that no log may show"
SECRET = "a webhook secret that no log may show"
KEY = "a signing key that no log may show"


class Processes:
    """`serve --no-worker` and a worker that can be told to die at a step of a turn."""

    def __init__(self, folder: Path, studio_url: str, token: str, database_url: str | None) -> None:
        self.folder = folder
        self.model_dir = folder / "model"
        self.model_dir.mkdir(parents=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._kill_file = folder / "kill"
        self._clock_file = folder / "clock"
        self.n_kills_at_steps = 0
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AL_", "LABEL_STUDIO_"))}
        self.environment = {
            # On a full disk half of a compiled module would stay for all that come after.
            "PYTHONDONTWRITEBYTECODE": "1",
            **kept,
            "MODEL_DIR": str(self.model_dir),
            "PORT": str(self.port),
            "LABEL_STUDIO_URL": studio_url,
            "LABEL_STUDIO_API_KEY": token,
            "AL_BACKEND_URL": self.url,
            "BASIC_AUTH_USER": USER,
            "BASIC_AUTH_PASS": PASSWORD,
            "AL_WEBHOOK_SECRET": SECRET,
            "AL_SIGNING_KEY": KEY,
            "AL_ENCODER": "none",
            "AL_SYNC_SECONDS": "3",
            "LOG_LEVEL": "DEBUG",
            "OMP_NUM_THREADS": "1",
            **({"DATABASE_URL": database_url} if database_url else {}),
        }
        self._commands = {
            "web": [sys.executable, "-m", "label_studio_al", "serve", "--no-worker", "--port", str(self.port)],
            "worker": [sys.executable, "-m", "tests.chaos.worker", str(self._kill_file), str(self._clock_file)],
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stop = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    def start(self) -> None:
        """Start both."""
        for name in self._commands:
            self._start(name)
        self._supervisor.start()

    def stop(self) -> None:
        """End both for good."""
        self._stop.set()
        self._supervisor.join(10)
        for process in self._running.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()

    # -- faults -----------------------------------------------------------------------------------------------

    def signal(self, name: str, number: int) -> None:
        """A signal to the web server ("web"), the worker, or `serve`, which watches the web server."""
        top = self._running["worker" if name == "worker" else "web"]
        with suppress(psutil.Error):
            target = psutil.Process(top.pid)
            if name == "web":
                target = next(iter(target.children()), target)
            target.send_signal(number)

    def kill_at(self, step: str | None) -> None:
        """Have the worker kill itself at the next step of that name; None takes it back."""
        if step is None:
            self._kill_file.unlink(missing_ok=True)
            return
        # A place that no turn comes by gives way to the next one.
        self._kill_file.write_text(step, encoding="ascii")

    def set_clock(self, seconds: float) -> None:
        """Set the worker's clock so far ahead of the machine's, or behind."""
        self._clock_file.write_text(str(seconds), encoding="ascii")

    def limit_file_size(self, is_full: bool) -> None:
        """A full disk, as the processes meet it: no file can grow."""
        for process in self._running.values():
            with suppress(psutil.Error, ProcessLookupError):
                for one in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
                    size = 0 if is_full else resource.RLIM_INFINITY
                    resource.prlimit(one.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    # -- state ------------------------------------------------------------------------------------------------

    def answers(self) -> bool:
        """Whether the web server is up."""
        try:
            return httpx.get(f"{self.url}/health", timeout=2).is_success
        except httpx.HTTPError:
            return False

    def command(self, *arguments: str) -> list[str]:
        """Another command of the backend, to be run with `environment`."""
        return [sys.executable, "-m", "label_studio_al", *arguments]

    def status(self) -> dict[str, Any]:
        """What /status says; raises httpx.HTTPError."""
        response = httpx.get(f"{self.url}/status", auth=httpx.BasicAuth(USER, PASSWORD), timeout=5)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    def log(self) -> str:
        """Everything that they have written."""
        files = sorted(self.folder.glob("*.log"))
        return "".join(file.read_text(encoding="utf-8", errors="replace") for file in files)

    def _start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                self._commands[name], env=self.environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )

    def _supervise(self) -> None:
        while not self._stop.wait(0.1):
            for name, process in list(self._running.items()):
                if process.poll() is not None:
                    self.n_kills_at_steps += name == "worker" and not self._kill_file.exists()
                    self._start(name)
