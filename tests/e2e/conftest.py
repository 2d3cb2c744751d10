"""A real Label Studio, started once for all of these tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from label_studio_al.cli.local import LocalLabelStudio, Login, environment_path, free_port, install
from tests.support.backend_process import BackendProcess
from tests.support.onnx_models import image_folder
from tests.support.studio import Annotator, Truth

LOGIN = Login(email="admin@example.com", password="password-123", token="0123456789abcdef" * 2 + "01234567")


def local_files(folder: Path) -> dict[str, str]:
    """Variables of a Label Studio that serves the files of `folder/files`."""
    files = folder / "files"
    files.mkdir()
    served = {"SERVING_ENABLED": "true", "DOCUMENT_ROOT": str(files)}
    return {f"LABEL_STUDIO_LOCAL_FILES_{name}": value for name, value in served.items()}


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalLabelStudio]:
    install(environment_path(), print)
    folder = tmp_path_factory.mktemp("label-studio")
    with LocalLabelStudio(environment_path(), folder / "data", free_port(), LOGIN, folder / "server.log") as server:
        # It takes half a minute where nothing else runs.
        server.start(print, local_files(folder), timeout_seconds=600)
        yield server


@pytest.fixture(scope="session")
def admin(label_studio: LocalLabelStudio) -> Iterator[Annotator]:
    annotator = Annotator(label_studio.url, token=LOGIN.token)
    yield annotator
    annotator.client.close()


@pytest.fixture(scope="session")
def colleague(label_studio: LocalLabelStudio) -> Iterator[Annotator]:
    annotator = Annotator.sign_up(label_studio.url, "colleague@example.com")
    yield annotator
    annotator.client.close()


@pytest.fixture(scope="session")
def truth(label_studio: LocalLabelStudio) -> Truth:
    return Truth(label_studio.data_dir)


@pytest.fixture
def make_backend(label_studio: LocalLabelStudio, tmp_path: Path) -> Iterator[Callable[..., BackendProcess]]:
    """Starts backends; they are stopped at the end of the test."""
    made: list[BackendProcess] = []

    def make(token: str | None = LOGIN.token, **environment: str) -> BackendProcess:
        folder = tmp_path / f"backend-{len(made)}"
        backend = BackendProcess(folder, label_studio.url, token, **environment)
        made.append(backend)
        return backend.start()

    yield make
    for backend in made:
        backend.stop()


@pytest.fixture(scope="session")
def backend(label_studio: LocalLabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackendProcess]:
    """One backend for the tests that do not stop it, as one serves many projects in life. It sees images' colours."""
    images = image_folder(tmp_path_factory.mktemp("encoder"), {"size": 8})
    folder = tmp_path_factory.mktemp("backend")
    backend = BackendProcess(folder, label_studio.url, LOGIN.token, AL_IMAGE_ENCODER=f"onnx:{images}")
    yield backend.start()
    backend.stop()
