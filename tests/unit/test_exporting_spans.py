"""What `export` writes of spans: a model that needs NumPy alone, and tables that other tools read."""

from __future__ import annotations

import csv
import importlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from label_studio_al.exporting import marked, span_files
from label_studio_al.exporting.span_files import compared_texts, largest_difference, write_spans
from label_studio_al.exporting.span_model import ABOUT, ARRAYS
from label_studio_al.learners.encoders import WORDLLAMA, ModelEncoder, load_encoder
from label_studio_al.learning.features import Features
from label_studio_al.learning.learner import Tuning
from label_studio_al.learning.model import QuestionModel
from label_studio_al.learning.passages import LINE, Marking
from label_studio_al.learning.sequences.classifier import fit_spans
from label_studio_al.learning.spans import answer_of, spans_of
from label_studio_al.learning.texts import dialogue
from label_studio_al.runtime.errors import NotExportable
from label_studio_al.runtime.settings import read_settings
from label_studio_al.simulate.data import read_data
from label_studio_al.store import Signer, Store
from tests.support.bench import Bench
from tests.support.clock import FakeClock
from tests.support.elsewhere import run_elsewhere
from tests.support.entities import CONFIG, items, sentences
from tests.support.fake_label_studio import FakeLabelStudio, FakeProject

pytestmark = pytest.mark.usefixtures("one_thread")

SIGNING_KEY = "a signing key that only tests know, long enough"
TRUTH = dict(sentences())
UNSEEN = [text for text, _ in sentences(30, seed=5)]
ODD_TEXTS = [
    "",
    "  ",
    "ANNA BERG and Anna-Maria went\r\nto 東京。Zoe\u0301 👩‍🚀 and นคร, A-12345!",
    "One sentence of Tom's. " * 60,
    "no end " * 150,
    "line of Ravi\n" * 90,
]
ASK = """
import json
from span_model import SpanModel
model = SpanModel.load(".")
read = [model.read(text) for text in json.load(sys.stdin)]
assert not [name for name in sys.modules if name.partition(".")[0] in ("label_studio_al", "scipy", "sklearn", "joblib")]
print(json.dumps(read))
"""


# -- the model ----------------------------------------------------------------------------------------------------


def make_model(encoder: Any, marking: Marking | None = None, *, n_texts: int = 60) -> QuestionModel:
    texts = list(TRUTH)
    in_lines = marking is not None
    shown = [dialogue([("A: ", "Hi 😀"), ("", ""), ("B: ", text)]) for text in texts] if in_lines else texts
    features, rows = Features.fit_transform(shown, encoder, markings={"text": marking or Marking()})
    answers = [answer_of(spans) for spans in TRUTH.values()]
    # The third line begins there; before its emoji nothing is marked.
    y = [
        answer_of((2 * LINE + start, 2 * LINE + end, one) for start, end, one in spans_of(answer)) for answer in answers
    ]
    y = y if in_lines else answers
    classifier = fit_spans(rows[:n_texts], "text", np.array(y[:n_texts]))
    return QuestionModel(features, classifier, Tuning("tokens"))


@pytest.mark.parametrize("encoder", [None, WORDLLAMA])
def test_exported_model_marks_the_same_where_this_package_is_not(tmp_path: Path, encoder: str | None) -> None:
    model = make_model(encoder and load_encoder(encoder))
    write_spans(tmp_path, model)
    texts = [*UNSEEN, *ODD_TEXTS]
    assert compared_texts(model, texts) == texts
    assert largest_difference(tmp_path, model, texts) < 1e-6
    said = json.loads(run_elsewhere(tmp_path, ASK, json.dumps(texts)))
    ours = model.believe(texts)
    assert [answer_of(tuple(span[:3]) for span in spans) for spans, _ in said] == list(ours.answers)  # type: ignore[attr-defined]
    np.testing.assert_allclose([confidence for _, confidence in said], ours.proba[:, 0, 1], atol=1e-6)
    assert sum(len(spans) for spans, _ in said) > len(UNSEEN)


