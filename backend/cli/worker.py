"""`label-studio-al worker`: takes the turns."""

from __future__ import annotations

import logging
import signal
import threading

import click
from threadpoolctl import threadpool_limits

from backend.cli.wiring import end_with_parent, make_signer, make_studio, open_store, say_errors, set_up_logging
from backend.clock import Clock
from backend.jobs import JobClient, JobRunner
from backend.loop import Loop
from backend.settings import Settings, read_settings
from backend.store import Project, Store

DRAIN_SECONDS = 20
KEEP_DONE_JOBS_SECONDS = 3600.0

log = logging.getLogger(__name__)


@click.command()
@say_errors
def worker() -> None:
    """Train, rank and push, for every project that has news. Stops after the running turns on SIGTERM."""
    settings = read_settings()
    set_up_logging(settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    end_with_parent()
    run_worker(settings, stop)


def run_worker(settings: Settings, stop: threading.Event) -> None:
    """Take turns until `stop` is set."""
    # Sums that several threads share differ in their last bits: the same labels give the same model on any machine.
    threadpool_limits(limits=1)
    clock = Clock()
    store = open_store(settings)
    studio = make_studio(settings)
    if studio is None:
        log.warning(
            "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not both set: the model learns from new labels only, "
            "and the queue keeps Label Studio's order"
        )
    for project in store.projects():
        # What happened while no worker ran is unknown: webhooks may have been lost.
        store.update(project.key, sync_wanted=True)
    loop = Loop(store, studio, make_signer(settings), settings, clock)
    runner = JobRunner(settings.jobs_url, loop.take_turn, settings.worker_threads, settings.log_level)
    runner.start()
    jobs = JobClient(settings.jobs_url)
    log.info("the worker takes turns")
    try:
        while not stop.wait(settings.sweep_seconds):
            try:
                sweep(store, jobs, settings, clock.now(), has_studio=studio is not None)
            except Exception as exc:
                # The database may be away for a while; the next sweep comes soon.
                log.error("the sweep failed: %s", type(exc).__name__, exc_info=exc)
    finally:
        runner.stop(DRAIN_SECONDS)
        jobs.close()
        store.close()


def sweep(store: Store, jobs: JobClient, settings: Settings, now: float, *, has_studio: bool) -> None:
    """Ask for a turn of every project that needs one and may have none: a lost job, a retry, a sync that is due."""
    for project in store.projects():
        if not needs_turn(project, settings, now, has_studio=has_studio):
            continue
        try:
            _ask(store, jobs, project)
        except Exception as exc:
            # The next sweep comes soon; other projects need not wait for it.
            log.error("project %s: no job could be asked for: %s", project.key, type(exc).__name__, exc_info=exc)
    jobs.forget_done(KEEP_DONE_JOBS_SECONDS)


def _ask(store: Store, jobs: JobClient, project: Project) -> None:
    n_turns = project.n_turns
    if jobs.is_spent(project.key, n_turns):
        # The job of this number ended without a turn (it was killed at the worst line): number the next one.
        n_turns = store.begin_turn(project.key).n_turns
    jobs.ask(project.key, n_turns)


def needs_turn(project: Project, settings: Settings, now: float, *, has_studio: bool) -> bool:
    """Whether a turn would find something to do."""
    if project.retry_at is not None:
        return now >= project.retry_at
    if project.revision > project.seen_revision:
        return True
    if not has_studio:
        return False
    is_sync_due = project.synced_at is None or now - project.synced_at >= settings.sync_seconds
    is_unfinished = project.version_id is not None and not project.is_switched and project.error is None
    return project.sync_wanted or is_sync_due or is_unfinished
