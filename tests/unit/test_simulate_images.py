"""Replays on images, and on texts that a slow encoder sees."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from label_studio_al.cli import main
from label_studio_al.learning.images import WithImages
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data import read_data
from tests.support.onnx_models import image_folder, text_folder

PLAIN = {"do_normalize": False, "size": {"height": 8, "width": 8}}
COLOURS = {"red": (200, 20, 20), "blue": (20, 20, 200)}


def draw(folder: Path, n: int = 12) -> list[dict[str, str]]:
    """Images of one colour each, with some noise."""
    random, rows = np.random.default_rng(0), []
    for label, colour in COLOURS.items():
        (folder / label).mkdir(parents=True)
        for number in range(n):
            pixels = np.clip(np.array(colour) + random.integers(-20, 20, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
            rows.append({"image": f"{label}/{number}.png", "label": label})
    return rows


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def simulate(*given: str | Path) -> str:
    options = ["--strategies", "auto", "--seeds", "1", "--budget", "10", "--batch", "5", "--n-jobs", "1"]
    result = CliRunner().invoke(main, ["simulate", *map(str, given), *options], catch_exceptions=False)
    return f"{result.exit_code} {result.output}"


def test_a_column_of_images_is_read_beside_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "images" / "rows.jsonl", draw(tmp_path / "images"))
    assert read_data(str(path)).layout == WithImages((True,))
    encoder = f"onnx:{image_folder(tmp_path / 'encoder', PLAIN)}"
    said = simulate(path, "--image-encoder", encoder, "--output", tmp_path / "out")
    assert said.startswith("0 ")
    assert "rows: 2 labels, 16 texts to label, 8 to test" in said
    assert "accuracy with all labels: 1.0000" in said
    # Once more: nothing is embedded again, and the runs are there.
    (kept,) = (tmp_path / "out" / "embeddings").glob("image-*[!k]")
    before = kept.stat().st_mtime_ns
    simulate(path, "--image-encoder", encoder, "--output", tmp_path / "out")
    assert kept.stat().st_mtime_ns == before


def test_a_folder_of_images_is_read_by_label(tmp_path: Path) -> None:
    draw(tmp_path / "images")
    data = read_data(str(tmp_path / "images"))
    assert sorted(set(data.labels.tolist())) == ["blue", "red"]
    assert sorted(data.texts)[0] == "blue/0.png"


def test_texts_may_stand_beside_images(tmp_path: Path) -> None:
    rows = [row | {"text": f"text {n}"} for n, row in enumerate(draw(tmp_path / "images"))]
    data = read_data(str(write(tmp_path / "images" / "rows.jsonl", rows)))
    assert data.layout == WithImages((False, True))
    assert list(data.layout.read(data.texts[:1])) == ["text 0"]


def test_images_without_an_encoder_name_the_option(tmp_path: Path) -> None:
    path = write(tmp_path / "images" / "rows.jsonl", draw(tmp_path / "images"))
    assert "name an encoder for them with --image-encoder" in simulate(path, "--output", tmp_path / "out")


def test_an_image_that_is_missing_is_named(tmp_path: Path) -> None:
    rows = [*draw(tmp_path / "images"), {"image": "gone.png", "label": "red"}]
    path = write(tmp_path / "images" / "rows.jsonl", rows)
    encoder = f"onnx:{image_folder(tmp_path / 'encoder', PLAIN)}"
    said = simulate(path, "--image-encoder", encoder, "--output", tmp_path / "out")
    assert "the image 'gone.png' cannot be read: No such file or directory" in said


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "one.png")
    with pytest.raises(InvalidRequest, match="no images in folders that are named after their labels"):
        read_data(str(tmp_path))


def test_a_slow_encoder_of_texts_stands_beside_the_static_one(tmp_path: Path) -> None:
    rows = [{"text": f"{word} number {n}", "label": word} for n in range(12) for word in ("cat", "engine")]
    path = write(tmp_path / "rows.jsonl", rows)
    encoder = f"fastembed:{text_folder(tmp_path / 'encoder')}"
    said = simulate(path, "--encoder", encoder, "--output", tmp_path / "out")
    assert said.startswith("0 ")
    (kept,) = (tmp_path / "out" / "embeddings").glob("text-*[!k]")
    assert kept.stat().st_size % len(rows) == 0
