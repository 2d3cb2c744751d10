"""Data files that are read with a project's label config: it names the question and the text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from label_studio_al.labeling.tags import Tag
from label_studio_al.learning.beliefs import Beliefs
from label_studio_al.learning.coding import LABEL_SETS, ONE_LABEL, Coding, text_of
from label_studio_al.learning.evaluation import Evaluation, Outcome, evaluate
from label_studio_al.learning.predictions import top_k
from label_studio_al.questions import Answer, LabelConfig, Reading, parse_config, read_controls
from label_studio_al.questions.base import NOT_ANSWERED, UNKNOWN_LABEL
from label_studio_al.questions.registry import KINDS
from label_studio_al.runtime.errors import InvalidRequest, UnsupportedConfig
from label_studio_al.simulate.data import read_data
from label_studio_al.simulate.experiment import prepare
from label_studio_al.simulate.replay import Options, Run, turns
from tests.support.data_files import any_of, config_file, one_of, pairs, refusal, said, write_csv, write_jsonl

HAM_OR_SPAM = one_of("ham", "spam", field="body")
COLOURS = any_of("red", "green", "blue", field="body")
# Twelve texts with one, several and no colours.
SETS = [["red"], ["red", "green"], [], ["blue"]] * 3


def rows_of(answers: Sequence[object], name: str = "topic", **parts: object) -> list[dict[str, object]]:
    return [{"body": f"text {n}", name: answer, **parts} for n, answer in enumerate(answers)]


def one_label_rows(name: str = "topic", **parts: object) -> list[dict[str, object]]:
    return rows_of(["ham", "ham", "spam"] * 4, name, **parts)


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    return write_csv(path, rows) if path.suffix == ".csv" else write_jsonl(path, rows)


# -- which columns --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_config_names_the_text_and_the_answer(tmp_path: Path, name: str) -> None:
    rows = one_label_rows(text="another text", label="another label")
    data = read_data(str(write(tmp_path / name, rows)), config=HAM_OR_SPAM)
    assert pairs(data) == [(row["body"], row["topic"]) for row in rows]
    assert (data.coding, data.question) == (ONE_LABEL, HAM_OR_SPAM.question)
    assert said(data, "the text is") == "the text is body, the label topic"


@pytest.mark.parametrize(
    ("control", "columns", "found"),
    [
        ("topic", {"topic": "ham", "label": "spam"}, "topic"),
        ("topic", {"Topic": "ham", "label": "spam"}, "Topic"),
        ("topic", {"label": "ham", "labels": "spam"}, "label"),
        # A control that is named like the field of the text answers elsewhere.
        ("body", {"label": "ham"}, "label"),
    ],
)
def test_answer_is_in_the_controls_column_or_in_that_of_a_stated_name(
    tmp_path: Path, control: str, columns: dict[str, str], found: str
) -> None:
    rows = [
        {"body": f"text {n}", **{name: value if n % 3 else "spam" for name, value in columns.items()}}
        for n in range(12)
    ]
    data = read_data(
        str(write_csv(tmp_path / "a.csv", rows)), config=one_of("ham", "spam", field="body", control=control)
    )
    assert data.labels.tolist() == [row[found] for row in rows]


def test_named_fields_go_before_those_of_the_config(tmp_path: Path) -> None:
    more = [{"title": f"title {n}", "kind": "spam" if n % 2 else "ham"} for n in range(12)]
    rows = [{**row, **named} for row, named in zip(one_label_rows(), more, strict=True)]
    data = read_data(str(write_csv(tmp_path / "a.csv", rows)), "title", "kind", HAM_OR_SPAM)
    assert pairs(data) == [(row["title"], row["kind"]) for row in more]


@pytest.mark.parametrize("path", ["mail.body", "mail[0].body", "parts[1]"])
def test_nested_text_is_read_as_in_the_live_loop(tmp_path: Path, path: str) -> None:
    def nested(text: object) -> dict[str, object]:
        return {
            "mail.body": {"mail": {"body": text}},
            "mail[0].body": {"mail": [{"body": text}]},
            "parts[1]": {"parts": ["first", text]},
        }[path]

    rows = [{**nested(row["body"]), "topic": row["topic"]} for row in one_label_rows()]
    data = read_data(str(write_jsonl(tmp_path / "a.jsonl", rows)), config=one_of("ham", "spam", field=path))
    assert data.texts == [f"text {n}" for n in range(12)]
    again = read_data(str(tmp_path / "a.jsonl"), path, config=HAM_OR_SPAM)
    assert again.texts == data.texts


def test_column_may_have_the_whole_path_as_its_name(tmp_path: Path) -> None:
    rows = [{"mail.body": row["body"], "topic": row["topic"]} for row in one_label_rows()]
    data = read_data(str(write_csv(tmp_path / "a.csv", rows)), config=one_of("ham", "spam", field="mail.body"))
    assert data.texts[0] == "text 0"


def test_case_of_the_texts_column_does_not_matter(tmp_path: Path) -> None:
    rows = [{"BODY": row["body"], "topic": row["topic"]} for row in one_label_rows()]
    assert read_data(str(write_csv(tmp_path / "a.csv", rows)), config=HAM_OR_SPAM).texts[0] == "text 0"


def test_columns_separator_is_told_by_the_configs_names(tmp_path: Path) -> None:
    rows = [{"body, as sent": "x", **row} for row in one_label_rows()]
    path = write_csv(tmp_path / "a.csv", rows, delimiter=";")
    assert read_data(str(path), config=HAM_OR_SPAM).labels.tolist() == [row["topic"] for row in rows]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (one_of("ham", "spam", field="message"), "there is no field 'message' but body, topic: name one with --text-"),
        (one_of("ham", "spam", field="mail.body"), "there is no field 'mail.body' but body, topic: name one with"),
        (
            one_of("ham", "spam", field="body", control="kind"),
            "there is no field 'kind', 'label' or 'labels' but body, topic: name one with --label-field",
        ),
    ],
)
def test_names_that_the_file_does_not_have_are_a_sentence(tmp_path: Path, config: LabelConfig, words: str) -> None:
    for name in ("a.csv", "a.jsonl"):
        assert words in refusal(write(tmp_path / name, one_label_rows()), config=config)


def test_bundled_examples_have_a_config() -> None:
    labels = read_data("examples").labels.tolist()
    data = read_data("examples", config=one_of(*set(labels)))
    assert data.labels.tolist() == labels


# -- sets -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["topic", "labels"])
@pytest.mark.parametrize(
    ("name", "cell", "separator"),
    [
        ("a.jsonl", lambda labels: labels, None),
        ("a.jsonl", json.dumps, None),
        ("a.csv", json.dumps, None),
        ("a.csv", lambda labels: "; ".join(labels) or "[]", ";"),
        ("a.csv", lambda labels: "; ".join([*labels, ""]) if labels else " [] ", ";"),
        ("a.csv", lambda labels: " | ".join(labels) or "[]", " | "),
        ("a.jsonl", lambda labels: labels, ";"),
    ],
)
def test_sets_are_read_through_the_question(
    tmp_path: Path, column: str, name: str, cell: Any, separator: str | None
) -> None:
    path = write(tmp_path / name, rows_of([cell(labels) for labels in SETS], column))
    data = read_data(str(path), config=COLOURS, separator=separator)
    assert data.coding is LABEL_SETS
    assert pairs(data) == [(f"text {n}", text_of(labels)) for n, labels in enumerate(SETS)]


def test_separator_needs_no_config_where_the_column_states_sets(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "labels": ";".join(labels)} for n, labels in enumerate(SETS)]
    data = read_data(str(write_csv(tmp_path / "a.csv", rows)), separator=";")
    assert data.labels.tolist() == [text_of(labels) for labels in SETS if labels]
    assert said(data, "without a label") == "rows without a label, left out: 3 of 12 (line 4 first)"


@pytest.mark.parametrize("empty", ["", "  ", None])
@pytest.mark.parametrize("separator", [None, ";"])
def test_empty_cell_is_no_answer_and_an_empty_list_is_one(tmp_path: Path, empty: object, separator: str | None) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", rows_of([*SETS, [], "[]", empty]))
    data = read_data(str(path), config=COLOURS, separator=separator)
    assert data.labels.tolist()[12:] == [text_of(()), text_of(())]
    assert said(data, "without a label") == "rows without a label, left out: 1 of 15 (line 15 first)"


def test_separators_alone_are_an_empty_cell(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", rows_of([*SETS, " ; "]))
    assert len(read_data(str(path), config=COLOURS, separator=";").texts) == 12


def test_separator_that_was_not_said_is_asked_for(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", rows_of(["red;green", "blue"] * 6))
    assert refusal(path, config=COLOURS).endswith(
        """line 2: topic must be a JSON list of labels (["a", "b"]), not 'red;green': """
        "what separates labels in a cell is named with --separator"
    )
    assert refusal(path, config=COLOURS, separator="") == "the separator must be one character or more, not none"


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_sets_of_labels_do_not_answer_a_single_choice(tmp_path: Path, name: str) -> None:
    sets = [["ham"], ["ham", "spam"]] * 3
    path = write(tmp_path / name, rows_of([json.dumps(one) for one in sets] if name == "a.csv" else sets, "labels"))
    place = "line 2" if name == "a.csv" else "line 1"
    assert refusal(path, config=HAM_OR_SPAM).endswith(f'{place}: labels must be one label (single choice), not ["ham"]')


def test_separator_makes_no_single_choice(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", one_label_rows())
    assert 'line 2: topic must be one label (single choice), not ["ham"]' in refusal(
        path, config=HAM_OR_SPAM, separator=";"
    )


def test_lists_without_a_config_belong_into_labels(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "a", "label": ["x", "y"]}])
    assert refusal(path).endswith(
        'line 1: label must be one label (single choice), not ["x", "y"]: '
        "several labels stand in a column labels, or are asked for by a label config (--config)"
    )


def test_named_column_labels_states_sets_too(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": "x", "labels": labels} for n, labels in enumerate(SETS)]
    data = read_data(str(write_jsonl(tmp_path / "a.jsonl", rows)), label_field="labels")
    assert data.coding is LABEL_SETS


# -- labels that the config offers ----------------------------------------------------------------------------


def test_labels_that_are_not_in_the_config_are_left_out_and_said(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", [*one_label_rows(), *rows_of(["eggs", "ham", "eggs", "spma"])])
    data = read_data(str(path), config=HAM_OR_SPAM)
    assert len(data.texts) == 13
    assert set(data.labels) == {"ham", "spam"}
    assert said(data, "not in the label config") == (
        "labels that are not in the label config, left out: 'eggs' (2), 'spma' (1)"
    )
    assert said(data, "another label") == "rows without another label, left out: 3 (line 14 first)"


def test_sets_keep_the_labels_of_the_config(tmp_path: Path) -> None:
    """As an annotation with a label that the config had once is read."""
    path = write_jsonl(tmp_path / "a.jsonl", rows_of([*SETS, ["red", "pink"], ["pink"], []]))
    data = read_data(str(path), config=COLOURS)
    assert pairs(data)[12:] == [("text 12", text_of(["red"])), ("text 14", text_of(()))]
    assert said(data, "not in the label config") == "labels that are not in the label config, left out: 'pink' (2)"
    assert said(data, "another label") == "rows without another label, left out: 1 (line 14 first)"


def test_config_may_offer_more_labels_than_occur(tmp_path: Path) -> None:
    data = read_data(
        str(write_csv(tmp_path / "a.csv", one_label_rows())), config=one_of("ham", "eggs", "spam", "x", field="body")
    )
    assert len(data.texts) == 12
    assert said(data, "do not occur") == "labels of the label config that do not occur: 'eggs', 'x'"


def test_where_the_config_offers_none_of_the_labels_the_reason_is_said(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", one_label_rows())
    assert "there are no labelled texts in it; " in refusal(path, config=one_of("a", "b", field="body"))
    assert "left out: 'ham' (8), 'spam' (4)" in refusal(path, config=one_of("a", "b", field="body"))


def test_labels_are_spelled_as_the_config_spells_them(tmp_path: Path) -> None:
    answers = ["1.0", "caf\u00e9 ", "cafe\u0301", "1.0", "A  b", "a b"]
    config = one_of("1", "cafe\u0301", "A  b", "a b", field="body")
    data = read_data(str(write_csv(tmp_path / "a.csv", rows_of(answers))), config=config)
    assert data.labels.tolist() == ["1", "cafe\u0301", "cafe\u0301", "1", "A  b", "a b"]
    assert said(data, "'1.0'") == "'1' is also written '1.0': one label"


def test_labels_that_only_the_config_tells_apart_stay_apart(tmp_path: Path) -> None:
    config = one_of("1", "1.0", "2", field="body")
    data = read_data(str(write_csv(tmp_path / "a.csv", rows_of(["1", "1.0", "2.0"] * 4))), config=config)
    assert data.labels.tolist() == ["1", "1.0", "2"] * 4


# -- the experiment -------------------------------------------------------------------------------------------


def simulate(data: Path, output: Path, *options: object) -> Result:
    few = ("--strategies", "random", "--seeds", "1", "--budget", "4", "--batch", "4")
    small = ("--features", "tfidf", "--encoder", "none", "--n-jobs", "1")
    command = ["simulate", str(data), "--output", str(output), *few, *small, *map(str, options)]
    return CliRunner().invoke(main, command)


def write_config(path: Path, *labels: str, choice: str = "single") -> Path:
    path.write_text(config_file(labels, "body", choice=choice), encoding="utf-8")
    return path


def test_command_reads_a_file_with_a_config(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", rows_of([";".join(labels) or "[]" for labels in SETS]))
    config = write_config(tmp_path / "config.xml", "red", "green", "blue", "black", choice="multiple")
    result = simulate(path, tmp_path / "new", "--config", config, "--separator", ";")
    assert result.exit_code == 0, result.output
    assert "a: 4 labels, 8 texts to label, 4 to test\n  the text is body, the label topic\n" in result.output


def test_two_configs_of_one_file_are_two_experiments(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", one_label_rows())
    one = write_config(tmp_path / "one.xml", "ham", "spam")
    other = write_config(tmp_path / "other.xml", "ham", "spam", "eggs")
    assert simulate(path, tmp_path / "new", "--config", one).exit_code == 0
    again = simulate(path, tmp_path / "new", "--config", one)
    assert "1 of 1 runs are there from before" in again.output
    for options in (["--config", other], ["--text-field", "body", "--label-field", "topic"]):
        refused = simulate(path, tmp_path / "new", *options)
        assert refused.exit_code == 1
        assert "holds another experiment (question " in refused.output


def test_sets_are_another_experiment_than_labels_that_read_like_them(tmp_path: Path) -> None:
    rows = [{"text": f"text {n}", "label": text_of(labels)} for n, labels in enumerate(SETS)]
    assert simulate(write_csv(tmp_path / "a.csv", rows), tmp_path / "new").exit_code == 0
    renamed = [{"text": row["text"], "labels": row["label"]} for row in rows]
    refused = simulate(write_csv(tmp_path / "a.csv", renamed), tmp_path / "new")
    assert "holds another experiment (question " in refused.output


def test_labels_of_the_config_count_as_in_the_live_loop(tmp_path: Path) -> None:
    """The cold start lasts three labels a class of the config, met or not."""
    rows = [{"body": f"{'xyz'[n % 3]} word {n % 7} and {n % 5}", "topic": "abc"[n % 3]} for n in range(120)]
    path = str(write_csv(tmp_path / "a.csv", rows))
    few, many = (
        prepare(read_data(path, config=one_of("a", "b", "c", *more, field="body")))
        for more in ((), [f"L{n}" for n in range(30)])
    )
    options = Options(budget=60, batch=10, features="tfidf")
    asked = [[turn.labelled.tolist() for turn in turns(known, Run("auto", 0), options)][-1] for known in (few, many)]
    assert asked[0] != asked[1]


# -- configs that cannot be read ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "the label config is not valid"),
        (b"", "the label config is empty"),
        (b"<View/>", "the label config has no control"),
        (b'<View><Audio name="i" value="$i"/><Choices name="c" toName="i"/></View>', "about <Audio> is built in"),
        (b'<View><Text name="t" value="$t"/><Number name="r" toName="t"/></View>', "no model for <Number> is built in"),
    ],
)
def test_refused_config_is_refused_as_connect_refuses_it(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "config.xml"
    path.write_bytes(content)
    with pytest.raises(UnsupportedConfig) as refused:
        parse_config(content.decode())
    result = simulate(write_csv(tmp_path / "a.csv", one_label_rows()), tmp_path / "new", "--config", path)
    assert result.exit_code == 1
    assert words in result.output
    assert result.output == f"Error: {refused.value}\n"
    assert not (tmp_path / "new").exists()


def test_choices_that_come_from_the_tasks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.xml"
    choices = '<Choices name="topic" toName="body" value="$options"/>'
    path.write_text(f'<View><Text name="body" value="$body"/>{choices}</View>')
    result = simulate(write_csv(tmp_path / "a.csv", one_label_rows()), tmp_path / "new", "--config", path)
    assert result.exit_code == 1
    assert result.output == f"Error: {path}: the choices must stand in the label config, not come from the tasks\n"


def test_config_that_is_no_file_is_a_sentence(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", one_label_rows())
    for config in (tmp_path / "none.xml", tmp_path):
        result = simulate(path, tmp_path / "new", "--config", config)
        assert (result.exit_code, result.output.count("\n")) == (1, 1)
        assert str(config) in result.output
    latin_1 = tmp_path / "latin-1.xml"
    latin_1.write_bytes("<View>é</View>".encode("latin-1"))
    assert f"{latin_1}: the file is not UTF-8" in simulate(path, tmp_path / "new", "--config", latin_1).output


# -- a kind of question that the package does not have --------------------------------------------------------


@dataclass(frozen=True)
class TrafficLight:
    """How far somebody may go. In data files a light is a colour, or how many are left to green."""

    name: str
    labels: tuple[str, ...] = ("green", "amber", "red")
    coding: ClassVar[Coding] = ONE_LABEL
    fingerprint: ClassVar[str] = "traffic light"

    @classmethod
    def reads(cls, control: Tag) -> bool:
        return control.tag == "TrafficLight"

    @classmethod
    def of(cls, control: Tag, shown: Tag) -> TrafficLight:
        return cls(control.name)

    def read(self, result: object) -> Reading:
        items = [item for item in result if item.get("from_name") == self.name] if isinstance(result, list) else []
        if not items:
            return NOT_ANSWERED
        colour = items[0]["value"]["light"]
        return Reading(colour) if colour in self.labels else Reading(None, UNKNOWN_LABEL)

    def parse(self, value: object) -> Answer:
        if isinstance(value, str) and value.isdecimal() and int(value) < len(self.labels):
            return self.labels[int(value)]
        if not isinstance(value, str) or not value.isalpha():
            raise InvalidRequest(f"must be a colour or a number below {len(self.labels)}, not {value!r}")
        return value.lower()

    def write(self, answer: Answer, confidence: float) -> list[dict[str, Any]]:
        return [{"from_name": self.name, "type": "light", "value": {"light": answer}}]

    def best(
        self, beliefs: Beliefs, k: int, given: Sequence[Answer | None] | None = None
    ) -> list[list[tuple[Answer, float]]]:
        return top_k(beliefs.wide, beliefs.classes, k)

    def figures(self, outcomes: Sequence[Outcome], labels: Sequence[str], seed: int) -> Evaluation:
        return evaluate(outcomes, labels, seed)

    def show(self, answer: Answer) -> str:
        return answer


LIGHT = '<View><Text name="message" value="$body"/><TrafficLight name="light" toName="message"/></View>'
ANSWERED = ["green", "red", "amber", "red"] * 3


@pytest.fixture
def light() -> Iterator[LabelConfig]:
    KINDS.append(TrafficLight)
    parse_config.cache_clear()
    read_controls.cache_clear()
    yield parse_config(LIGHT)
    KINDS.remove(TrafficLight)
    parse_config.cache_clear()
    read_controls.cache_clear()


def test_unknown_kind_reads_cells_in_its_own_words(tmp_path: Path, light: LabelConfig) -> None:
    cells = ["Green", 2, "1", "red"] * 3
    data = read_data(str(write_jsonl(tmp_path / "a.jsonl", rows_of(cells, "light"))), config=light)
    assert pairs(data) == [(f"text {n}", colour) for n, colour in enumerate(ANSWERED)]
    assert data.question == light.question
    path = write_csv(tmp_path / "b.csv", rows_of(["green", "3"], "light"))
    assert refusal(path, config=light).endswith("line 3: light must be a colour or a number below 3, not '3'")
    beside = write_csv(tmp_path / "c.csv", rows_of([*ANSWERED, "blue"], "light"))
    assert said(read_data(str(beside), config=light), "not in the label config").endswith("left out: 'blue' (1)")


def light_items(colour: str) -> list[dict[str, Any]]:
    return [{"from_name": "light", "to_name": "message", "type": "light", "value": {"light": colour}}]


def test_unknown_kind_reads_exports(tmp_path: Path, light: LabelConfig) -> None:
    tasks = [
        {"id": n, "data": {"body": f"text {n}"}, "annotations": [{"id": n, "result": light_items(colour)}]}
        for n, colour in enumerate([*ANSWERED, "blue"])
    ]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    table = [
        {"annotation_id": n, "annotator": 1, "created_at": "", "updated_at": "", "lead_time": 2.5, "body": f"text {n}"}
        | {"light": json.dumps([{"light": colour}])}
        for n, colour in enumerate([*ANSWERED, "blue"])
    ]
    for source in (path, write_csv(tmp_path / "export.csv", table)):
        data = read_data(str(source), config=light)
        assert pairs(data) == [(f"text {n}", colour) for n, colour in enumerate(ANSWERED)]
        assert said(data, "annotations that").endswith("give a label that is not in the label config: 1 of 13")


def test_unknown_kind_is_simulated(tmp_path: Path, light: LabelConfig) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", rows_of(ANSWERED * 4, "light"))
    config = tmp_path / "light.xml"
    config.write_text(LIGHT, encoding="utf-8")
    result = simulate(path, tmp_path / "new", "--config", config, "--budget", "20", "--strategies", "auto,margin")
    assert result.exit_code == 0, result.output
    assert "a: 3 labels" in result.output
    assert {"curves.csv", "summary.csv", "curves.svg"} <= {file.name for file in (tmp_path / "new").iterdir()}
