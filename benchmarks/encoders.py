"""What a better encoder of texts teaches: the same replays with the static embeddings and with a slow encoder's.

    python -m benchmarks.encoders FILE [FILE …] --encoder fastembed:FOLDER [--seeds 10] [--budget 500] [--folder FOLDER]

Each seed has its own order of a file, which all runs share. The score is macro-F1 of the sets in SETS, else accuracy.
With the encoder the project's own rule decides which embeddings the model looks at: the encoder's, unless
cross-validation prefers the static ones. Prints a markdown table: area under the curve, and differences paired by seed
with their 95 % intervals. Finished runs stay in the folder.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.label_efficiency import interval, line
from label_studio_al.learners.encoders import find_encoder, load_encoder
from label_studio_al.learning.types import Array
from label_studio_al.simulate.data import read_data
from label_studio_al.simulate.embedding import Encoders
from label_studio_al.simulate.experiment import Experiment
from label_studio_al.simulate.replay import Options, Point, plan

# Where most rows have one label.
SETS = {"sms_spam": "macro_f1"}
STRATEGIES = ["random", "auto"]
POINTS = (40, 100, 200, 500)
STATIC, SLOW = "static", "encoder"


def curves(path: Path, encoders: Encoders, options: argparse.Namespace, folder: Path) -> dict[str, list[list[Point]]]:
    """Of each strategy the curve of each seed."""
    replayed = Options(options.budget, options.batch, "auto", 0.0)
    experiment = Experiment.open(read_data(str(path)), replayed, encoders, plan(STRATEGIES, options.seeds), folder)
    for run in experiment.conduct(options.n_jobs):
        print(f"{folder.name}: {run.strategy}, seed {run.seed}", file=sys.stderr, flush=True)
    found: dict[str, list[list[Point]]] = {name: [] for name in STRATEGIES}
    for run, points in sorted(experiment.curves().items(), key=lambda one: one[0].seed):
        found[run.strategy].append(points)
    return found


def values(runs: list[list[Point]], metric: str, at: int | None) -> Array:
    """The mean of each curve, or its score after so many labels."""
    return np.array(
        [np.mean([point.scores[metric] for point in points if at in (None, point.n_labels)]) for points in runs]
    )


def rows(name: str, by_encoder: dict[str, dict[str, list[list[Point]]]], budget: int) -> None:
    """A row for what is compared with what."""
    metric = SETS.get(name, "accuracy")
    points = [None, *(at for at in POINTS if at <= budget)]
    for (encoder, strategy), (other, other_strategy) in (
        ((SLOW, "random"), (STATIC, "random")),
        ((SLOW, "auto"), (STATIC, "auto")),
        ((SLOW, "auto"), (SLOW, "random")),
    ):
        of, against = by_encoder[encoder][strategy], by_encoder[other][other_strategy]
        what = f"{strategy}, {encoder} minus {other_strategy if encoder == other else other}"
        area = f"{values(of, metric, None).mean():.3f}"
        found = [interval(values(of, metric, at), values(against, metric, at)) for at in points]
        print(line([f"{name} ({metric})", what, area, *found]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budget", type=int, default=500)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--n-jobs", type=int)
    parser.add_argument("--folder", type=Path, help="where finished runs are kept")
    options = parser.parse_args()
    static, slow = find_encoder("wordllama"), load_encoder(options.encoder)
    heads = ["set", "what", "area", "area, difference", *(f"at {at}" for at in POINTS if at <= options.budget)]
    print(line(heads))
    print(line(["---"] * len(heads)))
    with tempfile.TemporaryDirectory() as made:
        for path in options.files:
            name = path.name.partition(".")[0]
            folder = (options.folder or Path(made)) / name
            by_encoder = {
                STATIC: curves(path, Encoders(static), options, folder / STATIC),
                SLOW: curves(path, Encoders(static, texts=slow), options, folder / SLOW),
            }
            rows(name, by_encoder, options.budget)


if __name__ == "__main__":
    main()
