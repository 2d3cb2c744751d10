"""How many threads compute at once, and what a Dask cluster does instead of this process."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed
from threadpoolctl import threadpool_info

import label_studio_al.runtime.computing
from label_studio_al.learners.encoders import TEXTS_AT_ONCE, load_encoder
from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.learner import N_FOLDS, tune
from label_studio_al.learning.strategies import Query
from label_studio_al.learning.strategies.committee import fit_committee
from label_studio_al.learning.strategies.expected import expected_error_reduction
from label_studio_al.learning.types import Array
from label_studio_al.runtime.computing import RETRY_SECONDS, Computing
from label_studio_al.runtime.errors import InvalidRequest, InvalidSettings
from label_studio_al.simulate.data import Dataset
from label_studio_al.simulate.embedding import Encoders
from label_studio_al.simulate.experiment import Experiment, prepare
from label_studio_al.simulate.replay import Known, Options, Run, replay
from tests.support.clock import FakeClock
from tests.support.queries import labelled

SECONDS = 60.0
HERE = os.getpid()


def run_all(functions: list[Callable[[], None]]) -> list[threading.Thread]:
    threads = [threading.Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    return threads


def joined(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()


# -- slots ----------------------------------------------------------------------------------------------------


def test_as_many_threads_compute_at_once_as_there_are_slots() -> None:
    computing, lock = Computing(threads=3), threading.Lock()
    # Broken if fewer than three ever meet inside.
    meeting = threading.Barrier(3)
    inside, most = 0, 0

    def compute() -> None:
        nonlocal inside, most
        with computing.slot():
            with lock:
                inside += 1
                most = max(most, inside)
            meeting.wait(SECONDS)
            with lock:
                inside -= 1

    joined(run_all([compute] * 12))
    assert most == 3


def test_slots_are_given_in_the_order_of_asking() -> None:
    computing = Computing(threads=1)
    turns = computing._turns
    order: list[int] = []

    def compute(number: int) -> None:
        with computing.slot():
            order.append(number)

    threads = []
    with computing.slot():
        for number in range(5):
            threads += run_all([partial(compute, number)])
            while len(turns._waiting) <= number:
                threads[-1].join(0.001)
    joined(threads)
    assert order == [0, 1, 2, 3, 4]


def test_slot_inside_a_slot_does_not_wait_for_itself() -> None:
    computing = Computing(threads=1)
    with computing.slot(), computing.slot():
        pass
    with computing.slot():
        pass


def test_slot_is_free_again_after_an_error() -> None:
    computing = Computing(threads=1)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), computing.slot():
            _ = 1 / 0


def test_interrupted_wait_leaves_the_slot_to_others() -> None:
    computing = Computing(threads=1)
    turns = computing._turns

    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, computing.slot():
        patch.setattr(label_studio_al.runtime.computing.threading, "Event", Interrupted)
        with pytest.raises(KeyboardInterrupt), turns.turn():
            pass
    with computing.slot():
        assert not turns._waiting


def test_linear_algebra_has_one_thread_in_a_slot() -> None:
    with Computing(threads=2).slot():
        assert {library["num_threads"] for library in threadpool_info()} == {1}


def test_joblib_works_one_by_one_in_this_thread_without_a_cluster() -> None:
    with Computing(threads=2).slot():
        assert set(Parallel()(delayed(threading.get_ident)() for _ in range(4))) == {threading.get_ident()}


def test_missing_dask_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(label_studio_al.runtime.computing.importlib, "import_module", missing)
    with pytest.raises(InvalidSettings, match=r"AL_DASK_SCHEDULER needs Dask: pip install .*\[dask\]"):
        Computing(scheduler="tcp://localhost:1")


def test_dask_is_not_imported_without_a_scheduler() -> None:
    made = "from label_studio_al.runtime.computing import Computing; Computing()"
    code = f"import sys; {made}; print('distributed' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


# -- a cluster ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dask() -> Any:
    return pytest.importorskip("distributed")


class Counter:
    """How many calls the cluster's workers have made."""

    def __init__(self, cluster: Any, dask: Any) -> None:
        counter = self

        class Plugin(dask.diagnostics.plugin.SchedulerPlugin):  # type: ignore[misc]
            def transition(self, key: str, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
                counter.n_made += start == "processing" and finish == "memory"

        self.n_made = 0
        self.address: str = cluster.scheduler_address
        cluster.scheduler.add_plugin(Plugin(), name="counter")


@pytest.fixture(scope="module")
def cluster(dask: Any) -> Iterator[Counter]:
    """Two workers in processes of their own."""
    made = dask.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
    with made:
        yield Counter(made, dask)


@pytest.fixture
def clustered(cluster: Counter) -> Iterator[Computing]:
    computing = Computing(threads=1, scheduler=cluster.address)
    yield computing
    computing.close()


def same_on(computing: Computing, cluster: Counter, compute: Callable[[], Any]) -> tuple[Any, Any, int]:
    """What comes out here, what on the cluster, and how many calls were made there."""
    with Computing(threads=1).slot():
        here = compute()
    before = cluster.n_made
    with computing.slot():
        there = compute()
    return here, there, cluster.n_made - before


def examples(n: int, n_labels: int, seed: int = 0) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    y = np.array([f"label {number}" for number in random.integers(n_labels, size=n)])
    X = random.standard_normal((n, 40)) + (y[:, None] == np.unique(y)[None, :]) @ np.eye(n_labels, 40) * 2
    return X.astype(np.float32), y


def test_joblib_works_on_the_cluster(clustered: Computing, cluster: Counter) -> None:
    with clustered.slot():
        assert joblib.effective_n_jobs(-1) == 2
        # As scikit-learn 1.7 asks, the last for Python 3.10.
        assert joblib.effective_n_jobs(None) == 1
        pids = Parallel()(delayed(os.getpid)() for _ in range(8))
    assert HERE not in pids
    with clustered.slot():
        assert list(Parallel(return_as="generator")(delayed(abs)(-n) for n in range(20))) == list(range(20))


def test_committee_is_the_same_on_the_cluster(clustered: Computing, cluster: Counter) -> None:
    X, y = examples(120, 4)
    # As the loop's: a closure.
    here, there, n_made = same_on(
        clustered, cluster, lambda: fit_committee(lambda X, y: fit_classifier(X, y), labelled(X, y), 5, 3)
    )
    assert n_made == 5
    for one, other in zip(here, there, strict=True):
        assert np.array_equal(one.weights, other.weights)
        assert np.array_equal(one.intercept, other.intercept)
        assert one.classes.tolist() == other.classes.tolist()


def test_tuning_is_the_same_on_the_cluster(clustered: Computing, cluster: Counter) -> None:
    X, y = examples(250, 3)
    choices = {"both": np.arange(40), "tfidf": np.arange(20)}
    here, there, n_made = same_on(clustered, cluster, lambda: tune(labelled(X, y), choices, "auto", seed=0))
    assert n_made == 10
    assert here == there


def test_expected_error_reduction_is_the_same_on_the_cluster(clustered: Computing, cluster: Counter) -> None:
    X, y = examples(400, 3)
    model = fit_classifier(X[:60], y[:60])
    pool, known = X[60:], labelled(X[:60], y[:60])
    query = Query(pool, pool, np.arange(60, len(y)), known, known.X, model, 50, 50, 1, fit_classifier)
    here, there, n_made = same_on(clustered, cluster, lambda: expected_error_reduction(query))
    assert n_made == 16
    assert np.array_equal(here, there)


def test_embeddings_are_the_same_on_the_cluster(clustered: Computing, cluster: Counter) -> None:
    pytest.importorskip("wordllama", reason="has no wheel for this machine")
    encoder = load_encoder("wordllama")
    texts = [f"text number {n} about {'cards' if n % 2 else 'loans'}" for n in range(3 * TEXTS_AT_ONCE + 1)]
    here, there, n_made = same_on(clustered, cluster, lambda: encoder.encode(texts))
    assert n_made == 4
    assert np.array_equal(here, there)


def topics() -> Dataset:
    random = np.random.default_rng(0)
    labels = random.choice(["money", "sport"], 160)
    texts = [f"{label} {random.integers(9)} {random.choice(['bank', 'goal', 'loan', 'match'])}" for label in labels]
    return Dataset("topics", texts, labels, np.arange(160) % 4 == 0)


@pytest.fixture(scope="module")
def known() -> Known:
    return prepare(topics())


def test_simulated_runs_are_the_same_on_the_cluster(clustered: Computing, cluster: Counter, known: Known) -> None:
    runs = [Run(name, seed) for name in ("auto", "vote_entropy") for seed in (0, 1)]
    options = Options(budget=40, batch=20)

    def compute() -> list[list[tuple[float, float, int]]]:
        found = Parallel()(delayed(replay)(known, run, options) for run in runs)
        return [[(point.scores, point.n_labels) for point in points] for points in found]

    here, there, n_made = same_on(clustered, cluster, compute)
    assert n_made == 4
    assert here == there


def test_experiment_is_made_on_the_cluster(clustered: Computing, cluster: Counter, tmp_path: Path) -> None:
    runs, options = [Run("random", seed) for seed in range(3)], Options(budget=20, batch=10)
    experiment = Experiment.open(topics(), options, Encoders(), runs, tmp_path)
    before = cluster.n_made
    with clustered.slot():
        assert set(experiment.conduct()) == set(runs)
    # The folds that tune the model with all labels, too; scikit-learn 1.7 (Python 3.10) fits that model by one more.
    assert cluster.n_made - before - (3 + N_FOLDS) in (0, 1)


def test_large_argument_is_sent_once(clustered: Computing, cluster: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_studio_al.runtime.computing, "SHARED_BYTES", 1000)
    large, n_sent = np.arange(1000.0), 0
    with clustered.slot():
        client: Any = clustered._cluster.client()  # type: ignore[union-attr]
        scatter = client.scatter

        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal n_sent
            n_sent += 1
            return scatter(*args, **kwargs)

        monkeypatch.setattr(client, "scatter", counted)
        assert Parallel()(delayed(np.sum)(large) for _ in range(6)) == [large.sum()] * 6
        assert Parallel()(delayed(np.dot)(a=large, b=large) for _ in range(2)) == [large @ large] * 2
    assert n_sent == 2


def test_workers_use_one_thread_for_linear_algebra(clustered: Computing, cluster: Counter) -> None:
    with clustered.slot():
        found = Parallel()(delayed(threadpool_info)() for _ in range(2))
    assert {library["num_threads"] for libraries in found for library in libraries} == {1}


def refused(n: int) -> int:
    if n == 3:
        raise InvalidRequest("3 is refused")
    return n


def test_error_of_the_work_is_raised_and_no_fault_of_the_cluster(
    clustered: Computing, cluster: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    with clustered.slot(), pytest.raises(InvalidRequest, match="3 is refused"):
        Parallel()(delayed(refused)(n) for n in range(8))
    with clustered.slot():
        assert HERE not in Parallel()(delayed(os.getpid)() for _ in range(2))
    assert not own_lines(caplog)


def test_what_cannot_be_sent_is_computed_here(
    clustered: Computing, cluster: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    lock = threading.Lock()
    with clustered.slot():
        assert Parallel()(delayed(isinstance)(lock, object) for _ in range(3)) == [True] * 3
    assert len(own_lines(caplog)) == 1


def test_worker_with_another_version_is_not_trusted(
    clustered: Computing, cluster: Counter, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_studio_al.runtime.computing, "_versions", lambda: {"numpy": "0.1"})
    with clustered.slot():
        assert Parallel()(delayed(os.getpid)() for _ in range(3)) == [HERE] * 3
    assert "a Dask worker has" in own_lines(caplog)[0]


# -- a cluster that goes away ---------------------------------------------------------------------------------

CLUSTER = """
import sys
from distributed import LocalCluster
cluster = LocalCluster(
    n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, scheduler_port=int(sys.argv[1]),
    host="127.0.0.1", protocol="tcp://",
)
print(cluster.scheduler_address, flush=True)
sys.stdin.read()
"""


def start_cluster(port: int = 0) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", CLUSTER, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=SECONDS)


def own_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "label_studio_al.runtime.computing"]


def test_work_goes_on_here_when_the_scheduler_dies_amid_it(dask: Any, caplog: pytest.LogCaptureFixture) -> None:
    process, address = start_cluster()
    computing = Computing(threads=1, scheduler=address)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def kill_when_it_works() -> None:
            connection, _ = server.accept()
            kill(process)
            connection.close()

        def square(n: int, port: int = server.getsockname()[1], home: int = HERE) -> int:
            """On the cluster it says that it begins, and never ends. Nested, so that its code is sent along."""
            if os.getpid() != home:
                with socket.create_connection(("127.0.0.1", port)) as connection:
                    connection.recv(1)
                    threading.Event().wait()
            return n * n

        killer = run_all([kill_when_it_works])
        with computing.slot():
            assert Parallel()(delayed(square)(n) for n in range(10)) == [n * n for n in range(10)]
        joined(killer)
    with computing.slot():
        assert Parallel()(delayed(os.getpid)() for _ in range(3)) == [HERE] * 3
    computing.close()
    assert len(own_lines(caplog)) == 1
    assert f"no Dask cluster at {address}, computing here" in own_lines(caplog)[0]


def test_cluster_that_comes_later_is_found_after_a_minute(
    dask: Any, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    computing = Computing(threads=1, scheduler=address, now=clock.now)
    caplog.set_level(logging.INFO, "label_studio_al")
    for _ in range(2):
        with computing.slot():
            assert Parallel()(delayed(os.getpid)() for _ in range(3)) == [HERE] * 3
    assert len(own_lines(caplog)) == 1

    process, _ = start_cluster(port)
    with computing.slot():
        assert Parallel()(delayed(os.getpid)() for _ in range(3)) == [HERE] * 3
    clock.advance(RETRY_SECONDS)
    with computing.slot():
        assert HERE not in Parallel()(delayed(os.getpid)() for _ in range(3))
    assert own_lines(caplog)[1:] == [f"the Dask cluster at {address} computes again"]
    computing.close()
    kill(process)
