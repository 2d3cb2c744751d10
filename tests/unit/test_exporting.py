"""What `export` writes: a model that needs nothing of this package, its card, and the tasks."""

from __future__ import annotations

import csv
import json
import sys
import unicodedata
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from label_studio_al.exporting.forms import ABSENT
from label_studio_al.exporting.model_files import compare
from label_studio_al.exporting.pipeline import as_pipeline, has_embeddings
from label_studio_al.learners.encoders import WORDLLAMA, ModelEncoder, load_encoder
from label_studio_al.learners.published import Models
from label_studio_al.learning.coding import LABEL_SETS, labels_of, text_of
from label_studio_al.learning.features import Features
from label_studio_al.learning.label_sets import SetClassifier, fit_sets
from label_studio_al.learning.learner import Tuning, train
from label_studio_al.learning.model import QuestionModel
from label_studio_al.learning.ordered import ORDERED
from label_studio_al.learning.paths import ONE_PATH, answer_of
from label_studio_al.runtime.errors import NotExportable
from label_studio_al.runtime.settings import read_settings
from label_studio_al.simulate.data import read_data
from label_studio_al.store import Signer, Store
from tests.support import reviews, shop, topics
from tests.support.bench import TEXTS, Bench, truth
from tests.support.build import event, task
from tests.support.clock import FakeClock
from tests.support.elsewhere import run_elsewhere
from tests.support.fake_label_studio import FakeLabelStudio, FakeProject
from tests.support.languages import LANGUAGES
from tests.support.queries import labelled
from tests.support.versions import asked

SIGNING_KEY = "a signing key that only tests know, long enough"
ODD_TEXTS = [
    "",
    "  ",
    "nothing known here",
    "Ünïcode & ΣΊΣΥΦΟΣ",
    "the cat\nthe dog",
    "=1+1",
    "x" * 19_997 + " cat sleeps",
]
FILES = ["README.md", "model.joblib", "predict.py", "requirements.txt"]
ASK = """
import json, joblib
model = joblib.load("model.joblib")
texts = json.load(sys.stdin)
assert not [name for name in sys.modules if name.partition(".")[0] == "label_studio_al"]
print(json.dumps([model.classes_.tolist(), model.predict_proba(texts).tolist(), model.predict(texts).tolist()]))
"""
ASK_FOR_SETS = """
import json, joblib
model = joblib.load("model.joblib")
texts = json.load(sys.stdin)
assert not [name for name in sys.modules if name.partition(".")[0] == "label_studio_al"]
classes, proba = [of_label.tolist() for of_label in model.classes_], [p.tolist() for p in model.predict_proba(texts)]
print(json.dumps([classes, proba, model.predict(texts).tolist()]))
"""


# -- the pipeline ------------------------------------------


def make_model(encoder: str | None, choice: str, n_labels: int, *, without: int = 0) -> QuestionModel:
    features, rows = Features.fit_transform(TEXTS, load_encoder(encoder) if encoder else None)
    if without:
        gone = list(range(0, features.tfidf.n_terms, without))
        features = replace(features, tfidf=features.tfidf.without(gone))
    y = np.array([f"label {n % n_labels}" for n in range(len(TEXTS))])
    tuning = Tuning(choice, temperature=0.4)
    return QuestionModel(features, train(labelled(rows, y), features.choices(), tuning), tuning)


@pytest.mark.parametrize("n_labels", [2, 4])
@pytest.mark.parametrize(
    ("encoder", "choice"),
    [(None, "tfidf"), (WORDLLAMA, "tfidf"), (WORDLLAMA, "both"), (WORDLLAMA, "embeddings")],
)
def test_pipeline_gives_our_probabilities(encoder: str | None, choice: str, n_labels: int) -> None:
    model = make_model(encoder, choice, n_labels)
    texts = [*TEXTS, *ODD_TEXTS]
    pipeline = as_pipeline(model.features, model.classifier)
    np.testing.assert_allclose(pipeline.predict_proba(texts), model.believe(texts).wide, atol=1e-6)
    assert list(pipeline.classes_) == [f"label {n}" for n in range(n_labels)]
    assert has_embeddings(model) == (choice != "tfidf")


