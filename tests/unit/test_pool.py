"""The pool: every task as a feature row, made once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from label_studio_al.labeling import Task
from label_studio_al.learning.coverage import cover
from label_studio_al.learning.rows import Rows, Weights, selected, squared_norms, weighted_sum
from label_studio_al.pool.tasks import Pool
from label_studio_al.questions import LabelConfig, parse_config
from label_studio_al.store import Signer, Store, features_kind
from tests.support.build import KEY, OTHER_KEY, config_xml, event, make_pool, task
from tests.support.versions import new_version

CONFIG = parse_config(config_xml())
WORDS = ("red", "green", "blue", "apple", "plum", "pie", "cake", "tea")


def text(task_id: int) -> str:
    return f"{WORDS[task_id % 8]} {WORDS[task_id // 8 % 8]} {WORDS[task_id * 3 % 8]}"


def ids(pool: Pool) -> list[int]:
    """The tasks that have a row."""
    found: list[int] = pool.task_ids[pool.live].tolist()
    return found


def dense(X: Rows) -> np.ndarray:
    """All columns of all views."""
    sparse, compact = X.views
    return np.hstack([sparse.toarray(), compact])


class Setting:
    """A registered project with a pool in front of its store."""

    def __init__(self, store: Store, signer: Signer, folder: Path) -> None:
        self.store = store
        self.signer = signer
        self.folder = folder
        store.projects.register(KEY, config_xml(), None, 0.0)
        self.pool = self.new_pool()

    def new_pool(
        self,
        config: LabelConfig = CONFIG,
        key: str = KEY,
        signer: Signer | None = None,
        background: Executor | None = None,
    ) -> Pool:
        """As after a restart of the worker."""
        made = signer or self.signer
        return make_pool(self.store, made, self.folder, key=key, config=config, background=background)

    def hear(self, *tasks: Task, deleted: tuple[int, ...] = ()) -> None:
        self.store.updates.hear(event(tasks=tasks, deleted_tasks=deleted), 0.0)

    def refresh(self, pool: Pool | None = None) -> int:
        news = (pool or self.pool).refresh(np.inf)
        assert news.is_complete
        return news.n_new

    def holds(self, *expected: Task, pool: Pool | None = None) -> None:
        """Whether the pool's rows are exactly the texts' features."""
        pool = pool or self.pool
        assert ids(pool) == [one.id for one in sorted(expected, key=lambda one: one.id)]
        for one in expected:
            [row] = pool.rows([one.id])
            assert pool.task_ids[row] == one.id
            wanted = pool.features.transform([one.data["text"]])
            np.testing.assert_allclose(dense(pool.X[[row]]), dense(wanted), atol=1e-6)


@pytest.fixture
def setting(store: Store, signer: Signer, tmp_path: Path) -> Setting:
    return Setting(store, signer, tmp_path / "features")


def tasks(*ids: int) -> list[Task]:
    return [task(task_id, text(task_id)) for task_id in ids]


def test_first_refresh_turns_every_task_into_a_row(setting: Setting) -> None:
    setting.hear(*tasks(5, 3, 9))
    assert setting.refresh() == 3
    setting.holds(*tasks(3, 5, 9))
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
    assert setting.pool.features.n_fitted == 10


def test_deleted_task_leaves(setting: Setting) -> None:
    setting.hear(*tasks(*range(10)))
    setting.refresh()
    setting.hear(deleted=(4, 7))
    assert setting.refresh() == 0
    setting.holds(*tasks(0, 1, 2, 3, 5, 6, 8, 9))
    assert setting.pool.task_ids[setting.pool.rows([4, 7, 9])].tolist() == [9]


def test_task_that_label_studio_no_longer_lists_leaves(setting: Setting) -> None:
    setting.hear(*tasks(1, 2, 3))
    setting.refresh()
    setting.store.updates.compare_tasks(KEY, tasks(1, 3), 0, None, setting.store.projects.get(KEY).revision)
    setting.refresh()
    setting.holds(*tasks(1, 3))


def test_task_without_the_text_field_is_no_row(setting: Setting) -> None:
    setting.hear(*tasks(1, 2), Task(3, {"body": "elsewhere"}), Task(4, {"text": None}), Task(5, {"text": [[]]}))
    assert setting.refresh() == 2
    setting.holds(*tasks(1, 2))
    assert len(setting.pool.without_text) == 3


def test_task_that_loses_its_text_leaves_and_one_that_gets_it_comes(setting: Setting) -> None:
    setting.hear(*tasks(1, 2), Task(3, {}))
    setting.refresh()
    setting.hear(Task(1, {}), task(3, "plum pie"))
    setting.refresh()
    setting.holds(*tasks(2), task(3, "plum pie"))
    assert len(setting.pool.without_text) == 1
    setting.hear(deleted=(1,))
    setting.refresh()
    assert len(setting.pool.without_text) == 0


def test_empty_text_is_a_row(setting: Setting) -> None:
    setting.hear(*tasks(1), task(2, ""))
    setting.refresh()
    assert ids(setting.pool) == [1, 2]
    assert len(setting.pool.without_text) == 0


def test_restarted_worker_takes_up_the_stored_features(setting: Setting) -> None:
    setting.hear(*tasks(*range(10)))
    setting.refresh()
    setting.hear(*tasks(*range(10, 15)))
    again = setting.new_pool()
    assert setting.refresh(again) == 5
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
    good = setting.signer.dump("whatever", features_kind(KEY, 0.0))
    corrupt = bytearray(good)
    corrupt[place] ^= 1
    torn_id = setting.store.features.save(KEY, "text", bytes(corrupt), 0.0)
    with caplog.at_level(logging.WARNING, "label_studio_al.pool.tasks"):
        setting.refresh()
    setting.holds(*tasks(*range(10)))
    assert setting.pool.features_id is not None
    assert setting.pool.features_id > torn_id
    assert "features are made again" in caplog.text


def test_features_signed_by_another_key_are_made_again(setting: Setting) -> None:
    setting.hear(*tasks(*range(10)))
    setting.refresh(setting.new_pool(signer=Signer("another key")))
    setting.refresh()
    setting.holds(*tasks(*range(10)))


def test_features_of_another_field_are_not_taken(setting: Setting) -> None:
    setting.hear(*(Task(place, {"text": text(place), "title": "one title"}) for place in range(10)))
    setting.refresh()
    titles = setting.new_pool(parse_config(config_xml(field="title")))
    setting.refresh(titles)
    assert titles.features_id != setting.pool.features_id
    assert titles.X.views[0].shape == (10, 3)


def test_features_of_another_project_are_not_taken(setting: Setting) -> None:
    setting.hear(*tasks(*range(10)))
    setting.refresh()
    setting.store.projects.register(OTHER_KEY, config_xml(), None, 0.0)
    setting.store.updates.hear(event(key=OTHER_KEY, tasks=(task(1, "words of its own"),)), 0.0)
    other = setting.new_pool(key=OTHER_KEY)
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
    expected = cover(setting.pool.compact, setting.pool.task_ids, 7, 1)
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
    expected = cover(setting.pool.compact, setting.pool.task_ids, 2, 0)
    assert np.array_equal(setting.pool.coverage(2, 0).groups, expected.groups)


def test_features_that_another_worker_replaced_are_not_published_again(setting: Setting) -> None:
    setting.hear(*tasks(*range(10)))
    setting.refresh()
    signed = setting.signer.dump(setting.pool.features, features_kind(KEY, 0.0))
    others = setting.store.features.save(KEY, "text", signed, 0.0)
    setting.store.versions.publish(
        KEY, new_version(1, 0.0, 0, "coverage", ("A", "B"), {}, others, None, []), is_switched=True
    )
    setting.refresh()
    assert setting.pool.features_id is not None
    assert setting.store.features.artifact(setting.pool.features_id) is not None
    setting.holds(*tasks(*range(10)))


# -- large pools ----------------------------------------------------------------------------------------------


class Later(Executor):
    """Work that begins when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        return future

    def run(self) -> None:
        for future, work in self.waiting:
            try:
                future.set_result(work())
            except Exception as exc:
                future.set_exception(exc)
        self.waiting.clear()


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten changes at a time, and everything is a large pool."""
    monkeypatch.setattr("label_studio_al.pool.fitting.CHANGES_AT_ONCE", 10)
    monkeypatch.setattr("label_studio_al.pool.tasks.FIT_AT_ONCE", 1)


@pytest.mark.usefixtures("small_steps")
def test_many_new_tasks_are_taken_in_several_calls(setting: Setting) -> None:
    setting.hear(*tasks(*range(1, 26)))
    news = [setting.pool.refresh(until=0.0) for _ in range(3)]
    assert [(one.n_new, one.is_complete) for one in news] == [(10, False), (10, False), (5, True)]
    setting.holds(*tasks(*range(1, 26)))


@pytest.mark.usefixtures("small_steps")
def test_restart_goes_on_where_the_last_call_ended(setting: Setting) -> None:
    setting.hear(*tasks(*range(1, 26)))
    setting.pool.refresh(until=0.0)
    again = setting.new_pool()
    assert again.refresh(np.inf).n_new == 15
    setting.holds(*tasks(*range(1, 26)), pool=again)


@pytest.mark.usefixtures("small_steps")
def test_labelled_task_gets_its_row_before_its_turn(setting: Setting) -> None:
    setting.hear(*tasks(*range(1, 26)))
    setting.pool.refresh(until=0.0)
    setting.pool.require([25, 3, 999])
    assert ids(setting.pool) == [*range(1, 11), 25]
    setting.pool.refresh(np.inf)
    setting.holds(*tasks(*range(1, 26)))


@pytest.mark.usefixtures("small_steps")
def test_large_pool_is_fitted_again_in_the_background(setting: Setting) -> None:
    later = Later()
    pool = setting.new_pool(background=later)
    setting.hear(*tasks(*range(1, 11)))
    setting.refresh(pool)
    before = pool.features_id
    setting.hear(*tasks(*range(11, 25)))
    setting.refresh(pool)
    assert pool.features_id == before
    setting.holds(*tasks(*range(1, 25)), pool=pool)

    revision = setting.store.projects.get(KEY).revision
    later.run()
    assert setting.store.projects.get(KEY).revision == revision + 1, "a turn is called"
    setting.hear(*tasks(*range(25, 30)))
    setting.refresh(pool)
    assert pool.features_id != before
    assert pool.features.n_fitted == 24
    setting.holds(*tasks(*range(1, 30)), pool=pool)
    assert not later.waiting


@pytest.mark.usefixtures("small_steps")
def test_refit_that_fails_is_said_and_tried_again(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    later = Later()
    pool = setting.new_pool(background=later)
    setting.hear(*tasks(*range(1, 11)))
    setting.refresh(pool)
    setting.hear(*tasks(*range(11, 25)))
    setting.refresh(pool)
    later.waiting[0][0].set_exception(RuntimeError("no memory"))
    later.waiting.clear()
    setting.refresh(pool)
    assert "could not be fitted again: no memory" in caplog.text
    later.run()
    setting.refresh(pool)
    assert pool.features.n_fitted == 24


@pytest.mark.usefixtures("small_steps")
def test_refit_gives_way_to_features_of_another_worker(setting: Setting) -> None:
    later = Later()
    pool = setting.new_pool(background=later)
    setting.hear(*tasks(*range(1, 11)))
    setting.refresh(pool)
    setting.hear(*tasks(*range(11, 25)))
    setting.refresh(pool)
    other = setting.new_pool()
    setting.refresh(other)
    setting.refresh(other)
    later.run()
    setting.refresh(pool)
    assert pool.features_id == other.features_id
    setting.holds(*tasks(*range(1, 25)), pool=pool)


def test_deletion_that_nothing_tells_of_any_more_is_found(setting: Setting) -> None:
    setting.hear(*tasks(*range(1, 11)))
    setting.refresh()
    setting.hear(deleted=(4, 7))
    setting.store.updates.finish_comparison(KEY, setting.store.projects.get(KEY).revision, 0.0)
    setting.refresh()
    setting.holds(*tasks(1, 2, 3, 5, 6, 8, 9, 10))


def test_deletion_that_nothing_tells_of_any_more_is_found_beside_later_news(setting: Setting, store: Store) -> None:
    setting.hear(*tasks(1, 2, 3))
    setting.refresh()
    setting.hear(deleted=(2,))
    store.updates.finish_comparison(KEY, store.projects.get(KEY).revision, 0.0)
    setting.hear(*tasks(4))
    setting.refresh()
    setting.holds(*tasks(1, 3, 4))


def test_nothing_is_written_again_after_a_comparison(setting: Setting, store: Store) -> None:
    setting.hear(*tasks(1, 2, 3))
    store.updates.finish_comparison(KEY, store.projects.get(KEY).revision, 0.0)
    setting.refresh()
    before = setting.pool.X
    assert setting.refresh() == 0
    assert setting.pool.X is before


def test_rows_of_changed_tasks_are_dropped_when_they_are_most(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("label_studio_al.pool.tasks.DEAD_AT_LEAST", 5)
    setting.hear(*tasks(*range(1, 11)))
    for round_ in range(3):
        setting.hear(*(task(place, text(place + round_)) for place in range(1, 11)))
        setting.refresh()
    assert len(setting.pool.task_ids) < 30
    setting.holds(*(task(place, text(place + 2)) for place in range(1, 11)))


def test_tasks_that_come_later_join_the_nearest_group(setting: Setting) -> None:
    setting.hear(*(task(place, "red apple pie" if place % 2 else "green tea cake") for place in range(1, 41)))
    setting.refresh()
    before = setting.pool.coverage(2, 0)
    setting.hear(task(41, "apple pie"), task(42, "tea cake"))
    setting.refresh()
    after = setting.pool.coverage(2, 0)
    assert np.array_equal(after.groups[:40], before.groups)
    assert after.groups[40:].tolist() == [before.groups[0], before.groups[1]]
    assert after.ranks[40:].tolist() == [20, 20]


def test_one_huge_text_among_short_ones_is_cut(setting: Setting) -> None:
    setting.hear(*tasks(*range(1, 11)), task(11, "red apple " * 500_000))
    setting.refresh()
    assert ids(setting.pool) == list(range(1, 12))


@pytest.mark.parametrize("large", [0, 2_000])
@pytest.mark.parametrize("cached", [0, 1 << 20])
def test_few_weighed_columns_are_scored_as_all_are(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, large: int, cached: int
) -> None:
    """Weights of many labels are kept without the columns that weigh nothing, those of few labels with all."""
    setting.hear(*tasks(*range(1, 31)))
    setting.refresh()
    monkeypatch.setattr("label_studio_al.learning.features.LARGE", large)
    monkeypatch.setattr("label_studio_al.learning.rows.CACHED_WEIGHTS", cached)
    X, dense = setting.pool.X, np.zeros((setting.pool.X.shape[1], 3), dtype=np.float32)
    dense[::4] = np.random.default_rng(0).standard_normal((len(dense[::4]), 3))
    expected = np.hstack([X.views[0].toarray(), X.views[1]]) @ dense
    weights = Weights.of(dense)
    assert 0 < len(weights.columns) < len(dense)
    np.testing.assert_allclose(X.map_product(weights, np.asarray), expected, atol=1e-5)
    some = np.array([3, 7, 20])
    np.testing.assert_allclose(selected(X, some).map_product(weights, np.asarray), expected[some], atol=1e-5)
    np.testing.assert_allclose(X.map_product(weights, lambda sums: sums[:, :1] * 2), expected[:, :1] * 2, atol=1e-5)
    np.testing.assert_allclose(weights.among(0, len(dense)), dense)


def test_large_and_small_pools_are_scored_alike(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products that go without the rows' topics give what those with them give."""
    setting.hear(*tasks(*range(1, 31)))
    setting.refresh()
    weights = np.random.default_rng(0).standard_normal((setting.pool.X.shape[1], 3), dtype=np.float32)
    some = np.array([3, 7, 20])
    small, small_Z = setting.pool.X @ weights, setting.pool.compact
    monkeypatch.setattr("label_studio_al.learning.features.LARGE", 0)
    X = setting.pool.X
    np.testing.assert_allclose(X @ weights, small, atol=1e-5)
    np.testing.assert_allclose(X @ weights[:, 0], small[:, 0], atol=1e-5)
    np.testing.assert_allclose(selected(X, some) @ weights, small[some], atol=1e-5)
    np.testing.assert_allclose(selected(X.compact, some)[[0, 2]], small_Z[some[[0, 2]]], atol=1e-6)
    np.testing.assert_allclose(squared_norms(X), squared_norms(Rows(X.views)), atol=1e-5)
    np.testing.assert_allclose(squared_norms(X.compact), squared_norms(small_Z), atol=1e-5)
    ones = np.ones(30, dtype=np.float32)
    np.testing.assert_allclose(weighted_sum(ones, X.compact), small_Z.sum(axis=0), atol=1e-4)
    np.testing.assert_allclose(
        X.compact @ weights[: small_Z.shape[1]], small_Z @ weights[: small_Z.shape[1]], atol=1e-5
    )
