"""The folder of an experiment: one file per finished run, so that an interrupted experiment can resume."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.replay import Point, Run, Scores

EXPERIMENT = "experiment.json"
RUNS = "runs"
FULL = f"{RUNS}/full.json"
# Of the table of curves, which scores that came later follow.
COLUMNS = ("strategy", "seed", "n_labels", "accuracy", "macro_f1", "seconds")
_CHARACTERS = "n_characters"
_ABOUT = ("strategy", "seed", "n_labels", "seconds", _CHARACTERS)
# In front, where several are asked.
QUESTION = "question"


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Raises InvalidRequest where that is not possible."""
    try:
        yield
    except OSError as exc:
        raise InvalidRequest(f"{folder} cannot be written to: {exc.strerror}") from exc


@dataclass(frozen=True)
class Results:
    """What is known of an experiment, in `folder`."""

    folder: Path

    @classmethod
    def open(cls, folder: Path, identity: Mapping[str, object]) -> Results:
        """The results in a folder, made if need be. identity: the data and the options that every run shares.

        Raises InvalidRequest where the folder holds runs of another identity.
        """
        results = cls(folder)
        with _writing(folder):
            results._require(identity)
            (folder / RUNS).mkdir(parents=True, exist_ok=True)
            results.write(EXPERIMENT, json.dumps(identity, indent=1) + "\n")
        return results

    @staticmethod
    def discard(folder: Path) -> None:
        """Delete the runs that the folder holds, of whatever experiment. Raises InvalidRequest."""
        with _writing(folder):
            (folder / EXPERIMENT).unlink(missing_ok=True)
            shutil.rmtree(folder / RUNS, ignore_errors=True)

    def _require(self, identity: Mapping[str, object]) -> None:
        path = self.folder / EXPERIMENT
        if not path.exists():
            return
        try:
            theirs = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            theirs = {}
        differing = [
            f"{name} {theirs.get(name)}, not {value}" for name, value in identity.items() if theirs.get(name) != value
        ]
        if differing:
            raise InvalidRequest(
                f"{self.folder} holds another experiment ({'; '.join(differing)}): "
                "give another --output, or --overwrite"
            )

    def has(self, run: Run) -> bool:
        """Whether the run is finished."""
        return self._path(run).exists()

    def save(self, run: Run, points: Sequence[Point]) -> None:
        """Keep a finished run."""
        self.write(f"{RUNS}/{self._path(run).name}", curves_csv({run: points}))

    def load(self, run: Run) -> list[Point]:
        """The points of a finished run."""
        with self._path(run).open(encoding="utf-8", newline="") as file:
            return [
                Point(
                    n_labels=int(row["n_labels"]),
                    seconds=float(row["seconds"]),
                    scores={
                        name: float(value) for name, value in row.items() if value and name not in (*_ABOUT, QUESTION)
                    },
                    question=row.get(QUESTION, ""),
                    n_characters=int(row[_CHARACTERS]),
                )
                for row in csv.DictReader(file)
            ]

    def has_full(self) -> bool:
        """Whether the scores with all labels are known."""
        return (self.folder / FULL).exists()

    def save_full(self, scores: Mapping[str, Scores]) -> None:
        """Keep the scores with all labels, by question."""
        self.write(FULL, json.dumps(scores) + "\n")

    def full(self, question: str = "") -> Scores:
        """The scores with all labels."""
        return dict(json.loads((self.folder / FULL).read_text(encoding="utf-8"))[question])

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file whole or not at all."""
        write_whole(self.folder / name, content)

    def _path(self, run: Run) -> Path:
        return self.folder / RUNS / f"{run.strategy}-{run.seed}.csv"


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; its folder is made if need be. Raises InvalidRequest where that cannot be."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        unfinished.replace(path)
    except OSError as exc:
        with suppress(OSError):
            unfinished.unlink()
        raise InvalidRequest(f"{path.parent} cannot be written to: {exc.strerror}") from exc


def curves_csv(curves: Mapping[Run, Sequence[Point]]) -> str:
    """One line a turn of each run, and of each question where there are several."""
    lines = io.StringIO()
    scores = dict.fromkeys(name for points in curves.values() for point in points for name in point.scores)
    columns = [*COLUMNS, *(name for name in scores if name not in COLUMNS), _CHARACTERS]
    if any(point.question for points in curves.values() for point in points):
        columns.insert(0, QUESTION)
    writer = csv.DictWriter(lines, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for run, points in curves.items():
        for point in points:
            about = run.strategy, run.seed, point.n_labels, f"{point.seconds:.4f}", point.n_characters
            row = dict(zip(_ABOUT, about, strict=True)) | {name: f"{one:.6f}" for name, one in point.scores.items()}
            writer.writerow({QUESTION: point.question} | row)
    return lines.getvalue()
