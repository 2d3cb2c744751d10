"""Labels that strategies need on four text sets, and how far they are from random, as two markdown tables.

    python -m benchmarks.label_efficiency --data FOLDER [--sets sms_spam,trec6] [--strategies auto,random] [--quick]

FOLDER holds SET.jsonl.gz of each set (fields text, label and perhaps split): 20ng_atheism_christian, agnews_7600,
sms_spam, trec6. Batches of 20 up to 500 labels; 10 seeds, each with its own order of the data, which all strategies of
that seed share. "Full" is what TF-IDF with logistic regression reaches on all training labels, a constant whatever
features a run uses. With --output, an interrupted benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from label_studio_al.learners.encoders import find_encoder
from label_studio_al.learning.asking import RANDOM
from label_studio_al.learning.types import Array
from label_studio_al.runtime.settings import read_settings
from label_studio_al.simulate.data import read_data
from label_studio_al.simulate.embedding import Encoders
from label_studio_al.simulate.experiment import Experiment
from label_studio_al.simulate.replay import Options, plan
from label_studio_al.simulate.summary import (
    Curve,
    Difference,
    curves_of,
    difference,
    differences,
    differences_to_random,
)

STRATEGIES = "auto,margin,cluster_margin,typiclust,badge,random"


@dataclass(frozen=True)
class TextSet:
    metric: str
    full: float
    aim: str


SETS = {
    "20ng_atheism_christian": TextSet("accuracy", 0.932, "95 % with 105 labels"),
    "agnews_7600": TextSet("accuracy", 0.877, "90 % with 55 labels"),
    "sms_spam": TextSet("macro_f1", 0.955, "95 % with 40 labels"),
    "trec6": TextSet("accuracy", 0.892, ".76 at 200 labels"),
}


def measure(
    name: str, path: Path, names: list[str], n_seeds: int, options: Options, folder: Path, n_jobs: int | None
) -> dict[str, Curve]:
    """The curve of each strategy on one set."""
    encoders = Encoders(find_encoder(read_settings().encoder))
    experiment = Experiment.open(read_data(str(path)), options, encoders, plan(names, n_seeds), folder)
    for run in experiment.conduct(n_jobs):
        print(f"{name}: {run.strategy}, seed {run.seed}", file=sys.stderr, flush=True)
    return {curve.strategy: curve for curve in curves_of(experiment.curves(), SETS[name].metric)}


def cell(curve: Curve, full: float) -> str:
    """Labels to 90 and 95 %, score at 100 and 200 labels, area."""
    needed = [curve.labels_to(share * full) for share in (0.90, 0.95)]
    labels = " / ".join("-" if n is None else f"{n:.0f}" for n in needed)
    scores = " / ".join(f"{curve.at(n):.3f}" if n <= curve.n_labels[-1] else "-" for n in (100, 200))
    return f"{labels}; {scores}; {curve.area():.3f}"


def row(name: str, curves: Mapping[str, Curve]) -> list[str]:
    """What one set takes."""
    one = SETS[name]
    return [f"{name} ({one.metric}, full {one.full})", one.aim, *(cell(curve, one.full) for curve in curves.values())]


def difference_rows(name: str, curves: Mapping[str, Curve]) -> Iterator[list[str]]:
    """How far each strategy is from random on one set, and where it is below."""
    for strategy, found in differences_to_random(list(curves.values())).items():
        _, _, high = differences(curves[strategy].scores, curves[RANDOM].scores)
        below = ", ".join(map(str, curves[strategy].n_labels[high < 0])) or "never"
        yield [name, strategy, *map(difference_cell, found.values()), below]


def difference_cell(one: Difference) -> str:
    """The mean and its interval; in words where that holds 0."""
    if one.low is None or one.high is None:
        return f"{one.mean:+.3f}"
    interval = f"{one.mean:+.3f} ({one.low:+.3f} to {one.high:+.3f})"
    return f"{interval}, {one.verdict}" if one.low <= 0 <= one.high else interval


def interval(one: Array, other: Array) -> str:
    """The mean of the paired differences, with its 95 % interval."""
    found = difference(one, other)
    return f"{found.mean:+.3f}" + (f" ({found.low:+.3f} to {found.high:+.3f})" if found.low is not None else "")


def line(cells: Sequence[str]) -> str:
    """A line of a markdown table."""
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--strategies", default=STRATEGIES)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--n-jobs", type=int, help="runs at the same time, as many as CPUs by default")
    parser.add_argument("--output", type=Path, help="keep the runs in this folder")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 100 labels, to try the script")
    arguments = parser.parse_args()
    options = Options(budget=100 if arguments.quick else 500, batch=20)
    n_seeds = 2 if arguments.quick else arguments.seeds
    names = arguments.strategies.split(",")
    print("Each cell: labels to 90 / 95 % of full; score at 100 / 200 labels; area.\n")
    by_set: dict[str, dict[str, Curve]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.output or Path(temporary)
        for name in arguments.sets.split(","):
            path = arguments.data / f"{name}.jsonl.gz"
            by_set[name] = measure(name, path, names, n_seeds, options, folder / name, arguments.n_jobs)
            if len(by_set) == 1:
                header = ["set", "aim", *by_set[name]]
                print(f"{line(header)}\n|{' --- |' * len(header)}")
            print(line(row(name, by_set[name])), flush=True)
    first = next(iter(by_set.values()))
    compared = next(iter(differences_to_random(list(first.values())).values()))
    header = ["set", "minus random", *compared, "below random at"]
    print(f"\n{line(header)}\n|{' --- |' * len(header)}")
    for name, curves in by_set.items():
        for cells in difference_rows(name, curves):
            print(line(cells))


if __name__ == "__main__":
    main()
