"""What was read: rows as a file has them, and the data set that is made of them."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from label_studio_al.learning.coding import ONE_LABEL, Coding
from label_studio_al.learning.layouts import WHOLE, Layout
from label_studio_al.learning.passages import Marking
from label_studio_al.learning.types import Array
from label_studio_al.questions import Question


@dataclass(frozen=True)
class Row:
    """Answers about one text, as a file has them. labels: to each question, as it writes them, "" where there is none.

    place: where in the file, in the file's own words ("line 7"). split: as the file calls it, None where it has no
    splits. task: rows of one task are several people's answers; None where every row is a task of its own.
    time: of the answers, as texts that compare like times, or "".
    """

    text: str
    labels: tuple[str, ...]
    place: str
    split: str | None = None
    task: str | None = None
    time: str = ""

    @property
    def content(self) -> str:
        """Equal for copies of a text: they may differ in blanks and in how an accent is put together."""
        return " ".join(unicodedata.normalize("NFC", self.text).split())


@dataclass(frozen=True)
class Asked:
    """What a file answers. name: the control's, or what a column states. coding: what labels are.

    question: that of the label config; None where only the data tell what was asked, and every label counts.
    """

    name: str
    coding: Coding = ONE_LABEL
    question: Question | None = None

    @property
    def offered(self) -> tuple[str, ...]:
        """The labels that count; none where all do."""
        return () if self.question is None else self.question.labels


@dataclass(frozen=True)
class Found:
    """Rows of a file or a name. asked: what each of a row's labels answers. notes: what a person should know.

    layout: which columns the texts become. said_markings: where in them spans are marked, by the object, where that is
    not the whole of them.
    """

    rows: Sequence[Row]
    asked: tuple[Asked, ...]
    notes: tuple[str, ...] = ()
    layout: Layout = WHOLE
    said_markings: Mapping[str, Marking] = field(default_factory=dict)

    @property
    def markings(self) -> dict[str, Marking]:
        """In which of the texts spans are marked, by the object that shows it."""
        marked = (asked.coding.marks for asked in self.asked)
        return {name: self.said_markings.get(name, Marking()) for name in marked if name is not None}

    def about(self, asked: Asked, note: str) -> str:
        """A note on one question, which is named where there are several."""
        return note if len(self.asked) == 1 else f"{asked.name}: {note}"


@dataclass(frozen=True)
class Dataset:
    """Labelled texts. texts, labels: as long as each other; is_test: shape (n_texts,), what the loop never sees.

    labels: "" where the question is not answered. notes: what a person should know of how it was read. split_notes:
    those of them that tell of the two parts. coding, question: as of Asked. layout: as of Found. asks: the
    question's name, where there are several. beside: the same texts with the answers to further questions. markings: as
    of Found.
    """

    name: str
    texts: list[str]
    labels: Array
    is_test: Array
    notes: tuple[str, ...] = ()
    split_notes: tuple[str, ...] = ()
    coding: Coding = ONE_LABEL
    question: Question | None = None
    layout: Layout = WHOLE
    asks: str = ""
    beside: tuple[Dataset, ...] = ()
    markings: Mapping[str, Marking] = field(default_factory=dict)

    @property
    def questions(self) -> tuple[Dataset, ...]:
        """The answers to each question."""
        return (self, *self.beside)

    @property
    def offered(self) -> tuple[str, ...]:
        """As of Asked."""
        return () if self.question is None else self.question.labels

    @property
    def pool_notes(self) -> list[str]:
        """The notes for those who take all texts for the pool."""
        return [note for note in self.notes if note not in self.split_notes]

    @property
    def train_rows(self) -> Array:
        """Indices of the texts that may be labelled."""
        return np.flatnonzero(~self.is_test)

    @property
    def test_rows(self) -> Array:
        """Indices of the texts that only measure."""
        return np.flatnonzero(self.is_test)

    @property
    def n_train(self) -> int:
        """How many texts may be labelled."""
        return len(self.train_rows)

    def at(self, rows: Sequence[int]) -> Dataset:
        """These rows in their order."""
        texts, is_test = [self.texts[row] for row in rows], self.is_test[rows]
        first, *others = (replace(one, texts=texts, labels=one.labels[rows], is_test=is_test) for one in self.questions)
        return replace(first, beside=tuple(others))

    def fingerprint(self) -> str:
        """Equal for equal texts, labels and splits in the same order."""
        return _hash([self.texts, *(one.labels.tolist() for one in self.questions), self.is_test.tolist()])

    def asked(self) -> str:
        """Equal for answers of one kind, to questions that offer the same labels."""
        found: list[object] = []
        for one in self.questions:
            question = None if one.question is None else [one.question.fingerprint, *one.question.labels]
            found += [type(one.coding).__name__, question, *([one.asks] if one.asks else [])]
        return _hash(found)


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
