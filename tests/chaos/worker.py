"""A worker that kills itself at a step of a turn: `python -m tests.chaos.worker <kill> <clock>`.

The file <kill> names the place, "before push" or "after push"; it is deleted just before the end. <clock> says by how
many seconds the worker's clock is ahead of the machine's.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from label_studio_al.cli import main
from label_studio_al.runtime.clock import Clock
from label_studio_al.store.activity import Activity
from label_studio_al.turns.accounts import Accounts
from label_studio_al.turns.subject import Progress

# As the loop names them, in their order.
STEPS = ("sync", "features", "labels", "train", "rank", "push", "record", "switch", "measure", "rest", "prune", "map")


def kill_at_steps(file: Path) -> None:
    """Look before and after each step whether this process is to die there."""
    original = Accounts.step

    def die_at(place: str) -> None:
        try:
            if file.read_text(encoding="ascii") == place:
                file.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        except FileNotFoundError:
            pass

    @contextmanager
    def step(
        self: Accounts, key: str, progress: Progress, name: str, activity: Activity | None = None
    ) -> Iterator[None]:
        die_at(f"before {name}")
        with original(self, key, progress, name, activity):
            yield
        die_at(f"after {name}")

    Accounts.step = step  # type: ignore[method-assign]


def set_clock(file: Path) -> None:
    """Look at each question for the time by how much it is wrong."""

    def now(_: Clock) -> float:
        return time.time() + (float(file.read_text(encoding="ascii") or 0) if file.exists() else 0.0)

    Clock.now = now  # type: ignore[method-assign]


if __name__ == "__main__":
    kill_at_steps(Path(sys.argv[1]))
    set_clock(Path(sys.argv[2]))
    main(["worker"], prog_name="label-studio-al")
