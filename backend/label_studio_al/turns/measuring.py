"""Measures how good a project's versions are: records every label, and reports for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from label_studio_al.learners.base import Fit, Learner
from label_studio_al.learning import draws
from label_studio_al.learning.coding import Learned, group_counts
from label_studio_al.learning.contradictions import Suspect
from label_studio_al.learning.evaluation import (
    HeldOut,
    Outcome,
    audit_outcomes,
    hold_out,
    random_baseline,
    untrained,
)
from label_studio_al.learning.labelled import Labelled
from label_studio_al.learning.model import Model, Trained
from label_studio_al.learning.spans import spans_of
from label_studio_al.learning.stopping import agreement, learning_curve, next_labels, when_to_stop
from label_studio_al.pool.tasks import Pool
from label_studio_al.questions import Question, label_counts
from label_studio_al.store import Measurement, Prediction, Store, Version, VersionQuestion
from label_studio_al.turns.subject import Subject
from label_studio_al.turns.training import fitting

# Versions that differ by a label or two always agree: the ones compared are a batch apart, as they were when the
# rule for stopping was measured.
COMPARED_LABELS_APART = 20
COMPARED_TASKS = 2_000
CROSS_VALIDATED_LABELS = 2_000
# A measurement takes a few tenths of a second, which the next turn waits for.
MEASURED_LABELS = 5
MEASURED_GROWTH = 0.1
# For people to look at.
SUSPECTS_SHOWN = 20
PAIRS_SHOWN = 5
EXAMPLES_SHOWN = 3


@dataclass(frozen=True)
class Measured:
    """What a version says of one question. asked: what it was trained on."""

    question: Question
    asked: VersionQuestion
    trained: Trained


def keep_predictions(store: Store, subject: Subject, version: Version, model: Model) -> None:
    """Keep what the published version says of labels that it was not trained on, before the next one is."""
    key, config = subject.key, subject.config
    fresh = {
        name: question.trained_on
        for name, question in version.questions.items()
        if name in model.trained and name in config.names
    }
    new = {name: subject.answers[name].keys() - trained_on.keys() for name, trained_on in fresh.items()}
    texts = {task.id: config.text_of(task.data) for task in store.tasks.some(key, sorted(set().union(*new.values())))}
    readable = {task_id: text for task_id, text in texts.items() if text is not None}
    if not readable:
        return
    knows = model.knows(list(readable.values())).tolist()
    readable = {task_id: text for (task_id, text), known in zip(readable.items(), knows, strict=True) if known}
    if not readable:
        return
    beliefs = model.believe(list(readable.values()))
    audits = store.windows.audits(version.id) | store.versions.late_audits(version.id)
    kept = [
        Prediction(
            task_id=task_id,
            question=question.name,
            predicted=predicted,
            probability=probability,
            n_labels=len(fresh[question.name]),
            is_audit=task_id in audits,
        )
        for question in config.questions
        if question.name in fresh
        for task_id, (predicted, probability) in zip(
            readable, question.coding.decide(beliefs[question.name]).pairs(), strict=True
        )
        if task_id in new[question.name]
    ]
    store.measurements.keep_predictions(key, kept)


def measure(store: Store, subject: Subject, version: Version, of: Measured, now: float) -> Measurement | None:
    """Measure a published version at one question, and keep that; None where its labels are nearly those of last time.

    Measurements of more labels than there are now speak of labels that are gone: they count no more, and are dropped.
    """
    key, question, answers = subject.key, of.question, of.asked.trained_on
    history = store.measurements.all(key, question.name)
    n_labels, counts = len(answers), label_counts(question, answers.values())
    if history and not _is_due(history[-1], counts, question.coding.group):
        return None
    history = [one for one in history if one.n_labels <= n_labels]
    compared = next((one for one in reversed(history) if one.predictions is not None), None)
    kappa, predictions = None, None
    if compared is None or abs(n_labels - compared.n_labels) >= COMPARED_LABELS_APART:
        predictions = _predictions(subject.pool, question, of.trained.classifier)
        kappa = None if compared is None else _kappa(compared.predictions or {}, predictions)
    kappas = [one.kappa for one in history if one.kappa is not None] + ([] if kappa is None else [kappa])
    about = {"features": of.trained.tuning.sentence(), "labels": counts}
    report = about | _report(subject, of, store.measurements.predictions(key, question.name), kappas)
    measurement = Measurement(question.name, version.number, n_labels, now, kappa, predictions, report)
    store.measurements.record(key, measurement)
    return measurement


def _is_due(last: Measurement, counts: Mapping[str, int], group: Callable[[str], str]) -> bool:
    """Whether enough labels were added, deleted or changed since the last measurement, or the config's labels were."""
    then: Mapping[str, int] | None = last.report.get("labels")
    # Measurements of earlier releases do not say.
    if then is None or set(map(group, then)) != set(map(group, counts)):
        return True
    more = [counts.get(label, 0) - then.get(label, 0) for label in {**then, **counts}]
    n_changed = max(sum(n for n in more if n > 0), -sum(n for n in more if n < 0))
    return n_changed >= max(MEASURED_LABELS, MEASURED_GROWTH * last.n_labels)


