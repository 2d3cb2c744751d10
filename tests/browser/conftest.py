"""A project that learns from the bundled examples, its status page, and a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page
from werkzeug.serving import make_server

from label_studio_al.examples import example_config, example_tasks
from label_studio_al.questions import parse_config
from label_studio_al.runtime.settings import read_settings
from label_studio_al.store import Signer, Store
from label_studio_al.web import create_app
from label_studio_al.web.parts import Parts
from tests.support.bench import Bench
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import FakeLabelStudio, FakeProject

N_TURNS = 5
LABELS_A_TURN = 25
QUESTIONS = """<View><Text name="text" value="$text"/>
<Choices name="kind" toName="text"><Choice value="animal"/><Choice value="machine"/></Choices>
<Choices name="tone" toName="text"><Choice value="loud"/><Choice value="quiet"/></Choices></View>"""


@dataclass
class Site:
    """A running web server on a store that a loop keeps up to date. connected: has two questions, and had no turn."""

    url: str
    bench: Bench
    project: FakeProject
    connected: FakeProject

    @property
    def page_url(self) -> str:
        """The project's page."""
        return f"{self.url}/projects/{self.project.key}"

    def label(self, n: int) -> None:
        """People label the next n tasks, one of ten wrong; then the loop takes its turn."""
        gold = {task["text"]: task["gold"] for task in example_tasks()}
        config = parse_config(self.project.label_config)
        for place, task_id in enumerate((self.project.queue() or [])[:n]):
            right = gold[self.project.tasks[task_id]["data"]["text"]]
            others = [label for label in config.question.labels if label != right]
            label = others[place % len(others)] if place % 10 == 9 else right
            self.bench.hear(self.bench.fake.annotate(self.project.id, task_id, label, from_name=config.question.name))
        self.bench.turn(self.project)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One project with a few versions, one that has just been connected."""
    folder = tmp_path_factory.mktemp("site")
    store, signer, clock = Store(f"sqlite:///{folder / 'state.sqlite'}"), Signer("of a browser's test"), FakeClock()
    store.migrate()
    settings = read_settings(
        model_dir=folder, encoder="none", label_studio_url="http://label-studio.test", label_studio_api_key="0" * 40
    )
    bench = Bench(FakeLabelStudio(), store, signer, clock, settings)
    project = bench.add(example_config(), [task["text"] for task in example_tasks()], audit_share=0.3)
    connected = bench.add(QUESTIONS)
    server = make_server("127.0.0.1", 0, create_app(Parts(settings, store, signer, clock), []), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    found = Site(f"http://127.0.0.1:{server.server_port}", bench, project, connected)
    bench.turn(project)
    for _ in range(N_TURNS):
        found.label(LABELS_A_TURN)
    yield found
    server.shutdown()
    thread.join()
    store.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the page complained about: must stay empty."""
    return []


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    """A fresh tab. What the console says, and what fails, is a complaint."""
    context = browser.new_context()
    opened = context.new_page()
    opened.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("requestfailed", lambda failed: complaints.append(f"{failed.url}: {failed.failure}"))
    yield opened
    context.close()
    assert complaints == []
