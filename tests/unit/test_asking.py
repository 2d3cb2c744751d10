"""Who is asked next: draws are fair, order does not count, and a text is asked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from label_studio_al.learning import draws
from label_studio_al.learning.asking import COVERAGE, MIXED, RANDOM, Asked, Situation, ask, ask_and_audit, with_audits
from label_studio_al.learning.beliefs import Beliefs, Measure, one_decision
from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.coding import ONE_LABEL
from label_studio_al.learning.copies import Copies
from label_studio_al.learning.coverage import cover
from label_studio_al.learning.strategies import STRATEGIES, Ranking
from label_studio_al.learning.types import Array
from tests.support.queries import features

N_SEEDS = 2_000
# Standard deviations, for thousands of figures at once; seeds are fixed, so a run is like another.
WIDTH = 5.0
NONE = np.zeros(0, dtype=np.int64)
ORDERS = [*STRATEGIES, COVERAGE, MIXED]


@dataclass(frozen=True)
class Told:
    """A model that is as unsure of a task as its only feature says, and answers the same on all."""

    classes: Array

    def believe(self, X: Any) -> Beliefs:
        unsure = np.asarray(X)[:, 0] / 2
        return one_decision(np.column_stack([1 - unsure, unsure]), self.classes)

    def measured(self, X: Any, measure: Measure) -> Array:
        return self.believe(X).measured(measure)


def situation(
    unsure: Array, asked: Sequence[int] = (), waiting: Sequence[int] = (), seed: int = 0, contents: Array | None = None
) -> Situation:
    """Tasks that are numbered by their places. Behind them lie two more, which are labelled since ever."""
    n, before = len(unsure), np.array(asked, dtype=np.int64)
    keys, labelled = np.arange(n + 2), np.concatenate([before, [n, n + 1]])
    X = np.append(unsure, [0.0, 0.0])[:, None]
    contents = keys if contents is None else np.append(contents, np.array([10**6, 10**6 + 1], dtype=np.uint64))
    return Situation(
        X=X,
        Z=X,
        keys=keys,
        copies=Copies.among(contents, keys),
        pool=np.setdiff1d(keys[:n], [*asked, *waiting]),
        labelled=labelled,
        coding=ONE_LABEL,
        y=np.array(["A"] * len(labelled), dtype=str),
        asked=before,
        waiting=np.array(waiting, dtype=np.int64),
        n_classes=2,
        classifier=Told(np.array(["A", "B"])),  # type: ignore[arg-type]
        coverage=lambda n_groups: cover(X, keys, n_groups, seed),
        fit=fit_classifier,
        batch=10,
        seed=seed,
    )


def assert_fair(is_drawn: Array) -> None:
    """Each task is drawn equally often, and so is each pair, a neighbour no more than a stranger.

    is_drawn: shape (n_seeds, n_tasks), tasks in the order in which they lie.
    """
    counts = is_drawn.astype(float)
    each, pairs = counts.sum(axis=0), counts.T @ counts
    together = pairs[np.triu_indices(len(each), 1)]
    for found in (each, together):
        assert found.mean() > 10
        assert np.abs(found - found.mean()).max() < WIDTH * np.sqrt(found.mean())
    neighbours = np.diagonal(pairs, 1)
    assert abs(neighbours.mean() - together.mean()) < WIDTH * np.sqrt(together.mean() / len(neighbours))


# -- at random ------------------------------------------------------------------------------------------------


def test_random_batches_are_fair_each_and_together() -> None:
    n_tasks, size = 66, 6
    whole = situation(np.zeros(n_tasks))
    drawn_in = np.zeros((4, N_SEEDS, n_tasks), dtype=bool)
    for seed in range(N_SEEDS):
        left = whole.pool
        # The first, the second, the third to the ninth, the tenth batch.
        for batch, n in enumerate((size, size, 7 * size, size)):
            asked = ask_and_audit(RANDOM, replace(whole, pool=left, seed=seed), n, 0.0)
            assert asked.is_audit.all()
            drawn_in[batch, seed, asked.tasks] = True
            left = np.setdiff1d(left, asked.tasks)
    assert drawn_in.sum(axis=0).max() == 1
    for batch in (0, 1, 3):
        assert drawn_in[batch].sum() == N_SEEDS * size
        assert_fair(drawn_in[batch])
    # The task that lies next to a drawn one is no likelier to come in the next batch than any other.
    after = drawn_in[0].astype(float).T @ drawn_in[1].astype(float)
    neighbours = np.concatenate([np.diagonal(after, 1), np.diagonal(after, -1)])
    others = after.sum() / (n_tasks * (n_tasks - 1))
    assert abs(neighbours.mean() - others) < WIDTH * np.sqrt(others / len(neighbours))


def test_random_order_of_the_others_stays_when_tasks_leave_or_join() -> None:
    whole = ask(RANDOM, situation(np.zeros(40)), 40).tasks.tolist()
    some = ask(RANDOM, situation(np.zeros(40), asked=[3, 17, 18], waiting=[5]), 40).tasks.tolist()
    assert some == [task for task in whole if task not in (3, 17, 18, 5)]


def favourites(n_tasks: int, pool: Array) -> Ranking:
    """A strategy that loves the first tasks of the file."""
    return Ranking(pool, 1 - pool / n_tasks)


def audited(whole: Situation, sizes: Sequence[int], share: float, *, are_labelled: bool) -> Array:
    """The audits among the last batch's tasks, after batches that were labelled, or pushed under one version."""
    before = NONE
    for size in sizes:
        pool = np.setdiff1d(whole.pool, before)
        now = replace(
            whole, pool=pool, **dict.fromkeys(("labelled", "asked") if are_labelled else ("waiting",), before)
        )
        ranking = favourites(len(whole.pool), pool)
        batch = with_audits(Ranking(ranking.tasks[:size], ranking.informativeness[:size]), now, share)
        before = np.concatenate([before, batch.tasks])
    return batch.tasks[batch.is_audit]


