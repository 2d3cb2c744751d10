"""A model of spans, from marked texts to marked texts."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from label_studio_al.learning.passages import Marking
from label_studio_al.learning.sequences import model, views
from label_studio_al.learning.sequences.model import Reading, SpanModel, fit
from label_studio_al.learning.sequences.rows import MarkedWords
from label_studio_al.learning.sequences.spans import UNKNOWN, Encoded, Span
from label_studio_al.learning.sequences.words import affixes, folded, form, shape
from label_studio_al.runtime.errors import InvalidRequest

PEOPLE, PLACES = ["Ada", "Grace Hopper", "Alan Turing", "Kurt"], ["London", "New York", "Vienna", "Oslo"]
SENTENCES = ["{0} lives in {1} now.", "Yesterday {0} left {1}.", "In {1} people met {0}!", "Nobody was at home."]
LABELS = ("PER", "LOC")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As in the processes that train: products are small, and threads only wait for each other."""
    with threadpool_limits(1):
        yield


def sentence(random: np.random.Generator) -> tuple[str, list[Span]]:
    person, place = random.choice(PEOPLE), random.choice(PLACES)
    text = str(random.choice(SENTENCES)).format(person, place)
    found = [(text.find(name), name, label) for name, label in ((person, "PER"), (place, "LOC"))]
    return text, [Span(at, at + len(name), label) for at, name, label in found if at >= 0]


def corpus(n: int, seed: int = 0) -> tuple[list[str], list[list[Span]]]:
    random = np.random.default_rng(seed)
    texts, answers = zip(*[sentence(random) for _ in range(n)], strict=True)
    return list(texts), list(answers)


class Letters:
    """An encoder that knows nothing but a word's letters."""

    name, n_dimensions = "letters", 26

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts], np.float32)


@dataclass(frozen=True)
class Learnt:
    """A model, and the words of the pool that it was made for."""

    model: SpanModel
    words: MarkedWords

    def read(self, texts: Sequence[str]) -> Reading:
        return self.model.read(self.words.sequences(texts))


def words_of(texts: Sequence[str] = (), encoder: Letters | None = None) -> MarkedWords:
    return MarkedWords.fit(Marking(), texts, encoder)


def learnt_from(
    texts: Sequence[str], answers: Sequence[Sequence[Span]], labels: Sequence[str], words: MarkedWords
) -> tuple[Learnt, Encoded]:
    learnt, encoded = fit(words.sequences(texts), answers, labels)
    return Learnt(learnt, words), encoded


def trained(n: int = 30, encoder: Letters | None = None) -> Learnt:
    return learnt_from(*corpus(n), LABELS, words_of(corpus(100, seed=5)[0], encoder))[0]


@pytest.mark.parametrize("encoder", [None, Letters()])
def test_model_marks_what_it_was_shown(encoder: Letters | None) -> None:
    texts, answers = corpus(60, seed=1)
    reading = trained(encoder=encoder).read(texts)
    found = reading.spans(LABELS)
    assert np.mean([set(a) == set(b) for a, b in zip(found, answers, strict=True)]) > 0.9
    assert ((reading.probabilities > 0) & (reading.probabilities <= 1)).all()
    assert (reading.confidence <= 0).all()
    assert abs(reading.expected.sum() - sum(map(len, answers))) < 10


def test_offsets_are_code_points_of_the_text_as_it_is() -> None:
    text = "🙂🙂 In  Vienna\r\npeople met Ada!"
    assert trained().read([text]).spans(LABELS)[0] == [Span(7, 13, "LOC"), Span(26, 29, "PER")]


def test_reading_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [*corpus(20, seed=2)[0], "", "...", "word " * 300]
    learnt = trained()
    whole = learnt.read(texts)
    monkeypatch.setattr(model, "NUMBERS_AT_ONCE", 40)
    monkeypatch.setattr(model, "WORDS_AT_ONCE", 7)
    monkeypatch.setattr(model, "TEXTS_AT_ONCE", 9)
    for most in (model.SUMS_AT_ONCE, 100):
        monkeypatch.setattr(model, "SUMS_AT_ONCE", most)
        for name, values in vars(learnt.read(texts)).items():
            np.testing.assert_allclose(values, vars(whole)[name])


