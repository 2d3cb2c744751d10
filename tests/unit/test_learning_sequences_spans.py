"""Tokens, units, spans as tags and back, and how good spans are."""

from __future__ import annotations

from itertools import pairwise
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_studio_al.learning.evaluation import Outcome
from label_studio_al.learning.passages import Passage
from label_studio_al.learning.sequences import spans as spans_of
from label_studio_al.learning.sequences.evaluation import evaluate_spans, span_scores
from label_studio_al.learning.sequences.spans import Span, decode, encode
from label_studio_al.learning.sequences.units import MOST_TOKENS, Units, Vocabulary, offsets
from label_studio_al.learning.spans import answer_of

some = settings(max_examples=60, deadline=None, derandomize=True)
CLASSES = {"PER": 0, "ORG": 1}
TEXT = "Ada Lovelace met Mr. Babbage in London."


def tokens(text: str) -> list[str]:
    return [text[start:end] for start, end in offsets(text)]


def units_of(*texts: str) -> Units:
    return Units.of([[Passage(text)] for text in texts], Vocabulary())


def back(texts: list[str], answers: list[list[Span]]) -> list[set[Span]]:
    """Through tags and back to spans."""
    units = units_of(*texts)
    found = decode(encode(answers, units, CLASSES).tags, units.lengths, len(CLASSES))
    kept: list[set[Span]] = [set() for _ in texts]
    for text, start, end, label in zip(*found.in_text(units), found.classes, strict=True):
        kept[text].add(Span(int(start), int(end), list(CLASSES)[label]))
    return kept


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Mr. X-2, isn't", ["Mr", ".", "X", "-", "2", ",", "isn", "'", "t"]),
        ("caf\u00e9 🙂🙂\t$5", ["caf\u00e9", "🙂", "🙂", "$", "5"]),
        ("東京へ", ["東", "京", "へ"]),
        (normalize("NFD", "\u00e9l\u00e8ve"), [normalize("NFD", "\u00e9l\u00e8ve")]),
        ("❤\ufe0f!", ["❤\ufe0f", "!"]),
        (" \r\n\t", []),
        ("", []),
    ],
)
def test_tokens_are_words_and_single_signs(text: str, wanted: list[str]) -> None:
    assert tokens(text) == wanted


@some
@given(st.text(max_size=60))
def test_tokens_hold_every_character_but_blanks_once(text: str) -> None:
    found = offsets(text)
    assert all(start < end for start, end in found)
    assert all(end <= start for (_, end), (start, _) in pairwise(found))
    covered = {place for start, end in found for place in range(start, end)}
    assert all(place in covered or char.isspace() for place, char in enumerate(text))


def test_long_text_is_cut_at_lines_then_at_sentences() -> None:
    lines = "word " * 100 + "\n" + "word " * 60
    sentences = "word. " * 90
    units = units_of("short", lines, sentences, "", "x " * 300)
    assert units.lengths.tolist() == [1, 100, 60, 128, 52, 128, 128, 44]
    assert units.text_of.tolist() == [0, 1, 1, 2, 2, 4, 4, 4]
    assert units.by_text(units.lengths).tolist() == [1, 160, 180, 0, 300]
    assert units.lengths.max() <= MOST_TOKENS


def test_vocabulary_goes_on_after_another_that_stays_as_it_is() -> None:
    base = Vocabulary()
    first = [base["a"], base["b"], base["a"]]
    more = Vocabulary(base)
    assert (first, more["b"], more["c"], more["a"], more["c"]) == ([0, 1, 0], 1, 2, 0, 2)
    assert (base.added, more.added) == (["a", "b"], ["c"])


def test_spans_become_tags_and_spans_again() -> None:
    answers = [Span(0, 12, "PER"), Span(21, 28, "PER"), Span(32, 38, "ORG")]
    encoded = encode([answers], units_of(TEXT), CLASSES)
    assert encoded.tags.tolist() == [1, 3, 0, 0, 0, 1, 0, 2, 0]
    assert encoded.changes == ()
    assert back([TEXT], [answers]) == [set(answers)]


def test_neighbouring_spans_of_one_class_stay_two() -> None:
    answers = [Span(0, 3, "PER"), Span(4, 12, "PER")]
    assert back([TEXT], [answers]) == [set(answers)]


@pytest.mark.parametrize(
    ("span", "why", "became"),
    [
        (Span(1, 9, "PER"), spans_of.WIDENED, Span(0, 12, "PER")),
        (Span(3, 4, "PER"), spans_of.BLANK, None),
        (Span(0, 3, "LOC"), spans_of.UNKNOWN, None),
        (Span(-4, 3, "PER"), spans_of.BEYOND, None),
        (Span(9, 4, "PER"), spans_of.BEYOND, None),
        (Span(30, 99, "PER"), spans_of.BEYOND, None),
        (Span(4, 4, "PER"), spans_of.BEYOND, None),
    ],
)
def test_span_that_cannot_be_learnt_as_it_is_is_told(span: Span, why: str, became: Span | None) -> None:
    encoded = encode([[], [span]], units_of("nothing", TEXT), CLASSES)
    assert encoded.changes == (spans_of.Change(1, span, why, became),)
    assert back([TEXT], [[span]]) == [{became} if became else set()]


