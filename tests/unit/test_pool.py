"""The pool: every task as a feature row, made once."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from backend.labeling import LabelConfig, Task, parse_config
from backend.learning.coverage import cover
from backend.learning.rows import Rows
from backend.pool import Pool
from backend.store import NewVersion, Signer, Store
from tests.support.build import KEY, OTHER_KEY, config_xml, event, task

CONFIG = parse_config(config_xml())
WORDS = ("red", "green", "blue", "apple", "plum", "pie", "cake", "tea")


def text(task_id: int) -> str:
    return f"{WORDS[task_id % 8]} {WORDS[task_id // 8 % 8]} {WORDS[task_id * 3 % 8]}"


def dense(X: Rows) -> np.ndarray:
    """All columns of all views."""
    sparse, compact = X.views
    return np.hstack([sparse.toarray(), compact])


class Setting:
    """A registered project with a pool in front of its store."""

    def __init__(self, store: Store, signer: Signer) -> None:
        self.store = store
        self.signer = signer
        store.register(KEY, config_xml(), None, 0.0)
        self.pool = self.new_pool()

    def new_pool(self, field: str = "text") -> Pool:
        """As after a restart of the worker."""
        return Pool(KEY, field, None)

    def hear(self, *tasks: Task, deleted: tuple[int, ...] = ()) -> None:
        self.store.hear(event(tasks=tasks, deleted_tasks=deleted), 0.0)

    def refresh(self, pool: Pool | None = None, config: LabelConfig = CONFIG) -> int:
        return (pool or self.pool).refresh(self.store, self.signer, config, 0.0)

    def holds(self, *expected: Task, pool: Pool | None = None) -> None:
        """Whether the pool's rows are exactly the texts' features."""
        pool = pool or self.pool
        assert set(pool.row_of) == {one.id for one in expected}
        assert pool.features is not None
        for one in expected:
            row = pool.row_of[one.id]
            assert pool.task_ids[row] == one.id
            wanted = pool.features.transform([one.data["text"]])
            np.testing.assert_allclose(dense(pool.X[[row]]), dense(wanted), atol=1e-6)


@pytest.fixture
def setting(store: Store, signer: Signer) -> Setting:
    return Setting(store, signer)


def tasks(*ids: int) -> list[Task]:
    return [task(task_id, text(task_id)) for task_id in ids]


def test_first_refresh_turns_every_task_into_a_row(setting: Setting) -> None:
    setting.hear(*tasks(5, 3, 9))
    assert setting.refresh() == 3
    setting.holds(*tasks(3, 5, 9))
    assert setting.pool.features is not None
    assert setting.pool.features.n_fitted == 3


def test_project_without_tasks_has_an_empty_pool(setting: Setting) -> None:
    assert setting.refresh() == 0
    setting.holds()
    assert setting.pool.X.shape[0] == 0


def test_first_tasks_after_an_empty_start_get_terms_of_their_own(setting: Setting) -> None:
    setting.refresh()
    setting.hear(*tasks(1, 2))
    assert setting.refresh() == 2
    setting.holds(*tasks(1, 2))
    assert dense(setting.pool.X).any()


def test_nothing_new_changes_nothing(setting: Setting) -> None:
    setting.hear(*tasks(1, 2, 3))
    setting.refresh()
    X, features = setting.pool.X, setting.pool.features_id
    assert setting.refresh() == 0
    assert setting.pool.X is X
    assert setting.pool.features_id == features


def test_new_tasks_are_appended_without_a_refit(setting: Setting) -> None:
    setting.hear(*tasks(*range(10)))
    setting.refresh()
    features, before = setting.pool.features, setting.pool.X
    setting.hear(*tasks(*range(10, 19)))
    assert setting.refresh() == 9
    assert setting.pool.features is features
    assert np.array_equal(dense(setting.pool.X[:10]), dense(before))
    setting.holds(*tasks(*range(19)))


def test_doubled_pool_is_fitted_again(setting: Setting) -> None:
    setting.hear(*tasks(*range(10)))
    setting.refresh()
    features_id = setting.pool.features_id
    setting.hear(*tasks(*range(10, 20)))
    setting.refresh()
    assert setting.pool.features is not None
    assert setting.pool.features.n_fitted == 20
    assert setting.pool.features_id != features_id
    setting.holds(*tasks(*range(20)))


def test_changed_text_replaces_the_row(setting: Setting) -> None:
    setting.hear(*tasks(*range(10)))
    setting.refresh()
    changed = task(4, "tea cake pie")
    setting.hear(changed)
    assert setting.refresh() == 1
    setting.holds(*tasks(0, 1, 2, 3, 5, 6, 7, 8, 9), changed)
    assert setting.pool.features is not None
    assert setting.pool.features.n_fitted == 10


def test_deleted_task_leaves(setting: Setting) -> None:
    setting.hear(*tasks(*range(10)))
    setting.refresh()
    setting.hear(deleted=(4, 7))
    assert setting.refresh() == 0
    setting.holds(*tasks(0, 1, 2, 3, 5, 6, 8, 9))
    assert setting.pool.rows([4, 7, 9]).tolist() == [setting.pool.row_of[9]]


def test_task_that_label_studio_no_longer_lists_leaves(setting: Setting) -> None:
    setting.hear(*tasks(1, 2, 3))
    setting.refresh()
    setting.store.finish_sync(KEY, {1, 3}, [], setting.store.project(KEY).revision, 0.0)
    setting.refresh()
    setting.holds(*tasks(1, 3))


def test_task_without_the_text_field_is_no_row(setting: Setting) -> None:
    setting.hear(*tasks(1, 2), Task(3, {"body": "elsewhere"}), Task(4, {"text": None}), Task(5, {"text": ["x"]}))
    assert setting.refresh() == 2
    setting.holds(*tasks(1, 2))
    assert setting.pool.n_without_text == 3


def test_task_that_loses_its_text_leaves_and_one_that_gets_it_comes(setting: Setting) -> None:
    setting.hear(*tasks(1, 2), Task(3, {}))
    setting.refresh()
    setting.hear(Task(1, {}), task(3, "plum pie"))
    setting.refresh()
    setting.holds(*tasks(2), task(3, "plum pie"))
    assert setting.pool.n_without_text == 1
    setting.hear(deleted=(1,))
    setting.refresh()
    assert setting.pool.n_without_text == 0


def test_empty_text_is_a_row(setting: Setting) -> None:
    setting.hear(*tasks(1), task(2, ""))
    setting.refresh()
    assert set(setting.pool.row_of) == {1, 2}
    assert setting.pool.n_without_text == 0


def test_restarted_worker_takes_up_the_stored_features(setting: Setting) -> None:
    setting.hear(*tasks(*range(10)))
    setting.refresh()
    setting.hear(*tasks(*range(10, 15)))
    again = setting.new_pool()
    assert setting.refresh(again) == 15
    assert again.features_id == setting.pool.features_id
    setting.holds(*tasks(*range(15)), pool=again)


def test_restarted_worker_fits_again_when_the_pool_doubled_meanwhile(setting: Setting) -> None:
    setting.hear(*tasks(*range(5)))
    setting.refresh()
    setting.hear(*tasks(*range(5, 12)))
    again = setting.new_pool()
    setting.refresh(again)
    assert again.features_id != setting.pool.features_id
    setting.holds(*tasks(*range(12)), pool=again)


@pytest.mark.parametrize("place", [0, 40, -1])
def test_torn_features_are_made_again(setting: Setting, caplog: pytest.LogCaptureFixture, place: int) -> None:
    setting.hear(*tasks(*range(10)))
    good = setting.signer.dump("whatever")
    torn = bytearray(good)
    torn[place] ^= 1
    torn_id = setting.store.save_features(KEY, "text", bytes(torn), 0.0)
    with caplog.at_level(logging.WARNING, "backend.pool"):
        setting.refresh()
    setting.holds(*tasks(*range(10)))
    assert setting.pool.features_id is not None
    assert setting.pool.features_id > torn_id
    assert "features are made again" in caplog.text


def test_features_signed_by_another_key_are_made_again(setting: Setting) -> None:
    setting.hear(*tasks(*range(10)))
    setting.new_pool().refresh(setting.store, Signer("another key"), CONFIG, 0.0)
    setting.refresh()
    setting.holds(*tasks(*range(10)))


def test_features_of_another_field_are_not_taken(setting: Setting) -> None:
    setting.hear(*(Task(place, {"text": text(place), "title": "one title"}) for place in range(10)))
    setting.refresh()
    titles = setting.new_pool("title")
    setting.refresh(titles, parse_config(config_xml(field="title")))
    assert titles.features_id != setting.pool.features_id
    assert titles.X.views[0].shape == (10, 3)


def test_features_of_another_project_are_not_taken(setting: Setting) -> None:
    setting.hear(*tasks(*range(10)))
    setting.refresh()
    setting.store.register(OTHER_KEY, config_xml(), None, 0.0)
    setting.store.hear(event(key=OTHER_KEY, tasks=(task(1, "words of its own"),)), 0.0)
    other = Pool(OTHER_KEY, "text", None)
    setting.refresh(other)
    setting.holds(task(1, "words of its own"), pool=other)
    assert other.features_id != setting.pool.features_id


def test_rows_come_in_the_asked_order_without_unknown_tasks(setting: Setting) -> None:
    setting.hear(*tasks(1, 2, 3))
    setting.refresh()
    rows = setting.pool.rows([3, 99, 1])
    assert [int(setting.pool.task_ids[row]) for row in rows] == [3, 1]
    assert setting.pool.rows([]).dtype == np.int64


def test_groups_are_made_once_a_pool(setting: Setting) -> None:
    setting.hear(*tasks(*range(10)))
    setting.refresh()
    groups = setting.pool.coverage(3, 0)
    assert setting.pool.coverage(3, 0) is groups
    assert setting.pool.coverage(4, 0) is not groups
    setting.hear(*tasks(10))
    setting.refresh()
    assert len(setting.pool.coverage(3, 0).groups) == 11


def test_groups_follow_the_seed(setting: Setting) -> None:
    setting.hear(*tasks(*range(40)))
    setting.refresh()
    setting.pool.coverage(7, 0)
    expected = cover(setting.pool.compact, 7, 1)
    assert np.array_equal(setting.pool.coverage(7, 1).groups, expected.groups)


def test_groups_are_made_again_after_a_refit_of_the_same_size(setting: Setting) -> None:
    setting.hear(task(1, "red apple"), task(2, "green plum"))
    setting.refresh()
    setting.hear(task(1, "red cake"), task(2, "green tea"))
    setting.refresh()
    assert setting.pool.X.shape[0] == 4
    setting.pool.coverage(2, 0)
    setting.hear(task(3, "green tea"), task(4, "red cake"))
    setting.refresh()
    assert setting.pool.X.shape[0] == 4
    expected = cover(setting.pool.compact, 2, 0)
    assert np.array_equal(setting.pool.coverage(2, 0).groups, expected.groups)


def test_features_that_another_worker_replaced_are_not_published_again(setting: Setting) -> None:
    setting.hear(*tasks(*range(10)))
    setting.refresh()
    others = setting.store.save_features(KEY, "text", setting.signer.dump(setting.pool.features), 0.0)
    setting.store.publish(KEY, NewVersion(1, 0.0, 0, "coverage", ("A", "B"), {}, others, None, []), is_switched=True)
    setting.refresh()
    assert setting.pool.features_id is not None
    assert setting.store.features_artifact(setting.pool.features_id) is not None
    setting.holds(*tasks(*range(10)))
