"""Which encoders a value of AL_ENCODER asks for, and where models are looked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from label_studio_al.learners.encoders import (
    RECOMMENDED,
    choose_encoders,
    find_encoder,
    load_encoder,
    places,
)
from label_studio_al.runtime.errors import InvalidSettings
from tests.support.onnx_models import text_folder

COMMIT = places._PUBLISHED[RECOMMENDED].revision


def kept(models: Path, repository: str, commit: str = COMMIT, branch: str | None = None) -> Path:
    """A model as the Hub's package keeps it."""
    folder = models / f"models--{repository.replace('/', '--')}"
    if branch:
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / branch).write_text(commit)
    return text_folder(folder / "snapshots" / commit)


def test_auto_is_static_until_the_recommended_model_is_here(tmp_path: Path) -> None:
    assert choose_encoders("auto", tmp_path).slow is None
    kept(tmp_path, "qdrant/all-MiniLM-L6-v2-onnx")
    choice = choose_encoders("auto", tmp_path)
    assert choice.slow == f"fastembed:{RECOMMENDED}"
    assert choice.static is find_encoder("wordllama")


def test_auto_does_without_the_model_where_it_cannot_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(tmp_path, "qdrant/all-MiniLM-L6-v2-onnx")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert choose_encoders("auto", tmp_path).slow is None


def test_another_revision_than_the_pinned_one_is_not_taken_by_itself(tmp_path: Path) -> None:
    kept(tmp_path, "qdrant/all-MiniLM-L6-v2-onnx", "0" * 40, branch="main")
    assert choose_encoders("auto", tmp_path).slow is None
    with pytest.raises(InvalidSettings, match=f"label-studio-al encoders --fetch {RECOMMENDED} downloads them"):
        load_encoder(f"fastembed:{RECOMMENDED}", tmp_path)
    assert load_encoder(f"fastembed:{RECOMMENDED}@{'0' * 40}", tmp_path).encode(["good"]).any()


def test_the_cache_of_hugging_face_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    kept(tmp_path, "qdrant/all-MiniLM-L6-v2-onnx")
    assert choose_encoders("auto").slow
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert choose_encoders("auto").slow is None
    kept(tmp_path / "home" / "hub", "qdrant/all-MiniLM-L6-v2-onnx")
    assert choose_encoders("auto").slow


def test_a_branch_is_what_was_fetched_of_it(tmp_path: Path) -> None:
    kept(tmp_path, "someone/small", branch="main")
    assert load_encoder("fastembed:someone/small", tmp_path).encode(["good"]).any()
    with pytest.raises(InvalidSettings, match="whose files are not here"):
        load_encoder("fastembed:someone/small@other", tmp_path)


@pytest.mark.parametrize("name", ["fastembed:someone/model", "sentence-transformers:someone/model"])
def test_a_slow_encoder_is_named_and_not_loaded(name: str, tmp_path: Path) -> None:
    choice = choose_encoders(name, tmp_path)
    assert choice.slow == name
    assert choice.static is find_encoder(name) is find_encoder("wordllama")


def test_static_encoders_have_no_slow_one_beside_them() -> None:
    assert choose_encoders("none") == choose_encoders("none", Path("nowhere"))
    assert (choose_encoders("none").static, choose_encoders("none").slow) == (None, None)
    choice = choose_encoders("wordllama")
    assert choice.static is not None
    assert (choice.static.is_slow, choice.slow, len(choice.static.fingerprint)) == (False, None, 16)


@pytest.mark.parametrize("name", ["bert", "", "fastembed:", "fastembed"])
def test_unknown_names_are_refused_at_once(name: str) -> None:
    for choose in (choose_encoders, find_encoder):
        with pytest.raises(InvalidSettings, match="AL_ENCODER must be one of auto, none, wordllama"):
            choose(name)


def test_choosing_imports_nothing_of_the_extra(tmp_path: Path) -> None:
    kept(tmp_path, "qdrant/all-MiniLM-L6-v2-onnx")
    code = (
        "import sys; from pathlib import Path; from label_studio_al.learners.encoders import choose_encoders;"
        f"assert choose_encoders('auto', Path({str(tmp_path)!r})).slow;"
        "print({'onnxruntime', 'PIL', 'huggingface_hub', 'fastembed', 'onnx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
