"""A model of spans: fitted on texts whose spans are marked, it marks others, and says how sure it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from label_studio_al.learning.rows import blocks, places
from label_studio_al.learning.sequences import crf
from label_studio_al.learning.sequences.crf import Weights, tag_scores
from label_studio_al.learning.sequences.lattice import Lattice, n_tags
from label_studio_al.learning.sequences.packing import Packing
from label_studio_al.learning.sequences.pool_words import WORDS_AT_ONCE, PoolWords, Words
from label_studio_al.learning.sequences.rows import Sequences
from label_studio_al.learning.sequences.spans import Encoded, Span, TokenSpans, decode, encode
from label_studio_al.learning.sequences.units import Units, Vocabulary
from label_studio_al.learning.sequences.views import Views
from label_studio_al.learning.sequences.windows import Windows, gathered, products
from label_studio_al.learning.terms import MAX_TEXT_CHARACTERS
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest

# Numbers of an array of all tags of all tokens that are read at a time: 8 MB. Six such arrays are kept.
NUMBERS_AT_ONCE = 1_000_000
# Weighted sums of each word that are held at a time, for each distance to a token: 40 MB.
SUMS_AT_ONCE = 1_000_000
# Texts that are read at a time where all words would have more of them.
TEXTS_AT_ONCE = 10_000
# Measured on two sets of data, 25 to 500 texts: the F1 that a model expects of itself is 1.3 to 1.6 times the true one.
OPTIMISM = 1.5
# What may be taken from the score of "no span".
BIASES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)


@dataclass(frozen=True)
class Reading:
    """What a model says of texts.

    texts, starts, ends, classes, probabilities: shape (n_spans,), in reading order; the text of each span, its place in
    code points, its class's number, and how probable exactly this span is. confidence: shape (n_texts,), logarithm of
    the probability of each text's spans together. entropies: sums over a text's tokens of the entropy of the tag.
    expected: how many spans there are on average. n_tokens: of each text.
    """

    texts: Array
    starts: Array
    ends: Array
    classes: Array
    probabilities: Array
    confidence: Array
    entropies: Array
    expected: Array
    n_tokens: Array

    @classmethod
    def joined(cls, parts: Sequence[Reading]) -> Reading:
        """One part after the other. parts: one or more."""
        firsts = np.cumsum([0, *(len(part.confidence) for part in parts[:-1])])
        moved = [replace(part, texts=part.texts + first) for part, first in zip(parts, firsts, strict=True)]
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in moved]) for name in names})

    def spans(self, labels: Sequence[str]) -> list[list[Span]]:
        """Of each text, its spans."""
        found: list[list[Span]] = [[] for _ in range(len(self.confidence))]
        rows = zip(*(one.tolist() for one in (self.texts, self.starts, self.ends, self.classes)), strict=True)
        for text, start, end, label in rows:
            found[text].append(Span(start, end, labels[label]))
        return found


@dataclass(frozen=True)
class SpanModel:
    """What was learnt.

    rate: spans by token where it was. bias: what is taken from the score of "no span" where spans are marked.
    """

    labels: tuple[str, ...]
    views: Views
    weights: Weights
    rate: float = 0.0
    bias: float = 0.0

    def read(self, sequences: Sequences) -> Reading:
        """Mark texts, as many at a time as memory allows."""
        return Reading.joined([self._read(part) for part in self._in_parts(sequences)])

    def confidence(self, sequences: Sequences) -> Array:
        """Only how probable each text's spans are, as a logarithm. Returns shape (n_texts,)."""
        return np.concatenate([self._confidence(part) for part in self._in_parts(sequences)])

    def _in_parts(self, sequences: Sequences) -> Iterator[Sequences]:
        """All texts, so that each word is looked at once, or else some after the others. One or more."""
        n_words = len(sequences.words.vocabulary) + len(sequences.vocabulary.added)
        if n_words * self.weights.outputs.shape[1] <= SUMS_AT_ONCE or not len(sequences):
            yield sequences
        else:
            yield from (sequences[part] for part in blocks(len(sequences), TEXTS_AT_ONCE))

    def _confidence(self, sequences: Sequences) -> Array:
        found = [lattice.path_logs(lattice.best(self.bias)) for _, lattice in self._lattices(sequences)]
        return sequences.units.by_text(np.concatenate([np.zeros(0), *found]))

    def _read(self, sequences: Sequences) -> Reading:
        units = sequences.units
        parts = [(part.start, *self._marked(lattice)) for part, lattice in self._lattices(sequences)]
        spans = TokenSpans.joined([replace(own, units=own.units + first) for first, own, _, _ in parts])
        probabilities = np.concatenate([np.zeros(0), *[own for _, _, own, _ in parts]])
        by_unit = np.concatenate([np.zeros((3, 0)), *[own for _, _, _, own in parts]], axis=1)
        confidence, entropies, expected = (units.by_text(values) for values in by_unit)
        text, start, end = spans.in_text(units)
        n_tokens = units.by_text(units.lengths).astype(np.int64)
        return Reading(text, start, end, spans.classes, probabilities, confidence, entropies, expected, n_tokens)

    def biased(self, sequences: Sequences) -> SpanModel:
        """The same model with the bias that marks texts best, as far as its own probabilities tell.

        sequences: any texts, labelled or not. If probabilities are right, spans are to be marked from half
        of the best F1 on, not from one half on: with few labels, when F1 is low, that is much earlier. Source: Lipton
        et al. 2014. A model that knows few spans expects too few: there are as many as in the texts it was trained on.
        Measured: as good as cross-validation, for which a model is fitted several times.
        """
        hits, marked, expected, n_tokens = np.zeros(len(BIASES)), np.zeros(len(BIASES)), 0.0, 0
        for _, lattice in self._lattices(sequences):
            expected += lattice.marginals[:, 1 : 1 + len(self.labels)].sum()
            n_tokens += len(lattice.packing)
            for place, bias in enumerate(BIASES):
                _, probabilities = self._spans(lattice, lattice.best(bias))
                hits[place] += probabilities.sum()
                marked[place] += len(probabilities)
        n_true = OPTIMISM * max(expected, self.rate * n_tokens)
        return replace(self, bias=BIASES[int(np.argmax(hits / np.maximum(marked + n_true, 1e-9)))])

    def _lattices(self, sequences: Sequences) -> Iterator[tuple[slice, Lattice]]:
        """Some units after the other, and all their taggings."""
        units, used = _renumbered(sequences.units)
        of_words = self._of_words(used, sequences)
        ends = np.concatenate([[0], np.cumsum(units.lengths)])
        for part in _parts(units, n_tags(len(self.labels))):
            packing = Packing(units.lengths[part])
            outputs = gathered(of_words, units.words[ends[part.start] : ends[part.stop]], packing)
            yield part, Lattice(tag_scores(outputs), self.weights.transitions, packing)

    def _of_words(self, used: Array, sequences: Sequences) -> dict[int, Array]:
        """As of `products`, for as many words at a time as memory allows. used: the words' numbers, ascending."""
        pool, found = sequences.words, dict[int, Array]()
        for first in range(0, max(1, len(used)), WORDS_AT_ONCE):
            words = words_of(pool, used[first : first + WORDS_AT_ONCE], sequences.vocabulary)
            for distance, sums in products(self.views.tables(words, pool.usage), self.weights.outputs).items():
                whole = found.setdefault(distance, np.empty((len(used) + 1, sums.shape[1])))
                # Each part ends with what lies beyond a unit's ends.
                whole[first : first + len(sums)] = sums
        return found

    def _spans(self, lattice: Lattice, tags: Array) -> tuple[TokenSpans, Array]:
        """The spans of packed tags and their probabilities."""
        packing = lattice.packing
        spans = decode(tags[packing.place], packing.lengths, len(self.labels))
        return spans, np.exp(lattice.span_logs(spans.units, spans.firsts, spans.lasts, spans.classes))

    def _marked(self, lattice: Lattice) -> tuple[TokenSpans, Array, Array]:
        """Spans, their probabilities, and of each unit confidence, entropy and expected number of spans."""
        tags = lattice.best(self.bias)
        spans, probabilities = self._spans(lattice, tags)
        marginals = np.maximum(lattice.marginals, np.finfo(float).tiny)
        entropies = -np.einsum("tk,tk->t", marginals, np.log(marginals))
        expected = marginals[:, 1 : 1 + len(self.labels)].sum(axis=1)
        sums = lattice.packing.sums
        return spans, probabilities, np.stack([lattice.path_logs(tags), sums(entropies), sums(expected)])