def test_words_that_are_forgotten_are_not_in_the_files(tmp_path: Path) -> None:
    model = make_model(None)
    own = model.features.words["text"]
    gone = {own.pool.vocabulary[word] for word in ("Please", "asked", "Oslo")}
    words = {"text": replace(own, pool=own.pool.without(gone))}
    model = replace(model, features=replace(model.features, words=words))
    write_spans(tmp_path, model)
    assert largest_difference(tmp_path, model, UNSEEN) < 1e-6
    known = json.loads((tmp_path / ABOUT).read_text())["words"]
    assert "oslo" not in known
    assert "lagos" in known


def test_lines_of_a_dialogue_are_texts_of_their_own(tmp_path: Path) -> None:
    model = make_model(None, Marking(in_lines=True))
    write_spans(tmp_path, model)
    some = compared_texts(model, [dialogue([("A: ", "Hi 😀"), ("", ""), ("B: ", UNSEEN[0])])])
    assert some == ["Hi 😀", UNSEEN[0]]
    assert largest_difference(tmp_path, model, [*some, *UNSEEN]) < 1e-6


def test_files_that_mark_otherwise_are_not_kept(tmp_path: Path) -> None:
    model = make_model(None)
    write_spans(tmp_path, model)
    with np.load(tmp_path / ARRAYS) as kept:
        arrays = dict(kept)
    np.savez(tmp_path / ARRAYS, **{**arrays, "surface_0": arrays["surface_0"] * 1.02})
    assert largest_difference(tmp_path, model, UNSEEN) > 1e-4
    eager = arrays["enter"] + [0.0, 20.0, 20.0, 20.0]
    np.savez(tmp_path / ARRAYS, **{**arrays, "enter": eager})
    with pytest.raises(NotExportable, match="the exported model marks other spans"):
        largest_difference(tmp_path, model, UNSEEN)


def test_vectors_of_other_encoders_are_refused(tmp_path: Path) -> None:
    class Model:
        def encode(self, texts: list[str]) -> Any:
            return np.array([[len(text), 1.0, text.count("a")] for text in texts])

    model = make_model(ModelEncoder("model2vec:other", Model()))
    with pytest.raises(NotExportable, match="word vectors of model2vec:other; only those of wordllama can be written"):
        write_spans(tmp_path, model)


# -- tables -------------------------------------------------------------------------------------------------------


def test_tokens_are_tagged_where_a_character_of_theirs_is_marked() -> None:
    text = "Mr Berg-Olsen,\nof 東京 and  Rome"
    spans = [(3, 5, "PER"), (3, 13, "PER"), (8, 18, "ORG"), (18, 20, "LOC"), (26, 30, "LOC")]
    assert marked.apart(spans) == [(3, 13, "PER"), (18, 20, "LOC"), (26, 30, "LOC")]
    first, second = marked.tagged(text, spans)
    assert first == [
        ("Mr", "O"), ("Berg", "B-PER"), ("-", "I-PER"), ("Olsen", "I-PER"), (",", "O"),
    ]  # fmt: skip
    assert second == [("of", "O"), ("東", "B-LOC"), ("京", "I-LOC"), ("and", "O"), ("Rome", "B-LOC")]
    # Neighbours of one label are two spans.
    assert marked.tagged("a b", [(0, 1, "X"), (2, 3, "X")]) == [[("a", "B-X"), ("b", "B-X")]]


def test_thousands_of_spans_are_tagged_at_once() -> None:
    begin = time.process_time()
    (found,) = marked.tagged("a b " * 20_000, [(4 * n, 4 * n + 1, "X") for n in range(20_000)])
    assert found == [("a", "B-X"), ("b", "O")] * 20_000
    assert time.process_time() - begin < 2


