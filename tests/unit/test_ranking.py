"""From a pool to the window: what is asked next."""

from __future__ import annotations

import numpy as np
import pytest

from backend.labeling import LabelConfig, parse_config
from backend.learning.classifier import Classifier, fit_classifier
from backend.learning.strategies import MEASURES
from backend.pool import Pool
from backend.ranking import COVERAGE, RANDOM, Window, choose_ranking, rank
from backend.settings import ProjectSettings
from backend.store import Signer, Store
from tests.support.build import KEY, config_xml, event, task

WORDS = {"A": "match goal team coach league", "B": "bank stock price market profit"}
N = 60
CONFIG = parse_config(config_xml())
SETTINGS = ProjectSettings()


def labels_of(n: int) -> LabelConfig:
    return parse_config(config_xml(tuple(f"label {place}" for place in range(n))))


@pytest.fixture
def pool(store: Store, signer: Signer) -> Pool:
    """Sixty tasks, 1 to 60: odd ones speak of A, even ones of B."""
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(WORDS["AB"[place % 2]].split(), 6)) for place in range(N)]
    store.register(KEY, config_xml(), None, 0.0)
    store.hear(event(tasks=tuple(task(place + 1, text) for place, text in enumerate(texts))), 0.0)
    filled = Pool(KEY, "text")
    filled.refresh(store, signer, CONFIG, 0.0)
    return filled


@pytest.fixture
def classifier(pool: Pool) -> Classifier:
    """Has learnt the first ten tasks."""
    return fit_classifier(pool.X[pool.rows(list(range(1, 11)))], np.array(list("AB" * 5)))


# -- choose_ranking -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["auto", "margin", "entropy", "least_confidence"])
def test_without_a_model_the_pool_is_covered(strategy: str) -> None:
    settings = ProjectSettings(strategy=strategy)
    assert choose_ranking(settings, CONFIG, {"A", "B"}, 1000, trained=False) == COVERAGE


@pytest.mark.parametrize("trained", [True, False])
def test_random_stays_random(trained: bool) -> None:
    assert choose_ranking(ProjectSettings(strategy="random"), CONFIG, set(), 0, trained) == RANDOM


@pytest.mark.parametrize("strategy", ["margin", "entropy", "least_confidence"])
def test_chosen_measure_holds_from_the_first_model_on(strategy: str) -> None:
    assert choose_ranking(ProjectSettings(strategy=strategy), CONFIG, {"A", "B"}, 2, trained=True) == strategy


@pytest.mark.parametrize(
    ("n_config", "n_met", "n_labels", "expected"),
    [
        (2, 2, 19, COVERAGE),
        (2, 2, 20, "margin"),
        (2, 1, 20, COVERAGE),
        (2, 1, 39, COVERAGE),
        (2, 1, 40, "margin"),
        (10, 10, 29, COVERAGE),
        (10, 10, 30, "margin"),
        (10, 9, 59, COVERAGE),
        (10, 9, 60, "margin"),
    ],
)
def test_auto_covers_the_pool_until_every_label_was_met_often_enough(
    n_config: int, n_met: int, n_labels: int, expected: str
) -> None:
    config = labels_of(n_config)
    assert choose_ranking(SETTINGS, config, set(config.labels[:n_met]), n_labels, trained=True) == expected


def test_labels_that_left_the_config_do_not_count_as_met() -> None:
    assert choose_ranking(SETTINGS, CONFIG, {"A", "gone"}, 25, trained=True) == COVERAGE


# -- rank -----------------------------------------------------------------------------------------------------

orders = pytest.mark.parametrize("ranked_by", [*MEASURES, COVERAGE, RANDOM])


@orders
@pytest.mark.parametrize("has_model", [True, False])
def test_annotated_and_pushed_tasks_are_never_asked_again(
    pool: Pool, classifier: Classifier, ranked_by: str, has_model: bool
) -> None:
    annotated, pushed = set(range(1, 11)), set(range(20, 40))
    window = rank(pool, classifier if has_model else None, ranked_by, CONFIG, SETTINGS, annotated, pushed, N)
    assert sorted(window.task_ids) == sorted(set(range(1, N + 1)) - annotated - pushed)


@orders
@pytest.mark.parametrize("n", [1, 7, 50, 1000])
def test_window_has_as_many_tasks_as_were_wanted_or_are_left(
    pool: Pool, classifier: Classifier, ranked_by: str, n: int
) -> None:
    window = rank(pool, classifier, ranked_by, CONFIG, SETTINGS, set(range(1, 11)), set(), n)
    assert len(window.task_ids) == len(set(window.task_ids)) == min(n, 50)
    assert len(window.informativeness) == len(window.task_ids)
    assert window.answers is not None
    assert len(window.answers) == len(window.task_ids)


