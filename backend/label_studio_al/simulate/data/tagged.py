"""Files of tagged tokens, as for CoNLL's shared tasks: a token a line, its tag in the last column."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from label_studio_al.runtime.errors import InvalidRequest

TEXT, SPANS = "text", "spans"
_DOCUMENT = "-DOCSTART-"
# Nothing is marked, or a span's label behind where in the span the token is.
_TAG = re.compile(r"O|[BIESLUM]-\S.*")
_BEGINS, _ENDS = "BSU", "ESLU"
_BLANKS = re.compile(r"[ \t]+")
_CAME_CHARACTERS = 40


def read_tagged(content: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The sentences, which empty lines part: where each begins, and its text, tokens with blanks between, and spans.

    Tags are BIO (IOB2), IOB1, BIOES or BILOU. Raises InvalidRequest. Source: Tjong Kim Sang and De Meulder 2003.
    """
    tokens: list[tuple[str, str]] = []
    first = 0
    # Not splitlines: tokens may hold U+2028 and its like.
    for number, line in enumerate([*content.split("\n"), ""], start=1):
        row = line.strip(" \t\r")
        if row and not _is_comment(row):
            tokens.append(_token(row, number))
            first = first or number
        if not row and tokens:
            if tokens[0][0] != _DOCUMENT or len(tokens) > 1:
                yield f"line {first}", _sentence([one for one in tokens if one[0] != _DOCUMENT])
            tokens, first = [], 0


def _columns(row: str) -> list[str]:
    return [cell.strip() for cell in (row.split("\t") if "\t" in row else _BLANKS.split(row))]


def _is_comment(row: str) -> bool:
    """As CoNLL-U and its like have them; a token may be a number sign."""
    return row.startswith("# ") and not _TAG.fullmatch(_columns(row)[-1])


def _token(row: str, number: int) -> tuple[str, str]:
    """A token and its tag."""
    columns = _columns(row)
    if len(columns) > 1 and columns[0] and _TAG.fullmatch(columns[-1]):
        return columns[0], columns[-1]
    raise InvalidRequest(
        f"line {number} must be a token and, in the last column, its tag (O, B-PER, I-PER and the like), "
        f"not {row[:_CAME_CHARACTERS]!r}"
    )


def _sentence(tokens: Sequence[tuple[str, str]]) -> dict[str, Any]:
    spans: list[list[Any]] = []
    place, is_open = 0, False
    for token, tag in tokens:
        prefix, _, label = tag.partition("-")
        if label:
            if prefix in _BEGINS or not is_open or spans[-1][2] != label:
                spans.append([place, place, label])
            spans[-1][1] = place + len(token)
        is_open = bool(label) and prefix not in _ENDS
        place += len(token) + 1
    return {TEXT: " ".join(token for token, _ in tokens), SPANS: spans}
