"""The official server with our model: the same learner, the same loop, under its protocol.

Three servers are asked by real HTTP requests: label-studio-ml 1.0.9 with all that it pins (Flask 1.1.2), 1.0.9 beside a
current Flask, and, since no registry has label-studio-ml 2.x, a stand-in for it written from its published interface
(tests/support/label_studio_ml_2). What the real 2.x does beyond that interface is not tested here.
"""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from label_studio_al.cli.host_dir import MODEL_DIRECTORY
from label_studio_al.store import Store
from tests.support.build import config_xml
from tests.support.official_host import (
    OfficialHost,
    beside_current_flask,
    beside_old_flask,
    dependencies,
)
from tests.support.studio import until

SERVERS: dict[str, tuple[str, Callable[[], Path]]] = {
    "1.0.9 beside Flask 1.1.2": ("1", beside_old_flask),
    "1.0.9 beside a current Flask": ("1", beside_current_flask),
    "2.x, a stand-in": ("2", lambda: Path(sys.executable)),
}
# Flask 1.1.2 runs on no later Python.
LATEST_FOR_OLD_FLASK = (3, 11)
PETS = ("the cat sleeps", "a cat and a kitten", "cat food", "my cat purrs", "kitten plays with a cat")
CARS = ("the car starts", "a car and a truck", "car engine", "my car rusts", "truck tows a car")

Payload = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfficialHost]:
    release, find_python = SERVERS[request.param]
    if "1.1.2" in request.param and sys.version_info[:2] > LATEST_FOR_OLD_FLASK:
        pytest.skip("Flask 1.1.2 is for Python 3.11 at most")
    started = OfficialHost(find_python(), release, tmp_path_factory.mktemp("host")).start()
    yield started
    started.kill()


class ProjectOfLabelStudio:
    """A project, as Label Studio tells of it: recorded requests with an identity and texts of its own."""

    def __init__(self, server: OfficialHost, payload: Payload, number: int, labels: tuple[str, str]) -> None:
        self.server = server
        self.config = config_xml(labels)
        self._payload = payload
        self._number = number
        self._setup = payload("setup") | {"project": f"{number}.{payload('setup')['project'].partition('.')[2]}"}
        self._setup |= {"schema": self.config}

    @property
    def key(self) -> str:
        key: str = self._setup["project"]
        return key

    def set_up(self, **extra_params: Any) -> str:
        answer = self.server.post("setup", self._setup | {"extra_params": extra_params})
        assert answer.status_code == 200, answer.text
        version: str = answer.json()["model_version"]
        return version

    def label(self, task_id: int, text: str, label: str) -> None:
        body = self.event("annotation_created")
        body["task"] |= {"id": task_id, "data": {"text": text}}
        body["annotation"] |= {"id": task_id, "task": task_id}
        body["annotation"]["result"][0]["value"]["choices"] = [label]
        assert self.server.post("webhook", body).status_code == 201

    def label_all(self, labels: tuple[str, str]) -> None:
        for place, (first, second) in enumerate(zip(PETS, CARS, strict=True)):
            self.label(10 * self._number + 1000 + 2 * place, first, labels[0])
            self.label(10 * self._number + 1001 + 2 * place, second, labels[1])

    def event(self, name: str) -> dict[str, Any]:
        body = self._payload(name)
        body["project"] |= {"id": self._number, "label_config": self.config}
        return body

    def predict(self, *texts: str) -> list[dict[str, Any]]:
        body = self._payload("predict") | {"project": self.key, "label_config": self.config}
        body["tasks"] = [
            copy.deepcopy(body["tasks"][0]) | {"id": 500 + place, "data": {"text": text}}
            for place, text in enumerate(texts)
        ]
        answer = self.server.post("predict", body)
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    def until_trained(self) -> list[dict[str, Any]]:
        """Predictions for a text of each kind, as soon as there is a model that knows the labels given."""

        def trained() -> list[dict[str, Any]] | None:
            found = self.predict("cat", "car")
            return found if all(one["result"] for one in found) else None

        found: list[dict[str, Any]] = until(trained, lambda: f"a model is trained: {self.server.log()[-1500:]}")
        return found


def number_of(version: str) -> int:
    found = re.fullmatch(r"al-(\d+)-[a-z2-7]+", version)
    assert found, version
    return int(found[1])


