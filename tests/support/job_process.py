"""Runs jobs as a worker does, until its standard input closes: `python job_process.py <folder>`.

A job writes "begin <project> <process>" to <folder>/log, goes on while <folder>/hold-<project> exists, fails if
<folder>/fail-<project> exists, and writes "end <project> <process>".
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from backend.jobs import JobRunner

N_THREADS = 4
POLL_SECONDS = 0.02


def main(folder: Path) -> None:
    """Run jobs."""

    def say(word: str, project_key: str) -> None:
        with (folder / "log").open("a", encoding="utf-8") as log:
            log.write(f"{word} {project_key} {os.getpid()}\n")

    def run_turn(project_key: str) -> None:
        say("begin", project_key)
        while (folder / f"hold-{project_key}").exists():
            time.sleep(POLL_SECONDS)
        if (folder / f"fail-{project_key}").exists():
            raise RuntimeError("a turn that fails")
        say("end", project_key)

    runner = JobRunner(f"sqlite:///{folder / 'jobs.sqlite'}", run_turn, N_THREADS, "INFO")
    runner.start()
    print("ready", flush=True)
    sys.stdin.read()
    runner.stop(5)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
