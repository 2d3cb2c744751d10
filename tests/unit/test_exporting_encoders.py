"""What `export` writes of models that look through slow encoders: at texts, at images, at both."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from label_studio_al.cli import main
from label_studio_al.exporting.encoders import exported_encoders
from label_studio_al.exporting.onnx_encoder import decoded
from label_studio_al.learners.encoders import ModelEncoder, load_encoder, load_image_encoder
from label_studio_al.learners.published import Models
from label_studio_al.learning.deferred import IMAGE, TEXT, Deferred, Kind
from label_studio_al.learning.model import QuestionModel
from label_studio_al.learning.texts import joined
from label_studio_al.pool.pictures import decode
from label_studio_al.runtime.errors import NotExportable
from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.turns.seeing import Encoders
from tests.support import onnx_models
from tests.support.bench import Bench
from tests.support.clock import FakeClock
from tests.support.elsewhere import run_elsewhere
from tests.support.fake_label_studio import FakeLabelStudio, FakeProject

SIGNING_KEY = "a signing key that only tests know, long enough"
N_TASKS = 40
SECONDS = 20.0
PREPARATION = {"size": 8, "do_center_crop": False, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}
ASK = """
import json, joblib
model = joblib.load("model.joblib")
given = json.load(sys.stdin)
assert not [name for name in sys.modules if name.partition(".")[0] == "label_studio_al"]
found = model.predict_proba(given).tolist()
sys.argv[1:] = given[1] if isinstance(given[1], list) else given[:2]
import contextlib, io, runpy
with contextlib.redirect_stdout(io.StringIO()) as said:
    runpy.run_path("predict.py", run_name="__main__")
print(json.dumps([found, [line.partition("\\t")[0] for line in said.getvalue().splitlines()]]))
"""
LOADS = """
import os
os.environ.pop("ORT_DISABLE_TELEMETRY", None)
os.environ["HOME"] = os.getcwd()
import joblib
try:
    joblib.load("model.joblib")
except FileNotFoundError as exc:
    print(exc)
os.environ["TEXT_ENCODER"] = {right!r}
print(joblib.load("model.joblib").predict(["a good film"])[0])
os.environ["TEXT_ENCODER"] = {wrong!r}
try:
    joblib.load("model.joblib")
except ValueError as exc:
    print(exc)
