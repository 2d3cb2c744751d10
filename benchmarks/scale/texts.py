"""Up to millions of the texts of `benchmarks.texts`, in a file: made in blocks, read one at a time.

What people answer is said by `Asked`. Words have labels: a text holds about four such words, whatever the number of
labels. Where spans are marked, texts are sentences of about 100 characters that hold names of up to three words.
"""

from __future__ import annotations

import json
import mmap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.texts import LABELS, N_WORDS, TOPIC_SHARE, WORDS_A_TEXT
from label_studio_al.learning.coding import text_of
from tests.support.studio import CHOICES, TEXT, choices

BLOCK = 50_000
# Words with a topic, and those of them that have a label among many: frequent enough to be learned, and all different.
FIRST_TOPIC_WORD, TOPIC_WORDS = 200, 400
LEAST_SYLLABLES = 3
# Where spans are marked: rarer words are names, too, and begin in these places of a sentence, so often in each.
FIRST_NAME = 10_000
WORDS_A_SENTENCE, NAME_PLACES, NAME_SHARE, LONGEST_NAME = 13, (1, 5, 9), 0.4, 3
SPANS = "entity"
SEED = 1
_SYLLABLES = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu")


@dataclass(frozen=True)
class Asked:
    """What people are asked of each text.

    kind: "single" (one label), "multiple" (any number), "two" (one label, and one of as many others), or "spans"
    (names, with `LABELS`). n_labels: how many labels a question offers. Where it is 0 the question is which of `LABELS`
    the text, or a name, was made for. Otherwise people choose the labels of the text's words: the most frequent one, of
    equals the first, or all of them.
    """

    kind: str = "single"
    n_labels: int = 0

    @classmethod
    def parse(cls, text: str) -> Asked:
        """From "single", "single:10", "multiple:20", "two:5" or "spans". Raises ValueError, which says what may be."""
        kind, _, number = text.partition(":")
        is_known = kind in ("single", "multiple", "two") and number.isdecimal() and int(number) > 1
        if not is_known and text not in ("single", "spans"):
            raise ValueError(f"a question is single, spans, single:N, multiple:N or two:N with N from 2 on, not {text}")
        return cls(kind, int(number or 0))

    @property
    def is_multiple(self) -> bool:
        """Whether any number of labels may be chosen."""
        return self.kind == "multiple"

    @property
    def is_of_spans(self) -> bool:
        """Whether names are marked in the text."""
        return self.kind == "spans"

    @property
    def questions(self) -> dict[str, list[str]]:
        """The labels by the question's name."""
        if self.is_of_spans:
            return {SPANS: list(LABELS)}
        if not self.n_labels:
            return {CHOICES: list(LABELS)}
        names = [CHOICES, "second"] if self.kind == "two" else [CHOICES]
        numbers = iter(range(self.n_labels * len(names)))
        return {name: [f"label {next(numbers):03}" for _ in range(self.n_labels)] for name in names}


ONE_OF_FOUR = Asked()


class TextFile:
    """Texts with their labels. A task's text is found by its row, without reading the others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with (folder / "texts.jsonl").open("rb") as file:
            self._lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._starts = np.load(folder / "starts.npy", mmap_mode="r")
        self._labels = np.load(folder / "labels.npy", mmap_mode="r")
        self.asked = Asked(**json.loads((folder / "asked.json").read_text(encoding="utf-8")))
        self._label_of = _label_of_words(self.asked)

    @classmethod
    def make(cls, folder: Path, n: int, asked: Asked = ONE_OF_FOUR) -> TextFile:
        """Write n texts; the first ones are the same whatever n is."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "asked.json").write_text(json.dumps(asdict(asked)), encoding="utf-8")
        starts, labels = np.zeros(n + 1, dtype=np.int64), np.zeros(n, dtype=np.uint8)
        with (folder / "texts.jsonl").open("wb") as file:
            for first, texts, codes in _sentences(n) if asked.is_of_spans else _blocks(n):
                lines = [f'"{text}"\n' for text in texts]
                file.write("".join(lines).encode("ascii"))
                labels[first : first + len(lines)] = codes
                starts[first + 1 : first + 1 + len(lines)] = list(map(len, lines))
        np.save(folder / "starts.npy", np.cumsum(starts))
        np.save(folder / "labels.npy", labels)
        return cls(folder)

    def __len__(self) -> int:
        return len(self._labels)

    def json_lines(self, first: int, last: int) -> list[bytes]:
        """The texts of the rows from `first` to before `last`, each as a JSON string."""
        return self._lines[int(self._starts[first]) : int(self._starts[last])].splitlines()

    def texts(self, first: int, last: int) -> list[str]:
        """The texts of the rows from `first` to before `last`."""
        return [json.loads(line) for line in self.json_lines(first, last)]

    @property
    def label_config(self) -> str:
        """What a project asks about them."""
        if self.asked.is_of_spans:
            labels = "".join(f'<Label value="{label}"/>' for label in LABELS)
            marked = f'<Labels name="{SPANS}" toName="{TEXT}">{labels}</Labels>'
            return f'<View>{marked}<Text name="{TEXT}" value="$text"/></View>'
        how_many = "multiple" if self.asked.is_multiple else "single"
        controls = (
            f'<Choices name="{name}" toName="{TEXT}" choice="{how_many}">'
            + "".join(f'<Choice value="{label}"/>' for label in labels)
            + "</Choices>"
            for name, labels in self.asked.questions.items()
        )
        return f'<View><Text name="{TEXT}" value="$text"/>{"".join(controls)}</View>'

    def chosen(self, row: int) -> dict[str, list[str]]:
        """What people choose for a row, by question."""
        if not self.asked.n_labels:
            return {CHOICES: [LABELS[self._labels[row]]]}
        words = Counter(self._label_of[word] for word in self.texts(row, row + 1)[0].split() if word in self._label_of)
        return {name: self._chosen(words, labels) for name, labels in self.asked.questions.items()}

    def _chosen(self, words: Counter[str], labels: Sequence[str]) -> list[str]:
        if self.asked.is_multiple:
            return [label for label in labels if words[label]]
        return [max(labels, key=words.__getitem__)]

    def result(self, row: int) -> list[dict[str, Any]]:
        """The annotation that they make of it."""
        if self.asked.is_of_spans:
            return [self._marked(*span) for span in self._spans(self.texts(row, row + 1)[0])]
        chosen = self.chosen(row)
        return [item | {"from_name": name} for name, labels in chosen.items() for item in choices(labels)]

    def _marked(self, start: int, end: int, label: str) -> dict[str, Any]:
        value = {"start": start, "end": end, "labels": [label]}
        return {"from_name": SPANS, "to_name": TEXT, "type": "labels", "value": value}

    def _spans(self, text: str) -> Iterator[tuple[int, int, str]]:
        """The names: words after one another that have the same label."""
        end = 0
        for label, words in groupby(text.split(), self._label_of.get):
            size = sum(1 + len(word) for word in words)
            if label is not None:
                yield end, end + size - 1, label
            end += size

    def answers(self, first: int, last: int, question: str = CHOICES) -> list[str]:
        """The same as the backend holds it, of the rows from `first` to before `last`."""
        each = (self.chosen(row)[question] for row in range(first, last))
        return [text_of(labels) if self.asked.is_multiple else labels[0] for labels in each]


