"""Runs this backend as an operator does: `label-studio-al serve` as a process of its own."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from label_studio_al.cli.local import free_port
from tests.support.studio import until


class BackendProcess:
    """A running backend: web server and worker."""

    def __init__(
        self,
        folder: Path,
        label_studio_url: str,
        token: str | None,
        *,
        python: str | Path = sys.executable,
        **environment: str,
    ) -> None:
        """python: of the environment that it runs in."""
        self.folder = folder
        self.python = str(python)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AL_", "LABEL_STUDIO_"))},
            "MODEL_DIR": str(folder),
            "PORT": str(self.port),
            "AL_BACKEND_URL": self.url,
            "LABEL_STUDIO_URL": label_studio_url,
            "LOG_LEVEL": "DEBUG",
            **({"LABEL_STUDIO_API_KEY": token} if token else {}),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> BackendProcess:
        """Start it and wait until it answers. options: of `serve`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [self.python, "-m", "label_studio_al", "serve", "--port", str(self.port), *options]
        with (self.folder / "backend.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        until(self.answers, lambda: f"the backend answers: {self.log()[-2000:]}")
        return self

    def stop(self) -> None:
        """Ctrl-C."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(40)
            self.process = None

    def kill(self) -> None:
        """`kill -9` of `serve`; its children end by themselves."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None
            until(lambda: not self.answers(), "the web server ends with its parent")

    def answers(self) -> bool:
        """Whether the web server is up."""
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"serve ended: {self.log()[-3000:]}")
        try:
            return httpx.get(f"{self.url}/health", timeout=1).is_success
        except httpx.HTTPError:
            return False

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another `label-studio-al` command with the same settings."""
        command = [self.python, "-m", "label_studio_al", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=180, check=False)

    def run(self, *arguments: str) -> Result:
        """The same in this process: a process of its own takes seconds to begin."""
        left_out = dict.fromkeys(os.environ.keys() - self.environment.keys())
        mask = os.umask(0o077)
        try:
            with warnings.catch_warnings():
                # What a command leaves open its process closes.
                warnings.simplefilter("ignore", ResourceWarning)
                # And says nothing of these.
                warnings.simplefilter("ignore", DeprecationWarning)
                done = CliRunner(env={**self.environment, **left_out}).invoke(main, arguments)
                gc.collect()
        finally:
            os.umask(mask)
        return done

    def connect(self, project_id: int, *arguments: str) -> None:
        """Connect a project and wait until its queue is ordered."""
        done = self.run("connect", "--project", str(project_id), *arguments)
        if done.exit_code:
            raise AssertionError(f"connect failed: {done.output}") from done.exception

    def status(self) -> dict[str, Any]:
        """What /status says."""
        user, password = (self.environment.get(name) for name in ("BASIC_AUTH_USER", "BASIC_AUTH_PASS"))
        auth = httpx.BasicAuth(user, password) if user and password else None
        answer: dict[str, Any] = httpx.get(f"{self.url}/status", auth=auth, timeout=10).json()
        return answer

    def project(self, project_id: int) -> dict[str, Any]:
        """What /status says of one project; empty if it does not know it."""
        return next((one for one in self.status()["projects"] if one["project"] == project_id), {})

    def is_at_rest(self, project_id: int, n_labels: int) -> bool:
        """Whether all labels are heard, and the version that they make due orders the queue."""
        state = self.project(project_id)
        version = state.get("version") or {}
        is_heard = state["n_annotations"] == n_labels and state["activity"].startswith("waiting for")
        # A turn that has just counted the labels still says what the one before it waited for.
        have, need = state["next_turn"]["have"], state["next_turn"]["need"]
        is_heard = is_heard and (have < need or "a second label" in state["activity"])
        return bool(is_heard and version.get("is_switched") and not state["error"])

    def log(self) -> str:
        """Everything it has written."""
        path = self.folder / "backend.log"
        return path.read_text(errors="replace") if path.exists() else ""
