"""<Taxonomy>: what it asks, how its JSON and data files are read, what its figures say."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

import numpy as np
import pytest

from label_studio_al.learning.beliefs import Beliefs, one_decision
from label_studio_al.learning.coding import group_counts
from label_studio_al.learning.evaluation import Outcome
from label_studio_al.learning.label_sets import ABSENT_PRESENT
from label_studio_al.learning.paths import ONE_PATH, Paths, answer_of
from label_studio_al.questions import Taxonomy, label_counts, parse_config, read_controls
from label_studio_al.questions.base import OTHER_CONTROL, OTHER_TYPE, UNKNOWN_LABEL, Reading
from label_studio_al.runtime.errors import InvalidRequest
from tests.support.shop import ANY, CONFIG, ONE, result

LABELS = (
    "order", "order / late", "order / lost", "order / wrong", "payment", "payment / card", "payment / refund", "other"
)  # fmt: skip
LEAVES = ("order / late", "order / lost", "order / wrong", "payment / card", "payment / refund", "other")
REASON = Taxonomy("reason", "text", LABELS)
ONLY_ONE = Taxonomy("reason", "text", LABELS, 1)
LATE, CARD = ["order", "late"], ["payment", "card"]
ODD = ([], [[]], LATE, "late", None, [[1]], [["order", None]], [["order", ""]], {}, [LATE, []], [LATE, "a"])
A_AND_B = '<Choice value="a"><Choice value="b"/></Choice>'


def text(*paths: list[str]) -> str:
    return json.dumps(list(paths))


def about(inside: str, attributes: str = "") -> str:
    control = f'<Taxonomy name="t" toName="text" {attributes}>{inside}</Taxonomy>'
    return f'<View><Text name="text" value="$t"/>{control}</View>'


def test_config_asks_for_paths() -> None:
    assert parse_config(ANY).question == REASON
    assert parse_config(ONE).question == ONLY_ONE
    assert (REASON.coding, ONLY_ONE.coding) == (Paths(), ONE_PATH)
    assert [one.summary for one in (REASON, ONLY_ONE)] == ["one or more of 8 paths", "one of 8 paths"]
    assert Taxonomy("reason", "text", LABELS, 3).summary == "up to 3 of 8 paths"
    assert REASON.fingerprint != ONLY_ONE.fingerprint


def test_leaves_alone_may_be_answers() -> None:
    found = parse_config(CONFIG.format('leafsOnly="true"')).question
    assert found.labels == LEAVES
    assert found.read(result([["order"]])) == Reading(None, UNKNOWN_LABEL, ("order",))


def test_path_goes_by_aliases_as_in_results() -> None:
    inside = '<Choice value="A" alias="a"><Choice value="B" alias="b"/></Choice><Choice value="C"/>'
    assert parse_config(about(inside)).question.labels == ("a", "a / b", "C")


@pytest.mark.parametrize("attribute", ["", "none", "0", "-1", "1.5"])
def test_odd_limit_is_none(attribute: str) -> None:
    assert parse_config(CONFIG.format(f'maxUsages="{attribute}"')).question == REASON


@pytest.mark.parametrize(
    ("xml", "rule"),
    [
        (CONFIG.format('apiUrl="https://example.org/tree"'), "must stand in the label config, not come from the tasks"),
        (CONFIG.format('value="$options"'), "must stand in the label config, not come from the tasks"),
        (about('<Choice value="$a"><Choice value="b"/></Choice>'), "must stand in the label config"),
        *((CONFIG.format(f'{name}="true"'), f"not {name}") for name in ("perRegion", "perItem", "labeling")),
        (about(""), "must offer 2 paths or more, not 0"),
        (about(A_AND_B, 'leafsOnly="true"'), "must offer 2 paths or more, not 1"),
    ],
)
def test_config_that_cannot_be_learned_is_left_to_people(xml: str, rule: str) -> None:
    (control,) = read_controls(xml)
    assert control.question is None
    assert rule in control.reason


@pytest.mark.parametrize(
    ("given", "reading"),
    [
        (result([LATE]), Reading(text(LATE))),
        (result([["order"]]), Reading(text(["order"]))),
        (result([CARD, LATE]), Reading(text(LATE, CARD))),
        (result([LATE, LATE, ["order"]]), Reading(text(["order"], LATE))),
        (result([LATE, ["order", "gone"]]), Reading(text(LATE), None, ("order / gone",))),
        (result([["gone"]]), Reading(None, UNKNOWN_LABEL, ("gone",))),
        (result([["late"]]), Reading(None, UNKNOWN_LABEL, ("late",))),
        (result([["order / late"]]), Reading(None, UNKNOWN_LABEL, (r"order \/ late",))),
        (result([LATE], "another"), Reading(unread=OTHER_CONTROL)),
        ([*result([LATE]), *result([LATE])], Reading(text(LATE))),
        ([*result([LATE]), *result([CARD])], Reading(unread=OTHER_TYPE)),
        ([], Reading()),
        (None, Reading()),
        *((result(bad), Reading(unread=OTHER_TYPE)) for bad in ODD),
        ([{"from_name": "reason"}], Reading(unread=OTHER_TYPE)),
        ([{"from_name": "reason", "value": {"choices": ["order"]}}], Reading(unread=OTHER_TYPE)),
    ],
)
def test_paths_are_the_answer(given: object, reading: Reading) -> None:
    assert REASON.read(given) == reading


def test_more_paths_than_may_be_are_no_answer() -> None:
    assert ONLY_ONE.read(result([LATE])) == Reading(text(LATE))
    assert ONLY_ONE.read(result([LATE, CARD])) == Reading(unread=OTHER_TYPE)
    assert ONLY_ONE.read(result([LATE, ["gone"]])) == Reading(text(LATE), None, ("gone",))


def test_prediction_is_read_as_it_was_written() -> None:
    (item,) = REASON.write(text(CARD, LATE), 0.5)
    assert (item["type"], item["value"], item["score"]) == ("taxonomy", {"taxonomy": [LATE, CARD]}, 0.5)
    assert REASON.read([item]) == Reading(text(LATE, CARD))
    assert REASON.write(text(["gone"]), 0.5) == []


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (LATE, text(LATE)),
        ([CARD, LATE], text(LATE, CARD)),
        ('["order", "late"]', text(LATE)),
        ('[["order", "late"], ["gone"]]', text(["gone"], LATE)),
        (["a / b"], text(["a / b"])),
    ],
)
def test_cell_of_a_data_file_is_a_path_or_several(value: object, answer: str) -> None:
    assert REASON.parse(value) == answer


@pytest.mark.parametrize(
    "value", ["late", "[]", [], [[]], [""], ["a", 1], ["a", ["b"]], {"taxonomy": [LATE]}, "5", '"a"']
)
def test_cell_that_holds_something_else_is_refused_with_what_came(value: object) -> None:
    with pytest.raises(InvalidRequest, match=r"must be a path in JSON .*, or a list of paths, not "):
        REASON.parse(value)
    with pytest.raises(InvalidRequest, match=r"must be 1 paths at most, not \[\["):
        ONLY_ONE.parse([LATE, CARD])


def test_best_goes_down_the_tree_among_paths_that_are_offered() -> None:
    names = np.array(["gone", "order / late", "order / lost", "payment / card"])
    beliefs = one_decision(np.array([[0.1, 0.3, 0.25, 0.35], [0.7, 0.1, 0.1, 0.1]]), names)
    first, second = REASON.best(beliefs, 2)
    assert first == [(text(LATE), 0.3), (text(CARD), 0.35)]
    assert second[0] == (text(LATE), 0.1)
    assert REASON.best(beliefs, 1, [text(CARD), None])[0] == [(text(CARD), 0.35)]
    assert REASON.best(beliefs, 1, [text(["gone"]), text(LATE, CARD)])[0] == [(text(LATE), 0.3)]
    assert REASON.best(one_decision(np.ones((2, 1)), np.array(["gone"])), 2) == [[], []]


def test_best_of_several_paths_is_never_none_nor_too_many() -> None:
    names = np.array(["gone", "order / late", "payment / card"])
    present = np.array([[0.9, 0.8, 0.7], [0.9, 0.2, 0.1]])
    beliefs = Beliefs(np.stack([1 - present, present], axis=2), ABSENT_PRESENT, names, np.full(3, 0.5))
    several, one = REASON.best(beliefs, 2)
    assert [answer for answer, _ in several] == [text(LATE, CARD), text(LATE)]
    assert one[0][0] == text(LATE)
    assert all(answer != "[]" for answer, _ in one)
    limited = Taxonomy("reason", "text", LABELS, 2)
    three = Beliefs(np.full((1, 3, 2), 0.5), ABSENT_PRESENT, np.array(["order / late", "other", "payment / card"]))
    assert [len(json.loads(answer)) for answer, _ in limited.best(three, 1)[0]] == [2]


def outcomes(*pairs: tuple[str, str]) -> list[Outcome]:
    return [Outcome(said, predicted, 0.5, 10, is_audit=True) for said, predicted in pairs]


def test_figures_are_of_paths_and_of_their_top_level() -> None:
    found = REASON.figures(
        outcomes((text(LATE), text(LATE)), (text(LATE), text(["order", "lost"])), (text(CARD), text(LATE))), LABELS, 0
    )
    assert found.accuracy is not None
    assert found.top_level_accuracy is not None
    assert found.accuracy.value == pytest.approx(1 / 3)
    assert found.top_level_accuracy.value == pytest.approx(2 / 3)
    assert found.top_level_accuracy.low < 2 / 3 < found.top_level_accuracy.high
    # Paths that occur, in the config's order; top levels all of them.
    assert [one.label for one in found.labels] == ["order / late", "order / lost", "payment / card"]
    assert [one.label for one in found.top_levels] == ["order", "payment", "other"]
    assert (found.labels[0].precision, found.labels[0].recall) == (0.5, 0.5)
    assert found.recall == {"order": 1.0, "payment": 0.0, "other": None}
    assert found.confusions[0].true in ("order / late", "payment / card")
    json.dumps(asdict(found), allow_nan=False)


def test_without_outcomes_there_are_no_figures() -> None:
    found = REASON.figures([], LABELS, 0)
    assert (found.n, found.accuracy, found.top_level_accuracy) == (0, None, None)


def test_answer_is_shown_as_people_read_paths() -> None:
    assert REASON.show(text(LATE, ["other"])) == "order / late, other"


def test_cold_start_counts_top_levels_and_people_see_paths() -> None:
    answers = [text(LATE), text(LATE, ["order", "lost"]), text(CARD)]
    assert group_counts(REASON.coding, REASON.labels, answers) == {"order": 2, "payment": 1, "other": 0}
    assert label_counts(REASON, answers) == {"order / late": 2, "order / lost": 1, "payment / card": 1}


def test_three_thousand_nodes_are_read_in_no_time() -> None:
    inside = "".join(
        f'<Choice value="top {top}">'
        + "".join(f'<Choice value="m{middle}">{leaves}</Choice>' for middle in range(10))
        + "</Choice>"
        for top in range(30)
        for leaves in ("".join(f'<Choice value="leaf {leaf}"/>' for leaf in range(9)),)
    )
    began = time.perf_counter()
    question = parse_config(about(inside)).question
    assert len(question.labels) == 30 * (1 + 10 * (1 + 9)) == 3030
    given = [[f"top {n % 30}", f"m{n % 10}", f"leaf {n % 9}"] for n in range(1000)]
    readings = [question.read(result([path], "t")) for path in given]
    assert all(reading.answer == answer_of([" / ".join(path)]) for reading, path in zip(readings, given, strict=True))
    assert len(group_counts(question.coding, question.labels, ())) == 30
    assert time.perf_counter() - began < 5


def test_what_is_shown_beside_a_path_goes_by_its_last_name() -> None:
    beside = (
        '<Choices name="why" toName="text" visibleWhen="choice-selected" whenTagName="reason" whenChoiceValue="late">'
        '<Choice value="A"/><Choice value="B"/></Choices></View>'
    )
    config = parse_config(ANY.replace("</View>", beside))
    given = {"reason": (text(LATE), 1.0), "why": ("A", 1.0)}
    assert [item["from_name"] for item in config.write(given)] == ["reason", "why"]
    assert [item["from_name"] for item in config.write(given | {"reason": (text(CARD), 1.0)})] == ["reason"]
