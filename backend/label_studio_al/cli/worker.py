"""`label-studio-al worker`: runs the projects' turns."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from label_studio_al.jobs import JobClient, JobRunner, JobTablesMissing, Rescue, take_turn_alone
from label_studio_al.learners.encoders import NONE, load_encoder, load_image_encoder, slow_encoder
from label_studio_al.learning.deferred import IMAGE, TEXT, Kind
from label_studio_al.pool.pictures import decode, thumbnail
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.computing import Computing
from label_studio_al.runtime.counting import Counts
from label_studio_al.runtime.database import UNAVAILABLE, CorruptDatabase, check_whole, set_aside, unavailable
from label_studio_al.runtime.errors import DatabaseUnavailable, StudioError
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Standing, Store
from label_studio_al.turns.due import needs_turn
from label_studio_al.turns.encoding import Encoding
from label_studio_al.turns.hearing import Hearing
from label_studio_al.turns.loop import Loop
from label_studio_al.turns.means import Means
from label_studio_al.turns.seeing import Encoders, SlowEncoder
from label_studio_al.turns.syncing import CountCheck
from label_studio_al.wiring import (
    end_with_parent,
    keep_files_private,
    make_folder,
    make_signer,
    make_studio,
    open_store,
    say_errors,
    set_up_logging,
    webhook_keys,
)

if TYPE_CHECKING:
    from label_studio_al.studio.client import Studio

DRAIN_SECONDS = 20
KEEP_DONE_JOBS_SECONDS = 3600.0
# Every so many sweeps, jobs of dead processes are looked for, and jobs that ended long ago are removed.
_SWEEPS_TO_RESCUE = 2
_SWEEPS_TO_FORGET = 60

log = logging.getLogger(__name__)


@click.command()
@say_errors
def worker() -> None:
    """Train, rank and push for every project with changes. On SIGTERM, stops after the running turns."""
    settings = read_settings()
    set_up_logging(settings)
    keep_files_private()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    end_with_parent()
    run_worker(settings, stop)


def encoders_of(settings: Settings, studio: Studio | None) -> Encoders:
    """The encoders that take too long for a turn; nothing is loaded yet. Images need Label Studio, which has them."""
    names: dict[Kind, str] = {}
    texts = slow_encoder(settings.encoder, settings.models_dir)
    if texts is not None:
        names[TEXT] = texts
    if studio is None:
        return Encoders(names, partial(_load, settings, names))
    if settings.image_encoder != NONE:
        names[IMAGE] = settings.image_encoder
    return Encoders(names, partial(_load, settings, names), partial(_image, studio), thumbnail)


def _load(settings: Settings, names: Mapping[Kind, str], kind: Kind) -> SlowEncoder:
    load = load_encoder if kind == TEXT else load_image_encoder
    return load(names[kind], settings.models_dir, settings.encoder_threads)


def _image(studio: Studio, address: str, task_id: int) -> Any:
    return decode(studio.media.fetch(address, task_id))


def run_worker(settings: Settings, stop: threading.Event) -> None:
    """Take turns until `stop` is set."""
    # Features are there, wherever the database is.
    make_folder(settings)
    clock = Clock()
    computing = Computing(settings.threads, settings.dask_scheduler)
    signer = make_signer(settings)
    store = open_store(settings)
    try:
        check_whole(settings.jobs_url)
    except UNAVAILABLE as exc:
        raise unavailable(exc) from exc
    counts = Counts()
    studio = make_studio(settings, counts)
    # Takes a second, which the first training need not wait for.
    import_module("sklearn.linear_model")
    if studio is None:
        log.warning(
            "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not both set: the model learns from new labels only, "
            "and the queue keeps Label Studio's order"
        )
    # What happened while no worker ran is unknown: webhooks may have been lost. So after the database was away.
    store.projects.want_syncs()
    # Settings may have been corrected.
    store.projects.unpark()
    background = ThreadPoolExecutor(1, thread_name_prefix="features")
    keys = partial(webhook_keys, settings, create=False)
    encoding = Encoding(store, clock, settings.embeddings_dir, encoders_of(settings, studio))
    loop = Loop(Means(store, studio, signer, settings, clock, computing, background, counts, keys, encoding))
    jobs = JobClient(settings.jobs_url)
    run_turn = partial(take_turn_alone, store, jobs, loop.take_turn)
    runner = JobRunner(settings.jobs_url, run_turn, settings.worker_threads)
    runner.start()
    hearing = Hearing(store, jobs, settings.store_url)
    hearing.start()
    rescue = Rescue(jobs, store.turn_lock)
    checks: list[Periodic] = []
    if studio is not None:
        # At the start every project is synced.
        run_check = CountCheck(store, studio).run
        checks.append(Periodic("count check", settings.sync_seconds, run_check, clock.elapsed()))
    log.info("the worker takes turns")
    is_away = False
    n_sweeps = 0
    try:
        while not stop.wait(settings.sweep_seconds):
            try:
                if is_away:
                    # It may be another database: restored, or begun anew where a damaged one was set aside.
                    store.migrate()
                    store.projects.want_syncs()
                    loop.forget_all_but(())
                known = sweep(store, jobs, settings, clock.now(), has_studio=studio is not None)
                n_sweeps += 1
                if n_sweeps % _SWEEPS_TO_RESCUE == 0:
                    rescue.look(clock.elapsed())
                for check in checks:
                    check.run_if_due(known, clock.elapsed())
                loop.forget_all_but(known)
                if n_sweeps % _SWEEPS_TO_FORGET == 0:
                    jobs.forget_done(KEEP_DONE_JOBS_SECONDS)
                counts.flush(store.counters.add)
                if is_away:
                    log.warning("the database answers again: every project is compared with Label Studio")
                is_away = False
            except JobTablesMissing:
                log.warning("the jobs' tables are gone: they are made anew, and what is due is asked for again")
                make_tables(runner)
            except CorruptDatabase as exc:
                set_aside(exc)
                # The jobs' tables are made at the start only.
                raise DatabaseUnavailable(f"{exc.path.name} was damaged and is made anew: start again") from exc
            except UNAVAILABLE as exc:
                if not is_away:
                    log.error("%s", unavailable(exc))
                is_away = True
            except Exception as exc:
                # The next sweep comes soon.
                log.error("the sweep failed: %s", type(exc).__name__, exc_info=exc)
    finally:
        hearing.stop()
        runner.stop(DRAIN_SECONDS)
        with suppress(*UNAVAILABLE):
            counts.flush(store.counters.add)
        for check in checks:
            check.close()
        background.shutdown(wait=False, cancel_futures=True)
        encoding.close()
        computing.close()
        jobs.close()
        store.close()


class Periodic:
    """Runs a function every `seconds` seconds in its own thread, so nobody waits for it. A failure waits as long."""

    def __init__(self, name: str, seconds: float, act: Callable[[Sequence[str]], None], now: float) -> None:
        """act: takes the keys of all projects. now: in seconds (`Clock.elapsed`); the first time is `seconds` later."""
        self._name = name
        self._seconds = seconds
        self._act = act
        self._began_at = now
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._running: Future[None] | None = None

    def run_if_due(self, keys: Sequence[str], now: float) -> None:
        """Start, unless it is too early or the last run has not ended."""
        is_running = self._running is not None and not self._running.done()
        if keys and now - self._began_at >= self._seconds and not is_running:
            self._began_at = now
            self._running = self._thread.submit(self._run, keys)

    def _run(self, keys: Sequence[str]) -> None:
        try:
            self._act(keys)
        except UNAVAILABLE as exc:
            log.info("%s: %s", self._name, unavailable(exc))
        except StudioError as exc:
            # Each project's own sync says what is the matter.
            log.info("%s: %s", self._name, exc)
        except Exception as exc:
            log.error("%s failed: %s", self._name, type(exc).__name__, exc_info=exc)

    def close(self) -> None:
        """Begin no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def make_tables(runner: JobRunner) -> None:
    """Create the job tables again; the next sweep retries a failure."""
    try:
        runner.make_tables()
    except UNAVAILABLE as exc:
        log.error("%s", unavailable(exc))


