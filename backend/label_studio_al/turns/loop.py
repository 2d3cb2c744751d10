"""One turn of the active-learning loop - start reading here.

A turn asks "what is labelled, what has been learnt, what is published?" and closes the difference. It never relies
on an event: a lost, doubled or late one, or a kill at any line, is repaired by the next turn. It pushes the first
predictions, switches Label Studio to them, pushes the rest while nobody waits and prunes the old ones last, so
annotators never meet a version without predictions (publishing.py).
"""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from label_studio_al.autolabel.watch import watch_runs
from label_studio_al.labeling import (
    UNREAD,
    LabelConfig,
    parse_config,
    project_id_of,
)
from label_studio_al.learners.encoders import find_encoder
from label_studio_al.learners.published import Models
from label_studio_al.learning import draws
from label_studio_al.learning.asking import choose_order
from label_studio_al.learning.classifier import Classifier
from label_studio_al.learning.learner import Tuning, n_deciding, train, tune
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.strategies import MEASURES
from label_studio_al.learning.types import Array
from label_studio_al.pool.tasks import News, Pool
from label_studio_al.runtime import logs
from label_studio_al.runtime.clock import Clock, has_passed, is_due
from label_studio_al.runtime.computing import Computing
from label_studio_al.runtime.counting import Counts
from label_studio_al.runtime.database import UNAVAILABLE
from label_studio_al.runtime.errors import (
    ArtifactRejected,
    BackendError,
    FeaturesNotStored,
    StudioError,
    StudioUnreachable,
    TurnOvertaken,
    TurnsCutShort,
    UnsupportedConfig,
)
from label_studio_al.runtime.memory import give_back, let_go_of_files
from label_studio_al.runtime.settings import ProjectSettings, Settings, read_project_settings
from label_studio_al.store import NewVersion, Project, Signer, Standing, Store, Turn, Version, WindowTask, model_kind
from label_studio_al.studio.client import Studio
from label_studio_al.turns.labels import Labels
from label_studio_al.turns.measuring import keep_predictions, measure
from label_studio_al.turns.publishing import IDLE_SECONDS, Publishing, n_ready
from label_studio_al.turns.ranking import Learnt, Window, rank, with_checks
from label_studio_al.turns.syncing import Sync

# A person's label is learnt at once; a bulk import is waited for: the more is unheard, the longer a pause must be.
SETTLE_SECONDS_AN_EVENT = 0.02
SETTLE_SECONDS_AT_MOST = 1.0
SETTLE_SECONDS_IN_ALL = 4.5
SETTLE_POLL_SECONDS = 0.02
# A turn that failed is taken again, after growing pauses. What fails again and again on our side is parked: only news
# start another turn. What others must mend (Label Studio, a disk) is tried for ever: no event tells that it is mended.
RETRY_SECONDS_AT_FIRST = 2.0
RETRY_SECONDS_AT_MOST = 300.0
OUTAGE_SECONDS_AT_MOST = 10.0
DISK_SECONDS_AT_MOST = 20.0
PARKED_AFTER = 8
# A turn that was cut short is taken again at once. One that cuts itself short each time (a task that crashes a library,
# or takes all memory) would take the other projects' turns along, over and over.
CUT_SHORT_ALLOWED = 2
# `serve` gives up a process that ends five times in a minute.
CUT_SHORT_SECONDS = 20.0
# A window need not be larger than what is labelled until the next turn, and each task of it costs Label Studio 70 ms.
WINDOW_AT_LEAST = 50
WINDOW_GROWTHS = 3
# The window is topped up when less than this share of it is left.
TOP_UP_SHARE = 0.5
# A large comparison, or many new texts, are worked on for so long in one turn; the next turn goes on with them, after
# other projects had theirs.
SLICE_SECONDS = 2.0
# A few tasks without a text are nobody's mistake.
TASKS_WITHOUT_TEXT_ALLOWED = 3

# What a turn that came to its end leaves of the failures before it.
_WELL = {
    "error": None,
    "unreachable_since": None,
    "n_failures": 0,
    "n_unfinished": 0,
    "retry_at": None,
    "parked_revision": None,
}

