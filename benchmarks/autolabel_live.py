"""Ten thousand automatic labels in a real Label Studio: set, killed twice on the way, taken back.

    python -m benchmarks.autolabel_live [--tasks 12000]

Starts a Label Studio of its own (SQLite, no Redis) and this backend, on free loopback ports. The texts tell their label
by a word, so that nearly all of them can be labelled: measured is what setting and taking back costs, not the model.
Prints a table; takes about 10 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.texts import LABELS, make_texts
from label_studio_al.cli.local import FAST_IMPORT, LocalLabelStudio, Login, environment_path, free_port, install
from tests.support.backend_process import BackendProcess
from tests.support.studio import Annotator, Truth, choice, until

LOGIN = Login(email="admin@example.com", password="password-123", token="0123456789abcdef" * 2 + "01234567")
N_LABELS = 110
GOAL = ("--max-error", "0.05", "--delta", "0.05")
WORDS = ("invoice", "molecule", "football", "election")
ROWS = "SELECT id, task_id, result, completed_by_id, updated_by_id, was_cancelled FROM task_completion"


class Bench:
    """A project with labels by a person, most of them audit labels."""

    def __init__(self, studio: LocalLabelStudio, backend: BackendProcess, n_tasks: int) -> None:
        self.backend = backend
        self.truth = Truth(studio.data_dir)
        self.admin = Annotator(studio.url, token=LOGIN.token)
        bare, labels = make_texts(n_tasks, seed=1)
        word_of = dict(zip(LABELS, WORDS, strict=True))
        texts = [f"{word_of[label]} {word_of[label]} {text[:60]}" for text, label in zip(bare, labels, strict=True)]
        self.gold = dict(zip(texts, labels, strict=True))
        self.project = self.admin.create_project("automatic labels", LABELS)
        for first in range(0, n_tasks, 5_000):
            self.admin.import_texts(self.project, texts[first : first + 5_000])

    def label(self) -> None:
        """A person labels; most tasks are drawn at random."""
        settings = ("audit_share=0.8", "retrain_growth=0.5")
        self.backend.connect(self.project, *(part for setting in settings for part in ("--set", setting)))
        for _ in range(N_LABELS):
            served = self.admin.next(self.project)
            self.admin.submit(served.task_id, self.gold[served.text])
        (connection,) = self.admin.call("GET", f"/api/ml/?project={self.project}")
        self.admin.call("POST", f"/api/ml/{connection['id']}/train", {})
        until(self._is_learnt, "all labels are learnt", 300)

    def _is_learnt(self) -> bool:
        version = self.backend.project(self.project).get("version") or {}
        return version.get("n_labels") == N_LABELS and version["is_switched"]

    def rows(self) -> set[tuple[Any, ...]]:
        """All annotations, from Label Studio's own database."""
        return set(self.truth.ask(f"{ROWS} WHERE project_id = ?", self.project))

    def arguments(self, *more: str) -> list[str]:
        """The command."""
        return [
            sys.executable,
            "-m",
            "label_studio_al",
            "autolabel",
            "--project",
            str(self.project),
            *GOAL,
            "--json",
            *more,
        ]

    def run(self, *more: str) -> tuple[dict[str, Any], float]:
        """The command's answer, and its seconds."""
        began = time.perf_counter()
        done = subprocess.run(
            self.arguments(*more), env=self.backend.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise AssertionError(done.stdout + done.stderr)
        return json.loads(done.stdout), time.perf_counter() - began

    def kill(self, is_time: Callable[[], bool], *more: str) -> float:
        """Start the command, `kill -9` it once it is time; gives its seconds."""
        began = time.perf_counter()
        process = subprocess.Popen(
            self.arguments(*more), env=self.backend.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(lambda: is_time() or process.poll() is not None, "it is under way", 900)
        if process.poll() is not None:
            raise AssertionError("it ended before it was killed")
        process.kill()
        process.wait()
        return time.perf_counter() - began


def measure(bench: Bench) -> None:
    """Print the table."""
    before = bench.rows()
    plan, seconds = bench.run()
    n = plan["n_selected"] - plan["n_checks"]
    print("| what | measured |\n| --- | --- |")
    print(f"| plan for {plan['n_open']} open tasks | {seconds:.1f} s, {n} to be labelled |", flush=True)

    def is_half_done(share: float) -> Callable[[], bool]:
        return lambda: len(bench.rows()) - len(before) > share * n

    applied = bench.kill(is_half_done(0.3), "--apply", "--yes") + bench.kill(is_half_done(0.6), "--apply", "--yes")
    done, seconds = bench.run("--apply", "--yes")
    applied += seconds
    labelled = bench.rows() - before
    n_doubles = len(labelled) - len({task_id for _, task_id, *_ in labelled})
    print(f"| {n} labels set, killed twice | {applied:.0f} s, {1000 * applied / n:.1f} ms each |")
    print(f"| labelled, as counted | {len(labelled)}, {done['tasks']} |")
    print(
        f"| tasks with two labels, labels of people changed | {n_doubles}, {len(before - bench.rows())} |", flush=True
    )

    corrected = sorted(labelled)[0][0]
    bench.admin.call("PATCH", f"/api/annotations/{corrected}/", {"result": choice(LABELS[0])})
    undone = bench.kill(lambda: len(bench.rows()) - len(before) < 0.5 * n, "--undo", "--yes")
    _, seconds = bench.run("--undo", "--yes")
    undone += seconds
    left = bench.rows()
    print(f"| taken back, killed once | {undone:.0f} s, {1000 * undone / n:.1f} ms each |")
    print(f"| left beside people's labels of before | {len(left - before)} (one was corrected) |")
    print(f"| labels of people lost or changed | {len(before - left)} |", flush=True)
    began = time.perf_counter()
    until(lambda: not [name for name in bench.truth.predictions(bench.project) if name.startswith("auto-")], "", 1800)
    print(f"| their predictions deleted by the worker | {time.perf_counter() - began:.0f} s later |")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=12_000)
    arguments = parser.parse_args()
    install(environment_path(), print)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        studio = LocalLabelStudio(environment_path(), data / "studio", free_port(), LOGIN, data / "studio.log")
        with studio:
            studio.start(print, FAST_IMPORT, timeout_seconds=600)
            backend = BackendProcess(data / "backend", studio.url, LOGIN.token).start()
            try:
                bench = Bench(studio, backend, arguments.tasks)
                bench.label()
                measure(bench)
            finally:
                backend.stop()


if __name__ == "__main__":
    main()