def fit(sequences: Sequences, answers: Sequence[Sequence[Span]], labels: Sequence[str]) -> tuple[SpanModel, Encoded]:
    """A model of marked texts, and what of them was not learnt as it was marked.

    Only the first `MAX_TEXT_CHARACTERS` of a text count, to the end of the last unit. answers: the spans of each
    text; none is an answer, too. labels: one or more, all classes asked for. Raises InvalidRequest.
    """
    if not labels or len(sequences) != len(answers):
        raise InvalidRequest(f"need one class or more, and spans of {len(sequences)} texts, not of {len(answers)}")
    place_of = {label: place for place, label in enumerate(labels)}
    sequences = replace(sequences, units=sequences.units.beginnings(MAX_TEXT_CHARACTERS))
    encoded = encode(answers, sequences.units, place_of)
    units, numbers = _renumbered(sequences.units)
    words = words_of(sequences.words, numbers, sequences.vocabulary)
    views = Views.of(words, np.bincount(units.words, minlength=len(words.place)), 2 + len(labels))
    pool = sequences.words
    told_by = pool.told_by(sequences.units)[units.text_of_token]
    used, place = np.unique(units.words + told_by * len(words.place), return_inverse=True)
    parts, own = np.divmod(used, len(words.place))
    windows = Windows(views.tables(*pool.told(words.some(own), parts)), place, Packing(units.lengths))
    weights = crf.fit(windows, encoded.tags, len(labels))
    rate = float(((encoded.tags > 0) & (encoded.tags <= len(labels))).mean()) if len(encoded.tags) else 0.0
    return SpanModel(tuple(labels), views, weights, rate).biased(sequences.some), encoded


def _renumbered(units: Units) -> tuple[Units, Array]:
    """Texts whose words are numbered anew, and the numbers that these had, ascending."""
    used = np.flatnonzero(np.bincount(units.words))
    return replace(units, words=places(used, int(units.words.max(initial=0)) + 1)[units.words]), used


def words_of(pool: PoolWords, used: Array, vocabulary: Vocabulary) -> Words:
    """Features of words by their numbers in a vocabulary that goes on after the pool's. used: ascending."""
    n_known = len(pool.vocabulary)
    known = pool.known.some(used[used < n_known])
    new = [vocabulary.added[word - n_known] for word in used[used >= n_known].tolist()]
    return known.beside(pool.describe(new)) if new else known


def _parts(units: Units, width: int) -> Iterator[slice]:
    """Units that are worked on at a time."""
    ends, first = np.cumsum(units.lengths), 0
    while first < len(ends):
        begin = ends[first] - units.lengths[first]
        stop = max(first + 1, int(np.searchsorted(ends, begin + NUMBERS_AT_ONCE // width, side="right")))
        yield slice(first, stop)
        first = stop
