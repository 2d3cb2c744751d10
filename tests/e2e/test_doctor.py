"""What doctor finds in a real Label Studio, and what it mends there."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from label_studio_al.cli.local import LocalLabelStudio, free_port, personal_access_token
from label_studio_al.studio import WEBHOOK_HEADER
from tests.e2e.conftest import LOGIN
from tests.support.backend_process import BackendProcess
from tests.support.studio import Annotator, Truth, until

pytestmark = pytest.mark.e2e

LABELS = ("Ham", "Spam")
TEXTS = [f"{words} {n}" for n in range(30) for words in ("win money now", "see you at lunch")]

Harm = Callable[[Annotator, int, BackendProcess], None]


@pytest.fixture(scope="module")
def project(admin: Annotator, backend: BackendProcess) -> int:
    """A connected project with labels enough for a model."""
    project_id = admin.create_project("doctor", LABELS, TEXTS)
    backend.connect(project_id)
    for _ in range(8):
        served = admin.next(project_id)
        admin.submit(served.task_id, LABELS["lunch" in served.text])
    return project_id


def examine(backend: BackendProcess, project_id: int, *options: str, **environment: str) -> dict[str, dict[str, Any]]:
    """What doctor says in JSON, by check."""
    before = dict(backend.environment)
    backend.environment.update(environment)
    try:
        done = backend.run("doctor", "--json", "--project", str(project_id), *options)
    finally:
        backend.environment.clear()
        backend.environment.update(before)
    assert done.stdout, (done.output, done.exception)
    document = json.loads(done.stdout)
    assert done.exit_code == (0 if document["ok"] else 1)
    return {finding["check"]: finding for finding in document["findings"]}


def not_well(findings: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: found["sentence"] for name, found in findings.items() if found["state"] != "ok"}


def hooks(admin: Annotator, project_id: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = admin.call("GET", f"/api/webhooks/?project={project_id}")
    return found


def delete_webhook(admin: Annotator, project_id: int, _backend: BackendProcess) -> None:
    for hook in hooks(admin, project_id):
        admin.call("DELETE", f"/api/webhooks/{hook['id']}/")


def change_secret(admin: Annotator, project_id: int, _backend: BackendProcess) -> None:
    (hook,) = hooks(admin, project_id)
    values = {"url": hook["url"], "headers": {WEBHOOK_HEADER: "of another backend"}, "actions": hook["actions"]}
    admin.call("PATCH", f"/api/webhooks/{hook['id']}/", values)


def sample_sequentially(admin: Annotator, project_id: int, _backend: BackendProcess) -> None:
    admin.call("PATCH", f"/api/projects/{project_id}/", {"sampling": "Sequential sampling"})


def hide_predictions(admin: Annotator, project_id: int, _backend: BackendProcess) -> None:
    admin.call("PATCH", f"/api/projects/{project_id}/", {"show_collab_predictions": False})
    # Label Studio forgets the version with that.
    assert not admin.call("GET", f"/api/projects/{project_id}/")["model_version"]


def point_elsewhere(admin: Annotator, project_id: int, _backend: BackendProcess) -> None:
    theirs = [{"task": admin.task_ids(project_id)[0], "result": [], "score": 0.5, "model_version": "my own model"}]
    admin.call("POST", f"/api/projects/{project_id}/import/predictions", theirs)
    admin.call("PATCH", f"/api/projects/{project_id}/", {"model_version": "my own model"})


def remove_connection(admin: Annotator, project_id: int, _backend: BackendProcess) -> None:
    for connection in admin.call("GET", f"/api/ml/?project={project_id}"):
        admin.call("DELETE", f"/api/ml/{connection['id']}")


def connect_twice(admin: Annotator, project_id: int, backend: BackendProcess) -> None:
    admin.call("POST", "/api/ml/", {"url": backend.url, "project": project_id, "title": "again"})


MENDED = [
    (delete_webhook, "webhook", "no webhook tells"),
    (change_secret, "webhook", "a secret that is not the project's"),
    (sample_sequentially, "sampling", 'the project\'s sampling is "Sequential sampling"'),
    (hide_predictions, "predictions", "hidden from annotators"),
    (point_elsewhere, "model version", '"my own model"'),
    (remove_connection, "connection", "no model connection calls"),
    (connect_twice, "other backends", "2 model connections call"),
]


@pytest.mark.parametrize(("harm", "check", "words"), MENDED, ids=[case[0].__name__ for case in MENDED])
def test_doctor_finds_it_and_mends_it(
    admin: Annotator, truth: Truth, backend: BackendProcess, project: int, harm: Harm, check: str, words: str
) -> None:
    # A turn that begins in the same second mends some of it first.
    for _ in range(3):
        harm(admin, project, backend)
        findings = examine(backend, project, "--fix")
        if findings[check]["mended"]:
            break
    assert words in (findings[check]["mended"] or ""), findings[check]
    assert findings[check]["state"] == "ok"
    until(lambda: not_well(examine(backend, project)) == {}, "all is well")
    until(
        lambda: truth.version(project) == admin.next(project).version == backend.project(project)["version"]["name"],
        "the queue is of the newest version",
    )


def test_blocked_address_names_the_setting(backend: BackendProcess, project: int) -> None:
    # Of this Label Studio's USER_ADDITIONAL_BANNED_SUBNETS, and on loopback all the same.
    found = examine(backend, project, "--backend-url", f"http://0.0.0.0:{backend.port}")["address"]
    assert found["state"] == "failure"
    assert "predictions and webhooks, since it is in 0.0.0.0/8" in found["sentence"]
    assert "USER_ADDITIONAL_BANNED_SUBNETS forbids it" in found["sentence"]


def test_name_that_label_studio_cannot_resolve(backend: BackendProcess, project: int) -> None:
    found = examine(backend, project, "--backend-url", "http://nowhere.invalid:9090")["address"]
    assert found["state"] == "failure"
    assert "cannot resolve this backend's name" in found["sentence"]


def test_second_backend_is_named(admin: Annotator, backend: BackendProcess, project: int) -> None:
    url = backend.url.replace("127.0.0.1", "localhost")
    other = admin.call("POST", "/api/ml/", {"url": url, "project": project, "title": "another model"})
    found = examine(backend, project)["other backends"]
    admin.call("DELETE", f"/api/ml/{other['id']}")
    assert found["state"] == "warning"
    assert f'"another model" at {url}' in found["sentence"]


def test_backend_that_label_studio_does_not_reach(
    admin: Annotator, make_backend: Callable[..., BackendProcess]
) -> None:
    backend = make_backend()
    project_id = admin.create_project("unreached", LABELS, TEXTS)
    backend.connect(project_id)
    assert examine(backend, project_id)["labels"]["sentence"].startswith("nobody has labelled a task yet")
    backend.stop()
    findings = examine(backend, project_id)
    assert findings["backend"]["state"] == "warning"
    assert findings["round trip"]["state"] == "failure"
    assert f"does not reach {backend.url}: start label-studio-al serve" in findings["round trip"]["sentence"]


def test_label_studio_that_is_not_there(backend: BackendProcess, project: int) -> None:
    findings = examine(backend, project, LABEL_STUDIO_URL=f"http://127.0.0.1:{free_port()}")
    assert findings["label studio"]["state"] == "failure"
    assert "start it, or correct LABEL_STUDIO_URL" in findings["label studio"]["sentence"]
    assert findings["webhook"]["state"] == "skipped"


def test_unsupported_label_config(admin: Annotator, backend: BackendProcess) -> None:
    config = '<View><Text name="t" value="$text"/><TextArea name="a" toName="t"/></View>'
    made = admin.call("POST", "/api/projects/", {"title": "free text", "label_config": config})
    found = examine(backend, made["id"])["label config"]
    assert found["state"] == "failure"
    assert "no model for <TextArea> is built in" in found["sentence"]


def test_tokens_are_told_apart(label_studio: LocalLabelStudio, backend: BackendProcess, project: int) -> None:
    personal = personal_access_token(label_studio.url, LOGIN)
    access = httpx.post(f"{label_studio.url}/api/token/refresh/", json={"refresh": personal}).json()["access"]

    def token(value: str) -> str:
        found = examine(backend, project, LABEL_STUDIO_API_KEY=value)["token"]
        return f"{found['state']}: {found['sentence']}"

    assert token(personal) == f"ok: LABEL_STUDIO_API_KEY is a personal access token of {LOGIN.email}"
    assert "failure" in token(access)
    assert "an access token, which is valid for minutes" in token(access)
    assert "not one that it knows" in token("f" * 40)

    def allow_legacy_tokens(are_allowed: bool) -> None:
        headers = {"Authorization": f"Bearer {access}"}
        values = {"legacy_api_tokens_enabled": are_allowed}
        httpx.post(f"{label_studio.url}/api/jwt/settings", json=values, headers=headers).raise_for_status()

    allow_legacy_tokens(False)
    try:
        assert "legacy tokens switched off" in token(LOGIN.token)
    finally:
        allow_legacy_tokens(True)
    assert token(LOGIN.token) == f"ok: LABEL_STUDIO_API_KEY is a legacy token of {LOGIN.email}"
