"""Models are downloaded by those who ask for it, and compared with their checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from label_studio_al.learners.encoders import load_encoder, places
from label_studio_al.learners.encoders.fetching import fetch_encoder
from label_studio_al.learners.encoders.places import Published
from label_studio_al.runtime.errors import InvalidRequest, ModelNotFetched
from tests.support.model_hub import Hub, files_of, serving
from tests.support.onnx_models import image_folder, text_folder

COMMIT = "a" * 40
NAME = "someone/small"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    files = {**files_of(text_folder(tmp_path / "source")), "README.md": b"# A model", "pytorch_model.bin": b"large"}
    with serving(Hub(NAME, COMMIT, files)) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        monkeypatch.setenv("AL_MODELS", str(tmp_path / "models"))
        yield served


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def test_fetched_model_is_loaded_without_the_network(hub: Hub, models: Path) -> None:
    fetched = fetch_encoder(NAME, models, progress=False)
    assert fetched.name == f"{NAME}@{COMMIT}"
    assert fetched.n_bytes == sum(len(hub.files[name]) for name in ("model.onnx", "tokenizer.json", "config.json"))
    assert not [line for line in hub.asked if "README" in line or "pytorch" in line]
    asked = len(hub.asked)
    assert load_encoder(f"fastembed:{fetched.name}", models).encode(["good"]).any()
    assert load_encoder(f"fastembed:{NAME}", models).encode(["good"]).any()
    assert len(hub.asked) == asked


def test_what_is_here_is_not_downloaded_again(hub: Hub, models: Path) -> None:
    fetch_encoder(f"{NAME}@{COMMIT}", models, progress=False)
    hub.asked.clear()
    fetch_encoder(f"{NAME}@{COMMIT}", models, progress=False)
    assert not [line for line in hub.asked if line.startswith("GET") and "resolve" in line]


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_changed_file_is_removed_and_said(hub: Hub, models: Path, name: str) -> None:
    hub.corrupt.add(name)
    with pytest.raises(ModelNotFetched, match=f"{name} of {NAME} came with another checksum"):
        fetch_encoder(NAME, models, progress=False)
    assert not list(models.rglob(name))
    hub.corrupt.clear()
    fetch_encoder(NAME, models, progress=False)
    assert load_encoder(f"fastembed:{NAME}@{COMMIT}", models).encode(["good"]).any()


@pytest.mark.parametrize("is_right", [True, False])
def test_pinned_model_must_have_our_checksum(
    hub: Hub, models: Path, monkeypatch: pytest.MonkeyPatch, is_right: bool
) -> None:
    sha256 = hashlib.sha256(hub.files["model.onnx"]).hexdigest() if is_right else "0" * 64
    monkeypatch.setitem(places._PUBLISHED, "known/model", Published(NAME, COMMIT, sha256))
    if not is_right:
        with pytest.raises(ModelNotFetched, match="another checksum"):
            fetch_encoder("known/model", models, progress=False)
        return
    assert fetch_encoder("known/model", models, progress=False).name == "known/model"
    assert load_encoder("fastembed:known/model", models).encode(["good"]).any()


def test_int8_model_is_not_kept_as_usable(hub: Hub, models: Path) -> None:
    hub.files["model.onnx"] += b"DynamicQuantizeLinear"
    with pytest.raises(ModelNotFetched, match="quantised to int8"):
        fetch_encoder(NAME, models, progress=False)


def test_repository_without_onnx_is_refused(hub: Hub, models: Path) -> None:
    del hub.files["model.onnx"]
    with pytest.raises(ModelNotFetched, match=r"someone/small has no model.onnx"):
        fetch_encoder(NAME, models, progress=False)


def test_unknown_model_is_said(hub: Hub, models: Path) -> None:
    with pytest.raises(ModelNotFetched, match=r"someone/other cannot be fetched .*: there is none, or it"):
        fetch_encoder("someone/other", models, progress=False)


@pytest.mark.parametrize("name", ["", "small", "a/b/c", "https://somewhere/else", "/tmp/folder", "a/b@"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="must be called OWNER/NAME"):
        fetch_encoder(name)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["encoders", *arguments])


def test_command_fetches_lists_and_tries(hub: Hub, tmp_path: Path) -> None:
    assert run("--fetch", NAME).output.startswith(f"{NAME}@{COMMIT} is in ")
    listed = json.loads(run("--json").output)
    assert {"name": f"fastembed:{NAME}@{COMMIT}", "is_here": True} in listed["encoders"]
    assert (listed["setting"], listed["static"], listed["slow"]) == ("auto", "wordllama", None)
    assert f"fastembed:{NAME}@{COMMIT}" in run().output
    tried = json.loads(run("--try", f"fastembed:{NAME}", "--json").output)["tried"]
    assert tried["n_dimensions"] == 4
    assert tried["texts_per_second_240_characters"] > 0
    assert "4 dimensions" in run("--try", f"fastembed:{NAME}").output
    # As `make serve ENCODER=...` hands it on.
    assert run("--fetch", f"fastembed:{NAME}").output.startswith(f"{NAME}@{COMMIT} is in ")
    assert "there is nothing to fetch" in run("--fetch", f"fastembed:{tmp_path}").output
    images = image_folder(tmp_path / "images", {"size": 8})
    assert "images of 640 by 480 pixels in a second" in run("--images", "--try", f"onnx:{images}").output


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("--try", "fastembed:/nowhere"), "AL_ENCODER is 'fastembed:/nowhere', which is no folder"),
        (("--images", "--try", "bert"), "AL_IMAGE_ENCODER must be one of"),
        (("--images",), "--images says what --try is to load"),
        (("--fetch", "bert"), "must be called OWNER/NAME"),
    ],
)
def test_command_refuses_with_a_sentence(arguments: tuple[str, ...], rule: str) -> None:
    done = run(*arguments)
    assert done.exit_code != 0
    assert rule in done.output
