"""What turns measure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from label_studio_al.learners.published import Models
from label_studio_al.learning.strategies import STRATEGIES
from label_studio_al.store import Store
from tests.support.bench import TEXTS, TWO, Bench, config
from tests.support.versions import asked, classifier_of

pytestmark = pytest.mark.usefixtures("one_thread")


def test_every_label_after_the_first_model_has_a_prediction_from_before(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 3)

    kept = {one.task_id: one for one in bench.store.measurements.predictions(project.key)}
    trained_on = asked(bench.version(project)).trained_on
    assert len(trained_on) == 15
    # The first five were asked without a model.
    assert len(kept) == 10
    assert set(kept) < set(trained_on)
    assert sorted(one.n_labels for one in kept.values()) == [5] * 5 + [10] * 5


def test_audits_are_about_the_share_that_was_set(bench: Bench) -> None:
    everything, nothing = bench.add(audit_share=1), bench.add(audit_share=0)
    for project in (everything, nothing):
        bench.publish(project, 2)
        bench.settle(project)

    assert all(one.is_audit for one in bench.store.measurements.predictions(everything.key))
    assert not any(one.is_audit for one in bench.store.measurements.predictions(nothing.key))
    assert bench.store.windows.audits(bench.version(everything).id) == set(everything.queue() or [])


def test_audit_that_was_served_before_the_switch_counts_after_it(bench: Bench) -> None:
    project = bench.add(audit_share=1, window=5)
    bench.publish(project, 2)
    drawn = bench.store.windows.audits(bench.version(project).id)
    first = (project.queue() or [])[0]
    bench.hear(bench.fake.annotate(project.id, first, "animal"))
    bench.turn(project)
    version = bench.version(project)
    assert bench.store.versions.late_audits(version.id) == drawn - {first} - set(
        bench.store.windows.informativeness(version.id)
    )

    for task_id in drawn - {first}:
        bench.hear(bench.fake.annotate(project.id, task_id, "animal"))
    bench.turn(project)

    kept = {one.task_id: one.is_audit for one in bench.store.measurements.predictions(project.key)}
    assert all(kept[task_id] for task_id in drawn)


def test_what_people_may_have_open_at_a_switch_stays_what_it_is(bench: Bench) -> None:
    project = bench.add(audit_share=0.4, strategy="margin", seed=1)
    bench.publish(project, 1)
    before = bench.version(project)
    shown = bench.store.windows.next(project.key, before.id, 11)[1:]
    bench.label(project, 1)
    bench.turn(project)

    version = bench.version(project)
    assert version.id != before.id
    audits = bench.store.windows.audits(version.id)
    kept = [one.task_id for one in shown if one.is_audit]
    assert 0 < len(kept) < len(shown) < len(audits | {one.task_id for one in shown})
    assert [task_id for task_id in project.queue() or [] if task_id in audits][: len(kept)] == kept
    assert audits & {one.task_id for one in shown} == set(kept)


def test_a_version_is_measured_after_the_switch(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 1)
    assert bench.store.measurements.newest(project.key, "topic") is not None
    steps = list(bench.store.turns.newest(project.key, 1)[0].steps)
    assert steps.index("switch") < steps.index("measure")

    newest = bench.store.measurements.newest(project.key, "topic")
    assert newest is not None
    assert (newest.version, newest.n_labels) == (2, 5)
    assert newest.report["cross_validation"]["n"] == 5


def test_deleted_labels_are_measured_no_more(bench: Bench) -> None:
    project = bench.add(audit_share=1)
    bench.publish(project, 3)
    before = bench.store.measurements.newest(project.key, "topic")
    gone = [next(iter(project.annotations)), *list(project.annotations)[-6:]]
    bench.hear(bench.fake.delete_annotations(project.id, *gone))
    bench.turn(project)

    after = bench.store.measurements.newest(project.key, "topic")
    assert before is not None
    assert after is not None
    assert after.report["audit"]["n"] < before.report["audit"]["n"]


def test_figures_vanish_with_all_labels(bench: Bench) -> None:
    project = bench.add(audit_share=1)
    bench.publish(project, 3)
    assert bench.store.measurements.newest(project.key, "topic") is not None
    bench.hear(bench.fake.delete_annotations(project.id, *project.annotations))
    bench.turn(project)
    assert not bench.version(project).has_model
    assert bench.store.measurements.all(project.key) == []


def test_labels_in_any_order_give_the_same_model(bench: Bench, tmp_path: Path) -> None:
    """The order in which people labelled decides, not the order in which events came or rows lie."""
    project = bench.add()
    bench.publish(project, 2)
    again = Store(f"sqlite:///{tmp_path / 'again.sqlite'}")
    again.migrate()
    again.projects.register(project.key, TWO, {}, bench.clock.now())
    bench.restart(again)
    bench.loop.take_turn(project.key)

    row = again.projects.get(project.key)
    first, second = bench.version(project), again.versions.get(row.version_id or 0)
    assert list(asked(first).trained_on.items()) == list(asked(second).trained_on.items())
    models = [
        Models(store, bench.signer).get(project.key, version.id)
        for store, version in ((bench.store, first), (again, second))
    ]
    one, other = (classifier_of(model) for model in models if model is not None)
    assert np.array_equal(one.weights, other.weights)


@pytest.mark.parametrize("strategy", ["auto", *STRATEGIES])
def test_every_strategy_orders_the_queue_from_the_start(bench: Bench, strategy: str) -> None:
    project = bench.add(config("animal", "machine", "never met"), strategy=strategy)
    bench.publish(project, 2)

    assert bench.settle(project).error is None
    assert len(project.queue() or []) == len(TEXTS) - 10
    assert bench.version(project).has_model


def test_a_measurement_that_fails_does_not_hold_up_the_queue(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project = bench.add()
    bench.publish(project, 1)
    monkeypatch.setattr(bench.store.measurements, "record", None)
    bench.label(project, 6)

    state = bench.turn(project)

    assert (state.error, project.model_version) == (None, "al-3")
    assert "al-3 was not measured: TypeError" in caplog.text