"""
CHOICES = '<Choices name="topic" toName="{}"><Choice value="animal"/><Choice value="machine"/></Choices></View>'
TEXTS_ASKED = '<View><Text name="text" value="$text"/>' + CHOICES.format("text")
IMAGES_ASKED = '<View><Image name="image" value="$image"/>' + CHOICES.format("image")
BOTH_ASKED = '<View><Text name="text" value="$text"/><Image name="image" value="$image"/>' + CHOICES.format("text")


def text(n: int) -> str:
    return f"a {'good' if n % 2 else 'bad'} film {n}"


def picture(folder: Path, n: int) -> Path:
    """Red or blue, and each another one."""
    path = folder / f"{n}.png"
    if not path.exists():
        Image.new("RGB", (20, 10 + n), (200 - n, 20, n) if n % 2 else (n, 30, 220 - n)).save(path)
    return path


def label(n: int) -> str:
    return "animal" if n % 2 else "machine"


@pytest.fixture
def signer() -> Signer:
    return Signer(SIGNING_KEY)


@pytest.fixture
def bench(store: Store, signer: Signer, clock: FakeClock, tmp_path: Path) -> Iterator[Bench]:
    settings = read_settings(model_dir=tmp_path, encoder="none")
    made = Bench(FakeLabelStudio(), store, signer, clock, settings)
    yield made
    if made.encoding is not None:
        made.encoding.close()


@pytest.fixture
def folders(tmp_path: Path) -> dict[Kind, Path]:
    """Tiny encoders, and the images of tasks."""
    (tmp_path / "images").mkdir()
    return {
        TEXT: onnx_models.text_folder(tmp_path / "texts-encoder"),
        IMAGE: onnx_models.image_folder(tmp_path / "images-encoder", PREPARATION),
    }


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("AL_SIGNING_KEY", SIGNING_KEY)
    return CliRunner()


Make = Callable[[str], FakeProject]


@pytest.fixture
def make(bench: Bench, folders: dict[Kind, Path], tmp_path: Path) -> Make:
    return partial(project, bench, folders, tmp_path / "images")


def project(bench: Bench, folders: dict[Kind, Path], images: Path, asked: str) -> FakeProject:
    """A project whose model has learnt from ten labels what it sees through the encoders."""
    kinds: list[Kind] = [kind for kind, tag in ((TEXT, "<Text"), (IMAGE, "<Image")) if tag in asked]
    names = {TEXT: f"fastembed:{folders[TEXT]}", IMAGE: f"onnx:{folders[IMAGE]}"}

    def load(kind: Kind) -> Any:
        return load_encoder(names[kind]) if kind == TEXT else load_image_encoder(names[kind])

    def image_of(address: str, _task_id: int) -> Any:
        return decode(picture(images, int(address.rpartition("/")[2])).read_bytes())

    bench.settings = bench.settings.model_copy(update={"image_encoder": names[IMAGE] if IMAGE in kinds else "none"})
    bench.encoders = Encoders({kind: names[kind] for kind in kinds}, load, image_of)
    bench.restart()
    made = bench.fake.add_project(asked, [])
    bench.fake.add_tasks(made.id, [{"text": text(n), "image": f"/data/upload/{n}"} for n in range(N_TASKS)])
    bench.fake.connect(made.id)
    bench.store.projects.register(made.key, asked, {}, bench.clock.now())
    until = time.monotonic() + SECONDS
    while not _is_filled_in(bench, made, len(kinds)):
        assert time.monotonic() < until, "the embeddings were not filled in"
        bench.turn(made)
        time.sleep(0.02)
    bench.turn(made)
    for _ in range(2):
        for task_id in (made.queue() or [])[:5]:
            n = int(made.tasks[task_id]["data"]["image"].rpartition("/")[2])
            bench.hear(bench.fake.annotate(made.id, task_id, label(n)))
        bench.turn(made)
    return made


def _is_filled_in(bench: Bench, made: FakeProject, n_encoders: int) -> bool:
    pool = bench.loop._looking.pools.get(made.key)
    return pool is not None and len(pool.features.deferred) == n_encoders and len(pool.live) == N_TASKS


def export(command: CliRunner, made: FakeProject, folder: Path, *arguments: str) -> Result:
    return command.invoke(main, ["export", "--project", str(made.id), "--output", str(folder), *arguments])


def published(bench: Bench, made: FakeProject) -> QuestionModel:
    models = Models(bench.store, bench.signer, embeddings=bench.settings.embeddings_dir)
    model = models.get(made.key, bench.version(made).id)
    assert model is not None
    return model.of("topic")


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "tasks.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


# -- texts --------------------------------------------------------------------------------------------------------


def test_exported_model_sees_texts_through_the_same_encoder_where_this_package_is_not(
    command: CliRunner, bench: Bench, make: Make, folders: dict[Kind, Path], tmp_path: Path
) -> None:
    made, out = make(TEXTS_ASKED), tmp_path / "out"
    done = export(command, made, out, "--with-encoder", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["n_compared"] == N_TASKS
    assert json.loads(done.output)["largest_difference"] < 1e-6
    texts = [text(n) for n in range(N_TASKS)]
    # The files are those that were copied.
    shutil.rmtree(folders[TEXT])
    found, answered = json.loads(run_elsewhere(out, ASK, json.dumps(texts)))
    np.testing.assert_allclose(found, published(bench, made).believe(texts).wide, atol=1e-6)
    pinned = [line.partition("==")[0] for line in (out / "requirements.txt").read_text().split()]
    assert pinned == ["scikit-learn", "numpy", "scipy", "joblib", "onnxruntime", "tokenizers"]
    assert answered == ["machine", "animal"]


def test_without_its_files_the_encoder_is_named_with_checksums_and_looked_for(
    command: CliRunner, make: Make, folders: dict[Kind, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert export(command, make(TEXTS_ASKED), out).exit_code == 0
    assert not (out / "text_encoder").exists()
    card = (out / "README.md").read_text()
    checksum = hashlib.sha256((folders[TEXT] / "model.onnx").read_bytes()).hexdigest()
    assert f"| model.onnx | {checksum} |" in card
    assert load_encoder(f"fastembed:{folders[TEXT]}").fingerprint in card
    assert "| embeddings | texts-encoder |" in card
    assert str(tmp_path) not in card
    other = onnx_models.text_folder(tmp_path / "other", onnx_models.vectors(seed=1))
    missing, known, wrong = run_elsewhere(
        out, LOADS.format(right=str(folders[TEXT]), wrong=str(other)), ""
    ).splitlines()
    assert "needs the encoder texts-encoder: put model.onnx, tokenizer.json into the folder text_encoder" in missing
    assert known == "animal"
    assert "other has another encoder than texts-encoder" in wrong
    assert checksum in wrong
    assert not (out / ".cache").exists()


def test_tasks_without_an_embedding_are_not_predicted(
    command: CliRunner, bench: Bench, make: Make, tmp_path: Path
) -> None:
    made = make(TEXTS_ASKED)
    bench.hear(bench.fake.add_tasks(made.id, [{"text": "a film that came later"}]))
    late = max(made.tasks)
    done = export(command, made, tmp_path / "out", "--with-encoder", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["n_predicted"] == N_TASKS
    rows = {int(row["task_id"]): row for row in rows_of(tmp_path / "out")}
    assert rows[late]["text"] == "a film that came later"
    assert rows[late]["predicted"] == ""


def test_an_encoder_that_changed_or_is_gone_is_refused(
    command: CliRunner, make: Make, folders: dict[Kind, Path], tmp_path: Path
) -> None:
    made, out = make(TEXTS_ASKED), tmp_path / "out"
    load_encoder.__globals__["_load_text"].cache_clear()
    onnx_models.text_folder(folders[TEXT], onnx_models.vectors(seed=1))
    refused = export(command, made, out)
    assert (refused.exit_code, "have changed since the model was trained" in refused.output) == (1, True)
    load_encoder.__globals__["_load_text"].cache_clear()
    shutil.rmtree(folders[TEXT])
    refused = export(command, made, out)
    assert (refused.exit_code, "encoder cannot be loaded" in refused.output) == (1, True)
    assert not out.exists()


def test_embeddings_of_another_machine_are_missed_in_a_sentence(
    command: CliRunner, bench: Bench, make: Make, tmp_path: Path
) -> None:
    made = make(TEXTS_ASKED)
    for path in (bench.settings.embeddings_dir / made.key).iterdir():
        path.unlink()
    refused = export(command, made, tmp_path / "out")
    assert (refused.exit_code, "no task has an embedding on this machine" in refused.output) == (1, True)


# -- images -------------------------------------------------------------------------------------------------------


def test_exported_model_sees_images_as_the_backend_does(
    command: CliRunner, bench: Bench, make: Make, tmp_path: Path
) -> None:
    made, out = make(IMAGES_ASKED), tmp_path / "out"
    done = export(command, made, out, "--with-encoder", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["n_compared"] == N_TASKS
    assert json.loads(done.output)["largest_difference"] < 1e-6
    paths = [str(picture(tmp_path / "images", n)) for n in range(N_TASKS)]
    found, answered = json.loads(run_elsewhere(out, ASK, json.dumps(paths)))
    ours = published(bench, made).believe([f"/data/upload/{n}" for n in range(N_TASKS)]).wide
    np.testing.assert_allclose(found, ours, atol=1e-5)
    assert answered == ["machine", "animal"]
    assert "predict.py photo.jpg" in (out / "predict.py").read_text()
    card = (out / "README.md").read_text()
    assert "An image classifier" in card
    assert "images (paths, or images of Pillow" in card
    assert "words" not in card
    rows = rows_of(out)
    assert list(rows[0]) == ["task_id", "image", "label", "predicted", "probability", "is_learnt"]
    assert {row["image"] for row in rows} == {f"/data/upload/{n}" for n in range(N_TASKS)}


def test_simulate_says_why_it_cannot_replay_addresses_in_label_studio(
    command: CliRunner, make: Make, folders: dict[Kind, Path], tmp_path: Path
) -> None:
    assert export(command, make(IMAGES_ASKED), tmp_path / "out").exit_code == 0
    done = command.invoke(
        main,
        ["simulate", str(tmp_path / "out" / "tasks.csv"), "--seeds", "1", "--output", str(tmp_path / "results")],
        env={"AL_IMAGE_ENCODER": f"onnx:{folders[IMAGE]}"},
    )
    assert done.exit_code == 1
    assert "lies in Label Studio or elsewhere" in done.output


def test_exported_model_sees_texts_and_images_side_by_side(
    command: CliRunner, bench: Bench, make: Make, tmp_path: Path
) -> None:
    made, out = make(BOTH_ASKED), tmp_path / "out"
    done = export(command, made, out, "--with-encoder", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["largest_difference"] < 1e-6
    pairs = [(text(n), str(picture(tmp_path / "images", n))) for n in range(N_TASKS)]
    found, answered = json.loads(run_elsewhere(out, ASK, json.dumps(pairs)))
    contents = [joined([text(n), f"/data/upload/{n}"]) for n in range(N_TASKS)]
    np.testing.assert_allclose(found, published(bench, made).believe(contents).wide, atol=1e-5)
    assert answered == ["animal"]
    assert [row["text"] for row in rows_of(out)[:2]] == [text(0), text(1)]


@pytest.mark.parametrize(
    ("format", "modes"),
    [
        ("PNG", ["RGB", "L", "LA", "RGBA", "P", "1", "I;16", "large", "rotated", "transparent"]),
        ("JPEG", ["RGB", "L", "CMYK", "large", "rotated"]),
        ("TIFF", ["RGB", "1", "CMYK", "I;16", "large", "rotated"]),
    ],
)
def test_images_are_decoded_as_the_backend_does(format: str, modes: list[str], tmp_path: Path) -> None:
    for mode in modes:
        path = tmp_path / f"{mode}.{format.lower()}"
        write_image(path, mode, format)
        ours, theirs = decode(path.read_bytes()), decoded(path)
        assert (theirs.mode, theirs.size) == (ours.mode, ours.size), mode
        np.testing.assert_array_equal(np.asarray(theirs), np.asarray(ours), mode)


def write_image(path: Path, mode: str, format: str) -> None:
    made = Image.radial_gradient("L").resize((300, 140)).convert("RGB")
    options: dict[str, Any] = {}
    if mode == "large":
        made = made.resize((1800, 2300))
    elif mode == "rotated":
        exif = Image.Exif()
        exif[274] = 6
        options["exif"] = exif
    elif mode == "transparent":
        made = made.convert("P")
        options["transparency"] = 3
    elif mode == "I;16":
        made = Image.fromarray(np.asarray(made.convert("L")).astype(np.uint16) * 257)
    else:
        made = made.convert(mode)
    made.save(path, format, **options)


# -- what cannot be exported ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TEXT, IMAGE])
def test_encoders_that_are_no_onnx_models_are_refused_with_advice(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModelEncoder("sentence-transformers:other", Lengths())
    for load in ("load_encoder", "load_image_encoder"):
        monkeypatch.setattr(f"label_studio_al.exporting.encoders.{load}", lambda *_: other)
    advice = {TEXT: "features=tfidf", IMAGE: "AL_IMAGE_ENCODER"}[kind]
    with pytest.raises(NotExportable, match=f"sentence-transformers:other; only those of ONNX models.*{advice}"):
        exported_encoders([Deferred(kind, other.name, other.fingerprint, 2)], None)


class Lengths:
    """Another library's model."""

    def encode(self, texts: list[str]) -> Any:
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)
