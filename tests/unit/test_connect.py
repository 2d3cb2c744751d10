"""`label-studio-al connect`: both ways, and the project of example messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from label_studio_al.cli.connect import make_example_project
from label_studio_al.examples import EXAMPLES, example_config, example_tasks
from label_studio_al.runtime.settings import read_settings
from label_studio_al.studio import WEBHOOK_HEADER, webhook_secret
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.studio.projects import SAMPLING
from tests.support.bench import TEXTS, TWO
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import TOKEN, URL, FakeLabelStudio

# As a container of a Compose file reaches another.
BACKEND_URL = "http://backend.internal:9090"
SECRET = "what-only-the-two-know"  # pragma: allowlist secret


@pytest.fixture
def fake() -> FakeLabelStudio:
    return FakeLabelStudio()


@pytest.fixture(autouse=True)
def environment(fake: FakeLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "LABEL_STUDIO_URL": URL,
        "LABEL_STUDIO_API_KEY": TOKEN,
        "AL_BACKEND_URL": BACKEND_URL,
        "AL_WEBHOOK_SECRET": SECRET,
        "MODEL_DIR": str(tmp_path),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    client = fake.client()
    monkeypatch.setattr(
        "label_studio_al.cli.connect.make_studio", lambda _: Studio(Api(URL, TOKEN, client, FakeClock()))
    )


def connect(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["connect", "--no-wait", *arguments])


@pytest.mark.parametrize(
    "url", [BACKEND_URL, "http://localhost:9090", "http://al.example.com", "https://al.example.com/sub/path"]
)
def test_webhook_carries_the_secret(fake: FakeLabelStudio, url: str) -> None:
    project = fake.add_project(TWO, TEXTS)
    for _ in range(2):
        done = connect("--project", str(project.id), "--backend-url", url)
        assert done.exit_code == 0, done.output
        (hook,) = fake.webhooks.values()
        assert hook["url"] == f"{url}/webhook"
        assert hook["headers"] == {WEBHOOK_HEADER: webhook_secret(SECRET, project.key)}
        assert not hook["send_for_all_actions"]
        (connection,) = fake.connections.values()
        assert connection["url"] == url
    assert project.sampling == SAMPLING


def test_host_name_without_a_dot_is_refused_with_advice(fake: FakeLabelStudio) -> None:
    project = fake.add_project(TWO, TEXTS)
    done = connect("--project", str(project.id), "--backend-url", "http://backend:9090")
    assert done.exit_code == 1
    assert "no webhook to a host name without a dot" in done.output
    assert not fake.connections


@pytest.mark.parametrize("url", [f"http://user:{SECRET}@al.example.com", "al.example.com", "ftp://al.example.com"])
def test_address_follows_the_rules_of_the_setting(fake: FakeLabelStudio, url: str) -> None:
    project = fake.add_project(TWO, TEXTS)
    done = connect("--project", str(project.id), "--backend-url", url)
    assert done.exit_code != 0
    assert "AL_BACKEND_URL" in done.output
    assert SECRET not in done.output
    assert not fake.connections
    assert not fake.webhooks


def test_example_is_made_once_and_found_again(fake: FakeLabelStudio) -> None:
    for _ in range(2):
        done = connect("--example")
        assert done.exit_code == 0, done.output
    (project,) = fake.projects.values()
    assert [task["data"]["text"] for task in project.tasks.values()] == [task["text"] for task in example_tasks()]
    assert [one["url"] for one in fake.connections.values()] == [BACKEND_URL]


def test_each_example_is_a_project_of_its_own(fake: FakeLabelStudio) -> None:
    numbers = {
        name: [make_example_project(read_settings(), lambda _: None, name) for _ in range(2)] for name in EXAMPLES
    }
    assert len(fake.projects) == len(EXAMPLES)
    for name, (number, again) in numbers.items():
        assert number == again
        project = fake.projects[number]
        assert project.label_config == example_config(name)
        assert [task["data"] for task in project.tasks.values()] == [
            {"text": task["text"]} for task in example_tasks(name)
        ]


def test_example_is_not_made_beside_other_projects(fake: FakeLabelStudio) -> None:
    fake.add_project(TWO, TEXTS)
    done = connect("--example")
    assert done.exit_code == 0
    assert "nothing to connect" in done.output
    assert len(fake.projects) == 1
    assert not fake.connections


def test_images_that_no_encoder_sees_are_said(fake: FakeLabelStudio) -> None:
    choices = '<Choices name="kind" toName="image"><Choice value="A"/><Choice value="B"/></Choices>'
    project = fake.add_project(f'<View><Image name="image" value="$image"/>{choices}</View>', [])
    said = connect("--project", str(project.id)).output
    assert "images: nothing is learned, because AL_IMAGE_ENCODER names no encoder of images" in said


@pytest.mark.parametrize("arguments", [[], ["--project", "1", "--example"]])
def test_project_or_example_must_be_given(fake: FakeLabelStudio, arguments: list[str]) -> None:
    done = connect(*arguments)
    assert done.exit_code == 2
    assert "give either --project NUMBER or --example" in done.output
    assert fake.calls == []