@pytest.mark.parametrize("name", list(LANGUAGES))
def test_pipeline_splits_the_words_of_any_language_as_we_do(name: str) -> None:
    texts, labels = LANGUAGES[name].sentences(40)
    features, rows = Features.fit_transform(texts, None)
    tuning = Tuning("tfidf")
    model = QuestionModel(features, train(labelled(rows, np.array(labels)), features.choices(), tuning), tuning)
    pipeline = as_pipeline(features, model.classifier)
    spelt_otherwise = [unicodedata.normalize("NFKD", text).upper() for text in texts]
    assert compare(pipeline, model, [*texts, *spelt_otherwise, texts[0] + 100 * "\u0301\u0327"]).difference < 1e-6
    assert list(pipeline.predict(spelt_otherwise)) == labels


def test_forgotten_terms_are_left_out() -> None:
    model = make_model(None, "tfidf", 3, without=3)
    pipeline = as_pipeline(model.features, model.classifier)
    np.testing.assert_allclose(pipeline.predict_proba(TEXTS), model.believe(TEXTS).wide, atol=1e-6)


def test_model_that_has_seen_nothing_but_its_labels_is_exported() -> None:
    features, rows = Features.fit_transform(["", " "], None)
    classifier = train(labelled(rows, np.array(["A", "B"])), features.choices(), Tuning("tfidf"))
    pipeline = as_pipeline(features, classifier)
    np.testing.assert_allclose(pipeline.predict_proba(["a", ""]), 0.5)


def test_other_encoders_are_refused_with_advice() -> None:
    class Lengths:
        def encode(self, texts: list[str]) -> Any:
            return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)

    features, rows = Features.fit_transform(TEXTS, ModelEncoder("model2vec:lengths", Lengths()))
    y = np.array([truth(text) for text in TEXTS])
    both = train(labelled(rows, y), features.choices(), Tuning("both"))
    with pytest.raises(NotExportable, match=r"model2vec:lengths.*features=tfidf"):
        as_pipeline(features, both)
    # Words and topics alone need no encoder.
    words = train(labelled(rows, y), features.choices(), Tuning("tfidf"))
    assert as_pipeline(features, words).predict(["the cat sleeps"]) == ["animal"]


def test_file_that_answers_otherwise_is_refused() -> None:
    model = make_model(None, "tfidf", 2)
    other = as_pipeline(model.features, replace(model.classifier, temperature=3.0))
    with pytest.raises(NotExportable, match="answers otherwise"):
        compare(other, model, TEXTS)


def test_other_classifiers_are_refused_with_a_sentence() -> None:
    class Trees:
        classes = np.array(["A", "B"])

    features, _ = Features.fit_transform(TEXTS, None)
    with pytest.raises(NotExportable, match="only linear classifiers can be written"):
        as_pipeline(features, Trees())


# -- the pipeline of label sets ----------------------------


def make_set_model(has: Any, thresholds: list[float], encoder: str | None = None) -> QuestionModel:
    """has: shape (n_texts, n_labels)."""
    features, rows = Features.fit_transform(TEXTS, load_encoder(encoder) if encoder else None)
    choice = "both" if encoder else "tfidf"
    names = np.array([f"label {n}" for n in range(len(thresholds))])
    classifier = fit_sets(rows, np.asarray(has).astype(np.int8), names, features.choices()[choice])
    classifier = replace(classifier, temperature=2.0, thresholds=np.array(thresholds))
    return QuestionModel(features, classifier, Tuning(choice, temperature=2.0))


def sets_of(predicted: Any) -> list[list[str]]:
    """The labels in rows of `predict`."""
    return [[name for name in row if name != ABSENT] for row in predicted]


def sets_of_ours(model: QuestionModel, texts: list[str]) -> list[list[str]]:
    return [labels_of(text) for text in LABEL_SETS.decide(model.believe(texts)).labels.tolist()]


PLACE = np.arange(len(TEXTS))