@orders
def test_window_begins_with_the_most_informative(pool: Pool, classifier: Classifier, ranked_by: str) -> None:
    window = rank(pool, classifier, ranked_by, CONFIG, SETTINGS, set(range(1, 11)), set(), 50)
    assert window.informativeness == sorted(window.informativeness, reverse=True)
    assert all(0 <= value <= 1 for value in window.informativeness)
    assert window.pairs()[0] == (window.task_ids[0], window.informativeness[0])


@pytest.mark.parametrize("ranked_by", list(MEASURES))
def test_measured_window_holds_the_best_of_the_whole_pool(pool: Pool, classifier: Classifier, ranked_by: str) -> None:
    ids = np.arange(11, N + 1)
    values = MEASURES[ranked_by](classifier.predict_proba(pool.X[pool.rows(ids.tolist())]))
    window = rank(pool, classifier, ranked_by, CONFIG, SETTINGS, set(range(1, 11)), set(), 8)
    assert window.informativeness == pytest.approx(np.sort(values)[::-1][:8].tolist())
    of = dict(zip(ids.tolist(), values.tolist(), strict=True))
    assert [of[task_id] for task_id in window.task_ids] == pytest.approx(window.informativeness)


@pytest.mark.parametrize("ranked_by", [COVERAGE, RANDOM])
def test_places_continue_below_the_pushed_ones(pool: Pool, ranked_by: str) -> None:
    first = rank(pool, None, ranked_by, CONFIG, SETTINGS, set(), set(), 20)
    second = rank(pool, None, ranked_by, CONFIG, SETTINGS, set(), set(first.task_ids), 20)
    assert not set(first.task_ids) & set(second.task_ids)
    assert first.informativeness[0] == 1.0
    assert max(second.informativeness) < min(first.informativeness)


@orders
def test_answers_are_the_most_probable_labels(pool: Pool, classifier: Classifier, ranked_by: str) -> None:
    window = rank(pool, classifier, ranked_by, CONFIG, SETTINGS, set(range(1, 11)), set(), 30)
    proba = classifier.predict_proba(pool.X[pool.rows(window.task_ids)])
    expected = [("AB"[row.argmax()], pytest.approx(row.max(), abs=1e-6)) for row in proba]
    assert window.answers == expected


@pytest.mark.parametrize("ranked_by", [COVERAGE, RANDOM])
def test_without_a_model_there_are_no_answers(pool: Pool, ranked_by: str) -> None:
    assert rank(pool, None, ranked_by, CONFIG, SETTINGS, set(), set(), 5).answers is None


def test_cold_start_meets_both_topics_at_once(pool: Pool) -> None:
    window = rank(pool, None, COVERAGE, CONFIG, SETTINGS, set(), set(), 10)
    assert {task_id % 2 for task_id in window.task_ids} == {0, 1}


@orders
def test_same_seed_gives_the_same_window(pool: Pool, classifier: Classifier, ranked_by: str) -> None:
    first = rank(pool, classifier, ranked_by, CONFIG, SETTINGS, {1}, {2}, 30)
    assert rank(pool, classifier, ranked_by, CONFIG, SETTINGS, {1}, {2}, 30) == first


def test_random_order_follows_the_seed(pool: Pool) -> None:
    windows = [rank(pool, None, RANDOM, CONFIG, ProjectSettings(seed=seed), set(), set(), N) for seed in (1, 2)]
    assert windows[0].task_ids != windows[1].task_ids
    assert sorted(windows[0].task_ids) == sorted(windows[1].task_ids)


@orders
@pytest.mark.parametrize("has_model", [True, False])
def test_nothing_left_gives_an_empty_window(
    pool: Pool, classifier: Classifier, ranked_by: str, has_model: bool
) -> None:
    window = rank(pool, classifier if has_model else None, ranked_by, CONFIG, SETTINGS, set(range(1, N + 1)), set(), 5)
    assert window == Window([], [], [] if has_model else None)


def test_empty_pool_gives_an_empty_window() -> None:
    assert rank(Pool(KEY, "text"), None, COVERAGE, CONFIG, SETTINGS, set(), set(), 5) == Window([], [], None)


def test_annotated_task_without_a_row_does_not_disturb(pool: Pool) -> None:
    window = rank(pool, None, COVERAGE, CONFIG, SETTINGS, {1, 999}, {888}, N)
    assert sorted(window.task_ids) == list(range(2, N + 1))