log = logging.getLogger(__name__)


@dataclass
class Progress:
    """What a turn has done so far. `steps` maps each step to its seconds; `revision` is what it has seen.

    turn: its number. started_at: when it began, for people; began: the same for measuring (`Clock.elapsed`).
    is_complete: whether nothing is left that the next turn should go on with at once.
    """

    turn: int
    started_at: float
    began: float
    steps: dict[str, float] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    version: int | None = None
    n_labels: int | None = None
    revision: int | None = None
    is_complete: bool = True


class Loop:
    """Takes turns. Different projects may take theirs at once, from different threads."""

    def __init__(
        self,
        store: Store,
        studio: Studio | None,
        signer: Signer,
        settings: Settings,
        clock: Clock,
        computing: Computing,
        background: Executor,
        counts: Counts | None = None,
        webhook_keys: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """studio: None without a token; then versions are only served to /predict, and nothing is pushed.

        background: where features of large pools are fitted again while turns go on. counts: where turns are counted.
        webhook_keys: what projects' webhook secrets are made from, none where that is not known.
        """
        self._store = store
        self._studio = studio
        self._sync = None if studio is None else Sync(store, studio, clock, settings.backend_url, webhook_keys)
        self._publishing = None if studio is None else Publishing(store, studio, clock, settings.backend_url)
        self._computing = computing
        self._background = background
        self._signer = signer
        self._settings = settings
        self._clock = clock
        self._pools: dict[str, Pool] = {}
        self._labels: dict[str, Labels] = {}
        self._tunings: dict[str, tuple[object, Tuning]] = {}
        self._counts = counts or Counts()
        # When what the last turn learnt was heard, by project.
        self._learnt_heard_at: dict[str, float] = {}
        self._models = Models(store, signer)

    def take_turn(self, key: str) -> bool:
        """Close the difference between what is labelled, learnt and published. Never raises what a retry can mend.

        Returns whether that is done: a turn works on much news for two seconds only, and the next one goes on.
        """
        self._settle(key)
        project = self._store.begin_turn(key)
        with logs.context(project=key, turn=project.n_turns):
            return self._take_turn(project)

    def _take_turn(self, project: Project) -> bool:
        key = project.key
        if project.is_paused or not is_retry_due(project, self._clock.now()):
            self._store.update(key, n_unfinished=project.n_unfinished - 1)
            return True
        progress = Progress(project.n_turns, self._clock.now(), self._clock.elapsed())
        self._count_delay(project, progress)
        try:
            self._check_endings(project)
            until = progress.began + SLICE_SECONDS
            was_at_rest, activity = self._is_at_rest(project), project.activity
            project = self._hear_studio(project, progress, until)
            if project.is_parked:
                self._store.update(key, n_unfinished=0)
                return progress.is_complete
            self._write_settings(project, progress)
            # Label Studio was asked what changed, and nothing did.
            if was_at_rest and progress.is_complete and self._is_at_rest(project):
                columns = {"activity": activity}
            else:
                columns = self._turn(project, progress, until)
        except (TurnOvertaken, *UNAVAILABLE):
            # What is recorded from here on is the next turn's, or cannot be recorded.
            self._count_turn(progress, "interrupted")
            raise
        except Exception as exc:
            self._record_failure(project, progress, exc)
        else:
            self._store.update(key, **columns, **_WELL)
            self._count_turn(progress, "kept" if progress.version is None else "published")
            if progress.done:
                self._record(key, progress, "; ".join(progress.done))
        # Trainings and answers of Label Studio leave megabytes free, in pieces between others.
        if progress.version is not None or "sync" in progress.steps:
            give_back()
        else:
            let_go_of_files()
        return progress.is_complete

    def _is_at_rest(self, project: Project) -> bool:
        """Whether all that was heard is learnt and published, so that a turn would leave everything as it is."""
        pool = self._pools.get(project.key)
        return (
            project.revision == project.seen_revision
            and pool is not None
            and pool.is_complete
            and project.error is None
            and project.n_unfinished == 1
            and project.version_id is not None
            and project.is_switched
            and project.is_window_pushed
            and not project.stale_versions
            and not project.sync_wanted
            and not project.config_wanted
        )

    def forget_all_but(self, keys: Collection[str]) -> None:
        """Let go of projects that are not known any more."""
        in_memory: tuple[MutableMapping[str, Any], ...] = (
            self._pools,
            self._labels,
            self._tunings,
            self._learnt_heard_at,
        )
        for kept in in_memory:
            for key in [key for key in kept if key not in keys]:
                del kept[key]
        self._models.forget(keys)

    def _check_endings(self, project: Project) -> None:
        """Raise TurnsCutShort if the last turns never came to their end, unless there are news or this one waited."""
        n_cut_short = project.n_unfinished - 1
        if project.is_parked:
            return
        if project.parked_revision is not None:
            self._store.update(project.key, parked_revision=None, n_unfinished=1)
        elif project.retry_at is not None:
            # Should this turn be cut short, too, the next one waits again.
            self._store.update(project.key, retry_at=None)
        elif n_cut_short >= CUT_SHORT_ALLOWED:
            raise TurnsCutShort(
                f"the last {n_cut_short} turns did not come to their end: their process was killed or ran out of "
                "memory, or the database went away"
            )

    # -- the turn ---------------------------------------------------------------------------------------------

    def _turn(self, project: Project, progress: Progress, until: float) -> dict[str, Any]:
        """Returns what the project's row says afterwards."""
        key, seen = project.key, {"seen_revision": project.revision}
        if project.compared_at is None and self._studio is not None:
            # Which texts there are decides on the features: nothing is learnt from the first half of a pool.
            return {"activity": "reading the tasks of Label Studio"} | seen
        config = parse_config(project.label_config)
        settings = read_project_settings(project.extra_params)
        is_first = project.version_id is None
        with self._step(key, progress, "features", "turning texts into features" if is_first else None):
            pool = self._pool(key, config)
            news = pool.refresh(until)
            progress.is_complete &= news.is_complete
            self._models.know(key, pool.features_id, pool.features)
            self._show_features(project, pool, news)
        if not news.is_complete and is_first:
            return {"activity": "turning texts into features"} | seen
        with self._step(key, progress, "labels"):
            answered = self._labels.setdefault(key, Labels(key, self._store))
            answered.refresh(config)
            by_people = answered.task_ids
            annotated = sorted({*by_people, *self._store.automation.taken(key)})
            pool.require(by_people)
            labels = answered.in_order_of_arrival(among=pool.having_rows)
            version = self._store.find_version(project.version_id)
            if version is not None:
                logs.add(version=version.name)
            self._store.update(
                key,
                n_tasks=pool.n_tasks,
                n_annotations=answered.n_annotations,
                unread=json.dumps(_unread(config, pool, answered.ignored())),
                **_counted(settings, config, version, labels),
            )
        progress.n_labels = len(labels)
        reason = _training_reason(project, settings, config, pool, version, labels)
        if reason is not None:
            version = self._publish(project, progress, config, settings, pool, labels, annotated)
            progress.done.append(f"published {version.name}: {reason}")
        elif version is not None:
            try:
                added = self._top_up(project, progress, config, settings, pool, version, annotated, news)
            except ArtifactRejected as exc:
                log.error("project %s: %s", key, exc)
                version = self._publish(project, progress, config, settings, pool, labels, annotated)
                progress.done.append(f"published {version.name}: the stored model was refused")
            else:
                if added:
                    progress.done.append(f"topped up {version.name} by {added}")
        step = partial(self._step, key, progress)
        if version is not None and self._publishing is not None:
            self._publishing.switch(key, version, step)
        if version is not None and version.has_model:
            with step("measure"):
                self._measure(key, settings, pool, version, labels)
        elif self._store.newest_measurement(key) is not None:
            self._store.drop_measurements(key)
        if version is not None and self._publishing is not None:
            progress.is_complete &= self._publishing.push_rest(project, config, version, frozenset(annotated), step)
            if self._publishing.prune(key, version, step):
                progress.done.append("deleted older predictions")
        counted = _counted(settings, config, version, labels)
        return {"activity": _waiting_for(settings, version, labels)} | seen | counted

    def _publish(
        self,
        project: Project,
        progress: Progress,
        config: LabelConfig,
        settings: ProjectSettings,
        pool: Pool,
        labels: Mapping[int, str],
        annotated: Sequence[int],
    ) -> Version:
        key = project.key
        self._keep_predictions(project, config, labels)
        classifier, tuning = None, None
        if _is_trainable(settings, labels):
            with self._step(key, progress, "train", f"training on {len(labels)} labels"), self._computing.slot():
                rows, y = pool.X[pool.rows(list(labels))], np.array(list(labels.values()))
                tuning = self._tuning(key, settings, pool, labels, rows, y)
                classifier = train(rows, y, pool.features.choices(), tuning)
        with self._step(key, progress, "rank", "ranking"), self._computing.slot():
            order = choose_order(
                settings.strategy, list(labels.values()), config.labels, is_trained=classifier is not None
            )
            learnt = Learnt(labels, classifier, _fit(pool, tuning), order)
            n, batch = _window_size(settings, len(labels)), _growth(settings, len(labels))
            checks = self._checks(key, settings, pool, annotated)
            shown = self._shown(project, checks)
            window = rank(pool, learnt, config, settings, [*annotated, *checks], [], n, batch, shown)
            window = with_checks(window, checks, n)
        number = self._store.reserve_number(key)
        pushed = None
        if self._publishing is not None:
            with self._step(key, progress, "push", f"pushing the first of {len(window.task_ids)} predictions"):
                pushed = self._publishing.push_first(key, config, number, window)
        with self._step(key, progress, "record"):
            before = set() if project.version_id is None else self._store.audits(project.version_id)
            now = self._clock.now()
            kind = model_kind(key, number, now)
            artifact = None if classifier is None else self._signer.dump((classifier, order, tuning), kind)
            version = self._store.publish(
                key,
                NewVersion(
                    number=number,
                    created_at=now,
                    revision=project.revision,
                    ranked_by=order,
                    labels=config.labels,
                    learnt=dict(labels),
                    features_id=pool.features_id,
                    artifact=artifact,
                    window=window.pairs(),
                    audits=window.audits,
                    late_audits=frozenset(before.difference(annotated, window.task_ids)),
                    guesses=window.guesses_of(),
                    pushed=pushed,
                ),
                is_switched=self._studio is None,
                turn=progress.turn,
            )
        progress.version = number
        return version

    def _top_up(
        self,
        project: Project,
        progress: Progress,
        config: LabelConfig,
        settings: ProjectSettings,
        pool: Pool,
        version: Version,
        annotated: Sequence[int],
        news: News,
    ) -> int:
        """Add the next tasks to the current version's window before it runs dry, or when new tasks beat it."""
        known = self._store.window(version.id)
        left = [known[task_id] for task_id in pool.having_rows(sorted(known.keys() - set(annotated)))]
        size = _window_size(settings, len(version.learnt))
        fills_up = len(left) < TOP_UP_SHARE * size or news.n_new > 0
        n_missing = max(0, size - len(left)) if fills_up else 0
        compares = news.n_new > 0 and version.ranked_by in MEASURES
        if not n_missing and not compares:
            return 0
        with self._step(project.key, progress, "rank", "ranking"), self._computing.slot():
            model = self._models.get(project.key, version.id)
            classifier, tuning = (None, None) if model is None else (model.classifier, model.tuning)
            learnt = Learnt(version.learnt, classifier, _fit(pool, tuning), version.ranked_by)
            n, batch = size if compares else n_missing, _growth(settings, len(version.learnt))
            checks = self._checks(project.key, settings, pool, annotated)
            window = rank(pool, learnt, config, settings, [*annotated, *checks], sorted(known), n, batch)
            window = with_checks(window, [task_id for task_id in checks if task_id not in known], n)
            if compares:
                least = min(left, default=0.0)
                n_better = sum(value > least for value in window.informativeness)
                window = _first(window, max(n_missing, n_better))
        if not window.task_ids:
            return 0
        pushed = None if self._publishing is None else frozenset[int]()
        self._store.add_to_window(version.id, window.pairs(), window.audits, window.guesses_of(), pushed)
        return len(window.task_ids)

    def _shown(self, project: Project, checks: Sequence[int]) -> list[WindowTask]:
        """What the published version asks first beside the checks: people may have these tasks before them by now."""
        if project.version_id is None:
            return []
        n = n_ready(self._store, project.key)
        first = self._store.next_tasks(project.key, project.version_id, n + len(checks))
        return [one for one in first if one.task_id not in checks][:n]

    def _checks(self, key: str, settings: ProjectSettings, pool: Pool, annotated: Sequence[int]) -> list[int]:
        """Tasks that were held back from a run of automatic labels, to be labelled by people before all others.

        In random order, so that those that are labelled so far tell of all.
        """
        checks = np.array([*self._store.automation.checks(key).keys() - set(annotated)], dtype=np.int64)
        return pool.having_rows(checks[draws.shuffled(checks, settings.seed, "order of checks")].tolist())

    def _write_settings(self, project: Project, progress: Progress) -> None:
        """Bring settings that were chosen here into Label Studio, so that it does not tell the old ones again."""
        if project.wanted_params is None or self._studio is None or self._publishing is None:
            return
        project_id = project_id_of(project.key)
        with self._step(project.key, progress, "settings", "writing the settings into Label Studio"):
            connection = self._publishing.find_connection(project.key)
            self._studio.set_extra_params(project_id, connection, project.wanted_params)
            self._store.settle_settings(project.key, project.wanted_params)
        progress.done.append("wrote the settings into Label Studio")

    # -- learning ---------------------------------------------------------------------------------------------

    def _tuning(
        self, key: str, settings: ProjectSettings, pool: Pool, labels: Mapping[int, str], rows: Matrix, y: Array
    ) -> Tuning:
        """Which features and how calibrated, from the earliest labels: decided again only when these change."""
        deciding = tuple(labels.items())[: n_deciding(len(labels))]
        because = (pool.features_id, settings.features, settings.seed, deciding)
        known = self._tunings.get(key)
        if known is None or known[0] != because:
            known = (
                because,
                tune(rows, y, np.array(list(labels)), pool.features.choices(), settings.features, settings.seed),
            )
            self._tunings[key] = known
            log.info("project %s: features: %s", key, known[1].sentence())
        return known[1]

    def _keep_predictions(self, project: Project, config: LabelConfig, labels: Mapping[int, str]) -> None:
        version = self._store.find_version(project.version_id)
        if version is None or not version.has_model:
            return
        try:
            model = self._models.get(project.key, version.id)
        except ArtifactRejected as exc:
            log.error("project %s: what it predicted is not kept: %s", project.key, exc)
            return
        if model is not None:
            keep_predictions(self._store, project.key, config, version, model, labels)

    def _measure(
        self, key: str, settings: ProjectSettings, pool: Pool, version: Version, labels: Mapping[int, str]
    ) -> None:
        """After the switch: no annotator waits for it, and the queue goes on without it."""
        try:
            model = self._models.get(key, version.id)
            if model is not None and version.features_id == pool.features_id:
                fit = _fit(pool, model.tuning)
                with self._computing.slot():
                    measure(self._store, key, pool, version, model, fit, settings.seed, self._clock.now())
            watch_runs(self._store, key, labels)
        except Exception as exc:
            log.error("project %s: %s was not measured: %s", key, version.name, type(exc).__name__, exc_info=exc)

    # -- parts of a turn --------------------------------------------------------------------------------------

    def _settle(self, key: str) -> None:
        """Wait for a pause in what is heard, the longer the more is unheard, at most 4.5 s."""
        began = self._clock.elapsed()
        while self._clock.elapsed() - began < SETTLE_SECONDS_IN_ALL:
            project = self._store.project(key)
            n_unheard = project.revision - max(0, project.seen_revision)
            pause = min(SETTLE_SECONDS_AT_MOST, SETTLE_SECONDS_AN_EVENT * n_unheard)
            if has_passed(pause, project.heard_at, self._clock.now()):
                return
            self._clock.sleep(SETTLE_POLL_SECONDS)

    def _is_sync_due(self, project: Project) -> bool:
        is_old = has_passed(self._settings.sync_seconds, project.synced_at, self._clock.now())
        # Of a turn that was cut short nobody knows what it has done.
        return project.sync_wanted or is_old or project.n_unfinished > 1

    def _hear_studio(self, project: Project, progress: Progress, until: float) -> Project:
        """Read from Label Studio what is due to be read; gives the project as it is then."""
        key = project.key
        if self._sync is None:
            return project
        is_due, are_claims, is_synced = self._is_sync_due(project), bool(self._store.claims(key)), True
        if not (is_due or are_claims or project.config_wanted):
            return project
        if are_claims:
            with self._step(key, progress, "check", "asking Label Studio what was changed or deleted"):
                is_due |= not self._sync.check(key)
        if is_due:
            with (
                self._step(key, progress, "sync", "comparing with Label Studio"),
                self._clearing(key, "sync_wanted", "config_wanted"),
            ):
                is_synced = self._sync.run(key, until)
                if is_synced and self._publishing is not None:
                    self._publishing.find_connection(key)
            if is_synced:
                progress.done.append("synced")
        elif project.config_wanted:
            with self._clearing(key, "config_wanted"):
                self._sync.config(key)
        if not is_synced or self._store.claims(key):
            # There is more to compare, or something was claimed while Label Studio answered.
            progress.is_complete = False
            self._store.update(key, sync_wanted=True)
        before, project = project, self._store.project(key)
        if project.revision > before.revision:
            # Something has happened there, whether an event told of it or not: long enough ago to prune.
            self._store.update(key, heard_at=max(project.heard_at, self._clock.now() - IDLE_SECONDS))
        progress.revision = project.revision
        return project

    @contextmanager
    def _clearing(self, key: str, *wishes: str) -> Iterator[None]:
        """Take wishes as granted, unless this fails; one that comes from now on asks for the next turn."""
        self._store.update(key, **dict.fromkeys(wishes, False))
        try:
            yield
        except BaseException:
            self._store.update(key, **dict.fromkeys(wishes, True))
            raise

    def _pool(self, key: str, config: LabelConfig) -> Pool:
        pool = self._pools.get(key)
        if pool is None or pool.field != config.field:
            pool = Pool(
                key,
                config,
                find_encoder(self._settings.encoder),
                self._settings.features_dir,
                self._store,
                self._signer,
                self._clock,
                self._computing,
                self._background,
            )
            self._pools[key] = pool
        return pool

    def _show_features(self, project: Project, pool: Pool, news: News) -> None:
        """Say how many texts are features; once all are, nothing."""
        if news.is_complete:
            if project.progress is not None:
                self._store.update(project.key, progress=None)
            return
        shown = project.progress or {}
        # Counted once: that takes a tenth of a second for a million.
        total = shown["total"] if shown.get("what") == "features" else self._store.counts(project.key)["tasks"]
        self._store.show_progress(project.key, "features", pool.n_tasks, total)

    # -- accounts ---------------------------------------------------------------------------------------------

    @contextmanager
    def _step(self, key: str, progress: Progress, name: str, activity: str | None = None) -> Iterator[None]:
        if activity is not None:
            self._store.update(key, activity=activity)
        began = self._clock.elapsed()
        try:
            yield
        finally:
            progress.steps[name] = progress.steps.get(name, 0.0) + self._clock.elapsed() - began

    def _record(self, key: str, progress: Progress, outcome: str) -> None:
        turn = Turn(
            started_at=progress.started_at,
            seconds=self._clock.elapsed() - progress.began,
            outcome=outcome,
            version=progress.version,
            n_labels=progress.n_labels,
            steps=progress.steps,
        )
        self._store.record_turn(key, turn)
        log.info("project %s: %s (%.2f s)", key, outcome, turn.seconds)

    def _record_failure(self, project: Project, progress: Progress, exc: Exception) -> None:
        is_ours = not isinstance(exc, BackendError)
        sentence = f"internal error ({type(exc).__name__}): see the log" if is_ours else str(exc)
        log.log(
            logging.WARNING if isinstance(exc, StudioUnreachable) else logging.ERROR,
            "project %s: the turn failed: %s",
            project.key,
            sentence,
            exc_info=exc if is_ours else None,
        )
        pause = _pause(exc, project)
        seen = project.revision if progress.revision is None else progress.revision
        columns: dict[str, Any] = {"n_failures": project.n_failures + 1, "seen_revision": seen}
        columns["n_unfinished"] = project.n_unfinished - 1 if isinstance(exc, TurnsCutShort) else 0
        if pause is None:
            columns |= {"parked_revision": seen, "retry_at": None, "activity": "waiting for a change"}
        else:
            columns |= {"retry_at": self._clock.now() + pause, "activity": "waiting for the next try"}
        is_outage = isinstance(exc, StudioUnreachable)
        columns["unreachable_since"] = (project.unreachable_since or self._clock.now()) if is_outage else None
        # Why a project is parked stays to be read, whatever fails while it is.
        if pause is None or not project.is_parked:
            columns["error"] = sentence
        self._store.update(project.key, **columns)
        self._record(project.key, progress, f"failed: {sentence}")
        self._count_turn(progress, "failed")

    def _count_turn(self, progress: Progress, outcome: str) -> None:
        self._counts.add("label_studio_al_turns_total", outcome=outcome)
        self._counts.observe("label_studio_al_turn_seconds", self._clock.elapsed() - progress.began, outcome=outcome)
        for step, seconds in progress.steps.items():
            self._counts.observe("label_studio_al_step_seconds", seconds, step=step)

    def _count_delay(self, project: Project, progress: Progress) -> None:
        """Count how long an event waited for its turn. Turns also have news that no event told, at any time."""
        is_heard = self._learnt_heard_at.get(project.key) != project.heard_at
        if is_heard and project.revision > project.seen_revision:
            # Another machine's clock may be a little ahead.
            self._counts.observe(
                "label_studio_al_queue_delay_seconds", max(0.0, progress.started_at - project.heard_at)
            )
        self._learnt_heard_at[project.key] = project.heard_at


def _pause(exc: Exception, project: Project) -> float | None:
    """Seconds to the next try after a failure; None where only news can help."""
    grown = RETRY_SECONDS_AT_FIRST * 2.0 ** min(project.n_failures, 16)
    if isinstance(exc, StudioUnreachable):
        return max(min(OUTAGE_SECONDS_AT_MOST, grown), min(RETRY_SECONDS_AT_MOST, exc.retry_after or 0.0))
    if isinstance(exc, StudioError):
        return min(RETRY_SECONDS_AT_MOST, grown)
    if isinstance(exc, FeaturesNotStored):
        return min(DISK_SECONDS_AT_MOST, grown)
    if isinstance(exc, UnsupportedConfig) or project.n_failures + 1 >= PARKED_AFTER:
        return None
    if isinstance(exc, TurnsCutShort):
        return CUT_SHORT_SECONDS
    return min(RETRY_SECONDS_AT_MOST, grown)


def is_retry_due(project: Standing, now: float) -> bool:
    """Whether a project whose last turn failed may have another one."""
    return project.retry_at is None or is_due(project.retry_at, RETRY_SECONDS_AT_MOST, now)


def _fit(pool: Pool, tuning: Tuning | None) -> Callable[[Matrix, Array], Classifier]:
    """How classifiers beside the published one are trained: in the same way."""
    choices = pool.features.choices()
    return lambda X, y: train(X, y, choices, tuning or Tuning(next(iter(choices))))


def _is_trainable(settings: ProjectSettings, labels: Mapping[int, str]) -> bool:
    return len(labels) >= settings.min_labels and len(set(labels.values())) >= 2


def _training_reason(
    project: Project,
    settings: ProjectSettings,
    config: LabelConfig,
    pool: Pool,
    version: Version | None,
    labels: Mapping[int, str],
) -> str | None:
    """Why a new version is due, in words; None if it is not."""
    if version is None:
        return "the first version"
    if version.revision < project.wanted_revision:
        return "a new version was asked for"
    if version.labels != config.labels:
        return "the labels of the config changed"
    if version.features_id != pool.features_id:
        return "the features were made anew"
    trained = _is_trainable(settings, labels)
    if not trained:
        return "too few labels are left" if version.has_model else None
    if not version.has_model:
        return f"{len(labels)} labels"
    n_changed = _n_changed(version, labels)
    if n_changed >= _growth(settings, len(version.learnt)):
        return f"{n_changed} new or changed labels"
    return None


def _n_changed(version: Version, labels: Mapping[int, str]) -> int:
    """How many tasks are labelled otherwise than the version has learnt, or no longer."""
    n_new = sum(version.learnt.get(task_id) != label for task_id, label in labels.items())
    return n_new + sum(task_id not in labels for task_id in version.learnt)


def _growth(settings: ProjectSettings, n_learnt: int) -> int:
    """How many labels must be new or changed before the next training."""
    return max(1, math.ceil(settings.retrain_growth * n_learnt))


def _window_size(settings: ProjectSettings, n_learnt: int) -> int:
    return min(settings.window, max(WINDOW_AT_LEAST, WINDOW_GROWTHS * _growth(settings, n_learnt)))


def _counted(
    settings: ProjectSettings, config: LabelConfig, version: Version | None, labels: Mapping[int, str]
) -> dict[str, Any]:
    """What a status page shows of the labels: columns of the project."""
    counts = dict.fromkeys(config.labels, 0) | Counter(labels.values())
    n_fresh, n_due = _fresh_and_due(settings, version, labels)
    return {"label_counts": json.dumps(counts), "n_fresh": n_fresh, "n_due": n_due}


def _unread(config: LabelConfig, pool: Pool, ignored: Mapping[str, Sequence[int]]) -> list[dict[str, Any]]:
    """What Label Studio has and nothing is learnt from, for people: reason, number, a task for example, a sentence."""
    found: list[tuple[str, Sequence[int] | Array, str, str]] = []
    if len(pool.without_text) > TASKS_WITHOUT_TEXT_ALLOWED:
        what = f"{len(pool.without_text)} tasks have no text in the field {config.field!r}"
        found.append(("no_text", pool.without_text, what, "they are neither asked nor trained on"))
    for reason, task_ids in ignored.items():
        found.append((reason, task_ids, f"{len(task_ids)} annotations {UNREAD[reason]}", "they do not train"))
    return [
        {
            "reason": reason,
            "n": len(task_ids),
            "task_id": int(task_ids[0]),
            "sentence": f"{what} (task {task_ids[0]}, for example): {so}",
        }
        for reason, task_ids, what, so in found
    ]


def _fresh_and_due(settings: ProjectSettings, version: Version | None, labels: Mapping[int, str]) -> tuple[int, int]:
    """How many labels are new to the version, and how many make the next training due."""
    if version is not None and version.has_model:
        return _n_changed(version, labels), _growth(settings, len(version.learnt))
    return len(labels), settings.min_labels


def _waiting_for(settings: ProjectSettings, version: Version | None, labels: Mapping[int, str]) -> str:
    n_fresh, n_due = _fresh_and_due(settings, version, labels)
    n_missing = max(0, n_due - n_fresh)
    if version is not None and version.has_model:
        return f"waiting for {n_missing} more label{'s' if n_missing != 1 else ''}"
    if n_missing:
        return f"waiting for {n_missing} more label{'s' if n_missing != 1 else ''} to train the first model"
    found = next(iter(labels.values()), "none")
    return f"waiting for a second label: all {len(labels)} labelled tasks are {found!r}"


def _first(window: Window, n: int) -> Window:
    return Window(
        window.task_ids[:n],
        window.informativeness[:n],
        None if window.guesses is None else window.guesses[:n],
        window.audits & set(window.task_ids[:n]),
    )
