"""The map of the pool that turns draw."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import sqlalchemy as sa

from label_studio_al.learning.types import Array
from label_studio_al.questions import parse_config
from label_studio_al.store import schema
from label_studio_al.turns import pictures
from label_studio_al.turns.pictures import OPEN, OTHER, picture_of
from label_studio_al.turns.subject import Subject
from tests.support.bench import TEXTS, TWO, Bench, truth
from tests.support.fake_label_studio import FakeProject

pytestmark = pytest.mark.usefixtures("one_thread")

SEVERAL = """<View><Text name="text" value="$text"/><Choices name="traits" toName="text" choice="multiple">
<Choice value="loud"/><Choice value="old"/><Choice value="red"/></Choices></View>"""


def picture(bench: Bench, project: FakeProject) -> dict[str, Any]:
    found = bench.store.maps.picture(project.key)
    assert found is not None
    return found


def places(bench: Bench, project: FakeProject) -> dict[int, tuple[int, int]]:
    return {task_id: (x, y) for task_id, x, y, _, _ in picture(bench, project)["points"]}


def label_names(drawn: dict[str, Any]) -> dict[int, str | int]:
    """By task the label's name, or what it has in place of one."""
    names = {OPEN: OPEN, OTHER: OTHER} | dict(enumerate(drawn["labels"]))
    return {task_id: names[number] for task_id, _, _, number, _ in drawn["points"]}


def test_map_has_the_labels_and_what_is_asked_next(bench: Bench) -> None:
    project = bench.add()
    bench.publish(project, 1)
    (skipped,) = (project.queue() or [])[:1]
    bench.hear(bench.fake.annotate(project.id, skipped, None, skip=True))
    bench.turn(project)
    drawn = picture(bench, project)
    labels = bench.version(project).questions["topic"].trained_on
    assert len(drawn["points"]) == drawn["n_tasks"] == len(TEXTS)
    assert (drawn["question"], drawn["labels"], drawn["n_labelled"]) == ("topic", ["animal", "machine"], 5)
    expected: dict[int, str | int] = dict.fromkeys(project.tasks, OPEN) | {skipped: OTHER} | dict(labels)
    assert label_names(drawn) == expected
    # First to be asked is last, so that it lies above all others.
    left = bench.store.windows.next(project.key, bench.version(project).id)
    asked = [one[0] for one in drawn["points"] if one[4]]
    assert asked[::-1] == [one.task_id for one in left]
    assert len(asked) > 5


def test_tasks_keep_their_places_in_new_versions_and_a_new_worker(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    before = places(bench, project)
    bench.label(project, 5)
    bench.turn(project)
    assert places(bench, project) == before
    bench.restart()
    bench.label(project, 1)
    bench.hear(bench.fake.add_tasks(project.id, [{"text": "the cat sleeps again"}]))
    bench.turn(project)
    after = places(bench, project)
    assert len(after) == len(before) + 1
    assert before.items() <= after.items()


def test_deleted_task_leaves_the_map(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    gone = next(iter(project.tasks))
    bench.hear(bench.fake.delete_tasks(project.id, gone))
    bench.turn(project)
    assert places(bench, project).keys() == project.tasks.keys()


def test_map_of_a_pool_that_has_doubled_is_near_the_one_before(bench: Bench) -> None:
    project = bench.add()
    bench.turn(project)
    landmarks, before = bench.store.maps.landmarks(project.key), places(bench, project)
    bench.hear(bench.fake.add_tasks(project.id, [{"text": f"{text} and more"} for text in TEXTS]))
    bench.turn(project)
    after = places(bench, project)
    assert bench.store.maps.landmarks(project.key) != landmarks
    assert after.keys() == project.tasks.keys()
    moved = [np.hypot(*np.subtract(after[task_id], before[task_id])) for task_id in before]
    assert np.median(moved) < 250


def test_of_several_labels_the_rarest_counts(bench: Bench) -> None:
    project = bench.add(SEVERAL)
    bench.turn(project)
    several = [["loud", "old"], ["loud"], ["loud"], ["loud", "red"], []]
    tasks = list(project.tasks)[: len(several)]
    for task_id, labels in zip(tasks, several, strict=True):
        bench.hear(bench.fake.annotate(project.id, task_id, labels, from_name="traits"))
    bench.turn(project)
    names = label_names(picture(bench, project))
    assert [names[task_id] for task_id in tasks] == ["old", "loud", "loud", "red", OTHER]


def test_turn_succeeds_without_its_map(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    project = bench.add()
    with bench.store._engine.begin() as connection:
        connection.execute(sa.schema.DropTable(schema.maps))
    state = bench.turn(project)
    assert state.error is None
    assert state.is_switched
    assert "the map was not drawn" in caplog.text


# -- size -----------------------------------------------------------------------------------------------------


class Rows:
    """The rows of a large pool; each task's id is its row and a billion."""

    def __init__(self, n: int) -> None:
        self.live = np.arange(n)
        self.task_ids = self.live + 10**9

    def having_rows(self, task_ids: list[int]) -> list[int]:
        return list(task_ids)

    def rows(self, task_ids: list[int]) -> Array:
        return np.array(task_ids, dtype=np.int64) - 10**9

    def open_rows(self, closed: list[int]) -> Array:
        return np.setdiff1d(self.live, self.rows(closed))


@pytest.mark.parametrize("n", [1_000, pictures.MAX_POINTS, 100_000])
def test_map_has_a_bounded_size(n: int) -> None:
    pool, n_labelled = Rows(n), n // 4
    ids = pool.task_ids.tolist()
    answers = {task_id: truth(TEXTS[task_id % len(TEXTS)]) for task_id in ids[:n_labelled]}
    subject = SimpleNamespace(
        pool=pool, config=parse_config(TWO), answers={"topic": answers}, annotated=ids[:n_labelled]
    )
    spread = np.random.default_rng(0).uniform(size=(n, 2))
    drawn = picture_of(cast(Subject, subject), spread, ids[-5_000:])
    assert len(json.dumps(drawn, separators=(",", ":"))) < 100_000
    assert sum(one[4] for one in drawn["points"]) == pictures.MAX_NEXT
    if n <= pictures.MAX_POINTS:
        assert len(drawn["points"]) == n
        assert drawn["grid"] is None
    else:
        # The newest labels.
        shown = {one[0] for one in drawn["points"] if one[3] != OPEN}
        assert shown == set(ids[n_labelled - pictures.MAX_LABELLED : n_labelled])
        assert sum(count for _, count in drawn["grid"]["counts"]) == n - n_labelled
