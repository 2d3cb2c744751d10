"""What a process computes with: a number of threads, and a Dask cluster if one is configured."""

from __future__ import annotations

import importlib
import logging
import pickle
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from typing import Any
from uuid import uuid4

from joblib import cpu_count, parallel_config
from joblib.parallel import ParallelBackendBase, SequentialBackend
from threadpoolctl import threadpool_limits

import label_studio_al
from label_studio_al.runtime.errors import InvalidSettings

CONNECT_SECONDS = 3.0
RETRY_SECONDS = 60.0
# How often a call that takes long looks whether the cluster has workers left.
CHECK_SECONDS = 10.0
# A pickled argument of this size is sent to the cluster once, not with each call. Dask warns of calls above 10 MB.
SHARED_BYTES = 1_000_000

log = logging.getLogger(__name__)


class Computing:
    """The right to compute, made once per process. Raises InvalidSettings if a cluster is named and Dask is missing.

    threads: how many compute at once; None for as many as the process may use CPUs. scheduler: address of the
    cluster's scheduler, `tcp://HOST:PORT`. now: seconds that only grow.
    """

    def __init__(
        self, threads: int | None = None, scheduler: str | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._turns = _Turns(threads or cpu_count())
        self._cluster = _Cluster(scheduler, now) if scheduler else None
        self._entered = threading.local()

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Compute inside: waits for its turn, first come, first served; joblib's work goes to the cluster if it can.

        A slot inside a slot of the same thread is the same one.
        """
        if getattr(self._entered, "is_inside", False):
            yield
            return
        client = self._cluster.client() if self._cluster else None
        with self._turns.turn():
            self._entered.is_inside = True
            use_one_thread()
            try:
                if self._cluster is None or client is None:
                    yield
                else:
                    with parallel_config(backend=_ClusterBackend(self._cluster, client)):
                        yield
            finally:
                self._entered.is_inside = False

    def close(self) -> None:
        """Leave the cluster."""
        if self._cluster:
            self._cluster.close()


def use_one_thread() -> None:
    """Make each sum of this thread's arrays alone from now on, so that its last bits are the same on any machine.

    Each time before computing: libraries that were imported since are not limited yet, and some limit a thread only.
    """
    threadpool_limits(limits=1)


class _Turns:
    """A number of turns at once, first come, first served: `threading.Semaphore` lets latecomers overtake."""

    def __init__(self, n: int) -> None:
        self._free = n
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        mine = threading.Event()
        with self._lock:
            if self._free:
                self._free -= 1
                mine.set()
            else:
                self._waiting.append(mine)
        try:
            mine.wait()
            yield
        finally:
            self._leave(mine)

    def _leave(self, mine: threading.Event) -> None:
        with self._lock:
            if not mine.is_set():
                self._waiting.remove(mine)
            elif self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1


class _Cluster:
    """The connection to a Dask scheduler: made on demand, and not retried for a minute after a failure."""

    def __init__(self, address: str, now: Callable[[], float]) -> None:
        try:
            self.dask: Any = importlib.import_module("distributed")
        except ImportError as exc:
            rule = "AL_DASK_SCHEDULER needs Dask: pip install 'label-studio-active-learning[dask]'"
            raise InvalidSettings(rule) from exc
        self._address = address
        self._now = now
        self._lock = threading.Lock()
        self._client: Any = None
        self._away_until = -float("inf")
        self._is_said = False

    @property
    def is_away(self) -> bool:
        """Whether it failed within the last minute."""
        return self._now() < self._away_until

    def client(self) -> Any:
        """A client that is connected to workers; None while there is none."""
        with self._lock:
            if self.is_away:
                return None
            try:
                if self._client is None or self._client.status != "running":
                    self._disconnect()
                    self._client = self.dask.Client(self._address, timeout=CONNECT_SECONDS, set_as_default=False)
                if not self._client.ncores():
                    raise OSError("it has no workers")
            except Exception as exc:
                # Dask raises errors of the system, of its own and plain ones; without the cluster we are merely slower.
                self._lose(exc)
                return None
            return self._client

    def lose(self, reason: BaseException) -> None:
        """Do without the cluster for a minute."""
        with self._lock:
            self._lose(reason)

    def _lose(self, reason: BaseException) -> None:
        self._away_until = self._now() + RETRY_SECONDS
        if not self._is_said:
            self._is_said = True
            came = " ".join(str(reason).split())[:200]
            log.warning("no Dask cluster at %s, computing here: %s: %s", self._address, type(reason).__name__, came)

    def works(self) -> None:
        """Say so where it failed before."""
        with self._lock:
            if self._is_said:
                self._is_said = False
                log.info("the Dask cluster at %s computes again", self._address)

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self._disconnect()

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close(timeout=CONNECT_SECONDS)


class _ClusterBackend(ParallelBackendBase):  # type: ignore[misc]
    """Makes joblib's calls on the cluster, and those that fail there again here.

    In place of joblib's own backend "dask", which gives up all calls, the finished ones too, when the scheduler goes.
    """

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(self, cluster: _Cluster, client: Any) -> None:
        super().__init__()
        self._cluster = cluster
        self._client = client
        self._n_cores: int = sum(client.ncores().values())
        self._here = threading.Lock()
        self._packing = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._is_aborted = False
        self._sent: set[Any] = set()
        # By identity, with what keeps the identity from being given to something else.
        self._shared: dict[int, tuple[Any, Any]] = {}

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls are made at once: never more than the cluster has cores; None is one, as in joblib."""
        if n_jobs is None:
            return 1
        return max(1, min(n_jobs, self._n_cores) if n_jobs > 0 else self._n_cores)

    def get_nested_backend(self) -> tuple[Any, None]:
        """What calls of calls are made with: one after the other."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    def start_call(self) -> None:
        """joblib begins."""
        self._pool = ThreadPoolExecutor(self._n_cores, thread_name_prefix="dask-call")
        self._is_aborted = False

    def stop_call(self) -> None:
        """joblib has all results, or wants no more."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._shared.clear()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Waste no more time on results that nobody wants."""
        self._is_aborted = True
        for sent in list(self._sent):
            sent.cancel()

    def submit(self, batch: Any, callback: Callable[[Future[Any]], None]) -> Future[Any]:
        """Have joblib's batch of calls made."""
        assert self._pool
        made = self._pool.submit(self._made, batch)
        made.add_done_callback(callback)
        return made

    # Its name before joblib 1.5.
    apply_async = submit

    def retrieve_result_callback(self, made: Future[Any]) -> Any:
        """The results, or the error, of a batch that is done."""
        return made.result()

    def _made(self, batch: Any) -> Any:
        failure: Exception | None = None
        if not self._cluster.is_away:
            try:
                results = self._made_there(batch)
                self._cluster.works()
                return results
            except Exception as exc:
                failure = exc
        if failure is not None and not self._is_aborted and self._client.status != "running":
            self._cluster.lose(failure)
        # An error of the work itself comes here again, with its own traceback. One at a time: this is one slot.
        with self._here:
            if self._is_aborted:
                raise CancelledError
            use_one_thread()
            results = batch()
        if failure is not None:
            self._cluster.lose(failure)
        return results

    def _made_there(self, batch: Any) -> Any:
        tasks = [
            (self._packed(function), [self._packed(arg) for arg in args], self._packed_values(named))
            for function, args, named in batch.items
        ]
        name = getattr(batch.items[0][0], "__name__", "call")
        sent = self._client.submit(_call, _versions(), tasks, key=f"{name}-{uuid4().hex}", pure=False)
        self._sent.add(sent)
        try:
            while True:
                try:
                    return sent.result(timeout=CHECK_SECONDS)
                except self._cluster.dask.TimeoutError:
                    if sent.status == "error":
                        raise
                    if not self._client.ncores():
                        raise OSError("its workers are gone") from None
        finally:
            self._sent.discard(sent)

    def _packed_values(self, named: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._packed(value) for name, value in named.items()}

    def _packed(self, value: Any) -> Any:
        """The pickled value, or what stands for it on the cluster."""
        with self._packing:
            if id(value) in self._shared:
                return self._shared[id(value)][1]
            packed = self._cluster.dask.protocol.pickle.dumps(value)
            if len(packed) >= SHARED_BYTES:
                packed = self._client.scatter(packed, hash=False)
                self._shared[id(value)] = value, packed
            return packed


def _call(
    versions: Mapping[str, str], tasks: Sequence[tuple[bytes, Sequence[bytes], Mapping[str, bytes]]]
) -> list[Any]:
    """Make calls on a worker, which must have what makes the same results."""
    if versions != _versions():
        raise RuntimeError(f"a Dask worker has {_versions()}, not {versions}")
    use_one_thread()
    return [
        pickle.loads(function)(  # noqa: S301 - whoever may submit to the cluster may run anything there
            *[pickle.loads(value) for value in args],  # noqa: S301
            **{name: pickle.loads(value) for name, value in named.items()},  # noqa: S301
        )
        for function, args, named in tasks
    ]


@cache
def _versions() -> dict[str, str]:
    """What the last bits of a result depend on."""
    libraries = {name: version(name) for name in ("numpy", "scipy", "scikit-learn")}
    return {"python": ".".join(map(str, sys.version_info[:2])), "backend": label_studio_al.__version__, **libraries}
