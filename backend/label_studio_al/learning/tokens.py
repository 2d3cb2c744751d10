"""What counts as a word, in any script: one pattern, for our own counts and for exported models."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from typing import Any
from unicodedata import normalize

# What a text goes through before its words are found. Functions of Python alone: exported models have them, too.
# Of marks in a row 30 stay: normalising takes time with the square of their number, a second for 20,000 of them.
# Source: Unicode Standard Annex 15, stream-safe text format.
NORMALISING: dict[str, Callable[[str], str]] = {
    "runs": partial(re.compile(r"[^\0-\x7f\w\s](?<=[^\0-\x7f\w\s]{31})[^\0-\x7f\w\s]*").sub, ""),
    "form": partial(normalize, "NFKC"),
    "case": str.lower,
}
# Scripts whose words are not separated by spaces. The ranges hold marks and punctuation too, which are not \w; the
# digits of these scripts are left out, since a number is one token in any script. Source: Unicode Standard Annex 14,
# the letters of its classes ID, CJ and SA, and Tibetan, Balinese and Javanese.
UNSPACED = (
    r"\u0e00-\u0e4f\u0e80-\u0ecf\u0edc-\u0edf"  # Thai, Lao
    r"\u0f00-\u0f1f\u0f34-\u0fff"  # Tibetan
    r"\u1000-\u103f\u104a-\u108f\u109a-\u109f\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa7f"  # Myanmar
    r"\u1780-\u17df"  # Khmer
    r"\u1950-\u19cf\u1a20-\u1a7f\u1aa0-\u1aad\uaa80-\uaadf\U00011700-\U0001172f\U00011740-\U00011746"  # Tai, Ahom
    r"\u1b00-\u1b4f\ua980-\ua9cf"  # Balinese, Javanese
    r"\u3005-\u3007\u3021-\u312f\u31a0-\u31bf\u31f0-\u31ff\uff66-\uff9f"  # kana, Bopomofo
    r"\u3400-\ua4cf\uf900-\ufaff\U00020000-\U0003ffff"  # Han, Yi
    r"\U00016fe0-\U0001b2ff"  # Tangut, Khitan, Nushu, more kana
)
# Combining marks: the categories Mn and Mc of Unicode 15.1 without variation selectors. `re` does not know categories,
# and to look them up takes more than a tenth of a second. Written by `python -m tests.support.unicode_marks`.
MARKS = (
    r"\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1-\u05c2\u05c4-\u05c5\u05c7\u0610-\u061a\u064b-\u065f"
    r"\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7-\u06e8\u06ea-\u06ed\u0711\u0730-\u074a\u07a6-\u07b0\u07eb-\u07f3"
    r"\u07fd\u0816-\u0819\u081b-\u0823\u0825-\u0827\u0829-\u082d\u0859-\u085b\u0898-\u089f\u08ca-\u08e1"
    r"\u08e3-\u0903\u093a-\u093c\u093e-\u094f\u0951-\u0957\u0962-\u0963\u0981-\u0983\u09bc\u09be-\u09cd\u09d7"
    r"\u09e2-\u09e3\u09fe-\u0a03\u0a3c-\u0a51\u0a70-\u0a71\u0a75\u0a81-\u0a83\u0abc\u0abe-\u0acd\u0ae2-\u0ae3"
    r"\u0afa-\u0b03\u0b3c\u0b3e-\u0b57\u0b62-\u0b63\u0b82\u0bbe-\u0bcd\u0bd7\u0c00-\u0c04\u0c3c\u0c3e-\u0c56"
    r"\u0c62-\u0c63\u0c81-\u0c83\u0cbc\u0cbe-\u0cd6\u0ce2-\u0ce3\u0cf3-\u0d03\u0d3b-\u0d3c\u0d3e-\u0d4d\u0d57"
    r"\u0d62-\u0d63\u0d81-\u0d83\u0dca-\u0ddf\u0df2-\u0df3\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc"
    r"\u0ec8-\u0ece\u0f18-\u0f19\u0f35\u0f37\u0f39\u0f3e-\u0f3f\u0f71-\u0f84\u0f86-\u0f87\u0f8d-\u0fbc\u0fc6"
    r"\u102b-\u103e\u1056-\u1059\u105e-\u1060\u1062-\u1064\u1067-\u106d\u1071-\u1074\u1082-\u108d\u108f"
    r"\u109a-\u109d\u135d-\u135f\u1712-\u1715\u1732-\u1734\u1752-\u1753\u1772-\u1773\u17b4-\u17d3\u17dd"
    r"\u180b-\u180d\u180f\u1885-\u1886\u18a9\u1920-\u193b\u1a17-\u1a1b\u1a55-\u1a7f\u1ab0-\u1abd\u1abf-\u1b04"
    r"\u1b34-\u1b44\u1b6b-\u1b73\u1b80-\u1b82\u1ba1-\u1bad\u1be6-\u1bf3\u1c24-\u1c37\u1cd0-\u1cd2\u1cd4-\u1ce8"
    r"\u1ced\u1cf4\u1cf7-\u1cf9\u1dc0-\u1dff\u20d0-\u20dc\u20e1\u20e5-\u20f0\u2cef-\u2cf1\u2d7f\u2de0-\u2dff"
    r"\u302a-\u302f\u3099-\u309a\ua66f\ua674-\ua67d\ua69e-\ua69f\ua6f0-\ua6f1\ua802\ua806\ua80b\ua823-\ua827\ua82c"
    r"\ua880-\ua881\ua8b4-\ua8c5\ua8e0-\ua8f1\ua8ff\ua926-\ua92d\ua947-\ua953\ua980-\ua983\ua9b3-\ua9c0\ua9e5"
    r"\uaa29-\uaa36\uaa43\uaa4c-\uaa4d\uaa7b-\uaa7d\uaab0\uaab2-\uaab4\uaab7-\uaab8\uaabe-\uaabf\uaac1"
    r"\uaaeb-\uaaef\uaaf5-\uaaf6\uabe3-\uabea\uabec-\uabed\ufb1e\ufe20-\ufe2f\U000101fd\U000102e0"
    r"\U00010376-\U0001037a\U00010a01-\U00010a0f\U00010a38-\U00010a3f\U00010ae5-\U00010ae6\U00010d24-\U00010d27"
    r"\U00010eab-\U00010eac\U00010efd-\U00010eff\U00010f46-\U00010f50\U00010f82-\U00010f85\U00011000-\U00011002"
    r"\U00011038-\U00011046\U00011070\U00011073-\U00011074\U0001107f-\U00011082\U000110b0-\U000110ba\U000110c2"
    r"\U00011100-\U00011102\U00011127-\U00011134\U00011145-\U00011146\U00011173\U00011180-\U00011182"
    r"\U000111b3-\U000111c0\U000111c9-\U000111cc\U000111ce-\U000111cf\U0001122c-\U00011237\U0001123e\U00011241"
    r"\U000112df-\U000112ea\U00011300-\U00011303\U0001133b-\U0001133c\U0001133e-\U0001134d\U00011357"
    r"\U00011362-\U00011374\U00011435-\U00011446\U0001145e\U000114b0-\U000114c3\U000115af-\U000115c0"
    r"\U000115dc-\U000115dd\U00011630-\U00011640\U000116ab-\U000116b7\U0001171d-\U0001172b\U0001182c-\U0001183a"
    r"\U00011930-\U0001193e\U00011940\U00011942-\U00011943\U000119d1-\U000119e0\U000119e4\U00011a01-\U00011a0a"
    r"\U00011a33-\U00011a39\U00011a3b-\U00011a3e\U00011a47\U00011a51-\U00011a5b\U00011a8a-\U00011a99"
    r"\U00011c2f-\U00011c3f\U00011c92-\U00011cb6\U00011d31-\U00011d45\U00011d47\U00011d8a-\U00011d97"
    r"\U00011ef3-\U00011ef6\U00011f00-\U00011f01\U00011f03\U00011f34-\U00011f42\U00013440\U00013447-\U00013455"
    r"\U00016af0-\U00016af4\U00016b30-\U00016b36\U00016f4f\U00016f51-\U00016f92\U00016fe4-\U00016ff1"
    r"\U0001bc9d-\U0001bc9e\U0001cf00-\U0001cf46\U0001d165-\U0001d169\U0001d16d-\U0001d172\U0001d17b-\U0001d182"
    r"\U0001d185-\U0001d18b\U0001d1aa-\U0001d1ad\U0001d242-\U0001d244\U0001da00-\U0001da36\U0001da3b-\U0001da6c"
    r"\U0001da75\U0001da84\U0001da9b-\U0001daaf\U0001e000-\U0001e02a\U0001e08f\U0001e130-\U0001e136\U0001e2ae"
    r"\U0001e2ec-\U0001e2ef\U0001e4ec-\U0001e4ef\U0001e8d0-\U0001e8d6\U0001e944-\U0001e94a"
)
# Joiners and variation selectors: part of a word only where it goes on after them.
_INVISIBLE = r"\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"
_SPACED = rf"[^\W{UNSPACED}]"
_MARKED = rf"[{_INVISIBLE}]*[{MARKS}]+"
# Letters, digits and underscores of spaced scripts with their marks; or else one letter of another script with its own.
# The lookahead only saves time: nothing in ASCII is a mark.
TOKEN = rf"{_SPACED}+(?:(?![ -~])(?:{_MARKED}|[{_INVISIBLE}]+(?={_SPACED})){_SPACED}*)*|\w(?:{_MARKED})*"
_ascii_tokens = re.compile(r"\w+").findall


def tokens_of(text: str) -> list[Any]:
    """The words of a text in their order, normalised and in lower case; unspaced scripts one character at a time."""
    if text.isascii():
        return _ascii_tokens(text.lower())
    for change in NORMALISING.values():
        text = change(text)
    return _find()(text)


@cache
def _find() -> Callable[[str], list[Any]]:
    # Takes 10 ms, which a process that meets only ASCII does not need.
    return re.compile(TOKEN).findall
