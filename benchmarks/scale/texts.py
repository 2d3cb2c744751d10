"""Up to millions of the texts of `benchmarks.texts`, in a file: made in blocks, read one at a time."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.texts import LABELS, N_WORDS, TOPIC_SHARE, WORDS_A_TEXT

BLOCK = 50_000
SEED = 1
_SYLLABLES = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu")


class TextFile:
    """Texts with their labels. A task's text is found by its row, without reading the others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with (folder / "texts.jsonl").open("rb") as file:
            self._lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._starts = np.load(folder / "starts.npy", mmap_mode="r")
        self._labels = np.load(folder / "labels.npy", mmap_mode="r")

    @classmethod
    def make(cls, folder: Path, n: int) -> TextFile:
        """Write n texts; the first ones are the same whatever n is."""
        folder.mkdir(parents=True, exist_ok=True)
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

    def label(self, row: int) -> str:
        """The right label of a row."""
        return LABELS[self._labels[row]]

    def labels(self, first: int, last: int) -> list[str]:
        """The right labels of the rows from `first` to before `last`."""
        return [LABELS[code] for code in self._labels[first:last]]


def _blocks(n: int) -> Iterator[tuple[int, list[str], np.ndarray]]:
    """First row, texts and label codes of each block. A text is made as in `benchmarks.texts.make_texts`."""
    words = _words()
    shares = np.cumsum(1.0 / np.arange(1, N_WORDS + 1))
    for first in range(0, n, BLOCK):
        random = np.random.default_rng((SEED, first))
        shape = (BLOCK, WORDS_A_TEXT)
        chosen = np.searchsorted(shares, random.random(shape) * shares[-1])
        labels = random.integers(len(LABELS), size=BLOCK)
        topics = 200 + labels[:, None] * 400 + random.integers(400, size=shape)
        chosen = np.where(random.random(shape) < TOPIC_SHARE, topics, chosen)[: n - first]
        yield first, [" ".join(map(words.__getitem__, row)) for row in chosen.tolist()], labels[: n - first]


def _words() -> list[str]:
    random = np.random.default_rng(SEED)
    return ["".join(random.choice(_SYLLABLES, 1 + index % 4)) + str(index % 97) for index in range(N_WORDS)]
