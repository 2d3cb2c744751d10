"""Published models in memory: loaded once a version, shared by the threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from backend.errors import ArtifactRejected
from backend.learning.features import Features
from backend.learning.model import Model
from backend.store import Signer, Store

KEPT_PROJECTS = 64


class Models:
    """The newest models that were asked for. Requests that hold an older one go on undisturbed."""

    def __init__(self, store: Store, signer: Signer) -> None:
        self._store = store
        self._signer = signer
        self._models: OrderedDict[int, Model | None] = OrderedDict()
        self._features: OrderedDict[int, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, version_id: int) -> Model | None:
        """A version's model; None if it has none, or was replaced meanwhile. Raises ArtifactRejected."""
        model: Model | None = _kept(self._models, version_id, lambda: self._load(version_id), self._lock)
        return model

    def _load(self, version_id: int) -> Model | None:
        found = self._store.version_artifact(version_id)
        if found is None:
            return None
        artifact, features_id = found
        if artifact is None or features_id is None:
            return None
        features: Features = _kept(self._features, features_id, lambda: self._load_features(features_id), self._lock)
        return Model(features, *self._signer.load(artifact))

    def _load_features(self, features_id: int) -> Any:
        artifact = self._store.features_artifact(features_id)
        if artifact is None:
            raise ArtifactRejected(f"the features {features_id} of a stored model are gone")
        return self._signer.load(artifact)


def _kept(cache: OrderedDict[int, Any], key: int, load: Callable[[], Any], lock: threading.Lock) -> Any:
    """Loading happens outside of the lock: two threads may load the same once, none waits for another's load."""
    with lock:
        if key in cache:
            cache.move_to_end(key)
            return cache[key]
    value = load()
    with lock:
        cache[key] = value
        while len(cache) > KEPT_PROJECTS:
            cache.popitem(last=False)
    return value
