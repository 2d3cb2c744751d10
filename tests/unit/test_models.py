"""Published models in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from label_studio_al.learners.published import KEPT_PROJECTS, Models
from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.features import Features
from label_studio_al.learning.learner import Tuning
from label_studio_al.pool.files import folder_of, with_shared_topics
from label_studio_al.runtime.errors import ArtifactRejected
from label_studio_al.store import Signer, Store, features_kind, model_kind
from tests.support.build import KEY, config_xml
from tests.support.versions import new_version, stored

TEXTS = ["a cat", "a dog"]


class Setting:
    """Projects whose versions have learnt two texts."""

    def __init__(self, store: Store, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.signer = store, signer
        self.features, rows = Features.fit_transform(TEXTS, None)
        self.classifier = fit_classifier(rows, np.array(["A", "B"]))
        self.loaded: list[int] = []
        load = store.features.artifact

        def watched(features_id: int) -> bytes | None:
            self.loaded.append(features_id)
            return load(features_id)

        monkeypatch.setattr(store.features, "artifact", watched)

    def publish(self, number: int = 1, key: str = KEY, features_id: int | None = None) -> tuple[int, int]:
        """Ids of the version and of its features."""
        self.store.projects.register(key, config_xml(), None, 0.0)
        signed = self.signer.dump(self.features, features_kind(key, 0.0))
        features_id = features_id or self.store.features.save(key, "text", signed, 0.0)
        artifact = self.signer.dump(stored(self.classifier, "margin", Tuning("tfidf")), model_kind(key, number, 0.0))
        new = new_version(number, 0.0, 0, "margin", ("A", "B"), {1: "A"}, features_id, artifact, [])
        return self.store.versions.publish(key, new, is_switched=True).id, features_id


@pytest.fixture
def setting(store: Store, signer: Signer, monkeypatch: pytest.MonkeyPatch) -> Setting:
    return Setting(store, signer, monkeypatch)


def test_model_is_loaded_once_a_version(setting: Setting) -> None:
    models = Models(setting.store, setting.signer)
    version_id, _ = setting.publish()
    model = models.get(KEY, version_id)
    assert model is not None
    assert models.get(KEY, version_id) is model


def test_next_version_takes_over_the_features(setting: Setting) -> None:
    models = Models(setting.store, setting.signer)
    first, features_id = setting.publish()
    models.get(KEY, first)
    second, _ = setting.publish(2, features_id=features_id)
    model = models.get(KEY, second)
    assert model is not None
    assert model.believe(["a cat"])["topic"].wide.shape == (1, 2)
    assert setting.loaded == [features_id]


def test_known_features_are_not_loaded(setting: Setting) -> None:
    models = Models(setting.store, setting.signer)
    version_id, features_id = setting.publish()
    models.know(KEY, features_id, setting.features)
    model = models.get(KEY, version_id)
    assert model is not None
    assert model.features is setting.features
    assert setting.loaded == []


def test_features_share_their_topics_with_other_processes(setting: Setting, tmp_path: Path) -> None:
    version_id, features_id = setting.publish()
    artifact = setting.store.features.artifact(features_id)
    assert artifact is not None
    # The worker has written them before it publishes a version.
    with_shared_topics(setting.features, folder_of(tmp_path, KEY, artifact))
    model = Models(setting.store, setting.signer, tmp_path).get(KEY, version_id)
    assert model is not None
    assert not model.features.topics.components.flags.owndata
    assert len(list(tmp_path.glob(f"{KEY}/*/topics"))) == 1
    np.testing.assert_array_equal(model.features.topics.components, setting.features.topics.components)


def test_nothing_is_written_where_no_worker_is(setting: Setting, tmp_path: Path) -> None:
    """A web server on a machine of its own: nobody there would remove the topics of older features."""
    version_id, _ = setting.publish()
    assert Models(setting.store, setting.signer, tmp_path / "features").get(KEY, version_id) is not None
    assert not (tmp_path / "features").exists()


def test_features_of_another_version_are_not_taken(setting: Setting) -> None:
    models = Models(setting.store, setting.signer)
    version_id, features_id = setting.publish()
    models.know(KEY, features_id + 1, setting.features)
    model = models.get(KEY, version_id)
    assert model is not None
    assert model.features is not setting.features


def test_replaced_version_has_no_model(setting: Setting) -> None:
    models = Models(setting.store, setting.signer)
    first, _ = setting.publish()
    second, _ = setting.publish(2)
    assert models.get(KEY, first) is None
    assert models.get(KEY, second) is not None


def test_features_that_are_gone_are_said(setting: Setting) -> None:
    version_id, _ = setting.publish(features_id=99)
    with pytest.raises(ArtifactRejected, match="99"):
        Models(setting.store, setting.signer).get(KEY, version_id)


def test_as_many_projects_as_were_asked_last_are_kept(setting: Setting) -> None:
    models = Models(setting.store, setting.signer)
    keys = [f"{number}.1795343520" for number in range(1, KEPT_PROJECTS + 2)]
    versions = {key: setting.publish(key=key)[0] for key in keys}
    for key in keys:
        models.get(key, versions[key])
    setting.loaded.clear()
    models.get(keys[-1], versions[keys[-1]])
    assert setting.loaded == []
    models.get(keys[0], versions[keys[0]])
    assert len(setting.loaded) == 1
