"""Spans of a text in the live loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from label_studio_al.endpoint import Current, answer
from label_studio_al.learners.published import Models
from label_studio_al.questions import parse_config
from tests.support.bench import Bench
from tests.support.entities import CONFIG, items, sentences
from tests.support.fake_label_studio import FakeProject

pytestmark = pytest.mark.usefixtures("one_thread")

TRUTH = dict(sentences())


def add(bench: Bench, **settings: Any) -> FakeProject:
    project = bench.add(CONFIG, [], window=40, audit_share=0.5, **settings)
    bench.fake.add_tasks(project.id, [{"text": text} for text in dict(sentences())])
    bench.turn(project)
    return project


def label(bench: Bench, project: FakeProject, n: int) -> None:
    """People mark the spans of so many windows' beginnings."""
    for _ in range(n):
        for task_id in (project.queue() or [])[:12]:
            text = project.tasks[task_id]["data"]["text"]
            bench.hear(bench.fake.annotate(project.id, task_id, None, result=items(text, TRUTH[text])))
        assert bench.turn(project).error is None


def marked(result: list[dict[str, Any]]) -> set[tuple[int, int, str]]:
    return {(item["value"]["start"], item["value"]["end"], item["value"]["labels"][0]) for item in result}


def test_spans_are_learned_and_marked(bench: Bench) -> None:
    project = add(bench)
    label(bench, project, 3)
    version = bench.version(project)
    pushed = [one for one in project.predictions.values() if one["model_version"] == project.model_version]
    truth = [set(TRUTH[project.tasks[one["task"]]["data"]["text"]]) for one in pushed]
    assert np.mean([marked(one["result"]) == spans for one, spans in zip(pushed, truth, strict=True)]) > 0.8
    scores = [item["score"] for one in pushed for item in one["result"]]
    assert all(0 < score <= 1 for score in scores)
    assert len(set(scores)) > len(pushed)
    window = bench.store.windows.informativeness(version.id)
    assert project.queue() == sorted(window, key=lambda task_id: (-window[task_id], task_id))
    model = Models(bench.store, bench.signer).get(project.key, version.id)
    current = Current(parse_config(project.label_config), (version.id, version.name), model)
    unseen = [text for text, _ in sentences(60, seed=9)]
    said = answer(bench.store, bench.clock, current, [{"id": None, "data": {"text": text}} for text in unseen])
    expected = [set(spans) for _, spans in sentences(60, seed=9)]
    assert np.mean([marked(one["result"]) == spans for one, spans in zip(said, expected, strict=True)]) > 0.8


def test_spans_are_measured_as_spans(bench: Bench) -> None:
    project = add(bench)
    label(bench, project, 6)
    (*_, newest) = bench.store.measurements.all(project.key)
    audit, crossed = newest.report["audit"], newest.report["cross_validation"]
    assert audit["n"] > 0
    assert crossed["micro_f1"]["value"] > 0.7
    assert {one["label"] for one in crossed["labels"]} == {"Person", "Place", "ORD"}