@pytest.mark.parametrize("encoder", [None, WORDLLAMA])
@pytest.mark.parametrize(
    ("has", "thresholds"),
    [
        pytest.param([PLACE % 2 == 0, PLACE % 3 == 0], [0.2, 0.85], id="two labels"),
        pytest.param([PLACE % 2 == 0], [0.9], id="one label"),
        pytest.param([PLACE % 2 == 0, PLACE < 0, PLACE >= 0, PLACE % 5 == 1], [0.3, 0.5, 0.5, 0.6], id="constants"),
    ],
)
def test_pipeline_gives_our_label_sets(encoder: str | None, has: Any, thresholds: list[float]) -> None:
    model = make_set_model(np.array(has).T, thresholds, encoder)
    texts = [*TEXTS, *ODD_TEXTS]
    pipeline = as_pipeline(model.features, model.classifier)

    ours = model.believe(texts)
    names = [f"label {n}" for n in range(len(thresholds))]
    assert [of_label.tolist() for of_label in pipeline.classes_] == [["", name] for name in names]
    assert [proba.shape for proba in pipeline.predict_proba(texts)] == [(len(texts), 2)] * len(names)
    np.testing.assert_allclose(np.hstack(pipeline.predict_proba(texts)), ours.wide, atol=1e-6)
    assert sets_of(pipeline.predict(texts)) == sets_of_ours(model, texts)
    assert sets_of_ours(model, texts) != [np.array(names)[row].tolist() for row in ours.proba[:, :, 1] >= 0.5]
    assert compare(pipeline, model, texts).difference < 1e-6
    assert has_embeddings(model) == (encoder is not None)


def test_text_whose_probability_is_the_threshold_has_the_label() -> None:
    model = make_set_model(np.array([PLACE % 2 == 0, PLACE % 3 == 0]).T, [0.5, 0.75])
    classifier = model.classifier
    assert isinstance(classifier, SetClassifier)
    even = replace(model, classifier=replace(classifier, weights=0 * classifier.weights, intercept=np.zeros(2)))
    assert sets_of_ours(even, ["a text"]) == [["label 0"]]
    assert sets_of(as_pipeline(even.features, even.classifier).predict(["a text"])) == [["label 0"]]


# -- the command -------------------------------------------


@pytest.fixture
def signer() -> Signer:
    return Signer(SIGNING_KEY)


