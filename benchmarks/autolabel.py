"""Automatic labels: does the promise hold, and what is it worth? Two markdown tables.

    nice python -m benchmarks.autolabel --data FOLDER [--sections validity,worth] [--seeds 10] [--output KEPT]

FOLDER holds SET.jsonl.gz of each set (fields text and label): 20ng_atheism_christian, agnews_7600, sms_spam, trec6.

validity: pools of at most 2,000 texts of each set, as they are, with 5 % of the labels replaced by another one, and
with every label but the most frequent one thinned to 5 % of it. 100 labels by the live loop's strategy, a tenth of them
drawn at random, then 60 or 240 audit labels: drawn at once, five times, and by the loop itself in batches of 20, with
strategy=random and with audit_share=1. Each is a project. worth: the whole sets; every model is audited ten times.
Every seed has its own order of the data. With --output, an interrupted benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from joblib import Memory, Parallel, delayed
from scipy.stats import binom
from threadpoolctl import threadpool_limits

from label_studio_al.learners.encoders import find_encoder
from label_studio_al.learning.asking import AUTO, RANDOM
from label_studio_al.learning.guarantee import DELTA, Goal
from label_studio_al.runtime.settings import read_settings
from label_studio_al.simulate.autolabel import Finish, finish, in_batches, labellers, n_to_learn, prepare_pool
from label_studio_al.simulate.data import Dataset, read_data
from label_studio_al.simulate.embedding import Encoders, Filling
from label_studio_al.simulate.replay import Known, Options, Run, Turn, in_order, turns

SETS = ("20ng_atheism_christian", "agnews_7600", "sms_spam", "trec6")
PLAIN, NOISY, UNEVEN = "as it is", "5 % label noise", "uneven labels"
VARIANTS = (PLAIN, NOISY, UNEVEN)
MAX_ERRORS = (0.01, 0.02, 0.05, 0.10)
POOL, LEARNT, AUDITS, N_DRAWS = 2_000, 100, (60, 240), 5
SHARE = 0.05
OPTIONS = Options(budget=LEARNT, batch=20, audit_share=0.1)
AT_ONCE, BY_RANDOM, BY_AUDITS = "audit drawn at once", "by strategy=random", "by audit_share=1"
# How the loop goes on when it only audits: strategy and share of audits.
WAYS = {BY_RANDOM: (RANDOM, 0.1), BY_AUDITS: (AUTO, 1.0)}


@dataclass(frozen=True)
class Aim:
    name: str
    max_error: float
    budget: int
    share: float


AIMS = (
    Aim("sms_spam", 0.02, 400, 0.90),
    Aim("20ng_atheism_christian", 0.05, 300, 0.50),
    Aim("agnews_7600", 0.05, 600, 0.40),
)
WORTH_DRAWS = 10


def pool_of(data: Dataset, variant: str, seed: int) -> Dataset:
    """At most 2,000 texts of a set, drawn with the seed, spoilt as the variant says."""
    random = np.random.default_rng(seed)
    data = in_order(data)
    rows = random.permutation(len(data.texts))
    names, counts = np.unique(data.labels, return_counts=True)
    if variant == UNEVEN:
        most = names[counts.argmax()]
        places = {name: iter(range(len(rows))) for name in names}
        few = int(SHARE * counts.max())
        rows = np.array([row for row in rows if data.labels[row] == most or next(places[data.labels[row]]) < few])
    rows = rows[:POOL]
    labels = data.labels[rows].copy()
    if variant == NOISY:
        is_wrong = random.random(len(labels)) < SHARE
        others = [random.choice(names[names != label]) for label in labels[is_wrong]]
        labels[is_wrong] = others
    return Dataset(data.name, [data.texts[row] for row in rows], labels, np.zeros(len(rows), dtype=bool))


@dataclass(frozen=True)
class Project:
    """A simulated project: what became of its data, how its audit was drawn, how many labels, and how it ended."""

    variant: str
    way: str
    n_audits: int
    finish: Finish


def projects(data: Dataset, variant: str, seed: int) -> list[Project]:
    """Projects that share a labelling model."""
    known = prepare_pool(
        pool_of(data, variant, seed), Filling(Encoders(find_encoder(read_settings().encoder)))
    ).shuffled(seed)
    labeller = next(labellers(known, Run(AUTO, seed), OPTIONS, [LEARNT]), None)
    if labeller is None:
        return []
    with threadpool_limits(1):
        by_the_loop = {way: list(audited(known, labeller.turn, way, seed)) for way in WAYS}
    found = []
    for max_error in MAX_ERRORS:
        goal = Goal(max_error)
        for n_audits in AUDITS:
            for draw in range(N_DRAWS):
                ended = finish(known, labeller, LEARNT + n_audits, goal, (seed, n_audits, draw))
                found.append(Project(variant, AT_ONCE, n_audits, ended))
            for way, later in by_the_loop.items():
                turn = next(one for one in later if len(one.labelled) == LEARNT + n_audits)
                ended = finish(known, replace(labeller, turn=turn), LEARNT + n_audits, goal, (seed, n_audits))
                found.append(Project(variant, way, n_audits, ended))
    return found


def audited(known: Known, trained_on: Turn, way: str, seed: int) -> Iterator[Turn]:
    """The loop after learning is over: it only audits, and trains the queue's model meanwhile."""
    strategy, share = WAYS[way]
    options = replace(OPTIONS, budget=LEARNT + max(AUDITS), audit_share=share)
    return turns(known, Run(strategy, seed), options, after=trained_on)


