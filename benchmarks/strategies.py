"""Seconds and memory of every query strategy, beside the libraries that offer the same.

    python -m benchmarks.strategies [--quick] [--only margin,badge] [--python modAL=OTHER/bin/python]

A made-up TF-IDF pool of 100,000 tasks (42,000 columns, 4 labels, 100 labelled), one thread, one batch of 20. The
libraries run in processes of their own, with limits of time and memory, on the same sparse features, or on their short
dense form ("Z") where they refuse those. Those of another environment are measured with `--python`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

LABELS = np.array(["Business", "Science", "Sports", "World"])
N_COLUMNS = 42_000
WORDS_A_TASK = 52  # about 48 of them differ
N_TOPIC_COLUMNS = 400
TOPIC_SHARE = 0.25
N_LABELLED = 100
BATCH = 20
SEED = 0
# What a library may use: as much as the machine of a small team has to spare.
MAX_SECONDS = 60
MAX_BYTES = 6 * 10**9


def make_pool(n_tasks: int, seed: int) -> tuple[sp.csr_matrix, np.ndarray]:
    """TF-IDF rows of length 1, columns as unevenly frequent as words, and each task's label."""
    random = np.random.default_rng(seed)
    labels = random.integers(len(LABELS), size=n_tasks)
    frequency = 1.0 / np.arange(10, N_COLUMNS + 10)
    frequency /= frequency.sum()
    columns = random.choice(N_COLUMNS, size=(n_tasks, WORDS_A_TASK), p=frequency)
    topics = 200 + labels[:, None] * N_TOPIC_COLUMNS + random.integers(N_TOPIC_COLUMNS, size=columns.shape)
    columns = np.where(random.random(columns.shape) < TOPIC_SHARE, topics, columns)
    X = sp.csr_matrix(
        (np.ones(columns.size, np.float32), columns.ravel(), np.arange(0, columns.size + 1, WORDS_A_TASK)),
        (n_tasks, N_COLUMNS),
    )
    X.sum_duplicates()
    rarity = np.log(n_tasks / np.maximum(1, np.bincount(X.indices, minlength=N_COLUMNS))).astype(np.float32)
    X.data *= rarity[X.indices]
    X.data /= np.sqrt(np.add.reduceat(X.data**2, X.indptr[:-1])).repeat(np.diff(X.indptr))
    return X, LABELS[labels]


def best_of(run: Callable[[], Any], repetitions: int) -> float:
    seconds = []
    for _ in range(repetitions):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def product_and_partition(X: sp.csr_matrix, weights: np.ndarray) -> np.ndarray:
    """The least that margin sampling can do: decisions, the two highest of each task, the closest ones."""
    top_two = np.partition(X @ weights, -2, axis=1)[:, -2:]
    return np.argpartition(top_two[:, 1] - top_two[:, 0], BATCH)[:BATCH]


def peak_megabytes(run: Callable[[], Any]) -> float:
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


# -- the libraries: each function runs in a process of its own, and gives what chooses a batch --------------------


def scikit_activeml(name: str, X: Any, y: np.ndarray) -> Callable[[], Any] | None:
    from skactiveml import pool
    from skactiveml.classifier import SklearnClassifier

    classes = np.arange(len(LABELS))
    known = np.full(X.shape[0], np.nan)
    known[:N_LABELLED] = np.searchsorted(LABELS, y)
    model = SklearnClassifier(LogisticRegression(C=10.0), classes=classes).fit(X, known)
    by_model = {"clf": model, "fit_clf": False}
    committee = [
        SklearnClassifier(LogisticRegression(C=10.0), classes=classes).fit(X[draw], known[draw])
        for draw in np.random.default_rng(SEED).integers(N_LABELLED, size=(5, N_LABELLED))
    ]
    by_committee = {"ensemble": committee, "fit_ensemble": False}
    strategies = {
        "random": (pool.RandomSampling, {}, {}),
        "least_confidence": (pool.UncertaintySampling, {"method": "least_confident"}, by_model),
        "margin": (pool.UncertaintySampling, {"method": "margin_sampling"}, by_model),
        "entropy": (pool.UncertaintySampling, {"method": "entropy"}, by_model),
        "k_center": (pool.CoreSet, {}, {}),
        "typiclust": (pool.TypiClust, {}, {}),
        "vote_entropy": (pool.QueryByCommittee, {"method": "vote_entropy"}, by_committee),
        "kl_divergence": (pool.QueryByCommittee, {"method": "KL_divergence"}, by_committee),
        "expected_error_reduction": (pool.MonteCarloEER, {}, {"clf": model, "ignore_partial_fit": True}),
        "badge": (pool.Badge, {}, by_model),
        "contrastive": (pool.ContrastiveAL, {}, by_model),
    }
    if name not in strategies:
        return None
    kind, settings, asked = strategies[name]
    return lambda: kind(random_state=SEED, **settings).query(X=X, y=known, batch_size=BATCH, **asked)


