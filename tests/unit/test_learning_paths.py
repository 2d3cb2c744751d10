"""Paths as answers: names, decisions, and classes that share the branches of a tree."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_al.learning.beliefs import Beliefs, one_decision
from label_studio_al.learning.classifier import fit_classifier
from label_studio_al.learning.coding import LABEL_SETS, text_of
from label_studio_al.learning.evaluation import hold_out
from label_studio_al.learning.label_sets import ABSENT_PRESENT, SetClassifier
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.learner import Tuning, fit_as, train, tune
from label_studio_al.learning.paths import (
    ONE_PATH,
    PathClassifier,
    Paths,
    PathSetClassifier,
    PathSets,
    answer_of,
    branches,
    name_of,
    names_of,
    path_of,
    walked,
)
from label_studio_al.learning.strategies import STRATEGIES
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest
from tests.support.queries import make_query

paths = st.lists(st.text(alphabet="ab /\\", min_size=1), min_size=1, max_size=4).map(tuple)


@given(paths, paths)
def test_names_of_paths_are_read_back_and_are_never_the_same(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert path_of(name_of(one)) == one
    assert (name_of(one) == name_of(other)) == (one == other)


@given(st.lists(paths, min_size=1, max_size=4))
def test_answers_are_canonical_json(found: list[tuple[str, ...]]) -> None:
    answer = answer_of(map(name_of, found))
    assert answer == answer_of(map(name_of, found[::-1] * 2))
    assert json.loads(answer) == [list(path) for path in sorted(set(found))]
    assert sorted(map(path_of, names_of(answer))) == sorted(set(found))


def test_name_is_plain_where_nothing_can_be_mistaken() -> None:
    assert name_of(["TV/Radio", "on air"]) == "TV/Radio / on air"
    assert name_of(["a / b", "c"]) == r"a \/ b / c"


@pytest.mark.parametrize("text", ["late", "5", '"a"', '["a"]', '[["a"], 1]', "{"])
def test_other_texts_are_no_answers(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is no list of paths"):
        names_of(text)


def answers(*names: str) -> Array:
    """Answers of one path each, or of several with commas between."""
    return np.array([answer_of(name.split(", ")) for name in names], dtype=str)


def test_nothing_but_people_who_give_several_paths_makes_decisions_of_each() -> None:
    assert Paths().settled(answers("a / b", "c").tolist()) is ONE_PATH
    assert Paths(3).settled(answers("a / b", "a, c").tolist()) == PathSets(3)
    assert Paths().settled([]) is ONE_PATH
    assert (Paths().has_one_class, ONE_PATH.has_one_class) == (False, True)


def test_answers_are_counted_renamed_and_cut_by_path() -> None:
    for coding in (Paths(), ONE_PATH, PathSets()):
        assert coding.classes(answers("a / b", "c", "a / b")).tolist() == ["a / b", "c"]
        assert coding.counts(answers("a / b", "c", "a / b").tolist()) == {"a / b": 2, "c": 1}
        assert coding.group("a / b / c") == "a"
        assert coding.group(r"a \/ b / c") == r"a \/ b"
        assert coding.renamed(answer_of(["a / b"]), {"a / b": "a / z"}) == answer_of(["a / z"])
        assert coding.within(answer_of(["a / b"]), {"a"}) is None
        assert coding.confused(*answers("a / b", "a / c").tolist()) == [("a / b", "a / c")]
    assert PathSets().within(answer_of(["a", "b"]), {"b"}) == answer_of(["b"])


def test_path_is_encoded_as_its_place() -> None:
    y = answers("a / b", "c", "a / b")
    assert ONE_PATH.encode(y, ONE_PATH.classes(y)).tolist() == [[0], [1], [0]]
    assert ONE_PATH.changed(y[0], np.array(["a / b", "c"]), 0, 1) == answer_of(["c"])
    with pytest.raises(InvalidRequest, match="an answer must be one path, not"):
        ONE_PATH.encode(answers("a, b"), np.array(["a", "b"]))


@pytest.mark.parametrize(
    ("shares", "path"),
    [
        ({"a / x": 0.3, "a / y": 0.25, "b": 0.45}, "a / x"),
        ({"a / x": 0.2, "a / y": 0.2, "b": 0.6}, "b"),
        # An inner node is a branch of its own, below itself.
        ({"a": 0.3, "a / x": 0.2, "a / y": 0.1, "b": 0.4}, "a"),
        ({"a": 0.1, "a / x": 0.2, "b": 0.2, "b / x": 0.5}, "b / x"),
        ({"a / x / 1": 0.2, "a / x / 2": 0.2, "a / y": 0.3, "b": 0.3}, "a / x / 1"),
        ({"a b / x": 0.3, "a / x": 0.3, "a / y": 0.2, "a ! / z": 0.2}, "a / x"),
        ({"a / x": 1.0}, "a / x"),
    ],
)
def test_way_leads_into_the_more_probable_branch(shares: dict[str, float], path: str) -> None:
    names = np.array(sorted(shares))
    proba = np.array([[shares[name] for name in names]])
    for rows in (proba, np.asfortranarray(np.repeat(proba, 3, axis=0)).astype(np.float32)):
        said = ONE_PATH.decide(one_decision(rows, names))
        assert set(said.labels.tolist()) == {answer_of([path])}
        assert said.confidence == pytest.approx(shares[path])


def test_way_of_each_task_is_its_own() -> None:
    random = np.random.default_rng(0)
    places = sorted({(f"t{n % 4}", f"m{n % 5}", f"l{n}")[: 1 + n % 3] for n in range(24)})
    proba = random.dirichlet(np.full(len(places), 0.3), 50)
    found = walked(proba, places)
    assert found.tolist() == [int(walked(row[None], places)[0]) for row in proba]
    tops = sorted({path[0] for path in places})
    best = proba @ np.array([[path[0] == top for top in tops] for path in places])
    assert [places[place][0] for place in found] == [tops[place] for place in best.argmax(axis=1)]
    assert len(walked(proba[:0], places)) == 0


def test_several_paths_are_one_at_least_and_as_many_as_may_be_at_most() -> None:
    present = np.array([[0.2, 0.1, 0.3], [0.6, 0.9, 0.8], [0.1, 0.2, 0.9]])
    names, cuts = np.array(["a / x", "b", "c"]), np.array([0.3, 0.5, 0.5])
    beliefs = Beliefs(np.stack([1 - present, present], axis=2), ABSENT_PRESENT, names, cuts)
    assert [names_of(answer) for answer in PathSets().decide(beliefs).labels] == [["a / x"], ["a / x", "b", "c"], ["c"]]
    assert [names_of(answer) for answer in PathSets(2).decide(beliefs).labels] == [["a / x"], ["a / x", "b"], ["c"]]
    assert Paths(2).decide(beliefs).labels.tolist() == PathSets(2).decide(beliefs).labels.tolist()
    assert PathSets().decide(Beliefs(np.zeros((2, 0, 2)), ABSENT_PRESENT, names[:0])).labels.tolist() == ["[]", "[]"]


def test_paths_of_a_branch_share_what_lies_above_them() -> None:
    names = np.array(["a / x / 1", "a / x / 2", "a / y", "b", "c", "c / z"])
    parts = branches(names)
    found = (parts @ parts.T).toarray()
    of = {(one, other): found[row, column] for row, one in enumerate(names) for column, other in enumerate(names)}
    assert of["a / x / 1", "a / x / 2"] > of["a / x / 1", "a / y"] > of["a / y", "b"] == 0
    assert of["c", "c / z"] > 0
    assert np.linalg.eigvalsh(found).min() > 0
    # Paths of the same depth are as free as each other, an only child and an only answer too.
    assert of["a / y", "a / y"] == of["b", "b"] == of["c / z", "c / z"] == of["c", "c"]


def data(n: int, seed: int = 0, n_tops: int = 4, n_below: int = 5) -> tuple[Array, Array]:
    """Rows that lie around their top level's middle, and around their path's beside that."""
    random = np.random.default_rng(seed)
    tops, below = random.normal(0, 1, (n_tops, 100)), random.normal(0, 0.6, (n_tops, n_below, 100))
    random = np.random.default_rng([seed, 1])
    top, leaf = random.integers(n_tops, size=n), random.integers(n_below, size=n)
    X = tops[top] + below[top, leaf] + random.normal(0, 3, (n, 100))
    return X.astype(np.float32) / 35, answers(*(f"t{one} / l{other}" for one, other in zip(top, leaf, strict=True)))


def test_tree_teaches_more_than_classes_without_one() -> None:
    gains = []
    for seed in range(10):
        X, y = data(580, seed)
        flat = fit_classifier(X[:80], np.array([names_of(answer)[0] for answer in y[:80]]))
        ours = ONE_PATH.fit(X[:80], y[:80], None, 1.0, {})
        proba = flat.predict_proba(X[80:])
        plain = np.array([answer_of([name]) for name in flat.classes[proba.argmax(axis=1)]])
        said = ONE_PATH.decide(ours.believe(X[80:])).labels
        before, after = ONE_PATH.scores(y[80:], plain), ONE_PATH.scores(y[80:], said)
        gains.append([after[name] - before[name] for name in ("accuracy", "top_level_accuracy")])
    exact, top = np.mean(gains, axis=0)
    assert exact > 0
    assert top > 0.04


def several(n: int = 120) -> tuple[Array, Array]:
    """Every third row has a second path, whose row is added."""
    X, y = data(2 * n)
    has_two = np.arange(n) % 3 == 0
    both = [answer_of({*names_of(one), *names_of(other)}) for one, other in zip(y[:n], y[n:], strict=True)]
    return X[:n] + has_two[:, None] * X[n:], np.where(has_two, both, y[:n])


def test_models_are_those_of_what_people_gave() -> None:
    X, y = data(100)
    assert type(Paths().fit(X, y, None, 1.0, {})) is PathClassifier
    found = Paths(4).fit(*several(), None, 1.0, {})
    assert type(found) is PathSetClassifier
    assert isinstance(found, SetClassifier)


MADE: list[Callable[[int], tuple[Array, Array]]] = [data, several]


@pytest.mark.parametrize("make", MADE)
def test_answers_go_through_tuning_cross_validation_and_suspects(make: Callable[[int], tuple[Array, Array]]) -> None:
    X, y = make(120)
    coding = Paths().settled(y.tolist())
    labelled = Labelled(X, y, np.arange(len(y)), coding)
    tuning = tune(labelled, {"all": np.arange(X.shape[1])}, "all", 0)
    assert tuning.n_labels == 100
    model = train(labelled, {"all": np.arange(X.shape[1])}, tuning)
    held_out = hold_out(fit_as({"all": np.arange(X.shape[1])}, tuning, coding), labelled, 0)
    said = held_out.outcomes()
    assert np.mean([one.is_correct for one in said]) > 0.1
    assert all(names_of(one.predicted) for one in said)
    assert len(held_out.suspects(5)) <= 5
    assert tuple(coding.scores(y, coding.decide(model.believe(X)).labels)) == coding.metrics


@pytest.mark.parametrize("make", MADE)
@pytest.mark.parametrize("name", [one.name for one in STRATEGIES.values() if not one.needs_one_decision])
def test_every_strategy_chooses_tasks_by_paths(make: Callable[[int], tuple[Array, Array]], name: str) -> None:
    X, y = make(90)
    coding = Paths().settled(y.tolist())
    known = Labelled(X[:50], y[:50], np.arange(50), coding)
    query = make_query(
        40, 50, X=X[50:], Z=X[50:], X_labelled=X[:50], Z_labelled=X[:50], y=y[:50], n=6, coding=coding,
        classifier=train(known, {"all": np.arange(X.shape[1])}, Tuning("all")),
        fit=lambda rows, given: coding.fit(rows, given, None, 1.0, {}),
    )  # fmt: skip
    assert len(STRATEGIES[name].choose(query).tasks) == 6


def test_scores_count_the_top_levels_that_are_right() -> None:
    truth, predicted = answers("a / x", "a / y", "b", "a / x, b"), answers("a / x", "a / x", "a / y", "a / y, b")
    found = PathSets().scores(truth, predicted)
    assert (found["accuracy"], found["top_level_accuracy"]) == (0.25, 0.75)
    as_sets = [np.array([text_of(names_of(one)) for one in y.tolist()]) for y in (truth, predicted)]
    assert found["micro_f1"] == LABEL_SETS.scores(as_sets[0], as_sets[1])["micro_f1"]
