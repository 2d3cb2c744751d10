"""Replaying the loop on known labels: runs, resumption, summary, pictures, the command."""

from __future__ import annotations

import csv
import io
import json
import socket
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy import stats
from sklearn.metrics import f1_score

import label_studio_al.simulate.experiment
from label_studio_al.cli import main
from label_studio_al.learning.features import Features
from label_studio_al.learning.strategies import STRATEGIES
from label_studio_al.runtime.keeping import CANNOT_START
from label_studio_al.simulate import plot
from label_studio_al.simulate.autolabel import labellers, prepare_pool
from label_studio_al.simulate.data import Dataset, read_data
from label_studio_al.simulate.embedding import Encoders
from label_studio_al.simulate.experiment import Experiment, prepare
from label_studio_al.simulate.replay import Known, Options, Point, Run, full_scores, plan, replay, turns
from label_studio_al.simulate.summary import (
    Curve,
    as_text,
    curves_of,
    difference,
    differences_table,
    differences_to_random,
    table,
)

WORDS = {
    "sport": "goal match team coach league",
    "money": "bank loan interest tax share",
    "food": "soup bread cake salt",
}
NOISE = [f"word{n}" for n in range(60)]
OPTIONS = Options(budget=40, batch=10)


def make_rows(n: int, seed: int = 0) -> list[dict[str, str]]:
    """Texts of a topic's words and noise, the topics unevenly frequent; every third is of the test split."""
    random = np.random.default_rng(seed)
    labels = random.choice(list(WORDS), n, p=[0.6, 0.3, 0.1])
    return [
        {
            "text": " ".join([*random.choice(WORDS[label].split(), 3), *random.choice(NOISE, 5)]),
            "label": str(label),
            "split": "test" if place % 3 == 0 else "train",
        }
        for place, label in enumerate(labels)
    ]


@pytest.fixture(scope="module")
def data_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "topics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in make_rows(180)))
    return path


@pytest.fixture(scope="module")
def data(data_path: Path) -> Dataset:
    return read_data(str(data_path))


@pytest.fixture(scope="module")
def known(data: Dataset) -> Known:
    return prepare(data)


def scores(points: list[Point]) -> list[tuple[int, float, float]]:
    return [(point.n_labels, point.scores["accuracy"], point.scores["macro_f1"]) for point in points]


# -- one run --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["auto", *STRATEGIES])
def test_every_strategy_can_be_replayed(known: Known, strategy: str) -> None:
    points = replay(known, Run(strategy, 0), OPTIONS)
    assert [point.n_labels for point in points] == [10, 20, 30, 40]
    assert points[-1].scores["accuracy"] > 0.6
    assert all(point.seconds > 0 for point in points)


