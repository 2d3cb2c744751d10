"""What people see of a turn and ask for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.bench import Bench
from tests.support.fake_label_studio import CLOSED

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_paused_project_hears_but_takes_no_turn(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 1)
    before, queue = bench.version(project).name, project.queue()
    bench.store.projects.pause(project.key, bench.clock.now())
    bench.label(project, 5)
    calls = len(bench.fake.calls)
    row = bench.turn(project)
    assert (bench.version(project).name, row.n_unfinished, len(bench.fake.calls)) == (before, 0, calls)
    assert set(project.queue() or []) < set(queue or [])
    bench.store.projects.resume(project.key, bench.clock.now())
    bench.turn(project)
    assert len(bench.version(project).trained_on) == 10


def test_settings_that_were_chosen_here_reach_label_studio(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 1)
    bench.store.projects.choose_settings(project.key, {"strategy": "entropy"}, bench.clock.now())
    bench.fake.fail("PATCH", "/api/ml/[0-9]+", 503)
    assert bench.turn(project).wanted_params == {"strategy": "entropy"}
    bench.fake.mend()
    assert bench.settle(project).wanted_params is None
    assert bench.version(project).ranked_by == "entropy"
    (connection,) = bench.fake.connections.values()
    assert connection["extra_params"] == {"strategy": "entropy"}
    assert connection["title"] == bench.version(project).name == project.model_version


def test_what_the_model_hesitates_between_is_kept_with_the_window(bench: Bench) -> None:
    project = bench.add(strategy="margin")
    bench.turn(project)
    version = bench.version(project)
    assert all(one.top_k == {} for one in bench.store.windows.next(project.key, version.id, 100))
    bench.label(project, 5)
    bench.settle(project)
    version = bench.version(project)
    shown = bench.store.windows.next(project.key, version.id, 100)
    assert [one.task_id for one in shown] == project.queue()
    for one in shown:
        (first, best), (second, next_best) = one.top_k["topic"]
        assert {first, second} == {"animal", "machine"}
        assert best >= next_best


def test_the_project_says_how_many_labels_the_next_training_needs(bench: Bench) -> None:
    project = bench.add(retrain_growth=0.5)
    bench.turn(project)
    bench.label(project, 2)
    row = bench.turn(project)
    assert (row.n_fresh, row.n_due, sum(row.label_counts["topic"].values()), row.n_labelled) == (2, 5, 2, 2)
    bench.label(project, 6)
    bench.turn(project)
    bench.label(project, 1)
    row = bench.turn(project)
    assert (row.n_fresh, row.n_due, sum(row.label_counts["topic"].values())) == (1, 4, 9)
    assert row.title == project.title


def test_an_outage_has_a_beginning_and_an_end(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.fake.fail("*", ".*", CLOSED)
    began = bench.turn(project, after_seconds=400).unreachable_since
    assert began is not None
    assert bench.turn(project, after_seconds=400).unreachable_since == began
    bench.fake.mend()
    assert bench.settle(project).unreachable_since is None


def test_a_long_comparison_says_how_far_it_has_come(bench: Bench) -> None:
    project = bench.add(texts=[f"text {n}" for n in range(2_500)])
    seen: list[Any] = []
    bench.fake.when(
        "GET", f"/api/projects/{project.id}/export", lambda: seen.append(bench.store.projects.get(project.key).progress)
    )
    row = bench.turn(project)
    assert seen == [{"what": "sync", "done": 2_500, "total": 2_500}]
    assert row.progress is None
