"""Ratings in the live loop: whole numbers that have an order."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from label_studio_al.endpoint import Current, answer
from label_studio_al.learners.published import Models
from label_studio_al.questions import parse_config
from tests.support.bench import Bench
from tests.support.fake_label_studio import FakeProject
from tests.support.reviews import CONFIG, result, texts, truth
from tests.support.versions import asked

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def project(bench: Bench) -> FakeProject:
    found = bench.add(CONFIG, texts(), window=40, audit_share=0.5)
    bench.turn(found)
    return found


def rate(bench: Bench, project: FakeProject, n: int, rating: object = None) -> None:
    for task_id in (project.queue() or [])[:n]:
        stars = truth(project.tasks[task_id]["data"]["text"]) if rating is None else rating
        bench.hear(bench.fake.annotate(project.id, task_id, None, result=result(stars)))


def label(bench: Bench, project: FakeProject, n: int) -> None:
    for _ in range(n):
        rate(bench, project, 10)
        bench.turn(project)


def pushed(project: FakeProject) -> dict[int, dict[str, Any]]:
    return {one["task"]: one for one in project.predictions.values() if one["model_version"] == project.model_version}


def test_ratings_train_a_model_that_fills_in_stars_and_orders_the_queue(bench: Bench, project: FakeProject) -> None:
    label(bench, project, 6)
    version = bench.version(project)
    assert version.has_model
    assert set(asked(version).trained_on.values()) == {"1", "2", "3", "4", "5"}
    said = {task_id: one["result"][0]["value"]["rating"] for task_id, one in pushed(project).items()}
    off = [abs(stars - truth(project.tasks[task_id]["data"]["text"])) for task_id, stars in said.items()]
    assert np.mean(off) < 0.3
    window = bench.store.windows.informativeness(version.id)
    assert project.queue() == sorted(window, key=lambda task_id: (-window[task_id], task_id))


def test_predict_gives_stars(bench: Bench, project: FakeProject) -> None:
    label(bench, project, 6)
    version = bench.version(project)
    current = Current(
        parse_config(CONFIG), (version.id, version.name), Models(bench.store, bench.signer).get(project.key, version.id)
    )
    (found,) = answer(bench.store, bench.clock, current, [{"id": None, "data": {"text": "1 of five: awful poor"}}])
    assert found["result"][0]["value"] == {"rating": 1}
    assert 0 <= found["score"] <= 1


def test_figures_are_those_of_an_order(bench: Bench, project: FakeProject) -> None:
    label(bench, project, 8)
    report = bench.store.measurements.all(project.key)[-1].report
    assert report["cross_validation"]["mean_absolute_error"]["value"] < 1
    assert report["cross_validation"]["quadratic_kappa"]["high"] <= 1
    assert list(report["labels"]) == ["1", "2", "3", "4", "5"]
    # What /status shows is JSON.
    json.dumps(report, allow_nan=False)


@pytest.mark.parametrize(("rating", "reason"), [(0, "unknown_label"), (6, "unknown_label"), (2.5, "other_type")])
def test_rating_outside_of_the_scale_is_told_and_not_learned(
    bench: Bench, project: FakeProject, rating: object, reason: str
) -> None:
    rate(bench, project, 1, rating)
    state = bench.turn(project)
    assert (state.n_labelled, [one["reason"] for one in state.unread]) == (0, [reason])


def test_shorter_scale_leaves_out_the_ratings_that_are_gone(bench: Bench, project: FakeProject) -> None:
    label(bench, project, 4)
    n_kept = sum(int(stars) <= 3 for stars in asked(bench.version(project)).trained_on.values())
    bench.hear(bench.fake.change_config(project.id, CONFIG.replace('toName="text"/', 'toName="text" maxRating="3"/')))
    state = bench.settle(project)
    assert state.error is None
    trained_on = asked(bench.version(project)).trained_on
    assert set(trained_on.values()) == {"1", "2", "3"}
    assert len(trained_on) == n_kept
    assert {item["value"]["rating"] for one in pushed(project).values() for item in one["result"]} <= {1, 2, 3}
