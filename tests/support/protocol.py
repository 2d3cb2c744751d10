"""What tests of the ML backend protocol share."""

from __future__ import annotations

from typing import Any

import numpy as np
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.features import Features
from label_studio_al.learning.learner import Tuning
from label_studio_al.questions import parse_config
from label_studio_al.store import Project, Signer, Store, features_kind, model_kind
from tests.support.versions import new_version, stored

# The recorded requests come from this project.
KEY = "2.1795394190"


SECRET = "a secret that only tests know"


def config(*labels: str) -> str:
    choices = "".join(f'<Choice value="{label}"/>' for label in labels)
    return f'<View><Text name="text" value="$text"/><Choices name="topic" toName="text">{choices}</Choices></View>'


TWO = config("A", "B")


TEXTS = {"A": ["the cat sleeps", "a cat purrs", "the cat"], "B": ["an engine roars", "the engine stops", "engine oil"]}


def project(store: Store) -> Project:
    return store.projects.get(KEY)


def publish(
    store: Store,
    signer: Signer,
    *,
    labels: tuple[str, ...] = ("A", "B"),
    trained_on: dict[str, list[str]] | None = None,
    window: list[tuple[int, float]] | None = None,
    ranked_by: str = "margin",
    number: int = 1,
    key: str = KEY,
) -> int:
    """A version with a model (or without one, where `trained_on` is None)."""
    artifact = features_id = None
    if trained_on is not None:
        pairs = [(text, label) for label, texts in trained_on.items() for text in texts]
        features, rows = Features.fit_transform([text for text, _ in pairs], None)
        classifier = fit_classifier(rows, np.array([label for _, label in pairs]))
        artifact = signer.dump(stored(classifier, ranked_by, Tuning("tfidf")), model_kind(key, number, 1_800_000_000.0))
        features_id = store.features.save(key, "text", signer.dump(features, features_kind(key, 0.0)), 0.0)
    new = new_version(
        number=number,
        created_at=1_800_000_000.0,
        revision=0,
        ranked_by=ranked_by if trained_on is not None else "coverage",
        labels=labels,
        trained_on=dict(enumerate(trained_on or {})),
        features_id=features_id,
        artifact=artifact,
        window=window or [],
    )
    return store.versions.publish(key, new, is_switched=True).id


def task(task_id: object, text: object = "the cat") -> dict[str, Any]:
    return {"id": task_id, "data": {"text": text}}


def ask(client: FlaskClient, tasks: list[Any], **more: Any) -> list[dict[str, Any]]:
    answer = client.post("/predict", json={"tasks": tasks, "project": KEY, **more})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.get_json()["results"]
    assert len(results) == len(tasks)
    for one in results:
        assert 0 <= one["score"] <= 1
    return results


def labels_of(results: list[dict[str, Any]]) -> list[str | None]:
    return [one["result"][0]["value"]["choices"][0] if one["result"] else None for one in results]


def assert_sentence(answer: TestResponse, status: int) -> str:
    """An error in JSON with one sentence for the caller and no inside of ours."""
    assert answer.status_code == status, answer.text
    sentence: str = answer.get_json()["error"]
    assert sentence
    assert "Traceback" not in answer.text
    return sentence


def hear(client: FlaskClient, body: Any, status: int = 201) -> TestResponse:
    answer = client.post("/webhook", json=body)
    assert answer.status_code == status, answer.text
    return answer


def labels(store: Store) -> dict[int, str | None]:
    """What the store knows of each annotation."""
    question = parse_config(TWO).question
    return {one.id: question.read(one.result).answer for one in store.annotations.all(KEY)}