@pytest.mark.parametrize("strategy", ["auto", "margin", "random"])
def test_same_seed_repeats_a_run_and_another_changes_it(known: Known, strategy: str) -> None:
    first, again, other = (scores(replay(known, Run(strategy, seed), OPTIONS)) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_last_batch_is_cut_to_the_budget(known: Known) -> None:
    points = replay(known, Run("random", 0), Options(budget=25, batch=10))
    assert [point.n_labels for point in points] == [10, 20, 25]


def test_run_goes_on_from_a_turn_with_other_options(known: Known) -> None:
    *_, uninterrupted = turns(known, Run("margin", 0), OPTIONS)
    *_, trained_on = turns(known, Run("margin", 0), replace(OPTIONS, budget=20))
    *_, again = turns(known, Run("margin", 0), OPTIONS, after=trained_on)
    assert again.labelled.tolist() == uninterrupted.labelled.tolist()
    *_, audited = turns(known, Run("margin", 0), replace(OPTIONS, audit_share=1.0), after=trained_on)
    assert audited.labelled[:20].tolist() == trained_on.labelled.tolist()
    assert audited.is_audit.tolist() == [False] * 20 + [True] * 20


@pytest.mark.parametrize("strategy", ["auto", "margin", "random"])
def test_all_labels_give_the_full_score(known: Known, strategy: str) -> None:
    points = replay(known, Run(strategy, 0), Options(budget=1000, batch=40, features="tfidf"))
    assert points[-1].n_labels == len(known.y) == 120
    assert points[-1].scores["accuracy"] == pytest.approx(full_scores(known, "tfidf")["accuracy"], abs=0.04)


def test_with_one_label_met_everything_is_taken_for_it(known: Known) -> None:
    sport = np.flatnonzero(known.y == "sport")
    X, y, contents, lengths = (part[sport[:5]] for part in (known.X, known.y, known.contents, known.lengths))
    few = Known(X, y, known.X_test, known.y_test, known.choices, contents, lengths)
    points = replay(few, Run("margin", 0), Options(budget=4, batch=2))
    share = float((known.y_test == "sport").mean())
    macro_f1 = f1_score(known.y_test, np.full(len(known.y_test), "sport"), average="macro")
    assert scores(points) == [(2, share, pytest.approx(macro_f1)), (4, share, pytest.approx(macro_f1))]


def test_audit_share_of_one_makes_every_strategy_random(known: Known) -> None:
    options = Options(budget=60, batch=10, audit_share=1.0)
    by_name = [scores(replay(known, Run(name, 0), options)) for name in ("margin", "entropy", "least_confidence")]
    assert by_name[0] == by_name[1] == by_name[2]
    assert scores(replay(known, Run("margin", 0), OPTIONS)) != by_name[0][:4]


def test_test_split_is_not_seen_by_features(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Features] = []
    fit_transform = Features.fit_transform

    def spy(*arguments: Any) -> Any:
        fitted = fit_transform(*arguments)
        seen.append(fitted[0])
        return fitted

    monkeypatch.setattr(Features, "fit_transform", spy)
    texts = ["apple pie", "bank loan", "apple secret", "bank secret"]
    prepare(Dataset("", texts, np.array(["x", "y", "x", "y"]), np.array([False, False, True, True])))
    assert seen[0].tfidf.transform(["apple"]).nnz == 1
    assert seen[0].tfidf.transform(["secret"]).nnz == 0


def test_test_split_changes_scores_only(known: Known) -> None:
    other = replace(known, X_test=known.X_test[:20], y_test=known.y_test[:20])
    asked = [point.n_labels for point in replay(other, Run("auto", 0), OPTIONS)]
    assert asked == [10, 20, 30, 40]
    whole = replace(known, X_test=known.X, y_test=known.y)
    reversed_test = replace(known, X_test=known.X_test[::-1], y_test=known.y_test[::-1])
    assert scores(replay(reversed_test, Run("auto", 0), OPTIONS)) == scores(replay(known, Run("auto", 0), OPTIONS))
    assert scores(replay(whole, Run("auto", 0), OPTIONS)) != scores(replay(known, Run("auto", 0), OPTIONS))


def test_seeds_have_their_own_order_of_the_data(known: Known) -> None:
    first, again, other = known.shuffled(1), known.shuffled(1), known.shuffled(2)
    assert first.y.tolist() == again.y.tolist() != other.y.tolist()
    assert sorted(first.y) == sorted(known.y)
    # Texts and labels stay together.
    rows = {(row.tobytes(), label) for row, label in zip(known.X.terms.toarray(), known.y, strict=True)}
    assert {(row.tobytes(), label) for row, label in zip(first.X.terms.toarray(), first.y, strict=True)} == rows


@pytest.mark.parametrize("strategy", ["auto", "margin", "badge", "vote_entropy", "random"])
def test_order_of_the_file_changes_nothing(data: Dataset, strategy: str) -> None:
    sorted_by_label = np.argsort(data.labels, kind="stable")
    shuffled = np.random.default_rng(3).permutation(len(data.texts))
    curves = [
        [scores(replay(prepare(rearranged(data, order)), Run(strategy, seed), OPTIONS)) for seed in (0, 1)]
        for order in (sorted_by_label, shuffled)
    ]
    assert curves[0] == curves[1]


def rearranged(data: Dataset, order: Any) -> Dataset:
    texts = [data.texts[row] for row in order]
    return Dataset(data.name, texts, data.labels[order], data.is_test[order], data.notes)


def test_random_is_random_however_the_file_is_sorted() -> None:
    # A batch of neighbours of the one before would hold the same labels again: their number in all batches would vary
    # about three times as much from seed to seed as in 60 independent draws.
    labels = np.repeat(["a", "b", "c"], 100)
    texts = [f"{label} text {place:03}" for place, label in enumerate(labels)]
    known = prepare(Dataset("", texts, labels, np.arange(300) % 3 == 2))
    counts = []
    for seed in range(100):
        shuffled = known.shuffled(seed)
        *_, last = turns(shuffled, Run("random", seed), Options(budget=60, batch=20))
        counts.append((shuffled.y[last.labelled] == "a").sum())
    expected = stats.hypergeom(len(known.y), (known.y == "a").sum(), 60)
    assert np.mean(counts) == pytest.approx(expected.mean(), abs=4 * expected.std() / np.sqrt(len(counts)))
    assert np.var(counts) < 1.6 * expected.var()


# -- summary --------------------------------------------------------------------------------------------------


def curve(*means: float, strategy: str = "auto") -> Curve:
    n_labels = np.arange(1, len(means) + 1) * 20
    scores = np.add.outer([0.01, -0.01], means)
    return Curve(strategy, n_labels, scores, np.array([[0.1] * len(means), [0.3] * len(means)]))


def test_labels_to_a_target_lie_on_the_line_between_two_points() -> None:
    # .80 at 40 labels, .90 at 60: .85 is half way, .825 a quarter.
    found = curve(0.6, 0.8, 0.9)
    assert found.labels_to(0.85) == pytest.approx(50)
    assert found.labels_to(0.825) == pytest.approx(45)
    assert found.labels_to(0.8) == pytest.approx(40)


def test_labels_to_a_target_are_none_if_it_is_never_reached() -> None:
    assert curve(0.6, 0.8, 0.9).labels_to(0.91) is None


def test_first_batch_is_the_least_number_of_labels() -> None:
    assert curve(0.6, 0.8).labels_to(0.3) == 20


def test_first_time_counts_where_a_curve_falls_again() -> None:
    assert curve(0.6, 0.8, 0.7, 0.9).labels_to(0.75) == pytest.approx(35)


def test_area_is_the_mean_height() -> None:
    assert curve(0.6, 0.8, 0.8).area() == pytest.approx((0.7 + 0.8) / 2)
    assert curve(0.7).area() == pytest.approx(0.7)


def test_score_between_two_points() -> None:
    assert curve(0.6, 0.8).at(30) == pytest.approx(0.7)


def test_interval_is_student_s() -> None:
    # Two values 0.02 apart: standard error 0.01, t with one degree of freedom 12.706.
    low, high = curve(0.6).interval()
    assert high[0] - low[0] == pytest.approx(2 * 12.706 * 0.01, rel=1e-3)


def test_table_says_what_is_never_reached() -> None:
    lines = table([curve(0.6, 0.8, 0.9), curve(0.5, 0.6, 0.7, strategy="random")], full=1.0)
    assert lines[1] == ["auto", "60", "-", "-", "0.7750", "0.200"]
    assert lines[2][1:4] == ["-", "-", "-"]
    assert as_text([["a", "bb"], ["ccc", "d"]]) == "a    bb\nccc   d"


def three_seeds(strategy: str, *scores: tuple[float, ...]) -> Curve:
    return Curve(strategy, np.array([20, 100, 200, 220]), np.array(scores), np.full((len(scores), 4), 0.1))


RANDOM_CURVE = three_seeds("random", (0.5, 0.6, 0.7, 0.8), (0.6, 0.7, 0.8, 0.9), (0.4, 0.5, 0.6, 0.7))


def test_difference_to_random_is_paired_by_seed() -> None:
    # Seeds differ by .1, a strategy from random by .02 to .04 with the same seed: only pairs tell them apart.
    ours = np.array([0.62, 0.73, 0.54])
    found = difference(ours, RANDOM_CURVE.scores_at(100))
    expected = stats.ttest_rel(ours, RANDOM_CURVE.scores_at(100)).confidence_interval(0.95)
    assert found.mean == pytest.approx(0.03)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.verdict == "above random"
    assert difference(RANDOM_CURVE.scores_at(100), ours).verdict == "below random"


def test_difference_whose_interval_holds_0_is_not_distinguishable() -> None:
    found = difference(np.array([0.65, 0.68, 0.54]), np.array([0.6, 0.7, 0.5]))
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high
    assert found.verdict == "not distinguishable"
    assert difference(np.array([0.6, 0.7]), np.array([0.6, 0.7])).verdict == "not distinguishable"


def test_one_seed_has_no_interval() -> None:
    found = difference(np.array([0.7]), np.array([0.6]))
    assert (found.low, found.high, found.verdict) == (None, None, "one seed, no interval")


def test_areas_and_scores_at_fixed_numbers_of_labels_are_compared_with_random() -> None:
    ours = three_seeds("margin", (0.5, 0.7, 0.7, 0.8), (0.6, 0.8, 0.8, 0.9), (0.4, 0.6, 0.6, 0.7))
    found = differences_to_random([ours, RANDOM_CURVE])["margin"]
    assert list(found) == ["area", "at 100", "at 200", "at 220"]
    assert [one.verdict for one in found.values()] == ["above random", "above random", *["not distinguishable"] * 2]
    assert found["at 100"].mean == pytest.approx(0.1)
    assert found["area"].mean == pytest.approx(ours.area() - RANDOM_CURVE.area()) == pytest.approx(0.1 * 90 / 200)
    lines = differences_table([ours, RANDOM_CURVE])
    assert lines[2][:3] == ["margin", "at 100 labels", "+0.1000"]
    assert [line[-1] for line in lines[1:]] == [one.verdict for one in found.values()]


# -- experiment -----------------------------------------------------------------------------------------------


def open_experiment(data: Dataset, folder: Path, n_seeds: int = 2) -> Experiment:
    return Experiment.open(data, OPTIONS, Encoders(), plan(["margin"], n_seeds), folder)


def test_killed_experiment_makes_only_the_missing_runs(data: Dataset, tmp_path: Path) -> None:
    runs = open_experiment(data, tmp_path).conduct(n_jobs=1)
    finished = [next(runs), next(runs)]
    runs.close()
    again = open_experiment(data, tmp_path)
    assert set(again.missing()) == set(again.runs) - set(finished)
    before = again.results.load(finished[0])
    assert len(list(again.conduct(n_jobs=1))) == 2
    assert again.results.load(finished[0]) == before
    assert not again.missing()


def test_finished_experiment_computes_nothing(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list(open_experiment(data, tmp_path).conduct(n_jobs=1))
    monkeypatch.setattr(label_studio_al.simulate.experiment, "prepare", None)
    again = open_experiment(data, tmp_path)
    assert list(again.conduct()) == []
    assert len(again.curves()) == 4


def test_more_seeds_are_added_to_those_there(data: Dataset, tmp_path: Path) -> None:
    list(open_experiment(data, tmp_path, n_seeds=1).conduct(n_jobs=1))
    assert open_experiment(data, tmp_path, n_seeds=2).missing() == [Run("margin", 1), Run("random", 1)]


def test_torn_file_is_no_run(data: Dataset, tmp_path: Path) -> None:
    experiment = open_experiment(data, tmp_path)
    (tmp_path / "runs" / ".margin-0.csv.17").write_text("strategy,se")
    assert len(experiment.missing()) == 4


def test_runs_at_the_same_time_give_the_same(data: Dataset, tmp_path: Path) -> None:
    alone, together = open_experiment(data, tmp_path / "1"), open_experiment(data, tmp_path / "2")
    list(alone.conduct(n_jobs=1))
    with joblib.parallel_config("threading"):
        list(together.conduct(n_jobs=2))
    for run in alone.runs:
        assert scores(alone.results.load(run)) == scores(together.results.load(run))


def test_folder_goes_on_with_the_same_data_in_another_order(data: Dataset, tmp_path: Path) -> None:
    list(open_experiment(data, tmp_path).conduct(n_jobs=1))
    assert not open_experiment(rearranged(data, np.arange(len(data.texts))[::-1]), tmp_path).missing()


def test_docs_list_every_strategy_with_its_paper() -> None:
    lines = (Path(__file__).parents[2] / "docs" / "strategies.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| `")]
    listed = {name.strip("`"): paper for name, _, _, paper in cells}
    assert listed.pop("auto")
    assert listed == {strategy.name: strategy.source for strategy in STRATEGIES.values()}


def test_random_is_always_compared() -> None:
    assert plan(["auto"], 1) == [Run("auto", 0), Run("random", 0)]
    assert plan(["random", "auto", "random"], 1) == [Run("random", 0), Run("auto", 0)]


# -- the command ----------------------------------------------------------------------------------------------


def simulate(data: object, output: Path, *options: str) -> Result:
    standard = ("--budget", "40", "--batch", "10", "--seeds", "2", "--encoder", "none", "--n-jobs", "1")
    return CliRunner().invoke(main, ["simulate", str(data), "--output", str(output), *standard, *options])


@pytest.fixture(scope="module")
def finished(data_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    folder = tmp_path_factory.mktemp("results") / "new"
    result = simulate(data_path, folder)
    assert result.exit_code == 0, result.output
    return result, folder


def test_command_prints_a_table(finished: tuple[Result, Path]) -> None:
    output = finished[0].output
    assert "topics: 3 labels, 120 texts to label, 60 to test\n  split as the data says" in output
    lines = output.splitlines()
    header = next(place for place, line in enumerate(lines) if line.startswith("strategy"))
    assert [line.split()[0] for line in lines[header + 1 : header + 4]] == ["auto", "margin", "random"]
    # Of each strategy but random, in the area and at the budget.
    assert [line.split()[0] for line in lines[header + 6 : header + 10]] == ["auto", "auto", "margin", "margin"]


def test_command_gives_machines_one_json_document(finished: tuple[Result, Path], data_path: Path) -> None:
    again = simulate(data_path, finished[1], "--json")
    assert again.exit_code == 0, again.output
    document = json.loads(again.stdout)
    assert [one["strategy"] for one in document["strategies"]] == ["auto", "margin", "random"]
    with (finished[1] / "summary.csv").open() as file:
        areas = [row["area"] for row in csv.DictReader(file)]
    assert [f"{one['area']:.4f}" for one in document["strategies"]] == areas
    assert "Written to" in again.stderr
    compared = [one["difference_to_random"] for one in document["strategies"]]
    assert compared[2] is None
    assert list(compared[0]) == ["area", "at_labels"]
    assert compared[0]["area"]["low"] < compared[0]["area"]["mean"] < compared[0]["area"]["high"]
    assert compared[0]["at_labels"]["40"]["verdict"] in ("above random", "below random", "not distinguishable")
    with (finished[1] / "summary.csv").open() as file:
        written = next(csv.DictReader(file))
    assert written["area minus random"] == f"{compared[0]['area']['mean']:.4f}"
    assert written["area verdict"] == compared[0]["area"]["verdict"]
    assert written["at 40 minus random high"] == f"{compared[0]['at_labels']['40']['high']:.4f}"


def test_command_writes_the_numbers(finished: tuple[Result, Path]) -> None:
    with (finished[1] / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "strategy", "seed", "n_labels", "accuracy", "macro_f1", "seconds", "micro_f1", "n_characters"
    ]  # fmt: skip
    assert len(rows) == 3 * 2 * 4
    with (finished[1] / "summary.csv").open() as file:
        assert [row["strategy"] for row in csv.DictReader(file)] == ["auto", "margin", "random"]
    assert {path.name for path in finished[1].iterdir()} == {
        "curves.csv", "curves.png", "curves.svg", "experiment.json", "runs", "summary.csv"
    }  # fmt: skip


def test_pictures_show_every_curve(finished: tuple[Result, Path]) -> None:
    svg = (finished[1] / "curves.svg").read_text()
    ET.fromstring(svg)
    for words in (
        "auto",
        "margin",
        "random",
        "all labels",
        "Accuracy",
        "Labels",
        "topics",
        "mean of 2 runs",
        "auto: area",
        "minus random",
    ):
        assert words in svg
    png = (finished[1] / "curves.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert len(png) > 10_000


def test_command_repeats_to_the_byte(finished: tuple[Result, Path], data_path: Path, tmp_path: Path) -> None:
    assert simulate(data_path, tmp_path).exit_code == 0
    for name in ("curves.svg", "curves.png", "experiment.json"):
        assert (tmp_path / name).read_bytes() == (finished[1] / name).read_bytes()
    for name, seconds in {"curves.csv": "seconds", "summary.csv": "seconds a turn"}.items():
        ours, theirs = (
            list(csv.DictReader(io.StringIO((folder / name).read_text()))) for folder in (tmp_path, finished[1])
        )
        assert [row | {seconds: ""} for row in ours] == [row | {seconds: ""} for row in theirs]


def test_file_sorted_by_label_gives_what_a_shuffled_one_gives(tmp_path: Path) -> None:
    # Without a split of its own, and with copies of texts: what is held out follows from the content, too.
    rows = [{"text": row["text"], "label": row["label"]} for row in make_rows(150)] * 2
    orders = {
        "sorted": sorted(rows, key=lambda row: row["label"]),
        "shuffled": [rows[place] for place in np.random.default_rng(5).permutation(len(rows))],
    }
    found = []
    for name, ordered in orders.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in ordered))
        assert simulate(path, tmp_path / name, "--strategies", "auto").exit_code == 0
        written = csv.DictReader(io.StringIO((tmp_path / name / "curves.csv").read_text()))
        found.append([row | {"seconds": ""} for row in written])
    assert found[0] == found[1]


def test_command_goes_on_and_refuses_other_options(finished: tuple[Result, Path], data_path: Path) -> None:
    before = (finished[1] / "curves.csv").read_bytes()
    again = simulate(data_path, finished[1])
    assert "6 of 6 runs are there from before" in again.output
    assert (finished[1] / "curves.csv").read_bytes() == before
    other = simulate(data_path, finished[1], "--batch", "20")
    assert other.exit_code == 1
    assert "holds another experiment (batch 10, not 20): give another --output, or --overwrite" in other.output
    assert (finished[1] / "curves.csv").read_bytes() == before


def test_overwriting_replaces_another_experiment(data_path: Path, tmp_path: Path) -> None:
    assert simulate(data_path, tmp_path, "--strategies", "random", "--seeds", "1").exit_code == 0
    assert simulate("examples", tmp_path, "--strategies", "random", "--seeds", "1").exit_code == 1
    result = simulate(data_path, tmp_path, "--strategies", "random", "--seeds", "1", "--batch", "20", "--overwrite")
    assert result.exit_code == 0, result.output
    assert len((tmp_path / "curves.csv").read_text().splitlines()) == 3


def test_budget_is_cut_to_the_pool(data_path: Path, tmp_path: Path) -> None:
    result = simulate(data_path, tmp_path, "--strategies", "random", "--budget", "500", "--batch", "60")
    assert "budget: 120, not 500, since there are no more texts to label" in result.output
    assert result.exit_code == 0


def test_metric_and_full_score_can_be_given(data_path: Path, tmp_path: Path) -> None:
    result = simulate(data_path, tmp_path, "--strategies", "random", "--metric", "macro_f1", "--full", "0.01")
    assert "macro_f1 with all labels: 0.0100" in result.output
    assert result.output.split("random")[1].split()[:3] == ["10", "10", "10"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--strategies", "auto,best"], "strategy must be one of auto, random, least_confidence"),
        (["--batch", "0"], "batch and budget must be 1 or more, not 0 and 40"),
        (["--budget", "-1"], "batch and budget must be 1 or more"),
        (["--seeds", "0"], "seeds must be 1 or more, not 0"),
        (["--full", "0"], "the full score must be above 0 and at most 1, not 0.0"),
        (["--audit-share", "2"], "the audit share must be between 0 and 1"),
        (["--encoder", "best"], "best"),
        (["--text-field", "body"], "there is no field 'body' but text, label, split"),
        (["--dask", "nonsense://"], "must be tcp://HOST:PORT, the address of a Dask scheduler, not 'nonsense://'"),
    ],
)
def test_bad_option_is_a_sentence(data_path: Path, tmp_path: Path, options: list[str], words: str) -> None:
    result = simulate(data_path, tmp_path / "new", *options)
    assert result.exit_code in (1, CANNOT_START)
    assert words in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "new").exists()


