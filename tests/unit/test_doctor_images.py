"""What doctor says of a project's images."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from PIL import Image

from label_studio_al.doctor import Doing, Result, Setup, examine
from label_studio_al.doctor.findings import FAILURE, OK, SKIPPED, WARNING
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from label_studio_al.studio.media import Media
from tests.support.fake_label_studio import TOKEN, URL, FakeLabelStudio
from tests.support.onnx_models import image_folder

IMAGES = """<View><Image name="image" value="$image"/>
<Choices name="kind" toName="image"><Choice value="A"/><Choice value="B"/></Choices></View>"""
BESIDE = IMAGES.replace("<Choices", '<Text name="text" value="$text"/><Choices')


def png() -> str:
    file = BytesIO()
    Image.new("RGB", (30, 20), (9, 9, 9)).save(file, "PNG")
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    encoder = f"onnx:{image_folder(tmp_path / 'encoder', {'size': 8})}"
    given = {"label_studio_url": URL, "label_studio_api_key": TOKEN, "backend_url": "http://localhost:9090"}
    return read_settings(model_dir=tmp_path, encoder="none", image_encoder=encoder, **given)


@pytest.fixture
def nobody() -> Iterator[httpx.Client]:
    """No backend runs."""
    with httpx.Client(transport=httpx.MockTransport(FakeLabelStudio().handle)) as http:
        yield http


def found(settings: Settings, http: httpx.Client, *addresses: object, config: str = IMAGES) -> dict[str, Result]:
    """What is said of a project with these images."""
    fake = FakeLabelStudio()
    project = fake.add_project(config, [])
    fake.add_tasks(project.id, [{"image": address, "text": "words"} for address in addresses])
    api = Api(URL, TOKEN, fake.client())
    studio = Studio(api)
    vars(studio)["media"] = Media(api, inside=httpx.MockTransport(fake.handle))
    doing = Doing(lambda _settings: studio, lambda _settings: ["a key"], lambda _project_id: None)
    setup = Setup(settings, "http://localhost:9090", doing, Clock(), http)
    return {result.check: result for result in examine(setup, [project.id], fix=False)}


def test_the_first_image_is_fetched_and_read(settings: Settings, nobody: httpx.Client) -> None:
    results = found(settings, nobody, None, png(), "https://elsewhere.example/x.png")
    assert (results["images"].state, results["images"].sentence) == (
        OK,
        "the image of task 102 can be fetched and read, at 30 x 20 pixels",
    )
    assert f"images: seen by {settings.image_encoder}" in results["label config"].sentence
    assert "images in 3" in results["embeddings"].sentence


@pytest.mark.parametrize(
    ("address", "state", "sentence"),
    [
        ("https://elsewhere.example/x.png", FAILURE, "name it in AL_MEDIA_HOSTS"),
        ("/data/upload/1/gone.png", WARNING, "Label Studio answered 404 for an image"),
        ("data:image/png;base64,aGVsbG8=", WARNING, "the file is no image"),
        (None, WARNING, "none of the first 1 tasks has an image in image"),
    ],
)
def test_why_the_first_image_cannot_be_read(
    settings: Settings, nobody: httpx.Client, address: object, state: str, sentence: str
) -> None:
    result = found(settings, nobody, address)["images"]
    assert (result.state, sentence in result.sentence) == (state, True), result.sentence


def test_a_project_of_images_alone_fails_without_an_encoder(settings: Settings, nobody: httpx.Client) -> None:
    results = found(settings.model_copy(update={"image_encoder": "none"}), nobody, png())
    assert (results["label config"].state, results["images"].state) == (FAILURE, SKIPPED)
    assert "AL_IMAGE_ENCODER must name an encoder of images" in results["label config"].sentence


def test_images_beside_texts_are_left_out_without_an_encoder(settings: Settings, nobody: httpx.Client) -> None:
    results = found(settings.model_copy(update={"image_encoder": "none"}), nobody, png(), config=BESIDE)
    assert (results["label config"].state, results["images"].state) == (OK, WARNING)
    said = "left out, because AL_IMAGE_ENCODER names no encoder of images"
    assert said in results["label config"].sentence
    assert said in results["images"].sentence


def test_an_encoder_that_does_not_load_is_said(settings: Settings, nobody: httpx.Client, tmp_path: Path) -> None:
    broken = settings.model_copy(update={"image_encoder": f"onnx:{tmp_path / 'gone'}"})
    result = found(broken, nobody, png())["embeddings"]
    assert (result.state, "AL_IMAGE_ENCODER" in result.sentence) == (FAILURE, True), result.sentence
