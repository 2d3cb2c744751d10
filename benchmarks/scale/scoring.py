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
        given = [str(bench.texts.folder), str(n_tasks), str(bench.options.n_labels(n_tasks))]
        command = [sys.executable, "-m", "benchmarks.scale.scoring", *given]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
        if done.returncode:
            raise AssertionError(f"scoring {n_tasks} tasks failed: {done.stderr[-1000:]}")
        seconds = json.loads(done.stdout.splitlines()[-1])
        ratio = seconds["ours"] / seconds["bare"]
        more = f" ({1000 * seconds['ours']:.0f} against {1000 * seconds['bare']:.0f} ms)"
        what = f"scoring the pool, against a bare sparse product of {seconds['columns']} columns and partition"
        bench.report.at_most(what, n_tasks, ratio, RATIO, "times", more)
        bench.report.at_most("training the model that scores", n_tasks, seconds["training"], None, "s")


# -- ADAPT HERE when learning's classes change: these two functions are all that knows them ---------------


def build(texts: TextFile, n_tasks: int, n_labelled: int) -> tuple[Any, sp.csr_matrix, Callable[[], Any]]:
    """The pool's rows as the backend holds them, their TF-IDF part as a plain matrix, and what trains a model.

    Of the first labels, with the features and the calibration that these decided on.
    """
    from label_studio_al.learning.coding import LABEL_SETS, ONE_LABEL
    from label_studio_al.learning.features import Features
    from label_studio_al.learning.labelled import Labelled
    from label_studio_al.learning.learner import train, tune

    features, rows = Features.fit_transform(texts.texts(0, n_tasks), None)
    coding = LABEL_SETS if texts.offered else ONE_LABEL
    y = np.array(texts.answers(0, n_labelled))
    labelled = Labelled(rows[:n_labelled], y, np.arange(n_labelled), coding)
    tuning = tune(labelled, features.choices(), "auto", 0)
    return rows, rows.terms, lambda: (train(labelled, features.choices(), tuning), labelled)


def scoring(rows: Any, classifier: Any, known: Any) -> Callable[[], Any]:
    """Ranks all tasks by margin with a model of the first labels, as a turn does."""
    from label_studio_al.learning.asking import Situation, ask
    from label_studio_al.learning.copies import Copies
    from label_studio_al.learning.coverage import cover

    n_labelled, keys = len(known), np.arange(len(rows))
    labelled = keys[:n_labelled]
    situation = Situation(
        X=rows,
        Z=rows.compact,
        keys=keys,
        copies=Copies.among(keys, keys),
        pool=keys[n_labelled:],
        labelled=labelled,
        coding=known.coding,
        y=known.y,
        asked=labelled,
        waiting=labelled[:0],
        n_classes=len(classifier.classes),
        classifier=classifier,
        coverage=lambda n_groups: cover(rows.compact, keys, n_groups, 0),
        fit=lambda X, y: classifier,
        batch=WINDOW,
        seed=0,
    )
    return partial(ask, "margin", situation, WINDOW)


# -----------------------------------------------------------------------------------------------------------------


def product_and_closest(X: sp.csr_matrix, weights: np.ndarray) -> np.ndarray:
    """The least that margin sampling can do where each column decides on a label of its own."""
    return np.argpartition(np.abs(X @ weights).min(axis=1), BATCH)[:BATCH]


def measure(texts: TextFile, n_tasks: int, n_labelled: int) -> dict[str, float]:
    """Seconds of each, the best of several; they take turns, so that the machine's noise meets all."""
    rows, tfidf, train = build(texts, n_tasks, n_labelled)
    classifier, labelled = train()
    n_columns = len(classifier.classes)
    weights = np.random.default_rng(0).random((tfidf.shape[1], n_columns), dtype=np.float32)
    runs: dict[str, Callable[[], Any]] = {
        "ours": scoring(rows, classifier, labelled),
        "bare": partial(product_and_closest if texts.offered else product_and_partition, tfidf, weights),
        "training": train,
    }
    seconds = [{name: best_of(run, REPETITIONS) for name, run in runs.items()} for _ in range(ROUNDS)]
    return {"columns": n_columns} | {name: min(one[name] for one in seconds) for name in runs}


if __name__ == "__main__":
    with threadpool_limits(1):
        print(json.dumps(measure(TextFile(Path(sys.argv[1])), *map(int, sys.argv[2:]))))
