"""Sentence encoders that are ONNX models in folders."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from label_studio_al.learners.encoders import TextEncoder, load_encoder
from label_studio_al.learners.encoders.onnx_texts import OnnxTextEncoder
from label_studio_al.runtime.errors import EncoderFailed, InvalidSettings
from tests.support.onnx_models import MOST_TOKENS, N_DIMENSIONS, WORDS, save, text_folder, vectors, write_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return text_folder(tmp_path / "model")


def load(folder: Path) -> TextEncoder:
    return load_encoder(f"fastembed:{folder}")


def expected(text: str, pooling: str = "mean") -> np.ndarray:
    """By hand: the mean of a text's vectors with its first and last token, of length one."""
    tokens = ["[CLS]", *text.split()[: MOST_TOKENS - 2], "[SEP]"]
    found = vectors()[[WORDS.index(token) for token in tokens]]
    row = found[0] if pooling == "cls" else found.mean(axis=0)
    return np.asarray(row / np.linalg.norm(row))


def test_embedding_is_the_mean_of_the_tokens_without_padding(folder: Path) -> None:
    encoder = load(folder)
    rows = encoder.encode(["good film", "bad", "a good bad film"])
    assert (encoder.n_dimensions, rows.dtype, encoder.is_slow) == (N_DIMENSIONS, np.float32, True)
    np.testing.assert_allclose(rows, [expected("good film"), expected("bad"), expected("a good bad film")], atol=1e-6)


def test_onnx_runtime_reports_nothing_to_its_maker(folder: Path, tmp_path: Path) -> None:
    """From its release 1.32 on it would: it numbers the device in a file, and sends what it counts."""
    load = f"from label_studio_al.learners.encoders import load_encoder; load_encoder('fastembed:{folder}')"
    home = {"HOME": str(tmp_path / "home"), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", load], env=home, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("said", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "cls"}, "cls"),
    ],
)
def test_pooling_is_what_the_folder_says(folder: Path, said: dict[str, object], pooling: str) -> None:
    write_json(folder / "1_Pooling" / "config.json", said)
    np.testing.assert_allclose(load(folder).encode(["good film"])[0], expected("good film", pooling), atol=1e-6)


@pytest.mark.parametrize("said", [{"pooling_mode_max_tokens": True}, {"pooling_mode_cls_token": False}, []])
def test_other_poolings_are_refused(folder: Path, said: object) -> None:
    write_json(folder / "1_Pooling" / "config.json", said)
    with pytest.raises(InvalidSettings, match=r"AL_ENCODER is .*1_Pooling/config.json"):
        load(folder)


def test_pooled_output_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = text_folder(tmp_path)
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "t"])
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"]),
        helper.make_node("ReduceMax", ["last_hidden_state"], ["sentence_embedding"], axes=[1], keepdims=0),
    ]
    outputs = [
        helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["n", "t", N_DIMENSIONS]),
        helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["n", N_DIMENSIONS]),
    ]
    save(folder / "model.onnx", nodes, [ids], outputs, {"table": vectors()})
    row = vectors()[[2, WORDS.index("good"), 3]].max(axis=0)
    np.testing.assert_allclose(load(folder).encode(["good"])[0], row / np.linalg.norm(row), atol=1e-6)


def test_row_does_not_depend_on_the_texts_beside_it(folder: Path) -> None:
    encoder = load(folder)
    texts = [" ".join(["good", "a", "film", "bad"][: 1 + place % 4] * (1 + place % 3)) for place in range(41)]
    together = encoder.encode(texts)
    alone = np.vstack([encoder.encode([text]) for text in texts])
    assert (together * alone).sum(axis=1).min() > 0.9999
    np.testing.assert_allclose(encoder.encode(texts[::-1])[::-1], together, atol=1e-6)


def test_empty_texts_are_rows_of_zeros(folder: Path) -> None:
    encoder = load(folder)
    rows = encoder.encode(["", "good", " \n", "good"])
    assert not rows[[0, 2]].any()
    np.testing.assert_allclose(np.linalg.norm(rows[[1, 3]], axis=1), 1, atol=1e-5)
    assert encoder.encode([]).shape == (0, N_DIMENSIONS)
    assert not encoder.encode([" "]).any()


