"""One turn of the active-learning loop - start reading here.

A turn asks "what is labelled, what was trained on, what is published?" and closes the difference. It never relies on
an event: the next turn makes up for a lost, duplicate or late one, or for a kill at any line. It pushes the first
predictions, switches Label Studio to them, pushes the rest while nobody waits and prunes the old ones last, so
annotators never meet a version without predictions (publishing.py).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from functools import partial

from label_studio_al.autolabel.watch import watch_runs
from label_studio_al.learners.published import Models
from label_studio_al.learning.model import Model, Trained
from label_studio_al.runtime import logs
from label_studio_al.runtime.database import UNAVAILABLE
from label_studio_al.runtime.errors import ArtifactRejected, AwaitsTasks, TurnOvertaken
from label_studio_al.runtime.memory import give_back, let_go_of_files
from label_studio_al.store import NewVersion, Project, Version, VersionQuestion, model_kind
from label_studio_al.store.activity import (
    PUSHING,
    RANKING,
    READING,
    TRAINING,
    WAITING_FOR_TASKS,
    Activity,
)
from label_studio_al.turns import due, retrying
from label_studio_al.turns.accounts import Accounts
from label_studio_al.turns.choosing import TopUp, first_window
from label_studio_al.turns.looking import Looking, counts_of
from label_studio_al.turns.mapping import PoolMaps
from label_studio_al.turns.means import Means
from label_studio_al.turns.measuring import Measured, keep_predictions, measure
from label_studio_al.turns.offers import Offers
from label_studio_al.turns.policy import (
    fresh_and_due,
    is_trainable,
    training_reason,
    waiting_for,
)
from label_studio_al.turns.ranking import choose_order_by_answers
from label_studio_al.turns.studio_side import StudioSide
from label_studio_al.turns.subject import Progress, Subject
from label_studio_al.turns.training import Training

# A large comparison, or many new texts, are worked on for so long in one turn; the next turn continues, after other
# projects had theirs.
SLICE_SECONDS = 2.0
# A few tasks without a text are nobody's mistake.
TASKS_WITHOUT_TEXT_ALLOWED = 3

log = logging.getLogger(__name__)


class Loop:
    """Runs turns. Different projects may take a turn at the same time, from different threads."""

    def __init__(self, means: Means) -> None:
        store, studio = means.store, means.studio
        self._means = means
        self._store = store
        self._studio = studio
        self._clock = means.clock
        self._computing = means.computing
        self._models = Models(store, means.signer, embeddings=means.settings.embeddings_dir)
        self._training = Training(store)
        self._offers = Offers(store)
        self._accounts = Accounts(store, means.clock, means.counts)
        self._maps = PoolMaps(means)
        self._studio_side = None if studio is None else StudioSide(means, studio, self._accounts)
        self._publishing = None if self._studio_side is None else self._studio_side.publishing
        self._looking = Looking(means, self._models, self._accounts)

    def take_turn(self, key: str) -> bool:
        """Close the difference between what is labelled, trained on and published. Never raises what a retry can fix.

        Returns whether that is done: a turn works on many changes for two seconds only, and the next one continues.
        """
        self._settle(key)
        project = self._store.projects.begin_turn(key)
        with logs.context(project=key, turn=project.n_turns):
            return self._take_turn(project)

    def _take_turn(self, project: Project) -> bool:
        key = project.key
        if project.is_paused or not due.is_retry_due(project, self._clock.now()):
            self._store.projects.note_unfinished(key, project.n_unfinished - 1)
            return True
        progress = self._accounts.begin(project)
        try:
            self._check_endings(project)
            until = progress.began + SLICE_SECONDS
            was_at_rest, activity, seen = self._is_at_rest(project), project.activity, None
            if self._studio_side is not None:
                project = self._studio_side.ask(project, progress, until)
            if project.is_parked:
                self._store.projects.note_unfinished(key, 0)
                return progress.is_complete
            project = self._offers.refresh(project)
            if self._studio_side is not None:
                self._studio_side.write_settings(project, progress)
            # Unless Label Studio was asked what changed, and nothing did.
            if not (was_at_rest and progress.is_complete and self._is_at_rest(project)):
                activity, seen = self._turn(project, progress, until), project.revision
        except (TurnOvertaken, *UNAVAILABLE):
            # What is recorded from here on is the next turn's, or cannot be recorded.
            self._accounts.count(progress, "interrupted")
            raise
        except Exception as exc:
            self._accounts.fail(project, progress, exc)
        else:
            self._store.projects.finish_turn(key, activity, seen)
            self._accounts.finish(key, progress)
        # Trainings and answers of Label Studio leave megabytes free, in pieces between others.
        if progress.version is not None or "sync" in progress.steps:
            give_back()
        else:
            let_go_of_files()
        return progress.is_complete

    def _is_at_rest(self, project: Project) -> bool:
        """Whether all labels are trained on and published, so that a turn would leave everything as it is."""
        pool = self._looking.pools.get(project.key)
        return (
            project.revision == project.seen_revision
            and pool is not None
            and pool.is_complete
            and project.error is None
            and project.n_unfinished == 1
            and project.version_id is not None
            and project.is_switched
            and project.is_window_pushed
            and not project.stale_versions
            and not project.sync_wanted
            and not project.config_wanted
        )

    def forget_all_but(self, keys: Collection[str]) -> None:
        """Let go of projects that are not known any more."""
        for key in self._accounts.heard_at.keys() - keys:
            del self._accounts.heard_at[key]
        self._looking.forget_all_but(keys)
        self._training.forget_all_but(keys)
        self._offers.forget_all_but(keys)
        self._maps.forget_all_but(keys)
        self._models.forget(keys)

    def _check_endings(self, project: Project) -> None:
        """Raise TurnsCutShort if the last turns never came to their end. Not after a change, nor after a pause."""
        if project.is_parked:
            return
        if project.parked_revision is not None:
            self._store.projects.end_parking(project.key)
        elif project.retry_at is not None:
            self._store.projects.end_waiting(project.key)
        elif retrying.is_cut_short_too_often(project):
            raise retrying.cut_short(project)

    # -- the turn ---------------------------------------------------------------------------------------------

    def _turn(self, project: Project, progress: Progress, until: float) -> Activity:
        """Returns what the project does, or waits for, afterwards."""
        if project.compared_at is None and self._studio is not None:
            # Which texts there are decides on the features: nothing is trained on the first half of a pool.
            return Activity(READING)
        try:
            subject = self._looking.look(project, progress, until)
        except AwaitsTasks:
            return Activity(WAITING_FOR_TASKS)
        if isinstance(subject, Activity):
            return subject
        version = self._publish_if_due(subject, progress)
        step = partial(self._accounts.step, project.key, progress)
        if version is not None and self._publishing is not None:
            self._publishing.switch(project.key, version, step)
        self._measure(subject, progress, version)
        if version is not None and self._publishing is not None:
            progress.is_complete &= self._publishing.push_rest(subject, version, step)
            if self._publishing.prune(project.key, version, step):
                progress.done.append("deleted older predictions")
        self._maps.draw(subject, version, partial(self._accounts.step, project.key, progress))
        if version is not subject.version:
            self._store.projects.note_fresh(project.key, *fresh_and_due(subject, version))
        return waiting_for(subject, version)

    def _publish_if_due(self, subject: Subject, progress: Progress) -> Version | None:
        """The version that is published afterwards: a new one where one is due, else the old one, topped up."""
        version, reason = subject.version, training_reason(subject)
        if reason is None and version is not None:
            try:
                self._top_up(subject, progress, version)
            except ArtifactRejected as exc:
                log.error("project %s: %s", subject.key, exc)
                reason = "the stored model was refused"
        if reason is not None:
            version = self._publish(subject, progress)
            progress.done.append(f"published {version.name}: {reason}")
        return version

    def _publish(self, subject: Subject, progress: Progress) -> Version:
        key, config = subject.key, subject.config
        step = partial(self._accounts.step, key, progress)
        self._keep_predictions(subject)
        trained: Mapping[str, Trained] = {}
        if any(is_trainable(subject, question) for question in config.questions):
            with step("train", Activity(TRAINING, {"n": subject.n_labelled})), self._computing.slot():
                trained = self._training.train(subject)
        with step("rank", Activity(RANKING)), self._computing.slot():
            order = choose_order_by_answers(subject, trained)
            window = first_window(self._store, subject, trained, order)
        number = self._store.projects.reserve_number(key)
        pushed = None
        if self._publishing is not None:
            with step("push", Activity(PUSHING, {"n": len(window.task_ids)})):
                pushed = self._publishing.push_first(key, config, number, window)
        with step("record"):
            project, now = subject.project, self._clock.now()
            before = set() if project.version_id is None else self._store.windows.audits(project.version_id)
            artifact = None
            if trained:
                steering = [question.name for question in subject.steering()]
                stored = {"trained": trained, "ranked_by": order, "steering": steering}
                artifact = self._means.signer.dump(stored, model_kind(key, number, now))
            new = NewVersion(
                number=number,
                created_at=now,
                revision=project.revision,
                ranked_by=order,
                questions={
                    one.name: VersionQuestion(one.fingerprint, one.labels, subject.answers[one.name])
                    for one in config.questions
                },
                features_id=subject.pool.features_id,
                artifact=artifact,
                window=window.pairs(),
                audits=window.audits,
                late_audits=frozenset(before.difference(subject.annotated, window.task_ids)),
                top_k=window.top_k_of(),
                pushed=pushed,
                label_counts=counts_of(subject),
            )
            is_switched = self._studio is None
            version = self._store.versions.publish(key, new, is_switched=is_switched, turn=progress.turn)
        progress.version = number
        return version

    def _top_up(self, subject: Subject, progress: Progress, version: Version) -> None:
        """Add the next tasks to the current version's window before it runs dry, or when new tasks beat it."""
        top_up = TopUp(self._store, self._models, subject, version)
        if top_up.is_due:
            with self._accounts.step(subject.key, progress, "rank", Activity(RANKING)), self._computing.slot():
                added = top_up.add(is_pushed=self._publishing is None)
            if added:
                progress.done.append(f"topped up {version.name} by {added}")

    def _keep_predictions(self, subject: Subject) -> None:
        """Keep what the published version says of labels that it was not trained on, before the next one is."""
        version = subject.version
        if version is None:
            return
        asked = {question.name: question.fingerprint for question in subject.config.questions}
        for name, before in version.questions.items():
            if asked.get(name) != before.fingerprint:
                self._store.measurements.begin_anew(subject.key, name)
        if not version.has_model:
            return
        try:
            model = self._models.get(subject.key, version.id)
        except ArtifactRejected as exc:
            log.error("project %s: what it predicted is not kept: %s", subject.key, exc)
            return
        if model is not None:
            keep_predictions(self._store, subject, version, model)

    def _measure(self, subject: Subject, progress: Progress, version: Version | None) -> None:
        """After the switch: no annotator waits for it, and the queue goes on without it."""
        key = subject.key
        if version is None or not version.has_model:
            for name in self._store.measurements.newest_of_all(key).get(key, {}):
                self._store.measurements.drop(key, name)
            return
        with self._accounts.step(key, progress, "measure"):
            try:
                model = self._models.get(key, version.id)
                if model is not None and version.features_id == subject.pool.features_id:
                    with self._computing.slot():
                        self._measure_all(subject, version, model)
                watch_runs(self._store, key, subject.answers)
            except Exception as exc:
                log.error("project %s: %s was not measured: %s", key, version.name, type(exc).__name__, exc_info=exc)

    def _measure_all(self, subject: Subject, version: Version, model: Model) -> None:
        """Each question that has a model."""
        for question in subject.config.questions:
            if question.name in model.trained:
                of = Measured(question, version.questions[question.name], model.trained[question.name])
                measure(self._store, subject, version, of, self._clock.now())

    # -- Label Studio and the pool ----------------------------------------------------------------------------

    def _settle(self, key: str) -> None:
        """Wait for a pause in what happens, the longer the more has changed, at most 4.5 s."""
        began = self._clock.elapsed()
        while self._clock.elapsed() - began < due.SETTLE_SECONDS_IN_ALL:
            if due.is_settled(self._store.projects.get(key), self._clock.now()):
                return
            self._clock.sleep(due.SETTLE_POLL_SECONDS)
