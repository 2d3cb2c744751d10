"""Turns that fail again and again, or never come to their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from label_studio_al.cli.worker import needs_turn
from label_studio_al.learning.features import Features
from label_studio_al.runtime.errors import StudioUnreachable
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Project
from label_studio_al.store.activity import WAITING_FOR_A_CHANGE
from label_studio_al.turns.due import ROUTINE_SECONDS_AT_MOST
from label_studio_al.turns.retrying import OUTAGE_SECONDS_AT_MOST, PARKED_AFTER
from tests.support.bench import TWO, Bench, config, truth
from tests.support.fake_label_studio import CLOSED, TOKEN, URL, FakeProject

POISON = "a text that crashes the tokenizer"


class Crash(Exception):
    """What a library raises that does not take a text."""


class Killed(BaseException):
    """The process ends at this line."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(model_dir=tmp_path, label_studio_url=URL, label_studio_api_key=TOKEN, encoder="none")


@pytest.fixture
def poisonous(monkeypatch: pytest.MonkeyPatch) -> list[type[BaseException]]:
    """Makes the tokenizer raise what is in the list when it meets the poison."""
    raised: list[type[BaseException]] = [Crash]
    transform = Features.transform_whole

    def crash(self: Features, texts: list[str]) -> Any:
        if raised and POISON in texts:
            raise raised[0]
        return transform(self, texts)

    monkeypatch.setattr(Features, "transform_whole", crash)
    return raised


def wants_turn(bench: Bench, project: FakeProject) -> bool:
    return needs_turn(bench.store.projects.get(project.key), bench.settings, bench.clock.now(), has_studio=True)


def fail_until_parked(bench: Bench, project: FakeProject) -> Project:
    """Turns as the sweep asks for them. Gives the parked project."""
    for _ in range(3 * PARKED_AFTER):
        state = bench.turn(project, after_seconds=300.5)
        if state.is_parked:
            return state
        assert state.error
    raise AssertionError("the project was not parked")


def poison(bench: Bench, project: FakeProject) -> None:
    bench.hear(bench.fake.add_tasks(project.id, [{"text": POISON}]))


def test_poison_is_tried_with_growing_pauses_and_then_parked_with_its_reason(
    bench: Bench, poisonous: list[type[BaseException]]
) -> None:
    project = bench.add()
    bench.turn(project)
    poison(bench, project)
    pauses = []
    state = bench.turn(project)
    while state.retry_at is not None:
        pauses.append(round(state.retry_at - bench.clock.now(), 3))
        state = bench.turn(project, after_seconds=pauses[-1])

    assert pauses == [2, 4, 8, 16, 32, 64, 128]
    assert state.is_parked
    assert (state.error, state.activity.state) == ("internal error (Crash): see the log", WAITING_FOR_A_CHANGE)
    assert not wants_turn(bench, project)


def test_old_version_of_a_parked_project_keeps_serving_and_others_go_on(
    bench: Bench, poisonous: list[type[BaseException]]
) -> None:
    project, other = bench.add(), bench.add()
    bench.publish(project, 1)
    queue = project.queue()
    poison(bench, project)
    fail_until_parked(bench, project)

    assert (project.model_version, project.queue()) == ("al-2", queue)
    bench.publish(other, 1)
    assert other.model_version == "al-2"


@pytest.mark.parametrize("news", ["label", "config", "restart"])
def test_news_or_a_restart_give_a_parked_project_another_turn(
    bench: Bench, poisonous: list[type[BaseException]], news: str
) -> None:
    project = bench.add()
    bench.publish(project, 1)
    poison(bench, project)
    fail_until_parked(bench, project)
    poisonous.clear()

    if news == "label":
        bench.label(project, 1)
    elif news == "config":
        bench.hear(bench.fake.change_config(project.id, config("animal", "machine", "plant")))
    else:
        bench.store.projects.unpark()
        bench.store.projects.want_syncs()
    assert wants_turn(bench, project)
    bench.turn(project)
    state = bench.settle(project)

    assert (state.error, state.n_failures, state.parked_revision) == (None, 0, None)
    assert len(bench.store.tasks.ids(project.key)) == len(project.tasks)


def test_parked_project_that_gets_news_but_is_not_mended_is_parked_again_at_once(
    bench: Bench, poisonous: list[type[BaseException]]
) -> None:
    project = bench.add()
    bench.publish(project, 1)
    poison(bench, project)
    fail_until_parked(bench, project)

    bench.label(project, 1)
    assert bench.turn(project).is_parked
    assert not wants_turn(bench, project)


def test_label_whose_webhook_was_lost_wakes_a_parked_project_at_the_next_sync(
    bench: Bench, poisonous: list[type[BaseException]]
) -> None:
    project = bench.add()
    bench.publish(project, 1)
    poison(bench, project)
    fail_until_parked(bench, project)
    n_turns = len(bench.store.turns.newest(project.key, 100))

    assert bench.turn(project, after_seconds=301).is_parked
    assert len(bench.store.turns.newest(project.key, 100)) == n_turns
    poisonous.clear()
    bench.fake.annotate(project.id, (project.queue() or [0])[0], "animal")
    bench.clock.advance(ROUTINE_SECONDS_AT_MOST)
    assert wants_turn(bench, project)
    state = bench.turn(project, after_seconds=0)

    assert (state.error, state.is_parked) == (None, False)
    assert len(bench.version(project).trained_on) == 6


