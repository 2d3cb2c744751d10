"""A map of the pool: tasks that are alike lie side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from label_studio_al.learning import draws
from label_studio_al.learning.rows import Matrix
from label_studio_al.learning.strategies.clusters import nearest
from label_studio_al.learning.types import Array

# Twice as many take four times as long, and bring tasks with the same label together only a little better.
N_LANDMARKS = 500
# Distances in fewer directions, or in all of them, show groups less clearly.
N_DIRECTIONS = 32
# How many neighbours a landmark should lie close to.
PERPLEXITY = 30.0
# First neighbours pull more strongly, so that groups find their places, and then as they should.
N_EARLY = 100
EXAGGERATION = 12.0
N_ITERATIONS = 200
# From an earlier map, and its standard deviation then: as large as it became, by the root of the number of landmarks.
N_AGAIN = 100
DEVIATION = 0.5
# Of a map's width: around landmarks that lie on one another.
MIN_RADIUS = 0.01
_BISECTIONS = 40


@dataclass(frozen=True)
class Landmarks:
    """Tasks whose places are fixed; every other task lies beside the one that is most like it.

    tasks: shape (n_landmarks,), their ids. places: shape (n_landmarks, 2), in [0, 1].
    """

    tasks: Array
    places: Array

    def among(self, is_there: Array) -> Landmarks:
        """Those that are left. is_there: shape (n_landmarks,)."""
        return Landmarks(self.tasks[is_there], self.places[is_there])


@dataclass(frozen=True)
class Surroundings:
    """Landmarks with what tells which one is most like a task.

    directions: shape (n_dims, n_directions), those in which the landmarks differ most. rows: shape (n_landmarks,
    n_directions). radii: shape (n_landmarks,), how far from a landmark the tasks beside it may lie.
    """

    landmarks: Landmarks
    directions: Array
    rows: Array
    radii: Array

    @classmethod
    def of(cls, landmarks: Landmarks, Z: Array) -> Surroundings:
        """Z: shape (n_landmarks, n_dims), the landmarks' rows, dense. There must be one landmark at least."""
        directions = _directions(Z)
        distances = _squared_distances(landmarks.places)
        np.fill_diagonal(distances, np.inf)
        radii = np.sqrt(distances.min(axis=1, initial=1.0))
        return cls(landmarks, directions, Z @ directions, np.maximum(radii, MIN_RADIUS))

    def places(self, Z: Matrix, tasks: Array) -> Array:
        """Where tasks lie: the same task at the same place, whatever other tasks there are.

        Z: shape (n_tasks, n_dims). tasks: shape (n_tasks,), their ids. Returns shape (n_tasks, 2), in [0, 1].
        """
        which = nearest(np.asarray(Z @ self.directions), self.rows)[0]
        order = np.argsort(self.landmarks.tasks)
        own = order[np.minimum(np.searchsorted(self.landmarks.tasks, tasks, sorter=order), len(order) - 1)]
        is_landmark = self.landmarks.tasks[own] == tasks
        which[is_landmark] = own[is_landmark]
        # Evenly over the disc; landmarks stay where they are unless they lie on one another.
        is_fixed = is_landmark & (self.radii[which] > MIN_RADIUS)
        angles = 2 * np.pi * draws.uniforms(tasks, 0, "map", "angle")
        lengths = self.radii[which] * np.sqrt(draws.uniforms(tasks, 0, "map", "length")) * ~is_fixed
        offsets = lengths[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
        return np.asarray(np.clip(self.landmarks.places[which] + offsets, 0, 1), dtype=np.float32)


def choose_landmarks(tasks: Array) -> Array:
    """Which tasks become landmarks: all, or so many drawn at random. tasks: their ids. Returns indices."""
    return draws.first(tasks, N_LANDMARKS, 0, "map")


def lay_out(Z: Array, before: Array | None = None) -> Array:
    """Places for tasks, such that those that are alike are close: t-SNE, exact, in their main directions.

    Z: shape (n_tasks, n_dims), dense. before: shape (n_tasks, 2), where they lay on an earlier map, near which they
    stay. Returns shape (n_tasks, 2), in [0, 1]. Source: van der Maaten and Hinton 2008; to begin with the main
    directions, Kobak and Berens 2019.
    """
    n = len(Z)
    if n < 2:
        return np.full((n, 2), 0.5)
    rows = Z @ _directions(Z)
    wanted = _neighbourhoods(_squared_distances(rows), min(PERPLEXITY, max(1.0, (n - 1) / 3)))
    if before is None:
        places = _descended(_spread(rows, 1e-4), EXAGGERATION * wanted, 0.5, N_EARLY)
        places = _descended(places, wanted, 0.8, N_ITERATIONS)
    else:
        places = _descended(_spread(before, DEVIATION * np.sqrt(n)), wanted, 0.8, N_AGAIN)
    lowest, highest = places.min(axis=0), places.max(axis=0)
    return np.asarray((places - lowest) / np.where(highest > lowest, highest - lowest, 1))


def _descended(places: Array, wanted: Array, momentum: float, n_iterations: int) -> Array:
    """Places after so many steps that bring each pair as close as `wanted` says."""
    velocity, gains = np.zeros_like(places), np.ones_like(places)
    rate = max(len(places) / EXAGGERATION / 4, PERPLEXITY)
    for _ in range(n_iterations):
        closeness = 1 / (1 + _squared_distances(places))
        np.fill_diagonal(closeness, 0)
        pull = (wanted - closeness / closeness.sum()) * closeness
        gradient = 4 * (pull.sum(axis=1)[:, None] * places - pull @ places)
        is_turning = np.sign(gradient) == np.sign(velocity)
        gains = np.maximum(np.where(is_turning, gains * 0.8, gains + 0.2), 0.01)
        velocity = momentum * velocity - rate * gains * gradient
        places = places + velocity
    return places


def _directions(Z: Array) -> Array:
    """The directions in which rows differ most. Returns shape (n_dims, at most N_DIRECTIONS)."""
    centred = Z - Z.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return np.asarray(axes[:, ::-1][:, :N_DIRECTIONS])


def _spread(rows: Array, deviation: float) -> Array:
    """The first two columns as places of this deviation, no two of which are the same."""
    noise = np.random.default_rng(0).normal(size=(len(rows), 2))
    places = np.zeros((len(rows), 2))
    places[:, : rows.shape[1]] = (rows - rows.mean(axis=0))[:, :2]
    size = places.std(axis=0).max()
    return np.asarray(deviation * (places / (size if size > 0 else 1) + 1e-2 * noise), dtype=np.float32)


def _squared_distances(rows: Array) -> Array:
    lengths = np.einsum("ij,ij->i", rows, rows)
    return np.asarray(np.maximum(lengths[:, None] + lengths - 2 * rows @ rows.T, 0))


def _neighbourhoods(squared_distances: Array, perplexity: float) -> Array:
    """How close each pair should be: symmetric, sums to 1. Each task has about `perplexity` neighbours."""
    n = len(squared_distances)
    distances = squared_distances - np.where(np.eye(n) > 0, np.inf, squared_distances).min(axis=1, keepdims=True)
    np.fill_diagonal(distances, 0)
    lowest: Array = np.zeros(n)
    highest, scales = lowest + np.inf, lowest + 1
    for _ in range(_BISECTIONS):
        weights = np.exp(-distances * scales[:, None])
        np.fill_diagonal(weights, 0)
        sums = weights.sum(axis=1)
        entropies = np.log(sums) + scales * (distances * weights).sum(axis=1) / sums
        is_wide = entropies > np.log(perplexity)
        lowest, highest = np.where(is_wide, scales, lowest), np.where(is_wide, highest, scales)
        scales = np.where(np.isinf(highest), 2 * scales, (lowest + np.minimum(highest, 1e30)) / 2)
    shares = weights / sums[:, None]
    return np.asarray((shares + shares.T) / (2 * n), dtype=np.float32)
