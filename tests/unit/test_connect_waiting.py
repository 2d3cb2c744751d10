"""What connect says while the queue becomes ordered: to people, to terminals and to machines."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import label_studio_al.cli.connect as connect_module
from label_studio_al.cli import main
from label_studio_al.cli.connect import wait_until_ordered
from label_studio_al.cli.progress import Bar
from label_studio_al.runtime.errors import StudioRefused
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.studio.api import Api
from label_studio_al.studio.client import Studio
from tests.support.bench import TWO
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import TOKEN, URL, FakeLabelStudio

WAITING: dict[str, Any] = {
    "project": 1,
    "version": None,
    "error": None,
    "retry_at": None,
    "is_parked": False,
    "activity": "comparing with Label Studio",
    "n_tasks": 0,
}
ORDERED = {**WAITING, "version": {"name": "al-1", "is_switched": True}, "n_tasks": 10_000, "unread": []}


def at_work(what: str, done: int, total: int = 10_000, activity: str = "at work") -> dict[str, Any]:
    return {**WAITING, "activity": activity, "progress": {"what": what, "done": done, "total": total}}


def ordered_by(settings: Settings, project_id: int, url: str, say: Callable[[str], None], *bar: Bar) -> str | None:
    """The version for whose order was waited."""
    state = wait_until_ordered(settings, project_id, url, say, *bar)
    return None if state is None else state["version"]["name"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(model_dir=tmp_path)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect_module, "POLL_SECONDS", 0.01)


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Serves states on /status, one an answer and the last one for ever; gives the address."""
    servers: list[ThreadingHTTPServer] = []

    def start(*states: dict[str, Any]) -> str:
        left = list(states)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                state = left.pop(0) if len(left) > 1 else left[0]
                body = json.dumps({"projects": [state]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_what_is_not_read_is_said_when_the_project_is_connected(settings: Settings, serve: Callable[..., str]) -> None:
    said: list[str] = []
    url = serve(ORDERED | {"unread": [{"reason": "no_text", "sentence": "4 tasks have no text"}]})
    assert ordered_by(settings, 1, url, said.append) == "al-1"
    assert said[-1] == "  Not read: 4 tasks have no text."


def test_terminal_shows_a_bar_for_each_thing_that_takes_long(settings: Settings, serve: Callable[..., str]) -> None:
    terminal, said = Terminal(), []
    url = serve(WAITING, at_work("sync", 1000), at_work("sync", 5000), at_work("features", 2000), ORDERED)
    assert ordered_by(settings, 1, url, said.append, Bar(terminal)) == "al-1"
    drawn = terminal.getvalue()
    assert "Reading tasks" in drawn
    assert "1000/10000" in drawn
    assert "5000/10000" in drawn
    assert "Turning texts into features" in drawn
    assert "2000/10000" in drawn
    # What the bar shows is not said as well.
    assert said == ["  comparing with Label Studio", "Connected: the queue follows al-1, 10000 tasks."]


def test_line_of_a_bar_ends_before_words_follow(settings: Settings, serve: Callable[..., str]) -> None:
    terminal = Terminal()
    url = serve(at_work("sync", 1000), ORDERED)
    wait_until_ordered(settings, 1, url, terminal.write, Bar(terminal))
    assert "\nConnected: " in terminal.getvalue().replace("\x1b[?25h", "")


def test_without_a_terminal_words_are_said_and_nothing_is_drawn(settings: Settings, serve: Callable[..., str]) -> None:
    file, said = io.StringIO(), []
    url = serve(at_work("sync", 1000, activity="task 1000"), at_work("sync", 2000, activity="task 2000"), ORDERED)
    wait_until_ordered(settings, 1, url, said.append, Bar(file))
    assert file.getvalue() == ""
    assert said[:2] == ["  task 1000", "  task 2000"]


def test_first_reading_may_take_as_long_as_it_goes_on(
    settings: Settings, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_module, "WAIT_SECONDS", 0.3)
    monkeypatch.setattr(connect_module, "POLL_SECONDS", 0.1)
    url = serve(*(at_work("sync", n) for n in range(8)), ORDERED)
    assert ordered_by(settings, 1, url, lambda _: None, Bar(io.StringIO())) == "al-1"


def test_what_stands_still_is_waited_for_no_longer(
    settings: Settings, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_module, "WAIT_SECONDS", 0.3)
    said: list[str] = []
    assert wait_until_ordered(settings, 1, serve(at_work("sync", 5)), said.append, Bar(io.StringIO())) is None
    assert "not ordered yet" in said[-1]


def test_error_that_nothing_but_a_change_mends_is_raised(settings: Settings, serve: Callable[..., str]) -> None:
    url = serve({**WAITING, "error": "the control must be <Choices>", "is_parked": True})
    with pytest.raises(StudioRefused, match="the control must be <Choices>"):
        wait_until_ordered(settings, 1, url, lambda _: None)


def test_error_of_an_earlier_turn_is_waited_with_while_another_turn_is_due(
    settings: Settings, serve: Callable[..., str]
) -> None:
    url = serve({**WAITING, "error": "Label Studio does not answer"}, ORDERED)
    said: list[str] = []
    assert ordered_by(settings, 1, url, said.append) == "al-1"
    assert "  Label Studio does not answer" in said


def test_state_that_cannot_be_read_is_said(settings: Settings) -> None:
    said: list[str] = []
    assert wait_until_ordered(settings, 1, "http://127.0.0.1:9", said.append) is None
    assert "cannot be read from here" in said[-1]


def test_machines_get_one_json_document_and_people_their_words_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, serve: Callable[..., str]
) -> None:
    fake = FakeLabelStudio()
    fake.add_project(TWO, ["a text", "another"])
    studio = Studio(Api(URL, TOKEN, fake.client(), FakeClock()))
    monkeypatch.setattr(connect_module, "make_studio", lambda _settings: studio)
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    unread = [{"reason": "no_text", "n": 4, "task_id": 7, "sentence": "4 tasks have no text"}]
    url = serve(ORDERED | {"unread": unread})
    done = CliRunner().invoke(main, ["connect", "--project", "1", "--backend-url", url, "--json"])
    assert done.exit_code == 0, done.output
    [connection] = fake.connections
    expected = {"project": 1, "backend_url": url, "connection": connection, "ordered_by": "al-1", "unread": unread}
    assert json.loads(done.stdout) == expected
    assert "the queue follows al-1" in done.stderr
