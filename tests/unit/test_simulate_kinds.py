"""Replays of answers that are neither one label nor a set of labels."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from label_studio_al.cli import main
from label_studio_al.learning.asking import COVERAGE, choose_order
from label_studio_al.learning.coding import ONE_LABEL, group_counts
from label_studio_al.learning.comparison import COMPARED
from label_studio_al.learning.layouts import WHOLE
from label_studio_al.learning.ordered import ORDERED
from label_studio_al.learning.paths import ONE_PATH, PathSets
from label_studio_al.learning.texts import joined
from label_studio_al.questions import parse_config
from label_studio_al.simulate.data import read_data
from label_studio_al.simulate.embedding import Encoders
from label_studio_al.simulate.experiment import Experiment, prepare
from label_studio_al.simulate.replay import Options, Run, replay
from label_studio_al.simulate.results import Results
from label_studio_al.simulate.summary import curves_of, table
from tests.support import shop
from tests.support.data_files import refusal, said, write_csv, write_jsonl
from tests.support.inference import PAIRS, relation
from tests.support.reviews import CONFIG, result, texts, truth

REVIEWS = [{"text": text, "rating": truth(text)} for text in texts(150)]
OPTIONS = Options(budget=40, batch=20, features="tfidf")


def simulate(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments), "--features", "tfidf"])


# -- ratings --------------------------------------------------------------------------------------------------


def test_column_of_ratings_is_read_by_its_name(tmp_path: Path) -> None:
    for path in (write_jsonl(tmp_path / "a.jsonl", REVIEWS), write_csv(tmp_path / "a.csv", REVIEWS)):
        data = read_data(str(path))
        assert data.coding is ORDERED
        assert dict(zip(data.texts, data.labels.tolist(), strict=True)) == {
            row["text"]: str(row["rating"]) for row in REVIEWS
        }


def test_ratings_beside_labels_are_a_question_of_their_own(tmp_path: Path) -> None:
    rows = [{**row, "label": "good" if int(row["rating"]) > 3 else "bad"} for row in REVIEWS]
    data = read_data(str(write_csv(tmp_path / "a.csv", rows)))
    assert [(one.asks, one.coding) for one in data.questions] == [("rating", ORDERED), ("label", ONE_LABEL)]
    rated = read_data(str(tmp_path / "a.csv"), label_field="rating")
    assert (rated.coding, rated.asks, rated.beside) == (ORDERED, "", ())


def test_half_stars_are_refused_with_the_place(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [*REVIEWS, {"text": "another", "rating": 4.5}])
    assert refusal(path).endswith("line 151: rating must be a whole number of stars (round decimals before), not '4.5'")


def test_config_names_the_column_and_the_scale(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "stars": row["rating"]} for row in REVIEWS]
    config = parse_config(CONFIG.replace("<Rating", '<Rating maxRating="4"'))
    for column in ("stars", "rating", "label"):
        renamed = [{"text": row["text"], column: row["stars"]} for row in rows]
        data = read_data(str(write_csv(tmp_path / "a.csv", renamed)), config=config)
        assert said(data, "not in the label config").endswith("left out: '5' (30)")
        assert set(data.labels.tolist()) == {"1", "2", "3", "4"}


def test_exports_hold_ratings(tmp_path: Path) -> None:
    given = [*((row["text"], row["rating"]) for row in REVIEWS), ("too many", 6), ("a half", 2.5)]
    tasks = [
        {"id": n, "data": {"text": text}, "annotations": [{"id": n, "result": result(stars)}]}
        for n, (text, stars) in enumerate(given)
    ]
    fixed = {"annotation_id": 1, "annotator": 1, "created_at": "", "updated_at": "", "lead_time": 2.5}
    rows = [{**fixed, "text": text, "stars": json.dumps([{"rating": stars}])} for text, stars in given]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    for source in (path, write_csv(tmp_path / "export.csv", rows)):
        data = read_data(str(source), config=parse_config(CONFIG))
        assert len(data.texts) == len(REVIEWS)
        assert said(data, "hold something else").endswith("1 of 152")
        assert said(data, "give a label").endswith("1 of 152")
    assert "answers of rating do not tell what was asked: give the label config" in refusal(path)


def test_replay_measures_how_far_off_ratings_are(tmp_path: Path) -> None:
    data = read_data(str(write_jsonl(tmp_path / "a.jsonl", REVIEWS)))
    known = prepare(data)
    points = replay(known, Run("margin", 0), OPTIONS)
    assert [point.n_labels for point in points] == [20, 40]
    assert tuple(points[0].scores) == ORDERED.metrics
    assert points[1].scores["mean_absolute_error"] < points[0].scores["mean_absolute_error"] < 1.2
    runs = [Run("random", 0), Run("random", 1)]
    experiment = Experiment.open(data, OPTIONS, Encoders(), runs, tmp_path / "out")
    assert set(experiment.conduct(1)) == set(runs)
    curves, kept = experiment.curves(), Results(tmp_path / "out")
    assert {tuple(point.scores) for run in runs for point in curves[run]} == {
        ("accuracy", "macro_f1", "micro_f1", "mean_absolute_error", "quadratic_kappa")
    }
    (curve,) = curves_of(curves, "mean_absolute_error")
    full = kept.full()["mean_absolute_error"]
    assert curve.is_error
    assert full < curve.mean[-1]
    # An error is reached from above: 90 % of the full score is an error that is larger by a ninth.
    assert curve.labels_to(float(curve.mean[1])) == 40
    assert curve.labels_to(float(curve.mean[0]) + 1) == 20
    assert curve.labels_to(full / 2) is None
    assert table([curve], 0.9 * float(curve.mean[1]))[1][1] == "40"


def test_command_compares_errors_and_writes_them_behind_the_other_scores(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", REVIEWS)
    done = simulate(
        path, "--output", tmp_path / "out", "--budget", "40", "--seeds", "2", "--metric", "mean_absolute_error",
        "--strategies", "margin", "--full", "1.5",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "mean_absolute_error with all labels: 1.5000" in done.output
    with (tmp_path / "out" / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "strategy", "seed", "n_labels", "accuracy", "macro_f1", "seconds", "micro_f1",
        "mean_absolute_error", "quadratic_kappa", "n_characters",
    ]  # fmt: skip
    assert "Mean absolute error" in (tmp_path / "out" / "curves.svg").read_text()
    again = simulate(path, "--output", tmp_path / "out", "--budget", "40", "--seeds", "2", "--strategies", "margin")
    assert "4 of 4 runs are there from before" in again.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--metric", "best"], "metric must be one of accuracy, macro_f1, micro_f1, mean_absolute_error, quad"),
        (["--metric", "accuracy", "--full", "1.5"], "the full score must be above 0 and at most 1, not 1.5"),
        (["--metric", "mean_absolute_error", "--full", "0"], "the full score must be above 0, not 0.0"),
        (["--metric", "mean_absolute_error", "--full", "inf"], "the full score must be above 0, not inf"),
    ],
)
def test_metric_that_the_answers_do_not_have_is_refused(tmp_path: Path, options: list[str], words: str) -> None:
    done = simulate(write_jsonl(tmp_path / "a.jsonl", REVIEWS), "--output", tmp_path / "out", *options)
    assert done.exit_code == 1
    assert words in done.output
    assert not (tmp_path / "out").exists()


def test_labels_without_an_order_have_no_error(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "label": row["rating"]} for row in REVIEWS]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    done = simulate(path, "--output", tmp_path / "out", "--metric", "mean_absolute_error")
    assert "metric must be one of accuracy, macro_f1, micro_f1, not 'mean_absolute_error'" in done.output


# -- paths ----------------------------------------------------------------------------------------------------

MESSAGES = [{"text": text, "path": shop.truth(text)[0]} for text in shop.texts(150)]


def as_answers(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {row["text"]: json.dumps([row["path"]]) for row in rows}


def test_column_of_paths_is_read_by_its_name(tmp_path: Path) -> None:
    cells = [{**row, "path": json.dumps(row["path"])} for row in MESSAGES]
    joined = [{**row, "path": " > ".join(row["path"])} for row in MESSAGES]
    for path, given in (
        (write_jsonl(tmp_path / "a.jsonl", MESSAGES), {}),
        (write_csv(tmp_path / "a.csv", cells), {}),
        (write_csv(tmp_path / "b.csv", joined), {"separator": ">"}),
    ):
        data = read_data(str(path), **given)
        assert data.coding is ONE_PATH
        assert dict(zip(data.texts, data.labels.tolist(), strict=True)) == as_answers(MESSAGES)


def test_several_paths_in_any_row_make_decisions_of_each(tmp_path: Path) -> None:
    rows = [{"text": text, "path": shop.truth(text)} for text in shop.texts(60, several=True)]
    data = read_data(str(write_jsonl(tmp_path / "a.jsonl", rows)))
    assert data.coding == PathSets()
    assert dict(zip(data.texts, data.labels.tolist(), strict=True)) == {
        str(row["text"]): json.dumps(sorted(row["path"])) for row in rows
    }


def test_cell_that_is_no_path_is_refused_with_what_separates_names(tmp_path: Path) -> None:
    rows = [{**row, "path": " > ".join(row["path"])} for row in MESSAGES]
    words = refusal(write_csv(tmp_path / "a.csv", rows))
    assert 'path must be a path in JSON (["a", "b"]), or a list of paths, not ' in words
    assert words.endswith("what separates labels in a cell is named with --separator")


def test_paths_that_the_config_does_not_have_are_left_out(tmp_path: Path) -> None:
    config = parse_config(shop.ANY.replace("<Choice value='late'/>", ""))
    rows = [{"text": row["text"], "reason": row["path"]} for row in MESSAGES]
    n_late = sum(row["path"] == ["order", "late"] for row in MESSAGES)
    for column in ("reason", "path", "label"):
        renamed = [{"text": row["text"], column: row["reason"]} for row in rows]
        data = read_data(str(write_jsonl(tmp_path / "a.jsonl", renamed)), config=config)
        assert said(data, "not in the label config").endswith(f"left out: 'order / late' ({n_late})")
        assert len(data.texts) == len(MESSAGES) - n_late


def test_exports_hold_paths(tmp_path: Path) -> None:
    given = [*((row["text"], [row["path"]]) for row in MESSAGES), ("gone", [["gone"]]), ("odd", ["order", "late"])]
    tasks = [
        {"id": n, "data": {"text": text}, "annotations": [{"id": n, "result": shop.result(paths)}]}
        for n, (text, paths) in enumerate(given)
    ]
    fixed = {"annotation_id": 1, "annotator": 1, "created_at": "", "updated_at": "", "lead_time": 2.5}
    rows = [{**fixed, "text": text, "reason": json.dumps([{"taxonomy": paths}])} for text, paths in given]
    path = tmp_path / "export.json"
    path.write_text(json.dumps(tasks))
    for source in (path, write_csv(tmp_path / "export.csv", rows)):
        data = read_data(str(source), config=parse_config(shop.ANY))
        assert dict(zip(data.texts, data.labels.tolist(), strict=True)) == as_answers(MESSAGES)
        assert said(data, "hold something else").endswith("1 of 152")
        assert said(data, "give a label").endswith("1 of 152")


@pytest.mark.parametrize("several", [False, True])
def test_replay_measures_the_top_level(tmp_path: Path, several: bool) -> None:
    rows = [{"text": text, "path": shop.truth(text)} for text in shop.texts(150, several=several)]
    known = prepare(read_data(str(write_jsonl(tmp_path / "a.jsonl", rows))))
    points = replay(known, Run("auto", 0), Options(budget=60, batch=20, features="tfidf"))
    assert "top_level_accuracy" in points[-1].scores
    assert points[-1].scores["top_level_accuracy"] >= points[-1].scores["accuracy"] > 0.1


def test_cold_start_lasts_as_long_as_the_top_level_has_names(tmp_path: Path) -> None:
    """Fifty paths under two names: three labels a name are fewer than twenty, three a path would be 150."""
    rows = [{"text": f"word{n % 50} number {n}", "path": [f"top {n % 2}", f"path {n % 50}"]} for n in range(300)]
    known = prepare(read_data(str(write_jsonl(tmp_path / "a.jsonl", rows))))
    classes = group_counts(known.coding, known.coding.classes(known.y).tolist(), ())
    assert classes == {"top 0": 0, "top 1": 0}
    counts = group_counts(known.coding, classes, known.y[:40].tolist())
    assert choose_order("auto", counts, 41, is_trained=True) != COVERAGE
    by_path = {name: int(n) for name, n in known.coding.counts(known.y[:40].tolist()).items()}
    assert choose_order("auto", by_path, 41, is_trained=True) == COVERAGE


def test_command_compares_the_top_level(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", MESSAGES)
    done = simulate(
        path, "--output", tmp_path / "out", "--budget", "40", "--seeds", "2", "--metric", "top_level_accuracy",
        "--strategies", "margin",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "top_level_accuracy with all labels" in done.output


def test_columns_of_two_texts_are_compared(tmp_path: Path) -> None:
    rows = [{"text_a": data["first"], "text_b": data["second"], "label": relation(data)} for data in PAIRS]
    data = read_data(str(write_jsonl(tmp_path / "pairs.jsonl", rows)))
    assert data.layout == COMPARED
    assert set(data.texts) == {joined([data["first"], data["second"]]) for data in PAIRS}
    one_text = read_data(
        str(write_jsonl(tmp_path / "both.jsonl", [{"text": "a text", **row} for row in rows])), "text_a"
    )
    assert one_text.layout == WHOLE
    assert one_text.texts[0] in {data["first"] for data in PAIRS}
