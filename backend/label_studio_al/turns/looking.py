"""What a turn is about: a project's tasks as rows, people's answers, and the version that is published."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from label_studio_al.learners.published import Models
from label_studio_al.learners.registry import check_content, check_settings
from label_studio_al.learning.types import Array
from label_studio_al.pool.tasks import Pool
from label_studio_al.questions import UNREAD, LabelConfig, label_counts
from label_studio_al.runtime import logs
from label_studio_al.runtime.settings import read_project_settings
from label_studio_al.store import Project
from label_studio_al.store.activity import EMBEDDING, FITTING, Activity
from label_studio_al.store.projects import Content
from label_studio_al.turns.accounts import Accounts
from label_studio_al.turns.labels import Labels
from label_studio_al.turns.means import Means
from label_studio_al.turns.policy import fresh_and_due
from label_studio_al.turns.seeing import shows_texts
from label_studio_al.turns.subject import Progress, Subject

# A few tasks without a text are nobody's mistake.
TASKS_WITHOUT_TEXT_ALLOWED = 3


class Looking:
    """Looks at projects, and keeps in memory what the next look needs. pools: by project."""

    def __init__(self, means: Means, models: Models, accounts: Accounts) -> None:
        self._means = means
        self._store = means.store
        self._models = models
        self._accounts = accounts
        self.pools: dict[str, Pool] = {}
        self._labels: dict[str, Labels] = {}

    def forget_all_but(self, keys: Collection[str]) -> None:
        """Let go of projects that are not known any more."""
        kept: Mapping[str, Any]
        for kept in (self.pools, self._labels):
            for key in kept.keys() - keys:
                del kept[key]
        if self._means.encoding is not None:
            self._means.encoding.forget_all_but(keys)

    def look(self, project: Project, progress: Progress, until: float) -> Subject | Activity:
        """What the turn is about; what is done meanwhile where there is nothing to choose from yet."""
        key = project.key
        config, settings = project.config, read_project_settings(project.extra_params)
        if self._means.encoding is not None:
            # First: also where images are not embedded any more.
            self._means.encoding.keep_thumbnails(key, settings.thumbnails == "on")
        check_settings(settings, config)
        check_content(project.label_config, self._means.settings.image_encoder, project.offers)
        is_first = project.version_id is None
        with self._accounts.step(key, progress, "features", Activity(FITTING) if is_first else None):
            pool = self._pool(key, config)
            changes = pool.refresh(until)
            progress.is_complete &= changes.is_complete
            self._models.know(key, pool.features_id, pool.features)
            self._accounts.show_features(project, pool, changes)
        if not changes.is_complete and is_first:
            return Activity(FITTING)
        with self._accounts.step(key, progress, "labels"):
            answered = self._labels.setdefault(key, Labels(key, self._store))
            answered.refresh(config)
            by_people = answered.task_ids
            annotated = sorted({*by_people, *self._store.automation.taken(key)})
            pool.require(by_people)
            if self._means.encoding is not None:
                self._means.encoding.look(pool, config, annotated)
                self._models.know(key, pool.features_id, pool.features)
                if is_first and self._means.encoding.is_awaited(pool, config):
                    return Activity(EMBEDDING)
            answers = answered.in_order_of_arrival(among=pool.having_rows)
            version = self._store.versions.find(project.version_id)
            if version is not None:
                logs.add(version=version.name)
            subject = Subject(project, config, settings, pool, changes, answers, annotated, version)
            failed = {} if self._means.encoding is None else self._means.encoding.failures(key)
            unread = _unread(config, pool, answered.ignored(), failed)
            counts = subject.n_labelled, counts_of(subject), *fresh_and_due(subject, version)
            self._store.projects.note_content(key, Content(pool.n_tasks, answered.n_annotations, unread, *counts))
        progress.n_labels = subject.n_labelled
        return subject

    def _pool(self, key: str, config: LabelConfig) -> Pool:
        pool = self.pools.get(key)
        if pool is None or pool.field != config.content.key:
            pool = Pool(key, config, self._means.of_pools())
            self.pools[key] = pool
        return pool


def counts_of(subject: Subject) -> dict[str, dict[str, int]]:
    """How often each question was answered with each label."""
    return {
        question.name: label_counts(question, subject.answers[question.name].values())
        for question in subject.config.questions
    }


def _unread(
    config: LabelConfig, pool: Pool, ignored: Mapping[str, Sequence[int]], failed: Mapping[int, str]
) -> list[dict[str, Any]]:
    """What Label Studio has and nothing is trained on, for people: reason, number, an example task, a sentence.

    failed: tasks whose image cannot be had, and why.
    """
    found: list[tuple[str, Sequence[int] | Array, str, str]] = []
    if len(pool.without_text) > TASKS_WITHOUT_TEXT_ALLOWED:
        fields = ", ".join(map(repr, config.content.fields))
        where = f"the field {fields}" if len(config.content.fields) == 1 else f"the fields {fields}"
        what = f"{len(pool.without_text)} tasks have no text in {where}"
        found.append(("no_text", pool.without_text, what, "they are neither asked nor trained on"))
    if failed:
        why = next(iter(failed.values()))
        what = f"the images of {len(failed)} task{'s' * (len(failed) != 1)} cannot be read"
        so = "their texts alone are looked at" if shows_texts(config) else "they are neither asked nor trained on"
        found.append(("no_image", list(failed), what, f"{so}: {why}"))
    for reason, task_ids in ignored.items():
        found.append((reason, task_ids, f"{len(task_ids)} annotations {UNREAD[reason]}", "they do not train"))
    return [
        {
            "reason": reason,
            "n": len(task_ids),
            "task_id": int(task_ids[0]),
            "sentence": f"{what} (task {task_ids[0]}, for example): {so}",
        }
        for reason, task_ids, what, so in found
    ]
