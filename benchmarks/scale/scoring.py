"""Scoring a pool beside the least that it can take: a sparse product and a partition.

python -m benchmarks.scale.scoring TEXTS N_TASKS N_LABELLED          # prints times in seconds as JSON
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from benchmarks.scale.bench import Bench
from benchmarks.scale.texts import TextFile
from benchmarks.strategies import BATCH, best_of, product_and_partition

RATIO = 1.5
WINDOW = 100
REPETITIONS = 5
ROUNDS = 3
LIMIT_SECONDS = 900


def scoring_section(bench: Bench) -> None:
    """The ratio at every size, each in a process of its own."""
    for n_tasks in bench.options.sizes:
        seconds = scored(bench, n_tasks)
        ratio = seconds["ours"] / seconds["bare"]
        more = f" ({1000 * seconds['ours']:.0f} against {1000 * seconds['bare']:.0f} ms)"
        what = f"scoring the pool, against a bare sparse product of {seconds['columns']} columns and partition"
        bench.report.at_most(what, n_tasks, ratio, RATIO, "times", more)
        bench.report.at_most("training the models that score", n_tasks, seconds["training"], None, "s")


def scored(bench: Bench, n_tasks: int) -> dict[str, float]:
    """What `measure` says, of a process of its own."""
    given = [str(bench.texts.folder), str(n_tasks), str(bench.options.n_labels(n_tasks))]
    command = [sys.executable, "-m", "benchmarks.scale.scoring", *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    if done.returncode:
        raise AssertionError(f"scoring {n_tasks} tasks failed: {done.stderr[-1000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


# -- ADAPT HERE when learning's classes change: these two functions are all that knows them ---------------


def build(texts: TextFile, n_tasks: int, n_labelled: int) -> tuple[Any, list[Any], Callable[[], list[Any]]]:
    """The pool's rows as the backend holds them, each question's labelled tasks, and what trains their models.

    Of the first labels, with the features and the calibration that these decided on.
    """
    from label_studio_al.learning.coding import LABEL_SETS, ONE_LABEL
    from label_studio_al.learning.features import Features
    from label_studio_al.learning.labelled import Labelled
    from label_studio_al.learning.learner import train, tune

    features, rows = Features.fit_transform(texts.texts(0, n_tasks), None)
    coding = LABEL_SETS if texts.asked.is_multiple else ONE_LABEL
    answers = [np.array(texts.answers(0, n_labelled, name)) for name in texts.asked.questions]
    known = [Labelled(rows[:n_labelled], y, np.arange(n_labelled), coding) for y in answers]
    tunings = [tune(one, features.choices(), "auto", 0) for one in known]
    pairs = list(zip(known, tunings, strict=True))
    return rows, known, lambda: [train(one, features.choices(), tuning) for one, tuning in pairs]


def scoring(rows: Any, known: list[Any], models: list[Any]) -> Callable[[], Any]:
    """Ranks all tasks by margin with the models of the first labels, as a turn does."""
    from label_studio_al.learning.asking import Beside, Situation, ask
    from label_studio_al.learning.copies import Copies
    from label_studio_al.learning.coverage import cover

    n_labelled, keys = len(known[0]), np.arange(len(rows))
    labelled = keys[:n_labelled]
    (of_first, first), *others = zip(known, models, strict=True)
    situation = Situation(
        X=rows,
        Z=rows.compact,
        keys=keys,
        copies=Copies.among(keys, keys),
        pool=keys[n_labelled:],
        labelled=labelled,
        coding=of_first.coding,
        y=of_first.y,
        asked=labelled,
        waiting=labelled[:0],
        n_classes=len(first.classes),
        classifier=first,
        coverage=lambda n_groups: cover(rows.compact, keys, n_groups, 0),
        fit=lambda X, y: first,
        batch=WINDOW,
        seed=0,
        beside=tuple(
            Beside(labelled, of.y, of.coding, len(of.classes), model, lambda X, y: first) for of, model in others
        ),
    )
    return partial(ask, "margin", situation, WINDOW)


# -----------------------------------------------------------------------------------------------------------------


def product_and_closest(X: sp.csr_matrix, weights: np.ndarray) -> np.ndarray:
    """The least that margin sampling can do where each column decides on a label of its own."""
    return np.argpartition(np.abs(X @ weights).min(axis=1), BATCH)[:BATCH]


def measure(texts: TextFile, n_tasks: int, n_labelled: int) -> dict[str, float]:
    """Seconds of each, the best of several; they take turns, so that the machine's noise meets all."""
    rows, known, train = build(texts, n_tasks, n_labelled)
    models = train()
    n_columns = sum(len(model.classes) for model in models)
    weights = np.random.default_rng(0).random((rows.terms.shape[1], n_columns), dtype=np.float32)
    runs: dict[str, Callable[[], Any]] = {
        "ours": scoring(rows, known, models),
        "bare": partial(product_and_closest if texts.asked.is_multiple else product_and_partition, rows.terms, weights),
        "training": train,
    }
    seconds = [{name: best_of(run, REPETITIONS) for name, run in runs.items()} for _ in range(ROUNDS)]
    return {"columns": n_columns} | {name: min(one[name] for one in seconds) for name in runs}


if __name__ == "__main__":
    with threadpool_limits(1):
        print(json.dumps(measure(TextFile(Path(sys.argv[1])), *map(int, sys.argv[2:]))))
