"""Rows that are no examples as they stand: each gets one text and one label, and what was done is said."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from label_studio_al.simulate.data import Dataset, read_data
from tests.support.data_files import ROWS, pairs, refusal, said, write_csv, write_jsonl

PAIRS = [(row["text"], row["label"]) for row in ROWS]


def read(tmp_path: Path, *rows: dict[str, object]) -> Dataset:
    return read_data(str(write_jsonl(tmp_path / "a.jsonl", rows)))


def labelled(text: str, *labels: object, **parts: object) -> list[dict[str, object]]:
    return [{"text": text, "label": label, **parts} for label in labels]


# -- nothing to read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", ["", "  ", "\u00a0", None, float("nan")])
def test_rows_without_a_text_or_a_label_are_left_out_and_counted(tmp_path: Path, empty: object) -> None:
    data = read(tmp_path, *ROWS[:5], {"text": empty, "label": "ham"}, *labelled("a", empty, empty), *ROWS[5:])
    assert pairs(data) == PAIRS
    assert said(data, "without a text") == "rows without a text, left out: 1 of 43 (line 6 first)"
    assert said(data, "without a label") == "rows without a label, left out: 2 of 43 (line 7 first)"


def test_rows_that_are_too_short_have_no_label(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ROWS)
    path.write_text(path.read_text() + "the end\n")
    data = read_data(str(path))
    assert pairs(data) == PAIRS
    assert said(data, "left out") == "rows without a label, left out: 1 of 41 (line 42 first)"


def test_where_nothing_is_labelled_the_reason_is_said(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", labelled("a", "", ""))
    assert refusal(path).endswith("no labelled texts in it; rows without a label, left out: 2 of 2 (line 1 first)")


# -- labels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Billing", "Billing "),
        ("Billing", "\ufeffBilling"),
        ("late delivery", "late\u00a0 delivery"),
        ("caf\u00e9", "cafe\u0301"),
        ("0", "0.0"),
        (0, 0.0),
        ("-12", "-12.00"),
    ],
)
def test_labels_that_nobody_can_tell_apart_are_one(tmp_path: Path, one: object, other: object) -> None:
    data = read(tmp_path, *ROWS, *labelled("a", one), *labelled("b", other), *labelled("c", one))
    assert data.labels.tolist()[40:] == [str(one)] * 3
    assert said(data, "one label") == f"{str(one)!r} is also written {str(other)!r}: one label"


def test_labels_that_only_look_alike_stay_as_they_are(tmp_path: Path) -> None:
    labels = ["0", "00", "0.5", "1.0", "1.10", "1.1", "a b", "ab"]
    data = read(tmp_path, *ROWS, *(row for n, label in enumerate(labels) for row in labelled(f"own {n}", label)))
    assert data.labels.tolist()[40:] == labels
    assert not [note for note in data.notes if "one label" in note]


def test_labels_that_differ_in_capitals_are_pointed_at(tmp_path: Path) -> None:
    data = read(tmp_path, *ROWS, *labelled("a", "Ham"), *labelled("b", "Ham"))
    assert said(data, "capitals") == "'Ham', 'ham' differ in capitals only, and stay 2 labels"
    assert set(data.labels) == {"ham", "Ham", "spam"}


def test_many_merged_labels_are_not_all_listed(tmp_path: Path) -> None:
    rows = [row for n in range(30) for row in [*labelled(f"a {n}", f"L{n}"), *labelled(f"b {n}", f"L{n} ")]]
    data = read(tmp_path, *rows)
    assert len(set(data.labels)) == 30
    assert len([note for note in data.notes if "one label" in note]) == 5
    assert "25 more like these" in data.notes


def test_numbers_are_labels_too(tmp_path: Path) -> None:
    data = read(tmp_path, *(row for n in range(4) for row in labelled(f"text {n}", n % 2)))
    assert data.labels.tolist() == ["0", "1", "0", "1"]


# -- several labels of one text -------------------------------------------------------------------------------


def test_people_who_contradict_each_other_are_one_label(tmp_path: Path) -> None:
    votes = {"text 0": "ham spam spam", "text 1": "ham ham ham", "text 2": "spam ham", "text 4": "spam"}
    rows = [
        {"text": text, "label": label, "annotator": f"person {n}"}
        for text, labels in votes.items()
        for n, label in enumerate(labels.split())
    ]
    rest = [{**row, "annotator": "person 0"} for row in ROWS[5:]]
    data = read(tmp_path, *rows, *rest)
    assert pairs(data)[:3] == [("text 0", "spam"), ("text 1", "ham"), ("text 4", "spam")]
    assert len(data.texts) == 38
    assert said(data, "answers") == (
        "44 answers to 39 tasks: each task counts once, with the label that most gave it; with different labels: 2; "
        "left out, as many of one as of another: 1"
    )


def test_one_person_a_text_needs_no_consensus(tmp_path: Path) -> None:
    data = read(tmp_path, *({**row, "annotator": n % 3} for n, row in enumerate(ROWS)))
    assert pairs(data) == PAIRS
    assert not [note for note in data.notes if "answers" in note]


def test_copies_with_different_labels_get_the_one_that_most_have(tmp_path: Path) -> None:
    data = read(tmp_path, *ROWS, *labelled("mostly ham", "ham", "spam", "ham"), *labelled("either", "ham", "spam"))
    assert pairs(data) == [*PAIRS, *[("mostly ham", "ham")] * 3]
    assert said(data, "different labels") == (
        "texts in several rows with different labels, which all count with the label that most have: 2; "
        "left out, as many of one as of another: 1"
    )


# -- parts ----------------------------------------------------------------------------------------------------


def test_without_a_split_30_percent_of_each_label_is_held_out(tmp_path: Path) -> None:
    data, again = read(tmp_path, *ROWS), read(tmp_path, *ROWS)
    assert Counter(data.labels[data.test_rows].tolist()) == {"ham": 9, "spam": 3}
    assert data.is_test.tolist() == again.is_test.tolist()
    assert data.notes == ("30% of the texts of each label held out for the test, drawn with seed 0",)


def test_what_is_held_out_does_not_depend_on_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [*ROWS, *ROWS[:7], *labelled("contradicted", "ham", "spam", "spam")]
    data = read(tmp_path, *rows)
    shuffled = read(tmp_path, *(rows[place] for place in np.random.default_rng(1).permutation(len(rows))))
    assert {data.texts[row] for row in data.test_rows} == {shuffled.texts[row] for row in shuffled.test_rows}
    assert sorted(pairs(data)) == sorted(pairs(shuffled))


def test_what_is_held_out_of_a_text_does_not_depend_on_other_labels(tmp_path: Path) -> None:
    more = [row for n in range(20) for row in labelled(f"other {n}", "other")]
    data, grown = read(tmp_path, *ROWS), read(tmp_path, *more, *ROWS)
    tested = {grown.texts[row] for row in grown.test_rows}
    assert {data.texts[row] for row in data.test_rows} == {text for text in tested if not text.startswith("other")}


def test_copies_of_a_text_are_in_the_same_part(tmp_path: Path) -> None:
    copies = [{**row, "text": f" {row['text']}".replace(" ", "  ")} for row in ROWS]
    data = read(tmp_path, *ROWS, *copies, *ROWS)
    train, test = ({" ".join(data.texts[row].split()) for row in rows} for rows in (data.train_rows, data.test_rows))
    assert not train & test
    assert (len(train), len(test)) == (28, 12)
    assert (data.n_train, len(data.test_rows)) == (84, 36)
    assert said(data, "copies") == "rows with a text that was there before: 80; all copies are in the same part"


def test_label_of_two_texts_is_in_both_parts(tmp_path: Path) -> None:
    data = read(tmp_path, *ROWS, *labelled("x", "rare"), *labelled("y", "rare"))
    assert "rare" in data.labels[data.train_rows]
    assert "rare" in data.labels[data.test_rows]


def test_label_of_one_text_can_be_learnt_but_not_tested(tmp_path: Path) -> None:
    data = read(tmp_path, *ROWS, *labelled("x", "rare", "rare"))
    assert data.labels[data.train_rows].tolist().count("rare") == 2
    assert said(data, "of one text") == "labels of one text, which is in train: 'rare'"


def with_split(*names: str) -> list[dict[str, object]]:
    """The forty rows, the names of parts in turn."""
    return [{**row, "split": names[n % len(names)]} for n, row in enumerate(ROWS)]


def test_split_of_the_data_is_kept(tmp_path: Path) -> None:
    data = read(tmp_path, *with_split("train", "test", "Train ", "TEST", "train"))
    assert data.test_rows.tolist() == [n for n in range(40) if n % 5 in (1, 3)]
    assert data.notes == ("split as the data says",)


@pytest.mark.parametrize("name", ["dev", "val", "validation", "Validation"])
def test_validation_is_left_out_of_both_parts(tmp_path: Path, name: str) -> None:
    data = read(tmp_path, *with_split("train", "test", name, "train", "train"))
    assert (data.n_train, len(data.test_rows)) == (24, 8)
    assert not {f"text {n}" for n in range(2, 40, 5)} & set(data.texts)
    assert said(data, "left out") == f"rows of neither train nor test, left out: {name!r} (8)"


def test_without_a_test_part_one_is_held_out_of_the_one_for_training(tmp_path: Path) -> None:
    data = read(tmp_path, *with_split("train", "train", "other", "train", "train"))
    assert len(data.texts) == 32
    assert Counter(data.labels[data.test_rows].tolist()) == {"ham": 7, "spam": 2}
    assert said(data, "never says test")
    assert said(data, "30%")


@pytest.mark.parametrize("name", ["val", "dev", "Validation"])
def test_a_validation_part_is_the_test_where_there_is_no_other(tmp_path: Path, name: str) -> None:
    data = read(tmp_path, *with_split("train", "train", name, "train", "train"))
    assert (len(data.texts), len(data.test_rows)) == (40, 8)
    assert said(data, "never says test") == f"split never says test: tested on {name}"


def test_split_that_splits_nothing_is_not_used(tmp_path: Path) -> None:
    data = read(tmp_path, *with_split("all"))
    assert pairs(data) == PAIRS
    assert said(data, "not used") == "split says neither train nor test but 'all' (40), and is not used"
    assert said(data, "30%")


def test_texts_of_both_parts_are_taken_out_of_the_one_for_training(tmp_path: Path) -> None:
    rows = [{**row, "split": "test" if n < 7 else "train"} for n, row in enumerate(ROWS)]
    leaks = [{**row, "text": row["text"] + " ", "split": "train"} for row in rows[:3]]
    data = read(tmp_path, *rows, *leaks, *leaks[:1])
    assert pairs(data) == PAIRS
    assert data.test_rows.tolist() == list(range(7))
    assert said(data, "left out") == "rows of train whose text is in test too, left out: 4"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,label\na,b\nc,b\n", "need 2 labels to learn from, have 1 ('b')"),
        ("text,label\na,x\nb,y\n", "need 2 labels in train and a text in test, have 2 and 0"),
        ("text,label,split\na,x,test\nb,y,test\n", "need 2 labels in train and a text in test, have 0 and 2"),
        (
            "text,label,split\na,x,train\nb,y,test\nc,x,train\n",
            "need 2 labels in train and a text in test, have 1 and 1",
        ),
    ],
)
def test_too_few_labels_are_a_sentence(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert words in refusal(path)
