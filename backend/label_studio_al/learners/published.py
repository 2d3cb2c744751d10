"""Published models in memory: loaded once per version, shared by the threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from label_studio_al.learning.features import Features
from label_studio_al.learning.model import Model
from label_studio_al.learning.types import Array
from label_studio_al.pool.embeddings import EmbeddingFile
from label_studio_al.pool.files import folder_of, with_mapped_topics
from label_studio_al.runtime.errors import ArtifactRejected
from label_studio_al.runtime.memory import give_back
from label_studio_al.store import Signer, Store, features_kind, model_kind

KEPT_PROJECTS = 64
# Several threads answer with the same model.
_CATCHING_UP = threading.Lock()


@dataclass(frozen=True)
class _Kept:
    """What was loaded last of a project. version_id: None where only its features are known."""

    version_id: int | None
    model: Model | None
    features_id: int | None
    features: Features | None


class Models:
    """The current models of the requested projects. Requests that hold an older model are not affected."""

    def __init__(
        self, store: Store, signer: Signer, folder: Path | None = None, embeddings: Path | None = None
    ) -> None:
        """folder: where the files of all features lie, to share memory with other processes; None shares none.

        embeddings: where those of embeddings lie that are filled in later; without it models that look at these know
        nothing.
        """
        self._folder = folder
        self._embeddings = embeddings
        self._store = store
        self._signer = signer
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, version_id: int) -> Model | None:
        """A project's version's model; None if it has none, or was replaced meanwhile. Raises ArtifactRejected.

        Loading happens outside of the lock: two threads may load the same once, none waits for another's load.
        """
        with self._lock:
            kept = self._kept.get(key)
        if kept is None or kept.version_id != version_id:
            kept = self._load(key, version_id, kept or _Kept(None, None, None, None))
        self._keep(key, kept)
        return kept.model

    def know(self, key: str, features_id: int | None, features: Features) -> None:
        """Use these features for the project's models, instead of loading them again."""
        with self._lock:
            kept = self._kept.get(key)
        if kept is None or kept.features_id != features_id:
            self._keep(key, _Kept(None, None, features_id, features))

    def forget(self, among: Collection[str]) -> None:
        """Let go of all projects but these."""
        with self._lock:
            for key in [key for key in self._kept if key not in among]:
                del self._kept[key]

    def _keep(self, key: str, kept: _Kept) -> None:
        with self._lock:
            self._kept[key] = kept
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT_PROJECTS:
                self._kept.popitem(last=False)

    def _load(self, key: str, version_id: int, before: _Kept) -> _Kept:
        artifact, features_id = self._store.versions.artifact(version_id) or (None, None)
        if artifact is None or features_id is None:
            return _Kept(version_id, None, before.features_id, before.features)
        features = before.features
        if features is None or before.features_id != features_id:
            features = self._load_features(key, features_id)
        born = self._store.versions.birth(version_id)
        if born is None:
            return _Kept(version_id, None, features_id, features)
        vectors = (
            [] if self._embeddings is None else [_Vectors(self._embeddings / key, one) for one in features.deferred]
        )
        model = Model(features, **self._signer.load(artifact, model_kind(key, *born)), vectors=vectors)
        return _Kept(version_id, model, features_id, features)

    def _load_features(self, key: str, features_id: int) -> Features:
        artifact, born = self._store.features.artifact(features_id), self._store.features.birth(features_id)
        if artifact is None or born is None:
            raise ArtifactRejected(f"the features {features_id} of a stored model are gone")
        features: Features = self._signer.load(artifact, features_kind(key, born))
        if self._folder is not None:
            features = with_mapped_topics(features, folder_of(self._folder, key, artifact))
        del artifact
        give_back()
        return features


class _Vectors(EmbeddingFile):
    """An embedding file that is looked up as it is at the time."""

    def places(self, contents: Array) -> Array:
        """As of the contract."""
        with _CATCHING_UP:
            self.catch_up()
            return super().places(contents)
