"""A project's tasks as feature rows, kept in the worker's memory from turn to turn."""

from __future__ import annotations

import logging

import numpy as np

from backend.errors import ArtifactRejected
from backend.labeling import LabelConfig
from backend.learning.coverage import Coverage, cover
from backend.learning.features import Encoder, Features
from backend.learning.rows import Rows, stacked
from backend.learning.types import Array
from backend.store import Signer, Store

# A vocabulary fitted on half of the pool misses too many of its terms.
REFIT_GROWTH = 2.0

log = logging.getLogger(__name__)


class Pool:
    """Every task of a project as a row of `X`; a text is turned into features once, when it is first seen.

    `task_ids[row]` is the row's task. Rows of tasks that were deleted or changed since are no longer in `row_of`.
    """

    def __init__(self, key: str, field: str, encoder: Encoder | None) -> None:
        self.key = key
        self.field = field
        self._encoder = encoder
        self._forget()

    def _forget(self) -> None:
        self.X: Rows
        self.features, self.X = Features.fit_transform([], self._encoder)
        self.features_id: int | None = None
        self.task_ids: Array = np.zeros(0, dtype=np.int64)
        self.row_of: dict[int, int] = {}
        self.n_without_text = 0
        self._without_text: set[int] = set()
        self._revision = -1
        self._coverage: tuple[int, int, Coverage] | None = None

    def refresh(self, store: Store, signer: Signer, config: LabelConfig, now: float) -> int:
        """Bring the rows up to date with the store; fits features where none fit. Returns how many rows are new."""
        if self.features_id != store.latest_features_id(self.key, self.field):
            # Another worker has fitted features since, or there are none yet.
            self._forget()
        news = store.tasks_since(self.key, self._revision)
        texts = {task.id: config.text_of(task.data) for task, _ in news}
        alive = set(store.task_ids(self.key))
        for task_id in [known for known in self.row_of if known not in alive or texts.get(known, "") is None]:
            del self.row_of[task_id]
        self._without_text = {task_id for task_id in self._without_text if task_id in alive and task_id not in texts}
        self._without_text |= {task_id for task_id, text in texts.items() if text is None}
        self.n_without_text = len(self._without_text)
        readable = {task_id: text for task_id, text in texts.items() if text is not None}
        n_texts = len(self.row_of.keys() | readable.keys())
        if self.features_id is None:
            self._load(store, signer)
        if self.features_id is None or n_texts >= REFIT_GROWTH * max(1, self.features.n_fitted):
            self._fit(store, signer, config, now)
        else:
            self._append(readable)
        if news:
            self._revision = max(revision for _, revision in news)
        return len(readable)

    def rows(self, task_ids: list[int]) -> Array:
        """The rows of the tasks that have one, in the given order."""
        return np.array([self.row_of[task_id] for task_id in task_ids if task_id in self.row_of], dtype=np.int64)

    @property
    def compact(self) -> Array:
        """The rows compact and dense, for distances and clusters. Shape (n_rows, n_dimensions)."""
        dense: Array = self.X.views[1]
        return dense

    def coverage(self, n_groups: int, seed: int) -> Coverage:
        """Groups of similar tasks, made once for each state of the rows."""
        kept = self._coverage
        if kept is None or kept[:2] != (n_groups, seed):
            kept = self._coverage = (n_groups, seed, cover(self.compact, n_groups, seed))
        return kept[2]

    def _load(self, store: Store, signer: Signer) -> None:
        found = store.latest_features(self.key, self.field)
        if found is None:
            return
        try:
            features: Features = signer.load(found[1])
        except ArtifactRejected as exc:
            log.warning("project %s: features are made again: %s", self.key, exc)
            return
        if features.encoder is self._encoder:
            self.features, self.features_id, self.X = features, found[0], features.transform([])

    def _fit(self, store: Store, signer: Signer, config: LabelConfig, now: float) -> None:
        tasks = [task for task, _ in store.tasks_since(self.key, -1)]
        texts = {task.id: text for task in tasks if (text := config.text_of(task.data)) is not None}
        self.features, self.X = Features.fit_transform(list(texts.values()), self._encoder)
        self.features_id = store.save_features(self.key, self.field, signer.dump(self.features), now)
        self.task_ids = np.array(list(texts), dtype=np.int64)
        self.row_of = {task_id: row for row, task_id in enumerate(texts)}
        self._coverage = None

    def _append(self, texts: dict[int, str]) -> None:
        if not texts:
            return
        self._coverage = None
        first = self.X.shape[0]
        self.X = stacked(self.X, self.features.transform(list(texts.values())))
        self.task_ids = np.concatenate([self.task_ids, np.array(list(texts), dtype=np.int64)])
        self.row_of.update({task_id: first + place for place, task_id in enumerate(texts)})
