"""Stored models: nothing that we did not write is ever unpickled."""

from __future__ import annotations

import io
import pickle
import stat
import sys
import threading
import types
from dataclasses import fields
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_al.learning.features import Features
from label_studio_al.learning.learner import Tuning
from label_studio_al.learning.model import Trained
from label_studio_al.learning.sequences.model import SpanModel
from label_studio_al.runtime.errors import ArtifactRejected, BackendError
from label_studio_al.runtime.secrets import read_or_create_secret
from label_studio_al.store import Signer, artifacts, features_kind, model_kind
from label_studio_al.store.artifacts import _DIGEST_BYTES, _MAGIC

SIGNER = Signer("the right key")
KIND = model_kind("3.1795343520", 4, 1_800_000_000.25)
ARTIFACT = SIGNER.dump({"weights": [1, 2, 3]}, KIND)


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that a bomb creates."""
    return tmp_path / "unpickled"


def test_object_comes_back() -> None:
    value = {"weights": np.arange(5, dtype=np.float32), "classes": ["A", "é"]}
    loaded = SIGNER.load(SIGNER.dump(value, KIND), KIND)
    assert loaded["classes"] == value["classes"]
    assert np.array_equal(loaded["weights"], value["weights"])


def test_key_with_any_characters_signs() -> None:
    assert Signer("clé 熊").load(Signer("clé 熊").dump(1, KIND), KIND) == 1


def test_bomb_goes_off_when_the_signature_is_right(mark: Path) -> None:
    """So that the tests below mean something."""
    SIGNER.load(SIGNER.dump(Bomb(mark), KIND), KIND)
    assert mark.exists()


def test_wrong_key_is_rejected_before_anything_is_unpickled(mark: Path) -> None:
    with pytest.raises(ArtifactRejected, match="signature"):
        Signer("another key").load(SIGNER.dump(Bomb(mark), KIND), KIND)
    assert not mark.exists()


def test_every_flipped_byte_is_rejected_before_anything_is_unpickled(mark: Path) -> None:
    artifact = SIGNER.dump(Bomb(mark), KIND)
    for place in range(len(artifact)):
        corrupt = bytearray(artifact)
        corrupt[place] ^= 1
        with pytest.raises(ArtifactRejected):
            SIGNER.load(bytes(corrupt), KIND)
    assert not mark.exists()


def test_every_truncation_is_rejected_before_anything_is_unpickled(mark: Path) -> None:
    artifact = SIGNER.dump(Bomb(mark), KIND)
    for length in range(len(artifact)):
        with pytest.raises(ArtifactRejected):
            SIGNER.load(artifact[:length], KIND)
    assert not mark.exists()


def test_foreign_pickle_is_rejected_before_it_is_unpickled(mark: Path) -> None:
    buffer = io.BytesIO()
    joblib.dump(Bomb(mark), buffer)
    body = pickle.dumps(Bomb(mark))
    for foreign in (body, buffer.getvalue(), _MAGIC + body, _MAGIC + b"\0" * _DIGEST_BYTES + body):
        with pytest.raises(ArtifactRejected):
            SIGNER.load(foreign, KIND)
    assert not mark.exists()


def test_signature_of_one_model_does_not_sign_another(mark: Path) -> None:
    start = len(_MAGIC)
    bomb = SIGNER.dump(Bomb(mark), KIND)
    stolen = ARTIFACT[: start + _DIGEST_BYTES] + bomb[start + _DIGEST_BYTES :]
    with pytest.raises(ArtifactRejected):
        SIGNER.load(stolen, KIND)
    assert not mark.exists()


@given(st.binary(max_size=200))
def test_any_bytes_are_rejected(artifact: bytes) -> None:
    for candidate in (artifact, _MAGIC + artifact, ARTIFACT + artifact + b"!"):
        with pytest.raises(ArtifactRejected):
            SIGNER.load(candidate, KIND)


def test_model_of_an_older_shape_is_rejected(monkeypatch: pytest.MonkeyPatch, mark: Path) -> None:
    with monkeypatch.context() as older_release:
        older_release.setattr(artifacts, "_MAGIC", b"label-studio-al/1\n")
        artifact = SIGNER.dump(Bomb(mark), KIND)
    with pytest.raises(ArtifactRejected, match="older"):
        SIGNER.load(artifact, KIND)
    assert not mark.exists()


def test_the_number_is_that_of_the_shape_that_is_stored() -> None:
    """Whoever changes the shape raises the number in store/artifacts.py, and then this."""
    shapes = {one.__name__: [field.name for field in fields(one)] for one in (Features, Trained, Tuning, SpanModel)}
    assert (artifacts._MAGIC, shapes) == (
        b"label-studio-al/7\n",
        {
            "Features": ["tfidf", "topics", "encoder", "n_fitted", "layout", "words", "deferred"],
            "Trained": ["classifier", "tuning"],
            "Tuning": ["choice", "temperature", "n_labels", "losses", "thresholds"],
            "SpanModel": ["labels", "views", "weights", "rate", "bias"],
        },
    )


def test_model_of_another_scikit_learn_is_rejected(monkeypatch: pytest.MonkeyPatch, mark: Path) -> None:
    with monkeypatch.context() as other_release:
        other_release.setattr(artifacts, "_release", lambda: b"scikit-learn 0.1\n")
        artifact = SIGNER.dump(Bomb(mark), KIND)
    with pytest.raises(ArtifactRejected, match="scikit-learn"):
        SIGNER.load(artifact, KIND)
    assert not mark.exists()


def test_model_whose_class_this_release_no_longer_has_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    old = types.ModuleType("a_module_of_an_older_release")
    old.Model = type("Model", (), {"__module__": old.__name__})  # type: ignore[attr-defined]
    with monkeypatch.context() as older_release:
        older_release.setitem(sys.modules, old.__name__, old)
        artifact = SIGNER.dump(old.Model(), KIND)
    with pytest.raises(ArtifactRejected):
        SIGNER.load(artifact, KIND)


# -- secrets --------------------------------------------------------------------------------------------------


def test_secret_is_created_once_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "signing.key"
    secret = read_or_create_secret(path)
    assert len(secret) == 64
    assert read_or_create_secret(path) == secret
    assert path.read_text(encoding="ascii").strip() == secret


def test_only_the_owner_can_read_the_secret(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    read_or_create_secret(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_secrets_differ(tmp_path: Path) -> None:
    assert read_or_create_secret(tmp_path / "one") != read_or_create_secret(tmp_path / "two")


def test_secret_written_by_hand_is_taken_without_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "webhook.key"
    path.write_text("chosen by the operator\n", encoding="ascii")
    assert read_or_create_secret(path) == "chosen by the operator"


@pytest.mark.parametrize("content", ["", "\n"])
def test_empty_secret_is_never_used(tmp_path: Path, content: str) -> None:
    path = tmp_path / "webhook.key"
    path.write_text(content, encoding="ascii")
    try:
        secret = read_or_create_secret(path)
    except BackendError:
        return
    assert len(secret) == 64
    assert read_or_create_secret(path) == secret


def test_processes_that_start_together_share_the_secret(tmp_path: Path) -> None:
    for attempt in range(30):
        path, found, start = tmp_path / f"key {attempt}", [], threading.Barrier(8)

        def read(path: Path = path, found: list[str] = found, start: threading.Barrier = start) -> None:
            start.wait()
            found.append(read_or_create_secret(path))

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(found)) == 1
        assert len(found[0]) == 64


@pytest.mark.parametrize(
    "other",
    [
        features_kind("3.1795343520", 1_800_000_000.25),
        model_kind("4.1795343520", 4, 1_800_000_000.25),
        model_kind("3.1795343520", 3, 1_800_000_000.25),
        model_kind("3.1795343520", 4, 1_800_000_000.5),
    ],
)
def test_what_was_signed_for_another_use_or_project_is_not_unpickled(tmp_path: Path, other: str) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(ArtifactRejected, match="signature"):
        SIGNER.load(SIGNER.dump(Bomb(mark), other), KIND)
    assert not mark.exists()


def test_key_file_that_others_may_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    path.write_text("a key that was copied here by hand")
    path.chmod(0o644)
    assert read_or_create_secret(path) == "a key that was copied here by hand"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
