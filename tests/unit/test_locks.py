"""One turn of a project at once: over threads, processes and hosts, and never longer than its holder lives."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from label_studio_al.runtime.errors import TurnOvertaken
from label_studio_al.store import Store
from tests.support.build import KEY, OTHER_KEY, config_xml
from tests.support.versions import new_version

pytestmark = pytest.mark.both_databases

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(store: Store) -> Store:
    """Knows one project."""
    store.projects.register(KEY, config_xml(), None, 0.0)
    return store


def hold_in_another_process(database: str) -> subprocess.Popen[str]:
    """Has the project's turn until its standard input closes."""
    script = (
        "from label_studio_al.store import Store\n"
        f"with Store({database!r}).turn_lock({KEY!r}) as is_mine: print(is_mine, flush=True); input()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


def test_turn_is_taken_once_and_given_back(store: Store) -> None:
    with store.turn_lock(KEY) as mine, store.turn_lock(KEY) as again, store.turn_lock(OTHER_KEY) as other:
        assert (mine, again, other) == (True, False, True)
    with store.turn_lock(KEY) as mine:
        assert mine


def test_turn_is_given_back_after_an_error(store: Store) -> None:
    with pytest.raises(RuntimeError), store.turn_lock(KEY):
        raise RuntimeError
    with store.turn_lock(KEY) as mine:
        assert mine


def test_threads_take_turns_one_after_the_other(store: Store) -> None:
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(3):
            with store.turn_lock(KEY, 60.0) as mine:
                assert mine
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.01)
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_turn_of_a_killed_process_is_free(store: Store, database: str) -> None:
    process = hold_in_another_process(database)
    with store.turn_lock(KEY) as mine:
        assert not mine
    process.kill()
    process.communicate()
    with store.turn_lock(KEY, 5.0) as mine:
        assert mine


def test_waiting_ends_when_the_turn_is_given_back(store: Store, database: str) -> None:
    process = hold_in_another_process(database)
    threading.Timer(0.3, process.communicate).start()
    with store.turn_lock(KEY, 30.0) as mine:
        assert mine
    process.wait()


def test_overtaken_turn_publishes_nothing(store: Store) -> None:
    turn = store.projects.begin_turn(KEY).n_turns
    version = new_version(1, 5.0, 0, "coverage", ("A", "B"), {}, None, None, [(3, 0.9)])
    store.projects.begin_turn(KEY)
    before = store.projects.get(KEY)
    with pytest.raises(TurnOvertaken, match=f"turn {turn} of project {KEY}"):
        store.versions.publish(KEY, version, is_switched=True, turn=turn)
    assert store.projects.get(KEY) == before
    assert store.windows.informativeness(1) == {}
    assert store.versions.publish(KEY, version, is_switched=True, turn=turn + 1).number == 1