@pytest.mark.parametrize("text", ["", "Anna"])
def test_spans_beyond_the_end_of_a_text_that_changed_are_left_out(text: str) -> None:
    spans = [(0, 3, "PER"), (0, 9, "PER"), (4, 9, "PER"), (7, 9, "PER")]
    assert marked.in_text(spans, Marking().passages(text)) == spans[: len(text) // 4]


def test_spans_of_a_line_that_is_gone_are_left_out() -> None:
    spans = [(0, 3, "PER"), (LINE, LINE + 3, "PER"), (2 * LINE, 2 * LINE + 4, "PER")]
    said = dialogue([("A: ", "Tom"), ("B: ", ""), ("C: ", "Anna")])
    assert marked.in_text(spans, Marking(in_lines=True).passages(said)) == [(0, 3, "PER"), (4, 8, "PER")]


def test_positions_in_lines_become_those_of_one_text() -> None:
    text = dialogue([("A: ", "Hi 😀 Tom"), ("B: ", ""), ("C: ", "Anna won")])
    passages = Marking(in_lines=True).passages(text)
    # Behind the emoji, Label Studio counts one more.
    spans = [(6, 9, "PER"), (2 * LINE, 2 * LINE + 4, "PER")]
    found = marked.in_text(spans, passages)
    assert [marked.text_of(passages)[start:end] for start, end, _ in found] == ["Tom", "Anna"]


# -- the command --------------------------------------------------------------------------------------------------


@pytest.fixture
def signer() -> Signer:
    return Signer(SIGNING_KEY)


@pytest.fixture
def bench(store: Store, signer: Signer, clock: FakeClock, tmp_path: Path) -> Bench:
    return Bench(FakeLabelStudio(), store, signer, clock, read_settings(model_dir=tmp_path, encoder="none"))


@pytest.fixture
def project(bench: Bench) -> FakeProject:
    """Thirty tasks are marked, and one has no text."""
    made = bench.add(CONFIG, list(TRUTH), window=40)
    bench.fake.change_data(made.id, next(iter(made.tasks)), {"image": "x.png"})
    bench.turn(made)
    for task_id in (made.queue() or [])[:30]:
        text = made.tasks[task_id]["data"]["text"]
        bench.hear(bench.fake.annotate(made.id, task_id, None, result=items(text, TRUTH[text])))
    bench.turn(made)
    return made


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("AL_SIGNING_KEY", SIGNING_KEY)
    return CliRunner()


def export(command: CliRunner, project: FakeProject, folder: Path, *arguments: str) -> Result:
    return command.invoke(main, ["export", "--project", str(project.id), "--output", str(folder), *arguments])


def test_project_with_spans_is_exported_in_every_form(command: CliRunner, project: FakeProject, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    files = {"csv": "tasks.csv", "jsonl": "tasks.jsonl", "conll": "tasks.conll", "spacy": "tasks.spacy.jsonl"}
    kept = {}
    for form, name in files.items():
        done = export(command, project, folder, "--data", form, "--overwrite")
        assert done.exit_code == 0, done.output
        assert {path.name for path in folder.iterdir()} == {
            "README.md", "predict.py", "requirements.txt", "span_model.json", "span_model.npz", "span_model.py", name
        }  # fmt: skip
        kept[form] = (folder / name).rename(tmp_path / name)
    assert "3 labels, trained on 30 tasks" in done.output
    annotated = {one["task"] for one in project.annotations.values()}

    rows = [json.loads(line) for line in kept["jsonl"].read_text().splitlines()]
    assert [row["task_id"] for row in rows] == sorted(project.tasks)
    for row in rows:
        text = project.tasks[row["task_id"]]["data"].get("text")
        given = [list(span) for span in sorted(TRUTH[text])] if row["task_id"] in annotated else None
        assert (row["text"], row["spans"], row["is_learnt"]) == (text, given, row["task_id"] in annotated)
        assert (row["predicted"] is None) == (text is None)
    wrong = [
        row for row in rows if row["text"] and row["predicted"] != [list(one) for one in sorted(TRUTH[row["text"]])]
    ]
    assert len(wrong) < 0.3 * len(rows)

    with kept["csv"].open(encoding="utf-8-sig", newline="") as file:
        cells = {int(row["task_id"]): row for row in csv.DictReader(file)}
    for row in rows:
        for name in ("spans", "predicted"):
            cell = cells[row["task_id"]][name]
            assert (json.loads(cell) if cell else None) == row[name]

    by_people = {row["text"]: row["spans"] for row in rows if row["spans"] is not None}
    assert len(by_people) == 30
    for form in ("csv", "jsonl"):
        data = read_data(str(kept[form]))
        assert {
            text: [list(one) for one in spans_of(answer)]
            for text, answer in zip(data.texts, data.labels.tolist(), strict=True)
        } == by_people

    entities = [json.loads(line) for line in kept["spacy"].read_text().splitlines()]
    expected = [
        (row["text"], row["predicted"] if row["spans"] is None else row["spans"]) for row in rows if row["text"]
    ]
    assert [(one["text"], one["entities"]) for one in entities] == expected
    assert sum(one["by_people"] for one in entities) == 30

    data = read_data(str(kept["conll"]))
    counts = data.coding.counts(data.labels.tolist())
    assert counts == {
        label: sum(any(span[2] == label for span in spans) for _, spans in expected)
        for label in ("Person", "Place", "ORD")
    }

    card = (folder / "README.md").read_text()
    assert "A model that marks spans" in card
    assert "`span_model.py`" in card
    assert "joblib" not in card
    assert (folder / "requirements.txt").read_text().startswith("numpy==")
    run = "import runpy; sys.argv[1:] = {}; runpy.run_path('predict.py', run_name='__main__')"
    found, text = run_elsewhere(folder, run.format(["Please send B-1234 to Tom in Oslo."]), "").rstrip("\n").split("\t")
    assert [span[:3] for span in json.loads(found)] == [[12, 18, "ORD"], [22, 25, "Person"], [29, 33, "Place"]]
    assert text == "Please send B-1234 to Tom in Oslo."


def test_spans_of_a_dialogue_are_exported_as_those_of_one_text(
    command: CliRunner, bench: Bench, tmp_path: Path
) -> None:
    config = CONFIG.replace("<Labels", "<ParagraphLabels").replace("</Labels", "</ParagraphLabels")
    made = bench.add(config.replace("<Text", "<Paragraphs"), [], window=40)
    lines = {text: [{"author": "A", "text": "Hi 😀"}, {"author": "B", "text": text}] for text in TRUTH}
    bench.fake.add_tasks(made.id, [{"text": said} for said in lines.values()])
    bench.turn(made)
    for task_id in (made.queue() or [])[:30]:
        text = made.tasks[task_id]["data"]["text"][1]["text"]
        result = items(text, TRUTH[text])
        for item in result:
            # As Label Studio writes them: UTF-16 units of a line.
            start, end = (len(text[: item["value"][name]].encode("utf-16-le")) // 2 for name in ("start", "end"))
            value = {"start": "1", "end": "1", "startOffset": start, "endOffset": end}
            item |= {"type": "paragraphlabels", "value": {**value, "paragraphlabels": item["value"]["labels"]}}
        bench.hear(bench.fake.annotate(made.id, task_id, None, result=result))
    bench.turn(made)
    done = export(command, made, tmp_path / "out", "--data", "jsonl")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in (tmp_path / "out" / "tasks.jsonl").read_text().splitlines()]
    begin = len("Hi 😀\n")
    for row in rows:
        truth = [[begin + start, begin + end, label] for start, end, label in TRUTH[row["text"][begin:]]]
        assert row["spans"] in (None, truth)
        assert all(start >= begin and row["text"][start:end].strip() for start, end, _ in row["predicted"])
    assert sum(row["spans"] is not None for row in rows) == 30
    assert sum(len(row["predicted"]) for row in rows) > 30


def test_model_that_is_not_the_same_is_no_export(
    command: CliRunner, project: FakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span_files, "MOST_TOKENS", 2)
    done = export(command, project, tmp_path / "out")
    assert done.exit_code == 1
    assert "it is not kept" in done.output
    assert list((tmp_path / "out").iterdir()) == []


def test_documents_of_spacy_need_spacy(
    command: CliRunner, project: FakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    done = export(command, project, tmp_path / "out", "--data", "docbin")
    assert done.exit_code == 1
    assert "Docbin needs spacy, which is not installed: pip install 'spacy', or ask for --data csv" in done.output


@pytest.mark.parametrize("form", ["conll", "spacy"])
def test_tables_of_spans_are_refused_for_labels(command: CliRunner, bench: Bench, tmp_path: Path, form: str) -> None:
    made = bench.add()
    bench.publish(made, 2)
    done = export(command, made, tmp_path / "out", "--data", form)
    assert done.exit_code == 1
    assert f"{form} holds texts with spans, and this question asks for none: ask for --data jsonl" in done.output
    assert export(command, made, tmp_path / "out", "--data", "jsonl").exit_code == 0
    rows = [json.loads(line) for line in (tmp_path / "out" / "tasks.jsonl").read_text().splitlines()]
    assert {row["label"] for row in rows} == {"animal", "machine", None}