def _report(subject: Subject, of: Measured, kept: Sequence[Prediction], kappas: list[float]) -> dict[str, Any]:
    pool, question, seed, answers = subject.pool, of.question, subject.settings.seed, of.asked.trained_on
    coding = question.coding.settled(answers.values())
    learner, fit = subject.learner(question), fitting(subject, question, of.trained.tuning, coding)
    n_labels = len(answers)
    # What a version of more labels predicted says nothing of the present one: labels were deleted since.
    kept = [one for one in kept if one.task_id in answers and one.n_labels <= n_labels]
    outcomes = [
        Outcome(answers[one.task_id], one.predicted, one.probability, one.n_labels, one.is_audit) for one in kept
    ]
    trained_on = {task_id: answers[task_id] for task_id in pool.having_rows(list(answers))}
    some = _some(list(trained_on), seed)
    labelled = pool.labelled(trained_on, coding, some)
    held_out = _held_out(learner, fit, of.trained.classifier, labelled, seed)
    makes_others = learner.trains and learner.refits
    drawn = _some([one.task_id for one in kept if makes_others and one.is_audit and one.task_id in trained_on], seed)
    baseline = random_baseline(fit, pool.labelled(trained_on, coding, drawn), seed)
    cross_validation = question.figures(held_out.outcomes(), held_out.classes.tolist(), seed)
    audit = question.figures(audit_outcomes(outcomes, n_labels), of.asked.labels, seed)
    recall = (cross_validation if cross_validation.n else audit).recall
    groups = group_counts(coding, question.labels, answers.values())
    n_audits = sum(outcome.is_audit for outcome in outcomes)
    return {
        "audit": asdict(audit),
        "cross_validation": asdict(cross_validation),
        "confusing_pairs": _confusing_pairs(held_out, some),
        "suspects": [_suspect(question, one, some) for one in held_out.suspects(SUSPECTS_SHOWN)],
        "learning_curve": [asdict(point) for point in learning_curve(outcomes)],
        "random_baseline": [asdict(point) for point in baseline],
        "agreement": kappas,
        "stop": asdict(when_to_stop(kappas, groups, recall, n_audits)),
        "forecast": asdict(next_labels(outcomes, n_labels)),
    }


def _held_out(learner: Learner, fit: Fit, classifier: Learned, labelled: Labelled, seed: int) -> HeldOut:
    """What models say of labelled tasks that they were not trained on; of no task where there are no such models."""
    if not learner.trains:
        return untrained(classifier, labelled)
    return hold_out(fit, labelled if learner.refits else labelled[:0], seed)


def _suspect(question: Question, found: Suspect, task_ids: Sequence[int]) -> dict[str, Any]:
    shown: dict[str, Any] = {"label": question.show(found.label), "predicted": question.show(found.predicted)}
    about = asdict(found)
    if question.coding.marks is not None:
        shown |= {"spans": spans_of(found.label), "predicted_spans": spans_of(found.predicted)}
    return {"task_id": task_ids[about.pop("example")]} | about | shown


def _some(task_ids: Sequence[int], seed: int) -> list[int]:
    """So many of the tasks as cross-validation takes, in random order."""
    keys = np.array(task_ids, dtype=np.int64)
    return [task_ids[place] for place in draws.first(keys, CROSS_VALIDATED_LABELS, seed, "cross-validation")]


def _confusing_pairs(held_out: HeldOut, task_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Labels that are taken for one another most often, either way round, with the surest mistakes as examples."""
    mistakes: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for task_id, outcome in zip(task_ids, held_out.outcomes(), strict=False):
        for one, other in held_out.coding.confused(outcome.label, outcome.predicted):
            mistakes.setdefault((min(one, other), max(one, other)), []).append((-outcome.probability, task_id))
    worst = sorted(mistakes.items(), key=lambda item: (-len(item[1]), item[0]))[:PAIRS_SHOWN]
    return [
        {"labels": list(pair), "count": len(found), "task_ids": [one for _, one in sorted(found)[:EXAMPLES_SHOWN]]}
        for pair, found in worst
    ]


def _predictions(pool: Pool, question: Question, classifier: Learned) -> dict[int, str]:
    """The labels of the same tasks each time, as far as they exist."""
    known = pool.task_ids[pool.live]
    sample = known[draws.first(known, COMPARED_TASKS, 0, "compared")].tolist()
    said = question.coding.decide(classifier.believe(pool.X[pool.rows(sample)]))
    return dict(zip(sample, map(str, said.labels), strict=True))


def _kappa(before: Mapping[int, str], now: Mapping[int, str]) -> float | None:
    common = [task_id for task_id in now if task_id in before]
    if not common:
        return None
    return agreement(np.array([before[one] for one in common]), np.array([now[one] for one in common]))