@pytest.mark.parametrize(
    ("sizes", "are_labelled"),
    [([10], True), ([10, 10], True), ([10, 10, 70, 10], True), ([10, 10], False)],
    ids=["1st", "2nd", "10th", "top-up"],
)
def test_audits_are_fair_whatever_the_strategy_loves(sizes: list[int], are_labelled: bool) -> None:
    n_tasks, share = 120, 0.4
    whole = situation(np.zeros(n_tasks))
    is_drawn = np.zeros((N_SEEDS, n_tasks), dtype=bool)
    for seed in range(N_SEEDS):
        is_drawn[seed, audited(replace(whole, seed=seed), sizes, share, are_labelled=are_labelled)] = True
    # Those that the strategy may have taken before have gone; of the others, none is likelier than another.
    some = is_drawn[:, sum(sizes[:-1]) :]
    each = some.sum(axis=0)
    assert some.sum() > N_SEEDS / 2
    assert np.abs(each - each.mean()).max() < WIDTH * np.sqrt(each.mean())
    n_left = some.shape[1]
    neighbours = (some[:, 1:] & some[:, :-1]).sum()
    n_pairs = sum(n * (n - 1) / 2 for n in some.sum(axis=1).tolist())
    expected = n_pairs * (n_left - 1) / (n_left * (n_left - 1) / 2)
    assert abs(neighbours - expected) < WIDTH * np.sqrt(expected)


def test_audits_tell_the_truth_of_what_is_not_labelled() -> None:
    """Wrong is the model where the strategy asks; windows of 40 of which 5 are labelled before the next training."""
    n_tasks, errors = 200, []
    for seed in range(400):
        asked: list[int] = []
        for _ in range(8):
            now = situation(np.zeros(n_tasks), asked, seed=seed)
            ranking = favourites(n_tasks, now.pool)
            window = with_audits(Ranking(ranking.tasks[:40], ranking.informativeness[:40]), now, 0.2)
            truth = float((now.pool < 60).mean())
            errors += [(task < 60) - truth for task in window.tasks[:5][window.is_audit[:5]].tolist()]
            asked += window.tasks[:5].tolist()
    assert len(errors) > 2_500
    assert abs(np.mean(errors)) < WIDTH * np.std(errors) / np.sqrt(len(errors))


