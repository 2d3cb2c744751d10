"""A killed worker, and a store that lost something."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from label_studio_al.store import Signer, Store, Version
from tests.support.bench import TWO, Bench
from tests.support.turns import READS, WRITES, Killed, prepared, state_of

pytestmark = pytest.mark.usefixtures("one_thread")


def kill_at(store: Store, method: str, *, after: bool) -> None:
    """Have the store's process end at one of its calls, before or after the write. method: "part.name"."""
    part, _, name = method.partition(".")
    act = getattr(getattr(store, part), name)

    def end(*args: Any, **options: Any) -> None:
        if after:
            act(*args, **options)
        raise Killed(method)

    setattr(getattr(store, part), name, end)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "method",
    [
        "projects.reserve_number",
        "versions.publish",
        "features.save",
        "updates.finish_comparison",
        "updates.compare_tasks",
        "updates.compare_annotations",
        "projects.grant",
        "projects.note_switched",
        "projects.note_arranged",
        "projects.drop_stale",
    ],
)
def test_killed_at_a_write_converges(
    bench: Bench, reference: dict[str, Any], tmp_path: Path, method: str, after: bool
) -> None:
    project = prepared(bench)
    store = Store(f"sqlite:///{tmp_path / 'state.sqlite'}")
    kill_at(store, method, after=after)
    bench.restart(store)
    with pytest.raises(Killed):
        bench.turn(project)
    store.close()

    bench.restart()
    bench.settle(project)

    assert state_of(bench, project) == reference


@pytest.mark.parametrize("takes_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("method", "path", "nth"), [*((*call, 1) for call in READS + WRITES), (*READS[0], 2), (*WRITES[-1], 2)]
)
def test_killed_at_a_call_converges(
    bench: Bench, reference: dict[str, Any], method: str, path: str, nth: int, takes_effect: bool
) -> None:
    project = prepared(bench)
    bench.fake.fail(method, path, Killed(), nth=nth, takes_effect=takes_effect)
    try:
        bench.turn(project)
    except Killed:
        bench.fake.mend()
    bench.fake.mend()

    bench.restart()
    bench.settle(project)

    assert state_of(bench, project) == reference


def test_killed_again_and_again_converges(bench: Bench, reference: dict[str, Any]) -> None:
    project = prepared(bench)
    for nth in range(1, 15):
        bench.fake.fail("*", ".*", Killed(), nth=nth, takes_effect=nth % 2 == 0)
        try:
            bench.turn(project)
        except Killed:
            bench.restart()
        bench.fake.mend()

    bench.settle(project)

    assert state_of(bench, project) == reference


def test_killed_during_a_top_up_leaves_one_prediction_a_task(bench: Bench) -> None:
    project = bench.add(window=6, min_labels=100)
    bench.turn(project)
    bench.label(project, 5)
    bench.fake.fail("POST", "/api/predictions", Killed(), takes_effect=True)
    with pytest.raises(Killed):
        bench.turn(project)
    bench.fake.mend()
    bench.restart()

    bench.settle(project)

    assert len(project.queue() or []) == 6
    assert max(Counter(item["task"] for item in project.predictions.values()).values()) == 1


def test_restarted_worker_gives_the_same_queue(bench: Bench) -> None:
    project = bench.add(strategy="margin")
    bench.turn(project)
    bench.label(project, 6)
    bench.settle(project)
    before = state_of(bench, project)

    bench.restart()
    bench.turn(project)

    assert state_of(bench, project) == before


def test_torn_model_is_trained_again_when_the_window_runs_dry(bench: Bench) -> None:
    project = bench.add(window=6, retrain_growth=10.0)
    bench.turn(project)
    bench.label(project, 6)
    bench.turn(project)
    tear_model(bench.store, bench.version(project))
    bench.restart()
    bench.label(project, 5)

    bench.settle(project)

    assert len(project.queue() or []) == 6
    assert bench.version(project).has_model


def test_models_signed_with_another_key_are_made_again(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 6)
    bench.turn(project)
    bench.signer = Signer("another key")
    bench.restart()

    state = bench.turn(project)

    assert state.error is None
    assert (bench.version(project).number, bench.version(project).has_model) == (3, True)


def test_lost_store_is_rebuilt_from_label_studio(bench: Bench, tmp_path: Path) -> None:
    # What was drawn at random stays where people may have it open, which a lost store does not know.
    project = bench.add(audit_share=0.0)
    bench.turn(project)
    bench.label(project, 6)
    bench.settle(project)
    before = state_of(bench, project)

    bench.store = Store(f"sqlite:///{tmp_path / 'new.sqlite'}")
    bench.store.migrate()
    bench.store.projects.register(project.key, TWO, {"audit_share": 0.0}, bench.clock.now())
    bench.restart()
    bench.settle(project)

    assert bench.version(project).number > 2
    assert state_of(bench, project) == before
    bench.store.close()


def tear_model(store: Store, version: Version) -> None:
    """As a disk does: the second half of the stored model is gone."""
    with store._engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE versions SET artifact = substr(artifact, 1, length(artifact) / 2) WHERE id = ?", (version.id,)
        )
