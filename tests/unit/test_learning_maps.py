"""The map of a pool: what is alike lies close together, and stays where it was."""

from __future__ import annotations

import numpy as np
import pytest

from label_studio_al.learning import maps
from label_studio_al.learning.maps import Landmarks, Surroundings, choose_landmarks, lay_out
from label_studio_al.learning.types import Array

pytestmark = pytest.mark.usefixtures("one_thread")


def groups(n_each: int, n_groups: int = 4) -> tuple[Array, Array]:
    """Rows in groups far from each other, and the group of each."""
    draw = np.random.default_rng(0)
    of = np.tile(np.arange(n_groups), n_each)
    centres = draw.normal(size=(n_groups, 40))
    rows = centres[of] + draw.normal(size=(len(of), 40)) / 3
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), of


def placed(Z: Array, tasks: Array, known: int | None = None) -> Array:
    """Places of all tasks on a map that was laid out when the first `known` of them were there."""
    return surroundings(Z[:known], tasks[:known]).places(Z, tasks)


def surroundings(Z: Array, tasks: Array) -> Surroundings:
    chosen = choose_landmarks(tasks)
    return Surroundings.of(Landmarks(tasks[chosen], lay_out(Z[chosen])), Z[chosen])


def share_of_like_neighbours(places: Array, of: Array, k: int = 5) -> float:
    distances = ((places[:, None] - places) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    return float((of[np.argsort(distances, axis=1)[:, :k]] == of[:, None]).mean())


@pytest.mark.parametrize("n_each", [20, 300])
def test_tasks_that_are_alike_lie_close_together(n_each: int) -> None:
    Z, of = groups(n_each)
    places = placed(Z, np.arange(len(Z)) + 7)
    assert places.shape == (len(Z), 2)
    assert ((places >= 0) & (places <= 1)).all()
    assert share_of_like_neighbours(places, of) > 0.95


def test_map_does_not_depend_on_the_order_of_the_tasks() -> None:
    Z, _ = groups(30)
    tasks, order = np.arange(len(Z)), np.random.default_rng(1).permutation(len(Z))
    np.testing.assert_array_equal(placed(Z[order], tasks[order]), placed(Z, tasks)[order])


def test_tasks_that_come_later_move_no_other_and_join_their_like() -> None:
    Z, of = groups(300)
    tasks, known = np.arange(len(Z)), 700
    places = placed(Z, tasks, known)
    np.testing.assert_array_equal(places[:known], placed(Z[:known], tasks[:known]))
    assert share_of_like_neighbours(places, of) > 0.95


def test_map_that_is_laid_out_again_is_near_the_one_before() -> None:
    Z, of = groups(100)
    before = placed(Z, np.arange(len(Z)), known=150)
    again = lay_out(Z, before)
    moved = np.linalg.norm(again - before, axis=1).mean()
    assert moved < 0.2 < np.linalg.norm(again[::-1] - before, axis=1).mean()
    assert share_of_like_neighbours(again, of) > 0.95


def test_copies_lie_beside_one_another_not_on_one_another() -> None:
    Z, _ = groups(10)
    copies = np.repeat(Z[:10], 4, axis=0)
    places = placed(copies, np.arange(len(copies)))
    assert len(np.unique(np.round(places, 3), axis=0)) == len(copies)
    assert share_of_like_neighbours(places, np.arange(10).repeat(4), k=3) > 0.9


@pytest.mark.parametrize("n", [1, 2, 3, 40])
@pytest.mark.parametrize("row", [np.ones(5), np.zeros(5), np.zeros(0)], ids=["same", "empty", "no columns"])
def test_tasks_without_a_difference_have_places(n: int, row: Array) -> None:
    places = placed(np.tile(row.astype(np.float32), (n, 1)), np.arange(n))
    assert places.shape == (n, 2)
    assert ((places >= 0) & (places <= 1)).all()


def test_landmarks_are_few_and_stay_where_they_are() -> None:
    Z, _ = groups(300)
    found = surroundings(Z, np.arange(len(Z)))
    tasks = found.landmarks.tasks
    assert len(tasks) == maps.N_LANDMARKS
    lie_apart = found.radii > maps.MIN_RADIUS
    np.testing.assert_allclose(
        found.places(Z, np.arange(len(Z)))[tasks][lie_apart], found.landmarks.places[lie_apart], atol=1e-6
    )
