"""Sentence encoders, loaded by name."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from label_studio_al.learners.encoders import ModelEncoder, find_encoder, load_encoder, loading
from label_studio_al.learning.layouts import Encoder
from label_studio_al.runtime.errors import InvalidSettings

wordllama = pytest.importorskip("wordllama", reason="has no wheel for this machine")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder("wordllama")


def test_embeddings_are_those_of_the_package(encoder: Encoder) -> None:
    texts = ["My card was charged twice", "the app crashes", "ünïcode 🙂"]
    theirs = wordllama.WordLlama.load(cache_dir=importlib.import_module("pathlib").Path(wordllama.__file__).parent)
    np.testing.assert_allclose(encoder.encode(texts), theirs.embed(texts, norm=True), atol=1e-3)


def test_similar_texts_are_near(encoder: Encoder) -> None:
    refund, money, crash = encoder.encode(["I want a refund", "give me my money back", "the app crashes at start"])
    assert refund @ money > refund @ crash


def test_rows_have_unit_length_and_empty_texts_none(encoder: Encoder) -> None:
    rows = encoder.encode(["one", "", "two words", " "])
    assert rows.shape == (4, encoder.n_dimensions)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows[[0, 2]], axis=1), 1, atol=1e-5)
    assert not rows[1].any()
    assert encoder.encode([]).shape == (0, encoder.n_dimensions)


def test_row_does_not_depend_on_the_texts_beside_it(encoder: Encoder) -> None:
    alone = encoder.encode(["short"])
    assert np.array_equal(encoder.encode(["a much longer text than that", "short"])[1:], alone)


def test_weights_are_not_stored_with_a_model(encoder: Encoder) -> None:
    stored = pickle.dumps(encoder)
    assert len(stored) < 200
    assert pickle.loads(stored) is encoder


def test_none_is_no_encoder() -> None:
    assert find_encoder("none") is None


@pytest.mark.parametrize("name", ["", "bert", "sentence-transformers", "sentence-transformers:", "wordllama:x", ":x"])
def test_unknown_encoder_is_refused_with_those_that_exist(name: str) -> None:
    with pytest.raises(InvalidSettings, match=r"must be one of auto, none, wordllama, fastembed:MODEL, sentence-"):
        load_encoder(name)


@pytest.mark.parametrize("kind", ["sentence-transformers", "model2vec"])
def test_missing_package_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = kind.replace("-", "_")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidSettings, match=f"{kind}:x'.* {module}: install it"):
        load_encoder(f"{kind}:x")


def test_model_that_cannot_be_loaded_gives_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Any:
        raise OSError(f"no folder {name}")

    broken = SimpleNamespace(StaticModel=SimpleNamespace(from_pretrained=fail))
    monkeypatch.setitem(sys.modules, "model2vec", broken)
    with pytest.raises(InvalidSettings, match="cannot be loaded: OSError"):
        load_encoder("model2vec:nowhere")


def test_missing_wordllama_leaves_tfidf(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    # Without what was loaded before.
    monkeypatch.setattr(loading, "_load_text", loading._load_text.__wrapped__)
    monkeypatch.setitem(sys.modules, "wordllama", None)
    assert find_encoder("wordllama") is None
    assert "TF-IDF only" in caplog.text


class Broken:
    """A model whose embeddings of long texts are no numbers."""

    def encode(self, texts: list[str]) -> Any:
        return np.array([[np.nan, 1.0] if len(text) > 5 else [3.0, 4.0] for text in texts])


def test_embeddings_that_are_not_numbers_count_as_empty_and_are_said(caplog: pytest.LogCaptureFixture) -> None:
    rows = ModelEncoder("model2vec:broken", Broken()).encode(["short", "far too long", ""])
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [0, 0]], atol=1e-6)
    assert "1 of 3 embeddings that are not numbers" in caplog.text


def test_weights_that_changed_under_a_name_have_another_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    kept = tmp_path / "models--sentence-transformers--small" / "refs" / "main"
    kept.parent.mkdir(parents=True)
    (tmp_path / "own").mkdir()

    def fingerprints() -> list[str]:
        places = ("sentence-transformers:small", "sentence-transformers:other", f"model2vec:{tmp_path / 'own'}")
        return [ModelEncoder(place, Broken()).fingerprint for place in places]

    first = fingerprints()
    assert fingerprints() == first
    kept.write_text("a commit")
    (tmp_path / "own" / "model.safetensors").write_bytes(b"weights")
    assert [one == two for one, two in zip(first, fingerprints(), strict=True)] == [False, True, False]


def test_only_encoders_of_words_are_static() -> None:
    kinds = ("sentence-transformers", "model2vec")
    assert [ModelEncoder(f"{kind}:x", Broken()).is_slow for kind in kinds] == [True, False]
