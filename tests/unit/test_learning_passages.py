"""Where texts that spans are marked in are, and what positions in them mean."""

from __future__ import annotations

import pytest

from label_studio_al.learning.passages import LINE, Marking, Passage, line_and_offset, position_in_line
from label_studio_al.learning.texts import dialogue, joined

WORDS = "e\u0301 😀👩\u200d🚀 שלום Anna"


@pytest.mark.parametrize("passage", [Passage(WORDS), Passage(WORDS, 7), Passage(WORDS, 3 * LINE, in_utf16=True)])
def test_positions_lead_to_their_characters_and_back(passage: Passage) -> None:
    positions = passage.positions
    assert len(positions) == len(WORDS) + 1
    assert positions[0] == passage.first
    assert [passage.index(position) for position in positions] == list(range(len(WORDS) + 1))


def test_positions_are_code_points_or_utf16_units() -> None:
    anna = WORDS.index("Anna")
    assert Passage(WORDS).positions[anna] == anna
    units = len(WORDS[:anna].encode("utf-16-le")) // 2
    assert Passage(WORDS, in_utf16=True).positions[anna] == units == anna + 3
    assert list(Passage("Anna", 5, in_utf16=True).positions) == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("text", ["Anna", "😀😀"])
def test_positions_out_of_a_passage_are_its_ends(text: str) -> None:
    passage = Passage(text, LINE, in_utf16=True)
    assert [passage.index(position) for position in (0, LINE - 1, 2 * LINE, 5 * LINE)] == [0, 0, len(text), len(text)]


def test_a_position_within_a_character_is_that_of_the_next_one() -> None:
    assert Passage("😀a", in_utf16=True).index(1) == 1


def test_each_line_of_a_dialogue_is_a_passage_that_counts_from_its_own_beginning() -> None:
    text = dialogue([("Ann: ", "Hi 😀 Bob"), ("Bob: ", ""), ("", "Oslo\u2028\r\n")])
    passages = Marking(in_lines=True).passages(text)
    assert passages == [Passage("Hi 😀 Bob", 0, in_utf16=True), Passage("Oslo \r\n", 2 * LINE, in_utf16=True)]
    assert line_and_offset(position_in_line(2, 4)) == (2, 4)
    assert passages[1].index(position_in_line(2, 4)) == 4


def test_what_is_marked_is_found_among_texts_that_stand_beside_each_other() -> None:
    text = joined(["a title\u2029of two", "Anna", ""])
    assert [Marking(place, 3).passages(text) for place in range(3)] == [
        [Passage("a title\nof two")],
        [Passage("Anna")],
        [Passage("")],
    ]
