"""Features of a project's texts, and the rows that they make of its tasks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from label_studio_al.learning.draws import text_hashes
from label_studio_al.learning.features import Features, sample
from label_studio_al.learning.layouts import Encoder
from label_studio_al.learning.rows import blocks
from label_studio_al.pool.files import DELETED, HAS_FEATURES, WITHOUT_TEXT, FeatureFiles, folder_of, with_shared_topics
from label_studio_al.questions import LabelConfig
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.computing import Computing
from label_studio_al.runtime.errors import ArtifactRejected
from label_studio_al.store import Change, Signer, Store, features_kind

CHANGES_AT_ONCE = 2_000
_LAST_TASK = 2**63 - 1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PoolMeans:
    """What pools work with.

    background: where large pools are fitted again. folder, embeddings: where the files of all features lie, and those
    of embeddings that are filled in later.
    """

    store: Store
    signer: Signer
    clock: Clock
    computing: Computing
    background: Executor
    encoder: Encoder | None
    folder: Path
    embeddings: Path


@dataclass(frozen=True)
class Fit:
    """Features with the rows that they made so far."""

    features: Features
    files: FeatureFiles


@dataclass(frozen=True)
class Signed:
    """Features as they are stored, signed for this time."""

    artifact: bytes
    at: float


class Fitting:
    """Makes features of one project's texts, and rows of its tasks."""

    def __init__(self, key: str, config: LabelConfig, means: PoolMeans) -> None:
        self._key = key
        self._config = config
        self._means = means
        self._store = means.store

    def stored(self) -> tuple[int, Fit] | None:
        """The newest features of the store with their id; None where they cannot be used."""
        found = self._store.features.latest(self._key, self._config.content.key)
        if found is None:
            return None
        features_id, artifact = found
        try:
            born = self._store.features.birth(features_id) or 0.0
            features: Features = self._means.signer.load(artifact, features_kind(self._key, born))
        except ArtifactRejected as exc:
            log.warning("project %s: features are made again: %s", self._key, exc)
            return None
        content = self._config.content
        if features.encoder is not self._means.encoder or features.layout != content.layout:
            return None
        if {name: own.marking for name, own in features.words.items()} != content.markings:
            return None
        return features_id, self._fit_of(features, artifact)

    def make(self) -> tuple[Fit, Signed]:
        """Features fitted on a sample of the tasks, without rows yet, and as they are stored."""
        task_ids = self._store.tasks.ids(self._key)
        sampled = [task_ids[place] for place in sample(np.array(task_ids, dtype=np.int64))]
        texts: list[str] = []
        for block in blocks(len(sampled), CHANGES_AT_ONCE):
            tasks = self._store.tasks.some(self._key, sampled[block])
            texts += [text for task in tasks if (text := self._config.text_of(task.data)) is not None]
        with self._means.computing.slot():
            content = self._config.content
            features = Features.fit(texts, self._means.encoder, len(task_ids), content.layout, content.markings)
        signed = self.sign(features)
        return self._fit_of(features, signed.artifact), signed

    def sign(self, features: Features) -> Signed:
        """Features as they are stored."""
        now = self._means.clock.now()
        return Signed(self._means.signer.dump(features, features_kind(self._key, now)), now)

    def save(self, signed: Signed) -> int:
        """Keep them; gives their id."""
        return self._store.features.save(self._key, self._config.content.key, signed.artifact, signed.at)

    def _fit_of(self, features: Features, artifact: bytes) -> Fit:
        folder = self.folder_of(artifact)
        features = with_shared_topics(features, folder)
        return Fit(features, FeatureFiles(folder, features))

    def folder_of(self, artifact: bytes) -> Path:
        """Where the files of stored features lie."""
        return folder_of(self._means.folder, self._key, artifact)

    # -- rows -------------------------------------------------------------------------------------------------

    def append_changes(self, fit: Fit, until: float) -> tuple[int, bool]:
        """How many rows were added, and whether nothing is left to add."""
        n_new, purged = 0, self._store.projects.get(self._key).purged_revision
        # Before anything is read: what is read moves the position on.
        misses_deletions = 0 <= fit.files.position[0] < purged
        while True:
            changes = self._store.tasks.changes(self._key, fit.files.position, CHANGES_AT_ONCE)
            if changes:
                n_new += self.append(fit, changes, (changes[-1].revision, changes[-1].task_id))
            if len(changes) < CHANGES_AT_ONCE:
                break
            if self._means.clock.elapsed() >= until:
                return n_new, False
        gone = self._vanished(fit) if misses_deletions else []
        if gone or fit.files.position[0] < purged:
            # Everything up to there has been read.
            self.append(fit, gone, max(fit.files.position, (purged, _LAST_TASK)))
        return n_new, True

    def append(self, fit: Fit, changes: Sequence[Change], position: tuple[int, int]) -> int:
        """Add rows for changed tasks; gives how many have features. position: up to where changes are read then."""
        texts = [None if change.data is None else self._config.text_of(change.data) for change in changes]
        states = [
            DELETED if change.data is None else WITHOUT_TEXT if text is None else HAS_FEATURES
            for change, text in zip(changes, texts, strict=True)
        ]
        with self._means.computing.slot():
            rows = fit.features.transform_whole([text or "" for text in texts])
        contents = text_hashes([text or "" for text in texts])
        fit.files.append([change.task_id for change in changes], states, contents, rows, position)
        return states.count(HAS_FEATURES)

    def _vanished(self, fit: Fit) -> list[Change]:
        """Tasks whose deletion happened so long ago that nothing tells of it any more."""
        alive = self._store.tasks.ids(self._key)
        gone = np.setdiff1d(fit.files.tasks[fit.files.states != DELETED], alive)
        return [Change(int(task_id), None, 0) for task_id in gone]
