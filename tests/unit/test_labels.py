"""What people have answered, kept from turn to turn."""

from __future__ import annotations

from random import Random

import pytest

from label_studio_al.labeling import Annotation
from label_studio_al.questions import LabelConfig, Readings, answers, parse_config
from label_studio_al.runtime.errors import UnknownProject
from label_studio_al.store import Store
from label_studio_al.turns.labels import TASKS_ONE_BY_ONE, Labels
from tests.support.build import config_xml

KEY = "2.1795394190"
CONFIG = parse_config(config_xml())


def result(label: str, control: str = CONFIG.question.name) -> list[dict[str, object]]:
    return [{"from_name": control, "to_name": "text", "type": "choices", "value": {"choices": [label]}}]


def annotation(id: int, task_id: int, label: str | None = "A", **values: object) -> Annotation:
    answer = [] if label is None else result(label)
    named = {"result": answer, "was_cancelled": False, "updated_at": f"2026-01-01T00:00:{id % 60:02d}.000000Z"} | values
    return Annotation(id=id, task_id=task_id, **named)  # type: ignore[arg-type]


def hear(store: Store, *annotations: Annotation, gone: tuple[int, ...] = ()) -> None:
    store.updates.compare_annotations(KEY, annotations, gone, store.projects.get(KEY).revision)


def is_true(labels: Labels, store: Store, config: LabelConfig = CONFIG) -> bool:
    """Whether it says what reading everything says."""
    labels.refresh(config)
    known = store.annotations.all(KEY)
    first = {one.task_id: one.id for one in sorted(known, key=lambda one: -one.id)}
    in_order = labels.in_order_of_arrival(among=list)
    reasons = {reason: sorted(task_ids) for reason, task_ids in Readings(known, config).unread().items()}
    return (
        in_order == answers(known, config)
        and all(list(own) == sorted(own, key=first.__getitem__) for own in in_order.values())
        and labels.task_ids == sorted(first)
        and labels.n_annotations == len(known)
        and labels.ignored() == reasons
    )


@pytest.fixture
def labels(store: Store) -> Labels:
    store.projects.register(KEY, config_xml(), None, 0.0)
    return Labels(KEY, store)


def test_answers_come_change_and_go(labels: Labels, store: Store) -> None:
    assert is_true(labels, store)
    hear(store, annotation(1, 10), annotation(2, 11, "B"), annotation(3, 10, "B"), annotation(4, 10, "B"))
    assert is_true(labels, store)
    assert labels.in_order_of_arrival(among=list)["topic"] == {10: "B", 11: "B"}
    hear(store, annotation(3, 10, "A", updated_at="2026-01-02T00:00:00.000000Z"), annotation(5, 12, was_cancelled=True))
    assert is_true(labels, store)
    assert labels.in_order_of_arrival(among=list)["topic"] == {10: "A", 11: "B"}
    hear(store, gone=(1, 3, 4))
    assert is_true(labels, store)
    assert labels.in_order_of_arrival(among=list)["topic"] == {11: "B"}
    hear(store, annotation(6, 13, result=result("A", "other")), annotation(7, 13, "C"), annotation(8, 14, None))
    assert is_true(labels, store)
    assert {reason: list(found) for reason, found in labels.ignored().items()} == {
        "other_control": [13],
        "unknown_label": [13],
    }


def test_automatic_label_counts_once_a_person_has_changed_it(labels: Labels, store: Store) -> None:
    hear(store, annotation(1, 10, is_automatic=True))
    assert is_true(labels, store)
    assert labels.n_annotations == 0
    hear(store, annotation(1, 10, "B", updated_at="2026-01-02T00:00:00.000000Z"))
    assert is_true(labels, store)
    assert labels.n_annotations == 1


def test_number_that_is_given_anew_on_another_task_leaves_the_first_one(labels: Labels, store: Store) -> None:
    hear(store, annotation(1, 10))
    assert is_true(labels, store)
    hear(store, annotation(1, 11, "B", updated_at="2026-01-02T00:00:00.000000Z"))
    assert is_true(labels, store)
    assert labels.in_order_of_arrival(among=list)["topic"] == {11: "B"}


def test_deletions_that_nothing_tells_of_any_more_are_found(labels: Labels, store: Store) -> None:
    hear(store, annotation(1, 10), annotation(2, 11))
    assert is_true(labels, store)
    hear(store, gone=(1,))
    store.updates.finish_comparison(KEY, store.projects.get(KEY).revision, 0.0)
    assert is_true(labels, store)
    assert labels.task_ids == [11]


def test_other_labels_of_the_config_are_read_anew(labels: Labels, store: Store) -> None:
    hear(store, annotation(1, 10, "A"), annotation(2, 11, "C"))
    assert is_true(labels, store)
    wider = parse_config(config_xml(("A", "B", "C")))
    assert is_true(labels, store, wider)
    assert labels.in_order_of_arrival(among=list)["topic"] == {10: "A", 11: "C"}


def test_store_that_was_put_back_to_a_backup_is_read_anew(labels: Labels, store: Store) -> None:
    hear(store, annotation(1, 10), annotation(2, 11))
    hear(store, annotation(3, 12))
    assert is_true(labels, store)
    store.projects.forget(KEY)
    store.projects.register(KEY, config_xml(), None, 0.0)
    hear(store, annotation(9, 10, "B"))
    assert is_true(labels, store)
    assert labels.n_annotations == 1


def test_project_that_was_forgotten_is_said(labels: Labels, store: Store) -> None:
    store.projects.forget(KEY)
    with pytest.raises(UnknownProject):
        labels.refresh(CONFIG)


@pytest.mark.parametrize("n", [30, 3 * TASKS_ONE_BY_ONE])
def test_whatever_happens_it_says_what_reading_everything_says(labels: Labels, store: Store, n: int) -> None:
    rng = Random(n)
    for turn in range(12):
        some = [
            annotation(
                rng.randrange(n),
                rng.randrange(n // 3),
                rng.choice(["A", "B", "C", None]),
                was_cancelled=rng.random() < 0.1,
                is_automatic=rng.random() < 0.1,
                updated_at=f"2026-01-{turn + 1:02d}T00:00:{rng.randrange(60):02d}.000000Z",
            )
            for _ in range(rng.randrange(n))
        ]
        hear(store, *{one.id: one for one in some}.values(), gone=tuple(rng.sample(range(n), n // 5)))
        if turn % 5 == 4:
            store.updates.finish_comparison(KEY, store.projects.get(KEY).revision, 0.0)
        if rng.random() < 0.7:
            assert is_true(labels, store)
    assert is_true(labels, store)
