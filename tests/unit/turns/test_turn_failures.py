"""Turns without Label Studio, and with one that fails."""

from __future__ import annotations

from typing import Any

import pytest

from label_studio_al.store import Project
from tests.support.bench import Bench, truth
from tests.support.clock import FakeClock
from tests.support.columns import set_columns
from tests.support.fake_label_studio import BROKEN_JSON, CLOSED, HTML_PAGE, TIMEOUT, TOKEN
from tests.support.turns import READS, WRITES, prepared, state_of

pytestmark = pytest.mark.usefixtures("one_thread")


def test_without_a_token_a_model_is_trained_from_labels_heard(bench: Bench) -> None:
    bench.restart(with_studio=False)
    project = bench.add()
    bench.hear(bench.fake._event("TASKS_CREATED", project, tasks=list(project.tasks.values())))
    for task_id in list(project.tasks)[:6]:
        bench.hear(bench.fake.annotate(project.id, task_id, truth(project.tasks[task_id]["data"]["text"])))

    state = bench.turn(project)

    assert (bench.version(project).has_model, state.error, state.is_switched) == (True, None, True)
    assert bench.fake.calls == []


def test_token_given_later_publishes_predictions_for_the_queue(bench: Bench) -> None:
    bench.restart(with_studio=False)
    project = bench.add()
    bench.hear(bench.fake._event("TASKS_CREATED", project, tasks=list(project.tasks.values())))
    bench.turn(project)

    bench.restart(with_studio=True)
    set_columns(bench.store, project.key, sync_wanted=True)
    bench.settle(project)

    assert project.model_version == bench.version(project).name
    assert sorted(project.queue() or []) == sorted(project.tasks)


def test_predictions_that_somebody_deleted_are_pushed_again(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    project.predictions.clear()

    bench.settle(project)

    assert sorted(project.queue() or []) == sorted(project.tasks)


# What each call says for itself, and what is one to all calls: of this, one call speaks for the others.
FAILED = [(call, how) for call in READS + WRITES for how in (401, CLOSED)] + [
    (call, how) for call in (READS[1], WRITES[0]) for how in (500, TIMEOUT)
]
NOT_UNDERSTOOD: list[Any] = [(call, how) for call in READS for how in (b"null", b"[1]", b'{"detail": "x"}')] + [
    (READS[1], how) for how in (BROKEN_JSON, HTML_PAGE, b"")
]


def assert_said(state: Project, clock: FakeClock) -> None:
    assert state.error
    assert not state.error.startswith("internal error")
    assert "\n" not in state.error
    assert TOKEN not in state.error
    assert state.retry_at is not None
    assert state.retry_at > clock.now()


@pytest.mark.parametrize(("call", "how"), FAILED, ids=str)
def test_failed_call_is_said_and_the_next_turn_converges(
    bench: Bench, reference: dict[str, Any], call: tuple[str, str], how: int | str
) -> None:
    project = prepared(bench)
    bench.fake.fail(*call, how)
    assert_said(bench.turn(project), bench.clock)

    bench.fake.mend()
    bench.settle(project)

    assert state_of(bench, project) == reference


@pytest.mark.parametrize(("call", "how"), NOT_UNDERSTOOD, ids=str)
def test_answer_that_is_not_understood_is_said_and_the_next_turn_converges(
    bench: Bench, reference: dict[str, Any], call: tuple[str, str], how: str | bytes
) -> None:
    project = prepared(bench)
    bench.fake.fail(*call, how)
    state = bench.turn(project)
    if state.error is not None:
        assert_said(state, bench.clock)

    bench.fake.mend()
    bench.settle(project)

    assert state_of(bench, project) == reference


@pytest.mark.parametrize("how", [TIMEOUT, b"null"], ids=str)
@pytest.mark.parametrize(("method", "path"), WRITES)
def test_write_whose_answer_is_lost_converges(
    bench: Bench, reference: dict[str, Any], method: str, path: str, how: int | str | bytes
) -> None:
    project = prepared(bench)
    bench.fake.fail(method, path, how, takes_effect=True)
    state = bench.turn(project)
    if state.error is not None:
        assert_said(state, bench.clock)

    bench.fake.mend()
    bench.settle(project)

    assert state_of(bench, project) == reference


@pytest.mark.parametrize("how", [401, HTML_PAGE], ids=str)
@pytest.mark.parametrize(("method", "path"), [*READS[:3], WRITES[0], ("PATCH", r"/api/ml/\d+")])
def test_old_version_keeps_serving_while_the_next_one_fails(
    bench: Bench, method: str, path: str, how: int | str
) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 6)
    queue = project.queue()
    set_columns(bench.store, project.key, sync_wanted=True)
    bench.fake.fail(method, path, how)

    for _ in range(3):
        assert bench.turn(project, after_seconds=20).error is not None
        assert (project.model_version, project.queue()) == ("al-1", queue)

    bench.fake.mend()
    bench.settle(project)
    assert bench.version(project).has_model
    assert project.model_version == bench.version(project).name


