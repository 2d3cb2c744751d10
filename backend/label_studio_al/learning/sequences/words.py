"""What words look like: their letters, cases and ends, as columns by hash, the same in every process."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from unicodedata import normalize
from zlib import crc32

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning.rows import csr
from label_studio_al.learning.types import Array

# SciPy's column numbers are signed.
N_COLUMNS = 2**31 - 1
LONGEST_AFFIX = 4
# More letters than this tell nothing more.
_MOST_LENGTH = 10
_MOST_SHAPE = 6
_letters = re.compile(r"[^\W\d_]")
_digits = re.compile(r"\d")
_again = re.compile(r"(.)\1+")


def folded(word: str) -> str:
    """A word without its case, normalised: what is counted as the same word."""
    return word.lower() if word.isascii() else normalize("NFKC", word).lower()


def shape(word: str) -> str:
    """Capitals as X, other letters as x, digits as d: "Mc-2" is "Xx-d"."""
    return _digits.sub("d", _letters.sub(lambda letter: "X" if letter[0].isupper() else "x", word))


def identity(word: str) -> Iterator[str]:
    """The word without its case."""
    yield folded(word)


def form(word: str) -> Iterator[str]:
    """Shape, case and length."""
    outline = shape(word)
    yield "shape " + outline[:_MOST_SHAPE]
    yield "runs " + _again.sub(r"\1", outline)[:_MOST_SHAPE]
    yield f"length {min(len(word), _MOST_LENGTH)}"
    if word[:1].isupper():
        yield "capital"
    if len(word) > 1 and word.isupper():
        yield "capitals"
    if word.isdigit():
        yield "digits"
    if not word.isalnum():
        yield "sign"


def affixes(word: str) -> Iterator[str]:
    """Its first and its last one to four letters."""
    plain = folded(word)
    for size in range(1, min(LONGEST_AFFIX, len(plain)) + 1):
        yield f"^{plain[:size]}"
        yield f"{plain[-size:]}$"


SURFACES: tuple[Callable[[str], Iterable[str]], ...] = (identity, form, affixes)


def surface(words: Sequence[str], kind: Callable[[str], Iterable[str]]) -> sp.csr_matrix:
    """One kind of features of words. Returns shape (n_words, N_COLUMNS), 1 where a word has it."""
    columns = array("i")
    ends = [0]
    for word in words:
        columns.extend(crc32(name.encode("utf-8", "surrogatepass")) % N_COLUMNS for name in kind(word))
        ends.append(len(columns))
    return csr(np.ones(len(columns), np.float32), np.array(columns, np.int32), np.array(ends), N_COLUMNS)


def among(rows: sp.csr_matrix, columns: Array) -> sp.csr_matrix:
    """Some columns of features by hash, ascending. Returns shape (n_words, n_columns), all others left out."""
    place = np.minimum(np.searchsorted(columns, rows.indices), max(0, len(columns) - 1))
    is_kept = columns[place] == rows.indices if len(columns) else np.zeros(len(place), dtype=bool)
    ends = np.concatenate([[0], np.cumsum(is_kept)])[rows.indptr]
    return csr(rows.data[is_kept], place[is_kept].astype(np.int32), ends, len(columns))