def test_audits_tell_the_truth_where_the_next_task_is_open_before_the_model_is_trained() -> None:
    """Each label trains a model. The strategy asks what the model gets wrong; its window holds 40 of 100 tasks."""
    n_tasks, is_wrong, errors, n_labels = 100, np.arange(100) < 30, [], 0
    for seed in range(150):
        draw, asked, opened = np.random.default_rng(seed), list[int](), NONE
        window = Asked(NONE, np.zeros(0), np.zeros(0, dtype=bool))
        for _ in range(20):
            is_shown = ~np.isin(window.tasks, asked)
            is_shown &= is_shown.cumsum() <= 10
            shown, shown_audits = window.tasks[is_shown], window.tasks[is_shown & window.is_audit]
            now = replace(situation(np.zeros(n_tasks), asked, seed=seed), shown=shown, shown_audits=shown_audits)
            order = draw.permutation(now.pool)
            wanted = order[np.argsort(~is_wrong[order], kind="stable")][:40]
            window = with_audits(Ranking(wanted, np.linspace(1, 0, 40)), now, 0.2)
            if not len(opened):
                opened = window.tasks[:1]
            task = int(opened[0])
            if task in window.tasks[window.is_audit]:
                errors.append(is_wrong[task] - float(is_wrong[now.pool].mean()))
            asked.append(task)
            opened = window.tasks[~np.isin(window.tasks, asked)][:1]
            n_labels += 1
    assert len(errors) / n_labels == pytest.approx(0.2, abs=0.05)
    assert abs(np.mean(errors)) < WIDTH * np.std(errors) / np.sqrt(len(errors))


def test_what_people_may_have_open_stays_what_it_is() -> None:
    now = replace(situation(np.zeros(60), asked=[59]), shown=np.arange(10, 20), shown_audits=np.array([17, 12]))
    window = with_audits(favourites(60, now.pool[:40]), now, 0.3)
    audits = window.tasks[window.is_audit].tolist()
    assert audits[:2] == [17, 12]
    assert set(audits[2:]).isdisjoint(range(10, 20))
    assert len(audits) > 5
    # Where nothing else is left, the strategy asks it.
    rest = replace(now, pool=np.arange(10, 20))
    window = with_audits(favourites(60, rest.pool), rest, 1.0)
    assert window.tasks[window.is_audit].tolist() == [17, 12]
    assert sorted(window.tasks.tolist()) == list(range(10, 20))


def test_share_of_the_places_is_kept_however_often_the_window_is_made_anew() -> None:
    asked: list[int] = []
    n_audits = 0
    for _ in range(150):
        now = situation(np.zeros(1_000), asked)
        window = with_audits(favourites(1_000, now.pool[:60]), now, 0.2)
        n_audits += int(window.is_audit[:3].sum())
        asked += window.tasks[:3].tolist()
    expected = draws.uniforms(np.arange(450), 0, "audit places") < 0.2
    assert n_audits == expected.sum()
    assert n_audits / 450 == pytest.approx(0.2, abs=0.06)


# -- the order of the tasks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_sorted_and_shuffled_tasks_are_asked_alike(order: str) -> None:
    X, y = features(150)
    by_label = np.argsort(y, kind="stable")
    X, y, labelled = X[by_label], y[by_label], np.arange(0, 150, 6)

    def asked(places: Array) -> Asked:
        rows, keys = X[places], places
        at = np.argsort(places)
        now = Situation(
            X=sp.csr_matrix(rows),
            Z=rows,
            keys=keys,
            copies=Copies.among(keys, np.arange(150)),
            pool=np.sort(at[np.setdiff1d(np.arange(150), labelled)]),
            labelled=at[labelled],
            coding=ONE_LABEL,
            y=y[labelled],
            asked=at[labelled],
            waiting=NONE,
            n_classes=3,
            classifier=fit_classifier(sp.csr_matrix(X[labelled]), y[labelled]),
            coverage=partial(cover, rows, keys, seed=1),
            fit=fit_classifier,
            batch=10,
            seed=1,
        )
        return ask_and_audit(order, now, 40, 0.2)

    expected = asked(np.arange(150))
    for seed in range(3):
        places = np.random.default_rng(seed).permutation(150)
        found = asked(places)
        assert places[found.tasks].tolist() == expected.tasks.tolist()
        assert found.is_audit.tolist() == expected.is_audit.tolist()


# -- copies of a text -----------------------------------------------------------------------------------------


