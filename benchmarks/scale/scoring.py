"""Scoring a pool beside the least that it can take: a sparse product and a partition.

python -m benchmarks.scale.scoring TEXTS N_TASKS          # prints the two times in seconds as JSON
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

from benchmarks.scale.bench import N_LABELLED, Bench
from benchmarks.scale.texts import TextFile
from benchmarks.strategies import best_of, product_and_partition
from benchmarks.texts import LABELS

RATIO = 1.5
WINDOW = 100
REPETITIONS = 5
ROUNDS = 3
LIMIT_SECONDS = 900


def scoring_section(bench: Bench) -> None:
    """The ratio at every size, each in a process of its own."""
    for n_tasks in bench.options.sizes:
        command = [sys.executable, "-m", "benchmarks.scale.scoring", str(bench.texts.folder), str(n_tasks)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
        if done.returncode:
            raise AssertionError(f"scoring {n_tasks} tasks failed: {done.stderr[-1000:]}")
        seconds = json.loads(done.stdout.splitlines()[-1])
        ratio = seconds["ours"] / seconds["bare"]
        more = f" ({1000 * seconds['ours']:.0f} against {1000 * seconds['bare']:.0f} ms)"
        what = "scoring the pool, against a bare sparse product and partition"
        bench.report.at_most(what, n_tasks, ratio, RATIO, "times", more)


# -- ADAPT HERE when learning's classes change: these two functions are all that knows them ---------------


def build(texts: TextFile, n_tasks: int) -> tuple[Any, sp.csr_matrix]:
    """The pool's rows as the backend holds them, and their TF-IDF part as a plain matrix."""
    from label_studio_al.learning.features import Features

    _, rows = Features.fit_transform(texts.texts(0, n_tasks), None)
    return rows, rows.terms


def scoring(rows: Any, y: np.ndarray) -> Callable[[], Any]:
    """Ranks all tasks by margin with a model of the first labels, as a turn does."""
    from label_studio_al.learning.asking import Situation, ask
    from label_studio_al.learning.classifier import fit_classifier
    from label_studio_al.learning.coding import ONE_LABEL
    from label_studio_al.learning.copies import Copies
    from label_studio_al.learning.coverage import cover

    n_labelled, keys = len(y), np.arange(len(rows))
    labelled = keys[:n_labelled]
    situation = Situation(
        X=rows,
        Z=rows.compact,
        keys=keys,
        copies=Copies.among(keys, keys),
        pool=keys[n_labelled:],
        labelled=labelled,
        coding=ONE_LABEL,
        y=y,
        asked=labelled,
        waiting=labelled[:0],
        n_classes=len(LABELS),
        classifier=fit_classifier(rows[:n_labelled], y),
        coverage=lambda n_groups: cover(rows.compact, keys, n_groups, 0),
        fit=fit_classifier,
        batch=WINDOW,
        seed=0,
    )
    return partial(ask, "margin", situation, WINDOW)


# -----------------------------------------------------------------------------------------------------------------


def measure(texts: TextFile, n_tasks: int) -> dict[str, float]:
    """Seconds of both, the best of several; the two take turns, so that the machine's noise meets both."""
    n_labelled = min(N_LABELLED, n_tasks // 2)
    rows, tfidf = build(texts, n_tasks)
    ours = scoring(rows, np.array(texts.labels(0, n_labelled)))
    weights = np.random.default_rng(0).random((tfidf.shape[1], len(LABELS)), dtype=np.float32)
    bare = partial(product_and_partition, tfidf, weights)
    times = [(best_of(ours, REPETITIONS), best_of(bare, REPETITIONS)) for _ in range(ROUNDS)]
    return {"ours": min(time for time, _ in times), "bare": min(time for _, time in times)}


if __name__ == "__main__":
    with threadpool_limits(1):
        print(json.dumps(measure(TextFile(Path(sys.argv[1])), int(sys.argv[2]))))