def _blocks(n: int) -> Iterator[tuple[int, list[str], np.ndarray]]:
    """First row, texts and label codes of each block. A text is made as in `benchmarks.texts.make_texts`."""
    words = _words()
    shares = np.cumsum(1.0 / np.arange(1, N_WORDS + 1))
    for first in range(0, n, BLOCK):
        random = np.random.default_rng((SEED, first))
        shape = (BLOCK, WORDS_A_TEXT)
        chosen = np.searchsorted(shares, random.random(shape) * shares[-1])
        labels = random.integers(len(LABELS), size=BLOCK)
        topics = FIRST_TOPIC_WORD + labels[:, None] * TOPIC_WORDS + random.integers(TOPIC_WORDS, size=shape)
        chosen = np.where(random.random(shape) < TOPIC_SHARE, topics, chosen)[: n - first]
        yield first, [" ".join(map(words.__getitem__, row)) for row in chosen.tolist()], labels[: n - first]


def _sentences(n: int) -> Iterator[tuple[int, list[str], np.ndarray]]:
    """The same with names; all codes are 0."""
    words, names = _words(), _names() + N_WORDS
    written = np.array([*words, *map(str.capitalize, words)])
    shares, of_names = (np.cumsum(1.0 / np.arange(1, size + 1)) for size in (N_WORDS, names.shape[1]))
    for first in range(0, n, BLOCK):
        random = np.random.default_rng((SEED, first))
        chosen = np.searchsorted(shares, random.random((BLOCK, WORDS_A_SENTENCE)) * shares[-1])
        chosen[:, 0] += N_WORDS
        for place in NAME_PLACES:
            sizes = random.integers(1, LONGEST_NAME + 1, size=BLOCK) * (random.random(BLOCK) < NAME_SHARE)
            drawn = np.searchsorted(of_names, random.random((BLOCK, LONGEST_NAME)) * of_names[-1])
            found = names[random.integers(len(LABELS), size=BLOCK)[:, None], drawn]
            part = slice(place, place + LONGEST_NAME)
            chosen[:, part] = np.where(np.arange(LONGEST_NAME) < sizes[:, None], found, chosen[:, part])
        texts = [" ".join(row) + "." for row in written[chosen[: n - first]].tolist()]
        yield first, texts, np.zeros(len(texts), dtype=np.uint8)


def _words() -> list[str]:
    random = np.random.default_rng(SEED)
    return ["".join(random.choice(_SYLLABLES, 1 + index % 4)) + str(index % 97) for index in range(N_WORDS)]


def _names() -> np.ndarray:
    """The words of each label's names, which are long enough to be all different. Shape (n_labels, n_words)."""
    words = np.arange(FIRST_NAME, N_WORDS)
    return words[words % 4 + 1 >= LEAST_SYLLABLES].reshape(-1, len(LABELS)).T


def _label_of_words(asked: Asked) -> dict[str, str]:
    """The label of each word that has one; every label has about as many."""
    if asked.is_of_spans:
        words = _words()
        pairs = zip(LABELS, _names().tolist(), strict=True)
        return {words[name].capitalize(): label for label, names in pairs for name in names}
    if not asked.n_labels:
        return {}
    labels = [label for own in asked.questions.values() for label in own]
    places = range(FIRST_TOPIC_WORD, FIRST_TOPIC_WORD + len(LABELS) * TOPIC_WORDS)
    words = _words()
    long_enough = [words[place] for place in places if 1 + place % 4 >= LEAST_SYLLABLES]
    return {word: labels[place % len(labels)] for place, word in enumerate(long_enough)}
