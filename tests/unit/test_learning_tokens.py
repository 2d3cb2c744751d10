"""Words of any script, and models that learn from them."""

from __future__ import annotations

import pickle
import re
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from label_studio_al.learning.tokens import MARKS, NORMALISING, TOKEN, UNSPACED, tokens_of
from tests.support.languages import LANGUAGES, accuracy
from tests.support.unicode_marks import is_assigned, is_mark

ASSIGNED = [chr(code) for code in range(sys.maxunicode + 1) if is_assigned(chr(code))]
LETTERS = ("Lo", "Lm", "Nl")
# How the names of these scripts' letters begin. Ideographs of Tangut have no names here.
UNSPACED_NAMES = re.compile(
    r"(CJK (UNIFIED|COMPATIBILITY) IDEOGRAPH|IDEOGRAPHIC|HANGZHOU|VERTICAL (KANA|IDEOGRAPHIC)|MASU|OLD CHINESE"
    r"|BOPOMOFO|YI|TANGUT|NUSHU|KHITAN|(HALFWIDTH )?(HIRAGANA|KATAKANA)|HENTAIGANA|THAI|LAO|TIBETAN|MYANMAR|KHMER"
    r"|TAI|NEW TAI|AHOM|BALINESE|JAVANESE)\b|$"
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("我喜欢绿茶。", ["我", "喜", "欢", "绿", "茶"], id="Chinese"),
        pytest.param("一二𠮷々\u3007", ["一", "二", "𠮷", "々", "\u3007"], id="rare Han"),
        pytest.param("コーヒーが好き", ["コ", "ー", "ヒ", "ー", "が", "好", "き"], id="Japanese"),
        pytest.param("ที่นี่ดี", ["ที่", "นี่", "ดี"], id="Thai"),
        pytest.param("ຍິນດີ", ["ຍິ", "ນ", "ດີ"], id="Lao"),
        pytest.param("ខ្ញុំ", ["ខ្", "ញុំ"], id="Khmer"),
        pytest.param("မြန်မာ", ["မြ", "န်", "မာ"], id="Myanmar"),
        pytest.param("བོད་ཡིག", ["བོ", "ད", "ཡི", "ག"], id="Tibetan"),
        pytest.param("ꦗꦮ", ["ꦗ", "ꦮ"], id="Javanese"),
        pytest.param("मौसम अच्छा है।", ["मौसम", "अच्छा", "है"], id="Hindi"),
        pytest.param("வணக்கம் நண்பா", ["வணக்கம்", "நண்பா"], id="Tamil"),
        pytest.param("كِتَابٌ جَدِيد", ["كِتَابٌ", "جَدِيد"], id="Arabic with its vowels"),
        pytest.param("שָׁלוֹם עולם", ["שָׁלוֹם", "עולם"], id="Hebrew with its vowels"),
        pytest.param("안녕하세요 세계", ["안녕하세요", "세계"], id="Korean"),
        pytest.param("大韓민국", ["大", "韓", "민국"], id="Korean with Han"),
        pytest.param("Привет, мир", ["привет", "мир"], id="Russian"),
        pytest.param("ΣΊΣΥΦΟΣ λέει", ["σίσυφος", "λέει"], id="Greek"),
        pytest.param("Ünïcode İstanbul", ["ünïcode", "i̇stanbul"], id="Latin"),
        pytest.param("买了iPhone15和snake_case", ["买", "了", "iphone15", "和", "snake_case"], id="mixed"),
        pytest.param("๒๕๖๗ 二三 १२३ 42", ["๒๕๖๗", "二", "三", "१२३", "42"], id="digits"),
    ],
)
def test_words_of_scripts(text: str, words: list[str]) -> None:
    assert tokens_of(text) == [unicodedata.normalize("NFKC", word) for word in words]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("क्\u200dष क्\u200cष", ["क्\u200dष", "क्\u200cष"]),
        ("र\u200d्य", ["र\u200d्य"]),
        ("می\u200cروم", ["می\u200cروم"]),
        ("क\u200d ok\u200c!", ["क", "ok"]),
        ("\u200dक", ["क"]),
        ("中\u200d文", ["中", "文"]),
    ],
)
def test_joiners_belong_to_a_word_that_goes_on(text: str, words: list[str]) -> None:
    assert tokens_of(text) == words


