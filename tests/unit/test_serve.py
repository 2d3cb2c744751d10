"""The processes that `serve` watches, as real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from label_studio_al.cli.local import free_port
from label_studio_al.runtime.errors import ProcessFailed
from label_studio_al.runtime.keeping import ENDS_A_MINUTE, Watched, watch

ROOT = Path(__file__).parents[2]
LONGEST_WAIT_SECONDS = 30.0

# Children write their process number and stay; `end_with_parent` needs the package.
STAYS = """
import os, pathlib, signal, sys, time
pathlib.Path(sys.argv[1], str(os.getpid())).touch()
while True:
    time.sleep(0.05)
"""
STAYS_WITH_PARENT = """
import os, pathlib, sys, time
from label_studio_al.wiring import end_with_parent
end_with_parent()
pathlib.Path(sys.argv[1], str(os.getpid())).touch()
while True:
    time.sleep(0.05)
"""
DEAF = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1], str(os.getpid())).touch()
while True:
    time.sleep(0.05)
"""
ENDS = """
import os, pathlib, sys
pathlib.Path(sys.argv[1], str(os.getpid())).touch()
sys.exit(4)
"""
PARENT = """
import sys, threading
from label_studio_al.runtime.keeping import Watched, watch
watch([Watched("child", [sys.executable, "-c", sys.argv[2], sys.argv[1]])], threading.Event())
"""


def child(code: str, folder: Path, name: str = "child") -> Watched:
    folder.mkdir(exist_ok=True)
    return Watched(name, [sys.executable, "-c", code, str(folder)])


def started(folder: Path) -> set[int]:
    """The processes that were started so far."""
    return {int(file.name) for file in folder.iterdir()}


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def is_running(process_id: int) -> bool:
    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Watching:
    """`watch` in a thread, as `serve` runs it."""

    def __init__(self, processes: list[Watched]) -> None:
        self.processes = processes
        self.stop = threading.Event()
        self.raised: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            watch(self.processes, self.stop)
        except ProcessFailed as exc:
            self.raised = exc

    def __enter__(self) -> Watching:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join(LONGEST_WAIT_SECONDS)
        assert not self._thread.is_alive()

    def has_given_up(self) -> bool:
        return not self._thread.is_alive()


def test_child_that_was_killed_is_started_again(tmp_path: Path) -> None:
    folder = tmp_path / "child"
    with Watching([child(STAYS, folder)]):
        wait_for(lambda: len(started(folder)) == 1)
        (first,) = started(folder)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: len(started(folder)) == 2)
        (second,) = started(folder) - {first}
        assert is_running(second)


def test_other_children_go_on_while_one_is_started_again(tmp_path: Path) -> None:
    web, worker = tmp_path / "web", tmp_path / "worker"
    with Watching([child(STAYS, web, "web"), child(STAYS, worker, "worker")]):
        wait_for(lambda: bool(started(web)) and bool(started(worker)))
        (killed,) = started(worker)
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: len(started(worker)) == 2)
        (serving,) = started(web)
        assert is_running(serving)


def test_child_that_keeps_ending_makes_watch_give_up(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    with Watching([child(STAYS, good, "web"), child(ENDS, bad, "worker")]) as watching:
        wait_for(watching.has_given_up)
    assert str(watching.raised) == "the worker process ended 5 times in a minute (code 4)"
    assert len(started(bad)) == ENDS_A_MINUTE
    assert not any(is_running(process_id) for process_id in started(good) | started(bad))


def test_children_end_on_stop(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with Watching([child(STAYS, first), child(STAYS, second)]) as watching:
        wait_for(lambda: bool(started(first)) and bool(started(second)))
    assert watching.raised is None
    assert not any(is_running(process_id) for process_id in started(first) | started(second))


def test_child_that_does_not_hear_is_killed_on_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[watch.__module__], "STOP_SECONDS", 0.3)
    folder = tmp_path / "deaf"
    with Watching([child(DEAF, folder)]):
        wait_for(lambda: bool(started(folder)))
    assert not any(is_running(process_id) for process_id in started(folder))


def test_watch_leaves_no_open_files(tmp_path: Path) -> None:
    before = psutil.Process().num_fds()
    folder = tmp_path / "child"
    with Watching([child(STAYS, folder)]):
        wait_for(lambda: bool(started(folder)))
    assert psutil.Process().num_fds() == before


def test_command_that_cannot_be_started_ends_those_that_were(tmp_path: Path) -> None:
    folder = tmp_path / "child"
    good = child(STAYS, folder)
    with pytest.raises(FileNotFoundError):
        watch([good, Watched("missing", [str(tmp_path / "no-such-program")])], threading.Event())
    assert good.has_ended()


def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "child"
    folder.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), STAYS_WITH_PARENT], env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        wait_for(lambda: bool(started(folder)))
        (process_id,) = started(folder)
        assert is_running(process_id)
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not is_running(process_id))


def test_child_without_a_parent_pipe_stays(tmp_path: Path) -> None:
    """`worker` may be started by hand."""
    environment = {name: value for name, value in os.environ.items() if name != "AL_PARENT_PIPE"}
    process = subprocess.Popen(
        [sys.executable, "-c", STAYS_WITH_PARENT, str(tmp_path)], env={**environment, "PYTHONPATH": str(ROOT)}
    )
    try:
        wait_for(lambda: bool(started(tmp_path)))
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_whoever_only_watches_imports_no_library() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import label_studio_al.runtime.keeping; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "label_studio_al" in loaded
    assert not {"click", "pydantic", "sqlalchemy", "numpy"} & loaded


def test_serve_becomes_the_process_that_watches(tmp_path: Path) -> None:
    """The same process, so that signals reach it; it starts both and ends both."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AL_", "LABEL_STUDIO_"))}
    command = [sys.executable, "-m", "label_studio_al", "serve", "--port", str(free_port())]
    serve = subprocess.Popen(command, env={**environment, "MODEL_DIR": str(tmp_path)}, cwd=ROOT)
    try:
        process = psutil.Process(serve.pid)
        wait_for(lambda: "label_studio_al.runtime.keeping" in process.cmdline() and len(process.children()) == 2)
        children = process.children()
        assert sum("--web-only" in child.cmdline() for child in children) == 1
        serve.terminate()
        assert serve.wait(LONGEST_WAIT_SECONDS) == 0
        assert not any(is_running(child.pid) for child in children)
    finally:
        serve.kill()
        serve.wait()
