"""Keys that are not there as they should be, and artefacts in a place that they were not made for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from label_studio_al.cli import main
from label_studio_al.learners.published import Models
from label_studio_al.runtime.errors import ArtifactRejected, InvalidSettings
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer, Store, Version, artifacts, features_kind, model_kind, schema
from label_studio_al.wiring import make_signer, webhook_keys
from tests.support.bench import Bench
from tests.support.build import config_xml
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import FakeLabelStudio, FakeProject
from tests.support.versions import asked

READS: dict[str, Callable[[Settings], object]] = {"signing.key": make_signer, "webhook.key": webhook_keys}


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def folder(path: Path) -> None:
    path.mkdir()


def empty(path: Path) -> None:
    path.touch()


def blank(path: Path) -> None:
    path.write_text(" \r\n", encoding="ascii")


def short(path: Path) -> None:
    path.write_text("a", encoding="ascii")


def binary(path: Path) -> None:
    path.write_bytes(b"\xff" * 40)


def pipe(path: Path) -> None:
    os.mkfifo(path)


SAID = {
    dangling: "link to a file that is not there",
    folder: "it is a folder",
    empty: "it is empty",
    blank: "it is empty",
    short: "must hold 16 characters or more, it holds 1",
    binary: "ASCII characters only",
    pipe: "it is no file",
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("spoil", SAID, ids=lambda spoil: spoil.__name__)
def test_key_that_is_none_is_refused_and_stays_as_it_is(
    tmp_path: Path, name: str, spoil: Callable[[Path], None]
) -> None:
    spoil(tmp_path / name)
    settings = read_settings(model_dir=tmp_path)
    with pytest.raises(InvalidSettings, match=SAID[spoil]) as caught:
        READS[name](settings)
    assert str(tmp_path / name) in str(caught.value)
    assert os.path.lexists(tmp_path / name)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", READS)
def test_unreadable_key_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    path.write_text("0123456789abcdef" * 4, encoding="ascii")
    read = Path.read_text

    def refuse(self: Path, encoding: str | None = None, errors: str | None = None) -> str:
        # Root, as whom tests run in containers, may read whatever the mode says.
        if self == path:
            raise PermissionError(13, "Permission denied")
        return read(self, encoding, errors)

    monkeypatch.setattr(Path, "read_text", refuse)
    settings = read_settings(model_dir=tmp_path)
    with pytest.raises(InvalidSettings, match="Permission denied"):
        READS[name](settings)


@pytest.mark.parametrize("command", ["worker", "serve"])
def test_nothing_starts_without_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("PORT", "1")
    (tmp_path / "signing.key").mkdir()
    arguments = [command, *(["--web-only"] if command == "serve" else [])]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 3
    assert done.output.count("\n") == 1
    assert "signing.key must be a file, it is a folder" in done.output


def test_link_to_a_key_is_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("0123456789abcdef" * 4 + "\n", encoding="ascii")
    (tmp_path / "elsewhere").chmod(0o600)
    (tmp_path / "signing.key").symlink_to(tmp_path / "elsewhere")
    make_signer(read_settings(model_dir=tmp_path))


# -- artefacts ------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(store: Store, signer: Signer, clock: FakeClock, tmp_path: Path) -> Bench:
    settings = read_settings(model_dir=tmp_path, encoder="none")
    return Bench(FakeLabelStudio(), store, signer, clock, settings)


def artifact_of(bench: Bench, version: Version) -> bytes:
    artifact, _ = bench.store.versions.artifact(version.id) or (None, None)
    assert artifact is not None
    return artifact


def put(bench: Bench, table: sa.Table, row_id: int, artifact: bytes) -> None:
    """As whoever can write into the database may."""
    with bench.store._engine.begin() as connection:
        connection.execute(sa.update(table).where(table.c.id == row_id).values(artifact=artifact))


def refused_and_made_anew(bench: Bench, project: FakeProject, version: Version) -> Version:
    """The next version, whose model can be read; that of this one cannot."""
    with pytest.raises(ArtifactRejected, match="signature"):
        Models(bench.store, bench.signer).get(project.key, version.id)

    bench.restart()
    bench.store.projects.want_training(project.key, bench.clock.now())
    assert bench.turn(project).error is None
    made_anew = bench.version(project)
    assert Models(bench.store, bench.signer).get(project.key, made_anew.id) is not None
    return made_anew


def test_older_model_in_the_place_of_a_newer_one_is_refused_and_made_anew(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 1)
    older = artifact_of(bench, bench.version(project))
    bench.label(project, 5)
    bench.turn(project)
    newer = bench.version(project)
    put(bench, schema.versions, newer.id, older)

    made_anew = refused_and_made_anew(bench, project, newer)
    assert made_anew.number == newer.number + 1


def test_older_features_in_the_place_of_newer_ones_are_refused_and_made_anew(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 1)
    version = bench.version(project)
    assert version.features_id is not None
    features = bench.store.features.artifact(version.features_id)
    assert features is not None
    bench.clock.advance(1)
    newer = bench.store.features.save(project.key, "text", features, bench.clock.now())
    bench.restart()

    assert bench.turn(project).error is None

    made_anew = bench.version(project)
    assert made_anew.features_id not in (version.features_id, newer)
    assert Models(bench.store, bench.signer).get(project.key, made_anew.id) is not None


def model_of_another_project(bench: Bench, _version: Version) -> bytes:
    other = bench.add()
    bench.publish(other, 1)
    return artifact_of(bench, bench.version(other))


def features_of_the_project(bench: Bench, version: Version) -> bytes:
    assert version.features_id is not None
    return bench.store.features.artifact(version.features_id) or b""


def model_of_another_installation(bench: Bench, version: Version) -> bytes:
    model = bench.signer.load(artifact_of(bench, version), kind_of(bench, version))
    return Signer("another key").dump(model, kind_of(bench, version))


def kind_of(bench: Bench, version: Version) -> str:
    (key,) = (project.key for project in bench.store.projects.all() if project.version_id == version.id)
    return model_kind(key, version.number, version.created_at)


@pytest.mark.parametrize(
    "steal",
    [model_of_another_project, features_of_the_project, model_of_another_installation],
    ids=lambda steal: steal.__name__,
)
def test_what_was_signed_for_another_place_is_refused_and_made_anew(
    bench: Bench, steal: Callable[[Bench, Version], bytes]
) -> None:
    project = bench.add()
    bench.publish(project, 1)
    version = bench.version(project)
    put(bench, schema.versions, version.id, steal(bench, version))

    made_anew = refused_and_made_anew(bench, project, version)
    assert asked(made_anew).trained_on == asked(version).trained_on


def test_models_of_the_release_before_are_made_anew_and_all_else_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = bench.add()
    with monkeypatch.context() as before:
        before.setattr(artifacts, "_MAGIC", b"label-studio-al/3\n")
        bench.publish(project, 2)
    old, audits = bench.version(project), bench.store.measurements.predictions(project.key)
    labels = bench.store.annotations.all(project.key)
    bench.restart()

    assert bench.turn(project).error is None

    new = bench.version(project)
    assert (new.number, new.has_model, new.trained_on) == (old.number + 1, True, old.trained_on)
    assert Models(bench.store, bench.signer).get(project.key, new.id) is not None
    assert bench.store.annotations.all(project.key) == labels
    assert bench.store.measurements.predictions(project.key) == audits


@pytest.mark.both_databases
def test_signature_holds_for_the_time_that_the_database_gives_back(store: Store, signer: Signer) -> None:
    at = 1_800_000_000.123456789
    store.projects.register("3.17", config_xml(), None, at)
    features_id = store.features.save("3.17", "text", signer.dump([1], features_kind("3.17", at)), at)
    born = store.features.birth(features_id)
    assert born is not None
    artifact = store.features.artifact(features_id)
    assert artifact is not None
    assert signer.load(artifact, features_kind("3.17", born)) == [1]