def test_blanks_at_the_ends_of_a_span_do_not_matter() -> None:
    encoded = encode([[Span(3, 13, "PER")]], units_of(TEXT), CLASSES)
    assert (encoded.tags.tolist(), encoded.changes) == ([0, 1, 0, 0, 0, 0, 0, 0, 0], ())


def test_outermost_span_stays() -> None:
    inner, outer, across = Span(4, 12, "ORG"), Span(0, 16, "PER"), Span(13, 28, "ORG")
    encoded = encode([[inner, across, outer]], units_of(TEXT), CLASSES)
    whys = {change.span: change.why for change in encoded.changes}
    assert whys == {inner: spans_of.WITHIN, across: spans_of.ACROSS} or whys == {
        inner: spans_of.WITHIN,
        outer: spans_of.ACROSS,
    }
    assert len(back([TEXT], [[inner, across, outer]])[0]) == 1


def test_the_same_span_of_two_classes_is_learnt_as_the_first() -> None:
    assert back([TEXT], [[Span(0, 3, "ORG"), Span(0, 3, "PER")]]) == [{Span(0, 3, "ORG")}]


def test_span_across_units_begins_in_each_anew() -> None:
    text = "x " * 200
    encoded = encode([[Span(250, 262, "PER")]], units_of(text), CLASSES)
    assert np.flatnonzero(encoded.tags).tolist() == list(range(125, 131))
    assert encoded.tags[[125, 126, 128, 129]].tolist() == [1, 3, 1, 3]


token_spans = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 3), st.sampled_from(["PER", "ORG"])), max_size=5)


@some
@given(token_spans)
def test_spans_of_whole_tokens_that_do_not_overlap_come_back(drawn: list[tuple[int, int, str]]) -> None:
    places, taken, answers = offsets(TEXT), set[int](), set[Span]()
    for first, more, label in drawn:
        own = set(range(first, min(first + more, len(places) - 1) + 1))
        if not own & taken:
            taken |= own
            answers.add(Span(places[min(own)][0], places[max(own)][1], label))
    assert back([TEXT], [list(answers)]) == [answers]


answer_lists = st.lists(
    st.tuples(
        st.sets(st.tuples(st.integers(0, 3), st.sampled_from(["A", "B"])), max_size=4),
        st.sets(st.tuples(st.integers(0, 3), st.sampled_from(["A", "B"])), max_size=4),
    ),
    min_size=1,
    max_size=5,
)


@some
@given(answer_lists)
def test_figures_count_spans_one_by_one(drawn: list[tuple[set[tuple[int, str]], set[tuple[int, str]]]]) -> None:
    truth, said = ([[(p, p + 1, c) for p, c in pair[side]] for pair in drawn] for side in (0, 1))
    found = evaluate_spans(outcomes(truth, said), ["A", "B"])
    hits = sum(1 for own, other in zip(truth, said, strict=True) for span in other if span in own)
    n_true, n_said = sum(map(len, truth)), sum(map(len, said))
    f1 = 2 * hits / (n_true + n_said) if n_true + n_said else 1
    assert found.micro_f1 is not None
    assert found.micro_f1.value == pytest.approx(f1)
    assert found.micro_f1.low <= found.micro_f1.value <= found.micro_f1.high
    assert found.accuracy is not None
    assert found.accuracy.value == sum(set(a) == set(b) for a, b in zip(truth, said, strict=True)) / len(drawn)
    assert [one.n_true for one in found.labels] == [sum(s[2] == c for t in truth for s in t) for c in "AB"]
    scores = span_scores(*(np.array([answer_of(spans) for spans in side], dtype=str) for side in (truth, said)))
    assert scores["micro_f1"] == pytest.approx(f1)
    assert scores["accuracy"] == found.accuracy.value
    assert scores["macro_f1"] == pytest.approx(found.macro_f1.value if found.macro_f1 else None)


def test_only_start_end_and_label_together_are_right() -> None:
    truth = [[(0, 3, "A")]] * 4
    said = [[(0, 3, "A")], [(0, 2, "A")], [(1, 3, "A")], [(0, 3, "B")]]
    found = evaluate_spans(outcomes(truth, said), ["A"])
    assert [(one.label, one.precision, one.recall) for one in found.labels] == [("A", 1 / 3, 0.25), ("B", 0.0, None)]
    assert [(one.true, one.predicted, one.count) for one in found.confusions] == [("A", "B", 1)]


def test_nothing_to_count_is_said() -> None:
    assert evaluate_spans([], ["A"]).micro_f1 is None
    empty = evaluate_spans(outcomes([[]], [[]]), ["A"])
    assert (empty.labels[0].precision, empty.labels[0].recall) == (None, None)


def outcomes(truth: list[list[tuple[int, int, str]]], said: list[list[tuple[int, int, str]]]) -> list[Outcome]:
    pairs = zip(truth, said, strict=True)
    return [Outcome(answer_of(own), answer_of(other), 0.5, 10, is_audit=False) for own, other in pairs]
