"""Names that would lead elsewhere: no request, key, name or link has a file of others read, written or deleted."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from label_studio_al.cli import main
from label_studio_al.labeling import read_project_key, version_number
from label_studio_al.learning.features import Features
from label_studio_al.pool.files import FeatureFiles, with_shared_topics
from label_studio_al.pool.tasks import Pool
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.bench import Bench
from tests.support.build import KEY, config_xml
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import FakeProject

SIGNING_KEY = "the key of these tests"
WORDS = "what somebody else has written"
KEYS = (
    "..",
    "../..",
    "../../etc/passwd",
    "/etc/passwd",
    "3.1795343520/..",
    "3.1795343520\n",
    "3.1795343520\0",
    " 3.1795343520",
    "3.1795343520.torn",
    "3/1795343520",
    "3\\1795343520",
    "..\\..\\windows",
    "%2e%2e%2f",
    "3.%2e",
    "file:///etc/passwd",
    "\u0663.\u0661",
    "-3.1795343520",
    "3.",
    ".3",
    "~",
    "~root",
    "con",
    "3" * 5000 + ".1",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(model_dir=tmp_path / "models", encoder="none")


@pytest.fixture
def client(settings: Settings, store: Store, signer: Signer) -> FlaskClient:
    return create_app(Parts(settings, store, signer, FakeClock()), []).test_client()


@pytest.fixture
def signer() -> Signer:
    return Signer(SIGNING_KEY)


@pytest.fixture
def project(bench: Bench) -> FakeProject:
    """A project with a model."""
    made = bench.add()
    bench.publish(made, 1)
    return made


# -- requests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ascii(key[:20]))
def test_project_that_is_no_key_is_refused_by_every_route(client: FlaskClient, store: Store, key: str) -> None:
    with pytest.raises(InvalidRequest, match="must look like"):
        read_project_key(key)
    given = {"schema": config_xml(), "tasks": [], "project_src": key, "project_dst": key}
    for path in ("/setup", "/predict", "/train", "/delete", "/duplicate_model"):
        assert client.post(path, json={**given, "project": key}).status_code == 400, path
    assert client.post("/job_status", json={"job": f"{key}:0"}).status_code == 400
    assert client.get("/versions", query_string={"project": key}).status_code == 400
    for rule in client.application.url_map.iter_rules():
        if "key" in rule.arguments:
            method = "POST" if "POST" in (rule.methods or ()) else "GET"
            path = rule.rule.replace("<key>", key).encode().decode("latin-1")
            answer = client.open("/", method=method, environ_overrides={"PATH_INFO": path})
            assert 400 <= answer.status_code < 500, rule.rule
    assert store.projects.keys() == []


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static/%2e%2e%2fapp.py",
        "/static/..%5capp.py",
        "/static/....//app.py",
        "/static/%252e%252e%252fapp.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/page.css%00",
        "/static/page.css%00.png",
        "/static/",
        "/static/.",
        "/static/page.css/..",
        "//etc/passwd",
        "/projects/..%2f..%2fstatus",
        "/projects/%00",
        "/..%2f..%2fetc%2fpasswd",
    ],
)
def test_address_leads_to_no_file_but_the_page_s_own(client: FlaskClient, path: str) -> None:
    # As servers hand it on.
    answer = client.get("/", environ_overrides={"PATH_INFO": unquote(path)})
    assert answer.status_code in (308, 400, 404)
    assert "root:" not in answer.text
    assert "import" not in answer.text


@pytest.mark.parametrize(
    "name",
    ["al-../../etc/passwd", "al-1/../2", "al-1-../x", "al-1\0", "al-1\n", "../al-1", "al-1-", "AL-1", "al-\u0661"],
    ids=ascii,
)
def test_version_of_another_name_is_none_of_ours(name: str) -> None:
    assert version_number(name, "") is None
    assert version_number(name, "../x") is None


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        "../../etc/passwd",
        "file:///etc/passwd",
        "/data/upload/1/../../../etc/passwd",
        "http://127.0.0.1:9/",
        "\\\\host\\share",
        "s3://bucket/key",
        "|id",
    ],
)
def test_text_that_is_a_path_or_an_address_is_a_text(bench: Bench, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    opened: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: opened.append(address))
    read = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *a, **k: (opened.append(str(self)), read(self, *a, **k))[1])
    project = bench.add(texts=[text, "another text", "a third text"])
    assert bench.turn(project).error is None
    assert set(project.pushed(bench.version(project).name)) == set(project.tasks)
    ours = str(bench.settings.model_dir), sys.prefix
    assert {str(one) for one in opened if not str(one).startswith(ours)} == set()


# -- links ------------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder of somebody else's."""
    made = tmp_path / "elsewhere"
    made.mkdir()
    for name in ("values", "tasks", "manifest.json", "model.joblib"):
        (made / name).write_text(WORDS, encoding="ascii")
    return made


def is_untouched(elsewhere: Path) -> bool:
    return {path.name: path.read_text(encoding="ascii") for path in elsewhere.iterdir()} == dict.fromkeys(
        ("values", "tasks", "manifest.json", "model.joblib"), WORDS
    )


def test_old_features_that_are_a_link_take_nothing_with_them(tmp_path: Path, elsewhere: Path) -> None:
    folder = tmp_path / "features" / KEY
    folder.mkdir(parents=True)
    (folder / "old").symlink_to(elsewhere)
    os.utime(elsewhere, (0, 0))
    features = Features.fit(["a text"], None, 1)
    FeatureFiles(folder / "new", features).remove_older_siblings()
    FeatureFiles(folder / "old", features).remove()
    assert is_untouched(elsewhere)


def test_topics_are_not_written_through_a_link(tmp_path: Path, elsewhere: Path) -> None:
    folder = tmp_path / "features" / KEY
    folder.mkdir(parents=True)
    (folder / "linked").symlink_to(elsewhere)
    features = Features.fit(["the cat sleeps", "a dog barks", "the cat and a dog"], None, 3)
    assert features.topics.components.size
    with_shared_topics(features, folder / "linked")
    assert is_untouched(elsewhere)


def test_forgetting_deletes_nothing_behind_a_link(
    bench: Bench, project: FakeProject, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = bench.settings.model_dir / "features" / project.key
    (features / "linked").symlink_to(elsewhere)
    monkeypatch.setenv("MODEL_DIR", str(bench.settings.model_dir))
    monkeypatch.setenv("DATABASE_URL", str(bench.store._engine.url))
    done = CliRunner().invoke(main, ["forget", "--project", str(project.id), "--yes"])
    assert "Forgotten." in done.output
    assert not features.exists()
    assert is_untouched(elsewhere)


def test_export_replaces_links_and_writes_through_none(
    bench: Bench, project: FakeProject, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_DIR", str(bench.settings.model_dir))
    monkeypatch.setenv("DATABASE_URL", str(bench.store._engine.url))
    monkeypatch.setenv("AL_SIGNING_KEY", SIGNING_KEY)
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.joblib").symlink_to(elsewhere / "model.joblib")
    arguments = ["export", "--project", str(project.id), "--output", str(out), "--overwrite"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert not (out / "model.joblib").is_symlink()
    assert is_untouched(elsewhere)


def test_features_lie_in_the_folder_of_their_project(bench: Bench, project: FakeProject) -> None:
    pool = bench.loop._looking.pools[project.key]
    assert isinstance(pool, Pool)
    folder = bench.settings.model_dir / "features" / project.key
    assert [path.parent for path in folder.iterdir()] == [folder]
    assert {path.name for path in (bench.settings.model_dir / "features").iterdir()} == {project.key}
