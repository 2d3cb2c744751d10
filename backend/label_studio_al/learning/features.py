"""Texts as features: words, the pool's topics, and sentence embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy.sparse as sp

from label_studio_al.learning import draws
from label_studio_al.learning.deferred import Deferred, DeferredRows, Vectors, with_deferred
from label_studio_al.learning.draws import text_hashes, text_keys
from label_studio_al.learning.layouts import WHOLE, Encoder, Fitted, Layout, Terms
from label_studio_al.learning.passages import Marking
from label_studio_al.learning.rows import Matrix, Rows, Weights, blocks, csr, is_cached, places, renumbered
from label_studio_al.learning.sequences.rows import MarkedWords, Sequences
from label_studio_al.learning.topics import Topics, fit_topics
from label_studio_al.learning.types import Array

# How many texts tell the terms, and how many the topics; more would take long and change little.
MAX_FITTED = 50_000
MAX_FITTED_TOPICS = 6_000
# From this size on a product goes without the rows' topics, which are 800 bytes a task.
LARGE = 2_000
# Sums made at a time, which stay in the processor's cache: 1 MB in single precision.
SUMS_AT_ONCE = 1 << 18
ROWS_AT_LEAST = 512


NO_SEQUENCES: Mapping[str, Sequences] = MappingProxyType({})
NO_MARKINGS: Mapping[str, Marking] = MappingProxyType({})


class TextRows(Rows):
    """Texts as rows of two views: sparse TF-IDF, and a dense one that holds topics and the layout's dense columns.

    terms: shape (n_texts, n_terms), CSR, float32. scales: shape (n_texts,), see Topics.scales. embedding: shape
    (n_texts, n_dense), see Layout; of texts as one the encoder's embedding, no columns without one. deferred: the last
    columns, embeddings that are filled in later; None without any. Each of these parts has unit length then, so none
    outweighs the others. Topics follow from the terms and are worked out where they are looked at.
    """

    is_checked = True

    def __init__(
        self,
        terms: sp.csr_matrix,
        topics: Topics,
        scales: Array,
        embedding: Array,
        sequences: Mapping[str, Sequences] = NO_SEQUENCES,
        deferred: DeferredRows | None = None,
    ) -> None:
        """sequences: the tokens of the texts that spans are marked in, by the object that shows them."""
        self.terms = terms
        self.topics = topics
        self.scales = scales
        self.embedding = embedding
        self.sequences = sequences
        self.deferred = deferred

    def with_sequences(self, sequences: Mapping[str, Sequences]) -> TextRows:
        """The same texts with their tokens."""
        return self._with(sequences=sequences)

    def with_deferred(self, deferred: DeferredRows) -> TextRows:
        """The same texts with the embeddings that were filled in."""
        return self._with(deferred=deferred)

    @property
    def is_replaced(self) -> bool:
        """Whether distances are measured by deferred embeddings of the texts in place of the first dense columns."""
        return self.deferred is not None and self.deferred.has_texts

    def _with(self, **changed: Any) -> TextRows:
        names = ("terms", "topics", "scales", "embedding", "sequences", "deferred")
        return TextRows(**{name: getattr(self, name) for name in names} | changed)

    @cached_property
    def views(self) -> tuple[Any, ...]:
        """TF-IDF, and the dense view."""
        return self.terms, np.hstack([self.topics.transform(self.terms), self.embedding, *self._filled_in])

    @property
    def _filled_in(self) -> list[Array]:
        return [] if self.deferred is None else [self.deferred.dense()]

    @property
    def is_lazy(self) -> bool:  # type: ignore[override]
        """Whether it is so many texts that the dense view should not be made."""
        return len(self) > LARGE

    @property
    def shape(self) -> tuple[int, int]:
        """Number of texts, and of columns of both views together."""
        n_deferred = 0 if self.deferred is None else self.deferred.n_dimensions
        return self.terms.shape[0], self.terms.shape[1] + self.topics.n_topics + self.embedding.shape[1] + n_deferred

    @property
    def compact(self) -> Matrix:
        """The dense view alone, for distances and clusters; of two embeddings of the same text only one."""
        return Compact(self) if self.is_lazy else self.views[1][:, self.compact_columns]

    @property
    def compact_columns(self) -> Any:
        """Those of the dense view that distances are measured by."""
        if not self.is_replaced:
            return slice(None)
        first = self.topics.n_topics
        others = np.arange(self.shape[1] - self.terms.shape[1])
        return np.asarray(np.delete(others, np.s_[first : first + self.embedding.shape[1]]))

    def __getitem__(self, tasks: Any) -> TextRows:
        return self._with(
            terms=self.terms[tasks],
            scales=self.scales[tasks],
            embedding=self.embedding[tasks],
            sequences={name: own[tasks] for name, own in self.sequences.items()},
            deferred=None if self.deferred is None else self.deferred[tasks],
        )

    def __matmul__(self, weights: Array) -> Array:
        if not self.is_lazy:
            return super().__matmul__(weights)
        found = self._gathered(self._products(Weights.of(weights)), np.asarray)
        return found[:, 0] if weights.ndim == 1 else found

    def map_product(self, weights: Weights, work: Callable[[Array], Array]) -> Array:
        """A block of texts at a time, so that what is between stays in the processor's cache."""
        if not self.is_lazy:
            return super().map_product(weights, work)
        return self._gathered(self._products(weights), work)

    def dense_product(self, weights: Array) -> Array:
        """Weighted sums of the dense view's columns. Returns shape (n_texts, n_outputs)."""
        own, n_terms = Weights.of(weights), self.terms.shape[1]
        behind_terms = Weights(own.columns + n_terms, own.values, own.n_columns + n_terms)
        found = self._gathered(self._products(behind_terms), np.asarray)
        return found[:, 0] if weights.ndim == 1 else found

    def _products(self, weights: Weights) -> Iterator[tuple[slice, Array]]:
        """Weighted sums of a block of texts after the other: words and topics in one pass over the terms."""
        n_terms, n_topics, n_outputs = self.terms.shape[1], self.topics.n_topics, weights.n_outputs
        is_term = weights.columns < n_terms
        weighed = weights.columns[is_term]
        width = n_outputs * (2 if len(weighed) else 1)
        are_all = is_cached(n_terms, width)
        used = np.arange(n_terms) if are_all else np.union1d(self.topics.terms, weighed)
        place = places(used, n_terms)
        # Of each term its topics' weights, which are to be scaled, then its own; the last row is of those without any.
        both = np.zeros((len(used) + 1, width), dtype=np.float32)
        of_topics = weights.among(n_terms, n_terms + n_topics)
        both[place[self.topics.terms], :n_outputs] = self.topics.of_terms(of_topics)
        if len(weighed):
            both[place[weighed], n_outputs:] = weights.values[is_term]
        n_embedding = n_terms + n_topics + self.embedding.shape[1]
        of_embedding = weights.among(n_terms + n_topics, n_embedding)
        of_deferred = weights.among(n_embedding, weights.n_columns)
        for block in blocks(len(self), max(ROWS_AT_LEAST, SUMS_AT_ONCE // max(1, width))):
            part = _part(self.terms, block)
            sums = np.asarray(part @ both[:-1] if are_all else renumbered(part, place, len(both)) @ both)
            found = sums[:, :n_outputs] * self.scales[block, None]
            if len(weighed):
                found += sums[:, n_outputs:]
            if self.embedding.shape[1] and of_embedding.any():
                found += self.embedding[block] @ of_embedding
            if self.deferred is not None and of_deferred.any():
                found += self.deferred[block].dense() @ of_deferred
            yield block, found

    def _gathered(self, products: Iterator[tuple[slice, Array]], work: Callable[[Array], Array]) -> Array:
        """The blocks' results one after the other; each column lies together."""
        columns = np.zeros((0, len(self)), dtype=np.float32)
        for block, product in products:
            result = work(product)
            if not len(columns):
                columns = np.empty((result.shape[1], len(self)), dtype=result.dtype)
            columns[:, block] = result.T
        return columns.T


class Compact(Rows):
    """The dense view of many texts, a part of which is made when it is looked at."""

    is_lazy = True
    is_checked = True

    def __init__(self, texts: TextRows) -> None:
        self._texts = texts

    @cached_property
    def views(self) -> tuple[Any, ...]:
        """The whole dense view: 800 bytes a text, and the embedding."""
        return (self._texts.views[1][:, self._texts.compact_columns],)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of texts, and of the dense view's columns."""
        return len(self._texts), len(self._columns)

    @property
    def _columns(self) -> Array:
        return np.asarray(np.arange(self._texts.shape[1] - self._texts.terms.shape[1])[self._texts.compact_columns])

    def __getitem__(self, tasks: Any) -> Any:
        return self._texts[tasks].views[1][:, self._texts.compact_columns]

    def __matmul__(self, weights: Array) -> Array:
        if not self._texts.is_replaced:
            return self._texts.dense_product(weights)
        n_dense = self._texts.shape[1] - self._texts.terms.shape[1]
        all_columns = np.zeros((n_dense, *weights.shape[1:]), dtype=weights.dtype)
        all_columns[self._columns] = weights
        return self._texts.dense_product(all_columns)


@dataclass(frozen=True)
class Features:
    """What turns a project's texts into rows; fitted once on a pool, then applied to each text once.

    n_fitted: size of the pool that it was fitted for. layout: which columns the texts of a task become. words: how the
    pool's words occur, by the object in whose text spans are marked. deferred: columns behind the others, which are
    filled in later.
    """

    tfidf: Terms
    topics: Topics
    encoder: Encoder | None
    n_fitted: int
    layout: Layout = WHOLE
    words: Mapping[str, MarkedWords] = field(default_factory=dict)
    deferred: tuple[Deferred, ...] = ()

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        encoder: Encoder | None,
        n_pool: int,
        layout: Layout = WHOLE,
        markings: Mapping[str, Marking] = NO_MARKINGS,
    ) -> Features:
        """Learn terms and topics of `texts` (any number, also none), which are a `sample` of a pool.

        markings: in which of them spans are marked, by the object that shows it.
        """
        words = {name: MarkedWords.fit(marking, texts, encoder) for name, marking in markings.items()}
        sampled, read = sample(text_keys(text_hashes(texts)), MAX_FITTED_TOPICS), layout.read(texts)
        terms, some = layout.fit(read), [read[place] for place in sampled]
        return cls(terms, fit_topics(terms.words.transform(some)), encoder, n_pool, layout, words)

    @classmethod
    def fit_transform(
        cls,
        texts: Sequence[str],
        encoder: Encoder | None,
        layout: Layout = WHOLE,
        markings: Mapping[str, Marking] = NO_MARKINGS,
    ) -> tuple[Features, TextRows]:
        """Learn terms and topics of a whole pool; gives its rows too."""
        some = [texts[place] for place in sample(text_keys(text_hashes(texts)))]
        features = cls.fit(some, encoder, len(texts), layout, markings)
        return features, features.transform(texts)

    def transform(self, texts: Sequence[str]) -> TextRows:
        """Rows of texts. Returns rows of shape (n_texts, n_columns), float32."""
        found = self.transform_whole(texts)
        return found.with_sequences({name: own.sequences(texts) for name, own in self.words.items()})

    def filled_in(self, rows: TextRows, texts: Sequence[str], vectors: Sequence[Vectors]) -> TextRows:
        """The rows of these texts with their deferred embeddings. vectors: as many as are deferred."""
        if not self.deferred:
            return rows
        return rows.with_deferred(DeferredRows.of(self.deferred, text_hashes(texts), vectors))

    def transform_whole(self, texts: Sequence[str]) -> TextRows:
        """The same without the tokens of texts that spans are marked in."""
        texts = self.layout.read(texts)
        terms = self.tfidf.transform(texts)
        scales = [self.topics.scales(_part(terms, block)) for block in blocks(len(texts))]
        dense = self.layout.dense(texts, self._fitted)
        return TextRows(terms, self.topics, np.concatenate([np.zeros(0, np.float32), *scales]), dense)

    @property
    def n_dense(self) -> int:
        """How many dense columns there are beside topics."""
        return self.layout.n_dense(self._fitted)

    @property
    def n_dimensions(self) -> int:
        """How many of these are the embedding of a task's texts as one; they come first."""
        return self._fitted.n_dimensions

    def choices(self, of_sides: bool = False) -> dict[str, Array]:
        """Which columns a classifier may use, by the name of the choice, the default first.

        of_sides: as of `Layout.choices_of_sides`.
        """
        if of_sides:
            return self.layout.choices_of_sides(self._fitted)
        return with_deferred(self.layout.choices(self._fitted), self.layout, self._fitted, self.deferred)

    @property
    def _fitted(self) -> Fitted:
        return Fitted(self.tfidf, self.topics, self.encoder)


def sample(keys: Array, size: int = MAX_FITTED) -> Array:
    """Which of a pool's texts features are fitted on: all, or so many drawn at random. Ascending places.

    keys: shape (n_texts,), see draws.
    """
    return np.sort(draws.first(keys, size, 0, "features"))


def _part(rows: sp.csr_matrix, block: slice) -> sp.csr_matrix:
    """Consecutive rows, which share the memory of all."""
    ends = rows.indptr[block.start : block.stop + 1]
    entries = slice(ends[0], ends[-1])
    return csr(rows.data[entries], rows.indices[entries], ends - ends[0], rows.shape[1])
