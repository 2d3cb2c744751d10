"""Kills and lost webhooks under a real Label Studio."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from label_studio_al.cli.local import LocalLabelStudio
from tests.chaos.processes import Processes
from tests.e2e.conftest import LOGIN
from tests.support.examples import GOLD, LABELS, TEXTS
from tests.support.studio import Annotator, Truth, is_lowest, until

pytestmark = pytest.mark.e2e

# Far more than a Submit takes on a busy machine, far less than Label Studio waits for a backend that does not answer.
SUBMIT_SECONDS = 5.0
# Those that leave something different in Label Studio; tests/chaos kills at each step of a turn.
STEPS = ("after push", "after record", "after switch")


@pytest.fixture
def processes(label_studio: LocalLabelStudio, tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path / "backend", label_studio.url, LOGIN.token, None)
    made.start()
    until(made.answers, "the backend answers")
    yield made
    made.stop()


def label(admin: Annotator, project: int, truth: Truth, n: int) -> None:
    """Label the next tasks; no Submit may be slow, and the version that orders the queue has predictions."""
    for _ in range(n):
        served = admin.next(project)
        version = truth.version(project)
        assert version in truth.predictions(project), f"{version} has no predictions"
        began = time.monotonic()
        admin.submit(served.task_id, GOLD[served.text])
        assert time.monotonic() - began < SUBMIT_SECONDS


def test_kills_while_publishing_and_lost_webhooks_leave_no_trace(
    admin: Annotator, truth: Truth, processes: Processes
) -> None:
    project = admin.create_project("kills and lost webhooks", LABELS, TEXTS)
    done = subprocess.run(
        processes.command("connect", "--project", str(project), "--set", "retrain_growth=0", "--set", "window=25"),
        env=processes.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr

    def is_published(n_labels: int) -> bool:
        [state] = [one for one in processes.status()["projects"] if one["project"] == project]
        return bool(state["version"] and state["version"]["is_switched"] and state["version"]["n_labels"] == n_labels)

    label(admin, project, truth, 6)
    for number, step in enumerate(STEPS, 1):
        processes.kill_at(step)
        label(admin, project, truth, 2)
        until(lambda number=number: processes.n_kills_at_steps >= number, f"the worker is killed {step}")
        # After two turns that were cut short in a row, the next one waits for 20 s.
        n = truth.labels(project)
        until(lambda n=n: is_published(n), f"{n} labels are trained on after a kill {step}", seconds=60)
    [webhook] = [hook for hook in admin.call("GET", f"/api/webhooks/?project={project}") if hook["project"] == project]
    admin.call("PATCH", f"/api/webhooks/{webhook['id']}/", {"is_active": False})
    label(admin, project, truth, 5)
    admin.call("PATCH", f"/api/webhooks/{webhook['id']}/", {"is_active": True})

    n_labels = truth.labels(project)
    assert n_labels == 6 + 2 * len(STEPS) + 5

    def has_converged() -> bool:
        [state] = [one for one in processes.status()["projects"] if one["project"] == project]
        name = state["version"]["name"]
        return bool(
            is_published(n_labels)
            and not state["error"]
            and truth.version(project) == name
            and set(truth.predictions(project)) == {name}
        )

    until(has_converged, "all labels are learnt, and older predictions deleted", seconds=60)
    me = truth.user_id(LOGIN.email)
    for _ in range(5):
        before = truth.queue(project, me)
        served = admin.next(project)
        assert is_lowest(served.task_id, before, truth.queue(project, me))
        admin.submit(served.task_id, GOLD[served.text])
