"""The bundled examples."""

from __future__ import annotations

import pytest

from label_studio_al.examples import ENTITIES, EXAMPLES, example_config, example_tasks
from label_studio_al.questions import parse_config


@pytest.mark.parametrize("name", EXAMPLES)
def test_labels_are_those_of_the_config(name: str) -> None:
    tasks = example_tasks(name)
    given = (
        {label for task in tasks for label in [task["gold"]]}
        if name != ENTITIES
        else {label for task in tasks for _, _, label in task["spans"]}
    )
    assert given == set(parse_config(example_config(name)).question.labels)
    assert len({task["text"] for task in tasks}) == len(tasks)


def test_entities_lie_apart_on_whole_words() -> None:
    tasks = example_tasks(ENTITIES)
    for task in tasks:
        text, last = task["text"], 0
        for start, end, _ in task["spans"]:
            assert last <= start < end <= len(text), text
            assert text[start:end] == text[start:end].strip()
            assert not text[:start][-1:].isalnum(), text
            assert not text[end:][:1].isalnum(), text
            last = end
    assert 0.1 < sum(not task["spans"] for task in tasks) / len(tasks) < 0.3


def test_some_words_are_entities_in_some_places_only() -> None:
    tasks = example_tasks(ENTITIES)
    for word, labels in {"May": {"Person", "Date", None}, "Jordan": {"Person", "Place"}, "Cork": {"Place"}}.items():
        found = {
            next((label for first, last, label in task["spans"] if first <= place < last), None)
            for task in tasks
            for place in [task["text"].find(word)]
            if place >= 0
        }
        assert found == labels
