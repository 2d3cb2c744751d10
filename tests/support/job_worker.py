"""A process that runs jobs, as tests see it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("job_process.py")


class JobWorker:
    """Runs jobs from the start on, until it is killed or told to stop: see job_process.py."""

    def __init__(self, folder: Path, store_url: str, jobs_url: str, n_threads: int = 4) -> None:
        self._errors = (folder / "errors").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), store_url, jobs_url, str(n_threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backend")])},
        )
        self.pid = self._process.pid

    def wait_until_ready(self) -> None:
        """Until it has made its tables and looks for jobs."""
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        assert said == "ready\n", (said, Path(self._errors.name).read_text(encoding="utf-8")[-3000:])

    def ask_to_stop(self) -> None:
        """Returns at once."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def wait(self, seconds: float) -> None:
        """Until it has ended."""
        self._process.wait(seconds)

    def kill(self) -> None:
        """As the kernel does, without a word. Also where it does not matter how it ends: DBOS takes seconds to."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()


def log_lines(folder: Path) -> list[list[str]]:
    """What the jobs of all workers of a folder wrote down: word, project, process."""
    log = folder / "log"
    return [line.split() for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
