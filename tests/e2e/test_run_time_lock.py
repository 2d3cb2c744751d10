"""The live loop with the packages of requirements/run.txt alone: what the image and `make serve` have."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.backend_process import BackendProcess
from tests.support.examples import GOLD, LABELS, TEXTS
from tests.support.run_environment import make_run_environment
from tests.support.studio import Annotator, until

pytestmark = pytest.mark.e2e

N_LABELS = 6


def test_the_whole_loop_runs_without_what_the_lock_leaves_out(
    make_backend: Callable[..., BackendProcess], admin: Annotator, tmp_path: Path
) -> None:
    python = make_run_environment(tmp_path / "environment")
    for left_out in ("pandas", "cv2", "lxml", "jsonschema", "black"):
        tried = subprocess.run([python, "-c", f"import {left_out}"], capture_output=True, text=True, check=False)
        assert "ModuleNotFoundError" in tried.stderr, left_out
    backend = make_backend(python=python)
    project_id = admin.create_project("Only the lock", LABELS, TEXTS[:60])
    connected = backend.command("connect", "--project", str(project_id), "--set", "retrain_growth=0")
    assert connected.returncode == 0, connected.stderr
    for _ in range(N_LABELS):
        task = admin.next(project_id)
        admin.submit(task.task_id, GOLD[task.text])
    until(lambda: backend.is_at_rest(project_id, N_LABELS), "all labels are learnt")
    served = admin.next(project_id)
    assert served.version == backend.project(project_id)["version"]["name"]
    for command in (
        ("doctor", "--project", str(project_id)),
        ("export", "--project", str(project_id), "--output", str(tmp_path / "model")),
        ("autolabel", "--project", str(project_id), "--max-error", "0.1"),
    ):
        done = backend.command(*command)
        assert "Traceback" not in done.stderr, done.stderr
        assert "ModuleNotFoundError" not in done.stdout + done.stderr, done.stderr
    assert (tmp_path / "model").is_dir()
