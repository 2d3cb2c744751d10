"""Marks spans in texts with the model that lies beside this file.

model = SpanModel.load(folder)
model.mark("a text")  # [(start, end, label, probability), ...]
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

ARRAYS, ABOUT, TOKENIZER = "span_model.npz", "span_model.json", "span_tokenizer.json"
_N_HASHES = 2**31 - 1
_LETTER = re.compile(r"[^\W\d_]")
_AGAIN = re.compile(r"(.)\1+")


class SpanModel:
    """A conditional random field on words: what they look like, how they occurred, and what stands beside them.

    about: what `span_model.json` holds. arrays: what `span_model.npz` holds. tokenizer: of word vectors, where
    the model has them.
    """

    def __init__(self, about: dict[str, Any], arrays: dict[str, Any], tokenizer: Any = None) -> None:
        self.labels: list[str] = about["labels"]
        self._about = about
        self._arrays = arrays
        self._tokenizer = tokenizer
        self._ascii = re.compile(about["ascii"])
        self._any_script = re.compile(about["any_script"])
        self._hashes = [
            {column: place for place, column in enumerate(arrays[f"columns_{kind}"].tolist())} for kind in range(3)
        ]
        self._known: dict[str, Any] = {}
        self._between = self._transitions()

    @classmethod
    def load(cls, folder: str | Path) -> SpanModel:
        """The model in a folder. No code of the folder's files runs."""
        folder = Path(folder)
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        with np.load(folder / ARRAYS, allow_pickle=False) as kept:
            arrays = dict(kept)
        tokenizer = None
        if (folder / TOKENIZER).exists():
            from tokenizers import Tokenizer

            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        return cls(about, arrays, tokenizer)

    def mark(self, text: str) -> list[tuple[int, int, str, float]]:
        """The most probable spans: start and end in code points, label, and how probable exactly this span is."""
        return self.read(text)[0]

    def read(self, text: str) -> tuple[list[tuple[int, int, str, float]], float]:
        """As `mark`, and how probable it is that all spans of the text are right."""
        found, confidence = [], 0.0
        for unit in self._units(text):
            spans, log = self._marked([text[start:end] for start, end in unit])
            found += [(unit[first][0], unit[last][1], label, share) for first, last, label, share in spans]
            confidence += log
        return found, float(np.exp(confidence))

    # -- words ------------------------------------------------------------------------------------------------

    def _units(self, text: str) -> Iterator[list[tuple[int, int]]]:
        """Where the words are, in parts of a long text: up to a line's end, else a sentence's, else what may be."""
        pattern = self._ascii if text.isascii() else self._any_script
        words = [match.span() for match in pattern.finditer(text)]
        most, ends = self._about["most"], self._about["sentence_ends"]
        while len(words) > most:
            ranks = [
                2 * bool(re.search(r"[\n\r]", text[words[place][1] : words[place + 1][0]]))
                or int(text[words[place][1] - 1] in ends)
                for place in range(most)
            ]
            best = max(ranks)
            size = most - ranks[::-1].index(best) if best else most
            yield words[:size]
            words = words[size:]
        if words:
            yield words

    def _word(self, word: str) -> Any:
        """What a word adds at each distance. Returns shape (n_distances, n_outputs)."""
        if word not in self._known:
            folded = _folded(word)
            found = self._arrays["words"][self._about["words"].get(folded, -1)].astype(np.float64)
            for kind, names in enumerate((_identity(word), _form(word), _affixes(word))):
                for name in names:
                    place = self._hashes[kind].get(zlib.crc32(name.encode("utf-8", "surrogatepass")) % _N_HASHES)
                    if place is not None:
                        found += self._arrays[f"surface_{kind}"][place]
            if self._tokenizer is not None:
                found += np.tensordot(self._vector(word), self._arrays["of_vectors"], axes=1)
            self._known[word] = found
        return self._known[word]

    def _vector(self, word: str) -> Any:
        tokens = self._tokenizer.encode(word, add_special_tokens=False).ids
        mean = _unit(self._arrays["token_vectors"][tokens].astype(np.float32).sum(axis=0))
        return _unit((mean - self._arrays["vector_mean"]) @ self._arrays["directions"])

    # -- tags: O, where a span begins and where it goes on, of each label ----------------------------------------

    def _marked(self, words: list[str]) -> tuple[list[tuple[int, int, str, float]], float]:
        """Spans by their first and last word, and the logarithm of how probable they are together."""
        scores = self._scores(words)
        forward, backward = self._sums(scores)
        total = np.logaddexp.reduce(forward[-1])
        tags = self._best(scores)
        n, way = len(self.labels), self._between
        found = []
        for first, tag in enumerate(tags):
            if not 0 < tag <= n:
                continue
            last = first
            while last + 1 < len(tags) and tags[last + 1] == tag + n:
                last += 1
            log = forward[first, tag]
            for place in range(first + 1, last + 1):
                log += way[tags[place - 1], tags[place]] + scores[place, tags[place]]
            if last + 1 < len(tags):
                after = way[tags[last], : 1 + n] + scores[last + 1, : 1 + n] + backward[last + 1, : 1 + n]
                log += np.logaddexp.reduce(after)
            found.append((first, last, self.labels[tag - 1], float(np.exp(min(log - total, 0.0)))))
        path = sum(
            way[before, tag] + scores[place, tag]
            for place, (before, tag) in enumerate(zip([0, *tags], tags, strict=False))
        )
        return found, float(min(path - total, 0.0))

    def _scores(self, words: list[str]) -> Any:
        """Of each tag of each word. Returns shape (n_words, n_tags)."""
        own = [self._word(word) for word in words]
        outputs = np.zeros((len(words), 2 + len(self.labels)))
        for place in range(len(words)):
            for nth, distance in enumerate(self._about["distances"]):
                at = place + distance
                outputs[place] += own[at][nth] if 0 <= at < len(words) else self._arrays["beyond"][nth]
        begins = outputs[:, :1] + outputs[:, 2:]
        return np.hstack([np.zeros((len(words), 1)), begins, begins + outputs[:, 1:2]])

    def _transitions(self) -> Any:
        """From each tag to each, of logarithms; before the first word stands O."""
        n = len(self.labels)
        way = np.full((1 + 2 * n, 1 + 2 * n), -np.inf)
        enter, leave, stay = (self._arrays[name].astype(np.float64) for name in ("enter", "leave", "stay"))
        way[0, : 1 + n] = enter[0]
        way[1:, : 1 + n] = enter[1] + leave[:, None]
        for tag in range(1, 1 + 2 * n):
            way[tag, n + 1 + (tag - 1) % n] = stay[tag - 1]
        return way

    def _sums(self, scores: Any) -> tuple[Any, Any]:
        """Logarithms of the sums over what comes up to each tag, and after it."""
        forward, backward = np.empty_like(scores), np.zeros_like(scores)
        forward[0] = self._between[0] + scores[0]
        for place in range(1, len(scores)):
            forward[place] = np.logaddexp.reduce(forward[place - 1][:, None] + self._between, axis=0) + scores[place]
        for place in range(len(scores) - 2, -1, -1):
            after = scores[place + 1] + backward[place + 1]
            backward[place] = np.logaddexp.reduce(self._between + after, axis=1)
        return forward, backward

    def _best(self, scores: Any) -> list[int]:
        scores = scores.copy()
        scores[:, 0] -= self._about["bias"]
        reached, came = self._between[0] + scores[0], []
        for place in range(1, len(scores)):
            ways = reached[:, None] + self._between
            came.append(ways.argmax(axis=0))
            reached = ways.max(axis=0) + scores[place]
        tags = [int(reached.argmax())]
        for step in reversed(came):
            tags.append(int(step[tags[-1]]))
        return tags[::-1]


def _unit(row: Any) -> Any:
    length = np.sqrt((row.astype(np.float64) ** 2).sum())
    return row / length if length > 0 else row


def _folded(word: str) -> str:
    return word.lower() if word.isascii() else normalize("NFKC", word).lower()


def _identity(word: str) -> Iterable[str]:
    yield _folded(word)


def _form(word: str) -> Iterable[str]:
    letters = _LETTER.sub(lambda letter: "X" if letter[0].isupper() else "x", word)
    outline = re.sub(r"\d", "d", letters)
    yield f"shape {outline[:6]}"
    yield f"runs {_AGAIN.sub(lambda run: run[1], outline)[:6]}"
    yield f"length {min(len(word), 10)}"
    if word[:1].isupper():
        yield "capital"
    if len(word) > 1 and word.isupper():
        yield "capitals"
    if word.isdigit():
        yield "digits"
    if not word.isalnum():
        yield "sign"


def _affixes(word: str) -> Iterable[str]:
    folded = _folded(word)
    for size in range(1, min(4, len(folded)) + 1):
        yield f"^{folded[:size]}"
        yield f"{folded[-size:]}$"