def chosen(predictions: list[dict[str, Any]]) -> list[str]:
    return [one["result"][0]["value"]["choices"][0] for one in predictions]


def test_labels_become_predictions_under_a_new_version(server: OfficialHost, payload: Payload) -> None:
    project = ProjectOfLabelStudio(server, payload, 11, ("Pet", "Car"))
    assert project.set_up().startswith("al-0-")
    assert [one["result"] for one in project.predict("cat", "car")] == [[], []]

    project.label_all(("Pet", "Car"))
    project.until_trained()
    # Labels that came while the first model was trained make another one.
    found = until(
        lambda: (chosen(project.predict("cat", "car")) == ["Pet", "Car"]) and project.predict("cat", "car", ""),
        "what was labelled is learnt",
    )
    assert len(found) == 3
    assert all(0 <= one["score"] <= 1 for one in found)
    assert all(0 < one["result"][0]["score"] <= 1 for one in found[:2])
    until(lambda: {one["model_version"] for one in project.predict("cat")} == {project.set_up()}, "one version")
    assert number_of(project.set_up()) > 0


def test_projects_share_neither_labels_nor_versions(server: OfficialHost, payload: Payload) -> None:
    first = ProjectOfLabelStudio(server, payload, 21, ("Pet", "Car"))
    second = ProjectOfLabelStudio(server, payload, 22, ("Right", "Left"))
    first.set_up()
    first.label_all(("Pet", "Car"))
    first.until_trained()
    # The server has been asked last about the other one.
    assert second.set_up().startswith("al-0-")
    assert [one["result"] for one in second.predict("cat", "car")] == [[], []]
    assert set(chosen(first.predict("cat", "car"))) <= {"Pet", "Car"}

    second.label_all(("Right", "Left"))
    until(lambda: second.until_trained() and chosen(second.predict("cat", "car")) == ["Right", "Left"], "it is learnt")
    assert set(chosen(first.predict("cat", "car"))) <= {"Pet", "Car"}


def test_start_training_makes_a_new_version(server: OfficialHost, payload: Payload) -> None:
    project = ProjectOfLabelStudio(server, payload, 31, ("Pet", "Car"))
    project.set_up()
    project.label_all(("Pet", "Car"))
    until(lambda: project.until_trained() and chosen(project.predict("cat", "car")) == ["Pet", "Car"], "it is learnt")
    before = number_of(project.set_up())
    assert server.post("webhook", project.event("start_training")).status_code == 201
    until(lambda: number_of(project.set_up()) > before, "a new version")


def test_settings_of_the_model_page_are_kept(server: OfficialHost, payload: Payload) -> None:
    project = ProjectOfLabelStudio(server, payload, 41, ("Pet", "Car"))
    project.set_up(strategy="margin", min_labels=7)
    store = Store(f"sqlite:///{server.folder / 'state.sqlite'}")
    assert store.projects.get(project.key).extra_params == {"strategy": "margin", "min_labels": 7}
    store.close()


def test_deletions_are_heard_where_the_server_passes_them_on(server: OfficialHost, payload: Payload) -> None:
    project = ProjectOfLabelStudio(server, payload, 51, ("Pet", "Car"))
    project.set_up()
    project.label(9001, "cat", "Pet")
    body = project.event("annotations_deleted") | {"annotations": [{"id": 9001}]}
    answer = server.post("webhook", body).json()
    store = Store(f"sqlite:///{server.folder / 'state.sqlite'}")
    left = [one.id for one in store.annotations.all(project.key)]
    store.close()
    if server.release == "1":
        assert (answer["status"], left) == ("heard", [])
    else:
        # 2.x knows ANNOTATION_DELETED, which no Label Studio sends; the next comparison finds it.
        assert (answer["status"], left) == ("Unknown event", [9001])


def test_webhooks_of_projects_that_were_never_set_up_are_ignored(server: OfficialHost, payload: Payload) -> None:
    project = ProjectOfLabelStudio(server, payload, 61, ("Pet", "Car"))
    project.label(9101, "cat", "Pet")
    store = Store(f"sqlite:///{server.folder / 'state.sqlite'}")
    assert store.projects.find(project.key) is None
    store.close()


