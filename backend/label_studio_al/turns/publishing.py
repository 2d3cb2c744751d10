"""From a window to Label Studio: pushes predictions, switches to their version, and deletes older predictions.

Label Studio's bulk import of predictions recounts annotations, and writes the counts later. A Submit in between waits,
and its count may be overwritten. So nothing here imports. Predictions are sent one by one, which recounts nothing:
first as many as are asked before the others can arrive, then comes the switch, then the others little by little. Every
step may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from label_studio_al.labeling import prediction, project_id_of, score, version_name
from label_studio_al.questions import LabelConfig
from label_studio_al.runtime.clock import Clock
from label_studio_al.runtime.errors import PredictionsLost, StudioRefused, StudioUnreachable
from label_studio_al.store import Project, Store, Version, WindowTask
from label_studio_al.store.activity import PRUNING, PUSHING_REST, SWITCHING, Activity
from label_studio_al.studio.client import Studio
from label_studio_al.studio.connections import Connection
from label_studio_al.turns.due import is_idle, is_prune_due
from label_studio_al.turns.ranking import Window
from label_studio_al.turns.subject import Subject

# What must lie ready while people label, before the others follow. Each of them has a task open that nobody else is
# given, each takes another one at any moment, and where none is left Label Studio says that there are no more tasks.
READY_AT_LEAST = 10
READY_A_PERSON = 3
# While people label, a pause of so many times what the prediction before it took, so that their Submit meets few.
PAUSE_SHARE = 3.0
PAUSE_SECONDS_AT_MOST = 1.0
LOOK_SECONDS = 0.05
# So long in one turn; the next one continues, after other projects had theirs.
REST_SECONDS = 2.0
# A few at a time.
PRUNED_AT_ONCE = 5

# Tells of a step, by its name and what is done meanwhile, while the `with` lasts.
Step = Callable[[str, Activity | None], AbstractContextManager[None]]


class Publishing:
    """Publishes versions in Label Studio. For one turn of a project at a time."""

    def __init__(self, store: Store, studio: Studio, clock: Clock, backend_url: str | None) -> None:
        """backend_url: under which address Label Studio reaches this backend."""
        self._store = store
        self._studio = studio
        self._clock = clock
        self._backend_url = backend_url

    def find_connection(self, key: str) -> Connection:
        """The project's connection over which Label Studio reaches this backend. Raises NotConnected without one."""
        current = self._store.versions.current_name(key)
        versions = [] if current is None else [current[1]]
        return self._studio.connections.ours(project_id_of(key), self._backend_url, versions)

    def push_first(self, key: str, config: LabelConfig, number: int, window: Window) -> frozenset[int]:
        """Push what must lie ready before anybody is asked by a version that is not recorded yet. Gives these tasks.

        Raises StudioRefused, StudioUnreachable; what was pushed until then is found as an older version's.
        """
        self.find_connection(key)
        name = version_name(number, self._store.installation)
        tasks = [
            WindowTask(task_id, informativeness, task_id in window.audits, best)
            for (task_id, informativeness), best in zip(window.pairs(), window.top_k, strict=True)
        ]
        n_wanted, pushed = n_ready(self._store, key), set[int]()
        # Again for those that were labelled meanwhile: the version before orders the queue until the switch.
        while True:
            is_open = self._unanswered(key, [task.task_id for task in tasks])
            n_missing = n_wanted - len(pushed & is_open)
            first = [task for task in tasks if task.task_id in is_open - pushed][: max(0, n_missing)]
            if not first:
                return frozenset(pushed)
            for task in first:
                self._push(key, config, name, task)
                pushed.add(task.task_id)

    def switch(self, key: str, version: Version, step: Step) -> None:
        """Switch Label Studio to the published version if it is not.

        Raises PredictionsLost where it has none of its predictions any more: it would say that there are no tasks.
        """
        project_id, latest = project_id_of(key), self._store.projects.get(key)
        if latest.is_switched:
            return
        with step("switch", Activity(SWITCHING, {"version": version.name})):
            # Arranged once only: an admin who switches it off afterwards means it.
            if not latest.is_arranged:
                self.find_connection(key)
                self._studio.projects.arrange(project_id)
                self._store.projects.note_arranged(key)
            is_pushed = bool(self._store.windows.pushed(version.id))
            try:
                self._studio.switch(project_id, self._backend_url, version.name, is_pushed=is_pushed)
            except PredictionsLost:
                self._store.projects.want_sync(key)
                self._store.projects.want_training(key, self._clock.now())
                raise
            self._store.projects.note_switched(key, True)

    def push_rest(self, subject: Subject, version: Version, step: Step) -> bool:
        """Push what is left of the published version's window; gives whether nothing is, for now.

        What must lie ready comes at once, the rest little by little while people label. Stops after two seconds, and
        when something is heard: a label may make another version due.
        """
        project, config, asked = subject.project, subject.config, frozenset(subject.annotated)
        key = project.key
        if _is_in_doubt(project):
            self._find_pushed(key, version)
        left = [one for one in self._store.windows.unpushed(key, version.id) if one.task_id not in asked]
        self._note(key, is_all=not left)
        if not left:
            return True
        is_open = [one.task_id not in asked for one in self._store.windows.next(key, version.id)]
        self.find_connection(key)
        # As many as were heard of while this version was made may be labelled while the next one is.
        n_wanted = n_ready(self._store, key) + self._store.projects.get(key).revision - project.revision
        n_urgent = max(0, n_wanted - (sum(is_open) - len(left)))
        until = self._clock.now() + REST_SECONDS
        with step("rest", Activity(PUSHING_REST, {"n": len(left)})):
            for n_done, task in enumerate(left):
                if n_done >= n_urgent and self._has_changed(project):
                    return True
                if n_done >= n_urgent and self._clock.now() >= until:
                    return False
                began = self._clock.now()
                self._push(key, config, version.name, task)
                self._store.windows.mark_pushed(version.id, [task.task_id])
                if n_done + 1 >= n_urgent and not is_idle(project, self._clock.now()):
                    self._pause(project, PAUSE_SHARE * (self._clock.now() - began))
        self._note(key, is_all=True)
        return True

    def prune(self, key: str, version: Version, step: Step) -> bool:
        """Delete older versions' predictions while nobody labels: whoever submits meanwhile would wait.

        Label Studio deletes a version without harm only while the connection's title is not the project's version.
        So the connection has an older name meanwhile; renaming it moves the project along, which is moved back.
        Gives whether anything was deleted.
        """
        project, project_id, studio = self._store.projects.get(key), project_id_of(key), self._studio
        if not is_prune_due(project, self._clock.now()) or not self._store.windows.pushed(version.id):
            return False
        # Asked for each time: an admin may have corrected its address, and renaming sends it along.
        connection = self.find_connection(key)
        # Last: to what a backup lacks that was put back since, the project must not be moved along.
        held = studio.predictions.versions(project_id)
        if not held.get(version.name):
            self._store.projects.want_sync(key)
            return False
        for name in [name for name in project.stale_versions if not held.get(name)]:
            self._store.projects.drop_stale(key, name)
        older = sorted((name for name in project.stale_versions if held.get(name)), key=_number)
        if not older:
            return False
        newest = older[-1]
        if not is_idle(project, self._clock.now()):
            # A request that Label Studio began to answer before the switch still shows its predictions.
            older.remove(newest)
        with step("prune", Activity(PRUNING, {"n": len(older)})):
            self._store.projects.note_switched(key, False)
            studio.connections.rename(project_id, connection, newest)
            studio.projects.point_to(project_id, version.name)
            for name in older[:PRUNED_AT_ONCE]:
                studio.predictions.delete(project_id, name)
                self._store.projects.drop_stale(key, name)
                if self._store.projects.get(key).heard_at > project.heard_at:
                    break
            studio.connections.rename(project_id, connection, version.name)
            if studio.projects.get(project_id).model_version != version.name:
                # A connection that leads elsewhere may bear the title that it had as ours.
                studio.projects.point_to(project_id, version.name)
            self._store.projects.note_switched(key, True)
        return True

    # -- inside -----------------------------------------------------------------------------------------------

    def _push(self, key: str, config: LabelConfig, name: str, task: WindowTask) -> None:
        result = config.write({name: best[0] for name, best in task.top_k.items()})
        made = prediction(name, score(task.informativeness), result)
        try:
            self._studio.predictions.push_one(project_id_of(key), task.task_id, made)
        except StudioRefused:
            # Most likely the task was deleted and its event lost: only a comparison of everything finds that.
            self._store.projects.want_sync(key, of_everything=True)
            raise
        except StudioUnreachable:
            # Nobody knows whether it arrived.
            self._store.projects.want_sync(key)
            raise

    def _find_pushed(self, key: str, version: Version) -> None:
        """Note which of the window Label Studio has, though nobody came to note it."""
        unknown = sorted(
            self._store.windows.informativeness(version.id).keys() - self._store.windows.pushed(version.id)
        )
        if unknown:
            found = self._studio.predictions.tasks(project_id_of(key), unknown, version.name)
            self._store.windows.mark_pushed(version.id, sorted(found))

    def _unanswered(self, key: str, task_ids: Sequence[int]) -> set[int]:
        """Those of the tasks that nobody has answered, as far as was heard."""
        answered = self._store.annotations.ids(key, self._store.projects.get(key).revision, task_ids)
        return set(task_ids) - answered.keys()

    def _note(self, key: str, *, is_all: bool) -> None:
        if self._store.projects.get(key).is_window_pushed != is_all:
            self._store.projects.note_window_pushed(key, is_all)

    def _has_changed(self, project: Project) -> bool:
        return self._store.projects.get(project.key).revision > project.revision

    def _pause(self, project: Project, seconds: float) -> None:
        for _ in range(int(min(PAUSE_SECONDS_AT_MOST, seconds) / LOOK_SECONDS)):
            if self._has_changed(project):
                return
            self._clock.sleep(LOOK_SECONDS)


def _number(name: str) -> int:
    """Where an older version's name stands in their order, whichever release gave it; runs of labels come first."""
    number = name.split("-")[1]
    return int(number) if number.isdecimal() else 0


def n_ready(store: Store, key: str) -> int:
    """How many tasks must be ready for annotators, who may have these open when the version changes."""
    return max(READY_AT_LEAST, READY_A_PERSON * store.annotations.n_people(key))


def _is_in_doubt(project: Project) -> bool:
    """Whether the turn before was killed or failed: what it sent may have arrived without being noted."""
    return project.n_unfinished > 1 or project.n_failures > 0
