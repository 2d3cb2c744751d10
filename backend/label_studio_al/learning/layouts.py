"""Which columns the texts of a task become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning.texts import readable
from label_studio_al.learning.tfidf import Tfidf
from label_studio_al.learning.topics import Topics
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest

BOTH = "both"
TFIDF = "tfidf"
EMBEDDINGS = "embeddings"


class Encoder(Protocol):
    """Turns texts into pretrained sentence embeddings. Must pickle by reference, not by content."""

    name: str
    n_dimensions: int

    def encode(self, texts: Sequence[str]) -> Array:
        """Rows of unit length, zero for an empty text. Returns shape (n_texts, n_dimensions), float32."""
        ...


class Terms(Protocol):
    """The sparse columns, as `Tfidf` makes them. words: those of a task's texts as one, which come first."""

    @property
    def words(self) -> Tfidf: ...  # noqa: D102

    @property
    def n_terms(self) -> int: ...  # noqa: D102

    def transform(self, texts: Sequence[str]) -> sp.csr_matrix: ...  # noqa: D102

    def without(self, columns: Sequence[int]) -> Terms: ...  # noqa: D102


@dataclass(frozen=True)
class Fitted:
    """What a pool's columns are made with."""

    terms: Terms
    topics: Topics
    encoder: Encoder | None

    @property
    def n_words(self) -> int:
        """How many of the terms are of a task's texts as one."""
        return self.terms.words.n_terms

    @property
    def n_topics(self) -> int:
        """Columns behind those of the terms."""
        return self.topics.n_topics

    @property
    def n_lexical(self) -> int:
        """Columns of terms and topics; behind them are the layout's dense ones."""
        return self.terms.n_terms + self.n_topics

    @property
    def n_dimensions(self) -> int:
        """Of the encoder's embeddings; 0 without an encoder."""
        return 0 if self.encoder is None else self.encoder.n_dimensions

    def encode(self, texts: Sequence[str]) -> Array:
        """The embeddings of texts. Returns shape (n_texts, n_dimensions), float32."""
        return np.zeros((len(texts), 0), np.float32) if self.encoder is None else self.encoder.encode(texts)


class Layout(Protocol):
    """Of tasks that show as many texts as each other. The embedding of these as one comes first of the dense columns.

    Layouts that are equal make the same columns.
    """

    def read(self, texts: Sequence[str]) -> Sequence[str]:
        """What of tasks is read as text."""

    def fit(self, texts: Sequence[str]) -> Terms:
        """Learn the terms of texts."""

    def n_dense(self, fitted: Fitted) -> int:
        """How many dense columns there are beside topics."""

    def dense(self, texts: Sequence[str], fitted: Fitted) -> Array:
        """These columns. Returns shape (n_texts, n_dense), float32."""

    def choices(self, fitted: Fitted) -> dict[str, Array]:
        """Which columns a classifier may use, by the name of the choice, the default first."""

    def choices_of_sides(self, fitted: Fitted) -> dict[str, Array]:
        """The same for one that says which of two texts: columns that are negated where these are swapped.

        Raises InvalidRequest in a layout that knows no sides.
        """


@dataclass(frozen=True)
class Whole:
    """The texts of a task as one."""

    def read(self, texts: Sequence[str]) -> Sequence[str]:
        """All of it."""
        return texts

    def fit(self, texts: Sequence[str]) -> Tfidf:
        """As of the contract."""
        return Tfidf.fit(texts)

    def n_dense(self, fitted: Fitted) -> int:
        """The embedding alone."""
        return fitted.n_dimensions

    def dense(self, texts: Sequence[str], fitted: Fitted) -> Array:
        """As of the contract."""
        return fitted.encode([readable(text) for text in texts])

    def choices(self, fitted: Fitted) -> dict[str, Array]:
        """All, words and topics, or embeddings."""
        lexical = columns((0, fitted.n_words), (fitted.terms.n_terms, fitted.n_lexical))
        return both_kinds(lexical, columns((fitted.n_lexical, fitted.n_lexical + fitted.n_dimensions)))

    def choices_of_sides(self, fitted: Fitted) -> dict[str, Array]:
        """As of the contract."""
        raise InvalidRequest("which of two texts is asked, so tasks must show two, not one")


WHOLE = Whole()


def both_kinds(lexical: Array, meaning: Array) -> dict[str, Array]:
    """All columns, those of words and topics, and those of embeddings, as choices. meaning: none without an encoder."""
    if not len(meaning):
        return {TFIDF: lexical}
    return {BOTH: np.concatenate([lexical, meaning]), TFIDF: lexical, EMBEDDINGS: meaning}


def columns(*ranges: tuple[int, int]) -> Array:
    """The columns of some ranges, each from its first up to before its last."""
    return np.concatenate([np.arange(first, last) for first, last in ranges])
