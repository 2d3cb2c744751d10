"""A project's tasks as feature rows, kept up to date by what changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np

from label_studio_al.learning import draws
from label_studio_al.learning.coding import Coding
from label_studio_al.learning.copies import Copies
from label_studio_al.learning.coverage import Coverage, cover
from label_studio_al.learning.deferred import IMAGE, Deferred
from label_studio_al.learning.features import Features, TextRows
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.types import Array
from label_studio_al.pool.deferred import DeferredPool
from label_studio_al.pool.files import HAS_FEATURES, WITHOUT_TEXT
from label_studio_al.pool.fitting import Fit, Fitting, PoolMeans, Signed
from label_studio_al.pool.sequences import SequenceRows
from label_studio_al.questions import LabelConfig
from label_studio_al.store import Change

# A vocabulary fitted on half of the pool misses too many of its terms.
REFIT_GROWTH = 2.0
# Up to this size a turn fits the features itself: that takes a fraction of a second.
FIT_AT_ONCE = 2_000
# Rows of tasks that are gone or changed cost memory until there are more of them than of the others.
DEAD_SHARE = 0.5
DEAD_AT_LEAST = 10_000
# Groups of similar tasks are kept while the pool grows, and made anew when it has grown by a tenth.
REGROUP_GROWTH = 1.1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PoolChanges:
    """What `refresh` found. n_new: tasks that became rows; is_complete: whether every task that we know is a row."""

    n_new: int
    is_complete: bool


@dataclass(frozen=True)
class _Kept:
    """Groups of similar tasks. of: how many were wanted, and the seed. n_live: how many tasks counted then."""

    of: tuple[int, int]
    n_live: int
    coverage: Coverage


class Pool:
    """Every task of a project as a row of `X`; a text is turned into features once, when it is first seen.

    `task_ids[row]` is the row's task. `live` are the rows that count, ascending by task: others are of tasks that were
    deleted, or changed since, or have no text, or wait for an embedding without which the model says nothing.
    `is_complete`: whether the last refresh left nothing to do.
    """

    def __init__(self, key: str, config: LabelConfig, means: PoolMeans) -> None:
        self.key = key
        self._config = config
        self._store = means.store
        self._background = means.background
        self._fitting = Fitting(key, config, means)
        self.features_id: int | None = None
        self._fit: Fit | None = None
        # With the features that it replaces.
        self._refit: tuple[int | None, Future[tuple[Fit, Signed]]] | None = None
        self._coverage: _Kept | None = None
        none: Array = np.zeros(0, dtype=np.int64)
        self.task_ids = self.live = self._live_tasks = self._without_text = self._with_features = none
        self._embeddings = DeferredPool(means.embeddings / key)
        self.is_complete = False
        self._copies: Copies | None = None
        self._sequences: SequenceRows | None = None

    @property
    def field(self) -> str:
        """The task field that is read."""
        return self._config.content.key

    @property
    def features(self) -> Features:
        """What turns texts into rows; only after the first `refresh`."""
        assert self._fit
        return self._fit.features

    @property
    def X(self) -> TextRows:  # noqa: N802
        """The rows; only after the first `refresh`."""
        fit = self._fit_or_fail()
        rows = self._embeddings.fill_in(fit.files.rows)
        if not fit.features.words:
            return rows
        if self._sequences is None or not self._sequences.begin(fit.files):
            self._sequences = SequenceRows(self.key, self._config, self._store, fit.features)
        return rows.with_sequences(self._sequences.of(fit.files))

    @property
    def copies(self) -> Copies:
        """The live rows whose text others have, too."""
        if self._copies is None:
            self._copies = Copies.among(self._fit_or_fail().files.contents, self.live)
        return self._copies

    @property
    def compact(self) -> Matrix:
        """The rows compact and dense, for distances and clusters. Shape (n_rows, n_dimensions)."""
        return self._embeddings.fill_in(self._fit_or_fail().files.rows).compact

    def refresh(self, until: float) -> PoolChanges:
        """Bring the rows up to date with the store; what is not done at the time `until` is left for the next call.

        Where no features fit, they are fitted; a large pool that has doubled is fitted again in the background, and
        the first call after that takes the new ones over. Raises FeaturesNotStored.
        """
        self._take_over_refit()
        if self.features_id is None or self.features_id != self._store.features.latest_id(self.key, self.field):
            stored = self._fitting.stored()
            if stored is None:
                self._fit_now()
            else:
                self._use(*stored)
        elif self._fit_or_fail().files.catch_up():
            # The rows may have another order now.
            self._coverage = None
        self.is_complete = False
        n_new, is_complete = self._fitting.append_changes(self._fit_or_fail(), until)
        self._index()
        if is_complete:
            self._renew_if_due()
            self._erase_dead()
        self.is_complete = is_complete
        return PoolChanges(n_new, is_complete)

    def require(self, task_ids: Sequence[int]) -> None:
        """Give these tasks rows now, even if it is not their turn yet: somebody has labelled them."""
        missing = [task_id for task_id, row in zip(task_ids, self._rows_of(task_ids), strict=True) if row < 0]
        known = {int(one) for one in self._without_text}
        tasks = [task for task in self._store.tasks.some(self.key, missing) if task.id not in known]
        if tasks:
            fit = self._fit_or_fail()
            self._fitting.append(fit, [Change(task.id, dict(task.data), 0) for task in tasks], fit.files.position)
            self._index()

    def rows(self, task_ids: Sequence[int]) -> Array:
        """The rows of the tasks that have one, in the given order."""
        found = self._rows_of(task_ids)
        return found[found >= 0]

    def having_rows(self, task_ids: Sequence[int]) -> list[int]:
        """Those of the tasks that have a row, in the given order."""
        return [task_id for task_id, row in zip(task_ids, self._rows_of(task_ids), strict=True) if row >= 0]

    def labelled(self, labels: Mapping[int, str], coding: Coding, among: Sequence[int] | None = None) -> Labelled:
        """The labelled tasks that have a row, in the order of `among`, or else of the labels. coding: of these."""
        known = self.having_rows(list(labels) if among is None else among)
        y = np.array([labels[task_id] for task_id in known], dtype=str)
        return Labelled(self.X[self.rows(known)], y, np.array(known, dtype=np.int64), coding)

    def open_rows(self, *closed: Sequence[int]) -> Array:
        """The live rows of all tasks but these, ascending by task."""
        is_open = np.ones(len(self.task_ids), dtype=bool)
        for task_ids in closed:
            is_open[self.rows(task_ids)] = False
        return np.asarray(self.live[is_open[self.live]])

    def coverage(self, n_groups: int, seed: int) -> Coverage:
        """Groups of similar tasks. Tasks that came later join the group that is nearest to them."""
        kept, n_rows, n_live = self._coverage, len(self.task_ids), len(self.live)
        if kept is None or kept.of != (n_groups, seed) or n_live > REGROUP_GROWTH * kept.n_live:
            kept = _Kept((n_groups, seed), n_live, cover(self.compact, self.task_ids, n_groups, seed))
        elif n_rows > len(kept.coverage.groups):
            new = slice(len(kept.coverage.groups), n_rows)
            kept = replace(kept, coverage=kept.coverage.extended(self.compact[new], self.task_ids[new], seed))
        self._coverage = kept
        return kept.coverage

    @property
    def n_tasks(self) -> int:
        """How many tasks are known, those without text too."""
        return len(self._with_features) + len(self._without_text)

    @property
    def without_text(self) -> Array:
        """Ids of the tasks that have no text in the field that the label config names."""
        return self._without_text

    # -- embeddings that are filled in later --------------------------------------------------------------------

    def offer(self, deferred: Sequence[Deferred], labelled: Sequence[int], unseen: Sequence[int] = ()) -> None:
        """Use these embeddings, those of texts once enough are there; others no more.

        labelled: ids of tasks. unseen: contents of tasks that count without an embedding of their image.
        """
        if self._embeddings.excuse(unseen):
            self._index()
        fit = self._fit_or_fail()
        used = tuple(
            one
            for one in deferred
            if one in fit.features.deferred or one.kind == IMAGE or self._is_enough(one, labelled)
        )
        if used != fit.features.deferred:
            self._change(replace(fit.features, deferred=used))
            self._coverage = None
            self._index()

    def _is_enough(self, deferred: Deferred, labelled: Sequence[int]) -> bool:
        contents = self._fit_or_fail().files.contents[self._with_features]
        is_needed = np.isin(self.task_ids[self._with_features], labelled)
        return self._embeddings.is_enough(deferred, contents, contents[is_needed])

    @property
    def n_waiting(self) -> int:
        """How many tasks have no embedding yet, without which the model says nothing of them."""
        return len(self._with_features) - len(self.live)

    def contents_of(self, task_ids: Sequence[int]) -> dict[int, int]:
        """What tasks show (see draws.text_hashes), of those that show something."""
        rows = self._with_features[np.isin(self.task_ids[self._with_features], task_ids)]
        contents = self._fit_or_fail().files.contents[rows]
        return dict(zip(self.task_ids[rows].tolist(), contents.tolist(), strict=True))

    def waiting(self, deferred: Deferred, first: Sequence[int]) -> list[int]:
        """Ids of the tasks that have no such embedding yet, those of `first` first, then the others in random order."""
        contents = self._fit_or_fail().files.contents[self._with_features]
        tasks = self.task_ids[self._with_features[~self._embeddings.has(deferred, contents)]]
        in_order = tasks[draws.shuffled(tasks, 0, "embedding")]
        is_first = np.isin(in_order, first)
        return [*in_order[is_first].tolist(), *in_order[~is_first].tolist()]

    # -- fitting ----------------------------------------------------------------------------------------------

    def _fit_or_fail(self) -> Fit:
        assert self._fit
        return self._fit

    def _fit_now(self) -> None:
        fit, signed = self._fitting.make()
        self._use(self._fitting.save(signed), fit)

    def _use(self, features_id: int, fit: Fit) -> None:
        if self._fit is not None:
            self._fit.files.remove()
        self.features_id, self._fit, self._coverage, self._sequences = features_id, fit, None, None
        fit.files.remove_older_siblings()
        self._index()

    def _renew_if_due(self) -> None:
        """Fit again when the pool has doubled, and make the files anew when most of their rows are dead."""
        fit = self._fit_or_fail()
        if self.n_tasks >= REFIT_GROWTH * max(1, fit.features.n_fitted):
            if self.n_tasks <= FIT_AT_ONCE:
                self._fit_now()
                self._fitting.append_changes(self._fit_or_fail(), np.inf)
                self._index()
            elif self._refit is None:
                log.info("project %s: features are fitted again for %d tasks", self.key, self.n_tasks)
                self._refit = self.features_id, self._background.submit(self._make_refit)
        n_dead = len(self.task_ids) - len(self._with_features)
        if n_dead > max(DEAD_AT_LEAST, DEAD_SHARE * len(self.task_ids)):
            fit.files.begin_anew()
            self._coverage = None
            self._fitting.append_changes(fit, np.inf)
            self._index()

    def _erase_dead(self) -> None:
        """Overwrite what is kept of texts that are gone, and forget the terms that only they had."""
        fit = self._fit_or_fail()
        is_dead = fit.files.states == HAS_FEATURES
        is_dead[self._with_features] = False
        dead = np.flatnonzero(is_dead)
        if not len(dead):
            return
        terms = fit.files.rows[dead].terms.indices
        fit.files.erase(dead)
        self._index()
        self._embeddings.keep_only(fit.files.contents[self._with_features])
        is_met = np.zeros(fit.features.tfidf.n_terms, dtype=bool)
        met = fit.files.rows.terms
        is_met[met.indices[met.data != 0]] = True
        gone = np.unique(terms[~is_met[terms]])
        alive = self.X[self._with_features].sequences
        words = {name: own.without_unused(alive[name]) for name, own in fit.features.words.items()}
        if not len(gone) and all(words[name] is own for name, own in fit.features.words.items()):
            return
        # Other features by number, so that a version is published with them, and the older ones are deleted.
        self._change(replace(fit.features, tfidf=fit.features.tfidf.without(gone.tolist()), words=words))
        log.info("project %s: %d words that no task holds any more are forgotten", self.key, len(gone))

    def _change(self, features: Features) -> None:
        """Take features that make the same rows."""
        fit, signed = self._fit_or_fail(), self._fitting.sign(features)
        self.features_id = self._fitting.save(signed)
        fit.files.move(self._fitting.folder_of(signed.artifact))
        self._fit, self._sequences = Fit(features, fit.files), None

    def _make_refit(self) -> tuple[Fit, Signed]:
        fit, signed = self._fitting.make()
        self._fitting.append_changes(fit, np.inf)
        # The rows are ready: a turn is to take them over.
        self._store.projects.call_turn(self.key)
        return fit, signed

    def _take_over_refit(self) -> None:
        if self._refit is None or not self._refit[1].done():
            return
        (replaced, future), self._refit = self._refit, None
        try:
            fit, signed = future.result()
        except Exception as exc:
            log.error("project %s: features could not be fitted again: %s", self.key, exc, exc_info=exc)
            return
        if replaced != self._store.features.latest_id(self.key, self.field):
            # Another worker was faster.
            fit.files.remove()
            return
        self._use(self._fitting.save(signed), fit)

    # -- rows -------------------------------------------------------------------------------------------------

    def _index(self) -> None:
        """From the log of rows to the rows that count, if it or what was embedded has changed."""
        if self._fit is None:
            return
        files, is_same = self._fit.files, self.task_ids is self._fit.files.tasks
        if not self._embeddings.look_up(self._fit.features.deferred, files.contents) and is_same:
            return
        if not is_same:
            self.task_ids, states = files.tasks, files.states
            order = np.argsort(self.task_ids, kind="stable")
            in_order = self.task_ids[order]
            last = order[np.append(in_order[1:] != in_order[:-1], True)] if len(order) else order
            self._with_features = last[states[last] == HAS_FEATURES]
            self._without_text = self.task_ids[last[states[last] == WITHOUT_TEXT]]
        self.live = self._embeddings.those_there(self._with_features)
        self._live_tasks, self._copies = self.task_ids[self.live], None

    def _rows_of(self, task_ids: Sequence[int]) -> Array:
        """The row of each task; -1 where it has none."""
        wanted = np.asarray(task_ids, dtype=np.int64)
        if not len(self._live_tasks):
            return np.full(len(wanted), -1, dtype=np.int64)
        places = np.minimum(np.searchsorted(self._live_tasks, wanted), len(self._live_tasks) - 1)
        return np.where(self._live_tasks[places] == wanted, self.live[places], -1)
