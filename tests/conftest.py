"""Fixtures that every test may use."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from threadpoolctl import threadpool_limits
from xdist.scheduler.loadscope import LoadScopeScheduling

from label_studio_al.jobs import JobClient
from label_studio_al.runtime import redaction
from label_studio_al.runtime.settings import Settings
from label_studio_al.store import Signer, Store
from tests.support.bench import Bench
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import FakeLabelStudio
from tests.support.postgres import Postgres, empty

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from xdist.remote import Producer

# A busy machine is no defect: nothing here measures time.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

TESTS = Path(__file__).parent
PAYLOADS = TESTS / "payloads"
# Their tests start servers, and wait for what these do. Two processes run those that need a Label Studio, each with one
# of its own, and another one the rest of them.
SERVER_FOLDERS = {"e2e": 0, "chaos": 1, "host": 1, "fuzz": 1, "browser": 1, "soak": 1}
SERVER_FILES = {"test_templates.py": 2, "test_images.py": 2, "test_media.py": 2}


@pytest.fixture(scope="session")
def payload() -> Callable[[str], dict[str, Any]]:
    """Gives a request that a real Label Studio sent, by its file name without ".json"; a fresh copy each time."""

    def load(name: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))
        return body

    return load


@pytest.fixture(autouse=True)
def _knows_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process: what is a secret to one test is a word to others."""
    monkeypatch.setattr(redaction, "_secrets", redaction._Secrets())


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "both_databases: runs on SQLite and on PostgreSQL")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those with servers first: they take the longest, and no process may be left with them at the end."""
    items.sort(key=lambda item: (_servers(item.nodeid) is None, _servers(item.nodeid) or 0))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Share out the tests over processes: a file's stay together, and so do many that start servers."""
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = _together  # type: ignore[method-assign]
    return scheduler


def _together(nodeid: str) -> str:
    """What a test shares a process with."""
    servers = _servers(nodeid)
    return nodeid.partition("::")[0] if servers is None else f"servers {servers}"


def _servers(nodeid: str) -> int | None:
    """Which of the processes with servers a test runs in; None in any."""
    path = Path(nodeid.partition("::")[0])
    folder = path.parts[1]
    return SERVER_FILES.get(path.name, SERVER_FOLDERS[folder]) if folder in SERVER_FOLDERS else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_databases"):
        metafunc.parametrize("database", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server, started for the first test that asks for it."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The address of an empty PostgreSQL database of the test's own."""
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture(scope="session")
def _shared_postgres_url(postgres: Postgres) -> str:
    """A database with the store's tables. Emptying them takes 20 ms, a new database 500 ms."""
    url = postgres.create()
    opened = Store(url)
    opened.migrate()
    opened.close()
    return url


@pytest.fixture(scope="session")
def _empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the store's tables. Copying it takes a millisecond, the migrations a hundred."""
    path = tmp_path_factory.mktemp("store") / "empty.sqlite"
    opened = Store(f"sqlite:///{path}")
    opened.migrate()
    opened.close()
    return path


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path, _empty_sqlite: Path) -> str:
    """The address of a store's empty database: SQLite, and with the mark `both_databases` PostgreSQL, too."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return f"sqlite:///{shutil.copy(_empty_sqlite, tmp_path / 'state.sqlite')}"
    url: str = request.getfixturevalue("_shared_postgres_url")
    empty(url)
    return url


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """An empty store."""
    opened = Store(database)
    yield opened
    opened.close()


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[JobClient]:
    """Without DBOS's tables: asking fails, which is only logged."""
    client = JobClient(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    yield client
    client.close()


@pytest.fixture
def signer() -> Signer:
    """A signer of stored models."""
    return Signer("a key that only tests know")


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until the test moves it."""
    return FakeClock()


@pytest.fixture
def bench(store: Store, signer: Signer, clock: FakeClock, settings: Settings) -> Bench:
    """A loop beside a simulated Label Studio. settings: the test file's own."""
    return Bench(FakeLabelStudio(), store, signer, clock, settings)


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """A few tasks are clustered faster by one thread than by several that wait for a busy processor."""
    with threadpool_limits(limits=1):
        yield


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, as the machine has it; where there is none, tests are skipped, but not in CI."""
    from tests.support.chromium import MISSING, chromium, find_chromium

    if find_chromium() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(MISSING)
    with chromium() as opened:
        yield opened