def modal(name: str, X: Any, y: np.ndarray) -> Callable[[], Any] | None:
    from modAL import density, disagreement, expected_error, models, uncertainty

    def learner(draw: np.ndarray) -> Any:
        return models.ActiveLearner(LogisticRegression(C=10.0), X_training=X[draw], y_training=y[draw])

    everything, rest = np.arange(N_LABELLED), X[N_LABELLED:]
    if name in ("vote_entropy", "consensus_entropy", "kl_divergence"):
        draws = np.random.default_rng(SEED).integers(N_LABELLED, size=(5, N_LABELLED))
        committee = models.Committee([learner(draw) for draw in draws])
        choose = {
            "vote_entropy": disagreement.vote_entropy_sampling,
            "consensus_entropy": disagreement.consensus_entropy_sampling,
            "kl_divergence": disagreement.max_disagreement_sampling,
        }[name]
        return lambda: choose(committee, rest, n_instances=BATCH)
    model = learner(everything)
    strategies: dict[str, Callable[[], Any]] = {
        "least_confidence": lambda: uncertainty.uncertainty_sampling(model, rest, n_instances=BATCH),
        "margin": lambda: uncertainty.margin_sampling(model, rest, n_instances=BATCH),
        "entropy": lambda: uncertainty.entropy_sampling(model, rest, n_instances=BATCH),
        "density_weighted_margin": lambda: density.information_density(rest, "cosine"),
        "expected_error_reduction": lambda: expected_error.expected_error_reduction(model, rest, n_instances=BATCH),
    }
    return strategies.get(name)


def small_text(name: str, X: Any, y: np.ndarray) -> Callable[[], Any] | None:
    import small_text as library

    codes = np.searchsorted(LABELS, y)
    data = library.SklearnDataset(X, np.pad(codes, (0, X.shape[0] - len(codes))))
    model = library.SklearnClassifier(LogisticRegression(C=10.0), len(LABELS))
    model.fit(data[: len(codes)])
    known, unknown = np.arange(len(codes)), np.arange(len(codes), X.shape[0])
    strategies = {
        "random": library.RandomSampling,
        "least_confidence": library.LeastConfidence,
        "margin": library.BreakingTies,
        "entropy": library.PredictionEntropy,
        "k_center": library.GreedyCoreset,
        "k_means": library.EmbeddingKMeans,
        "contrastive": library.ContrastiveActiveLearning,
    }
    if name not in strategies:
        return None
    needs_embeddings = name in ("k_center", "k_means", "contrastive")
    more = {"embeddings": X} if needs_embeddings else {}
    if name == "contrastive":
        more["embeddings_proba"] = model.predict_proba(data)
    return lambda: strategies[name]().query(model, data, unknown, known, codes, n=BATCH, **more)


LIBRARIES = {"scikit-activeml": scikit_activeml, "modAL": modal, "small-text": small_text}


