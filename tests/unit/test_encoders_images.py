"""Encoders of images that are ONNX models in folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image

from label_studio_al.learners.encoders import load_image_encoder
from label_studio_al.learners.encoders.onnx_images import OnnxImageEncoder, Preparation
from label_studio_al.runtime.errors import InvalidSettings
from tests.support.onnx_models import image_folder, save

PLAIN = {"size": {"height": 8, "width": 8}, "do_normalize": False}
# As of models of timm and of transformers.
CONVNEXT = {
    "crop_pct": 0.875,
    "image_processor_type": "ConvNextFeatureExtractor",
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.5, 0.25, 0.2],
    "size": {"shortest_edge": 8},
}
CENTER = {"size": 16, "do_center_crop": True, "crop_size": 8, "do_normalize": False}


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_embedding_is_the_mean_of_the_grid(tmp_path: Path) -> None:
    encoder = load_image_encoder(f"onnx:{image_folder(tmp_path, PLAIN)}")
    rows = encoder.encode([Image.new("RGB", (30, 20), (255, 0, 0)), Image.new("RGB", (3, 300), (30, 40, 0))])
    assert (encoder.n_dimensions, rows.dtype) == (3, np.float32)
    np.testing.assert_allclose(rows, [[1, 0, 0], [0.6, 0.8, 0]], atol=1e-6)
    assert encoder.encode([]).shape == (0, 3)


@pytest.mark.parametrize("is_channels_last", [False, True])
@pytest.mark.parametrize("n_vectors", [1, 4])
def test_pixels_come_in_the_order_that_the_model_takes(tmp_path: Path, is_channels_last: bool, n_vectors: int) -> None:
    folder, sides = image_folder(tmp_path, PLAIN), (8, 8)
    shape = ["n", *sides, 3] if is_channels_last else ["n", 3, *sides]
    vectors = [] if n_vectors == 1 else [n_vectors]
    save(
        folder / "model.onnx",
        [helper.make_node("Reshape", ["pixels", "shape"], ["embedding"])],
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", *vectors, 192 // n_vectors])],
        {"shape": np.array([-1, *vectors, 192 // n_vectors])},
    )
    image = noise(*sides)
    pixels = np.asarray(image, dtype=np.float32)
    flat = (pixels if is_channels_last else pixels.transpose(2, 0, 1)).reshape(n_vectors, -1).mean(axis=0)
    row = load_image_encoder(f"onnx:{folder}").encode([image])[0]
    np.testing.assert_allclose(row, flat / np.linalg.norm(flat), atol=1e-5)


def test_more_than_a_batch_is_in_the_same_order(tmp_path: Path) -> None:
    encoder = load_image_encoder(f"fastembed:{image_folder(tmp_path, PLAIN)}")
    images = [noise(20 + seed, 40 - seed, seed) for seed in range(19)]
    alone = np.vstack([encoder.encode([image]) for image in images])
    np.testing.assert_allclose(encoder.encode(images), alone, atol=1e-6)


def test_pixels_are_those_of_the_middle_resized_and_normalised() -> None:
    image = noise(40, 20)
    # 8 / 0.875 = 9 for the shorter side, of which the middle 8 by 8 count.
    left, top = (18 - 8) // 2, (9 - 8) // 2
    resized = image.resize((18, 9), Image.Resampling.BICUBIC).crop((left, top, left + 8, top + 8))
    expected = (np.asarray(resized) / 255 - [0.4, 0.5, 0.6]) / [0.5, 0.25, 0.2]
    np.testing.assert_allclose(Preparation.read(CONVNEXT).pixels(image), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("said", "shape"),
    [
        (PLAIN, (8, 8, 3)),
        (CENTER, (8, 8, 3)),
        ({"size": 8}, (8, 8, 3)),
        ({"size": {"shortest_edge": 400}, "image_processor_type": "ConvNextImageProcessor"}, (400, 400, 3)),
        ({"size": {"height": 6, "width": 9}, "resample": 2, "do_rescale": False}, (6, 9, 3)),
        ({"size": 50, "do_resize": False, "do_center_crop": True}, (50, 50, 3)),
    ],
)
@pytest.mark.parametrize("size", [(30, 20), (1, 5000), (5000, 1), (1, 1)])
def test_all_images_come_out_of_one_size(said: dict[str, Any], shape: tuple[int, ...], size: tuple[int, int]) -> None:
    pixels = Preparation.read(said).pixels(Image.new("RGB", size, (9, 9, 9)))
    assert pixels.shape == shape
    assert np.isfinite(pixels).all()


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK", "LA"])
def test_other_modes_are_turned_into_rgb(tmp_path: Path, mode: str) -> None:
    encoder = load_image_encoder(f"onnx:{image_folder(tmp_path, PLAIN)}")
    assert encoder.encode([noise(9, 9).convert(mode)]).any()


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"size": "large"},
        {"size": {"depth": 3}},
        {"size": 0},
        {"size": -5, "do_center_crop": True},
        {"size": 100_000},
        {"size": 8, "image_mean": [0.5]},
        {"size": 8, "image_std": ["a", "b", "c"]},
        {"size": 8, "image_std": [1, 0, 1]},
        {"size": 8, "do_resize": False},
        {**CONVNEXT, "crop_pct": 1e-9},
    ],
)
def test_preprocessor_that_cannot_be_followed_is_refused(tmp_path: Path, said: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettings, match=r"AL_IMAGE_ENCODER is .* preprocessor_config.json does not say how"):
        load_image_encoder(f"onnx:{image_folder(tmp_path, said)}")


def test_folder_without_a_preprocessor_is_refused(tmp_path: Path) -> None:
    (image_folder(tmp_path, PLAIN) / "preprocessor_config.json").unlink()
    with pytest.raises(InvalidSettings, match=r"has no preprocessor_config.json"):
        load_image_encoder(f"onnx:{tmp_path}")


def test_size_that_the_model_does_not_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="does not run"):
        load_image_encoder(f"onnx:{image_folder(tmp_path, PLAIN, side=9)}")


def test_model_that_gives_no_numbers_makes_empty_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = image_folder(tmp_path, PLAIN)
    save(
        folder / "model.onnx",
        [
            helper.make_node("GlobalAveragePool", ["pixel_values"], ["mean"]),
            helper.make_node("Log", ["mean"], ["features"]),
        ],
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3, 1, 1])],
    )
    encoder = load_image_encoder(f"onnx:{folder}")
    rows = encoder.encode([Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), (9, 9, 9))])
    assert rows.any(axis=1).tolist() == [False, True]
    assert "1 of 2 embeddings that are not numbers" in caplog.text


def test_changed_preprocessing_has_another_fingerprint(tmp_path: Path) -> None:
    name = f"onnx:{image_folder(tmp_path, PLAIN)}"
    first = OnnxImageEncoder(name).fingerprint
    image_folder(tmp_path, CENTER)
    assert len({first, OnnxImageEncoder(name).fingerprint}) == 2


@pytest.mark.parametrize("name", ["", "none", "onnx:", "wordllama", "bert", "model2vec:x"])
def test_unknown_encoder_is_refused_with_those_that_exist(name: str) -> None:
    with pytest.raises(InvalidSettings, match="AL_IMAGE_ENCODER must be one of none, fastembed:MODEL, onnx:FOLDER"):
        load_image_encoder(name)