def test_reason_of_a_parked_project_stays_while_label_studio_is_away(
    bench: Bench, poisonous: list[type[BaseException]]
) -> None:
    project = bench.add()
    bench.turn(project)
    poison(bench, project)
    reason = fail_until_parked(bench, project).error
    bench.fake.fail("*", ".*", CLOSED)

    state = bench.turn(project, after_seconds=301)
    assert (state.error, state.is_parked) == (reason, True)
    bench.fake.mend()
    state = bench.turn(project, after_seconds=301)
    assert (state.error, state.is_parked) == (reason, True)


def test_unsupported_config_is_parked_at_once_and_syncs_do_not_repeat_the_failure(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.hear(bench.fake.change_config(project.id, "<View/>"))

    assert bench.turn(project).is_parked
    n_turns = len(bench.store.turns.newest(project.key, 100))
    assert bench.turn(project, after_seconds=301).is_parked
    assert len(bench.store.turns.newest(project.key, 100)) == n_turns
    bench.hear(bench.fake.change_config(project.id, TWO))
    assert bench.settle(project).error is None


@pytest.mark.parametrize("how", [CLOSED, 503], ids=str)
def test_label_studio_that_is_away_for_an_hour_is_asked_every_ten_seconds_at_most_and_never_parked(
    bench: Bench, how: str | int
) -> None:
    project = bench.add()
    bench.fake.fail("*", ".*", how)
    for _ in range(360):
        state = bench.turn(project, after_seconds=10)
    assert state.retry_at is not None
    assert 0 < state.retry_at - bench.clock.now() <= 10
    assert not state.is_parked
    bench.fake.mend()
    assert bench.turn(project, after_seconds=10).error is None


def test_retry_after_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    project = bench.add()

    def refuse(*_: Any) -> None:
        raise StudioUnreachable("Label Studio answered 429", retry_after=77.0)

    with monkeypatch.context() as patch:
        patch.setattr("label_studio_al.studio.projects.Projects.get", refuse)
        state = bench.turn(project)
    assert state.retry_at == bench.clock.now() + 77
    assert bench.turn(project, after_seconds=76).error is not None
    assert bench.turn(project, after_seconds=1).error is None


@pytest.mark.parametrize("seconds", [-86_400.0, -7_200.0, 86_400.0])
def test_turn_that_failed_is_taken_again_whatever_the_clock_is_set_to(bench: Bench, seconds: float) -> None:
    project = bench.add()
    bench.fake.fail("*", ".*", 503)
    assert bench.turn(project).error is not None
    bench.fake.mend()
    bench.clock.put(seconds)
    assert wants_turn(bench, project)
    assert bench.turn(project, after_seconds=OUTAGE_SECONDS_AT_MOST).error is None


@pytest.mark.parametrize("seconds", [-86_400.0, -7_200.0, 86_400.0])
def test_labels_whose_webhooks_were_lost_are_learnt_whatever_the_clock_is_set_to(bench: Bench, seconds: float) -> None:
    project = bench.add()
    bench.publish(project, 1)
    bench.clock.put(seconds)
    for task_id in (project.queue() or [])[:5]:
        bench.fake.annotate(project.id, task_id, truth(project.tasks[task_id]["data"]["text"]))
    bench.clock.advance(bench.settings.sync_seconds)
    assert wants_turn(bench, project)
    bench.loop.take_turn(project.key)
    assert len(bench.version(project).trained_on) == 10


def kill(bench: Bench, project: FakeProject, after_seconds: float = 0.1) -> None:
    """A turn in which the process dies; another one takes over."""
    with pytest.raises(Killed):
        bench.turn(project, after_seconds=after_seconds)
    bench.restart()


def test_turns_that_kill_their_process_are_waited_with_then_parked_so_that_others_go_on(
    bench: Bench, poisonous: list[type[BaseException]]
) -> None:
    poisonous[:] = [Killed]
    project = bench.add()
    bench.turn(project)
    poison(bench, project)
    n_kills, pauses = 0, []
    for _ in range(60):
        try:
            state = bench.turn(project, after_seconds=0.1)
        except Killed:
            n_kills += 1
            bench.restart()
            continue
        if state.is_parked:
            break
        assert state.retry_at is not None
        pauses.append(round(state.retry_at - bench.clock.now(), 1))
        bench.clock.advance(pauses[-1])

    assert state.is_parked
    assert set(pauses) == {20}
    assert n_kills == 2 + len(pauses)
    assert state.error is not None
    assert "did not come to their end" in state.error
    assert project.model_version == "al-1"

    poisonous.clear()
    bench.label(project, 5)
    bench.turn(project)
    state = bench.settle(project)
    assert (state.error, state.n_unfinished) == (None, 0)


def test_one_kill_costs_no_pause(bench: Bench, poisonous: list[type[BaseException]]) -> None:
    poisonous[:] = [Killed]
    project = bench.add()
    bench.turn(project)
    poison(bench, project)
    kill(bench, project)
    poisonous.clear()

    state = bench.turn(project, after_seconds=0.1)

    assert (state.error, state.n_unfinished) == (None, 0)


def test_turn_after_a_kill_compares_with_label_studio(bench: Bench, poisonous: list[type[BaseException]]) -> None:
    poisonous[:] = [Killed]
    project = bench.add()
    bench.publish(project, 1)
    poison(bench, project)
    kill(bench, project)
    poisonous.clear()
    bench.fake.annotate(project.id, (project.queue() or [0])[0], "animal")

    bench.turn(project, after_seconds=0.1)

    assert len(bench.version(project).trained_on) == 6