def test_a_config_that_cannot_be_learnt_is_refused_with_a_sentence(server: OfficialHost, payload: Payload) -> None:
    body = payload("setup") | {"project": "71.1795394190", "schema": "<View><Image name='i' value='$i'/></View>"}
    answer = server.post("setup", body)
    assert answer.status_code == 500
    assert answer.json()["detail"].startswith("UnsupportedConfig: ")


def test_a_wrong_webhook_is_refused_without_a_traceback(server: OfficialHost, payload: Payload) -> None:
    project = ProjectOfLabelStudio(server, payload, 81, ("Pet", "Car"))
    project.set_up()
    body = project.event("annotation_created")
    body["annotation"]["id"] = "one"
    answer = server.post("webhook", body)
    assert (answer.status_code, answer.json()) == (400, {"error": "annotation.id must be a whole number, not 'one'"})


def test_old_releases_training_request_makes_a_new_version(server: OfficialHost, payload: Payload) -> None:
    if server.release == "2":
        pytest.skip("2.x has no /train")
    project = ProjectOfLabelStudio(server, payload, 91, ("Pet", "Car"))
    project.set_up()
    until(lambda: number_of(project.set_up()) > 0, "the first version")
    before = number_of(project.set_up())
    body = {"project": project.key, "label_config": project.config, "annotations": [{"id": 1}]}
    assert server.post("train", body).status_code == 201
    until(lambda: number_of(project.set_up()) > before, "a new version")


def test_tokens_of_webhooks_are_written_nowhere(server: OfficialHost, payload: Payload) -> None:
    project = ProjectOfLabelStudio(server, payload, 99, ("Pet", "Car"))
    project.set_up()
    body = project.event("annotation_created")
    body["project"]["token"] = token = "token-that-nobody-may-keep"
    body["task"]["data"]["text"] = "text that is kept"
    assert server.post("webhook", body).status_code == 201
    written = [path.read_bytes() for path in server.folder.rglob("*") if path.is_file()]
    assert any(b"text that is kept" in one for one in written)
    assert not any(token.encode() in one for one in written)


@pytest.mark.parametrize("name", ["2.x, a stand-in", "1.0.9 beside a current Flask"])
def test_worker_ends_with_its_server(name: str, tmp_path: Path, payload: Payload) -> None:
    release, find_python = SERVERS[name]
    server = OfficialHost(find_python(), release, tmp_path).start()
    assert server.process is not None
    ProjectOfLabelStudio(server, payload, 11, ("Pet", "Car")).set_up()
    family = psutil.Process(server.process.pid)

    def worker() -> psutil.Process | None:
        return next(
            (one for one in family.children(recursive=True) if one.cmdline()[-2:] == ["label_studio_al", "worker"]),
            None,
        )

    found = until(worker, "a worker is started")
    server.kill()
    until(lambda: not found.is_running() or found.status() == psutil.STATUS_ZOMBIE, "the worker ends")


def test_release_1_does_not_start_with_credentials_that_it_would_not_check(tmp_path: Path) -> None:
    server = OfficialHost(beside_current_flask(), "1", tmp_path, BASIC_AUTH_USER="user", BASIC_AUTH_PASS="pass")
    done = subprocess.run(
        server.command, env=server.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "label-studio-ml 1.0.9 checks neither" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_label_studio_ml_the_model_says_what_to_install(tmp_path: Path) -> None:
    server = OfficialHost(Path(sys.executable), "2", tmp_path, PYTHONPATH=str(Path(__file__).parents[2]))
    done = subprocess.run(
        server.command, env=server.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "docs/label-studio-ml.md has the two commands" in done.stderr


def test_what_is_installed_beside_old_flask_is_what_this_package_needs() -> None:
    listed = (MODEL_DIRECTORY / "requirements.txt").read_text(encoding="utf-8").splitlines()[1:]
    assert listed == [one for one in dependencies() if not re.match(r"(flask|werkzeug)\b", one)]


def test_host_dir_names_what_label_studio_ml_starts() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "label_studio_al", "host-dir"], capture_output=True, text=True, check=True
    )
    assert {"_wsgi.py", "model.py", "requirements.txt"} <= {path.name for path in Path(done.stdout.strip()).iterdir()}
