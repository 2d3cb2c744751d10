"""What may be labelled automatically: trains the labelling model, and plans what its errors on the audit labels allow.

The labelling model is trained on the labels of the published version except the audit labels, so the audit measures it
without bias. The queue's own model is still trained on all labels; where its learner cannot train another one beside
it, it is the labelling model, and was trained without the audit labels itself.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from label_studio_al.learners.published import Models
from label_studio_al.learners.registry import find_learner
from label_studio_al.learning import draws
from label_studio_al.learning.coding import Learned
from label_studio_al.learning.guarantee import Goal, Guarantee, curve, guarantee
from label_studio_al.learning.predictions import Predictions
from label_studio_al.learning.rows import blocks
from label_studio_al.learning.types import Array
from label_studio_al.pool.tasks import Pool
from label_studio_al.questions import LabelConfig, Question, label_counts
from label_studio_al.runtime.errors import NotPossible
from label_studio_al.runtime.settings import ProjectSettings
from label_studio_al.store import Project, Store, Version
from label_studio_al.store.automation import CHECK, PLANNED, UNDONE, AutomaticLabel

CHECKS_AT_LEAST = 30
N_EXAMPLES = 10
CURVE = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2)
# Decisions that are looked at together: 130 MB.
DECISIONS_AT_ONCE = 8_000_000
_FINGERPRINT_DIGITS = 12


@dataclass(frozen=True)
class Case:
    """A project's current state, and the guarantee that is wanted (see Goal).

    leaves_empty: whether controls that are left to people may stay empty on tasks that are labelled automatically.
    """

    store: Store
    project: Project
    config: LabelConfig
    settings: ProjectSettings
    max_error: float
    delta: float
    per_label: bool = False
    leaves_empty: bool = False


@dataclass(frozen=True)
class Plan:
    """What would be labelled. labels: of the selected tasks; those held back for people as `check`.

    fingerprint: of everything that decides the plan except the pool; a different one means that labels or settings have
    changed since. report: the same in JSON, for people.
    """

    fingerprint: str
    guarantee: Guarantee
    labels: tuple[AutomaticLabel, ...]
    covered_audits: frozenset[int]
    report: dict[str, Any]

    @property
    def n_checks(self) -> int:
        """How many tasks are held back to check the others."""
        return sum(one.state == CHECK for one in self.labels)

    @property
    def examples(self) -> list[AutomaticLabel]:
        """Ten of the tasks, drawn at random; always the same of the same plan."""
        labelled = [one for one in self.labels if one.state == PLANNED]
        keys = np.array([one.task_id for one in labelled], dtype=np.int64)
        drawn = draws.first(keys, N_EXAMPLES, 0, "examples", self.fingerprint)
        return [labelled[place] for place in sorted(drawn)]


@dataclass(frozen=True)
class _Basis:
    """What a plan is based on. trained_on, audits: answers that train and test, by question and task.

    after_run: the newest run's number. conditional: names of the questions that are asked beside some answers only.
    """

    questions: Sequence[Question]
    conditional: frozenset[str]
    version: Version
    trained_on: Mapping[str, Mapping[int, str]]
    audits: Mapping[str, Mapping[int, str]]
    after_run: int
    fingerprint: str

    @property
    def audited(self) -> list[int]:
        """The tasks that test: those where people answered everything that is always asked."""
        always = [set(answers) for name, answers in self.audits.items() if name not in self.conditional]
        return sorted(set.intersection(*always) if always else set().union(*self.audits.values()))


@dataclass(frozen=True)
class _Said:
    """What the labelling models say of tasks. by_question: their answers; whole: whether all of them are right."""

    by_question: Mapping[str, Predictions]
    whole: Predictions

    def answers(self, place: int) -> dict[str, str]:
        """To each question of one task."""
        return {name: str(said.labels[place]) for name, said in self.by_question.items()}


def fingerprint(case: Case) -> str:
    """What decides a plan: the published version with its labels, the settings, the goal and the runs before.

    Raises NotPossible with the reason where there can be no plan.
    """
    return _basis(case).fingerprint


def make_plan(case: Case, pool: Pool, models: Models) -> Plan:
    """The plan for the current state. Changes nothing, except that it records the look at the audit labels.

    pool: up to date; tasks that wait for an embedding are left to people. models: the published ones. Raises
    NotPossible, or InvalidRequest for a goal that makes no sense.
    """
    Goal(case.max_error, case.delta, per_label=case.per_label)
    questions = case.config.questions
    if case.per_label and not (len(questions) == 1 and questions[0].coding.has_one_class):
        raise NotPossible("a promise for each label needs one question with one label as its answer")
    basis, automation, key = _basis(case), case.store.automation, case.project.key
    classifiers = {question.name: _labelling_model(case, basis, question, pool, models) for question in questions}
    audited = pool.having_rows(basis.audited)
    audit = _said(questions, classifiers, pool, pool.rows(audited))
    are_right = [_is_right(basis, audit.answers(place), task_id) for place, task_id in enumerate(audited)]
    is_right = np.array(are_right, dtype=bool)
    is_open = _open_rows(case.store, pool, key)
    theirs = _said(questions, classifiers, pool, is_open)
    signature = hashlib.sha256(f"{basis.fingerprint} {len(audited)}".encode()).hexdigest()
    look, is_known = automation.look(key, basis.after_run, signature)
    goal = Goal(case.max_error, case.delta, look, case.per_label)
    found = guarantee(audit.whole, is_right, theirs.whole, goal)
    if found.is_look and not is_known:
        automation.keep_look(key, basis.after_run, signature, look)
    labels = _labels(pool.task_ids[is_open], theirs, found, case.settings, basis.fingerprint)
    return Plan(
        fingerprint=basis.fingerprint,
        guarantee=found,
        labels=labels,
        covered_audits=frozenset(_covered(audited, audit.whole, found)),
        report=_report(basis, found, labels, curve(audit.whole, is_right, theirs.whole, goal, CURVE))
        | ({"n_waiting": pool.n_waiting} if pool.n_waiting else {}),
    )


def _basis(case: Case) -> _Basis:
    store, key = case.store, case.project.key
    if case.config.others and not case.leaves_empty:
        names = ", ".join(sorted(case.config.others))
        raise NotPossible(
            f"the label config also asks {names}, which is left to people: a task that is labelled automatically "
            "leaves the queue, and nobody is asked for it any more; agree to that with --leave-empty"
        )
    version = store.versions.find(case.project.version_id)
    if version is None or not version.has_model:
        raise NotPossible(
            f"project {key} has no model yet: it comes after {case.settings.min_labels} labels of 2 kinds"
        )
    questions = case.config.questions
    asked = {question.name: (question.fingerprint, question.labels) for question in questions}
    if asked != {name: (one.fingerprint, one.labels) for name, one in version.questions.items()}:
        raise NotPossible(
            f"the label config has changed since {version.name} was trained: wait for the next version, then plan again"
        )
    runs = store.automation.runs(key)
    standing = [run for run in runs if run.is_standing]
    covered: set[int] = set().union(*(run.covered_audits for run in standing)) | store.automation.tasks_of(key)
    audited = {one.task_id for one in store.measurements.predictions(key) if one.is_audit} - covered
    known = {name: one.trained_on for name, one in version.questions.items()}
    audits = {name: _among(answers, audited, is_in=True) for name, answers in known.items()}
    trained_on = {name: _among(answers, audited, is_in=False) for name, answers in known.items()}
    for question in questions:
        given = trained_on[question.name].values()
        missing = find_learner(question.coding).missing(given)
        if missing is not None:
            have = ", ".join(sorted({repr(question.show(one)) for one in given})) or "none"
            raise NotPossible(
                f"{question.name}: need {missing} beside the {len(audits[question.name])} audit labels, which must not "
                f"train, have {have}"
            )
    decided_by = {
        "version": version.number,
        "learnt": {name: sorted(answers.items()) for name, answers in trained_on.items()},
        "audits": {name: sorted(answers.items()) for name, answers in audits.items()},
        "labels": {name: one.labels for name, one in version.questions.items()},
        "field": case.config.content.key,
        "features": [version.features_id, case.settings.features, case.settings.seed],
        "verify_share": case.settings.verify_share,
        "runs": [run.number for run in runs if run.state != UNDONE],
        "goal": [case.max_error, case.delta, case.per_label],
    }
    digest = hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()
    after_run = max((run.number for run in runs), default=0)
    conditional = frozenset(name for name, _ in case.config.conditions)
    return _Basis(questions, conditional, version, trained_on, audits, after_run, digest[:_FINGERPRINT_DIGITS])


def _among(answers: Mapping[int, str], tasks: Collection[int], *, is_in: bool) -> dict[int, str]:
    return {task_id: answer for task_id, answer in answers.items() if (task_id in tasks) == is_in}


def _is_right(basis: _Basis, said: Mapping[str, str], task_id: int) -> bool:
    """Whether people gave the same answer to each question that they answered."""
    return all(basis.audits[name].get(task_id, answer) == answer for name, answer in said.items())


def _labelling_model(case: Case, basis: _Basis, question: Question, pool: Pool, models: Models) -> Learned:
    trained_on, settings = basis.trained_on[question.name], case.settings
    coding, learner = question.coding.settled(trained_on.values()), find_learner(question.coding)
    if not (learner.trains and learner.refits):
        published = models.get(case.project.key, basis.version.id)
        if published is None or question.name not in published.trained:
            raise NotPossible(f"{basis.version.name} has no model for {question.name}: wait for the next version")
        return published.trained[question.name].classifier
    labelled, choices = pool.labelled(trained_on, coding), pool.features.choices(coding.of_sides)
    missing = learner.missing(labelled.y.tolist())
    if missing is not None:
        raise NotPossible(f"need {missing} whose texts can be read, have {len(labelled.classes)} labels")
    tuning = learner.tune(labelled, choices, settings.features, settings.seed)
    return learner.fitting(choices, tuning, coding)(labelled.X, labelled.y)


def _open_rows(store: Store, pool: Pool, key: str) -> Array:
    """The rows of the tasks that nobody has annotated, and that no run has taken or held back."""
    annotated = sorted({annotation.task_id for annotation in store.annotations.all(key)})
    automation = store.automation
    return pool.open_rows(annotated, sorted(automation.taken(key)), list(automation.checks(key)))


def _said(questions: Sequence[Question], classifiers: Mapping[str, Learned], pool: Pool, rows: Array) -> _Said:
    found = {question.name: _predictions(question, classifiers[question.name], pool, rows) for question in questions}
    if len(found) == 1:
        return _Said(found, *found.values())
    texts = [json.dumps(dict(zip(found, answers, strict=True))) for answers in zip(*_labels_of(found), strict=True)]
    confidence = np.prod([said.confidence for said in found.values()], axis=0)
    return _Said(found, Predictions(np.array(texts, dtype=str), confidence))


def _labels_of(found: Mapping[str, Predictions]) -> list[list[str]]:
    return [said.labels.tolist() for said in found.values()]


def _predictions(question: Question, classifier: Learned, pool: Pool, rows: Array) -> Predictions:
    """In parts where there are many labels: what the model says of each would take gigabytes."""
    parts = blocks(max(1, len(rows)), max(1, DECISIONS_AT_ONCE // len(classifier.classes)))
    said = [question.coding.decide(classifier.believe(pool.X[rows[part]])) for part in parts]
    return Predictions(np.concatenate([one.labels for one in said]), np.concatenate([one.confidence for one in said]))


def n_checks(n_selected: int, verify_share: float) -> int:
    """How many of the selected tasks are held back: the share, at least 30; none where the share is 0."""
    return min(n_selected, max(CHECKS_AT_LEAST, math.ceil(verify_share * n_selected))) if verify_share else 0


def _labels(
    task_ids: Array, said: _Said, found: Guarantee, settings: ProjectSettings, fingerprint: str
) -> tuple[AutomaticLabel, ...]:
    """The selected tasks. Which of them are held back is drawn at random."""
    selected = np.flatnonzero(found.is_selected)
    n = n_checks(len(selected), settings.verify_share)
    held_back = set(selected[draws.first(task_ids[selected], n, settings.seed, "checks", fingerprint)].tolist())
    return tuple(
        AutomaticLabel(
            task_id=int(task_ids[place]),
            answers=said.answers(place),
            probability=float(said.whole.confidence[place]),
            state=CHECK if place in held_back else PLANNED,
        )
        for place in selected.tolist()
    )


def _covered(audited: list[int], audit: Predictions, found: Guarantee) -> Collection[int]:
    """The audited tasks that would be labelled automatically, were they open."""
    thresholds = {group.label: group.threshold for group in found.groups}
    return [
        task_id
        for task_id, label, confidence in zip(audited, audit.labels.tolist(), audit.confidence.tolist(), strict=True)
        for threshold in [thresholds.get(label if found.goal.per_label else None)]
        if threshold is not None and confidence >= threshold
    ]


def _report(
    basis: _Basis,
    found: Guarantee,
    labels: tuple[AutomaticLabel, ...],
    points: list[tuple[float, float]],
) -> dict[str, Any]:
    n_pool = len(found.is_selected)
    counts = {
        question.name: label_counts(question, [one.answers[question.name] for one in labels])
        for question in basis.questions
    }
    return {
        "plan": basis.fingerprint,
        "version": basis.version.name,
        "max_error": found.goal.max_error,
        "delta": found.goal.delta,
        "look": found.goal.look,
        "sentence": found.sentence(),
        "n_open": n_pool,
        "n_selected": found.n_selected,
        "n_checks": sum(one.state == CHECK for one in labels),
        "n_left": n_pool - found.n_selected,
        "most_wrong": found.most_wrong,
        "labels": next(iter(counts.values())),
        **({"questions": counts} if len(counts) > 1 else {}),
        "n_trained_on": len(set().union(*basis.trained_on.values())),
        "audit": [asdict(group) for group in found.groups],
        # Each point is the promise that would hold had its error rate been chosen beforehand.
        "curve": [{"max_error": rate, "share": round(share, 4)} for rate, share in points],
    }