def with_copies(asked: Sequence[int] = (), waiting: Sequence[int] = ()) -> Situation:
    """Thirty tasks of ten texts: tasks 0, 10 and 20 have the first one, of which the model is the least sure, and so
    on; tasks 30 to 39 have a text of their own."""
    text = np.concatenate([np.tile(np.arange(10), 3), np.arange(10, 20)])
    return situation(1 - text / 40, asked, waiting, contents=text.astype(np.uint64))


@pytest.mark.parametrize("order", ["margin", "entropy", "cluster_margin", "k_center", "typiclust", COVERAGE, MIXED])
def test_copies_of_a_text_are_one_question(order: str) -> None:
    ranking = ask(order, with_copies(), 40)
    texts = with_copies().copies.texts_of(ranking.tasks)
    assert sorted(ranking.tasks.tolist()) == list(range(40))
    first = ranking.tasks[:20]
    assert len({int(task) % 10 for task in first if task < 30}) == 10
    assert (texts[20:] >= 0).all()
    assert ranking.informativeness[20:].tolist() == [0] * 20
    assert (np.diff(ranking.informativeness) <= 0).all()


@pytest.mark.parametrize("where", ["asked", "waiting"])
def test_copies_of_what_was_asked_come_last(where: str) -> None:
    ranking = ask("margin", with_copies(**{where: [10, 31]}), 40)
    assert not {0, 20} & set(ranking.tasks[:18].tolist())
    assert {0, 20} <= set(ranking.tasks[18:].tolist())
    assert ask("margin", with_copies(**{where: [10, 31]}), 18).tasks.tolist() == ranking.tasks[:18].tolist()


def test_six_copies_are_asked_once_in_fifty() -> None:
    unsure = np.concatenate([np.full(6, 1.0), np.linspace(0.9, 0.1, 200)])
    contents = np.concatenate([np.zeros(6), np.arange(1, 201)]).astype(np.uint64)
    asked: list[int] = []
    for _ in range(5):
        asked += ask("margin", situation(unsure, asked, contents=contents), 10).tasks.tolist()
    assert sum(task < 6 for task in asked) == 1


def test_at_random_copies_are_tasks_of_their_own() -> None:
    n_copies = [
        sum(task < 30 for task in ask(RANDOM, replace(with_copies(), seed=seed), 10).tasks.tolist())
        for seed in range(300)
    ]
    assert np.mean(n_copies) == pytest.approx(7.5, abs=0.3)


def test_audits_draw_copies_as_tasks_of_their_own_and_the_strategy_does_not_repeat_them() -> None:
    drawn = np.zeros(40)
    for seed in range(1_000):
        asked = ask_and_audit("margin", replace(with_copies(), seed=seed), 15, 0.3)
        drawn[asked.tasks[asked.is_audit]] += 1
        audits = {int(task) % 10 for task in asked.tasks[asked.is_audit] if task < 30}
        strategic = [int(task) % 10 for task in asked.tasks[~asked.is_audit] if task < 30]
        assert len(strategic) == len(set(strategic))
        assert not audits & set(strategic)
    assert np.abs(drawn - drawn.mean()).max() < WIDTH * np.sqrt(drawn.mean())


def test_followers_are_all_but_one_of_each_text_wherever_they_lie() -> None:
    contents = np.array([5, 7, 5, 9, 7, 5], dtype=np.uint64)
    keys = np.array([60, 61, 62, 63, 64, 65])
    copies = Copies.among(contents, np.arange(6))
    assert copies.rows.tolist() == [0, 1, 2, 4, 5]
    followers = keys[copies.followers(keys, np.arange(6), NONE, 0)]
    assert len(followers) == 3
    moved = np.array([5, 3, 4, 0, 2, 1])
    other = Copies.among(contents[moved], np.arange(6))
    assert keys[moved][other.followers(keys[moved], np.arange(6), NONE, 0)].tolist() == followers.tolist()
    assert {2, 5} <= set(copies.followers(keys, np.array([1, 2, 4, 5]), np.array([0]), 0).tolist())
    assert copies.texts_of(np.array([0, 5, 3])).tolist() == [0, 0, -1]
    assert Copies.among(keys, np.arange(6)).followers(keys, np.arange(6), NONE, 0).tolist() == []
