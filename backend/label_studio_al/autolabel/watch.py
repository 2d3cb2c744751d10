"""Whether people's labels since a run of automatic labels contradict its guarantee."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from label_studio_al.learning.guarantee import Watch, watch
from label_studio_al.store import Store
from label_studio_al.store.automation import APPLIED, CHECK, Run

# The probability with which a promise that holds is ever called broken.
FALSE_ALARM = 0.05


# People's, by question and task, in the order in which they came.
Answers = Mapping[str, Mapping[int, str]]


def watch_runs(store: Store, key: str, answers: Answers) -> None:
    """Keep the verification of every standing run up to date.

    A random part of a run's tasks was held back from it,
    so these tell its error rate without bias; corrections of other tasks are no random part, and only add to what is
    known to be wrong.
    """
    for run in store.automation.runs(key):
        if run.state == APPLIED:
            found = _watched(store, key, run, answers)
            if found != run.watch:
                store.automation.set_watch(run, found)


def _watched(store: Store, key: str, run: Run, answers: Answers) -> dict[str, Any]:
    checks = {one.task_id: one.answers for one in store.automation.labels(run, CHECK)}
    answered = dict.fromkeys(task_id for own in answers.values() for task_id in own)
    is_wrong = [_is_wrong(checks[task_id], task_id, answers) for task_id in answered if task_id in checks]
    corrections = store.automation.answered(key, run)
    n_corrected = sum(_is_wrong(set_to, task_id, answers) for task_id, set_to in corrections.items())
    n_selected = int(run.report["n_selected"])
    most_wrong = int(run.report["most_wrong"])
    found = watch(is_wrong, max(n_selected, len(is_wrong)), run.max_error, FALSE_ALARM)
    sentence = _sentence(run, found, n_corrected, most_wrong, len(checks))
    return {
        "n_checks": len(checks),
        "n_checked": found.n_checked,
        "n_wrong": found.n_wrong,
        "n_corrected": n_corrected,
        # Against the promise: 1 is none, 1 / FALSE_ALARM an alarm. An infinite one is no JSON.
        "evidence": found.evidence if math.isfinite(found.evidence) else None,
        "false_alarm": FALSE_ALARM,
        "is_alarm": found.is_alarm or found.n_wrong + n_corrected > most_wrong,
        "sentence": sentence,
    }


def _is_wrong(set_to: Mapping[str, str], task_id: int, answers: Answers) -> bool:
    """Whether people answered one of the questions otherwise."""
    return any(answers.get(name, {}).get(task_id, answer) != answer for name, answer in set_to.items())


def _sentence(run: Run, found: Watch, n_corrected: int, most_wrong: int, n_checks: int) -> str:
    seen = f"{found.n_wrong} of {found.n_checked} checks found a wrong label"
    if n_corrected:
        seen += f", {n_corrected} labels were corrected"
    undo = f"label-studio-al autolabel --undo takes the labels of run {run.number} back"
    if found.n_wrong + n_corrected > most_wrong:
        return f"more labels are wrong than the {most_wrong} that were promised at most: {seen}; {undo}"
    if found.is_alarm:
        return f"the checks contradict an error rate of at most {run.max_error:.2%}: {seen}; {undo}"
    if found.n_checked < n_checks:
        seen += f", {n_checks - found.n_checked} of {n_checks} checks are still to be made"
    return f"{seen}; nothing contradicts the promise"
