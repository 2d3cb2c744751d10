"""Named entities: what random texts teach, how fast, and what asking for the most informative ones saves.

    python -m benchmarks.spans FILE.jsonl.gz [FILE …] [--seeds 5] [--test random] [--pool train] [--encoder none]
    python -m benchmarks.spans FILE.jsonl.gz --active [--budget 300] [--batch 25]

Lines hold `text`, `spans` ([[start, end, label], …] in code points) and perhaps `split`. Test texts are those of the
split "test" or, with `--test random` or without splits, a third of the training texts, drawn anew for each seed. The
others are shuffled for each seed; all models and strategies of a seed share them. The pool, of which features without
labels are learnt, holds the test texts too, as a live project's pool does; with `--pool train` it does not. Beside it,
where the package python-crfsuite is installed, the same tokens with classic features by CRFsuite. F1 is strict: start,
end and class. Times are of one thread, in seconds of processor time. Prints markdown tables.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.label_efficiency import interval, line
from label_studio_al.learners.encoders import find_encoder
from label_studio_al.learning.passages import Marking, Passage
from label_studio_al.learning.sequences.evaluation import span_scores
from label_studio_al.learning.sequences.model import Reading, SpanModel, fit
from label_studio_al.learning.sequences.rows import MarkedWords
from label_studio_al.learning.sequences.spans import Span, decode, encode
from label_studio_al.learning.sequences.units import Units, Vocabulary
from label_studio_al.learning.sequences.words import affixes, form, identity
from label_studio_al.learning.spans import answer_of
from label_studio_al.learning.types import Array

SIZES = (25, 50, 100, 200, 500)
WINDOW = 2
Answers = list[list[Span]]


@dataclass(frozen=True)
class Data:
    name: str
    texts: list[str]
    answers: Answers
    splits: list[str]

    @property
    def labels(self) -> list[str]:
        return sorted({span.label for spans in self.answers for span in spans})

    def some(self, places: Array) -> tuple[list[str], Answers]:
        return [self.texts[place] for place in places], [self.answers[place] for place in places]

    def drawn(self, seed: int, is_random: bool) -> tuple[Array, Array]:
        """Training texts in the order of the seed, and test texts."""
        random = np.random.default_rng(seed)
        splits = np.array(self.splits)
        train, test = (np.flatnonzero(splits == name) for name in ("train", "test"))
        shuffled = random.permutation(train if len(train) else len(splits))
        if len(test) and not is_random:
            return shuffled, test
        n_test = len(shuffled) // 3
        return shuffled[n_test:], shuffled[:n_test]


def read(path: Path) -> Data:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(row) for row in file]
    answers = [[Span(*span) for span in row["spans"]] for row in rows]
    name = path.name.partition(".")[0]
    return Data(name, [row["text"] for row in rows], answers, [row.get("split", "") for row in rows])


def f1(truth: Answers, found: Answers) -> float:
    pair = (np.array([answer_of((*span,) for span in spans) for spans in side]) for side in (truth, found))
    return span_scores(*pair)["micro_f1"]


@dataclass(frozen=True)
class Learnt:
    """A model, and the words of the pool that it was made for."""

    model: SpanModel
    words: MarkedWords

    @classmethod
    def of(cls, data: Data, places: Array, words: MarkedWords) -> Learnt:
        texts, answers = data.some(places)
        return cls(fit(words.sequences(texts), answers, data.labels)[0], words)

    def read(self, texts: Sequence[str]) -> Reading:
        return self.model.read(self.words.sequences(texts))


@dataclass(frozen=True)
class Figures:
    f1: float
    fit_seconds: float
    texts_per_second: float


def ours(data: Data, train: Array, test: Array, words: MarkedWords) -> Figures:
    begin = time.process_time()
    model = Learnt.of(data, train, words)
    fitted = time.process_time()
    texts, answers = data.some(test)
    found = model.read(texts).spans(data.labels)
    return Figures(f1(answers, found), fitted - begin, len(texts) / (time.process_time() - fitted))


@cache
def classic(word: str) -> tuple[list[str], list[str]]:
    """Features for the tokens nearby, and for the token itself."""
    near = [*(f"word {name}" for name in identity(word)), *form(word)]
    return near, [*near, *affixes(word)]


def rows_of(text: str, places: Array) -> list[list[str]]:
    words = [text[start:end] for start, end in places.tolist()]
    rows = []
    for place, word in enumerate(words):
        row = ["always", *classic(word)[1]]
        for distance in range(-WINDOW, WINDOW + 1):
            if distance and 0 <= place + distance < len(words):
                row += [f"{distance} {name}" for name in classic(words[place + distance])[0]]
            elif distance:
                row.append(f"{distance} end")
        rows.append(row)
    return rows


def units_and_rows(texts: Sequence[str]) -> tuple[Units, list[list[list[str]]]]:
    units = Units.of([[Passage(text)] for text in texts], Vocabulary())
    places = np.split(np.column_stack([units.starts, units.ends]), np.cumsum(units.lengths)[:-1])
    return units, [rows_of(texts[text], own) for text, own in zip(units.text_of, places, strict=True)]


def crfsuite(data: Data, train: Array, test: Array) -> Figures:
    """CRFsuite as its tutorials have it, with classic features."""
    pycrfsuite = importlib.import_module("pycrfsuite")
    texts, answers = data.some(train)
    begin = time.process_time()
    units, rows = units_and_rows(texts)
    tags = encode(answers, units, {label: place for place, label in enumerate(data.labels)}).tags
    trainer = pycrfsuite.Trainer(verbose=False)
    for own, given in zip(rows, np.split(tags, np.cumsum(units.lengths)[:-1]), strict=True):
        trainer.append(own, [str(tag) for tag in given])
    trainer.set_params({"c1": 0.1, "c2": 0.1, "max_iterations": 100, "feature.possible_transitions": True})
    with tempfile.TemporaryDirectory() as folder:
        trainer.train(f"{folder}/model")
        fitted = time.process_time()
        tagger = pycrfsuite.Tagger()
        tagger.open(f"{folder}/model")
        texts, answers = data.some(test)
        units, rows = units_and_rows(texts)
        found = spans_of([list(map(int, tagger.tag(own))) for own in rows], units, data.labels)
    return Figures(f1(answers, found), fitted - begin, len(texts) / (time.process_time() - fitted))


def spans_of(tagged: Sequence[Sequence[int]], units: Units, labels: Sequence[str]) -> Answers:
    """Tags as spans; what goes on without having begun begins."""
    n, tags = len(labels), []
    for own in tagged:
        before = 0
        for tag in own:
            before = tag - n if tag > n and before not in (tag, tag - n) else tag
            tags.append(before)
    spans = decode(np.array(tags, dtype=np.int64), units.lengths, n)
    found: Answers = [[] for _ in range(units.n_texts)]
    for text, start, end, label in zip(*spans.in_text(units), spans.classes, strict=True):
        found[text].append(Span(int(start), int(end), labels[label]))
    return found


def curves(data: Data, options: argparse.Namespace) -> None:
    """What random texts teach."""
    models: dict[str, dict[int, list[Figures]]] = {}
    for seed in range(options.seeds):
        train, test = data.drawn(seed, options.test == "random")
        pool = pool_of(data, train, test, options)
        for size in [size for size in SIZES if size <= len(train)]:
            found = {"ours": ours(data, train[:size], test, pool)}
            if importlib.util.find_spec("pycrfsuite"):
                found["CRFsuite"] = crfsuite(data, train[:size], test)
            for name, figures in found.items():
                models.setdefault(name, {}).setdefault(size, []).append(figures)
        print(f"{data.name}: seed {seed}", file=sys.stderr, flush=True)
    sizes = list(models["ours"])
    print(line([data.name, *map(str, sizes), f"s to fit {sizes[-1]}", "texts/s read"]))
    print(line(["---"] * (len(sizes) + 3)))
    for name, by_size in models.items():
        last = by_size[sizes[-1]]
        seconds, speed = (np.mean([getattr(one, key) for one in last]) for key in ("fit_seconds", "texts_per_second"))
        scores = [f"{np.mean([one.f1 for one in by_size[size]]):.3f}" for size in sizes]
        print(line([name, *scores, f"{seconds:.2f}", f"{speed:.0f}"]))
    if "CRFsuite" in models:
        pairs = [[np.array([one.f1 for one in models[name][size]]) for name in ("ours", "CRFsuite")] for size in sizes]
        print(line(["difference", *(interval(*pair) for pair in pairs), "", ""]))
    print(flush=True)


def pool_of(data: Data, train: Array, test: Array, options: argparse.Namespace) -> MarkedWords:
    places = np.sort(train if options.pool == "train" else np.concatenate([train, test]))
    return MarkedWords.fit(Marking(), data.some(places)[0], find_encoder(options.encoder))


# Informativeness of texts: high = ask first. The second value: how many characters each has.
STRATEGIES: Mapping[str, Callable[[Reading, Array], Array]] = {
    "longest": lambda reading, sizes: sizes,
    "least confidence": lambda reading, sizes: -reading.confidence,
    "least confidence / character": lambda reading, sizes: -reading.confidence / sizes,
    "least confidence / root": lambda reading, sizes: -reading.confidence / np.sqrt(sizes),
    "entropy": lambda reading, sizes: reading.entropies,
    "entropy / token": lambda reading, sizes: reading.entropies / np.maximum(reading.n_tokens, 1),
    "expected spans": lambda reading, sizes: reading.expected,
    "expected spans / character": lambda reading, sizes: reading.expected / sizes,
}
RANDOM = "random"


@dataclass(frozen=True)
class Run:
    """F1 after each batch, and how many characters were read until then."""

    scores: Array
    characters: Array


def asked(data: Data, name: str, drawn: tuple[Array, Array], pool: MarkedWords, options: argparse.Namespace) -> Run:
    """One replay; the first batch is random."""
    train, test = drawn
    texts, answers = data.some(test)
    sizes = np.array([max(1, len(data.texts[place])) for place in train])
    is_labelled = np.zeros(len(train), dtype=bool)
    is_labelled[: options.batch] = True
    scores, characters = [], []
    while True:
        model = Learnt.of(data, train[is_labelled], pool)
        scores.append(f1(answers, model.read(texts).spans(data.labels)))
        characters.append(int(sizes[is_labelled].sum()))
        if is_labelled.sum() >= options.budget:
            return Run(np.array(scores), np.array(characters))
        left = np.flatnonzero(~is_labelled)
        if name == RANDOM:
            is_labelled[left[: options.batch]] = True
        else:
            values = STRATEGIES[name](model.read(data.some(train[left])[0]), sizes[left])
            is_labelled[left[np.argsort(-values, kind="stable")[: options.batch]]] = True


def active(data: Data, options: argparse.Namespace) -> None:
    """What strategies reach, by texts and by characters read, and its difference to random, paired by seed."""
    runs: dict[str, list[Run]] = {}
    goals = []
    for seed in range(options.seeds):
        drawn = data.drawn(seed, options.test == "random")
        pool = pool_of(data, *drawn, options)
        goal = Learnt.of(data, drawn[0][: options.goal], pool)
        texts, answers = data.some(drawn[1])
        goals.append(
            (f1(answers, goal.read(texts).spans(data.labels)), sum(map(len, data.some(drawn[0][: options.goal])[0])))
        )
        for name in options.strategies.split(","):
            runs.setdefault(name, []).append(asked(data, name, drawn, pool, options))
            print(f"{data.name}: {name}, seed {seed}", file=sys.stderr, flush=True)
    sizes = np.arange(options.batch, options.budget + 1, options.batch)
    shown = [size for size in (50, 100, 200, 300, 500) if size in sizes]
    budgets = [int(np.mean([one.characters[sizes == size] for one in runs[RANDOM]])) for size in shown]
    goal, n_characters = np.mean(goals, axis=0)
    print(f"{data.name}: {options.goal} random texts teach {goal:.3f} with {n_characters:.0f} characters.\n")
    heads = [f"{size} texts" for size in shown] + [f"{budget:,} characters" for budget in budgets]
    print(line(["strategy", *heads, "texts to that", "share of its characters"]))
    print(line(["---"] * (len(heads) + 3)))

    def at(own: list[Run]) -> list[Array]:
        by_texts = [np.array([one.scores[sizes == size][0] for one in own]) for size in shown]
        return by_texts + [np.array([np.interp(n, one.characters, one.scores) for one in own]) for n in budgets]

    for name, own in runs.items():
        same = zip(at(own), at(runs[RANDOM]), strict=True)
        means = [f"{found.mean():.3f}" + f"; {interval(found, other)}" * (name != RANDOM) for found, other in same]
        # Where the mean curve first reaches what random texts teach.
        reached = np.flatnonzero(np.mean([one.scores for one in own], axis=0) >= goal)
        first = int(reached[0]) if len(reached) else None
        share = "-" if first is None else f"{np.mean([one.characters[first] for one in own]) / n_characters:.0%}"
        print(line([name, *means, "-" if first is None else str(sizes[first]), share]))
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--test", choices=("split", "random"), default="split")
    parser.add_argument("--pool", choices=("all", "train"), default="all")
    parser.add_argument("--encoder", default="wordllama")
    parser.add_argument("--active", action="store_true", help="compare strategies instead of models")
    parser.add_argument("--strategies", default=",".join([RANDOM, *STRATEGIES]), help="random among them")
    parser.add_argument("--budget", type=int, default=300, help="texts to ask for")
    parser.add_argument("--batch", type=int, default=25)
    parser.add_argument("--goal", type=int, default=500, help="random texts whose F1 is to be reached")
    options = parser.parse_args()
    with threadpool_limits(1):
        for path in options.files:
            (active if options.active else curves)(read(path), options)


if __name__ == "__main__":
    main()
