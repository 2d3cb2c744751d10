"""What annotations teach: one label a task."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_al.labeling import Annotation
from label_studio_al.questions import answers, parse_config
from tests.support.build import annotation, config_xml

CONFIG = parse_config(config_xml(("A", "B", "C")))


def trained_on(*annotations: Annotation) -> dict[int, str]:
    return answers(annotations, CONFIG)["topic"]


def test_nothing_annotated_teaches_nothing() -> None:
    assert trained_on() == {}


def test_one_annotation_gives_its_label() -> None:
    assert trained_on(annotation(1, 7, "B")) == {7: "B"}


def test_majority_wins_over_the_newest() -> None:
    assert trained_on(
        annotation(1, 7, "A", second=1), annotation(2, 7, "A", second=2), annotation(3, 7, "B", second=3)
    ) == {7: "A"}


def test_tie_goes_to_the_newest() -> None:
    older, newer = annotation(2, 7, "A", second=1), annotation(1, 7, "B", second=2)
    assert trained_on(older, newer) == trained_on(newer, older) == {7: "B"}


def test_tie_goes_to_the_newest_of_the_tied_labels_only() -> None:
    votes = [
        annotation(1, 7, "A", second=1),
        annotation(2, 7, "A", second=4),
        annotation(3, 7, "B", second=2),
        annotation(4, 7, "B", second=3),
        annotation(5, 7, "C", second=9),
    ]
    assert trained_on(*votes) == {7: "A"}


def test_tie_at_the_same_time_goes_to_the_higher_id() -> None:
    assert trained_on(annotation(9, 7, "A"), annotation(10, 7, "B")) == {7: "B"}


def test_skipped_annotation_teaches_nothing() -> None:
    assert trained_on(annotation(1, 7, "A", was_cancelled=True)) == {}
    assert trained_on(
        annotation(1, 7, "A", second=9, was_cancelled=True),
        annotation(2, 7, "A", second=8, was_cancelled=True),
        annotation(3, 7, "B"),
    ) == {7: "B"}


@pytest.mark.parametrize("label", [None, "no longer in the config"])
def test_empty_and_unknown_answers_do_not_vote(label: str | None) -> None:
    assert trained_on(annotation(1, 7, label), annotation(2, 7, label), annotation(3, 7, "A")) == {7: "A"}
    assert trained_on(annotation(1, 8, label)) == {}


def test_task_ids_come_in_ascending_order() -> None:
    assert list(trained_on(annotation(1, 30), annotation(2, 4), annotation(3, 100))) == [4, 30, 100]


@given(
    votes=st.lists(
        st.tuples(st.integers(1, 4), st.sampled_from(["A", "B", "C"]), st.integers(0, 5)), max_size=12
    ).flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(range(len(rows)))))
)
def test_order_of_arrival_does_not_matter(votes: tuple[list[tuple[int, str, int]], list[int]]) -> None:
    rows, order = votes
    made = [annotation(place, task_id, label, second=second) for place, (task_id, label, second) in enumerate(rows)]
    assert trained_on(*made) == trained_on(*(made[place] for place in order))