def test_pauses_between_tries_grow_and_have_a_limit(bench: Bench) -> None:
    project = bench.add()
    bench.fake.fail("*", ".*", 403)
    pauses = []
    for _ in range(12):
        state = bench.turn(project, after_seconds=301)
        assert state.retry_at is not None
        pauses.append(round(state.retry_at - bench.clock.now(), 3))

    assert pauses == sorted(pauses)
    assert pauses[:4] == [2, 4, 8, 16]
    assert pauses[-1] == 300
    bench.fake.mend()
    state = bench.turn(project, after_seconds=301)
    assert (state.n_failures, state.retry_at, state.error) == (0, None, None)


def test_turn_asked_for_before_the_retry_is_due_asks_label_studio_nothing(bench: Bench) -> None:
    project = bench.add()
    bench.fake.fail("*", ".*", 500)
    bench.turn(project)
    bench.fake.calls.clear()

    state = bench.turn(project, after_seconds=1)

    assert bench.fake.calls == []
    assert (state.n_failures, state.error is None) == (1, False)


def test_start_training_does_not_wait_for_the_retry(bench: Bench) -> None:
    project = bench.add()
    bench.fake.fail("*", ".*", 403)
    bench.turn(project, after_seconds=301)
    bench.turn(project, after_seconds=301)
    bench.fake.mend()

    bench.store.projects.want_training(project.key, bench.clock.now())
    state = bench.turn(project, after_seconds=1)

    assert (state.error, project.model_version) == (None, "al-1")


def test_refused_token_is_named(bench: Bench) -> None:
    project = bench.add()
    bench.fake.token = "another"

    state = bench.turn(project)

    assert state.error is not None
    assert "LABEL_STUDIO_API_KEY" in state.error
    assert "legacy token" in state.error


def test_failed_turns_are_listed(bench: Bench) -> None:
    project = bench.add()
    bench.fake.fail("*", ".*", CLOSED)

    bench.turn(project)

    assert bench.store.turns.newest(project.key, 1)[0].outcome.startswith("failed: Label Studio at")


def test_switch_that_label_studio_refuses_is_said_and_repeated(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 5)
    bench.fake.fail("PATCH", r"/api/ml/\d+", 400)

    state = bench.turn(project)
    assert state.error is not None
    assert not state.is_switched
    assert project.model_version == "al-1"

    bench.fake.mend()
    bench.settle(project)
    assert project.model_version == "al-2"


def test_top_up_that_fails_is_made_later(bench: Bench) -> None:
    project = bench.add(window=6, min_labels=100)
    bench.turn(project)
    bench.label(project, 5)
    bench.fake.fail("POST", "/api/predictions", 500)
    assert bench.turn(project).error is not None

    bench.fake.mend()
    bench.settle(project)

    assert len(project.queue() or []) == 6


def test_memory_that_a_comparison_used_is_given_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Label Studio's answer may be of megabytes for each thousand labels, and no training follows."""
    project = bench.add(min_labels=100)
    bench.turn(project)
    given_back: list[str] = []
    monkeypatch.setattr("label_studio_al.turns.loop.give_back", lambda: given_back.append("now"))
    bench.turn(project, after_seconds=60)
    assert not given_back
    bench.turn(project, after_seconds=86_400)
    assert given_back
    assert bench.version(project).number == 1