def test_text_is_read_the_same_whatever_stands_beside_it() -> None:
    texts, learnt = [*corpus(9, seed=3)[0], "Unheard Zyx of Qwv."], trained(encoder=Letters())
    together = learnt.read(texts)
    alone = [learnt.read([text]) for text in texts]
    np.testing.assert_allclose(together.confidence, [one.confidence[0] for one in alone])
    np.testing.assert_allclose(together.probabilities, np.concatenate([one.probabilities for one in alone]))


def test_no_text_and_texts_without_tokens_are_read() -> None:
    learnt = trained()
    assert learnt.read([]).spans(LABELS) == []
    reading = learnt.read(["", " \n"])
    assert reading.spans(LABELS) == [[], []]
    assert (reading.confidence.tolist(), reading.n_tokens.tolist(), reading.expected.tolist()) == (
        [0, 0],
        [0, 0],
        [0, 0],
    )


def test_fit_is_deterministic_and_survives_pickling() -> None:
    texts = corpus(20, seed=4)[0]
    first, again = trained(encoder=Letters()), pickle.loads(pickle.dumps(trained(encoder=Letters())))
    np.testing.assert_array_equal(first.read(texts).confidence, again.read(texts).confidence)


@pytest.mark.parametrize(
    ("texts", "answers"),
    [
        (["nothing here", "nor there"], [[], []]),
        (["Ada", "Ada Ada"], [[Span(0, 3, "PER")], [Span(0, 3, "PER"), Span(4, 7, "PER")]]),
        (["", " "], [[], []]),
        ([], []),
    ],
)
def test_one_sided_answers_are_learnt(texts: list[str], answers: list[list[Span]]) -> None:
    learnt, encoded = learnt_from(texts, answers, ["PER"], words_of())
    assert encoded.changes == ()
    assert learnt.read(texts).spans(["PER"]) == answers


def test_only_the_beginning_of_a_long_text_is_learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "Ada saw it. " * 20 + "\n" + "Kurt saw it. " * 20
    texts, answers = [long, "Ada left.", "We left."], [[Span(0, 3, "PER"), Span(241, 245, "LOC")], [], []]
    monkeypatch.setattr(model, "MAX_TEXT_CHARACTERS", 200)
    learnt, encoded = learnt_from(texts, answers, LABELS, words_of(texts))
    assert len(encoded.tags) == 20 * 4 + 3 + 3
    assert [change.span.label for change in encoded.changes] == ["LOC"]
    assert len(learnt.read([long]).n_tokens) == 1
    assert learnt.read([long]).n_tokens.tolist() == [160]


def test_bias_is_chosen_by_the_beginnings_of_long_texts() -> None:
    units = words_of(["word. " * 9_000, "Ada left."]).pool.some
    begun, all_of_it = units.by_text(units.lengths)
    assert 20_000 <= begun * 3 <= 20_000 + 6 * 128
    assert all_of_it == 3


def test_two_hundred_classes_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [f"class {n}" for n in range(200)]
    texts = [f"the {n}x thing number{n % 7} of them" for n in range(200)]
    answers = [[Span(4, 4 + len(f"{n}x"), labels[n])] for n in range(200)]
    monkeypatch.setattr(views, "MOST_WEIGHTS", 202_000)
    learnt = learnt_from(texts, answers, labels, words_of(texts))[0]
    columns = learnt.model.views.columns
    assert learnt.model.weights.outputs.shape[1] == 202
    assert sum(len(own) * n for own, n in zip(columns, (5, 3, 1), strict=True)) <= 1_000
    assert all(map(len, columns))
    assert sum(bool(found) for found in learnt.read(texts).spans(labels)) > 100