def validity(folder: Path, n_seeds: int, n_jobs: int, kept: Memory) -> None:
    sets = [read_data(str(folder / f"{name}.jsonl.gz")) for name in SETS]
    jobs = [(data, variant, seed) for data in sets for variant in VARIANTS for seed in range(n_seeds)]
    done = Parallel(n_jobs, return_as="generator")(delayed(kept.cache(projects))(*job) for job in jobs)
    found: list[Project] = []
    for (data, variant, seed), some in zip(jobs, done, strict=True):
        found += some
        print(f"{data.name}, {variant}, seed {seed}", file=sys.stderr, flush=True)
    print("| projects | number | with a promise | automated, mean of these | broken | allowed, with noise |")
    print("| --- | --- | --- | --- | --- | --- |")
    for title, ours in groups(found):
        promised = [one for one in ours if one.n_selected]
        broken = sum(one.is_broken for one in promised)
        automated = f"{np.mean([one.share for one in promised]):.0%}" if promised else "-"
        most = int(binom.ppf(0.99, len(ours), DELTA))
        cells = [title, str(len(ours)), str(len(promised)), automated, str(broken), f"{DELTA * len(ours):.0f}, {most}"]
        print(f"| {' | '.join(cells)} |", flush=True)


def groups(found: Sequence[Project]) -> Iterator[tuple[str, list[Finish]]]:
    """The rows of the validity table."""
    yield "all", [one.finish for one in found]
    for variant in VARIANTS:
        yield variant, [one.finish for one in found if one.variant == variant]
    for way in (AT_ONCE, *WAYS):
        yield way, [one.finish for one in found if one.way == way]
    for n_audits in AUDITS:
        yield f"{n_audits} audit labels", [one.finish for one in found if one.n_audits == n_audits]
    for max_error in MAX_ERRORS:
        yield f"at most {max_error:.0%} wrong", [one.finish for one in found if one.finish.max_error == max_error]


def worths(path: Path, max_error: float, budget: int, seed: int) -> list[Finish]:
    """One labelling model of a whole set, audited ten times."""
    data = read_data(str(path))
    known = prepare_pool(data, Filling(Encoders(find_encoder(read_settings().encoder)))).shuffled(seed)
    goal = Goal(max_error)
    size = in_batches(n_to_learn(budget, goal), OPTIONS.batch)
    labeller = next(labellers(known, Run(AUTO, seed), replace(OPTIONS, budget=size), [size]))
    return [finish(known, labeller, budget, goal, (seed, draw)) for draw in range(WORTH_DRAWS)]


def worth(folder: Path, n_seeds: int, n_jobs: int, kept: Memory) -> None:
    print("| set, at most wrong, labels by people | of them learnt, audited | aim | automated, mean | median ", end="")
    print("| projects with a promise | automated in these | true error in these, mean and worst |")
    print(f"|{' --- |' * 8}")
    for aim in AIMS:
        given = folder / f"{aim.name}.jsonl.gz", aim.max_error, aim.budget
        found = Parallel(n_jobs)(delayed(kept.cache(worths))(*given, seed) for seed in range(n_seeds))
        ours = [one for seed in found for one in seed]
        promised = [one for one in ours if one.n_selected]
        shares = [one.share for one in ours]
        errors = [one.error for one in promised]
        cells = [
            f"{aim.name}, {aim.max_error:.0%}, {aim.budget}",
            f"{np.mean([one.n_learnt for one in ours]):.0f}, {np.mean([one.n_audited for one in ours]):.0f}",
            f"{aim.share:.0%}",
            f"{np.mean(shares):.0%}",
            f"{np.median(shares):.0%}",
            f"{len(promised)} of {len(ours)}",
            f"{np.mean([one.share for one in promised]):.0%}" if promised else "-",
            f"{np.mean(errors):.2%}, {max(errors):.2%}" if promised else "-",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets")
    parser.add_argument("--sections", default="validity,worth")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--output", type=Path, help="keep what is finished in this folder")
    parser.add_argument("--quick", action="store_true", help="1 seed, to try the script")
    arguments = parser.parse_args()
    n_seeds = 1 if arguments.quick else arguments.seeds
    sections = {"validity": validity, "worth": worth}
    for name in arguments.sections.split(","):
        sections[name](arguments.data, n_seeds, arguments.n_jobs, Memory(arguments.output, verbose=0))


if __name__ == "__main__":
    main()
