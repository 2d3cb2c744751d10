"""From a pool to the window: what is asked next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chisquare

from label_studio_al.labeling import score
from label_studio_al.learning.asking import (
    AUTO_ORDER,
    COVERAGE,
    MIXED,
    RANDOM,
    Standing,
    choose_order,
    choose_order_of_all,
)
from label_studio_al.learning.classifier import Classifier, fit_classifier
from label_studio_al.learning.coding import ONE_LABEL
from label_studio_al.learning.learner import Tuning
from label_studio_al.learning.model import Trained
from label_studio_al.learning.sequences.answers import SpanAnswers
from label_studio_al.learning.strategies import MEASURES, STRATEGIES
from label_studio_al.pool.tasks import Pool, PoolChanges
from label_studio_al.questions import LabelConfig, parse_config
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.runtime.settings import ProjectSettings
from label_studio_al.store import Signer, Store
from label_studio_al.turns import ranking
from label_studio_al.turns.ranking import TrainedOn, Wanted, Window, with_checks
from label_studio_al.turns.subject import Subject
from tests.support.build import KEY, config_xml, event, make_pool, task

WORDS = {"A": "match goal team coach league", "B": "bank stock price market profit"}
N = 60
CONFIG = parse_config(config_xml())
SETTINGS = ProjectSettings(audit_share=0)


@pytest.fixture
def pool(store: Store, signer: Signer, tmp_path: Path) -> Pool:
    """Sixty tasks, 1 to 60: odd ones speak of A, even ones of B."""
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(WORDS["AB"[place % 2]].split(), 6)) for place in range(N)]
    store.projects.register(KEY, config_xml(), None, 0.0)
    store.updates.hear(event(tasks=tuple(task(place + 1, text) for place, text in enumerate(texts))), 0.0)
    filled = make_pool(store, signer, tmp_path)
    filled.refresh(np.inf)
    return filled


@pytest.fixture
def classifier(pool: Pool) -> Classifier:
    """Has learnt the first ten tasks."""
    return fit_classifier(pool.X[pool.rows(list(range(1, 11)))], np.array(list("AB" * 5)))


# -- choose_order ---------------------------------------------------------------------------------------------

NEEDS_MODEL = [name for name, strategy in STRATEGIES.items() if strategy.needs_model]
NEEDS_NONE = [name for name in STRATEGIES if name not in NEEDS_MODEL]


@pytest.mark.parametrize("strategy", ["auto", *NEEDS_MODEL])
def test_without_a_model_the_pool_is_covered(strategy: str) -> None:
    assert choose_order(strategy, {"A": 500, "B": 500}, 1000, is_trained=False) == COVERAGE


@pytest.mark.parametrize("is_trained", [True, False])
@pytest.mark.parametrize("strategy", NEEDS_NONE)
def test_strategy_that_needs_no_model_asks_from_the_start(strategy: str, is_trained: bool) -> None:
    assert choose_order(strategy, {"A": 0, "B": 0}, 0, is_trained=is_trained) == strategy


@pytest.mark.parametrize("strategy", NEEDS_MODEL)
def test_chosen_strategy_holds_from_the_first_model_on(strategy: str) -> None:
    assert choose_order(strategy, {"A": 1, "B": 1}, 2, is_trained=True) == strategy


def test_unknown_strategy_is_refused_with_those_that_exist() -> None:
    with pytest.raises(InvalidRequest, match="margin"):
        choose_order("best", {"A": 1, "B": 1}, 2, is_trained=True)


@pytest.mark.parametrize(
    ("classes", "labels", "expected"),
    [
        ("AB", "A" * 16 + "B" * 3, COVERAGE),
        ("AB", "A" * 17 + "B" * 3, AUTO_ORDER),
        # One label was not met yet: as many labels again.
        ("ABC", "A" * 17 + "B" * 3, COVERAGE),
        ("ABC", "A" * 30 + "B" * 9, COVERAGE),
        ("ABC", "A" * 30 + "B" * 10, AUTO_ORDER),
        # The labels turn up evenly: as many again, then both up to 40 labels a class.
        ("AB", "A" * 10 + "B" * 10, COVERAGE),
        ("AB", "A" * 20 + "B" * 19, COVERAGE),
        ("AB", "A" * 20 + "B" * 20, MIXED),
        ("AB", "A" * 40 + "B" * 39, MIXED),
        ("AB", "A" * 40 + "B" * 40, AUTO_ORDER),
        ("AB", "A" * 60 + "B" * 10, AUTO_ORDER),
        ("ABCD", "ABCD" * 39 + "ABC", MIXED),
        ("ABCD", "ABCD" * 40, AUTO_ORDER),
        # Three labels a class.
        ("ABCDEFGHIJ", "ABCDEFGHIJ" + "A" * 19, COVERAGE),
        ("ABCDEFGHIJ", "ABCDEFGHIJ" + "A" * 20, AUTO_ORDER),
        ("ABCDEFGHIJ", "ABCDEFGHIJ" * 5, COVERAGE),
        ("ABCDEFGHIJ", "ABCDEFGHIJ" * 6, MIXED),
        ("ABCDEFGHIJ", "ABCDEFGHIJ" * 40, AUTO_ORDER),
    ],
)
def test_auto_covers_the_pool_until_every_label_was_met_often_enough(classes: str, labels: str, expected: str) -> None:
    assert choose_order("auto", dict.fromkeys(classes, 0) | Counter(labels), len(labels), is_trained=True) == expected


def standing(n_labels: int, is_trained: bool = True) -> Standing:
    """Of a question with two labels, one of them rare."""
    return Standing({"A": n_labels - n_labels // 10, "B": n_labels // 10}, n_labels, is_trained)


@pytest.mark.parametrize(
    ("standings", "expected"),
    [
        ([standing(50), standing(50)], AUTO_ORDER),
        ([standing(50), standing(30)], AUTO_ORDER),
        # Half of the tasks answer it, which the cold start waits for.
        ([standing(38), standing(19)], COVERAGE),
        # Not even half do: it would hold up the other.
        ([standing(50), standing(19)], AUTO_ORDER),
        ([standing(50), standing(50, is_trained=False)], AUTO_ORDER),
        ([standing(50, is_trained=False), standing(50, is_trained=False)], COVERAGE),
        ([standing(50), Standing({"A": 25, "B": 25}, 50, is_trained=True)], MIXED),
    ],
)
def test_questions_are_asked_as_the_one_that_is_least_far(standings: list[Standing], expected: str) -> None:
    n_labelled = max(one.n_labels for one in standings)
    assert choose_order_of_all("auto", standings, n_labelled) == expected
    assert choose_order_of_all("auto", standings[::-1], n_labelled) == expected


def test_labels_that_left_the_config_do_not_count_as_met() -> None:
    assert choose_order("auto", {"A": 20, "B": 0}, 25, is_trained=True) == COVERAGE


@pytest.mark.parametrize("strategy", ["auto", *STRATEGIES])
def test_every_strategy_can_be_set_for_a_project(strategy: str) -> None:
    assert ProjectSettings(strategy=strategy).strategy == strategy


# -- rank -----------------------------------------------------------------------------------------------------

MODEL_FREE = [COVERAGE, *NEEDS_NONE]
orders = pytest.mark.parametrize("ranked_by", [*STRATEGIES, COVERAGE, MIXED])


def rank(
    pool: Pool,
    classifier: Classifier | None,
    ranked_by: str,
    config: LabelConfig,
    settings: ProjectSettings,
    annotated: Sequence[int],
    pushed: Sequence[int],
    n: int,
) -> Window:
    """As the loop does: the first ten tasks are labelled, if there is a model."""
    labels = {} if classifier is None else {place: "BA"[place % 2] for place in range(1, 11)}
    return rank_after(pool, labels, classifier, ranked_by, Wanted(n, 5, annotated, pushed), settings)


def rank_after(
    pool: Pool,
    labels: Mapping[int, str],
    classifier: Classifier | None,
    ranked_by: str,
    wanted: Wanted,
    settings: ProjectSettings = SETTINGS,
) -> Window:
    models = {} if classifier is None else {"topic": Trained(classifier, Tuning("tfidf"))}
    answers, changes = {"topic": labels}, PoolChanges(0, is_complete=True)
    subject = Subject(None, CONFIG, settings, pool, changes, answers, sorted(labels), None)  # type: ignore[arg-type]
    return ranking.rank(subject, TrainedOn(answers, models, ranked_by), wanted)


def told(window: Window) -> list[list[tuple[str, float]]]:
    """What the model says of each task."""
    return [best.get("topic", []) for best in window.top_k]


@pytest.mark.parametrize(
    ("ranked_by", "has_model"),
    [*((order, True) for order in [*STRATEGIES, COVERAGE, MIXED]), *((order, False) for order in MODEL_FREE)],
)
def test_annotated_and_pushed_tasks_are_never_asked_again(
    pool: Pool, classifier: Classifier, ranked_by: str, has_model: bool
) -> None:
    annotated, pushed = range(1, 11), range(20, 40)
    window = rank(pool, classifier if has_model else None, ranked_by, CONFIG, SETTINGS, annotated, pushed, N)
    assert sorted(window.task_ids) == [*range(11, 20), *range(40, N + 1)]


@orders
@pytest.mark.parametrize("n", [1, 7, 50, 1000])
def test_window_has_as_many_tasks_as_were_wanted_or_are_left(
    pool: Pool, classifier: Classifier, ranked_by: str, n: int
) -> None:
    window = rank(pool, classifier, ranked_by, CONFIG, SETTINGS, range(1, 11), [], n)
    assert len(window.task_ids) == len(set(window.task_ids)) == min(n, 50)
    assert len(window.informativeness) == len(window.task_ids)
    assert len(window.top_k) == len(window.task_ids)


@orders
def test_window_begins_with_the_most_informative(pool: Pool, classifier: Classifier, ranked_by: str) -> None:
    window = rank(pool, classifier, ranked_by, CONFIG, SETTINGS, range(1, 11), [], 50)
    assert window.informativeness == sorted(window.informativeness, reverse=True)
    assert all(0 <= value <= 1 for value in window.informativeness)
    assert window.pairs()[0] == (window.task_ids[0], window.informativeness[0])


@pytest.mark.parametrize("ranked_by", list(MEASURES))
def test_measured_window_holds_the_best_of_the_whole_pool(pool: Pool, classifier: Classifier, ranked_by: str) -> None:
    ids = np.arange(11, N + 1)
    values = MEASURES[ranked_by](classifier.predict_proba(pool.X[pool.rows(ids.tolist())]))
    window = rank(pool, classifier, ranked_by, CONFIG, SETTINGS, range(1, 11), [], 8)
    assert window.informativeness == pytest.approx(np.sort(values)[::-1][:8].tolist())
    of = dict(zip(ids.tolist(), values.tolist(), strict=True))
    assert [of[task_id] for task_id in window.task_ids] == pytest.approx(window.informativeness)


@pytest.mark.parametrize("ranked_by", MODEL_FREE)
def test_places_continue_below_the_pushed_ones(pool: Pool, ranked_by: str) -> None:
    first = rank(pool, None, ranked_by, CONFIG, SETTINGS, [], [], 20)
    second = rank(pool, None, ranked_by, CONFIG, SETTINGS, [], first.task_ids, 20)
    assert not set(first.task_ids) & set(second.task_ids)
    assert first.informativeness[0] == 1.0
    assert max(second.informativeness) < min(first.informativeness)


@orders
def test_guesses_are_the_most_probable_labels_best_first(pool: Pool, classifier: Classifier, ranked_by: str) -> None:
    window = rank(pool, classifier, ranked_by, CONFIG, SETTINGS, range(1, 11), [], 30)
    proba = classifier.predict_proba(pool.X[pool.rows(window.task_ids)])
    best_first = np.argsort(-proba, axis=1, kind="stable")
    expected = [
        [("AB"[column], pytest.approx(row[column], abs=1e-6)) for column in columns]
        for row, columns in zip(proba, best_first, strict=True)
    ]
    assert told(window) == expected


@pytest.mark.parametrize("ranked_by", MODEL_FREE)
def test_without_a_model_there_are_no_guesses(pool: Pool, ranked_by: str) -> None:
    assert rank(pool, None, ranked_by, CONFIG, SETTINGS, [], [], 5).top_k == [{}] * 5


def test_checks_come_first_and_say_nothing_of_the_model(pool: Pool, classifier: Classifier) -> None:
    window = rank(pool, classifier, "margin", CONFIG, SETTINGS, range(1, 13), [], 10)
    checked = with_checks(window, [11, 12], 10)
    assert checked.task_ids == [11, 12, *window.task_ids[:8]]
    assert checked.informativeness[:2] == [1.0, 1.0]
    assert checked.top_k == [{}, {}, *window.top_k[:8]]
    assert not checked.audits & {11, 12}
    assert with_checks(window, [], 10) == window


def test_cold_start_meets_both_topics_at_once(pool: Pool) -> None:
    window = rank(pool, None, COVERAGE, CONFIG, SETTINGS, [], [], 10)
    assert {task_id % 2 for task_id in window.task_ids} == {0, 1}


@orders
def test_same_seed_gives_the_same_window(pool: Pool, classifier: Classifier, ranked_by: str) -> None:
    first = rank(pool, classifier, ranked_by, CONFIG, SETTINGS, [1], [2], 30)
    assert rank(pool, classifier, ranked_by, CONFIG, SETTINGS, [1], [2], 30) == first


def test_random_order_follows_the_seed(pool: Pool) -> None:
    windows = [rank(pool, None, RANDOM, CONFIG, ProjectSettings(seed=seed), [], [], N) for seed in (1, 2)]
    assert windows[0].task_ids != windows[1].task_ids
    assert sorted(windows[0].task_ids) == sorted(windows[1].task_ids)


@pytest.mark.parametrize(
    ("ranked_by", "has_model"),
    [*((order, True) for order in [*STRATEGIES, COVERAGE, MIXED]), *((order, False) for order in MODEL_FREE)],
)
def test_nothing_left_gives_an_empty_window(
    pool: Pool, classifier: Classifier, ranked_by: str, has_model: bool
) -> None:
    window = rank(pool, classifier if has_model else None, ranked_by, CONFIG, SETTINGS, range(1, N + 1), [], 5)
    assert window == Window([], [], [], frozenset())


def test_empty_pool_gives_an_empty_window(store: Store, signer: Signer, tmp_path: Path) -> None:
    store.projects.register(KEY, config_xml(), None, 0.0)
    empty = make_pool(store, signer, tmp_path)
    empty.refresh(np.inf)
    assert rank(empty, None, COVERAGE, CONFIG, SETTINGS, [], [], 5) == Window([], [], [], frozenset())


def test_annotated_task_without_a_row_does_not_disturb(pool: Pool) -> None:
    window = rank(pool, None, COVERAGE, CONFIG, SETTINGS, [1, 999], [888], N)
    assert sorted(window.task_ids) == list(range(2, N + 1))


# -- audits ---------------------------------------------------------------------------------------------------


def test_share_of_the_places_is_drawn_at_random_from_the_whole_pool(pool: Pool, classifier: Classifier) -> None:
    drawn: Counter[int] = Counter()
    n_places = 0
    for seed in range(300):
        settings = ProjectSettings(audit_share=0.3, seed=seed)
        window = rank(pool, classifier, "margin", CONFIG, settings, range(1, 11), [], 10)
        assert len(window.task_ids) == len(set(window.task_ids)) == 10
        assert window.audits <= set(window.task_ids)
        drawn.update(window.audits)
        n_places += len(window.task_ids)
    assert sum(drawn.values()) / n_places == pytest.approx(0.3, abs=0.03)
    # 900 draws over 50 tasks: 18 each, whether the strategy likes them or not.
    assert set(drawn) == set(range(11, N + 1))
    assert chisquare([drawn[task_id] for task_id in range(11, N + 1)]).pvalue > 0.001


@orders
def test_audits_do_not_change_the_rule_that_worth_falls(pool: Pool, classifier: Classifier, ranked_by: str) -> None:
    settings = ProjectSettings(audit_share=0.4)
    window = rank(pool, classifier, ranked_by, CONFIG, settings, range(1, 11), [], 50)
    assert sorted(window.task_ids) == list(range(11, N + 1))
    assert window.informativeness == sorted(window.informativeness, reverse=True)
    assert all(0 <= value <= 1 for value in window.informativeness)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_tasks_that_are_all_worth_most_have_scores_of_their_own(kind: type) -> None:
    apart = ranking._apart(np.ones(40, kind))
    assert len(set(apart.tolist())) == 40
    assert max(apart) <= 1.0


@pytest.mark.parametrize("ranked_by", MEASURES)
def test_no_two_tasks_have_one_score_which_label_studio_would_ask_in_the_order_of_their_ids(
    store: Store, signer: Signer, tmp_path: Path, ranked_by: str
) -> None:
    # The model has met none of these words: it says the same of all.
    texts = ["goal", "bank"] * 5 + [f"unheard{place}" for place in range(60)]
    store.projects.register(KEY, config_xml(), None, 0.0)
    store.updates.hear(event(tasks=tuple(task(place, text) for place, text in enumerate(texts, start=1))), 0.0)
    pool = make_pool(store, signer, tmp_path)
    pool.refresh(np.inf)
    rows = pool.X[pool.rows(range(1, 11))]
    classifier = fit_classifier(rows, np.array(["A", "B"] * 5))
    for settings in (SETTINGS, ProjectSettings(audit_share=0.5)):
        window = rank(pool, classifier, ranked_by, CONFIG, settings, range(1, 11), [], 40)
        scores = [score(value) for value in window.informativeness]
        assert scores == sorted(set(scores))
        assert all(0 <= one <= 1 for one in scores)
        assert window.task_ids != sorted(window.task_ids)


def test_random_strategy_is_all_audit(pool: Pool, classifier: Classifier) -> None:
    window = rank(pool, classifier, RANDOM, CONFIG, SETTINGS, [], [], 7)
    assert window.audits == set(window.task_ids)


def test_without_a_model_nothing_is_audited(pool: Pool) -> None:
    window = rank(pool, None, COVERAGE, CONFIG, ProjectSettings(audit_share=1), [], [], 7)
    assert not window.audits


def test_each_training_draws_anew(pool: Pool, classifier: Classifier) -> None:
    settings = ProjectSettings(audit_share=0.3)
    drawn = set()
    for n_labels in (6, 8, 10):
        labels = {place: "BA"[place % 2] for place in range(1, n_labels + 1)}
        window = rank_after(pool, labels, classifier, "margin", Wanted(20, 5, range(1, 11)), settings)
        drawn.add(window.audits)
    assert len(drawn) == 3


# -- copies of a text -----------------------------------------------------------------------------------------


def test_copies_of_a_labelled_text_come_last_with_the_answer_that_people_gave(
    store: Store, signer: Signer, tmp_path: Path
) -> None:
    texts = [f"{word} number {place}" for place in range(20) for word in ("goal", "bank")] + ["goal number 0"] * 3
    store.projects.register(KEY, config_xml(), None, 0.0)
    store.updates.hear(event(tasks=tuple(task(place + 1, text) for place, text in enumerate(texts))), 0.0)
    pool = make_pool(store, signer, tmp_path)
    pool.refresh(np.inf)
    # What people said of task 1 and its copy 41, against what the model would: the last one counts of two.
    labels = {place: "BA"[place % 2] for place in range(2, 21)} | {1: "A", 41: "B"}
    rows = pool.X[pool.rows(list(labels))]
    classifier = fit_classifier(rows, np.array(list(labels.values())))
    window = rank_after(pool, labels, classifier, "margin", Wanted(100, 5, sorted(labels)))
    assert set(window.task_ids[-2:]) == {42, 43}
    assert window.informativeness[-2:] == [0, 0]
    assert min(window.informativeness[:-2]) > 0
    proba = dict(zip(classifier.classes.tolist(), classifier.predict_proba(pool.X[pool.rows([42])])[0], strict=True))
    assert told(window)[-1] == [("B", pytest.approx(proba["B"])), ("A", pytest.approx(proba["A"]))]
    covering = rank_after(pool, labels, None, COVERAGE, Wanted(100, 5, [1]))
    assert set(covering.task_ids[-3:]) == {41, 42, 43}
    assert covering.informativeness[-4] > covering.informativeness[-3] == 0


def test_text_of_a_task_that_was_changed_or_deleted_has_no_copies_there(
    store: Store, signer: Signer, tmp_path: Path
) -> None:
    store.projects.register(KEY, config_xml(), None, 0.0)
    store.updates.hear(event(tasks=tuple(task(place, "the same goal") for place in (1, 2, 3))), 0.0)
    pool = make_pool(store, signer, tmp_path)
    pool.refresh(np.inf)
    assert sorted(pool.task_ids[pool.copies.rows].tolist()) == [1, 2, 3]
    store.updates.hear(event(tasks=(task(2, "another bank"),)), 1.0)
    pool.refresh(np.inf)
    assert sorted(pool.task_ids[pool.copies.rows].tolist()) == [1, 3]
    # After a restart, too.
    again = make_pool(store, signer, tmp_path)
    again.refresh(np.inf)
    assert sorted(again.task_ids[again.copies.rows].tolist()) == [1, 3]


def test_where_spans_are_marked_auto_asks_by_uncertainty_from_the_first_model_on() -> None:
    answers = ["[]", '[[0, 3, "A"]]', '[[0, 3, "B"]]'] * 2
    new, trained = (Standing.of(SpanAnswers("text"), "AB", answers, is_trained=known) for known in (False, True))
    assert choose_order_of_all("auto", [new], 6) == COVERAGE
    assert choose_order_of_all("auto", [trained], 6) == AUTO_ORDER
    assert choose_order_of_all("margin", [trained], 6) == "margin"
    assert choose_order_of_all("auto", [Standing.of(ONE_LABEL, "AB", "ABABAB", is_trained=True)], 6) == COVERAGE