def test_what_is_not_a_number_is_taken_as_empty_and_said_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = load(folder)
    for _ in range(2):
        rows = encoder.encode(["a broken film", "good"])
        assert not rows[0].any()
        np.testing.assert_allclose(rows[1], expected("good"), atol=1e-6)
    assert caplog.text.count("embeddings that are not numbers") == 1


def test_only_the_beginning_of_a_long_text_counts(folder: Path) -> None:
    encoder = load(folder)
    long = "good " * 1_000_000
    np.testing.assert_allclose(encoder.encode([long])[0], expected(long), atol=1e-6)
    # A million characters of Thai, which knows no blanks.
    assert np.isfinite(encoder.encode(["ภาพยนตร์" * 125_000])).all()


@pytest.mark.parametrize(
    ("missing", "rule"), [("model.onnx", "has no model.onnx"), ("tokenizer.json", "has no tokenizer.json")]
)
def test_folder_that_lacks_a_file_is_refused(folder: Path, missing: str, rule: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(InvalidSettings, match=rule):
        load(folder)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidSettings, match=r"which is no folder$"):
        load(tmp_path / "file")
    with pytest.raises(InvalidSettings, match="which is no folder, and no name of a model"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x09" + bytes(1000)])
def test_broken_model_is_refused(folder: Path, content: bytes) -> None:
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(InvalidSettings, match=r"whose model.onnx (is empty|ONNX Runtime cannot read)"):
        load(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_broken_files_beside_it_are_refused(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(InvalidSettings, match=f"whose {name}"):
        load(folder)


def test_other_dimensions_than_the_config_says_are_refused(folder: Path) -> None:
    write_json(folder / "config.json", {"hidden_size": 384})
    with pytest.raises(InvalidSettings, match="gives 4 dimensions, not 384"):
        load(folder)


def test_int8_is_refused_with_the_reason(folder: Path) -> None:
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "t"])
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("DynamicQuantizeLinear", ["rows"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["last_hidden_state"]),
    ]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["n", "t", N_DIMENSIONS])
    save(folder / "model.onnx", nodes, [ids], [output], {"table": vectors()})
    with pytest.raises(InvalidSettings, match=r"quantised to int8 .* beside other texts; use its float32 file"):
        load(folder)


def test_model_of_something_else_is_refused(folder: Path) -> None:
    pixels = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["n", 3, 8, 8])
    output = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3, 1, 1])
    save(
        folder / "model.onnx",
        [helper.make_node("GlobalAveragePool", ["pixel_values"], ["features"])],
        [pixels],
        [output],
    )
    with pytest.raises(InvalidSettings, match="whose model takes pixel_values"):
        load(folder)


def test_model_that_stops_running_says_so_without_the_text(folder: Path) -> None:
    # Its table has fewer rows than the tokenizer has tokens.
    encoder = load(text_folder(folder, vectors()[:6]))
    with pytest.raises(EncoderFailed, match=r"does not run") as caught:
        encoder.encode(["good film"])
    assert "film" not in str(caught.value)


def test_fingerprint_is_that_of_name_and_weights(folder: Path) -> None:
    first = load(folder)
    assert len(first.fingerprint) == 16
    assert int(first.fingerprint, 16)
    elsewhere = shutil.copytree(folder, folder.parent / "copy")
    assert load(elsewhere).fingerprint != first.fingerprint


@pytest.mark.parametrize("changed", ["weights", "tokenizer.json", "pooling"])
def test_changed_model_has_another_fingerprint(folder: Path, changed: str) -> None:
    name = f"fastembed:{folder}"
    first = OnnxTextEncoder(name).fingerprint
    assert OnnxTextEncoder(name).fingerprint == first
    if changed == "weights":
        text_folder(folder, vectors(seed=1))
    elif changed == "pooling":
        write_json(folder / "1_Pooling" / "config.json", {"pooling_mode": "cls"})
    else:
        (folder / changed).write_text((folder / changed).read_text() + "\n")
    assert OnnxTextEncoder(name).fingerprint != first


def test_pickles_as_its_name(folder: Path) -> None:
    encoder = load(folder)
    assert len(pickle.dumps(encoder)) < 400
    assert pickle.loads(pickle.dumps(encoder)) is encoder


def test_missing_packages_are_named_with_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InvalidSettings, match="needs the package onnxruntime: install the extra fastembed"):
        load(folder)


def test_home_and_subfolder_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    text_folder(tmp_path / "mine", file=os.path.join("onnx", "model.onnx"))
    assert load_encoder("fastembed:~/mine").encode(["good"]).any()
