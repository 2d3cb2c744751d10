"""What the advice to stop would have said in replays of labelled texts: one markdown table.

    nice python -m benchmarks.stopping [--data FOLDER] [--sets "made_up;sms_spam"] [--seeds 10] [--output KEPT]

FOLDER holds the files that SETS names; without it, only what needs no file is replayed. Each seed has its own order of
the data and asks as the live loop does (`auto`, a tenth at random, 20 labels between two trainings), until the advice
is to stop or the budget is spent; it is measured as often as live. "Thinned": of every label but the most frequent one
only one text is left for twenty of that. With --output, an interrupted benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Memory, Parallel, delayed
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits

from benchmarks.texts import make_texts
from label_studio_al.examples import example_tasks
from label_studio_al.learners.encoders import find_encoder
from label_studio_al.learning.asking import AUTO
from label_studio_al.learning.coding import Learned
from label_studio_al.learning.evaluation import evaluate, hold_out
from label_studio_al.learning.learner import Tuning, fit_as, n_deciding, tune
from label_studio_al.learning.stopping import STOP_COMPARISONS, STOP_KAPPA, agreement, when_to_stop
from label_studio_al.learning.types import Array
from label_studio_al.runtime.settings import read_settings
from label_studio_al.simulate.data import Dataset
from label_studio_al.simulate.embedding import Encoders, Filling
from label_studio_al.simulate.experiment import prepare
from label_studio_al.simulate.replay import Known, Options, Run, Scores, Turn, full_scores, turns
from label_studio_al.turns.measuring import COMPARED_LABELS_APART, COMPARED_TASKS, MEASURED_GROWTH

BATCH, AUDIT_SHARE = 20, 0.1
TEST_SHARE, THINNED_SHARE = 0.3, 0.05
MADE_UP = 4_000
# What is enough, of the score with all labels.
ENOUGH = 0.97

Row = Mapping[str, Any]


def _label(row: Row) -> str | None:
    return str(row["label"])


def _only_label(row: Row) -> str | None:
    return row["labels"][0] if len(row["labels"]) == 1 else None


@dataclass(frozen=True)
class TextSet:
    """budget: labels at the end. file: in FOLDER, None where none is needed. label: of a row, None leaves it out."""

    budget: int
    file: str | None = None
    label: Callable[[Row], str | None] = _label
    is_thinned: bool = False


SETS = {
    "examples": TextSet(1_000),
    "made_up": TextSet(1_000),
    "made_up, thinned": TextSet(1_000, is_thinned=True),
    "sms_spam": TextSet(1_000, "sms_spam"),
    "sms_spam, thinned": TextSet(1_000, "sms_spam", is_thinned=True),
    "crowd_amazon_isbook, the truth": TextSet(700, "crowd_amazon_isbook", lambda row: row["truth"]),
    "20ng_atheism_christian": TextSet(700, "20ng_atheism_christian"),
    "20ng_atheism_christian, thinned": TextSet(600, "20ng_atheism_christian", is_thinned=True),
    "agnews_7600": TextSet(1_000, "agnews_7600"),
    "agnews_7600, thinned": TextSet(1_000, "agnews_7600", is_thinned=True),
    "rating_alexa, rating as label": TextSet(1_000, "rating_alexa", lambda row: str(row["rating"])),
    "trec6": TextSet(1_000, "trec6"),
    "multilabel_hallmarks, texts of one label": TextSet(700, "multilabel_hallmarks", _only_label),
    "multilabel_semeval_ec, texts of one label": TextSet(700, "multilabel_semeval_ec", _only_label),
    "pairs_sick": TextSet(1_000, "pairs_sick"),
    "taxonomy_hwu64, 18 scenarios": TextSet(1_000, "taxonomy_hwu64", lambda row: row["path"][0]),
    "taxonomy_hwu64, 64 intents": TextSet(1_000, "taxonomy_hwu64", lambda row: " ".join(row["path"])),
}


@dataclass(frozen=True)
class Look:
    """What was measured after so many labels. is_stop: the advice. accuracy, macro_f1: as shares of those of all."""

    n_labels: int
    is_stop: bool
    accuracy: float
    macro_f1: float


def read(name: str, folder: Path | None) -> Dataset:
    """A set with its own test part, or 30 % of each label as such."""
    one = SETS[name]
    rows = [row for row in _rows(name, folder) if one.label(row) is not None]
    y = np.array([one.label(row) for row in rows])
    order = np.random.default_rng(0).permutation(len(y))
    counts = Counter(y.tolist())
    most, n_most = counts.most_common(1)[0]
    few = int(THINNED_SHARE * n_most) if one.is_thinned else n_most
    kept = np.concatenate([order[y[order] == label][: None if label == most else few] for label in sorted(counts)])
    is_test = np.array([row.get("split") == "test" for row in rows])
    if not is_test.any():
        for label in counts:
            own = kept[y[kept] == label]
            is_test[own[: max(1, round(TEST_SHARE * len(own)))]] = True
    return Dataset(name, [_text(rows[row]) for row in kept], y[kept], is_test[kept])


def _rows(name: str, folder: Path | None) -> list[Row]:
    file = SETS[name].file
    if name == "examples":
        return [{"text": task["text"], "label": task["gold"]} for task in example_tasks()]
    if file is None:
        return [{"text": text, "label": label} for text, label in zip(*make_texts(MADE_UP, 0), strict=True)]
    if folder is None:
        raise SystemExit(f"{name} needs --data with {file}.jsonl.gz")
    content = gzip.decompress((folder / f"{file}.jsonl.gz").read_bytes())
    return [json.loads(line) for line in content.splitlines()]


def _text(row: Row) -> str:
    return str(row["text"]) if "text" in row else f"{row['text_a']} {row['text_b']}"


class Replay:
    """One replay, and what the live loop would know meanwhile."""

    def __init__(self, known: Known, full: Scores, seed: int) -> None:
        self._known, self._full, self._seed = known, full, seed
        self._compared = np.random.default_rng(0).permutation(len(known.y))[:COMPARED_TASKS]
        self._before: Array | None = None
        self._kappas: list[float] = []
        self._tuning = Tuning("", n_labels=-1)

    def looks(self, budget: int) -> Iterator[Look]:
        """What was measured, until the budget is spent."""
        n_measured = n_audits = 0
        is_trained = False
        for turn in turns(self._known, Run(AUTO, self._seed), Options(budget, BATCH, audit_share=AUDIT_SHARE)):
            n_labels = len(turn.labelled)
            n_audits += int(turn.is_audit[-BATCH:].sum()) if is_trained else 0
            is_trained = turn.classifier is not None
            if turn.classifier is None or n_labels - n_measured < max(
                COMPARED_LABELS_APART, MEASURED_GROWTH * n_measured
            ):
                continue
            n_measured = n_labels
            yield self._look(turn, turn.classifier, n_audits)

    def _look(self, turn: Turn, classifier: Learned, n_audits: int) -> Look:
        now = self._known.coding.decide(classifier.believe(self._known.X[self._compared])).labels
        if self._before is not None:
            self._kappas.append(agreement(self._before, now))
        self._before = now
        y = self._known.y[turn.labelled]
        counts = {str(label): int((y == label).sum()) for label in np.unique(self._known.y)}
        last = self._kappas[-STOP_COMPARISONS:]
        # Cross-validation takes most of the time, and can only speak against stopping.
        recall = self._recall(turn, y) if min(last, default=0.0) >= STOP_KAPPA else {}
        is_stop = when_to_stop(self._kappas, counts, recall, n_audits).stop is True
        predicted = self._known.coding.decide(classifier.believe(self._known.X_test)).labels
        accuracy = float((predicted == self._known.y_test).mean())
        macro_f1 = float(f1_score(self._known.y_test, predicted, average="macro", zero_division=0))
        return Look(len(y), is_stop, accuracy / self._full["accuracy"], macro_f1 / self._full["macro_f1"])

    def _recall(self, turn: Turn, y: Array) -> dict[str, float | None]:
        labelled, choices = self._known.labelled(turn.labelled), self._known.choices
        if self._tuning.n_labels != n_deciding(len(y)):
            self._tuning = tune(labelled, choices, AUTO, self._seed)
        held_out = hold_out(fit_as(choices, self._tuning, labelled.coding), labelled, self._seed)
        quality = evaluate(held_out.outcomes(), sorted(set(y.tolist())), self._seed)
        return {one.label: one.recall for one in quality.labels}


@cache
def prepared(name: str, folder: Path | None) -> tuple[Known, Scores]:
    """The set as features, and what is reached with all labels."""
    known = prepare(read(name, folder), Filling(Encoders(find_encoder(read_settings().encoder))))
    return known, full_scores(known, AUTO)


def replayed(name: str, folder: Path | None, seed: int) -> list[Look]:
    """One replay, up to the advice to stop."""
    with threadpool_limits(1):
        known, full = prepared(name, folder)
        found: list[Look] = []
        for look in Replay(known.shuffled(seed), full, seed).looks(SETS[name].budget):
            found.append(look)
            if look.is_stop:
                break
    return found


def is_flat(looks: Sequence[Look]) -> bool:
    """Whether the second half of a replay has all that the full data would give, but for 3 %."""
    half = looks[-1].n_labels / 2
    return all(min(look.accuracy, look.macro_f1) >= ENOUGH for look in looks if look.n_labels >= half)


def row(name: str, folder: Path | None, replays: Sequence[Sequence[Look]]) -> list[str]:
    """A line of the table."""
    known, full = prepared(name, folder)
    stops = [looks[-1] for looks in replays if looks[-1].is_stop]
    others = [looks for looks in replays if not looks[-1].is_stop]
    at = sorted(look.n_labels for look in stops)
    lowest = [min(look.accuracy for look in stops), min(look.macro_f1 for look in stops)] if stops else []
    return [
        name,
        str(len(np.unique(known.y))),
        f"{full['accuracy']:.3f}, {full['macro_f1']:.3f}",
        str(min(SETS[name].budget, len(known.y))),
        f"{len(stops)} of {len(replays)}",
        f"{np.median(at):.0f} ({at[0]} to {at[-1]})" if at else "-",
        ", ".join(f"{share:.1%}" for share in lowest) or "-",
        str(sum(map(is_flat, others))),
    ]


HEADER = (
    "set",
    "labels",
    "full accuracy, macro-F1",
    "budget",
    "said stop",
    "after labels, median",
    "lowest share of full then",
    "flat without a stop",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the files")
    parser.add_argument("--sets", help="separated by semicolons; all that need no file, or with --data all")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=-1, help="replays at a time; -1 for one a core")
    parser.add_argument(
        "--output", type=Path, help="keep replays in this folder; take another one when the code changed"
    )
    arguments = parser.parse_args()
    kept = Memory(arguments.output, verbose=0).cache(replayed)
    names = [name for name, one in SETS.items() if one.file is None or arguments.data]
    print(f"| {' | '.join(HEADER)} |\n|{' --- |' * len(HEADER)}", flush=True)
    for name in arguments.sets.split(";") if arguments.sets else names:
        replays: list[list[Look]] = []
        jobs = (delayed(kept)(name, arguments.data, seed) for seed in range(arguments.seeds))
        for looks in Parallel(arguments.jobs, return_as="generator")(jobs):
            print(f"{name}, seed {len(replays)}: {looks[-1]}", file=sys.stderr, flush=True)
            replays.append(looks)
        print(f"| {' | '.join(row(name, arguments.data, replays))} |", flush=True)


if __name__ == "__main__":
    # By its own name: the processes that replay can import that, and "__main__" is something else to them.
    from benchmarks import stopping

    stopping.main()
