"""The loop under label-studio-ml 1.0.9, in a real Label Studio 1.23.2."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from label_studio_al.cli.local import LocalLabelStudio
from tests.e2e.conftest import LOGIN
from tests.support.examples import GOLD, LABELS, TEXTS
from tests.support.official_host import OfficialHost, beside_current_flask
from tests.support.studio import Annotator, Truth, is_lowest, until, version_number

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(label_studio: LocalLabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfficialHost]:
    folder = tmp_path_factory.mktemp("host")
    settings = {"LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": LOGIN.token}
    started = OfficialHost(beside_current_flask(), "1", folder, **settings).start()
    yield started
    started.kill()


def test_queue_follows_the_model_and_opened_tasks_are_predicted_once(
    server: OfficialHost, admin: Annotator, truth: Truth
) -> None:
    project_id = admin.create_project("official host", LABELS, TEXTS)
    connect = [str(beside_current_flask()), "-m", "label_studio_al", "connect", "--project", str(project_id)]
    connect += ["--backend-url", server.url, "--set", "retrain_growth=0", "--set", "window=25"]
    done = subprocess.run(connect, env=server.environment, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: version_number(truth.version(project_id)) > 0, lambda: f"a first version: {server.log()[-1500:]}")

    me = truth.user_id(LOGIN.email)
    for _ in range(8):
        before = truth.queue(project_id, me)
        served = admin.next(project_id)
        assert is_lowest(served.task_id, before, truth.queue(project_id, me))
        admin.submit(served.task_id, GOLD[served.text])
    until(lambda: admin.next(project_id).label, lambda: f"labels are filled in: {server.log()[-1500:]}")

    window = truth.queue(project_id, me)[1]
    outside = next(task_id for task_id in reversed(admin.task_ids(project_id)) if task_id not in window)

    def opened_twice() -> list[dict[str, Any]] | None:
        version = truth.version(project_id)
        found = [admin.open(project_id, outside)["predictions"] for _ in range(2)][1]
        # Not while a turn publishes the next version.
        return (
            [one for one in found if one["model_version"] == version] if truth.version(project_id) == version else None
        )

    # The second time nothing is asked: /setup names the version of the prediction that is there.
    (only,) = until(opened_twice, "no turn comes in between")
    assert only["result"]