def test_missing_data_is_a_sentence(tmp_path: Path) -> None:
    result = simulate(tmp_path / "none.csv", tmp_path / "new")
    assert result.exit_code == 1
    assert "there is no such file" in result.output
    assert not (tmp_path / "new").exists()


def test_output_that_is_a_file_is_a_sentence(data_path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    result = simulate(data_path, tmp_path / "file")
    assert result.exit_code == 1
    assert "cannot be written to" in result.output


def test_missing_matplotlib_is_a_sentence_after_the_numbers(
    data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(plot, "import_module", missing)
    result = simulate(data_path, tmp_path, "--strategies", "random", "--seeds", "1")
    assert result.exit_code == 1
    assert "pictures need matplotlib: install it" in result.output
    assert (tmp_path / "summary.csv").exists()


def test_scheduler_that_does_not_answer_is_done_without(
    data_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("distributed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("AL_DASK_SCHEDULER", address)
    result = simulate(data_path, tmp_path, "--strategies", "random", "--seeds", "1")
    assert result.exit_code == 0
    assert f"no Dask cluster at {address}, computing here" in caplog.text
    assert (tmp_path / "summary.csv").exists()


def test_one_run_of_one_point_can_be_drawn(known: Known) -> None:
    points = {Run("auto", 0): replay(known, Run("auto", 0), Options(budget=5, batch=5))}
    pictures = plot.draw(curves_of(points, "accuracy"), 0.9, "accuracy", "one")
    assert b"one run" in pictures["svg"]


# -- automatic labels -----------------------------------------------------------------------------------------


def autolabel(data: object, output: Path, *options: str) -> Result:
    standard = ("--budget", "100", "--batch", "10", "--seeds", "2", "--encoder", "none", "--n-jobs", "1")
    return CliRunner().invoke(
        main, ["simulate", str(data), "--autolabel", "--output", str(output), *standard, *options]
    )


@pytest.fixture(scope="module")
def many_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many") / "many.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in make_rows(900)))
    return path


@pytest.fixture(scope="module")
def automated(many_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    folder = tmp_path_factory.mktemp("automated") / "new"
    result = autolabel(many_path, folder, "--max-error", "0.1")
    assert result.exit_code == 0, result.output
    return result, folder


def test_finished_data_set_is_a_table_of_costs(automated: tuple[Result, Path]) -> None:
    lines = automated[0].output.splitlines()
    header = next(place for place, line in enumerate(lines) if line.startswith("labels first"))
    assert [line.split()[0] for line in lines[header + 1 : header + 6]] == ["20", "40", "60", "80", "100"]
    assert lines[header + 6].split() == ["by", "hand", "0.0%", "900", "-", "-", "0.00%"]


def test_every_label_of_a_finished_data_set_is_accounted_for(automated: tuple[Result, Path]) -> None:
    with (automated[1] / "autolabel.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert len(rows) == 2 * 5
    for row in rows:
        assert row["n_learnt"] + row["n_audited"] == row["budget"]
        assert row["n_tasks"] == 900
        assert row["n_wrong"] <= row["n_selected"] <= 900 - row["budget"]
    finished = [row for row in rows if row["budget"] == 100]
    assert all(row["n_selected"] > 400 for row in finished)
    assert all(row["n_wrong"] <= 0.1 * row["n_selected"] for row in finished)
    assert all(row["n_selected"] == 0 for row in rows if row["budget"] == 20)


def test_finished_data_set_is_json_for_machines(many_path: Path, tmp_path: Path) -> None:
    result = autolabel(many_path, tmp_path, "--max-error", "0.1", "--budget", "20", "--seeds", "1", "--json")
    found = json.loads(result.stdout)
    assert found["max_error"] == 0.1
    assert [one["budget"] for one in found["finished"]] == [4, 8, 12, 16, 20]


def test_costs_and_errors_are_drawn(automated: tuple[Result, Path]) -> None:
    svg = (automated[1] / "autolabel.svg").read_text()
    ET.fromstring(svg)
    for words in ("100 labels first", "all by hand", "promised at most", "Labels by people", "many"):
        assert words in svg
    assert (automated[1] / "autolabel.png").read_bytes().startswith(b"\x89PNG")


def test_finishing_repeats_to_the_byte(automated: tuple[Result, Path], many_path: Path, tmp_path: Path) -> None:
    assert autolabel(many_path, tmp_path, "--max-error", "0.1").exit_code == 0
    for name in ("autolabel.csv", "autolabel.svg", "autolabel.png"):
        assert (tmp_path / name).read_bytes() == (automated[1] / name).read_bytes()


def test_labelling_model_never_learns_audit_labels(data: Dataset) -> None:
    pool = prepare_pool(data)
    options = Options(budget=60, batch=20, audit_share=0.5)
    labeller = next(labellers(pool, Run("margin", 0), options, [60]))
    assert 0 < labeller.is_audit.sum() < 60
    # Other audit labels make no other model, as long as the same tasks are asked: the last batch has no say in that.
    audited = [row for row in labeller.labelled[labeller.is_audit] if row in labeller.labelled[40:]]
    y = pool.y.copy()
    y[audited] = "sport"
    again = next(labellers(replace(pool, y=y), Run("margin", 0), options, [60]))
    assert (again.labelled == labeller.labelled).all()
    assert (again.predictions.confidence == labeller.predictions.confidence).all()


def test_without_anything_to_learn_from_people_label_all(data_path: Path, tmp_path: Path) -> None:
    # All that `random` asks is audited, so nothing is left to learn from.
    result = autolabel(data_path, tmp_path, "--strategies", "random")
    assert result.exit_code == 0, result.output
    with (tmp_path / "autolabel.csv").open() as file:
        assert {row["n_selected"] for row in csv.DictReader(file)} == {"0"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--max-error", "0"), "the error rate must lie between 0 and 1, not be 0.0 (only people reach 0)"),
        (("--max-error", "1"), "an error rate of 1 promises nothing"),
        (("--delta", "0"), "delta, the probability of a broken promise, must lie between 0 and 1"),
        (("--budget", "180"), "the budget must leave some texts to the model, not be 180 of 180"),
    ],
)
def test_impossible_promises_are_refused(
    data_path: Path, tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    result = autolabel(data_path, tmp_path / "new", *options)
    assert result.exit_code == 1
    assert sentence in result.output
    assert not (tmp_path / "new").exists()