def measure_other(library: str, name: str, folder: Path) -> str:
    """What stands in the table for a strategy of a library: seconds, or why there are none."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    warnings.simplefilter("ignore")
    y = np.load(folder / "y.npy")
    refused = ""
    for suffix, load in (("", lambda: sp.load_npz(folder / "X.npz")), (" (Z)", lambda: np.load(folder / "Z.npy"))):
        try:
            run = LIBRARIES[library](name, load(), y)
            if run is None:
                return "-"
            return f"{best_of(run, 1):.2f} s{suffix}"
        except ImportError:
            return "not installed"
        except MemoryError:
            refused = "out of memory"
        except Exception as error:
            is_sparse = "sparse" in str(error).lower()
            refused = "refuses sparse input" if is_sparse else f"fails: {type(error).__name__}"
    return refused


def ask_other(python: str, library: str, name: str, folder: Path) -> str:
    command = [python, "-m", "benchmarks.strategies", "--measure", library, name, str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MAX_SECONDS, env=environment)
    except subprocess.TimeoutExpired:
        return f"over {MAX_SECONDS} s"
    if done.returncode:
        return "out of memory" if done.returncode < 0 or "MemoryError" in done.stderr else "fails"
    return str(json.loads(done.stdout.splitlines()[-1]))


# -- ours ---------------------------------------------------------------------------------------------------------


def table(names: list[str], n_tasks: int, pythons: dict[str, str], folder: Path) -> None:
    from label_studio_al.learning.classifier import fit_classifier
    from label_studio_al.learning.labelled import Labelled
    from label_studio_al.learning.strategies import STRATEGIES, Query
    from label_studio_al.learning.strategies.clusters import compact

    X, y = make_pool(n_tasks + N_LABELLED, SEED)
    Z, _ = compact(X, X[:0], np.arange(X.shape[0]), SEED)
    Z /= np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-12)
    known, pool = slice(0, N_LABELLED), slice(N_LABELLED, None)
    y = y[known]
    sp.save_npz(folder / "X.npz", X, compressed=False)
    np.save(folder / "Z.npy", Z)
    np.save(folder / "y.npy", y)
    classifier = fit_classifier(X[known], y)
    pool_X, X_labelled = X[pool], X[known]
    dense, sparse = (Z[pool], Z[known]), (pool_X, X_labelled)

    def choose(name: str, Z: Any, Z_labelled: Any) -> Any:
        labelled = Labelled(X_labelled, y, np.arange(n_tasks, n_tasks + N_LABELLED))
        keys = np.arange(n_tasks)
        query = Query(pool_X, Z, keys, labelled, Z_labelled, classifier, BATCH, BATCH, SEED, fit_classifier)
        return STRATEGIES[name].choose(query)

    weights = np.random.default_rng(SEED).random((N_COLUMNS, len(LABELS)), dtype=np.float32)
    bare = best_of(partial(product_and_partition, pool_X, weights), 9)
    print(f"{n_tasks} tasks, {pool_X.nnz / n_tasks:.0f} non-zeros a row; product and partition {1000 * bare:.1f} ms\n")
    titles = ["strategy", "seconds", "ratio", "on sparse Z", "peak MB", *pythons]
    print(f"| {' | '.join(titles)} |\n|{' --- |' * len(titles)}", flush=True)
    for name in names:
        seconds, on_sparse = (best_of(partial(choose, name, *form), 5) for form in (dense, sparse))
        peak = max(peak_megabytes(partial(choose, name, *form)) for form in (dense, sparse))
        cells = [name, f"{seconds:.3f}", f"{seconds / bare:.1f}", f"{on_sparse:.3f}", f"{peak:.0f}"]
        cells += [ask_other(python, library, name, folder) for library, python in pythons.items()]
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--quick", action="store_true", help="a pool of 2,000, to try the script")
    parser.add_argument("--only", help="names of strategies, with commas; all otherwise")
    parser.add_argument("--ours", action="store_true", help="without the libraries")
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="LIBRARY=PATH",
        help="the Python that has a library, if not this one",
    )
    parser.add_argument("--measure", nargs=3, metavar=("LIBRARY", "STRATEGY", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        library, name, folder = options.measure
        print(json.dumps(measure_other(library, name, Path(folder))))
        return
    from label_studio_al.learning.strategies import STRATEGIES

    names = options.only.split(",") if options.only else list(STRATEGIES)
    n_tasks = 2_000 if options.quick else options.tasks
    pythons = dict.fromkeys([] if options.ours else LIBRARIES, sys.executable)
    pythons |= dict(given.split("=", 1) for given in options.python)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        table(names, n_tasks, pythons, Path(folder))


if __name__ == "__main__":
    main()