@pytest.fixture(params=["none"])
def bench(store: Store, signer: Signer, clock: FakeClock, tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    settings = read_settings(model_dir=tmp_path, encoder=request.param)
    return Bench(FakeLabelStudio(), store, signer, clock, settings)


@pytest.fixture
def project(bench: Bench) -> FakeProject:
    """A project with a model; one task has no text, and one a text that CSV must quote."""
    made = bench.add(texts=[*TEXTS, 'the "cat", sleeps\nlong'])
    bench.fake.change_data(made.id, next(iter(made.tasks)), {"image": "x.png"})
    bench.publish(made, 2)
    return made


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("AL_SIGNING_KEY", SIGNING_KEY)
    return CliRunner()


def export(command: CliRunner, project: FakeProject, folder: Path, *arguments: str) -> Result:
    return command.invoke(main, ["export", "--project", str(project.id), "--output", str(folder), *arguments])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("bench", ["none", WORDLLAMA], indirect=True)
def test_exported_model_answers_the_same_where_this_package_is_not(
    command: CliRunner, bench: Bench, project: FakeProject, signer: Signer, tmp_path: Path
) -> None:
    folder = tmp_path / "some" / "exported"
    done = export(command, project, folder)
    assert done.exit_code == 0, done.output

    texts = [*TEXTS, *ODD_TEXTS]
    classes, proba, predicted = json.loads(run_elsewhere(folder, ASK, json.dumps(texts)))

    published = Models(bench.store, signer).get(project.key, bench.version(project).id)
    assert published is not None
    model = published.of("topic")
    assert has_embeddings(model) == (bench.settings.encoder == WORDLLAMA)
    assert classes == ["animal", "machine"]
    np.testing.assert_allclose(proba, model.believe(texts).wide, atol=1e-6)
    assert predicted == [classes[column] for column in np.argmax(proba, axis=1)]
    pinned = [line.partition("==")[0] for line in (folder / "requirements.txt").read_text().split()]
    encoder = ["tokenizers"] if bench.settings.encoder == WORDLLAMA else []
    assert pinned == ["scikit-learn", "numpy", "scipy", "joblib", *encoder]


def test_example_predicts_arguments_and_lines(command: CliRunner, project: FakeProject, tmp_path: Path) -> None:
    assert export(command, project, tmp_path / "out").exit_code == 0
    run = "import runpy; sys.argv[1:] = {}; runpy.run_path('predict.py', run_name='__main__')"
    said = run_elsewhere(tmp_path / "out", run.format(["the cat sleeps"]), "")
    label, probability, text = said.rstrip("\n").split("\t")
    assert (label, text) == ("animal", "the cat sleeps")
    assert 0.5 < float(probability) <= 1
    said = run_elsewhere(tmp_path / "out", run.format([]), "a robot welds\nthe bird sings\n")
    assert [line.split("\t")[0] for line in said.splitlines()] == ["machine", "animal"]


def test_tasks_stand_in_the_table_with_labels_and_predictions(
    command: CliRunner,
    bench: Bench,
    project: FakeProject,
    signer: Signer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("label_studio_al.exporting.writing.TASKS_AT_ONCE", 7)
    late = bench.label(project, 1)[0]
    done = export(command, project, tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.output)

    with (tmp_path / "out" / "tasks.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {int(row["task_id"]): row for row in csv.DictReader(file)}

    published = Models(bench.store, signer).get(project.key, bench.version(project).id)
    assert published is not None
    model = published.of("topic")
    trained_on = bench.version(project).trained_on
    assert list(rows) == sorted(project.tasks)
    for task_id, known in project.tasks.items():
        row, text = rows[task_id], known["data"].get("text")
        assert row["is_learnt"] == str(task_id in trained_on)
        assert row["label"] == (truth(text) if text and task_id in (*trained_on, late) else "")
        assert row["text"] == (text or "")
        if text is None:
            assert (row["predicted"], row["probability"]) == ("", "")
            continue
        proba = model.believe([text]).wide[0]
        assert row["predicted"] == model.classifier.classes[proba.argmax()]
        assert float(row["probability"]) == pytest.approx(proba.max(), abs=1e-6)
    assert summary["files"] == sorted([*FILES, "tasks.csv"])
    assert summary["project"] == project.key
    assert summary["n_tasks"] == len(project.tasks)
    assert summary["n_predicted"] == summary["n_compared"] == len(project.tasks) - 1
    assert (summary["n_learnt"], summary["n_labelled"]) == (10, 11)
    assert 0 <= summary["largest_difference"] < 1e-6


@pytest.mark.parametrize("table", ["csv", "parquet"])
def test_half_a_surrogate_pair_is_replaced(
    command: CliRunner, bench: Bench, project: FakeProject, tmp_path: Path, table: str
) -> None:
    created = event("TASKS_CREATED", key=project.key, tasks=(task(9_999, "half \ud800 a pair"),))
    bench.store.updates.hear(created, bench.clock.now())
    done = export(command, project, tmp_path / "out", "--data", table)
    assert done.exit_code == 0, done.output
    assert b"half ? a pair" in (tmp_path / "out" / f"tasks.{table}").read_bytes()


def test_parquet_holds_the_same_as_csv(command: CliRunner, project: FakeProject, tmp_path: Path) -> None:
    from pyarrow import parquet

    assert export(command, project, tmp_path / "one").exit_code == 0
    assert export(command, project, tmp_path / "two", "--data", "parquet").exit_code == 0
    with (tmp_path / "one" / "tasks.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    found = parquet.read_table(tmp_path / "two" / "tasks.parquet").to_pylist()
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in found] == rows


def test_card_tells_labels_quality_and_limits(
    command: CliRunner, bench: Bench, project: FakeProject, tmp_path: Path
) -> None:
    assert export(command, project, tmp_path / "out").exit_code == 0
    card = (tmp_path / "out" / "README.md").read_text()
    trained_on = list(asked(bench.version(project)).trained_on.values())
    assert f"# {bench.version(project).name} of project {project.id}" in card
    for label in ("animal", "machine"):
        assert f"| {label} | {trained_on.count(label)} |" in card
    measured = bench.store.measurements.newest(project.key, "topic")
    assert measured is not None
    crossed = measured.report["cross_validation"]
    accuracy = "{value:.3f} ({low:.3f} to {high:.3f})".format(**crossed["accuracy"])
    assert f"| cross-validation: accuracy | {accuracy} | {crossed['n']} |" in card
    assert "| audit: accuracy |" in card
    assert "| strategy | auto |" in card
    assert "| embeddings | none |" in card
    assert "| calibration | none: too few labels" in card
    assert f"| scikit-learn | {version('scikit-learn')} |" in card
    assert "runs code when it is loaded" in card
    assert "for a formula" in card


def test_no_table_is_written_where_none_is_wanted(command: CliRunner, project: FakeProject, tmp_path: Path) -> None:
    assert export(command, project, tmp_path / "out", "--data", "none").exit_code == 0
    assert names(tmp_path / "out") == FILES
    assert "for a formula" not in (tmp_path / "out" / "README.md").read_text()


def test_full_folder_is_refused_and_an_earlier_export_replaced(
    command: CliRunner, project: FakeProject, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    assert export(command, project, folder, "--data", "parquet").exit_code == 0
    (folder / "notes.txt").write_text("mine")
    again = export(command, project, folder)
    assert (again.exit_code, "is not empty" in again.output) == (1, True)
    assert export(command, project, folder, "--overwrite").exit_code == 0
    assert names(folder) == sorted([*FILES, "notes.txt", "tasks.csv"])
    (tmp_path / "file").touch()
    refused = export(command, project, tmp_path / "file")
    assert (refused.exit_code, "must be a folder" in refused.output) == (1, True)


def test_project_without_a_model_is_refused(command: CliRunner, bench: Bench, tmp_path: Path) -> None:
    project = bench.add()
    for _ in range(2):
        refused = export(command, project, tmp_path / "out")
        assert refused.exit_code == 1
        assert "has no model yet: waiting for" in refused.output
        bench.turn(project)
    assert not (tmp_path / "out").exists()


def test_unknown_project_is_refused(command: CliRunner, bench: Bench, tmp_path: Path) -> None:
    refused = command.invoke(main, ["export", "--project", "77", "--output", str(tmp_path / "out")])
    assert (refused.exit_code, "project 77 is not known here" in refused.output) == (1, True)
    assert not (tmp_path / "out").exists()


def test_missing_pyarrow_is_said_before_anything_is_done(
    command: CliRunner, project: FakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    refused = export(command, project, tmp_path / "out", "--data", "parquet")
    assert (refused.exit_code, "label-studio-active-learning[parquet]" in refused.output) == (1, True)
    assert not (tmp_path / "out").exists()


def test_model_of_another_key_is_refused(
    command: CliRunner, project: FakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AL_SIGNING_KEY", SIGNING_KEY[::-1])
    refused = export(command, project, tmp_path / "out")
    assert (refused.exit_code, "must carry a signature of this key" in refused.output) == (1, True)
    assert not (tmp_path / "out").exists()


# -- label sets by the command -----------------------------


@pytest.fixture
def sets_project(bench: Bench) -> FakeProject:
    """A project with several labels a text and a model with thresholds; nobody ever gives one of its labels."""
    offered = topics.CONFIG.replace("</Choices>", '<Choice value="unseen"/></Choices>')
    made = bench.add(offered, ["=1+1 cat", *topics.texts(160)], window=60)
    bench.turn(made)
    for _ in range(3):
        bench.label(made, 40, topics.truth)
        bench.turn(made)
    return made


@pytest.mark.parametrize("bench", ["none", WORDLLAMA], indirect=True)
def test_exported_label_sets_are_the_same_where_this_package_is_not(
    command: CliRunner, bench: Bench, sets_project: FakeProject, signer: Signer, tmp_path: Path
) -> None:
    done = export(command, sets_project, tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output

    texts = [*topics.texts(300, seed=1), *ODD_TEXTS]
    classes, proba, predicted = json.loads(run_elsewhere(tmp_path / "out", ASK_FOR_SETS, json.dumps(texts)))

    published = Models(bench.store, signer).get(sets_project.key, bench.version(sets_project).id)
    assert published is not None
    model = published.of("topic")
    assert isinstance(model.classifier, SetClassifier)
    assert (model.classifier.thresholds != 0.5).all()
    assert model.classifier.temperature != 1.0
    assert classes == [["", label] for label in sorted(topics.LABELS)]
    np.testing.assert_allclose(np.hstack(proba), model.believe(texts).wide, atol=1e-6)
    assert sets_of(predicted) == sets_of_ours(model, texts)
    assert [] in sets_of(predicted)
    assert any(len(found) > 1 for found in sets_of(predicted))
    assert json.loads(done.output)["labels"] == sorted(topics.LABELS)
    assert json.loads(done.output)["largest_difference"] < 1e-6


def test_example_prints_label_sets(command: CliRunner, sets_project: FakeProject, tmp_path: Path) -> None:
    assert export(command, sets_project, tmp_path / "out").exit_code == 0
    run = "import runpy; sys.argv[1:] = {}; runpy.run_path('predict.py', run_name='__main__')"
    said = run_elsewhere(tmp_path / "out", run.format(["the cat roars", "nothing of it"]), "")
    found = [line.split("\t") for line in said.splitlines()]
    assert [text for _, text in found] == ["the cat roars", "nothing of it"]
    sets = [json.loads(labels) for labels, _ in found]
    assert [sorted(labels) for labels in sets] == [["animal", "loud"], []]
    assert all(0.3 < probability <= 1 for probability in sets[0].values())
    assert run_elsewhere(tmp_path / "out", run.format([]), "an engine\n").startswith('{"machine": ')


@pytest.mark.parametrize("quoted", [True, False])
def test_label_sets_in_the_table_are_read_by_simulate(
    command: CliRunner, bench: Bench, sets_project: FakeProject, signer: Signer, tmp_path: Path, quoted: bool
) -> None:
    options = [] if quoted else ["--no-quote-formulas"]
    assert export(command, sets_project, tmp_path / "out", *options).exit_code == 0

    path = tmp_path / "out" / "tasks.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    trained_on = bench.version(sets_project).trained_on
    texts = {str(task_id): known["data"]["text"] for task_id, known in sets_project.tasks.items()}
    assert list(rows[0]) == ["task_id", "text", "labels", "predicted", "probability", "is_learnt"]
    assert {row["task_id"]: row["labels"] for row in rows} == {
        task_id: text_of(topics.truth(text)) if int(task_id) in trained_on else "" for task_id, text in texts.items()
    }
    published = Models(bench.store, signer).get(sets_project.key, bench.version(sets_project).id)
    assert published is not None
    model = published.of("topic")
    said = sets_of_ours(model, [texts[row["task_id"]] for row in rows])
    assert [json.loads(row["predicted"]) for row in rows] == said

    data = read_data(str(path))
    assert data.coding is LABEL_SETS
    assert dict(zip(data.texts, data.labels.tolist(), strict=True)) == {
        texts[str(task_id)]: answer for task_id, answer in asked(bench.version(sets_project)).trained_on.items()
    }


def test_parquet_holds_the_same_label_sets_as_csv(
    command: CliRunner, sets_project: FakeProject, tmp_path: Path
) -> None:
    from pyarrow import parquet

    assert export(command, sets_project, tmp_path / "one", "--no-quote-formulas").exit_code == 0
    assert export(command, sets_project, tmp_path / "two", "--data", "parquet").exit_code == 0
    with (tmp_path / "one" / "tasks.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    found = parquet.read_table(tmp_path / "two" / "tasks.parquet").to_pylist()
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in found] == rows


def test_card_tells_what_is_so_of_label_sets(
    command: CliRunner, bench: Bench, sets_project: FakeProject, signer: Signer, tmp_path: Path
) -> None:
    assert export(command, sets_project, tmp_path / "out").exit_code == 0
    card = (tmp_path / "out" / "README.md").read_text()
    version_ = bench.version(sets_project)
    published = Models(bench.store, signer).get(sets_project.key, version_.id)
    assert published is not None
    model = published.of("topic")
    thresholds = model.tuning.thresholds
    for label in topics.LABELS:
        n = sum(label in labels_of(answer) for answer in asked(version_).trained_on.values())
        assert f"| {label} | {n} | {thresholds[label]:.2f} |" in card
    assert "| unseen | 0 | never predicted |" in card
    measured = bench.store.measurements.newest(sets_project.key, "topic")
    assert measured is not None
    crossed = measured.report["cross_validation"]
    for key, name in {"accuracy": "exact match", "micro_f1": "micro-F1", "macro_f1": "macro-F1"}.items():
        value = "{value:.3f} ({low:.3f} to {high:.3f})".format(**crossed[key])
        assert f"| cross-validation: {name} | {value} | {crossed['n']} |" in card
        assert f"| audit: {name} |" in card
    assert "accuracy" not in card
    assert "always answers one" not in card
    assert "any number of them, or none" in card
    assert "`labels` and `predicted` are JSON lists" in card


def test_model_of_another_question_is_refused(
    command: CliRunner, bench: Bench, project: FakeProject, tmp_path: Path
) -> None:
    several = bench.store.projects.get(project.key).label_config.replace("<Choices ", '<Choices choice="multiple" ')
    bench.hear(bench.fake.change_config(project.id, several))
    refused = export(command, project, tmp_path / "out")
    assert (refused.exit_code, "has changed since" in refused.output) == (1, True), refused.output
    assert not (tmp_path / "out").exists()


# -- ratings -----------------------------------------------


def test_exported_ratings_are_the_same_where_this_package_is_not(
    command: CliRunner, bench: Bench, signer: Signer, tmp_path: Path
) -> None:
    made = bench.add(reviews.CONFIG, reviews.texts(160), window=60)
    bench.turn(made)
    for _ in range(2):
        for task_id in (made.queue() or [])[:50]:
            stars = reviews.truth(made.tasks[task_id]["data"]["text"])
            bench.hear(bench.fake.annotate(made.id, task_id, None, result=reviews.result(stars)))
        bench.turn(made)
    done = export(command, made, tmp_path / "out")
    assert done.exit_code == 0, done.output
    texts = [*reviews.texts(40, seed=1), *ODD_TEXTS]
    classes, proba, predicted = json.loads(run_elsewhere(tmp_path / "out", ASK, json.dumps(texts)))
    published = Models(bench.store, signer).get(made.key, bench.version(made).id)
    assert published is not None
    beliefs = published.of("stars").believe(texts)
    assert classes == ["1", "2", "3", "4", "5"]
    np.testing.assert_allclose(proba, beliefs.wide, atol=1e-6)
    assert predicted == ORDERED.decide(beliefs).labels.tolist()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| audit: mean absolute error |" in card
    assert "| cross-validation: quadratic-weighted kappa |" in card


# -- paths -------------------------------------------------


def shop_project(bench: Bench, *, several: bool) -> FakeProject:
    made = bench.add(shop.ANY, shop.texts(200, several=several), window=60)
    bench.turn(made)
    for _ in range(2):
        for task_id in (made.queue() or [])[:50]:
            paths = shop.truth(made.tasks[task_id]["data"]["text"])
            bench.hear(bench.fake.annotate(made.id, task_id, None, result=shop.result(paths)))
        bench.turn(made)
    return made


def test_exported_paths_are_the_same_where_this_package_is_not(
    command: CliRunner, bench: Bench, signer: Signer, tmp_path: Path
) -> None:
    made = shop_project(bench, several=False)
    done = export(command, made, tmp_path / "out")
    assert done.exit_code == 0, done.output
    texts = [*shop.texts(40, seed=1), *ODD_TEXTS]
    classes, proba, _ = json.loads(run_elsewhere(tmp_path / "out", ASK, json.dumps(texts)))
    published = Models(bench.store, signer).get(made.key, bench.version(made).id)
    assert published is not None
    beliefs = published.of("reason").believe(texts)
    assert classes == beliefs.classes.tolist()
    np.testing.assert_allclose(proba, beliefs.wide, atol=1e-6)

    run = "import runpy; sys.argv[1:] = {}; runpy.run_path('predict.py', run_name='__main__')"
    plain = [text for text in texts if text.strip() and "\n" not in text and len(text) < 1000]
    said = run_elsewhere(tmp_path / "out", run.format(plain), "").splitlines()
    ours = ONE_PATH.decide(published.of("reason").believe(plain)).labels.tolist()
    assert [answer_of([line.split("\t")[0]]) for line in said] == ours

    card = (tmp_path / "out" / "README.md").read_text()
    assert "| order / late |" in card
    assert "| cross-validation: accuracy of the top level |" in card
    data = read_data(str(tmp_path / "out" / "tasks.csv"))
    assert data.coding is ONE_PATH
    assert dict(zip(data.texts, data.labels.tolist(), strict=True)) == {
        made.tasks[task_id]["data"]["text"]: answer for task_id, answer in asked(bench.version(made)).trained_on.items()
    }


def test_model_of_several_paths_is_refused_with_a_sentence(command: CliRunner, bench: Bench, tmp_path: Path) -> None:
    refused = export(command, shop_project(bench, several=True), tmp_path / "out")
    assert (refused.exit_code, "models of several paths a task cannot be exported yet" in refused.output) == (1, True)
    assert not (tmp_path / "out").exists()
