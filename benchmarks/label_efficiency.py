"""Labels that strategies need on four text sets, as one markdown table.

    python -m benchmarks.label_efficiency --data FOLDER [--sets sms_spam,trec6] [--strategies auto,random] [--quick]

FOLDER holds SET.jsonl.gz of each set (fields text, label and perhaps split): 20ng_atheism_christian, agnews_7600,
sms_spam, trec6. Batches of 20 up to 500 labels. "Full" is what TF-IDF with logistic regression reaches on all training
labels, a constant whatever features a run uses. With --output, an interrupted benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.encoders import find_encoder
from backend.learning.asking import AUTO, RANDOM
from backend.settings import read_settings
from backend.simulate.data import read_data
from backend.simulate.experiment import Experiment
from backend.simulate.replay import Options, plan
from backend.simulate.summary import Curve, curves_of

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


def measure(name: str, path: Path, names: list[str], n_seeds: int, options: Options, folder: Path) -> dict[str, Curve]:
    """The curve of each strategy on one set."""
    encoder = find_encoder(read_settings().encoder)
    experiment = Experiment.open(read_data(str(path)), options, encoder, plan(names, n_seeds), folder)
    for run in experiment.conduct():
        print(f"{name}: {run.strategy}, seed {run.seed}", file=sys.stderr, flush=True)
    return {curve.strategy: curve for curve in curves_of(experiment.curves(), SETS[name].metric)}


def cell(curve: Curve, full: float) -> str:
    """Labels to 90 and 95 %, score at 100 and 200 labels, area."""
    needed = [curve.labels_to(share * full) for share in (0.90, 0.95)]
    labels = " / ".join("-" if n is None else f"{n:.0f}" for n in needed)
    scores = " / ".join(f"{curve.at(n):.3f}" if n <= curve.n_labels[-1] else "-" for n in (100, 200))
    return f"{labels}; {scores}; {curve.area():.3f}"


def is_below(curve: Curve, other: Curve) -> np.ndarray:
    """Where the mean is lower by more than two standard errors of the difference. Shape (n_points,)."""
    return curve.mean - other.mean < -2 * np.hypot(curve.error, other.error)


def row(name: str, curves: Mapping[str, Curve]) -> list[str]:
    one = SETS[name]
    below = "not measured"
    if AUTO in curves:
        found = curves[AUTO].n_labels[is_below(curves[AUTO], curves[RANDOM])]
        below = f"at {', '.join(map(str, found))}" if len(found) else "never"
    what = f"{name} ({one.metric}, full {one.full})"
    return [what, one.aim, *(cell(curve, one.full) for curve in curves.values()), below]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--strategies", default=STRATEGIES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="keep the runs in this folder")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 100 labels, to try the script")
    arguments = parser.parse_args()
    options = Options(budget=100 if arguments.quick else 500, batch=20)
    n_seeds = 2 if arguments.quick else arguments.seeds
    names = arguments.strategies.split(",")
    print("Each cell: labels to 90 / 95 % of full; score at 100 / 200 labels; area.\n")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.output or Path(temporary)
        for place, name in enumerate(arguments.sets.split(",")):
            path = arguments.data / f"{name}.jsonl.gz"
            curves = measure(name, path, names, n_seeds, options, folder / name)
            if place == 0:
                header = ["set", "aim", *curves, "auto below random"]
                print(f"| {' | '.join(header)} |\n|{' --- |' * len(header)}")
            print(f"| {' | '.join(row(name, curves))} |", flush=True)


if __name__ == "__main__":
    main()
