"""How a window reaches Label Studio: the first tasks, the switch, the rest; nobody waits, no label is miscounted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from label_studio_al.cli.worker import needs_turn
from label_studio_al.runtime.settings import Settings, read_settings
from label_studio_al.store import Signer, Store, Version
from label_studio_al.turns.due import IDLE_SECONDS
from label_studio_al.turns.publishing import READY_A_PERSON, READY_AT_LEAST
from tests.support.bench import Bench, truth
from tests.support.clock import FakeClock
from tests.support.columns import set_columns
from tests.support.fake_label_studio import CLOSED, TOKEN, URL, FakeLabelStudio, FakeProject

PUSH_SECONDS = 0.07
PUSH = ("POST", "/api/predictions")
SWITCH = ("PATCH", r"/api/ml/\d+")

pytestmark = pytest.mark.usefixtures("one_thread")


class Killed(BaseException):
    """The process ends at this line."""


class SlowLabelStudio(FakeLabelStudio):
    """Takes as long for a prediction as the real one does."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock

    def handle(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST" and request.url.path == "/api/predictions/":
            self.clock.advance(PUSH_SECONDS)
        return super().handle(request)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(model_dir=tmp_path, label_studio_url=URL, label_studio_api_key=TOKEN, encoder="none")


@pytest.fixture
def bench(store: Store, signer: Signer, clock: FakeClock, settings: Settings) -> Bench:
    return Bench(SlowLabelStudio(clock), store, signer, clock, settings)


def label_next(bench: Bench, project: FakeProject, user_id: int = 1) -> int:
    """Somebody submits the next task. Gives the task."""
    task_id = (project.queue() or [])[0]
    label = truth(project.tasks[task_id]["data"]["text"])
    bench.hear(bench.fake.annotate(project.id, task_id, label, user_id=user_id))
    return task_id


def trained(bench: Bench, **params: object) -> FakeProject:
    """A project with a model, all of whose window lies ready, and a label for which another version is due."""
    project = bench.add(retrain_growth=0, audit_share=0, **params)
    bench.turn(project)
    bench.settle(project)
    for _ in range(5):
        label_next(bench, project)
    bench.settle(project)
    label_next(bench, project)
    return project


def doubles(project: FakeProject) -> list[tuple[str, int]]:
    """Tasks that have more than one prediction of a version, with it."""
    found = Counter((one["model_version"], one["task"]) for one in project.predictions.values())
    return [which for which, n in found.items() if n > 1]


def at_the_switch(bench: Bench, project: FakeProject) -> dict[int, float]:
    """The scores of the next version's predictions that are there when Label Studio is switched to it."""
    seen: dict[int, float] = {}
    number = bench.version(project).number + 1
    bench.fake.when(*SWITCH, lambda: seen.update(project.pushed(f"al-{number}")))
    bench.turn(project, after_seconds=0.1)
    return seen


# -- nothing is counted ----------------------------------------


def test_label_submitted_while_predictions_are_pushed_is_counted(bench: Bench) -> None:
    project = trained(bench)
    submitted: list[int] = []

    def submit() -> None:
        submitted.append(label_next(bench, project))

    # Whichever way they are pushed.
    bench.fake.while_counting = submit
    bench.fake.when(*PUSH, submit)
    bench.turn(project)

    assert submitted
    assert [project.tasks[task_id]["total_annotations"] for task_id in submitted] == [1] * len(submitted)


def test_import_overwrites_the_count_of_a_label_submitted_meanwhile(bench: Bench) -> None:
    """What Label Studio does, and why nothing is imported while people label."""
    project = bench.add()
    task_id, other_id = list(project.tasks)[:2]
    bench.fake.while_counting = lambda: bench.fake.annotate(project.id, task_id, "animal")
    one = {"task": other_id, "model_version": "al-1", "score": 0.5, "result": []}

    with bench.fake.client() as client:
        path = f"{URL}/api/projects/{project.id}/import/predictions"
        client.post(path, json=[one], headers={"Authorization": f"Token {TOKEN}"}).raise_for_status()

    assert project.tasks[task_id]["total_annotations"] == 0


def test_nothing_is_imported_from_the_first_order_on(bench: Bench) -> None:
    project = trained(bench)
    bench.settle(project)

    assert not [name for name in bench.fake.names() if "import" in name]
    assert len(project.queue() or []) == len(project.tasks) - 6


# -- the first, the switch, the rest ----------------------------------------


@pytest.mark.parametrize("asked", [None, r"/api/ml", r"/api/projects/\d+"], ids=["before", "connection", "project"])
def test_label_studio_is_not_switched_to_what_it_lost_to_a_backup_since(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, asked: str | None
) -> None:
    """asked: what the switch asks Label Studio when the backup is restored; None: restored before the switch."""
    project = trained(bench)
    kept, published, met = bench.fake.backup(), project.model_version, []
    publish = bench.store.versions.publish

    def restored_after(*args: Any, **named: Any) -> Version:
        version = publish(*args, **named)
        if asked is None:
            bench.fake.restore(kept)
        else:
            bench.fake.when("GET", asked, lambda: bench.fake.restore(kept))
        monkeypatch.undo()
        return version

    monkeypatch.setattr(bench.store.versions, "publish", restored_after)
    for _ in range(20):
        bench.fake.when(*SWITCH, lambda: met.append(bool(project.queue())))

    failed = bench.turn(project)
    assert "lacks the predictions of" in (failed.error or "")
    assert project.model_version == published

    bench.settle(project)
    assert project.model_version == bench.version(project).name != published
    assert project.queue()
    assert all(met)


def test_queue_never_follows_a_version_that_a_backup_lacks_while_older_predictions_are_deleted(bench: Bench) -> None:
    project = trained(bench)
    kept, met = bench.fake.backup(), []
    for _ in range(2):
        bench.turn(project)
        label_next(bench, project)
    bench.turn(project, after_seconds=0.1)
    state = bench.turn(project, after_seconds=0.1)
    assert len(state.stale_versions) > 1
    # The backup is put back when the deletion has begun.
    bench.fake.when("GET", r"/api/ml", lambda: bench.fake.restore(kept))
    for method, path in (("PATCH", r"/api/projects/\d+"), ("GET", r"/api/tasks"), *[SWITCH] * 9):
        bench.fake.when(method, path, lambda: met.append(bool(project.queue())))

    bench.turn(project, after_seconds=IDLE_SECONDS)
    met.append(bool(project.queue()))
    bench.settle(project)

    assert project.model_version == bench.version(project).name
    assert project.queue()
    assert all(met)


def test_the_most_informative_lie_ready_at_the_switch_and_the_rest_follows(bench: Bench) -> None:
    project = trained(bench)

    ready = at_the_switch(bench, project)
    bench.settle(project)

    everything = project.pushed(bench.version(project).name)
    assert len(ready) == READY_AT_LEAST
    assert max(ready.values()) <= min(score for task_id, score in everything.items() if task_id not in ready)
    assert sorted(everything) == sorted(bench.store.windows.informativeness(bench.version(project).id))
    assert len(everything) > 2 * READY_AT_LEAST


def test_the_more_people_label_the_more_lie_ready(bench: Bench) -> None:
    project = trained(bench)
    for user_id in range(2, 7):
        label_next(bench, project, user_id)

    assert len(at_the_switch(bench, project)) == 6 * READY_A_PERSON > READY_AT_LEAST


def test_first_order_is_switched_to_before_all_of_it_is_there(bench: Bench) -> None:
    project = bench.add()
    seen: list[int] = []
    bench.fake.when(*SWITCH, lambda: seen.append(len(project.pushed("al-1"))))

    bench.turn(project)

    assert seen == [READY_AT_LEAST]


def test_while_people_label_the_rest_takes_a_quarter_of_the_time_at_most(bench: Bench) -> None:
    project = trained(bench)
    bench.clock.slept.clear()

    bench.clock.advance(0.1)
    is_complete = bench.loop.take_turn(project.key)

    n_rest = len(project.pushed(bench.version(project).name)) - READY_AT_LEAST
    assert n_rest > 0
    assert sum(bench.clock.slept) >= 2.5 * n_rest * PUSH_SECONDS
    assert not is_complete
    # Should the process end here, somebody else goes on.
    state = bench.store.projects.get(project.key)
    assert not state.is_window_pushed
    assert needs_turn(state, bench.settings, bench.clock.now(), has_studio=True)


def test_rest_is_pushed_at_once_while_nobody_labels(bench: Bench) -> None:
    project = trained(bench)
    bench.clock.slept.clear()

    bench.turn(project, after_seconds=IDLE_SECONDS)

    assert bench.clock.slept == []
    state = bench.store.projects.get(project.key)
    assert state.is_window_pushed
    assert not needs_turn(state, bench.settings, bench.clock.now(), has_studio=True)


def test_label_that_makes_a_version_due_ends_the_push_of_the_one_before(bench: Bench) -> None:
    project = trained(bench)
    bench.clock.advance(0.1)
    bench.loop.take_turn(project.key)
    old = bench.version(project)
    n_pushed = len(project.pushed(old.name))
    label_next(bench, project)

    bench.clock.advance(0.1)
    bench.loop.take_turn(project.key)

    assert bench.version(project).number == old.number + 1
    assert len(project.pushed(old.name)) == n_pushed


def test_label_during_the_rest_is_taken_up_before_the_rest_ends(bench: Bench) -> None:
    project = trained(bench)
    bench.fake.when(*SWITCH, lambda: bench.fake.when(*PUSH, lambda: label_next(bench, project) and None))

    bench.turn(project, after_seconds=0.1)

    old = bench.version(project)
    assert len(project.pushed(old.name)) == READY_AT_LEAST + 1
    assert bench.store.projects.get(project.key).revision > bench.store.projects.get(project.key).seen_revision


def test_what_is_ready_is_filled_up_without_a_pause_when_people_have_nearly_used_it_up(bench: Bench) -> None:
    project = bench.add(min_labels=100)
    bench.turn(project, after_seconds=0.1)
    left = bench.store.windows.unpushed(project.key, bench.version(project).id)
    assert left
    while len(project.queue() or []) > 1:
        label_next(bench, project)
    bench.clock.slept.clear()
    # News at once: only what is urgent is pushed.
    bench.fake.when(*PUSH, lambda: bench.store.projects.call_turn(project.key))

    bench.turn(project, after_seconds=0.0)

    assert bench.clock.slept == [] or sum(bench.clock.slept) <= 0.5  # to settle
    assert len(project.queue() or []) == READY_AT_LEAST
    assert (project.queue() or [])[1:] == [one.task_id for one in left][: READY_AT_LEAST - 1]


def test_what_people_label_while_the_next_version_is_pushed_is_missing_in_no_queue(bench: Bench) -> None:
    project = trained(bench)
    for _ in range(READY_AT_LEAST):
        bench.fake.when(*PUSH, lambda: label_next(bench, project) and None)

    ready = at_the_switch(bench, project)

    is_open = [task_id for task_id in ready if not bench.store.annotations.ids(project.key, 1_000, [task_id])]
    assert len(is_open) >= READY_AT_LEAST


def test_who_labels_fast_finds_as_many_more_as_were_labelled_while_the_version_was_made(bench: Bench) -> None:
    project = trained(bench)
    for _ in range(4):
        bench.fake.when(*PUSH, lambda: label_next(bench, project) and None)

    bench.clock.advance(0.1)
    bench.loop.take_turn(project.key)

    # Though there are news at once.
    assert len(project.queue() or []) == READY_AT_LEAST + 4


def test_task_that_was_labelled_before_its_prediction_was_pushed_gets_none(bench: Bench) -> None:
    project = trained(bench)
    bench.clock.advance(0.1)
    bench.loop.take_turn(project.key)
    version = bench.version(project)
    last = bench.store.windows.unpushed(project.key, version.id)[-1].task_id
    bench.hear(bench.fake.annotate(project.id, last, None, skip=True))

    bench.settle(project)

    assert bench.version(project).id == version.id
    assert last not in project.pushed(version.name)
    assert bench.store.projects.get(project.key).is_window_pushed


def test_comparison_does_not_miss_what_is_not_pushed_yet(bench: Bench) -> None:
    project = trained(bench)
    bench.clock.advance(0.1)
    bench.loop.take_turn(project.key)
    version = bench.version(project)
    assert not bench.store.projects.get(project.key).is_window_pushed
    set_columns(bench.store, project.key, sync_wanted=True)

    bench.settle(project)

    assert bench.version(project).id == version.id


# -- faults ----------------------------------------

KILLED_AT = [1, READY_AT_LEAST, READY_AT_LEAST + 1, READY_AT_LEAST + 5]


@pytest.mark.parametrize("takes_effect", [False, True])
@pytest.mark.parametrize("nth", KILLED_AT)
def test_killed_at_any_prediction_converges_with_one_prediction_a_task(
    bench: Bench, nth: int, takes_effect: bool
) -> None:
    project = trained(bench)
    bench.fake.fail(*PUSH, Killed(), nth=nth, times=1, takes_effect=takes_effect)
    with pytest.raises(Killed):
        bench.turn(project, after_seconds=0.1)
    bench.restart()

    bench.settle(project)

    version = bench.version(project)
    assert doubles(project) == []
    assert sorted(project.queue() or []) == sorted(bench.store.windows.informativeness(version.id))
    assert {one["model_version"] for one in project.predictions.values()} == {version.name}


@pytest.mark.parametrize("how", [500, CLOSED, Killed()], ids=str)
def test_rest_goes_on_under_the_same_version_after_a_lost_answer(bench: Bench, how: int | str | BaseException) -> None:
    project = trained(bench)
    bench.fake.fail(*PUSH, how, nth=READY_AT_LEAST + 3, times=1, takes_effect=True)
    if isinstance(how, BaseException):
        with pytest.raises(Killed):
            bench.turn(project, after_seconds=0.1)
        bench.restart()
    else:
        assert bench.turn(project, after_seconds=0.1).error
    number = bench.version(project).number

    bench.settle(project)

    assert bench.version(project).number == number
    assert doubles(project) == []
    assert len(project.pushed(f"al-{number}")) == len(bench.store.windows.informativeness(bench.version(project).id))


@pytest.mark.parametrize("is_told", [True, False])
def test_task_deleted_before_its_prediction_was_pushed_does_not_hold_up_the_others(bench: Bench, is_told: bool) -> None:
    project = trained(bench)
    bench.clock.advance(0.1)
    bench.loop.take_turn(project.key)
    gone = bench.store.windows.unpushed(project.key, bench.version(project).id)[0].task_id
    webhook = bench.fake.delete_tasks(project.id, gone)
    if is_told:
        bench.hear(webhook)

    bench.settle(project)

    assert sorted(project.queue() or []) == sorted(
        bench.store.windows.informativeness(bench.version(project).id).keys() - {gone}
    )


def test_without_a_token_the_window_counts_as_pushed(bench: Bench) -> None:
    project = bench.add()
    bench.restart(with_studio=False)

    bench.turn(project)

    version = bench.version(project)
    assert bench.store.windows.pushed(version.id) == bench.store.windows.informativeness(version.id).keys()
    assert bench.store.projects.get(project.key).is_window_pushed


# -- who labels ----------------------------------------


@pytest.fixture
def label(bench: Bench) -> Callable[[FakeProject, int, int], None]:
    """A user labels n tasks."""

    def act(project: FakeProject, user_id: int, n: int) -> None:
        done = {one["task"] for one in project.annotations.values()}
        for task_id in [one for one in project.tasks if one not in done][:n]:
            bench.hear(bench.fake.annotate(project.id, task_id, "animal", user_id=user_id))

    return act


def test_people_are_those_who_gave_the_newest_annotations(
    bench: Bench, label: Callable[[FakeProject, int, int], None]
) -> None:
    project = bench.add(texts=[f"text {n}" for n in range(220)])
    bench.turn(project)
    assert bench.store.annotations.n_people(project.key) == 0
    label(project, 1, 10)
    label(project, 2, 3)
    assert bench.store.annotations.n_people(project.key) == 2
    label(project, 3, 197)
    assert bench.store.annotations.n_people(project.key) == 2


def test_people_whose_webhooks_were_lost_are_known_after_a_comparison(bench: Bench) -> None:
    project = bench.add()
    for user_id, task_id in enumerate(list(project.tasks)[:4], 1):
        bench.fake.annotate(project.id, task_id, "animal", user_id=user_id)

    bench.turn(project)

    assert bench.store.annotations.n_people(project.key) == 4
