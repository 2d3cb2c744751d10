"""Data files whose answers are spans, and replays of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from label_studio_al.learning.passages import Marking
from label_studio_al.learning.spans import answer_of
from label_studio_al.learning.strategies import STRATEGIES
from label_studio_al.questions import parse_config
from label_studio_al.runtime.errors import InvalidRequest, InvalidSettings
from label_studio_al.simulate.data import Dataset, read_data
from label_studio_al.simulate.embedding import Encoders
from label_studio_al.simulate.experiment import Experiment, prepare
from label_studio_al.simulate.replay import Known, Options, Run, replay, turns
from tests.support.data_files import refusal, said, write_csv, write_jsonl
from tests.support.entities import CONFIG, items, sentences

TEXTS = sentences(60)
ROWS = [{"text": text, "spans": spans} for text, spans in TEXTS]
OPTIONS = Options(budget=30, batch=10)


def simulate(*arguments: object) -> Result:
    done = CliRunner().invoke(main, ["simulate", *map(str, arguments), "--n-jobs", "1"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


def answers(data: Dataset) -> dict[str, str]:
    return dict(zip(data.texts, data.labels.tolist(), strict=True))


TRUTH = {text: answer_of(spans) for text, spans in TEXTS}


# -- columns --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spans", "only"), [([], "none of them"), ([[0, 1, "a"], [2, 3, "b"], [4, 5, "b"]], "a, b")], ids=str
)
def test_answers_that_are_all_the_same_are_refused_by_their_labels(tmp_path: Path, spans: Any, only: str) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": f"{n} and so on", "spans": spans} for n in range(9)])
    assert refusal(path).endswith(f"need 2 labels to learn from, have 1 ({only!r})")


def test_one_label_is_one(tmp_path: Path) -> None:
    rows = [{"text": f"{n} and so on", "spans": [[0, 1, "a"]] * (n % 2)} for n in range(9)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    done = simulate(path, "--strategies", "random", "--seeds", 1, "--budget", 4, "--output", tmp_path / "o")
    assert "a: 1 label, " in done.output


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv"])
def test_column_of_spans_is_read_by_its_name(tmp_path: Path, name: str) -> None:
    cells = ROWS if "json" in name else [{**row, "spans": json.dumps(row["spans"])} for row in ROWS]
    path = write_csv(tmp_path / name, cells) if name == "a.csv" else write_jsonl(tmp_path / name, cells)
    data = read_data(str(path), separator=",")
    assert answers(data) == TRUTH
    assert data.coding.marks == "text"
    assert data.markings == {"text": Marking()}


def test_spans_may_be_objects_with_their_ends(tmp_path: Path) -> None:
    rows = [
        {
            "text": text,
            "spans": [{"start": start, "end": end, "label": label, "token_start": 0} for start, end, label in of],
        }
        for text, of in TEXTS
    ]
    assert answers(read_data(str(write_jsonl(tmp_path / "a.jsonl", rows)))) == TRUTH


def test_spans_beside_labels_are_a_question_of_their_own(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "spans:who": row["spans"], "label": "xy"[n % 2]} for n, row in enumerate(ROWS)]
    data = read_data(str(write_jsonl(tmp_path / "a.jsonl", rows)))
    assert [(one.asks, one.coding.marks) for one in data.questions] == [("who", "text"), ("label", None)]
    assert answers(data) == TRUTH


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        ([[0, 5]], 'line 61: spans must be a list of spans ([[0, 5, "a"]]: from the first character to the one'),
        ([[5, 0, "PER"]], 'behind the last), not [5, 0, "PER"]'),
        ([[-1, 5, "PER"]], 'not [-1, 5, "PER"]'),
        ([[0, 5, "  "]], 'not [0, 5, "  "]'),
        ([{"start": 0, "label": "PER"}], 'not {"start": 0, "label": "PER"}'),
        ("Anna", "not 'Anna'"),
        ([[0, 9, "PER"]], "line 61: spans must lie in the text, which ends at 8, not reach to 9 (positions count"),
    ],
)
def test_what_is_no_span_is_refused_with_its_place(tmp_path: Path, spans: object, words: str) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [*ROWS, {"text": "Anna won", "spans": spans}])
    assert words in refusal(path)
    assert refusal(path).startswith(f"{path}: ")


def test_spans_in_a_column_of_labels_are_told_where_they_belong(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": row["spans"]} for row in ROWS if row["spans"]]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    assert "spans stand in a column spans, or are asked for by a label config (--config)" in refusal(path)
    found = answers(read_data(str(path), config=parse_config(CONFIG)))
    assert found == {text: answer for text, answer in TRUTH.items() if answer != "[]"}


def test_two_texts_must_say_which_is_marked(tmp_path: Path) -> None:
    rows = [{"text_a": row["text"], "text_b": "x", "spans": row["spans"]} for row in ROWS]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    assert "spans are marked in one text, not in text_a and text_b: name it with --text-field" in refusal(path)
    assert answers(read_data(str(path), "text_a")) == TRUTH


def test_copies_that_differ_in_blanks_keep_their_own_spans(tmp_path: Path) -> None:
    copies = [{"text": " Tom won", "spans": [[1, 4, "Person"]]}, {"text": "Tom won", "spans": [[0, 3, "Person"]]}]
    found = answers(read_data(str(write_jsonl(tmp_path / "a.jsonl", [*copies, *ROWS]))))
    assert [found[row["text"]] for row in copies] == ['[[1, 4, "Person"]]', '[[0, 3, "Person"]]']


def test_most_people_decide_on_a_text_as_a_whole(tmp_path: Path) -> None:
    given = [[[0, 3, "Person"]], [[0, 3, "Person"]], []]
    people = [{"text": "Tom won", "spans": spans, "annotator": n} for n, spans in enumerate(given)]
    rows = [*people, *({**row, "annotator": 0} for row in ROWS)]
    assert answers(read_data(str(write_jsonl(tmp_path / "a.jsonl", rows))))["Tom won"] == '[[0, 3, "Person"]]'


# -- tagged tokens --------------------------------------------------------------------------------------------

SENTENCES = [
    ("Anna Berg met Tom .", [(0, 9, "PER"), (14, 17, "PER")]),
    ("# Oslo Bergen", [(2, 6, "LOC"), (7, 13, "LOC")]),
    ("nothing here", []),
]
TAGGED = {
    "two.bio": [
        "Anna B-PER", "Berg I-PER", "met O", "Tom B-PER", ". O", "",
        "# O", "Oslo B-LOC", "Bergen B-LOC", "",
        "nothing O", "here O",
    ],
    "one.iob": [
        "Anna I-PER", "Berg I-PER", "met O", "Tom I-PER", ". O", "",
        "# O", "Oslo I-LOC", "Bergen B-LOC", "",
        "nothing O", "here O",
    ],
    "bioes.conll": [
        "-DOCSTART- -X- O O", "",
        "Anna\tNN\tB-PER", "Berg\tNN\tE-PER", "met\tV\tO", "Tom\tNN\tS-PER", ".\t.\tO", "", "",
        "# id 7 domain=en", "#\t#\tO", "Oslo\tNN\tS-LOC", "Bergen\tNN\tS-LOC", "",
        "nothing\tNN\tO", "here\tNN\tO", "",
    ],
    # As Label Studio's CoNLL2003 export has them.
    "studio.conll": [
        "-DOCSTART- -X- O", "Anna -X- _ B-PER", "Berg -X- _ I-PER", "met -X- _ O", "Tom -X- _ B-PER", ". -X- _ O", "",
        "# -X- _ O", "Oslo -X- _ B-LOC", "Bergen -X- _ B-LOC", "",
        "nothing -X- _ O", "here -X- _ O", "",
    ],
}  # fmt: skip


# Enough of each kind for both parts.
MORE = ["Sam B-PER", "won O", "", "Mira B-PER", "lost O", "", "no O", "word O", "", "none O"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", list(TAGGED))
def test_tagged_tokens_are_sentences_with_spans(tmp_path: Path, name: str, end: str) -> None:
    lines = [*TAGGED[name], "", *MORE]
    (tmp_path / name).write_bytes(end.join(lines).encode())
    found = answers(read_data(str(tmp_path / name)))
    assert {text: found[text] for text, _ in SENTENCES} == {text: answer_of(spans) for text, spans in SENTENCES}
    assert len(found) == len(SENTENCES) + 4


def test_token_behind_the_end_of_a_span_begins_another(tmp_path: Path) -> None:
    lines = ["a S-PER", "b I-PER", "c E-PER", "d I-PER", "e I-LOC", "f O", "", *MORE]
    (tmp_path / "a.bio").write_text("\n".join(lines))
    found = answers(read_data(str(tmp_path / "a.bio")))["a b c d e f"]
    assert found == answer_of([(0, 1, "PER"), (2, 5, "PER"), (6, 7, "PER"), (8, 9, "LOC")])


def test_tagged_tokens_answer_a_label_config(tmp_path: Path) -> None:
    (tmp_path / "a.bio").write_text("\n".join([*TAGGED["two.bio"], "", *MORE]))
    config = CONFIG.replace('"Person"', '"PER"').replace("$text", "$body")
    data = read_data(str(tmp_path / "a.bio"), "text", config=parse_config(config))
    assert said(data, "not in the label config").endswith("left out: 'LOC' (1)")
    found = answers(data)
    assert SENTENCES[1][0] not in found
    assert found[SENTENCES[0][0]] == answer_of(SENTENCES[0][1])
    assert found[SENTENCES[2][0]] == "[]"


@pytest.mark.parametrize("line", ["Anna", "Anna NNP", "Anna B-", "\tO", "Anna X-PER"])
def test_line_without_a_token_or_tag_is_refused_with_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.conll").write_text(f"Tom B-PER\n\n{line}\n")
    rule = "line 3 must be a token and, in the last column, its tag (O, B-PER, I-PER and the like), not "
    assert refusal(tmp_path / "a.conll").startswith(f"{tmp_path / 'a.conll'}: {rule}{line.strip()!r}")


# -- exports --------------------------------------------------------------------------------------------------


def export(rows: Sequence[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
    return [
        {"id": n, "data": {"text": text}, "annotations": [{"id": n, "result": items(text, spans)}]}
        for n, (text, spans) in enumerate(rows, start=1)
    ]


def min_export(rows: Sequence[tuple[str, list[Any]]]) -> list[dict[str, Any]]:
    fixed = {"annotation_id": 1, "annotator": 1, "created_at": "", "updated_at": "", "lead_time": 2.5}
    made = [{**fixed, "text": text, "id": n} for n, (text, _) in enumerate(rows, start=1)]
    for row, (text, spans) in zip(made, rows, strict=True):
        # Nothing stands there where nothing is marked.
        if spans:
            row["entity"] = [item["value"] for item in items(text, spans)]
    return made


@pytest.mark.parametrize("is_min", [False, True])
@pytest.mark.parametrize("config", [None, CONFIG])
def test_exports_hold_spans(tmp_path: Path, config: str | None, *, is_min: bool) -> None:
    rows = [*TEXTS, ("Tom won", [(0, 9, "Person")])]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(min_export(rows) if is_min else export(rows)))
    data = read_data(str(path), config=None if config is None else parse_config(config))
    assert answers(data) == TRUTH
    assert said(data, "beyond").startswith("answers with spans beyond the end of their text, left out: 1 (")
    assert said(data, "the text is") == "the text is text, the label entity"


def test_spans_of_other_texts_need_the_label_config(tmp_path: Path) -> None:
    def html(text: str) -> str:
        return f"<head><title>no</title></head><p>{text.replace('&', '&amp;')}</p>"

    tasks = export(TEXTS)
    for task in tasks:
        task["data"]["text"] = html(task["data"]["text"])
        for item in task["annotations"][0]["result"]:
            start, end = item["value"].pop("start"), item["value"].pop("end")
            item["value"] |= {"start": "/p[1]", "end": "/p[1]", "globalOffsets": {"start": start, "end": end}}
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    assert "answers of labels do not tell what was asked: give the label config (--config)" in refusal(path)
    config = CONFIG.replace("<Text", "<HyperText")
    assert answers(read_data(str(path), config=parse_config(config))) == TRUTH
    renamed = config.replace("$text", "$page")
    assert answers(read_data(str(path), "text", config=parse_config(renamed))) == TRUTH


# -- replays --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    rows = [{"text": text, "spans": spans} for text, spans in sentences(90)]
    return read_data(str(write_jsonl(tmp_path_factory.mktemp("data") / "orders.jsonl", rows)))


@pytest.fixture(scope="module")
def known(data: Dataset) -> Known:
    return prepare(data)


WORKS = {"random", "least_confidence", "margin", "entropy", "k_center", "k_means", "typiclust", "cluster_margin"} | {
    "density_weighted_margin"
}


@pytest.mark.parametrize("strategy", ["auto", *STRATEGIES])
def test_strategy_learns_spans_or_says_why_it_cannot(
    data: Dataset, known: Known, tmp_path: Path, strategy: str
) -> None:
    if strategy in (*WORKS, "auto"):
        first, *_, last = replay(known, Run(strategy, 0), OPTIONS)
        assert last.scores["micro_f1"] > max(0.6, first.scores["micro_f1"] - 0.1)
        return
    with pytest.raises(InvalidSettings, match=f"{strategy} works where .*; choose margin, for example"):
        Experiment.open(data, OPTIONS, Encoders(), [Run(strategy, 0)], tmp_path / "out")
    with pytest.raises(InvalidRequest, match=f"{strategy} works where"):
        replay(known, Run(strategy, 0), OPTIONS)


def test_points_count_the_characters_that_were_read(known: Known) -> None:
    points = replay(known, Run("random", 0), replace(OPTIONS, budget=len(known.y), batch=25))
    lengths = dict(zip(known.contents.tolist(), known.lengths.tolist(), strict=True))
    shuffled = known.shuffled(0)
    asked = turns(shuffled, Run("random", 0), replace(OPTIONS, budget=len(known.y), batch=25))
    read = [sum(lengths[shuffled.contents[row]] for row in turn.labelled) for turn in asked]
    assert [point.n_characters for point in points] == read
    assert len(set(lengths.values())) > 10


def test_before_a_model_nothing_is_marked(known: Known) -> None:
    # One kind of answer is met.
    same = replace(known, y=known.y[:1].repeat(len(known.y)))
    (point,) = replay(same, Run("random", 0), Options(budget=4, batch=4))
    assert point.scores["accuracy"] == pytest.approx((known.y_test == "[]").mean())
    assert point.scores["micro_f1"] == 0


def test_command_compares_strict_f1_by_labels_and_by_characters(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "orders.jsonl", ROWS)
    done = simulate(
        path, "--output", tmp_path / "out", "--budget", 30, "--batch", 10, "--seeds", 2, "--strategies", "margin",
        "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["metric"] == "micro_f1"
    margin, random = document["strategies"]
    assert random["difference_to_random"] is None
    ((n, at),) = margin["difference_to_random"]["at_characters"].items()
    assert at["verdict"] in ("above random", "below random", "not distinguishable")
    with (tmp_path / "out" / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert int(n) == min(int(row["n_characters"]) for row in rows if row["n_labels"] == "30")
    assert f"margin at {n} characters" in " ".join(done.stderr.split())


def test_spans_beside_labels_are_replayed_together(tmp_path: Path) -> None:
    rows = [{**row, "label": "some" if row["spans"] else "none"} for row in ROWS]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    done = simulate(path, "--output", tmp_path / "out", "--budget", 20, "--batch", 10, "--seeds", 1, "--json")
    assert done.exit_code == 0, done.output
    metrics = {one["question"]: one["metric"] for one in json.loads(done.stdout)["questions"]}
    assert metrics == {"spans": "micro_f1", "label": "accuracy"}


# -- automatic labels -----------------------------------------------------------------------------------------


def test_data_set_is_finished_with_texts_whose_spans_are_all_right(tmp_path: Path) -> None:
    rows = [{"text": text, "spans": spans} for text, spans in sentences(300)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    options = ["--autolabel", "--budget", 120, "--batch", 20, "--seeds", 1, "--max-error", 0.2, "--delta", 0.2]
    done = simulate(path, "--output", tmp_path / "out", *options, "--json")
    assert done.exit_code == 0, done.output
    *_, last = json.loads(done.stdout)["finished"]
    assert last["n_selected"] > 50
    assert last["n_wrong"] <= 0.2 * last["n_selected"]
    refused = simulate(path, "--output", tmp_path / "out", *options, "--per-label")
    assert refused.exit_code == 1
    assert "a promise for each label needs one label as the answer, not spans: leave --per-label out" in refused.output