def sweep(store: Store, jobs: JobClient, settings: Settings, now: float, *, has_studio: bool) -> list[str]:
    """Request a turn for every project that needs one and may have none: a lost job, a retry, a sync that is due.

    Returns the keys of all projects.
    """
    standings = store.projects.standings()
    for project in standings:
        is_due = needs_turn(project, settings, now, has_studio=has_studio, n_projects=len(standings))
        if not is_due and not _was_cut_short(store, project):
            continue
        try:
            _ask(store, jobs, project)
        except UNAVAILABLE:
            raise
        except Exception as exc:
            # The next sweep comes soon; other projects need not wait for it.
            log.error("project %s: no job could be asked for: %s", project.key, type(exc).__name__, exc_info=exc)
    return [project.key for project in standings]


def _ask(store: Store, jobs: JobClient, project: Standing) -> None:
    if not jobs.is_spent(project.key, project.n_turns):
        jobs.ask(project.key, project.n_turns)
        return
    # The job of this number ended without a turn (it was killed at the worst line): number the next one. A turn that
    # goes on must not be overtaken by that.
    with store.turn_lock(project.key) as is_free:
        if is_free:
            jobs.ask(project.key, store.projects.skip_turn(project.key).n_turns)


def _was_cut_short(store: Store, project: Standing) -> bool:
    """Whether the last turn was killed before its end: nobody knows what it has done."""
    if project.n_unfinished == 0 or project.retry_at is not None or project.is_parked or project.is_paused:
        return False
    with store.turn_lock(project.key) as is_free:
        return is_free and store.projects.get(project.key).n_unfinished > 0