def test_bias_marks_more_where_the_model_is_unsure() -> None:
    texts, answers = corpus(4)
    learnt = learnt_from(texts, answers, LABELS, words_of())[0]
    others = [text.replace("Ada", "Zoe").replace("London", "Quito") for text in corpus(60, seed=7)[0]]
    biased = replace(learnt, model=learnt.model.biased(learnt.words.sequences(others)))
    assert biased.model.bias >= learnt.model.bias == 0
    assert len(biased.read(others).starts) >= len(learnt.read(others).starts)


def test_what_cannot_be_fitted_is_said() -> None:
    with pytest.raises(InvalidRequest, match="one class"):
        learnt_from(["a"], [[]], [], words_of())
    with pytest.raises(InvalidRequest, match="spans of 1 texts, not of 2"):
        learnt_from(["a"], [[], []], ["PER"], words_of())
    assert learnt_from(["a"], [[Span(0, 1, "LOC")]], ["PER"], words_of())[1].changes[0].why == UNKNOWN


def test_pool_knows_how_words_are_written_elsewhere() -> None:
    pool = words_of(["I saw Apple there.", "We like Apple now.", "An apple fell.", "NASA flew.", "We like NASA."]).pool
    capital, capitals, small, first = pool.usage.habits[pool.folded["apple"]][:4]
    assert (capital, capitals, small, first) == pytest.approx((2 / 4, 0, 1 / 4, 0))
    assert pool.usage.habits[pool.folded["nasa"]][1] == pytest.approx(2 / 3)
    assert pool.describe(["APPLE", "pear"]).place.tolist() == [pool.folded["apple"], len(pool.folded)]


def test_model_learns_of_words_half_from_texts_that_they_do_not_stand_in() -> None:
    texts = [f"Ada saw thing{n}" for n in range(80)]
    words = words_of(texts)
    pool, units = words.pool, words.sequences(texts).units
    told_by = pool.told_by(units)
    assert all((told_by == part).sum() > 10 for part in range(3))
    order = np.argsort(told_by, kind="stable")
    things, usage = pool.told(pool.describe([f"thing{n}" for n in order]), told_by[order])
    np.testing.assert_allclose(np.expm1(5 * usage.habits[things.place, 4]), told_by[order] == 0, atol=1e-5)
    names, usage = pool.told(pool.describe(["Ada"] * 3), np.arange(3))
    often = np.expm1(5 * usage.habits[names.place, 4])
    assert often[0] == pytest.approx(80, rel=1e-4)
    assert often[1] + often[2] == pytest.approx(80, rel=1e-4)
    more = words.sequences(["unheard of", *texts]).units
    np.testing.assert_array_equal(pool.told_by(more)[1:], told_by)


def test_words_of_texts_that_are_gone_are_forgotten() -> None:
    words = words_of(["Ada saw Ada.", "Kurt saw Kurt."])
    alive = words.sequences(["Ada saw Ada."])
    left = words.without_unused(alive)
    assert not {word for word in (*left.pool.vocabulary, *left.pool.folded) if "kurt" in word.lower()}
    assert left.without_unused(left.sequences(["Ada saw Ada."])) is left
    np.testing.assert_array_equal(left.sequences(["Ada saw"]).units.words, words.sequences(["Ada saw"]).units.words)
    assert words.without_unused(words.sequences(["Ada saw Ada.", "Kurt saw Kurt."])) is words


def test_words_with_the_same_neighbours_have_similar_contexts() -> None:
    texts = [f"we saw {name} there" for name in ("Ada", "Kurt")] * 3 + [
        "they run fast and slow",
        "fast or slow they run",
    ] * 3
    pool = words_of(texts).pool
    ada, kurt, fast = (pool.usage.contexts[pool.folded[word]] for word in ("ada", "kurt", "fast"))
    assert ada @ kurt > 0.9 > ada @ fast


def test_outlines_of_words() -> None:
    assert [shape(word) for word in ("McX", "a-2", "ÉCOLE")] == ["XxX", "x-d", "XXXXX"]
    assert folded("ＡＢＣ") == "abc"  # noqa: RUF001
    assert set(form("USA")) == {"shape XXX", "runs X", "length 3", "capital", "capitals"}
    assert list(affixes("Ab")) == ["^a", "b$", "^ab", "ab$"]
