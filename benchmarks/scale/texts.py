"""Up to millions of the texts of `benchmarks.texts`, in a file: made in blocks, read one at a time.

People give each text the one of four labels that it was made for. Of many labels that are offered they choose all whose
words the text holds: about four, whatever their number.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.texts import LABELS, N_WORDS, TOPIC_SHARE, WORDS_A_TEXT
from label_studio_al.learning.coding import text_of
from tests.support.studio import choices, label_config

BLOCK = 50_000
# Words with a topic, and those of them that have a label among many: frequent enough to be learned, and all different.
FIRST_TOPIC_WORD, TOPIC_WORDS = 200, 400
LEAST_SYLLABLES = 3
SEED = 1
_SYLLABLES = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu")


class TextFile:
    """Texts with their labels. A task's text is found by its row, without reading the others.

    offered: labels of which any number may be chosen; none where each text has one of `LABELS`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with (folder / "texts.jsonl").open("rb") as file:
            self._lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._starts = np.load(folder / "starts.npy", mmap_mode="r")
        self._labels = np.load(folder / "labels.npy", mmap_mode="r")
        self.offered: list[str] = json.loads((folder / "offered.json").read_text(encoding="utf-8"))
        self._label_of = _label_of_words(self.offered)

    @classmethod
    def make(cls, folder: Path, n: int, n_offered: int = 0) -> TextFile:
        """Write n texts; the first ones are the same whatever n is. n_offered: labels, where it is multiple choice."""
        folder.mkdir(parents=True, exist_ok=True)
        offered = [f"label {place:03}" for place in range(n_offered)]
        (folder / "offered.json").write_text(json.dumps(offered), encoding="utf-8")
        starts, labels = np.zeros(n + 1, dtype=np.int64), np.zeros(n, dtype=np.uint8)
        with (folder / "texts.jsonl").open("wb") as file:
            for first, texts, codes in _blocks(n):
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
        return label_config(self.offered, how_many="multiple") if self.offered else label_config(LABELS)

    def chosen(self, row: int) -> list[str]:
        """What people choose for a row."""
        if not self.offered:
            return [LABELS[self._labels[row]]]
        words = self.texts(row, row + 1)[0].split()
        return sorted({self._label_of[word] for word in words if word in self._label_of})

    def result(self, row: int) -> list[dict[str, Any]]:
        """The annotation that they make of it."""
        return choices(self.chosen(row))

    def answers(self, first: int, last: int) -> list[str]:
        """The same as the backend holds it, of the rows from `first` to before `last`."""
        each = map(self.chosen, range(first, last))
        return [text_of(labels) if self.offered else labels[0] for labels in each]


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


def _words() -> list[str]:
    random = np.random.default_rng(SEED)
    return ["".join(random.choice(_SYLLABLES, 1 + index % 4)) + str(index % 97) for index in range(N_WORDS)]


def _label_of_words(offered: Sequence[str]) -> dict[str, str]:
    """The label of each word that has one; every label has about as many."""
    if not offered:
        return {}
    places = range(FIRST_TOPIC_WORD, FIRST_TOPIC_WORD + len(LABELS) * TOPIC_WORDS)
    words = _words()
    long_enough = [words[place] for place in places if 1 + place % 4 >= LEAST_SYLLABLES]
    return {word: offered[place % len(offered)] for place, word in enumerate(long_enough)}