def test_variation_selectors_say_nothing() -> None:
    assert tokens_of("葛\U000e0100城") == ["葛", "城"]
    assert tokens_of("1\ufe0f\u20e3 2\ufe0f\u20e3 ok✔\ufe0f") == ["1", "2", "ok"]


def test_marks_without_a_word_are_none() -> None:
    assert tokens_of("\u0301 \u0e34 !\u0300 😀\ufe0f") == []


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("cafe\u0301", "café"),
        ("ガギグ", "カ\u3099キ\u3099ク\u3099"),
        ("ﾊﾟﾝﾀﾞ", "パンダ"),
        ("\uff21\uff22\uff11\uff12", "ab12"),
        ("ﬁne", "fine"),
        ("한국", "\u1112\u1161\u11ab\u1100\u116e\u11a8"),
        ("น้ำ", "น\u0e49\u0e4dา"),
        ("\U0001d405\U0001d411\U0001d404\U0001d404", "free"),
    ],
)
def test_spellings_of_the_same_characters_are_the_same_words(text: str, same: str) -> None:
    assert tokens_of(text) == tokens_of(same) != []


# Without the capital I with a dot: its small letter has a combining mark.
SPACED = st.characters(max_codepoint=0x24F, exclude_categories=("Cs",), exclude_characters="İ") | st.sampled_from(
    "άλφα бук \u201c\u201d\u2019\u2013\u2014\u2026\u20ac 한국어 _07"
)


@given(st.text(SPACED))
@settings(max_examples=300)
def test_latin_greek_cyrillic_and_hangul_are_split_as_word_characters_are(text: str) -> None:
    assert tokens_of(text) == re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower())


@given(st.text(st.characters(max_codepoint=0x7F)))
@settings(max_examples=300)
def test_short_cut_of_ascii_changes_nothing(text: str) -> None:
    normal = text
    for change in NORMALISING.values():
        normal = change(normal)
    assert tokens_of(text) == re.findall(TOKEN, normal) == re.findall(r"\w+", text.lower())


@given(st.text())
@settings(max_examples=300)
def test_nothing_but_marks_and_joiners_is_new_in_a_word(text: str) -> None:
    words = tokens_of(text)
    assert all(re.fullmatch(r"\w+", word[0]) for word in words)
    letters = re.findall(r"\w", "".join(words))
    assert letters == re.findall(r"\w", unicodedata.normalize("NFKC", text).lower())


def test_marks_are_those_of_unicode() -> None:
    """The frozen ranges, for all characters that this Python knows: `python -m tests.support.unicode_marks`."""
    found = re.compile(f"[{MARKS}]").match
    assert [one for one in ASSIGNED if bool(found(one)) != is_mark(one)] == []


def test_unspaced_letters_are_those_of_these_scripts() -> None:
    found = re.compile(rf"(?=\w)[{UNSPACED}]").match
    expected = [
        one
        for one in ASSIGNED
        if unicodedata.category(one) in LETTERS and UNSPACED_NAMES.match(unicodedata.name(one, ""))
    ]
    assert [one for one in ASSIGNED if found(one)] == expected


@pytest.mark.parametrize("text", ["q" + "\u0301\u0327" * 10_000, "בּ" + "ְָ" * 10_000, "नि" + "\u093c\u094d" * 10_000])
def test_marks_in_a_row_are_cut(text: str) -> None:
    """Normalising takes time with the square of their number."""
    [word] = tokens_of(text)
    assert 30 <= len(word) <= 33
    assert tokens_of(text + "s a") == [word + "s", "a"]


def test_steps_of_normalising_can_be_stored() -> None:
    text = "\uff26ull\u0301 WIDTH"
    for change in NORMALISING.values():
        assert pickle.loads(pickle.dumps(change))(text) == change(text)


@pytest.mark.parametrize("name", list(LANGUAGES))
def test_words_and_topics_tell_the_labels_of_any_language(name: str) -> None:
    """Four labels: by chance it is 0.25."""
    assert accuracy(name, 60, seed=0) > 0.85
