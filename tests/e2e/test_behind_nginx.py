"""A real Label Studio that reaches the backend under a sub-path of the nginx of docs/proxy.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from label_studio_al.cli.local import LocalLabelStudio
from tests.e2e.conftest import LOGIN
from tests.support.backend_process import BackendProcess
from tests.support.examples import GOLD, LABELS
from tests.support.nginx import environment, find_nginx, serve_example
from tests.support.studio import Annotator, until

pytestmark = pytest.mark.e2e

N_LABELS = 8


def test_live_loop_under_a_sub_path(admin: Annotator, label_studio: LocalLabelStudio, tmp_path: Path) -> None:
    find_nginx()
    backend = BackendProcess(tmp_path / "backend", label_studio.url, LOGIN.token, **environment())
    with serve_example(tmp_path, backend.port, with_tls=False) as port:
        url = backend.environment["AL_BACKEND_URL"] = f"http://localhost:{port}/active-learning"
        backend.start()
        try:
            project_id = admin.create_project("sub-path", LABELS, list(GOLD))
            backend.connect(project_id, "--set", "retrain_growth=0")
            assert [one["url"] for one in admin.call("GET", f"/api/ml?project={project_id}")] == [url]
            hooks = admin.call("GET", f"/api/webhooks/?project={project_id}")
            assert [one["url"] for one in hooks if one["project"] == project_id] == [f"{url}/webhook"]
            for _ in range(N_LABELS):
                task = admin.next(project_id)
                admin.submit(task.task_id, GOLD[task.text])
            # By webhooks alone: nobody has asked for a sync since.
            until(lambda: backend.is_at_rest(project_id, N_LABELS), "all labels are learnt", 120)
            assert admin.next(project_id).version == backend.project(project_id)["version"]["name"]
            doctor = backend.run("doctor", "--project", str(project_id))
            assert doctor.exit_code == 0, doctor.output
        finally:
            backend.stop()
