"""Finishes a labelled data set as if its labels were unknown: people label some, the model labels what it can."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs
from threadpoolctl import threadpool_limits

from label_studio_al.learners.registry import check_strategy
from label_studio_al.learning import draws
from label_studio_al.learning.draws import text_hashes
from label_studio_al.learning.features import Features
from label_studio_al.learning.guarantee import Goal, guarantee, n_audits_needed
from label_studio_al.learning.predictions import Predictions
from label_studio_al.learning.types import Array
from label_studio_al.runtime.errors import InvalidRequest
from label_studio_al.simulate.data import Dataset
from label_studio_al.simulate.embedding import NOTHING, Filling
from label_studio_al.simulate.replay import Known, Options, Run, Turn, in_order, lengths_of, made, turns

# Learning comes first: no more than this share of people's labels goes into the audit.
AUDITS_AT_MOST = 0.6
N_BUDGETS = 5


@dataclass(frozen=True)
class Finish:
    """One data set finished with a budget. n_learnt + n_audited labels by people came before the promise.

    n_selected: automatic labels, n_wrong: of them, not what people would have said, n_tasks: of the data set.
    max_error: what was promised of the automatic labels; nothing is promised where there is none.
    """

    seed: int
    budget: int
    max_error: float
    n_learnt: int
    n_audited: int
    n_tasks: int
    n_selected: int
    n_wrong: int

    @property
    def share(self) -> float:
        """Which share of what nobody had labelled the model labels."""
        return self.n_selected / max(1, self.n_tasks - self.n_learnt - self.n_audited)

    @property
    def error(self) -> float:
        """True error rate of the automatic labels."""
        return self.n_wrong / max(1, self.n_selected)

    @property
    def is_broken(self) -> bool:
        """Whether more automatic labels are wrong than was promised."""
        return self.error > self.max_error

    @property
    def n_by_people(self) -> int:
        """Labels by people in the end: they also label what the model may not."""
        return self.n_tasks - self.n_selected

    @property
    def final_error(self) -> float:
        """Error rate of the whole finished data set."""
        return self.n_wrong / self.n_tasks


@dataclass(frozen=True)
class Labeller:
    """What a model trained on the labels of a turn says of all rows. It was trained on no audit labels."""

    turn: Turn
    predictions: Predictions

    @property
    def labelled(self) -> Array:
        """The rows that people have labelled."""
        return self.turn.labelled

    @property
    def is_audit(self) -> Array:
        """Which of the labelled rows were drawn at random, and do not train it."""
        return self.turn.is_audit


def prepare_pool(data: Dataset, filling: Filling = NOTHING) -> Known:
    """Turn texts into features. All texts are the pool: its true labels tell how wrong the automatic ones are."""
    data = in_order(data)
    with threadpool_limits(1):
        features, X = Features.fit_transform(data.texts, filling.encoders.fast, data.layout, data.markings)
        features, X = filling.fill_in(features, data.texts, X)
    contents = text_hashes(data.texts)
    return Known(
        X,
        data.labels,
        X[:0],
        data.labels[:0],
        features.choices(data.coding.of_sides),
        contents,
        lengths_of(data.texts),
        data.coding,
        data.offered,
    )


def labellers(known: Known, run: Run, options: Options, sizes: Sequence[int]) -> Iterator[Labeller]:
    """The labelling model after so many labels, without audit labels, where at least two kinds of label were met.

    sizes: rounded to whole batches; the loop itself goes on learning from all labels, as it does live.
    """
    wanted = {in_batches(size, options.batch) for size in sizes}
    with threadpool_limits(1):
        for turn in turns(known, run, options):
            trained_on = turn.labelled[~turn.is_audit]
            if len(turn.labelled) not in wanted or known.learner.missing(known.y[trained_on].tolist()) is not None:
                continue
            classifier = made(known, known.labelled(trained_on), options.features, run.seed)
            yield Labeller(turn, known.coding.decide(classifier.believe(known.X)))


def finish(known: Known, labeller: Labeller, budget: int, goal: Goal, seed: Sequence[int]) -> Finish:
    """Spend what is left of the budget on tasks drawn at random, and label automatically what may be.

    seed: the first number is kept; all of them together draw the tasks.
    """
    predictions, n_tasks = labeller.predictions, len(known.y)
    is_right = predictions.are_right(known.y)
    is_open = np.ones(n_tasks, dtype=bool)
    is_open[labeller.labelled] = False
    left, n = np.flatnonzero(is_open), max(0, budget - len(labeller.labelled))
    drawn = left[draws.first(known.keys[left], n, seed[0], draws.AUDIT, *seed[1:])]
    is_open[drawn] = False
    is_audited = np.zeros(n_tasks, dtype=bool)
    is_audited[labeller.labelled[labeller.is_audit]] = True
    is_audited[drawn] = True
    found = guarantee(predictions.of(is_audited), is_right[is_audited], predictions.of(is_open), goal)
    n_wrong = int((~is_right[is_open][found.is_selected]).sum())
    n_audited = int(is_audited.sum())
    n_learnt = int((~labeller.is_audit).sum())
    return Finish(seed[0], budget, goal.max_error, n_learnt, n_audited, n_tasks, found.n_selected, n_wrong)


def n_to_learn(budget: int, goal: Goal) -> int:
    """How many labels the loop asks before the rest of the budget is drawn at random."""
    return budget - min(n_audits_needed(goal), int(AUDITS_AT_MOST * budget))


def automate(
    known: Known, runs: Sequence[Run], options: Options, goal: Goal, n_jobs: int | None = None
) -> list[Finish]:
    """The data set finished with growing budgets, up to that of the options, in every run.

    n_jobs: runs at a time; None for as many as there are cores or Dask workers.
    """
    if options.budget >= len(known.y):
        have = f"{options.budget} of {len(known.y)}"
        raise InvalidRequest(f"the budget must leave some texts to the model, not be {have}")
    if goal.per_label and known.coding.marks is not None:
        raise InvalidRequest("a promise for each label needs one label as the answer, not spans: leave --per-label out")
    for run in runs:
        check_strategy(run.strategy, known.coding)
    budgets = np.unique(np.linspace(0, options.budget, N_BUDGETS + 1)[1:].astype(int)).tolist()
    jobs = (delayed(_automated)(known, run, options, goal, budgets) for run in runs)
    finished = Parallel(min(n_jobs or effective_n_jobs(-1), len(runs)))(jobs)
    return [one for run in finished for one in run]


def _automated(known: Known, run: Run, options: Options, goal: Goal, budgets: Sequence[int]) -> list[Finish]:
    known = known.shuffled(run.seed)
    sizes = [in_batches(n_to_learn(budget, goal), options.batch) for budget in budgets]
    learning = replace(options, budget=max(sizes))
    after = {len(one.labelled): one for one in labellers(known, run, learning, sizes)}
    return [
        finish(known, after[size], budget, goal, (run.seed, budget))
        if size in after
        # One kind of label was met: there is no model, and people label everything.
        else Finish(run.seed, budget, goal.max_error, budget, 0, len(known.y), 0, 0)
        for budget, size in zip(budgets, sizes, strict=True)
    ]


def in_batches(size: int, batch: int) -> int:
    """The nearest number of labels after which the loop trains: whole batches, at least one."""
    return max(1, round(size / batch)) * batch


def finishes_csv(finishes: Sequence[Finish]) -> str:
    """One line a seed and budget."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    names = [field.name for field in fields(Finish)]
    writer.writerow(names)
    writer.writerows([getattr(one, name) for name in names] for one in finishes)
    return lines.getvalue()


def summary(finishes: Sequence[Finish]) -> list[list[str]]:
    """A header, one line a budget with means over seeds, and what labelling everything by hand takes."""
    header = ["labels first", "promised", "automated", "labels in all", "wrong of automatic", "at most", "wrong of all"]
    lines = [header]
    for budget in sorted({one.budget for one in finishes}):
        ours = [one for one in finishes if one.budget == budget]
        promised = [one for one in ours if one.n_selected]
        lines.append([
            str(budget),
            f"{len(promised)} of {len(ours)}",
            f"{np.mean([one.share for one in ours]):.1%}",
            f"{np.mean([one.n_by_people for one in ours]):.0f}",
            f"{max(one.error for one in promised):.2%}" if promised else "-",
            f"{promised[0].max_error:.2%}" if promised else "-",
            f"{np.mean([one.final_error for one in ours]):.2%}",
        ])  # fmt: skip
    n_tasks = finishes[0].n_tasks
    return [*lines, ["by hand", "", "0.0%", str(n_tasks), "-", "-", "0.00%"]]
