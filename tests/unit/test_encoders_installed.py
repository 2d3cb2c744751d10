"""Encoders that other packages bring, by entry points."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from label_studio_al.learners.encoders import choose_encoders, find_encoder, load_encoder, load_image_encoder
from label_studio_al.runtime.errors import EncoderFailed, InvalidSettings

MODULE = """
import numpy as np

class Letters:
    name = "letters"
    n_dimensions = 2

    def encode(self, texts):
        assert isinstance(texts, list)
        assert max(map(len, texts)) <= 20_000
        if texts == ["a secret"]:
            raise RuntimeError(texts[0])
        return [[np.nan, 1] if "broken" in text else [3 * len(text), 4 * len(text)] for text in texts]

class Colors:
    name = "colors"
    n_dimensions = 3
    kind = "image"

    def encode(self, images):
        return np.array([image.getpixel((0, 0)) for image in images])

class Wrong(Letters):
    def encode(self, texts):
        return [[1, 2, 3] for text in texts]

def fails():
    raise RuntimeError("no weights")
"""
ENTRY_POINTS = """
[label_studio_al.encoders]
letters = brought:Letters
colors = brought:Colors
wrong = brought:Wrong
fails = brought:fails
nothing = brought:np
gone = not_there:Encoder
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package."""
    (tmp_path / "brought.py").write_text(MODULE)
    info = tmp_path / "brought-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "brought", raising=False)
    return tmp_path


def test_encoder_of_texts_is_slow_and_gives_unit_rows(caplog: pytest.LogCaptureFixture) -> None:
    encoder = load_encoder("letters")
    rows = encoder.encode(["good", "", "broken"])
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [0, 0]], atol=1e-6)
    assert (encoder.n_dimensions, encoder.is_slow, rows.dtype) == (2, True, np.float32)
    assert "letters gave 1 of 2 embeddings that are not numbers" in caplog.text
    assert encoder.encode([]).shape == (0, 2)
    assert encoder.encode(["long" * 1_000_000]).any()
    assert pickle.loads(pickle.dumps(encoder)) is encoder


def test_it_runs_beside_the_static_one() -> None:
    choice = choose_encoders("letters")
    assert (choice.slow, choice.static) == ("letters", find_encoder("wordllama"))


def test_encoder_of_images() -> None:
    encoder = load_image_encoder("colors")
    rows = encoder.encode([Image.new("RGB", (2, 2), (30, 40, 0)), Image.new("RGB", (2, 2))])
    np.testing.assert_allclose(rows, [[0.6, 0.8, 0], [0, 0, 0]], atol=1e-6)
    assert encoder.encode([]).shape == (0, 3)
    assert len(encoder.fingerprint) == 16


def test_another_release_has_another_fingerprint(package: Path) -> None:
    from label_studio_al.learners.encoders.installed import InstalledTextEncoder, made

    def fingerprint() -> str:
        found = made("letters", "text")
        assert found
        return InstalledTextEncoder("letters", *found).fingerprint

    first = fingerprint()
    metadata = package / "brought-1.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.0", "1.1"))
    assert fingerprint() != first


@pytest.mark.parametrize(
    ("load", "name", "rule"),
    [
        (load_encoder, "colors", "which encodes content of the kind 'image', not 'text'"),
        (load_image_encoder, "letters", "which encodes content of the kind 'text', not 'image'"),
        (load_encoder, "fails", "whose factory brought:fails fails: RuntimeError: no weights"),
        (load_encoder, "gone", "whose factory not_there:Encoder fails: ModuleNotFoundError"),
        (load_encoder, "nothing", "whose factory brought:np fails"),
        (load_encoder, "absent", "must be one of .*model2vec:MODEL, colors, fails, gone, letters, nothing, wrong, not"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence(load: Any, name: str, rule: str) -> None:
    with pytest.raises(InvalidSettings, match=rule):
        load(name)


def test_rows_of_another_shape_are_refused() -> None:
    with pytest.raises(EncoderFailed, match=r"wrong must give rows of shape \(1, 2\), not \(1, 3\)"):
        load_encoder("wrong").encode(["good"])


def test_error_says_nothing_of_the_text() -> None:
    with pytest.raises(EncoderFailed, match=r"^the encoder letters fails: RuntimeError$"):
        load_encoder("letters").encode(["a secret"])
