"""When a turn trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from label_studio_al.runtime.settings import Settings
from label_studio_al.store import Signer, Store
from label_studio_al.wording import activity_sentence
from tests.support.bench import TEXTS, Bench
from tests.support.clock import FakeClock
from tests.support.fake_label_studio import FakeLabelStudio
from tests.support.turns import shown, state_of
from tests.support.versions import asked

pytestmark = pytest.mark.usefixtures("one_thread")


def test_too_few_labels_train_nothing(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 4)

    state = bench.turn(project)

    assert bench.version(project).number == 1
    assert activity_sentence(state.activity) == "waiting for 1 more label to train the first model"


def test_labels_of_one_kind_train_nothing(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 8, lambda _: "animal")

    state = bench.turn(project)

    assert bench.version(project).number == 1
    assert activity_sentence(state.activity) == "waiting for a second label: all 8 labelled tasks are 'animal'"


def test_growth_decides_when_the_next_training_is_due(bench: Bench) -> None:
    project = bench.add(retrain_growth=0.5)
    bench.turn(project)
    bench.label(project, 6)
    bench.turn(project)
    assert bench.version(project).number == 2

    bench.label(project, 2)
    assert activity_sentence(bench.turn(project).activity) == "waiting for 1 more label"
    assert bench.version(project).number == 2

    bench.label(project, 1)
    bench.turn(project)
    assert bench.version(project).number == 3
    assert len(bench.version(project).trained_on) == 9


def test_fifty_labels_heard_at_once_make_one_version(bench: Bench) -> None:
    project = bench.add(texts=[f"{text} again {n}" for n in range(2) for text in TEXTS])
    bench.settle(project)
    bench.label(project, 50)

    bench.turn(project)
    bench.turn(project)

    assert bench.version(project).number == 2
    assert len(bench.version(project).trained_on) == 50


def test_turn_without_news_asks_nothing_and_pushes_nothing(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 5)
    bench.settle(project)
    before = state_of(bench, project)
    bench.fake.calls.clear()

    bench.turn(project)

    assert bench.fake.calls == []
    assert state_of(bench, project) == before


def test_corrected_label_counts_as_a_change(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    task_id = bench.label(project, 5)[0]
    bench.turn(project)
    annotation_id = next(one["id"] for one in project.annotations.values() if one["task"] == task_id)
    other = "machine" if asked(bench.version(project)).trained_on[task_id] == "animal" else "animal"

    bench.hear(bench.fake.correct(project.id, annotation_id, other))
    bench.turn(project)

    assert bench.version(project).number == 3
    assert asked(bench.version(project)).trained_on[task_id] == other


def test_deleted_annotation_counts_as_a_change_and_its_task_comes_back(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    task_id = bench.label(project, 8)[0]
    bench.turn(project)
    annotation_id = next(one["id"] for one in project.annotations.values() if one["task"] == task_id)

    bench.hear(bench.fake.delete_annotations(project.id, annotation_id))
    bench.turn(project)

    version = bench.version(project)
    assert version.number == 3
    assert task_id not in version.trained_on
    assert task_id in (project.queue() or [])


def test_too_few_labels_after_deletions_withdraw_the_model(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 6)
    bench.turn(project)
    assert bench.version(project).has_model

    bench.hear(bench.fake.delete_annotations(project.id, *list(project.annotations)[:4]))
    bench.turn(project)

    version = bench.version(project)
    assert (version.has_model, version.ranked_by) == (False, "coverage")
    assert project.model_version == version.name
    assert all(item["result"] == [] for item in shown(project))


def test_skipped_task_leaves_the_pool_and_teaches_nothing(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    skipped = (project.queue() or [])[0]
    bench.hear(bench.fake.annotate(project.id, skipped, None, skip=True))
    labelled = bench.label(project, 5)

    bench.turn(project)

    version = bench.version(project)
    assert set(version.trained_on) == set(labelled)
    assert skipped not in bench.store.windows.informativeness(version.id)


def test_start_training_trains_once_without_new_labels(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 5)
    bench.turn(project)

    bench.store.projects.want_training(project.key, bench.clock.now())
    bench.turn(project)
    assert bench.version(project).number == 3

    bench.turn(project)
    assert bench.version(project).number == 3
    assert bench.store.projects.get(project.key).wanted_revision <= bench.version(project).revision


def test_start_training_with_too_few_labels_waits_and_says_so(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 2)

    bench.store.projects.want_training(project.key, bench.clock.now())
    state = bench.turn(project)

    assert (bench.version(project).has_model, state.error) == (False, None)
    assert activity_sentence(state.activity) == "waiting for 3 more labels to train the first model"


def test_start_training_during_a_training_is_not_forgotten(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 5)
    bench.fake.when(
        "POST", "/api/predictions", lambda: bench.store.projects.want_training(project.key, bench.clock.now())
    )

    bench.turn(project)
    assert bench.version(project).number == 2

    bench.turn(project)
    assert bench.version(project).number == 3


def test_label_heard_during_a_turn_is_learnt_by_the_next(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    bench.label(project, 5)
    late: list[int] = []
    bench.fake.when("POST", "/api/predictions", lambda: late.extend(bench.label(project, 1)))

    state = bench.turn(project)
    assert state.revision > state.seen_revision
    assert not set(late) & set(bench.version(project).trained_on)

    bench.turn(project)
    assert set(late) <= set(bench.version(project).trained_on)


def test_same_labels_and_seed_give_the_same_queue(tmp_path: Path, signer: Signer, settings: Settings) -> None:
    queues = []
    for name in ("one", "two"):
        store = Store(f"sqlite:///{tmp_path / name}.sqlite")
        store.migrate()
        bench = Bench(FakeLabelStudio(), store, signer, FakeClock(), settings)
        project = bench.add(strategy="margin", seed=3)
        bench.turn(project)
        bench.label(project, 9)
        bench.turn(project)
        queues.append(project.queue())
        store.close()
    assert queues[0] == queues[1]
